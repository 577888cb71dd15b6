"""The command line, from its words to its exit codes: what it prints, writes, refuses and finds again."""

import base64
import dataclasses
import functools
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
from importlib.metadata import entry_points

import jax
import numpy as np
import pytest
from PIL import Image

import vaejax as vj
from vaejax.cli import main
from vaejax.cli.members import MEMBERS, build
from vaejax.cli.options import Fit
from vaejax.train import loop

SMALL = ("--hidden", "16", "--latent-dim", "2", "--epochs", "2")


def vaejax(*words):
    return main([str(word) for word in words])


def scores_of(folder, name="metrics.json"):
    return json.loads((folder / name).read_text())


def fitted(member, out, *words, data="digits"):
    assert vaejax("fit", member, "--data", data, "--out", out, *words) == 0
    return out


def refused(capsys, *words):
    """The one line that a command which cannot be followed ends with."""
    assert vaejax(*words) == 2
    told = capsys.readouterr()
    (line,) = told.err.strip().splitlines()
    assert line.startswith("vaejax: ")
    return line


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    return fitted("sigma-vae", tmp_path_factory.mktemp("runs") / "sigma", *SMALL)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3)) * [1.0, 100.0, 0.1] + [0.0, 5000.0, 1.0]
    path = tmp_path_factory.mktemp("data") / "table.csv"
    path.write_text("a,b,c,kind\n" + "".join(f"{a},{b},{c},{'uv'[i % 2]}\n" for i, (a, b, c) in enumerate(x)))
    return path


def test_the_console_script_and_the_module_are_one_command():
    (script,) = entry_points(group="console_scripts", name="vaejax")
    assert script.load() is main
    told = subprocess.run([sys.executable, "-m", "vaejax", "list"], capture_output=True, text=True)
    assert told.returncode == 0
    assert all(f"{name.replace('_', '-')} " in told.stdout for name in ["gmm", *vj.zoo.__all__])


def test_help_reads_well(capsys):
    assert vaejax("fit", "--help") == 0 and vaejax() == 0
    text = capsys.readouterr().out
    assert "None" not in text and "--standardize" in text and "{fit" not in text


def test_a_run_is_fitted_evaluated_sampled_reported_and_exported(digits_run, capsys, tmp_path):
    assert vaejax("evaluate", digits_run, "--quick") == 0
    shown = capsys.readouterr().out
    metrics = scores_of(digits_run)
    assert metrics["rows"] == 200 and f"{metrics['scores']['iwae']['value']:.2f}" in shown
    assert "200 test rows, dequantized (17 levels" in metrics["protocol"]
    model, params = vj.load(digits_run)
    x = vj.data.dequantize(vj.data.digits().test.x[:200], levels=17)
    again = vj.evaluate.run(model, params, jax.random.key(0), x, k=20, levels=17)
    assert metrics["scores"]["iwae"]["value"] == pytest.approx(again["iwae"].value, abs=1e-4)
    assert vaejax("sample", digits_run, "-n", "6", "--out", tmp_path / "a.npy", "--mode", "ancestral") == 0
    assert np.load(tmp_path / "a.npy").shape == (6, 8, 8, 1)
    assert vaejax("sample", digits_run, "-n", "9", "--out", tmp_path / "grid.png") == 0
    assert np.asarray(Image.open(tmp_path / "grid.png").convert("L")).std() > 10
    assert vaejax("report", digits_run) == 0
    page = (digits_run / "report.html").read_text()
    pictures = [Image.open(io.BytesIO(base64.b64decode(b))) for b in re.findall(r'base64,([^"]+)"', page)]
    assert len(pictures) == 7 and all(np.asarray(picture.convert("L")).std() > 10 for picture in pictures)
    assert f"{metrics['scores']['iwae']['value']:.2f}" in page and "http" not in page
    assert vaejax("export", digits_run, "--out", tmp_path / "e.bin") == 0
    z = jax.export.deserialize((tmp_path / "e.bin").read_bytes()).call(x[:3])
    np.testing.assert_allclose(z, jax.vmap(vj.encode, (None, None, 0))(model, params, x[:3]), atol=1e-5)


