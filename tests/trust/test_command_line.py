"""The command line: what it prints and writes is what a user takes it for."""

import io
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from tests.cli.common import fitted, refused, scores_of, vaejax
from vaejax.evaluate.diagnose import advise

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3)) * [1.0, 100.0, 0.1] + [0.0, 5000.0, 1.0]
    x[100:] += [3.0, 300.0, 0.3]
    path = tmp_path_factory.mktemp("data") / "table.csv"
    path.write_text("a,b,c,kind\n" + "".join(f"{a},{b},{c},{'vu'[i // 100]}\n" for i, (a, b, c) in enumerate(x)))
    return path


@pytest.fixture(scope="module")
def mixture(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "gmm"
    return fitted("gmm", out, "--labels", "kind", "--components", 2, "--standardize", data=table)


def test_a_model_of_standardised_rows_says_so_and_hands_the_scaling_over(mixture, table):
    with pytest.warns(UserWarning, match=r"standard units: .*Scaling\.read\('.*gmm'\)\.apply\(x\)"):
        model, params = vj.load(mixture)
    x = vj.data.Scaling.read(mixture).apply(vj.data.from_file(table, labels="kind").train.x)
    assert abs(x.mean()) < 0.2 and set(np.unique(vj.evaluate.labels(model, params, x))) == {0, 1}


def test_an_export_of_standardised_rows_is_in_the_units_of_the_data(mixture, table, tmp_path):
    x = vj.data.from_file(table, labels="kind").train.x.astype(np.float32)
    call = {}
    for what in ("encode", "sample"):
        assert vaejax("export", mixture, "--what", what, "--out", tmp_path / what) == 0
        call[what] = jax.export.deserialize(bytearray((tmp_path / what).read_bytes())).call
    assert set(np.asarray(call["encode"](x)).argmax(1)) == {0, 1}
    draws = call["sample"](jax.random.key_data(jax.random.split(jax.random.key(0), 500)))
    np.testing.assert_allclose(draws.mean(0), x.mean(0), rtol=0.2)


def test_draws_of_a_mixture_are_draws_with_the_header_of_the_file(mixture, tmp_path, capsys):
    assert vaejax("sample", mixture, "-n", 5, "--out", tmp_path / "rows.csv") == 0
    header, *rows = (tmp_path / "rows.csv").read_text().splitlines()
    assert header == "a,b,c" and len(set(rows)) == 5
    capsys.readouterr()
    assert vaejax("sample", mixture, "-n", 5) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["a", "b", "c"] and len(rows) == 5 and not Path("samples.png").exists()


def test_draws_of_a_conditional_model_keep_their_classes(table, tmp_path):
    words = (
        "--labels",
        "kind",
        "--conditional",
        "--epochs",
        1,
        "--hidden",
        8,
        "--latent-dim",
        1,
        "--likelihood",
        "normal",
    )
    out = fitted("conditional-vae", tmp_path / "run", *words, data=table)
    assert vaejax("sample", out, "-n", 4, "--out", tmp_path / "rows.csv") == 0
    header, *rows = (tmp_path / "rows.csv").read_text().splitlines()
    assert header == "a,b,c,kind" and [row.split(",")[3] for row in rows] == ["u", "v", "u", "v"]


def test_a_folder_of_another_model_is_named_before_its_options(mixture, table, capsys):
    line = refused(capsys, "fit", "ppca", "--data", table, "--out", mixture, "--labels", "kind", "--epochs", 7)
    assert "its model is 'gmm', this one's is 'ppca'" in line


def test_a_fit_by_em_that_was_killed_runs_again(table, tmp_path, monkeypatch, capsys):
    def killed(*_):
        raise KeyboardInterrupt

    words = ("fit", "gmm", "--data", table, "--labels", "kind", "--components", 2, "--out", tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(vj, "save", killed)
        assert vaejax(*words) == 130
    assert (tmp_path / "run" / "history.csv").is_file() and vaejax(*words) == 0
    capsys.readouterr()
    assert vaejax(*words) == 0 and "finished run read: nothing was trained" in capsys.readouterr().out


def test_two_fits_by_em_do_not_share_a_folder(table, tmp_path, capsys):
    from vaejax.files import lock

    (tmp_path / "run").mkdir()
    held = lock(tmp_path / "run" / "lock", "taken")
    line = refused(capsys, "fit", "gmm", "--data", table, "--labels", "kind", "--out", tmp_path / "run")
    assert "another process is writing this run" in line
    held.release()


def test_rows_that_are_left_out_stand_in_the_protocol(tmp_path):
    x = np.random.default_rng(0).normal(size=(120, 3))
    x[::10, 0] = np.nan
    np.savez(tmp_path / "a.npz", x=x, x_test=x[:40])
    out = fitted("ppca", tmp_path / "run", "--latent-dim", 1, data=tmp_path / "a.npz")
    assert vaejax("evaluate", out, "--quick") == 0
    assert "4 rows with missing values left out" in scores_of(out)["protocol"]


def test_labels_of_minus_one_and_one_are_classes(tmp_path):
    x = np.random.default_rng(0).normal(size=(80, 2))
    (tmp_path / "a.csv").write_text("a,b,y\n" + "".join(f"{a},{b},{1 - 2 * (i % 2)}\n" for i, (a, b) in enumerate(x)))
    out = fitted("gmm", tmp_path / "run", "--labels", "y", "--components", 2, data=tmp_path / "a.csv")
    assert vaejax("evaluate", out, "--quick") == 0


def test_parts_of_other_shapes_are_refused_before_training(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", x=np.ones((30, 3)), x_test=np.ones((10, 4)))
    line = refused(capsys, "fit", "ppca", "--data", tmp_path / "a.npz", "--out", tmp_path / "run")
    assert "test: expected rows of shape (3,), as the train part has, got (4,)" in line


def test_every_problem_is_one_line(mixture, table, tmp_path, capsys, monkeypatch):
    assert "--seed: expected an integer from 0 to 4294967295" in refused(
        capsys, "fit", "gmm", "--data", table, "--out", tmp_path / "run", "--seed", 10**30
    )
    assert "[/b]" in refused(capsys, "fit", "gmm", "--data", tmp_path / "[/b].csv", "--out", tmp_path / "run")
    assert "expected a path without" in refused(
        capsys, "fit", "vae", "--data", "digits", "--out", tmp_path / "[beta=4] a"
    )
    for content in ("[]", '{"scores": 3}', "{"):
        (mixture / "metrics.json").write_text(content)
        assert vaejax("evaluate", mixture, "--quick") == 0
    (tmp_path / "no").mkdir()
    (tmp_path / "no" / "command.json").write_text("[1]")
    assert "is not what `vaejax fit` writes" in refused(capsys, "evaluate", tmp_path / "no")

    def exhausted(*_, **__):
        raise MemoryError("x" * 900_000)

    monkeypatch.setattr(vj.em, "fit", exhausted)
    assert vaejax("fit", "gmm", "--data", table, "--labels", "kind", "--out", tmp_path / "other") == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("vaejax: MemoryError: xxx") and len(line) < 3000


def test_a_terminal_without_the_sign_gets_another(mixture, monkeypatch):
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", ascii_only)
    assert vaejax("evaluate", mixture, "--quick") == 0
    assert b" +- " in ascii_only.buffer.getvalue()


def test_advice_knows_of_training_that_was_still_improving(tmp_path):
    words = ("--hidden", 8, "--latent-dim", 4, "--epochs", 3, "--learning-rate", "3e-4")
    out = fitted("vae", tmp_path / "run", *words, "--likelihood", "normal", "--scale", "shared")
    assert vaejax("evaluate", out) == 0
    assert scores_of(out)["advice"][0].startswith("the objective was still rising, by ")
    collapsed = {
        "active_units": 0,
        "latents": 4,
        "elbo": -70.0,
        "rise": 3.0,
        "least_sigma": 0.79,
        "implied_sigma": 0.12,
    }
    rising, sigma, active = advise(collapsed)
    assert rising.startswith("the objective was still rising, by 3 nats")
    assert sigma.startswith("sigma stands at 0.79 or more, where the errors imply 0.12")
    assert active.startswith("0 of 4 units are active")


@pytest.mark.slow
def test_an_interrupt_of_em_is_no_crash(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(200_000, 16)).astype(np.float32))
    words = (
        "fit",
        "gmm",
        "--data",
        tmp_path / "x.npy",
        "--components",
        32,
        "--epochs",
        3000,
        "--out",
        tmp_path / "run",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "vaejax", *map(str, words)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stdout.readline().startswith("gmm on ")
    time.sleep(8.0)  # compiled, or not yet
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors[-2000:]
    assert "Traceback" not in errors


def test_scores_name_part_rows_and_what_is_no_likelihood():
    model = vj.zoo.vae((8, 8, 1), latent_dim=2, hidden=(8,))
    params, data = model.init(jax.random.key(0)), vj.data.digits()
    found = vj.evaluate.log_evidence_estimate(model, params, jax.random.key(1), data, k=2, progress=False)
    assert len(found.log_evidence) == len(data.test)
    remark = "of grey values, which is no likelihood"
    assert found.protocol == f"importance sampling from q, k=2, {len(data.test)} rows of the test part; {remark}"
    grey, ones = jnp.full((5, 8, 8, 1), 0.5), jnp.ones((5, 8, 8, 1))
    scores = vj.evaluate.run(model, params, jax.random.key(1), grey, k=2, quick=True, progress=False)
    assert all(remark in scores[name].protocol for name in ("iwae", "elbo", "log_likelihood"))
    scores = vj.evaluate.run(model, params, jax.random.key(1), ones, k=2, quick=True, progress=False)
    assert not any(remark in score.protocol for score in scores.values())
    annealed = vj.evaluate.ais(model, params, jax.random.key(1), grey, num_chains=2, num_temperatures=2, progress=False)
    assert remark in annealed.protocol
    with pytest.raises(ValueError, match="got a Dataset without a test part: pass one of its parts"):
        vj.evaluate.exact_log_evidence(vj.PPCA(64, 1), {}, vj.data.Dataset(data.train))
