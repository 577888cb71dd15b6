"""All results: the page, in a browser, and the answers in experiments/README.md."""

import dataclasses
import json
import re

import jax
import numpy as np
import pytest

import vaejax as vj
from experiments.explorer import explorer, latents
from experiments.harness import page as report
from experiments.harness.stories import stories
from experiments.harness.study import Base, Study
from tests.browser import CHROMIUM, Browser

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
ATTACK = "<script>document.title = 'stolen'</script><img src=x onerror=\"document.title = 'stolen'\"> & </p>"
MODELS = {"plane": (2, 0), "eight": (8, 0), f"given</script>{ATTACK}": (2, 10)}
ROUNDING = 0.5 / 255 + 1e-5  # of the screen's grey values
NAMES = list(stories())
FIRST, SECOND = NAMES[1], NAMES[0]


@pytest.fixture(scope="module")
def models():
    """Decoders that have learned nothing, but whose pixels differ."""
    test = vj.data.digits().test.take(slice(0, 60))
    found = {}
    for name, (size, classes) in MODELS.items():
        model = vj.zoo.sigma_vae((8, 8, 1), size, hidden=(16, 12), context_dim=classes)
        params = model.init(jax.random.key(size))
        rng = np.random.default_rng(size)
        params["decoder"] = jax.tree.map(
            lambda leaf, rng=rng: leaf + 0.2 * rng.standard_normal(leaf.shape).astype("f"), params["decoder"]
        )
        found[name] = model, params
    return found, test


@pytest.fixture(scope="module")
def page(models, tmp_path_factory):
    """A folder of results, made by the things themselves, with what an attacker or a disk may do to it."""
    out = tmp_path_factory.mktemp("results")
    config = Base(out=out, work=out / "work", size="smoke")
    study = Study(f"experiments.{FIRST}", config, "Is it <b>so</b>?\n\nPrediction: It is.")
    study.table("A title <i>", ("name", "value"), [("<b>row</b>", "1.25")])
    curve = {"a": ([1, 2, 3], [1.0, 3.0, 2.0])}
    study.lines(
        "curve", curve, x_label="x", y_label="y", caption="What <u>rises</u>.", claim="Letter, figure 1: it rises."
    )
    study.finish(ATTACK, protocol="100 images")
    path = out / FIRST / "metrics.json"
    found = json.loads(path.read_text())
    (out / "secret.png").write_bytes((out / FIRST / "curve.png").read_bytes())
    (out / FIRST / "broken.png").write_text("no picture")
    found["figures"] += [{"file": name, "caption": name, "claim": ""} for name in ("../secret.png", "broken.png")]
    path.write_text(json.dumps(found))
    (out / SECOND).mkdir()
    (out / SECOND / "metrics.json").write_text('{"question": "half')
    fitted, test = models
    kept = [latents.packed(name, model, params, test) for name, (model, params) in fitted.items()]
    (out / "explorer").mkdir()
    (out / "explorer" / "explorer.json").write_text(json.dumps({"models": kept}))
    return report.write(out)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def test_everything_stands_on_the_page(page):
    text = page.read_text()
    assert page.name == "index.html" and len(text) < 1_000_000
    assert re.findall(r'<section id="(\w+)">', text) == NAMES
    assert re.findall(r'<li><a href="#(\w+)">', text) == NAMES  # the contents; the explorer's line has a dash
    for name in set(NAMES) - {FIRST, SECOND}:
        assert text.count(f"python -m experiments {name}</code>") == 2
    assert "metrics.json cannot be read (JSONDecodeError" in text
    assert len(re.findall(r'src="data:image/(png|webp);base64,', text)) == 1
    assert text.count("cannot be shown: FileNotFoundError") == 1 and "cannot be shown: UnidentifiedImageError" in text
    for words in ("What <u>rises", "<b>so", "<i>", "<b>row", ATTACK):
        assert words not in text
    assert not re.search(r"https?:", re.sub(r"base64,[^\"]*", "", text))
    for known in ("100 images", "Letter, figure 1", f"experiments {FIRST} --smoke", vj.__version__, "smoke run"):
        assert known in text


def test_without_results_there_is_a_list_of_commands(tmp_path):
    text = report.write(tmp_path).read_text()
    assert text.count("<section") == len(NAMES) and "<script" not in text and "script-src 'none'" in text