def test_a_whole_evaluation_keeps_its_classifier_and_is_reused(digits_run, capsys, monkeypatch):
    brief = functools.partial(vj.evaluate.classifier.train, num_steps=200)
    monkeypatch.setattr(vj.evaluate.classifier, "train", brief)
    assert vaejax("evaluate", digits_run, "--k", 5) == 0
    metrics, shown = scores_of(digits_run), capsys.readouterr().out
    stored = vj.evaluate.classifier.load(digits_run / "classifier")
    assert stored.sha256[:16] in metrics["scores"]["mean_precision"]["protocol"] and stored.sha256[:16] in shown
    assert 0.2 < metrics["scores"]["knn_probe"]["value"] <= 1 and metrics["scores"]["knn_probe"]["standard_error"] > 0
    assert {"sample_frechet_distance", "kmeans_nmi", "active_units", "generalisation_gap"} <= metrics["scores"].keys()
    assert "what the diagnosis suggests" in shown and all(sentence in shown for sentence in metrics["advice"])
    notes = re.findall(r"^  (\d+): ", shown, re.M)
    assert notes == [str(i) for i in range(1, len(notes) + 1)]
    assert vaejax("evaluate", digits_run, "--k", 5) == 0 and "nothing has changed" in capsys.readouterr().out
    stamp = (digits_run / "classifier" / "weights.npz").stat().st_mtime_ns
    assert vaejax("evaluate", digits_run, "--k", 5, "--seed", 1) == 0
    assert (digits_run / "classifier" / "weights.npz").stat().st_mtime_ns == stamp


def test_a_finished_run_is_not_run_again_and_another_is_never_overwritten(digits_run, capsys):
    before = {path: path.stat().st_mtime_ns for path in digits_run.rglob("checkpoints/*")}
    assert vaejax("fit", "sigma-vae", "--data", "digits", "--out", digits_run, *SMALL) == 0
    assert before == {path: path.stat().st_mtime_ns for path in digits_run.rglob("checkpoints/*")}
    capsys.readouterr()
    line = refused(capsys, "fit", "vae", "--data", "digits", "--out", digits_run, *SMALL)
    assert "holds another run: its model is 'sigma-vae', this one's is 'vae'; use a new folder" in line
    line = refused(capsys, "fit", "sigma-vae", "--data", "digits", "--out", digits_run, "--seed", "1", *SMALL)
    assert "its digest is" in line or "its seed is 0, this one's is 1" in line
    assert vj.load(digits_run)


def test_em_by_the_same_commands(table, tmp_path, capsys):
    words = ("gmm", tmp_path / "gmm", "--labels", "kind", "--components", 2, "--standardize")
    out = fitted(*words, data=table)
    assert vaejax("evaluate", out) == 0 and vaejax("report", out) == 0
    model, params = vj.load(out)
    assert model == vj.GMM(2, 3)
    value = scores_of(out)["scores"]["log_evidence"]["value"]
    # In the units of the data: near minus the entropy of the three independent columns, whose scales multiply to 10.
    assert value == pytest.approx(-1.5 * np.log(2 * np.pi * np.e) - np.log(10), abs=0.6)
    assert vaejax("sample", out, "-n", 500, "--out", tmp_path / "rows.csv", "--mode", "ancestral") == 0
    rows = np.loadtxt(tmp_path / "rows.csv", delimiter=",")
    assert abs(rows[:, 1].mean() - 5000) < 30 and 70 < rows[:, 1].std() < 130
    capsys.readouterr()
    assert fitted(*words, data=table) and "finished" in capsys.readouterr().out
    assert "no picture" in refused(capsys, "sample", out)


