"""Imports point one way, files stay small, and importing the library changes nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "vaejax"
THIRD = {
    "jax",
    "flax",
    "optax",
    "orbax",
    "matplotlib",
    "tensorflow_datasets",
    "sklearn",
    "PIL",
    "rich",
    "tyro",
    "grain",
}
# What each part may import of the package, and of third parties (NumPy, SciPy and the standard library are free).
ALLOWED = {
    "pytrees": (set(), {"jax"}),
    "recipes": ({"pytrees"}, set()),
    "kernels": (set(), {"jax"}),
    "distributions": ({"kernels", "pytrees"}, {"jax"}),
    "networks": ({"pytrees"}, {"jax", "flax"}),
    "heads": ({"networks", "distributions", "kernels", "pytrees"}, {"jax"}),
    "priors": ({"distributions", "networks", "pytrees"}, {"jax"}),
    "models": ({"kernels", "distributions", "networks", "heads", "priors", "pytrees"}, {"jax"}),
    "objectives": ({"models", "distributions", "kernels", "pytrees"}, {"jax"}),
    "export": ({"models"}, {"jax"}),
    "zoo": ({"models", "heads", "networks", "objectives"}, {"jax"}),
    "transforms": ({"data", "kernels", "pytrees"}, {"jax"}),
    "train": (
        {"data", "inputs", "models", "networks", "objectives", "recipes", "pytrees"},
        {"jax", "optax", "orbax", "rich"},
    ),
    "kde": ({"kernels", "distributions", "pytrees"}, {"jax"}),
    "em": ({"models", "distributions", "kernels", "pytrees"}, {"jax", "rich"}),
    "inputs": ({"data", "models"}, {"jax"}),
    "evaluate": (
        {"data", "em", "inputs", "models", "networks", "recipes", "distributions", "kernels", "pytrees"},
        {"jax", "optax", "rich", "sklearn"},
    ),
    "data": (set(), {"jax", "tensorflow_datasets", "PIL"}),
    "page": (set(), {"rich"}),
    "launch": (set(), {"jax"}),
    "cli": ({"vaejax", "page"}, {"jax", "optax", "rich", "tyro"}),  # "vaejax" is the public face
    "__main__": ({"cli"}, set()),
    "plots": ({"distributions", "models"}, {"matplotlib", "jax"}),
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from ((node.module, alias.name) for alias in node.names)


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    own, third = ALLOWED[part]
    for module, name in imports(path):
        root, *rest = module.split(".")
        if root == "vaejax":
            target = rest[0] if rest else name or root
            assert target == part or target in own, f"{path.name} imports {module}"
            private = (name or "").startswith("_") or any(piece.startswith("_") for piece in rest)
            assert not private, f"{path.name} imports a private name, {module}.{name}"
        elif root in THIRD:
            assert root in third, f"{path.name} imports {root}"


def test_the_experiments_use_the_public_face():
    for path in (ROOT / "experiments").rglob("*.py"):
        for module, _ in imports(path):
            public = module in ("vaejax", "vaejax.plots.page", "vaejax.recipes")  # the last for models of one's own
            assert public or not module.startswith("vaejax."), f"{path} imports {module}"


def test_files_are_small():
    lengths = {path: len(path.read_text().splitlines()) for path in FILES}
    assert max(lengths.values()) <= 260, max(lengths, key=lengths.get)
    assert sorted(lengths.values())[len(lengths) // 2] <= 130


def test_importing_changes_nothing_and_needs_no_network():
    script = """
import logging, socket, sys, warnings
import jax
def snapshot():
    return dict(jax.config.values), logging.root.level, list(logging.root.handlers), list(warnings.filters)
before = snapshot()
import flax.nnx, optax  # these load rich, for their own tables
before_heavy = set(sys.modules)
def refuse(*args): raise AssertionError("network")
socket.socket.connect = refuse
import vaejax
assert snapshot() == before
heavy = {"matplotlib", "orbax", "tensorflow_datasets", "sklearn", "tyro", "rich", "chex", "PIL", "tensorflow"}
new = set(sys.modules) - before_heavy
assert not heavy & new, heavy & new
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_no_unsafe_calls():
    banned = {"eval", "exec", "pickle", "os.system"}
    for path in [*FILES, *(ROOT / "experiments").rglob("*.py")]:
        tree = ast.parse(path.read_text())
        names = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not names & banned, path
        assert not {module for module, _ in imports(path)} & banned, path
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert node.value.value is False, path  # type: ignore[attr-defined]