def test_an_answer_in_the_readme_has_its_question_prediction_picture_and_command(tmp_path):
    study = Study(f"experiments.{FIRST}", Base(out=tmp_path, work=tmp_path, seeds=1), "Why?\n\nPrediction: So.")
    study.measure({"cell": lambda: {"x": 1.5}})
    study.lines("curve", {"a": ([1, 2], [3.0, 4.0])}, x_label="x", y_label="y", caption="A curve.")
    study.finish("It is 1.5.", protocol="none")
    text = report.answers(tmp_path)
    for said in ("### GMM EM", "*Why?*", "**Predicted.** So.", "**Measured.** It is 1.5.", "1 seed,"):
        assert said in text
    assert f"![A curve.](../results/{FIRST}/curve.png)" in text and f"| {FIRST} | 1 |" in text
    assert f"Not run yet: {SECOND}" in text and f"python -m experiments {FIRST} --full" in text
    path = tmp_path / "README.md"  # only what is between the marks changes
    path.write_text(f"Above.\n\n{report.START}\nWhat was.\n{report.END}\n\nBelow.\n")
    for _ in range(2):
        report.update(tmp_path, path)
        text = path.read_text()
        assert text.startswith("Above.\n\n<!--") and text.endswith("-->\n\nBelow.\n")
        assert "What was." not in text and text.count("It is 1.5.") == 1


def test_the_committed_answers_are_those_of_the_committed_results():
    """`python -m experiments report` was called after the last run."""
    text = report.README.read_text("utf-8")
    assert report.answers(report.README.parents[1] / "results") in text
    for line in text.splitlines():
        if line.startswith("!["):
            assert (report.README.parent / line.rpartition("](")[2].rstrip(")")).is_file(), line


def image(browser, canvas="#image"):
    """The grey values of a canvas in [0, 1]."""
    found = browser.run(
        f"(canvas => [canvas.height, ...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data])"
        f"(document.querySelector('{canvas}'))"
    )
    return np.reshape(found[1:], (found[0], -1, 4))[..., 0] / 255


def choose(browser, select, value):
    browser.run(
        f"(s => (s.value = {value}, s.dispatchEvent(new Event('change'))))(document.getElementById('{select}'))"
    )
    browser.frame()


def slide(browser, values):
    script = "((v) => [...document.querySelectorAll('#sliders input')].forEach((slider, i) => (slider.value = v[i], \
slider.dispatchEvent(new Event('input')))))"
    browser.run(f"{script}({json.dumps(values)})")
    browser.frame()


def sliders(browser):
    return browser.run("[...document.querySelectorAll('#sliders input')].map(slider => Number(slider.value))")


def start(browser, page, width=1280, phone=False, **media):
    browser.show(width, phone=phone, **({"prefers_reduced_motion": "reduce"} | media))
    browser.open(page)
    browser.run("document.getElementById('latent-explorer').scrollIntoView({behavior: 'instant'})")
    browser.frame()


def place(browser, x, y):
    """Where a point of the plane lies in the window."""
    left, top, size = browser.run(
        "(b => [b.left, b.top, b.width])(document.getElementById('plane').getBoundingClientRect())"
    )
    return {"x": left + size * (x / 3 + 1) / 2, "y": top + size * (1 - y / 3) / 2}


