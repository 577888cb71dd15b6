"""Disks that are full, cannot be written, or were left in the middle of a write."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vaejax as vj
from tests import zoo
from vaejax.train import loop, runs
from vaejax.train.saved import manager_of

KEY = jax.random.key(0)
X = zoo.levels(45)
MODEL = vj.zoo.sigma_vae(zoo.D, 2, hidden=(8,), objective=vj.objectives.optimal_sigma())
OPTIONS = {"batch_size": 9, "validation": X[:7], "checkpoint_every": 0.0, "optimizer": optax.adam(1e-3)}

# Orbax leaves futures behind.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def whole():
    return vj.fit(MODEL, KEY, X, epochs=3, **OPTIONS)


def numbers(run):
    return sorted(int(path.name) for path in (run / "checkpoints").iterdir() if path.name.isdigit())


# A limit on the length of files is a full disk to anyone, root or not: it makes every write beyond it fail, with EFBIG
# instead of ENOSPC. It holds for the whole process, so it is one of its own.
LIMITED = """
import json, pathlib, resource, sys
import jax, numpy as np
import vaejax as vj
from vaejax.train import runs

x = np.random.default_rng(0).random((45, 6), np.float32)
model, key = vj.zoo.vae((6,), latent_dim=2, hidden=(8,)), jax.random.key(0)
options = dict(epochs=3, batch_size=9, checkpoint_every=0.0)
whole = vj.fit(model, key, x, **options)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
real, results = runs.Run.save, []
for fail in (1, 2):  # 0 is the first checkpoint, 2 the last one: nothing but the end of the run waits for it
    calls, run = [], f"{sys.argv[1]}/run{fail}"

    def save(self, *args):
        if len(calls) == fail:
            self._manager.wait_until_finished()
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        calls.append(1)
        real(self, *args)

    runs.Run.save = save
    try:
        vj.fit(model, key, x, checkpoint=run, **options)
    except OSError as problem:
        kept = problem
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    runs.Run.save = real
    vj.load(run)
    again = vj.fit(model, key, x, checkpoint=run, **options)
    assert kept.__cause__ is not None and not list(pathlib.Path(run).glob("checkpoints/*tmp*"))
    same = jax.tree.map(np.array_equal, (again.params, again.best), (whole.params, whole.best))
    steps = np.array_equal(again.history.batches, whole.history.batches)
    results.append((str(kept), all(jax.tree.leaves(same)), steps))
resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
for refused in (
    lambda: vj.save(sys.argv[1] + "/model", model, whole.params),
    lambda: vj.fit(model, key, x, checkpoint=sys.argv[1] + "/new", **options),
):
    try:
        refused()
    except OSError as problem:
        results.append(str(problem))
