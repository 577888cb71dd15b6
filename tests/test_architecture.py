"""Rules of the house: imports point one way, files stay small, a reader finds each thing once and documented."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import vaejax

ROOT = Path(__file__).parent.parent
FLOOR = {"types", "checks", "progress", "files", "recipes"}
EVERYWHERE = {"jax", "jaxtyping", "numpy", "scipy"}
# Imports of each part, within the package beside the floor and of third parties beside EVERYWHERE.
ALLOWED: dict[str, tuple[set[str], set[str]]] = {
    "types": (set(), set()),
    "checks": (set(), set()),
    "progress": (set(), {"rich"}),
    "files": (set(), {"filelock"}),
    "recipes": (set(), set()),
    "kernels": (set(), set()),
    "distributions": ({"kernels"}, set()),
    "networks": (set(), {"flax"}),
    "heads": ({"distributions", "kernels", "networks"}, set()),
    "priors": ({"distributions", "kernels", "networks"}, set()),
    "models": ({"distributions", "heads", "kernels", "networks", "priors"}, set()),
    "objectives": ({"distributions", "kernels", "models"}, set()),
    "zoo": ({"heads", "models", "networks", "objectives", "priors"}, set()),
    "data": ({"kernels", "models"}, {"PIL", "tensorflow_datasets"}),
    "em": ({"data", "distributions", "kernels", "models"}, set()),
    "train": ({"data", "models", "networks", "objectives"}, {"filelock", "optax", "orbax"}),
    "kde": ({"distributions", "kernels"}, set()),
    "evaluate": ({"data", "distributions", "em", "kernels", "models", "networks"}, {"optax", "sklearn"}),
    "export": ({"data", "models"}, set()),
    "plots": ({"distributions", "models"}, {"matplotlib", "rich"}),
    "launch": (set(), set()),
    "cli": ({"vaejax", "plots"}, {"matplotlib", "optax", "rich", "tyro"}),  # "vaejax" is the public face
    "__main__": ({"cli"}, set()),
}
BARE = {"kernels": {"types", "checks", "jax", "jaxtyping"}, "types": {"jax", "jaxtyping"}}
# Modules of one name are twins: the same thing on two floors.
TWINS = {"bounds", "fit", "gmm", "images", "loop", "options", "ppca_mixture", "step", "two_stage"}
TYPE_IGNORES = 15  # may only fall
DISTRIBUTIONS = {"PIL": "pillow", "orbax": "orbax-checkpoint", "sklearn": "scikit-learn"}
PEERS = {"torch", "pomegranate", "gmmx", "pythae"}  # of the benchmarks, in an environment that `make peers` builds


def sources(*folders):
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imports(path):
    """Module and name of each import, and whether it stands at the top of the file."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None, node in tree.body) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from ((node.module, alias.name, node in tree.body) for alias in node.names)


def third_parties(*folders):
    beside = {path.stem for path in sources("experiments/benchmarks")}  # the peers run as scripts
    here = sys.stdlib_module_names | {"vaejax", "experiments", "tests"} | beside
    for path in sources(*folders):
        for module, _, at_top in imports(path):
            root = module.split(".")[0]
            if root not in here:
                yield root, path.relative_to(ROOT), at_top


def calls(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]


def test_imports_point_one_way():
    wrong = []
    for path in sources("vaejax"):
        part = path.relative_to(ROOT / "vaejax").parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        own, third = ALLOWED[part]
        for module, name, _ in imports(path):
            root, *rest = module.split(".")
            if root in sys.stdlib_module_names:
                continue
            if root == "vaejax":
                target = rest[0] if rest else name if name in ALLOWED else root
                good = target in {part, *own} | FLOOR
                good &= not any(piece.startswith("_") for piece in [*rest, name or ""])
            else:
                target = root
                good = target in third | EVERYWHERE
            if part in BARE:
                good &= target in {part} | BARE[part]
            if not good:
                wrong.append(f"{path.relative_to(ROOT)} imports {module}.{name}")
    assert not wrong, "\n".join(wrong)


def test_the_experiments_use_the_public_face():
    public = {"vaejax", "vaejax.plots.page", "vaejax.recipes", "vaejax.types"}  # the last two for models of one's own
    wrong = {
        f"{path.relative_to(ROOT)} imports {module}"
        for path in sources("experiments")
        for module, _, _ in imports(path)
        if module.split(".")[0] == "vaejax" and module not in public
    }
    assert not wrong, wrong


def test_files_are_small():
    long = [str(path) for path in sources("vaejax", "experiments", "tests") if path.read_text().count("\n") > 300]
    assert not long, long


def test_the_main_of_a_script_is_short():
    for path in sources("experiments"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name == "main":
                assert node.end_lineno - node.lineno < 60, path


def test_module_names_are_unique():
    for folder, twins in (("vaejax", TWINS), ("experiments", set())):
        names = Counter(path.stem for path in sources(folder) if not path.stem.startswith("__"))
        assert {name for name, count in names.items() if count > 1} <= twins


def test_everything_public_is_documented():
    missing = []
    for info in pkgutil.walk_packages(vaejax.__path__, "vaejax."):
        if info.name == "vaejax.__main__":
            continue
        module = importlib.import_module(info.name)
        if not inspect.getdoc(module):
            missing.append(info.name)
        for name, value in vars(module).items():
            if name.startswith("_") or getattr(value, "__module__", None) != info.name:
                continue
            if callable(value) and not inspect.getdoc(value):
                missing.append(f"{info.name}.{name}")
            for key, member in vars(value).items() if inspect.isclass(value) else ():
                described = inspect.isroutine(member) or isinstance(member, property)
                if described and not key.startswith("_") and not inspect.getdoc(getattr(value, key)):
                    missing.append(f"{info.name}.{name}.{key}")
    assert not missing, missing


def test_nobody_looks_behind_a_model():
    """Needs are attributes of `LatentModel` and `Distribution`; a name of a type is for messages only."""
    wrong = []
    for path in sources("vaejax"):
        tree = ast.parse(path.read_text())
        for call in calls(tree):
            if call.func.id in ("hasattr", "getattr") and ast.unparse(call.args[0]).split(".")[-1] == "model":
                wrong.append(f"{path.relative_to(ROOT)}:{call.lineno} {ast.unparse(call)}")
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare) and re.search(r"type\(.*\)\.__name__", ast.unparse(node)):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)}")
    assert not wrong, "\n".join(wrong)


def test_types_are_rarely_ignored():
    ignored = sum(path.read_text().count("# type: ignore") for path in sources("vaejax"))
    assert ignored <= TYPE_IGNORES, ignored


def test_third_parties_are_declared():
    """By `import vaejax` as dependencies, inside functions by an extra at least."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    name = lambda line: re.split(r"[\[<>=]", line)[0]
    core = {name(line) for line in project["dependencies"]}
    extras = {name(line) for lines in project["optional-dependencies"].values() for line in lines}
    wrong = []
    for root, path, at_top in third_parties("vaejax", "experiments", "tests"):
        declared = core if at_top and path.parts[0] == "vaejax" else core | extras
        if root not in PEERS and DISTRIBUTIONS.get(root, root).replace("_", "-") not in declared:
            wrong.append(f"{path} imports {root}")
    assert not wrong, wrong
    assert "chex" in core and "chex" not in {root for root, *_ in third_parties("vaejax")}


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
    for path in sources("vaejax", "experiments"):
        tree = ast.parse(path.read_text())
        assert not {call.func.id for call in calls(tree)} & banned, path
        assert not {module for module, *_ in imports(path)} & banned, path
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant) and node.value.value is False, path
