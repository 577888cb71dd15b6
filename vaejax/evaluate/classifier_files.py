"""A classifier on disk: its recipe as JSON beside its weights as npz, whose checksum is compared on the way in."""

import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vaejax.evaluate.classifier import Classifier
from vaejax.networks import Sequential
from vaejax.recipes import from_json, to_json

__all__ = ["load_classifier", "save_classifier"]

_ABOUT, _WEIGHTS, _FORMAT = "classifier.json", "weights.npz", 1
_LONGEST = 2_000_000  # bytes of the JSON


def save_classifier(path: str | Path, classifier: Classifier) -> None:
    """Write a classifier to a new folder, whole or not at all.

    Args:
      path: the folder; it must not exist.
      classifier: what `train_classifier` returned.

    Raises:
      FileExistsError: where something is at `path` already.
    """
    path = Path(path).absolute()
    if path.exists():
        raise FileExistsError(f"{path} exists already: save to a new folder")
    about = {
        "format": _FORMAT,
        "name": classifier.name,
        "sha256": classifier.sha256,
        "network": json.loads(to_json(classifier.network)),
        "shape": list(classifier.shape),
        "num_classes": classifier.num_classes,
        "accuracy": classifier.accuracy,
        "held_out": classifier.held_out,
    }
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(classifier.params)]
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        np.savez(folder / _WEIGHTS, **{str(i): leaf for i, leaf in enumerate(leaves)})  # type: ignore[arg-type]
        (folder / _ABOUT).write_text(json.dumps(about, indent=1) + "\n")
        os.rename(folder, path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def load_classifier(path: str | Path) -> Classifier:
    """Read what `save_classifier` wrote, and compare the checksum of the weights with the one stated.

    Raises:
      FileNotFoundError: where there is no classifier.
      ValueError: for a damaged folder, and weights that are not the ones that were saved.
    """
    path = Path(path).absolute()
    about = _about(path / _ABOUT)
    try:
        network = from_json(json.dumps(about["network"]))
        if not isinstance(network, Sequential):
            raise ValueError(f"expected a network of features and logits, got {type(network).__name__}")
        template = jax.eval_shape(network.init, jax.random.key(0))
        with (path / _WEIGHTS).open("rb") as file, np.load(file, allow_pickle=False) as saved:
            leaves = [saved[str(i)] for i in range(len(saved.files))]
        params = jax.tree.unflatten(jax.tree.structure(template), leaves)
        classifier = Classifier(
            str(about["name"]),
            network,
            params,
            tuple(map(int, about["shape"])),
            int(about["num_classes"]),
            None if about["accuracy"] is None else float(about["accuracy"]),
            int(about["held_out"]),
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as problem:
        if isinstance(problem, FileNotFoundError | PermissionError):
            raise
        raise ValueError(f"{path}: the classifier cannot be read ({problem})") from problem
    if classifier.sha256 != about["sha256"]:
        raise ValueError(f"{path}: expected weights with sha256 {about['sha256']}, got {classifier.sha256}")
    return classifier


def _about(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise FileNotFoundError(f"{file.parent} holds no classifier: expected the file {file.name} in it")
    if file.stat().st_size > _LONGEST:
        raise ValueError(f"{file}: expected at most {_LONGEST} bytes")
    try:
        about = json.loads(file.read_text("utf-8"))
        if about["format"] != _FORMAT:
            raise ValueError(f"format {about['format']!r}, a newer vaejax wrote it")
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise ValueError(f"{file}: expected what save_classifier writes, got something else ({problem})") from problem
    return about
