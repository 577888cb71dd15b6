"""Runs that are killed, damaged, finished, repeated."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import chex
import jax
import numpy as np
import optax
import pytest

import vaejax as vj
from tests import zoo
from vaejax.train import loop, runs

KEY = jax.random.key(0)
X = zoo.levels(45)
MODEL = vj.zoo.sigma_vae(zoo.D, 2, hidden=(8,), objective=vj.objectives.optimal_sigma())
OPTIONS = {"batch_size": 9, "validation": X[:7], "average": 0.9, "checkpoint_every": 0.0, "optimizer": optax.adam(1e-3)}
pytestmark = pytest.mark.usefixtures("short_scans")


@pytest.fixture(scope="module")
def whole(short_scans):
    """Fits of 1 to 4 epochs that nothing stopped."""
    return [None, *(vj.fit(MODEL, KEY, X, epochs=epochs, **OPTIONS) for epochs in range(1, 5))]


def assert_same(a, b):
    chex.assert_trees_all_equal((a.params, a.best, a.state.opt_state), (b.params, b.best, b.state.opt_state))
    assert set(a.history) == set(b.history)
    for name in set(a.history) - {"seconds"}:
        np.testing.assert_array_equal(a.history[name], b.history[name])
    np.testing.assert_array_equal(a.history.batches, b.history.batches)


def test_a_run_goes_on_where_it_was_stopped(tmp_path, insist, whole):
    run = lambda epochs=3: vj.fit(MODEL, KEY, X, epochs=epochs, checkpoint=tmp_path, **OPTIONS)
    result, calls = insist(run)
    assert calls > 9
    assert_same(whole[3], result)
    again, calls = insist(run)
    assert calls == 0  # a finished run is not run again
    assert_same(whole[3], again)
    assert_same(whole[4], run(4))


WARM = vj.objectives.warm_up(7)  # it ends after the first stop, and is another number in every step until then
DEEP = {
    "ladder": vj.objectives.warm_up(7, vj.objectives.optimal_sigma()),
    "hierarchical": WARM,
    "biva": WARM,
    "nvae": WARM,
    "two-stage": vj.objectives.two_stage(second=WARM),
}
SLOW = pytest.mark.slow  # resuming does not look into a model


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW if name != "two-stage" else ()) for name in DEEP])
def test_deep_models_go_on_where_they_were_stopped(name, tmp_path, insist):
    model, objective = zoo.AMORTIZED[name], DEEP[name]
    whole = vj.fit(model, KEY, X, objective=objective, epochs=3, **OPTIONS)
    options = OPTIONS | {"objective": objective, "checkpoint": tmp_path}
    result, calls = insist(lambda: vj.fit(model, KEY, X, epochs=3, **options))
    assert calls > 9 and whole.state.skipped == 0
    assert_same(whole, result)
    start = jax.jit(model.init)(jax.random.split(KEY)[0])
    for params in (
        (start["first"]["likelihood"], start["second"]["likelihood"]) if name == "two-stage" else (start["likelihood"],)
    ):
        params["shift"] = params["shift"] + 1.0  # which no step moves
    assert not any(np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (start, result.params)), strict=True))
    loaded, best = vj.load(tmp_path)
    assert loaded == model
    chex.assert_trees_all_equal(best, whole.best)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_where(tmp_path, monkeypatch, whole, number):
    real = loop.run_steps

    def signalled(*args, **kwargs):
        os.kill(os.getpid(), number)
        return real(*args, **kwargs)

    options = OPTIONS | {"checkpoint_every": 1e9}  # nothing but the signal makes it save
    monkeypatch.setattr(loop, "run_steps", signalled)
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt, match=f"stopped at step 2 of epoch 1; the run is saved in {tmp_path}"):
        vj.fit(MODEL, KEY, X, epochs=2, checkpoint=tmp_path, **options)
    assert signal.getsignal(number) is before
    monkeypatch.setattr(loop, "run_steps", real)
    assert_same(whole[2], vj.fit(MODEL, KEY, X, epochs=2, checkpoint=tmp_path, **options))


@pytest.mark.parametrize("options", [{}, {"validation": None}, {"average": 0.0, "validation": None}])
def test_the_best_of_a_run_is_loaded(tmp_path, options):
    result = vj.fit(MODEL, KEY, X, epochs=2, checkpoint=tmp_path, **(OPTIONS | options))
    model, params = vj.load(tmp_path)
    assert model == MODEL
    chex.assert_trees_all_equal(params, result.best)


def test_a_run_that_stopped_early_is_finished(tmp_path, monkeypatch):
    options = OPTIONS | {"patience": 1, "checkpoint_every": 1e9, "optimizer": optax.sgd(0.5)}
    result = vj.fit(MODEL, KEY, X, epochs=200, checkpoint=tmp_path, **options)
    assert len(result.history["value"]) < 200
    monkeypatch.setattr(loop, "run_steps", None)
    again = vj.fit(MODEL, KEY, X, epochs=200, checkpoint=tmp_path, **options)
    chex.assert_trees_all_equal(again.best, result.best)


def test_an_ensemble_goes_on_too(tmp_path):
    keys = jax.random.split(KEY, 2)
    options = OPTIONS | {"hparams": {"beta": np.array([1.0, 3.0], np.float32)}}
    vj.fit_ensemble(MODEL, keys, X, epochs=1, checkpoint=tmp_path, **options)
    resumed = vj.fit_ensemble(MODEL, keys, X, epochs=3, checkpoint=tmp_path, **options)
    assert_same(vj.fit_ensemble(MODEL, keys, X, epochs=3, **options), resumed)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Orbax leaves futures behind
def test_damaged_checkpoints_fall_back(tmp_path, whole):
    vj.fit(MODEL, KEY, X, epochs=2, checkpoint=tmp_path, **OPTIONS)
    newest = max((tmp_path / "checkpoints").iterdir(), key=lambda path: int(path.name))
    for file in newest.rglob("*"):
        if file.is_file() and file.stat().st_size > 100:
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.warns(UserWarning, match=f"checkpoint {newest.name} is damaged .*; trying an older one"):
        result = vj.fit(MODEL, KEY, X, epochs=3, checkpoint=tmp_path, **OPTIONS)
    assert_same(whole[3], result)


def test_other_runs_are_refused(tmp_path):
    def start(model=MODEL, key=KEY, x=X, **options):
        return vj.fit(model, key, x, checkpoint=tmp_path, **({"epochs": 1} | OPTIONS | options))

    start()
    other = vj.zoo.sigma_vae(zoo.D, 3, hidden=(8,))
    for change, name in (
        ({"model": other}, "model"),
        ({"x": X[1:]}, "data"),
        ({"key": jax.random.key(1)}, "start"),
        ({"batch_size": 10}, "batch_size"),
        ({"validation": X[:6]}, "validation"),
    ):
        with pytest.raises(ValueError, match=f"holds another run: its {name} is"):
            start(**change)
    with pytest.raises(ValueError, match="holds a run already: expected a new folder with resume=False"):
        start(resume=False)
    record = json.loads((tmp_path / "run.json").read_text())
    with runs.Run.open(tmp_path, record, resume=True, every=1.0):
        with pytest.raises(ValueError, match="another process is writing this run"):
            start()
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ValueError, match="run.json: expected what vaejax.fit writes"):
        start()


SCRIPT = """
import sys, hashlib, jax, numpy as np
import vaejax as vj
from vaejax.train import loop
loop._scan_length = lambda *_: 3
x = np.random.default_rng(0).random((400, 12), np.float32)
model = vj.zoo.sigma_vae(12, 2, hidden=(16,))
folder = sys.argv[1] if len(sys.argv) > 1 else None
options = dict(epochs=12, batch_size=20, validation=x[:50], checkpoint=folder, checkpoint_every=0.02)
result = vj.fit(model, jax.random.key(0), x, **options)
total = hashlib.sha256()
for leaf in jax.tree.leaves((result.params, result.best, result.history.batches)):
    total.update(np.asarray(leaf).tobytes())
print(total.hexdigest())
"""


@pytest.mark.slow
def test_sigkill_at_any_moment_changes_no_bit(tmp_path):
    root = Path(__file__).parents[2]
    options = {"stdout": subprocess.PIPE, "text": True, "cwd": root}
    run = lambda *args: subprocess.Popen([sys.executable, "-c", SCRIPT, *args], **options)
    expected = run().communicate()[0]
    chance, folder, kills = random.Random(0), tmp_path / "run", 0
    assert expected
    while kills < 6:
        process = run(str(folder))
        while process.poll() is None and not list(folder.glob("checkpoints/*")):
            time.sleep(0.01)  # until it has begun to write
        time.sleep(chance.random() * 0.6)
        if process.poll() is not None:
            break
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        kills += 1
    process = run(str(folder))
    assert process.communicate()[0] == expected and kills >= 3
