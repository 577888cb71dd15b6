"""The subprocess in which PyTorch and pythae run, in an environment of their own."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np

PEERS = Path(os.environ.get("VAEJAX_PEERS", ".venv-peers/bin/python"))


class Peers:
    """The subprocess that runs PyTorch and pythae, a line a request."""

    def __init__(self, x: np.ndarray, folder: str, script: str = "vae_peers.py"):
        path = Path(folder) / "images.npz"
        np.savez(path, x=x.reshape(len(x), -1))
        program = Path(__file__).with_name(script)
        self.process = subprocess.Popen(
            [str(PEERS), str(program), str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.about = json.loads(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def ask(self, command: str, name: str) -> dict:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([command, name]) + "\n")
        self.process.stdin.flush()
        return json.loads(self._line())

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
