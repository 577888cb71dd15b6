"""Two real processes over loopback: the numbers of one process; a peer that dies; a run that goes on."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PEER = re.compile(r"launch: process (0 \(exit code 1\), )?1 \(exit code 9\) ended")  # the other may have ended too
PROGRAM = """
import os, sys
import jax, numpy as np
import vaejax as vj
from vaejax.train import loop

out, kind, *folder = sys.argv[1:]
x = np.random.default_rng(0).normal(size=(203, 6)).astype(np.float32)
model = vj.zoo.sigma_vae(6, 2, hidden=(16,))
count, index = jax.process_count(), jax.process_index()
mine = slice((0, 120)[index], (120, 203)[index]) if count == 2 else slice(0, 203)  # shares of different lengths
data = x[mine]
if kind == "stream":  # of each batch of 20 the first process gives the first ten
    batches = x[:200].reshape(10, 20, 6)
    data = lambda epoch: list(batches[:, 10 * index : 10 * index + 10] if count == 2 else batches)
if kind == "stateful":  # of unequal lengths, each with a place of its own in the source
    class Rows:
        def __init__(self):
            self.at = 100 * index
        def __iter__(self):
            return self
        def __next__(self):
            if self.at >= (70, 203)[index]:
                raise StopIteration
            self.at += 7
            return x[self.at - 7 : self.at]
        def get_state(self):
            return {"at": self.at}
        def set_state(self, state):
            assert state["at"] >= 100 * index, "the place of another process"
            self.at = state["at"]
    data = lambda epoch: Rows()
if kind == "dies" or "STOP" in os.environ:
    real, calls = loop.run_steps, []
    def run_steps(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3 and "STOP" in os.environ:
            raise SystemExit(7)
        if len(calls) == 3 and index == 1:
            os._exit(9)
        return real(*args, **kwargs)
    run_steps.lower = real.lower
    loop.run_steps = run_steps
if "STOP" in os.environ:
    loop._scan_length = lambda *_: 2
options = {"checkpoint": folder[0], "checkpoint_every": 0.0} if folder else {}
result = vj.fit(model, jax.random.key(0), data, epochs=4, batch_size=20, validation=x[:30], **options)
if index == 0:
    history = result.history["validation_elbo"], result.history.batches
    np.savez(out, *history, *map(np.asarray, jax.tree.leaves(result.best)))
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("program") / "train.py"
    path.write_text(PROGRAM)
    return path


def launch(*words, processes=2):
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    start = [sys.executable] if processes == 1 else [sys.executable, "-m", "vaejax.launch", "--processes", "2"]
    words = [*start, *map(str, words)]
    return subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300)


def same(a, b):
    with np.load(a) as one, np.load(b) as two:
        assert one.files == two.files
        for name in one.files:
            np.testing.assert_allclose(one[name], two[name], atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memory", "stream"])
def test_two_processes_train_to_the_numbers_of_one(program, tmp_path, kind):
    for processes in (1, 2):
        ended = launch(program, tmp_path / f"{processes}.npz", kind, processes=processes)
        assert ended.returncode == 0, ended.stderr[-2000:]
    same(tmp_path / "1.npz", tmp_path / "2.npz")


@pytest.mark.slow
def test_each_process_goes_on_at_its_own_place(program, tmp_path, monkeypatch):
    assert launch(program, tmp_path / "a.npz", "stateful").returncode == 0
    monkeypatch.setenv("STOP", "1")
    assert launch(program, tmp_path / "no.npz", "stateful", tmp_path / "run").returncode == 7
    monkeypatch.delenv("STOP")
    ended = launch(program, tmp_path / "b.npz", "stateful", tmp_path / "run")
    assert ended.returncode == 0, ended.stderr[-2000:]
    same(tmp_path / "a.npz", tmp_path / "b.npz")


@pytest.mark.slow
def test_a_peer_that_dies_ends_the_others_and_the_run_goes_on(program, tmp_path):
    ended = launch(program, tmp_path / "no.npz", "dies", tmp_path / "run")
    assert ended.returncode != 0 and not (tmp_path / "no.npz").exists()
    assert "another process of this run has ended" in ended.stderr
    assert "goes on from its last checkpoint" in ended.stderr and PEER.search(ended.stderr)
    assert any((tmp_path / "run" / "checkpoints").iterdir())
    ended = launch(program, tmp_path / "2.npz", "memory", tmp_path / "run")
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert launch(program, tmp_path / "1.npz", "memory", processes=1).returncode == 0
    same(tmp_path / "1.npz", tmp_path / "2.npz")


@pytest.mark.slow
def test_the_command_line_under_the_launcher(tmp_path):
    fit = ("fit", "sigma-vae", "--data", "digits", "--hidden", 16, "--epochs", 2, "--batch-size", 100, "--out")
    for processes, name in ((2, "two"), (1, "one")):
        ended = launch("-m", "vaejax", *fit, tmp_path / name, processes=processes)
        assert ended.returncode == 0, ended.stderr[-2000:]
    one, two = (np.genfromtxt(tmp_path / name / "history.csv", delimiter=",", names=True) for name in ("one", "two"))
    np.testing.assert_allclose(one["validation_elbo"], two["validation_elbo"], atol=1e-2)
    assert "saved in" in ended.stdout
    ended = launch("-m", "vaejax", "fit", "gmm", "--data", "digits", "--out", tmp_path / "em")
    assert ended.returncode == 2 and "fitted by one process, got 2" in ended.stderr


def test_the_launcher_says_what_it_needs(capsys):
    from vaejax.launch import main

    for words in ([], ["--processes", "2"], ["--processes", "0", "a.py"], ["--processes", "2", "-m"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
    assert "expected --processes N, at least 1, and a script or -m MODULE" in capsys.readouterr().err
