"""The command line, from its words to its exit codes: what it prints, writes, refuses and finds again."""

import base64
import dataclasses
import functools
import io
import pathlib
import re
import subprocess
import sys
from importlib.metadata import entry_points

import jax
import numpy as np
import pytest
from PIL import Image

import vaejax as vj
from tests.cli.common import SMALL, fitted, refused, scores_of, vaejax
from vaejax.__main__ import console
from vaejax.cli.members import MEMBERS, build
from vaejax.cli.options import Fit


def test_the_console_script_and_the_module_are_one_command():
    (script,) = entry_points(group="console_scripts", name="vaejax")
    assert script.load() is console
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
    assert 0.12 < metrics["scores"]["knn_probe"]["value"] <= 1 and metrics["scores"]["knn_probe"]["standard_error"] > 0
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
    with pytest.warns(UserWarning, match="rows in standard units"):
        model, params = vj.load(out)
    assert model == vj.GMM(2, 3)
    value = scores_of(out)["scores"]["log_evidence"]["value"]
    # In the units of the data: near minus the entropy of the three independent columns, whose scales multiply to 10.
    assert value == pytest.approx(-1.5 * np.log(2 * np.pi * np.e) - np.log(10), abs=1.0)
    assert vaejax("sample", out, "-n", 500, "--out", tmp_path / "rows.csv", "--mode", "ancestral") == 0
    assert (tmp_path / "rows.csv").read_text().startswith("a,b,c\n")
    rows = np.loadtxt(tmp_path / "rows.csv", delimiter=",", skiprows=1)
    assert abs(rows[:, 1].mean() - 5000) < 30 and 70 < rows[:, 1].std() < 130
    capsys.readouterr()
    assert fitted(*words, data=table) and "finished" in capsys.readouterr().out
    assert "no picture" in refused(capsys, "sample", out, "--out", tmp_path / "a.png")


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


def test_ais_and_bits_per_dimension_of_probabilities_and_of_densities(digits_run, tmp_path):
    binary = fitted("vae", tmp_path / "b", *SMALL)
    for folder, offset, words in ((binary, 0.0, ("--ais", 2)), (digits_run, np.log2(17), ())):
        assert vaejax("evaluate", folder, "--quick", *words) == 0
        scores = scores_of(folder)["scores"]
        bits = offset - scores["iwae"]["value"] / 64 / np.log(2)
        assert scores["bits_per_dimension"]["value"] == pytest.approx(bits, abs=1e-5)
    assert scores_of(binary)["scores"]["ais"]["protocol"].startswith("first 16 rows, AIS from the prior, 2 chains")


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
    fitted("sigma-vae", out, *SMALL, "--extend")
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
        assert model == vj.zoo.beta_vae(
            (8, 8, 1), 8, beta=4.0, objective=vj.objectives.warm_up(0.15, vj.objectives.beta(4.0))
        )
        weighted = build(dataclasses.replace(options, beta=2.0), (8, 8, 1), 10, 17, 9)
        assert weighted.objective == vj.objectives.warm_up(0.15, vj.objectives.beta(2.0))
