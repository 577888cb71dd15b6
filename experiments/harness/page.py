"""All results: one page, `index.html`, without server and network, and the answers in experiments/README.md.

What the page shows of the results is text, whatever stands in them; the README has no number that was written by hand.
"""

import base64
import hashlib
import html
import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from experiments.harness.stories import EXPERIMENTS, question_and_prediction, stories, title
from vaejax.plots.page import document, picture, table

__all__ = ["answers", "update", "write"]

HERE = Path(__file__).parent
SAFE = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; script-src"
README = EXPERIMENTS / "README.md"
START, END = "<!-- made by `python -m experiments report` -->", "<!-- end -->"


def _text(value: Any) -> str:
    return html.escape(str(value))


def _picture(path: Path, text: str) -> str:
    """A picture of the results, as the smaller of PNG and lossless WebP."""
    try:
        data, shrunk = path.read_bytes(), io.BytesIO()
        with Image.open(io.BytesIO(data), formats=["PNG"]) as opened:
            opened.save(shrunk, "webp", lossless=True)
    except (OSError, ValueError) as problem:
        return f"<p>The picture {_text(path.name)} cannot be shown: {_text(type(problem).__name__)}.</p>"
    small = len(shrunk.getvalue()) < len(data)
    return picture(shrunk.getvalue() if small else data, text, "webp" if small else "png")


