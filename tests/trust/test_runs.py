"""Folders of runs and saved models: another run is never taken for this one, nothing is lost without a word."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vaejax as vj
from tests import zoo

ROOT = Path(__file__).parents[2]
KEY = jax.random.key(0)
X = zoo.levels(45)
MODEL = vj.zoo.vae(zoo.D, 2, hidden=(8,), objective=None)
PARAMS = MODEL.init(KEY)
OPTIONS = {"batch_size": 9, "validation": X[:7], "checkpoint_every": 0.0, "optimizer": optax.adam(1e-3)}


def fit(folder, epochs=2, **options):
    return vj.fit(MODEL, KEY, X, epochs=epochs, checkpoint=folder, **(OPTIONS | options))


@pytest.fixture
def finished(tmp_path):
    fit(tmp_path / "run", optimizer=optax.adam(1e-3))
    return tmp_path / "run"


def edit(path, change):
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


@pytest.mark.parametrize("optimizer", [optax.adam(2e-3), optax.adam(optax.cosine_decay_schedule(1e-3, 100))])
def test_another_learning_rate_is_another_run(finished, optimizer):
    with pytest.raises(ValueError, match="holds another run: its (optimizer|update) is"):
        fit(finished, optimizer=optimizer)


def test_a_call_that_trains_nothing_says_so(finished, capsys):
    again = fit(finished, optimizer=optax.adam(1e-3))  # an equal optimiser is no other one
    assert again.history.notes[-1].endswith("finished run read: nothing was trained")
    assert "nothing was trained" in capsys.readouterr().err
    fewer = fit(finished, epochs=1, patience=1, progress=False)
    assert fewer.history.notes[-1].endswith("nothing was trained; begun with epochs 2, now 1 and patience None, now 1")
    assert capsys.readouterr().err == ""
    more = fit(finished, epochs=3)
    assert more.history.notes[-1].endswith("resuming at epoch 3; begun with epochs 2, now 3")
    assert "resuming at epoch 3" in capsys.readouterr().err


def test_a_run_of_another_jax_is_read_but_not_continued(finished):
    edit(finished / "run.json", lambda about: about | {"jax": "0.0.1"})
    digest = vj.train.saved.digest((finished / "run.json").read_text())
    with pytest.MonkeyPatch.context() as patch:  # its checkpoints are of that run
        patch.setattr(vj.train.saved, "_run_digest", lambda manager: digest)
        for path in (finished / "checkpoints").glob("*/about/metadata"):
            edit(path, lambda about: about | {"run": digest})
        assert "nothing was trained" in fit(finished).history.notes[-1]
        with pytest.raises(ValueError, match=f"begun with jax 0.0.1 and would go on with {jax.__version__}"):
            fit(finished, epochs=3)
    vj.load(finished)


@pytest.mark.parametrize("name", ["[beta=4] a", "a*", "what?", "back\\slash"])
def test_a_path_that_would_lose_the_model_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="expected a path without"):
        vj.save(tmp_path / name, MODEL, PARAMS)
    with pytest.raises(ValueError, match="expected a path without"):
        fit(tmp_path / name / "run")


def test_what_was_saved_is_read_back(tmp_path, monkeypatch):
    import orbax.checkpoint as ocp

    monkeypatch.setattr(ocp.StandardCheckpointer, "restore", lambda self, path: {})
    with pytest.raises(OSError, match="the arrays that were read back are not those that were written"):
        vj.save(tmp_path / "model", MODEL, PARAMS)
    assert not (tmp_path / "model").exists()


def test_parameters_of_another_model_are_not_saved(tmp_path):
    with pytest.raises(ValueError, match="params: parameter .*: expected shape"):
        vj.save(tmp_path / "model", MODEL, vj.zoo.vae(zoo.D, 3, hidden=(8,)).init(KEY))


def test_a_changed_recipe_is_noticed(tmp_path):
    vj.save(tmp_path / "model", MODEL, PARAMS)
    edit(tmp_path / "model" / "recipe.json", lambda about: json.loads(json.dumps(about).replace("relu", "tanh")))
    with pytest.raises(ValueError, match="the model is damaged"):
        vj.load(tmp_path / "model")


def test_a_saved_folder_follows_the_umask(tmp_path):
    before = os.umask(0o022)
    try:
        vj.save(tmp_path / "model", MODEL, PARAMS)
    finally:
        os.umask(before)
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o755


def test_the_lock_follows_no_link(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "precious").write_text("text")
    (tmp_path / "run" / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="lock"):
        fit(tmp_path / "run")
    assert (tmp_path / "precious").read_text() == "text"


@pytest.mark.parametrize("content", ["[]", "null", "{}", "3"])
def test_a_run_that_is_no_run_is_said(finished, content):
    (finished / "run.json").write_text(content)
    for call in (vj.load, fit):
        with pytest.raises(
            ValueError, match="run.json: expected what vaejax.fit writes, got something else|another run"
        ):
            call(finished)


def test_checkpoints_of_another_run_are_refused(finished, tmp_path):
    vj.fit(MODEL, jax.random.key(1), X, epochs=2, checkpoint=tmp_path / "other", **OPTIONS)
    shutil.rmtree(finished / "checkpoints")
    shutil.copytree(tmp_path / "other" / "checkpoints", finished / "checkpoints")
    for call in (vj.load, lambda path: fit(path, optimizer=optax.adam(1e-3))):
        with pytest.raises(ValueError, match="is of another run than its run.json"):
            call(finished)


@pytest.mark.parametrize("place", ["saved-2", "run-4", "run-3"])
def test_what_was_written_before_likelihoods_had_a_shift_is_read(place, tmp_path):
    """The fixture has the bounds of its model, whose heads took the numbers of the encoder as they are."""
    old = shutil.copytree(Path(__file__).parents[1] / "fixtures" / "before-shifts", tmp_path / "old")
    folder = old / place.replace("-3", "-4")
    if place == "run-3":
        edit(folder / "run.json", lambda about: about | {"format": 3})
        for path in (folder / "checkpoints").glob("*/about/metadata"):
            edit(path, lambda about: {name: value for name, value in about.items() if name != "run"})
    x = np.random.default_rng(0).random((20, 4)).round().astype(np.float32)
    model, params = vj.load(folder)
    bounds = [vj.elbo(model, params, jax.random.key(2), row).value for row in x[:3]]
    np.testing.assert_allclose(bounds, json.loads((old / "bounds.json").read_text()), rtol=1e-5)
    if place != "saved-2":
        with pytest.raises(ValueError, match=f"its format is {place[-1]}, this one's is 5"):
            vj.fit(model, KEY, x, epochs=2, batch_size=5, checkpoint=folder)


def test_skipped_steps_stand_in_the_notes():
    def objective(model, params, key, x, context, step, hparams):
        return jnp.nan * jnp.sum(params["decoder"]["layer1"]["bias"]), {}

    result = vj.fit(MODEL, KEY, X, epochs=1, batch_size=9, objective=objective)
    assert result.history.notes[-1] == "5 of 5 steps were skipped: they had numbers that are not finite"


def test_a_reader_sees_a_whole_checkpoint_while_the_run_goes_on(tmp_path):
    problems, done = [], threading.Event()
    fit(tmp_path / "run", epochs=1)

    def read():
        while not done.is_set():
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    vj.load(tmp_path / "run")
            except Exception as problem:
                problems.append(problem)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        fit(tmp_path / "run", epochs=25)
    finally:
        done.set()
        reader.join()
    assert not problems, problems[:3]


PROGRAM = """
import sys, jax, numpy as np, optax, vaejax as vj
folder, kind = sys.argv[1:]
x = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
index = jax.process_index()
size = 20 + 20 * index if kind == "batch" else 20
rate = 1e-3 * (1 + index) if kind == "rate" else 1e-3
model = vj.zoo.sigma_vae(6, 2, hidden=(16,))
print("begins", flush=True)
vj.fit(model, jax.random.key(0), x, epochs=100000 if kind == "long" else 3, batch_size=size, checkpoint=folder,
       optimizer=optax.adam(rate), checkpoint_every=0.0, validation=x[:20])
