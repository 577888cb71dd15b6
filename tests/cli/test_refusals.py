"""Commands that cannot be followed: one line, and the exit code."""

import os
import signal

import numpy as np
import pytest

from tests.cli.common import SMALL, fitted, refused, scores_of, vaejax
from vaejax.train import loop


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