def _figure(folder: Path, figure: dict[str, Any]) -> str:
    sides = [("What is seen", figure["caption"]), ("What the source claims", figure.get("claim"))]
    said = "".join(f"<p><b>{title}</b> {_text(text)}</p>" for title, text in sides if text)
    image = _picture(folder / Path(str(figure["file"])).name, str(figure["caption"]))
    return f'<figure>{image}<figcaption class="sides">{said}</figcaption></figure>'


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _facts(found: dict[str, Any]) -> str:
    config = found["config"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    facts = {
        "Protocol": found["protocol"],
        "Seeds": config["seeds"],
        "Device": found["device"],
        "Time": f"{_duration(found['seconds'])} of computing",
        "Versions": versions,
        "Settings": ", ".join(f"{name} = {value}" for name, value in config.items() if name not in ("size", "seeds")),
    }
    command = f"<dt>Command</dt><dd><code>{_text(found['command'])}</code></dd>"
    return (
        "<dl>" + command + "".join(f"<dt>{name}</dt><dd>{_text(fact)}</dd>" for name, fact in facts.items()) + "</dl>"
    )


def _result(folder: Path, found: dict[str, Any]) -> str:
    """What stands under the heading of an experiment that has been run."""
    size = {"smoke": "smoke run: shows that it works, answers nothing", "full": "full setting"}.get(found["size"], "")
    tables = "".join(table(t["columns"], t["rows"], t["title"]) for t in found["tables"])
    figures = "".join(_figure(folder, figure) for figure in found["figures"])
    return "".join(
        [
            f'<p><span class="size">{_text(size)}</span></p>' if size else "",
            f'<p class="question">{_text(found["question"])}</p>',
            f"<p><b>Predicted.</b> {_text(found['prediction'])}</p>" if found["prediction"] else "",
            f'<p class="answer"><b>Answer.</b> {_text(found["answer"])}</p>',
            tables,
            f'<div class="figures">{figures}</div>',
            f"<h3>How it was measured</h3>{_facts(found)}",
        ]
    )


def _section(out: Path, name: str) -> tuple[str, str]:
    """The line of the contents and the section of an experiment."""
    path, command = out / name / "metrics.json", f"<code>python -m experiments {name}</code>"
    try:
        found = json.loads(path.read_text("utf-8"))
        line, body = _text(found["question"]), _result(path.parent, found)
    except FileNotFoundError:
        line = f'<span class="soft">not run yet: {command}</span>'
        body = f"<p>{_text(question_and_prediction(stories()[name].about)[0])}</p><p>Not run yet: {command}</p>"
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as problem:
        line = f"its results cannot be read: {command}"
        body = f"<p>{_text(path.name)} cannot be read ({_text(f'{type(problem).__name__}: {problem}')}); {command}</p>"
    entry = f'<li><a href="#{name}">{title(name)}</a><span>{line}</span></li>'
    return entry, f'<section id="{name}"><h2>{title(name)}</h2>{body}</section>'


def _explorer(out: Path) -> tuple[str, str]:
    """The latent explorer and its script; nothing where `explorer` has not been run."""
    path = out / "explorer" / "explorer.json"
    if not path.exists():
        return "", ""
    data = json.dumps(json.loads(path.read_text("utf-8")), separators=(",", ":")).replace("<", "\\u003c")
    held = f'<script type="application/json" id="explorer-data">{data}</script>'
    return (HERE / "explorer.html").read_text("utf-8") + held, (HERE / "explorer.js").read_text("utf-8")


def write(out: Path) -> Path:
    """Write `index.html` into a folder of results."""
    lines, sections = zip(*(_section(out, name) for name in stories()), strict=True)
    explorer, script = _explorer(out)
    done = sum((out / name / "metrics.json").exists() for name in stories())
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"'sha256-{digest}'" if script else "'none'"  # no other script runs, whatever the results say
    style = (HERE / "report.css").read_text("utf-8")
    head = f'<meta http-equiv="Content-Security-Policy" content="{SAFE} {allowed}"><style>{style}</style>'
    link = (
        '<li><a href="#latent-explorer">Latent explorer</a><span>decodes in this page</span></li>' if explorer else ""
    )
    body = (
        "<h1>The experiments of vaejax</h1>"
        f"<p>{done} of {len(stories())} have results here. Each states its question, what was predicted before it was "
        "run, and what was measured; pictures stand beside what the source's own figure is said to show.</p>"
        f'<nav aria-label="Contents"><ol>{link}{"".join(lines)}</ol></nav>{explorer}<main>{"".join(sections)}</main>'
        + (f"<script>{script}</script>" if script else "")
    )
    path = out / "index.html"
    document(path, "The experiments of vaejax", body, head=head)
    return path


def _minutes(found: dict[str, Any]) -> str:
    return f"{found['seconds'] / 60:.1f}"


def _answer(name: str, found: dict[str, Any]) -> str:
    """One story: question, prediction, answer and first picture."""
    picture = found["figures"][0]
    larger = "" if found["size"] == "full" else f", larger: `python -m experiments {name} --full`"
    seeds, how = found["config"]["seeds"], found["protocol"]
    return "\n\n".join(
        [
            f"### {title(name)}",
            f"*{found['question']}*",
            f"**Predicted.** {found['prediction']}",
            f"**Measured.** {found['answer']}",
            f"![{picture['caption']}](../results/{name}/{picture['file']})",
            f"`{found['command']}` ({found['size']} size, {seeds} seed{'s' * (seeds != 1)}{larger}). {how}.",
        ]
    )


def answers(out: Path) -> str:
    """All experiments of a folder of results in Markdown: a table of what they took, and an answer each."""
    paths = {name: out / name / "metrics.json" for name in stories()}
    found = {name: json.loads(path.read_text("utf-8")) for name, path in paths.items() if path.exists()}
    rows = [f"| {name} | {len(each['numbers'])} | {_minutes(each)} |" for name, each in found.items()]
    left = [name for name in stories() if name not in found]
    table = ["| experiment | cells | minutes |", "|---|---|---|", *rows]
    missing = [f"Not run yet: {', '.join(left)}."] if left else []
    each = [_answer(name, numbers) for name, numbers in found.items()]
    return "\n\n".join(["\n".join(table), *missing, *each])


def update(out: Path, path: Path = README) -> None:
    """Put the answers of a folder of results between the two marks of a file."""
    before, _, rest = path.read_text("utf-8").partition(START)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{START}\n\n{answers(out)}\n\n{END}{after}", "utf-8")