def test_standardised_likelihoods_are_in_the_units_of_the_data(table, tmp_path):
    data = vj.data.from_file(table, labels="kind")
    train, test = vj.data.hold_out(data.train, 0.1, 1)
    plain = vj.data.Dataset(vj.data.hold_out(train, 0.1, 0)[0], None, test)
    for flag, parts in ((), plain), (("--standardize",), vj.data.standardize(plain)):
        words = ("--latent-dim", 1, "--labels", 3, *flag)
        out = fitted("ppca", tmp_path / f"run{len(flag)}", *words, data=table)
        assert vaejax("evaluate", out, "--quick") == 0
        params = vj.em.ppca_exact(vj.PPCA(3, 1), parts.train.x)
        exact = vj.evaluate.exact_log_evidence(vj.PPCA(3, 1), params, parts.test.x).mean()
        exact += parts.scaling.log_jacobian if flag else 0.0
        assert scores_of(out)["scores"]["log_evidence"]["value"] == pytest.approx(float(exact), abs=0.05)


def test_a_folder_of_images_with_classes(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(40):
        folder = tmp_path / "images" / ("dark" if i % 2 else "light")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 100, (12, 10, 3)) + (0 if i % 2 else 150)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    words = ("--channels", 4, "--latent-dim", 2, "--epochs", 1, "--conditional", "--scale", "shared")
    out = fitted("conv-vae", tmp_path / "run", *words, data=tmp_path / "images")
    assert vaejax("report", out) == 0 and scores_of(out)["asked"]["quick"]
    assert vaejax("sample", out, "--label", 1, "-n", 4, "--out", tmp_path / "one.npy") == 0
    assert np.load(tmp_path / "one.npy").shape == (4, 12, 10, 3)


@pytest.mark.parametrize(
    "words, told",
    [
        (("fit", "sigma-vea", "--data", "digits", "--out", "OUT"), "invalid choice 'sigma-vea'"),
        (("fit", "vae", "--data", "digits", "--out", "OUT", "--foo", "3"), "Unrecognized options: --foo"),
        (("fit", "vae", "--out", "OUT"), "Missing from vaejax fit: --data STR"),
        (("fit", "vae", "--data", "digits", "--out", "OUT", "--epochs", "x"), "--epochs"),
        (
            ("fit", "vae", "--data", "digits", "--out", "OUT", "--epochs", "0"),
            "--epochs: expected an integer of at least 1, got 0",
        ),
        (("fit", "vae", "--data", "nowhere.npy", "--out", "OUT"), "nowhere.npy does not exist"),
        (("fit", "gmm", "--data", "digits", "--out", "OUT", "--hidden", "3"), "gmm has no option --hidden"),
        (("fit", "vae", "--data", "digits", "--out", "OUT", "--labels", "y"), "--labels is for a .csv file"),
        (("fit", "vae", "--data", "TABLE", "--out", "OUT", "--labels", "kind"), "values in [0, 1] for this likelihood"),
        (("fit", "conditional-vae", "--data", "TABLE0", "--out", "OUT"), "the data have no labels"),
        (
            ("fit", "vae", "--data", "digits", "--out", "OUT", "--beta", "-1"),
            "--beta: expected a finite number of at least 0",
        ),
        (("fit", "vae", "--data", "digits", "--out", "OUT", "--scale", "huge"), "scale"),
        (("fit", "vae", "--data", "digits", "--out", "OUT", "--standardize"), "expected a table"),
        (("fit", "vae", "--data", "digits", "--out", "OUT", "--validation", "1.5"), "--validation: expected a share"),
        (("fit", "sigma-vae", "--data", "TABLE0", "--out", "OUT", "--pixels", "binarize"), "is for uint8 images"),
        (("evaluate", "OUT"), "holds no run"),
        (("report", "OUT"), "holds no run"),
    ],
)
def test_what_cannot_be_followed_ends_with_one_line(words, told, tmp_path, table, capsys):
    plain = tmp_path / "plain.csv"
    np.savetxt(plain, np.random.default_rng(0).normal(size=(50, 3)), delimiter=",")
    names = {"OUT": tmp_path / "out", "TABLE": table, "TABLE0": plain}
    assert told in refused(capsys, *(names.get(word, word) for word in words))


