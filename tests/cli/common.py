"""Commands as tests give them."""

import json

from vaejax.cli import main

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
