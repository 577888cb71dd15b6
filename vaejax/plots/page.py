"""A self-contained HTML page of headings, paragraphs, tables and figures, shown on the terminal as it grows."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vaejax.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Page", "document", "picture", "table"]

STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d8dee4; --ground: #fff; --tint: #f6f8fa;
  --accent: #0b5fb0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #a2abb5; --line: #3a424c; --ground: #14171b;
  --tint: #1d2228; --accent: #7ab8ff; } }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: var(--ink); background: var(--ground); overflow-wrap: break-word; }
h1, h2, h3 { line-height: 1.25; text-wrap: balance; }
a { color: var(--accent); }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; overflow-wrap: normal; }
caption { text-align: left; font-weight: 600; padding: .25rem 0; }
td, th { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums; }
td:first-child, th:first-child { text-align: left; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
figcaption { color: var(--soft); font-size: .9rem; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; } .row figure { flex: 1 1 18rem; margin: 0; }
"""


def table(columns: Sequence[object], rows: Sequence[Sequence[object]], title: str = "") -> str:
    """A table as HTML; its cells are text."""
    cells = lambda row, tag: "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in row)  # noqa: E731
    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    above = f"<caption>{html.escape(title)}</caption>" if title else ""
    return f"<table>{above}<thead><tr>{cells(columns, 'th')}</tr></thead><tbody>{body}</tbody></table>"


def picture(data: bytes, text: str, kind: Literal["png", "webp"] = "png") -> str:
    """A picture as HTML.

    Args:
      data: its file.
      text: a description, for those who do not see it.
      kind: of the file.
    """
    return f'<img alt="{html.escape(text)}" src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'


def document(path: Path, title: str, body: str, *, head: str = "") -> None:
    """Write one page, which replaces the one before it as a whole.

    Args:
      path: the file.
      title: of the page, text.
      body: HTML.
      head: more HTML for its head, styles say.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f"{meta}<title>{html.escape(title)}</title><style>{STYLE}</style>{head}"
    write_text(path, f"<!doctype html><html lang=en><head>{head}</head><body>{body}</body></html>\n")


class Page:
    """Headings, paragraphs, tables and figures as they come; their text on the terminal, too.

    Args:
      title: of the page.
      quiet: write to the page alone.
    """

    def __init__(self, title: str, *, quiet: bool = False) -> None:
        from rich.console import Console

        self.title = title
        self.console = Console(quiet=quiet)
        self.parts = [f"<h1>{html.escape(title)}</h1>"]

    def heading(self, text: str) -> None:
        """A section."""
        self.console.rule(text)
        self.parts.append(f"<h2>{html.escape(text)}</h2>")

    def paragraph(self, text: str) -> None:
        """A paragraph of plain text."""
        self.console.print(text)
        self.parts.append(f"<p>{html.escape(text)}</p>")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table; the first column is text, the others are numbers."""
        from rich.table import Table

        shown = Table()
        for i, column in enumerate(columns):
            shown.add_column(column, justify="right" if i else "left")
        for row in rows:
            shown.add_row(*row)
        self.console.print(shown)
        self.parts.append(table(columns, rows))

    def figures(self, figures: "Mapping[str, Figure]") -> None:
        """Figures of matplotlib side by side, each under its caption."""
        items = []
        for caption, figure in figures.items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=110)
            image = picture(buffer.getvalue(), caption)
            items.append(f"<figure>{image}<figcaption>{html.escape(caption)}</figcaption></figure>")
        self.parts.append(f'<div class="row">{"".join(items)}</div>')

    def write(self, path: Path) -> None:
        """Write the page to one file, pictures included."""
        document(path, self.title, "".join(self.parts))