def test_rows_of_another_shape_are_refused(digits_run, tmp_path, capsys):
    np.save(tmp_path / "large.npy", np.zeros((20, 32, 32), np.uint8))
    line = refused(capsys, "evaluate", digits_run, "--data", tmp_path / "large.npy")
    assert "expected rows of shape (8, 8, 1), as the run's own, got (32, 32, 1)" in line
    np.save(tmp_path / "same.npy", 15 * np.random.default_rng(0).integers(0, 17, (210, 8, 8)).astype(np.uint8))
    assert vaejax("evaluate", digits_run, "--data", tmp_path / "same.npy", "--quick") == 0
    (other,) = digits_run.glob("metrics-*.json")  # the scores of the run's own data are left alone
    assert "200 rows of" in scores_of(other.parent, other.name)["protocol"]


def test_data_that_changed_are_told(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(60, 4)))
    out = fitted("ppca", tmp_path / "run", "--latent-dim", 1, data=tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", np.random.default_rng(1).normal(size=(60, 4)))
    capsys.readouterr()
    assert "it has changed since" in refused(capsys, "evaluate", out)
    other = tmp_path / "other"
    other.mkdir()
    (other / "precious.txt").write_text("mine")
    line = refused(capsys, "fit", "ppca", "--data", tmp_path / "x.npy", "--latent-dim", 1, "--out", other)
    assert "holds something else" in line and [path.name for path in other.iterdir()] == ["precious.txt"]


def test_exit_codes_of_what_fails_later(tmp_path, capsys, monkeypatch):
    words = ("fit", "sigma-vae", "--data", "digits", "--out")
    assert vaejax(*words, tmp_path / "a", "--learning-rate", 1e30, *SMALL) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "numbers that are not finite" in line and "Lower the learning rate" in line
    real = loop.run_steps

    def stopped(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*args, **kwargs)

    stopped.lower = real.lower
    with monkeypatch.context() as patch:
        patch.setattr(loop, "run_steps", stopped)
        assert vaejax(*words, tmp_path / "b", *SMALL) == 130
    assert f"the run is saved in {tmp_path / 'b'}, and the same call goes on" in capsys.readouterr().err
    assert vaejax(*words, tmp_path / "b", *SMALL) == 0


def test_ais_and_bits_per_dimension_of_probabilities_and_of_densities(digits_run, tmp_path):
    binary = fitted("vae", tmp_path / "b", *SMALL)
    for folder, offset, words in ((binary, 0.0, ("--ais", 2)), (digits_run, np.log2(17), ())):
        assert vaejax("evaluate", folder, "--quick", *words) == 0
        scores = scores_of(folder)["scores"]
        bits = offset - scores["iwae"]["value"] / 64 / np.log(2)
        assert scores["bits_per_dimension"]["value"] == pytest.approx(bits, abs=1e-5)
    assert scores_of(binary)["scores"]["ais"]["protocol"].startswith("first 16 rows, AIS from the prior, 2 chains")


def test_a_command_that_failed_can_be_corrected(tmp_path, capsys):
    x = np.random.default_rng(0).normal(size=(80, 3))
    x[::9, 1] = np.nan
    np.savetxt(tmp_path / "miss.csv", x, delimiter=",")
    fit = ("fit", "gmm", "--data", tmp_path / "miss.csv", "--components", 2, "--out", tmp_path / "gmm")
    assert "missing: expected covariance diag or spherical" in refused(capsys, *fit)
    assert vaejax(*fit, "--covariance", "diag") == 0 and vaejax("evaluate", tmp_path / "gmm") == 0
    assert "rows with missing values left out" in scores_of(tmp_path / "gmm")["protocol"]
    assert vaejax("report", tmp_path / "gmm") == 0
    capsys.readouterr()
    more = refused(capsys, *fit, "--covariance", "diag", "--epochs", 900)
    assert "its epochs is 200, this one's is 900" in more
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / ".command.json.123").write_text("{")  # what a kill in the middle of the first write leaves
    assert vaejax(*fit[:-1], tmp_path / "killed", "--covariance", "diag") == 0