@needs_browser
@pytest.mark.parametrize(("width", "phone"), [(1280, False), (390, True)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_complains_of_nothing(browser, page, width, phone, scheme):
    start(browser, page, width, phone, prefers_color_scheme=scheme, prefers_reduced_motion="no-preference")
    for model in range(len(MODELS)):
        choose(browser, "model", model)
        shown, wide = browser.run("[document.documentElement.scrollWidth, window.innerWidth]")
        assert shown <= wide == width
    ground, ink = browser.run("(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))")
    light, dark = (np.mean([int(part) for part in re.findall(r"\d+", colour)[:3]]) for colour in (ground, ink))
    assert (light - dark) * (1 if scheme == "light" else -1) > 180
    unnamed = "[...document.querySelectorAll('canvas, input, select, button')].filter(part => !(part.ariaLabel || \
part.textContent || part.labels?.[0]?.textContent)).length"
    assert browser.run(unnamed) == 0
    assert browser.problems == []
    assert [url for url in browser.requests if not url.startswith("data:")] == [page.resolve().as_uri()]


@needs_browser
def test_what_the_results_say_is_text(browser, page):
    start(browser, page)
    assert ATTACK in browser.run(f"document.querySelector('#{FIRST} .answer').textContent")
    assert browser.run("document.title") == "The experiments of vaejax"
    assert browser.run("document.querySelectorAll('main script, main img[src=x]').length") == 0
    assert browser.run("document.querySelectorAll('script').length") == 2
    assert browser.run("[...document.getElementById('model').options].map(option => option.text)") == list(MODELS)
    # Were something to slip through, the page's policy would not run it.
    browser.run("document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = 1'}))")
    assert browser.run("document.title") == "The experiments of vaejax"


@needs_browser
@pytest.mark.parametrize("name", MODELS)
def test_the_browser_decodes_what_the_model_decodes(browser, page, models, name):
    start(browser, page)
    model, params = models[0][name]
    choose(browser, "model", list(MODELS).index(name))
    rounded = params | {"decoder": latents.quantised(params["decoder"])[1]}
    kept = json.loads((page.parent / "explorer" / "explorer.json").read_text())["models"][list(MODELS).index(name)]
    rng = np.random.default_rng(3)
    for digit in (4, 9) if model.context_dim else (None, None):
        if digit is not None:
            choose(browser, "digit", digit)
        z = np.round(rng.uniform(-3, 3, model.latent_dim), 2)
        slide(browser, z.tolist())
        np.testing.assert_allclose(sliders(browser), z, atol=1e-9)
        label = None if digit is None else np.array([digit])
        seen, wanted = image(browser), latents.decode(model, params, z[None], label)[0]
        assert np.abs(seen - wanted).max() <= kept["difference"] + ROUNDING and wanted.std() > 0.1
        assert np.abs(seen - latents.decode(model, rounded, z[None], label)[0]).max() <= ROUNDING
        strip = image(browser, "#strip li:last-child div canvas")
        ends = np.repeat(z[None], 2, 0)
        ends[:, -1] = -3, 3
        for shown, end in zip((strip[:, :8], strip[:, -8:]), ends, strict=True):
            assert np.abs(shown - latents.decode(model, rounded, end[None], label)[0]).max() <= ROUNDING


@needs_browser
def test_pointer_touch_and_keys_move_the_point(browser, page):
    start(browser, page)
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", **place(browser, -2, 1))
    browser.frame()
    first = image(browser)
    np.testing.assert_allclose(sliders(browser), [-2, 1], atol=0.02)
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", **place(browser, 2, -1.5))
    browser.frame()
    np.testing.assert_allclose(sliders(browser), [2, -1.5], atol=0.02)
    assert np.abs(image(browser) - first).max() > 0.1
    browser.run("document.getElementById('plane').focus()")
    before = sliders(browser)
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp"):
        browser.send("Input.dispatchKeyEvent", type="keyDown", key=key)
    browser.frame()
    np.testing.assert_allclose(np.subtract(sliders(browser), before), [-0.2, 0.1], atol=0.02)
    choose(browser, "model", 1)
    choose(browser, "across", 6)
    before = sliders(browser)
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", **place(browser, 1, 2))
    browser.frame()
    moved = np.flatnonzero(np.abs(np.subtract(sliders(browser), before)) > 0.02)
    assert moved.tolist() == [1, 6]
    start(browser, page, 390, True)
    browser.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=[place(browser, 0, 0)])
    browser.send("Input.dispatchTouchEvent", type="touchMove", touchPoints=[place(browser, 1, 1)])
    browser.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    browser.frame()
    np.testing.assert_allclose(sliders(browser), [1, 1], atol=0.03)
    assert browser.problems == []


@needs_browser
def test_the_strip_plays(browser, page):
    def changes(milliseconds=5000):
        script = """new Promise(done => {
          const now = () => document.querySelector('#strip canvas').toDataURL();
          const [first, end] = [now(), performance.now() + milliseconds];
          const past = () => performance.now() > end;
          const look = () => (now() !== first || past() ? done(now() !== first) : setTimeout(look, 50));
          look();
        })"""
        return browser.run(script.replace("milliseconds", str(milliseconds)))

    def button():
        return browser.run("document.getElementById('play').textContent")

    def press():
        browser.run("document.getElementById('play').click()")

    start(browser, page)
    browser.run("document.getElementById('strip').scrollIntoView({behavior: 'instant'})")
    assert button() == "Play" and not changes(400)  # less motion is asked for
    press()
    assert button() == "Pause" and changes()
    start(browser, page, prefers_reduced_motion="no-preference")
    browser.run("document.getElementById('strip').scrollIntoView({behavior: 'instant'})")
    assert button() == "Pause" and changes()
    press()
    assert button() == "Play" and not changes(400)


@needs_browser
@pytest.mark.slow
def test_the_explorer_that_was_trained(browser, tmp_path):
    config = dataclasses.replace(explorer.Config.smoke(), out=tmp_path / "results", work=tmp_path / "work")
    explorer.main(config)
    assert (tmp_path / "results" / "explorer" / "explorer.json").stat().st_size < 1_000_000
    start(browser, report.write(config.out))
    assert browser.run("document.querySelectorAll('#explorer img').length") == 4 and browser.problems == []
    assert browser.run("[...document.images].every(image => image.naturalWidth > 100)")
    first = image(browser)
    slide(browser, [2.0, 2.0])
    assert np.abs(image(browser) - first).max() > 0.05