"""


def launched(tmp_path, kind):
    (tmp_path / "train.py").write_text(PROGRAM)
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    words = [sys.executable, "-m", "vaejax.launch", "--processes", "2", tmp_path / "train.py", tmp_path / "run", kind]
    return subprocess.Popen(words, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition, seconds=90.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


def children(pid):
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in tasks.read_text().split()] if tasks.exists() else []


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, words", [("batch", "batch_size: expected the same"), ("rate", "optimizer: expected the same")]
)
def test_settings_that_differ_between_processes_are_an_error_in_each(tmp_path, kind, words):
    process = launched(tmp_path, kind)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors.count(f"ValueError: {words} in every process, got ") == 2


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_all_processes_after_a_checkpoint(tmp_path, number):
    process = launched(tmp_path, "long")
    wait_for(lambda: any((tmp_path / "run" / "checkpoints").glob("[0-9]*")))
    peers = children(process.pid)
    assert len(peers) == 2
    if number == signal.SIGINT:  # a terminal sends it to all of them
        for peer in peers:
            os.kill(peer, number)
    process.send_signal(number)
    process.communicate(timeout=90)  # it ends when the last of them closes its output
    wait_for(lambda: not any(map(is_running, peers)), 60.0)
    vj.load(tmp_path / "run")