@pytest.mark.parametrize("flag", ["--beta", "--patience", "--learning-rate", "--batch-size"])
def test_options_of_gradients_are_refused_by_em(tmp_path, table, capsys, flag):
    line = refused(capsys, "fit", "gmm", "--data", table, "--labels", "kind", "--out", tmp_path / "a", flag, 3)
    assert f"gmm has no option {flag}" in line
    line = refused(capsys, "fit", "vae", "--data", "digits", "--out", tmp_path / "a", "--restarts", 5)
    assert "vae has no option --restarts" in line


def test_tables_of_large_numbers_and_few_rows(tmp_path):
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(1.7e9, 20.0, 40), rng.normal(size=40), rng.normal(size=40)], 1)
    np.savetxt(tmp_path / "t.csv", x, delimiter=",", fmt="%.17g")
    out = fitted("ppca", tmp_path / "run", "--standardize", "--test", 0.02, data=tmp_path / "t.csv")
    assert vaejax("evaluate", out) == 0  # one test row: no standard error, and no failure
    found = scores_of(out)
    assert found["rows"] == 1 and found["scores"]["log_evidence"]["standard_error"] is None
    assert not any("constant" in note for note in found["notes"]) and found["scores"]["log_evidence"]["value"] < -5.0


def test_other_data_are_scored_once_and_by_their_names(tmp_path, capsys):
    rng = np.random.default_rng(0)
    write = lambda name, words: (tmp_path / name).write_text(
        "a,b,kind\n" + "".join(f"{rng.normal()},{rng.normal()},{word}\n" for word in words)
    )
    write("own.csv", ["cat", "dog"] * 40)
    write("dogs.csv", ["dog"] * 30)
    write("cows.csv", ["cow"] * 30)
    words = ("--conditional", "--labels", "kind", "--test", 0, *SMALL)
    out = fitted("sigma-vae", tmp_path / "run", *words, data=tmp_path / "own.csv")
    assert vaejax("evaluate", out, "--data", tmp_path / "dogs.csv", "--k", 2) == 0
    (name,) = (path.name for path in out.glob("metrics-*.json"))
    assert scores_of(out, name)["rows"] == 30 and not scores_of(out, name)["notes"]
    x = vj.data.from_file(tmp_path / "dogs.csv", labels="kind").train.x
    model, params = vj.load(out)
    as_dogs = vj.evaluate.run(model, params, jax.random.key(0), x, np.ones(30, np.int32), k=2)
    value = scores_of(out, name)["scores"]["reconstruction_rmse"]["value"]
    assert value == pytest.approx(as_dogs["reconstruction_rmse"].value, rel=1e-4)
    capsys.readouterr()
    assert "expected labels among" in refused(capsys, "evaluate", out, "--data", tmp_path / "cows.csv")


def test_a_report_shows_the_scores_of_the_parameters_it_draws_from(tmp_path):
    out = fitted("sigma-vae", tmp_path / "run", *SMALL[:-1], 1)
    assert vaejax("evaluate", out, "--quick") == 0
    before = scores_of(out)
    fitted("sigma-vae", out, *SMALL)
    assert vaejax("report", out) == 0
    assert scores_of(out)["asked"]["params"] != before["asked"]["params"]
    assert ">seed<" in (out / "report.html").read_text()
    stamp = (out / "metrics.json").stat().st_mtime_ns
    assert vaejax("report", out) == 0 and (out / "metrics.json").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("name", sorted(MEMBERS))
def test_every_member_can_be_built_as_the_command_builds_it(name):
    small = {"groups": 1, "channels": (4,)} if name == "nvae" else {}
    options = Fit(name, "digits", pathlib.Path("nowhere"), **small)
    model = build(options, (8, 8, 1), labels=10, levels=17, steps_per_epoch=9)
    jax.eval_shape(model.init, jax.random.key(0))
    if name == "beta-vae":
        assert model == vj.zoo.beta_vae((8, 8, 1), 8, beta=4.0, objective=vj.objectives.beta(4.0, vj.objectives.elbo()))
        weighted = build(dataclasses.replace(options, beta=2.0), (8, 8, 1), 10, 17, 9)
        assert weighted.objective == vj.objectives.beta(2.0, vj.objectives.elbo())