print(json.dumps(results))
"""


def test_a_disk_that_fills_up(tmp_path):
    pytest.importorskip("resource")
    root, pipe = Path(__file__).parents[2], subprocess.PIPE
    done = subprocess.run([sys.executable, "-c", LIMITED, tmp_path], stdout=pipe, stderr=pipe, text=True, cwd=root)
    assert done.returncode == 0, done.stderr[-2000:]
    middle, end, saved, new = json.loads(done.stdout)
    for i, (message, same, same_steps) in enumerate((middle, end)):
        assert message.startswith(f"{tmp_path}/run{i + 1}: the checkpoint could not be written (")
        assert same and same_steps
        assert message.endswith("the one before is whole: free some space, then the same call goes on")
    assert saved.startswith(f"{tmp_path}/model: the model could not be saved (")
    assert new.startswith(f"{tmp_path}/new: ") and "cannot be written (" in new
    assert not (tmp_path / "model").exists()


def test_places_that_cannot_be_written(tmp_path, monkeypatch):
    """Root may write anywhere, but not below a file."""
    monkeypatch.setattr(loop, "run_steps", None)
    (tmp_path / "file").write_text("mine")
    for place in ("file", "file/run"):
        with pytest.raises(OSError, match=f"{tmp_path / place}: the folder of the run cannot be written"):
            vj.fit(MODEL, KEY, X, epochs=1, checkpoint=tmp_path / place, **OPTIONS)
    with pytest.raises(OSError, match=f"{tmp_path / 'file/model'}: the model could not be saved"):
        vj.save(tmp_path / "file" / "model", MODEL, MODEL.init(KEY))
    with pytest.raises(FileExistsError, match="file exists already"):
        vj.save(tmp_path / "file", MODEL, MODEL.init(KEY))
    assert os.listdir(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "mine"


denied = mock.Mock(side_effect=PermissionError(13, "Permission denied"))


def test_permissions_are_looked_at_before_the_first_step(tmp_path, monkeypatch):
    run = tmp_path / "run"
    with monkeypatch.context() as training:
        training.setattr(loop, "run_steps", None)
        for owner, method in ((Path, "mkdir"), (runs, "lock"), (Path, "write_bytes")):  # folder, lock, identity
            with monkeypatch.context() as patch:
                patch.setattr(owner, method, denied)
                with pytest.raises(OSError, match=f"{run}: the folder of the run cannot be written .*denied"):
                    vj.fit(MODEL, KEY, X, epochs=1, checkpoint=run, **OPTIONS)
    result = vj.fit(MODEL, KEY, X, epochs=1, checkpoint=run, **OPTIONS)  # nothing is in its way
    assert len(result.history["value"]) == 1
    assert sorted(os.listdir(run)) == ["checkpoints", "lock", "run.json"]


def test_a_save_that_is_refused_leaves_nothing(tmp_path, monkeypatch):
    for owner, method in ((Path, "mkdir"), (Path, "write_bytes"), (os, "rename")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, method, denied)
            with pytest.raises(OSError, match=f"{tmp_path / 'model'}: the model could not be saved .*denied"):
                vj.save(tmp_path / "model", MODEL, MODEL.init(KEY))
    assert os.listdir(tmp_path) == []


def test_an_error_at_the_end_gives_the_folder_back(tmp_path, monkeypatch):
    """The lock, the signals: whatever the last wait for Orbax raises."""
    import signal

    identity, before = {"jax": jax.__version__, "update": "", "options": {}}, signal.getsignal(signal.SIGINT)
    with pytest.raises(OSError, match="could not be written .RuntimeError: late.") as problem:
        with runs.Run.open(tmp_path, identity, resume=True, every=1.0) as run:
            monkeypatch.setattr(run._manager, "wait_until_finished", mock.Mock(side_effect=RuntimeError("late")))
    assert signal.getsignal(signal.SIGINT) is before and problem.value.__cause__ is not None
    with runs.Run.open(tmp_path, identity, resume=True, every=1.0):
        pass


def test_the_best_outlives_its_checkpoint(tmp_path):
    """Two epochs up and then down: the checkpoint of the best is deleted before patience ends, its parameters stay."""
    options = OPTIONS | {"optimizer": optax.sgd(lambda step: jnp.where(step < 10, 1e-2, -1e-2))}
    result = vj.fit(MODEL, KEY, X, epochs=99, patience=5, checkpoint=tmp_path, **options)
    values = result.history["validation_value"]
    assert values.argmax() == 1 and len(values) == 7
    assert numbers(tmp_path) == [4, 5, 6]  # one an epoch: the best was written in 1
    two = vj.fit(MODEL, KEY, X, epochs=2, **options)
    chex.assert_trees_all_equal(vj.load(tmp_path)[1], result.best, two.params)
    with pytest.raises(AssertionError):
        chex.assert_trees_all_equal(result.best, result.params)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The folder of a run that has done two epochs of three."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    vj.fit(MODEL, KEY, X, epochs=2, checkpoint=folder, **OPTIONS)
    return folder


def test_a_write_that_was_killed_is_cleared_away(tmp_path, stopped, whole):
    """A SIGKILL in the middle of a write leaves N.orbax-checkpoint-tmp (the files of N, some of them, in it)."""
    from orbax.checkpoint import path as orbax_path

    run = shutil.copytree(stopped, tmp_path / "run")
    last = numbers(run)[-1]
    half = run / "checkpoints" / f"{last + 1}{orbax_path.step.TMP_DIR_SUFFIX}"
    shutil.copytree(run / "checkpoints" / str(last), half)
    for i, file in enumerate(sorted(path for path in half.rglob("*") if path.is_file())):
        if i % 2:
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert manager_of(run, writes=False).latest_step() == last
    vj.load(run)
    assert half.is_dir()  # whoever reads leaves it alone: a run that is going on may be writing it
    result = vj.fit(MODEL, KEY, X, epochs=3, checkpoint=run, **OPTIONS)
    chex.assert_trees_all_equal((result.params, result.best), (whole.params, whole.best))
    assert not list(run.glob("checkpoints/*tmp*")) and numbers(run)[-1] == last + 1


def test_loading_from_a_run_that_goes_on_does_not_disturb_it(tmp_path, monkeypatch, short_scans, whole):
    """While every checkpoint is being written somebody loads, as another process would."""
    real, loaded = runs.Run.save, []

    def watched(self, *args):
        real(self, *args)
        for _ in range(3):
            with contextlib.suppress(ValueError):  # none is there yet
                loaded.append(vj.load(tmp_path))

    monkeypatch.setattr(runs.Run, "save", watched)
    result = vj.fit(MODEL, KEY, X, epochs=3, checkpoint=tmp_path, **OPTIONS)
    chex.assert_trees_all_equal(result.params, whole.params)
    assert loaded


def test_any_file_may_be_missing_from_the_newest(tmp_path, stopped, whole):
    """Each file of the newest checkpoint in turn, and all of them: an older one is taken, or it was not needed."""
    newest = stopped / "checkpoints" / str(numbers(stopped)[-1])
    names = sorted(str(path.relative_to(newest)) for path in newest.rglob("*") if path.is_file())
    assert len(names) >= 4
    fell_back = 0
    for name in [*names, ""]:
        run = shutil.copytree(stopped, tmp_path / "run")
        gone = run / "checkpoints" / newest.name / name
        gone.unlink() if name else shutil.rmtree(gone)
        with warnings.catch_warnings(record=True) as raised:
            warnings.simplefilter("always")
            fresh = runs.Checkpoint(runs.Position(0, 0), whole.state, runs.History(), [], np.zeros(1, int), None)
            with runs.Run.open(run, json.loads((run / "run.json").read_text()), resume=True, every=1.0) as going:
                position = going.restore(fresh).position
        damaged = [str(warning.message) for warning in raised if "is damaged" in str(warning.message)]
        assert position.epoch in (1, 2) and len(damaged) <= 1
        assert (position.epoch == 1) == bool(damaged) or not name
        fell_back += position.epoch == 1
        if damaged and fell_back == 1:  # once to the end
            with pytest.warns(UserWarning, match=f"checkpoint {newest.name} is damaged"):
                result = vj.fit(MODEL, KEY, X, epochs=3, checkpoint=run, **OPTIONS)
            chex.assert_trees_all_equal((result.params, result.best), (whole.params, whole.best))
        shutil.rmtree(run)
    assert fell_back >= 3
