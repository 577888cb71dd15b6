"""The code that the numbers of an experiment come from: they are computed again when it changes, and only then."""

import ast
import importlib
import sys
from pathlib import Path

__all__ = ["code_of"]

RECORD = ("study", "grid", "kept", "code")  # modules in which no number is computed


class _Silent(ast.NodeTransformer):
    """Code without its docstrings."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        return ast.Pass() if isinstance(node.value, ast.Constant) else node


def code_of(module: str) -> str:
    """The code that the cells of a module are computed by: of its `main` up to the last cells, and all that it names.

    Comments, docstrings, and what `main` draws and says after the last cells do not count. It is not asked what a name
    stands for: all definitions of that name in the modules that are used are taken, to err on the safe side.
    """
    defined = _definitions(module)
    measuring: set[str] = set()
    while more := {n for n, nodes in defined.items() if n != "main" and _measures(nodes, measuring)} - measuring:
        measuring |= more
    for main in defined.get("main", []):
        steps = list(ast.iter_child_nodes(main))
        last = max((i for i, step in enumerate(steps, 1) if _measures([step], measuring)), default=0)
        defined["main"] = steps[:last]
    taken: set[str] = set()
    rest = ["main"] if "main" in defined else list(defined)
    while rest:
        name = rest.pop()
        if name in defined and name not in taken:
            taken.add(name)
            rest += [used for node in defined[name] for used in _names(node)]
    return "\n".join(f"{name}: {ast.dump(node)}" for name in sorted(taken) for node in defined[name])


def _definitions(module: str) -> dict[str, list[ast.AST]]:
    """What stands under each name at the top of a module and of those of its package that it uses."""
    found: dict[str, list[ast.AST]] = {}
    seen, rest = set(), [module] if module in sys.modules else []
    while rest:
        name = rest.pop()
        path = importlib.import_module(name).__file__
        if name in seen or not path:
            continue
        seen.add(name)
        tree = _Silent().visit(ast.parse(Path(path).read_text("utf-8")))
        rest += [used for node in ast.walk(tree) for used in _modules(node, module.partition(".")[0])]
        for node in tree.body:
            for defined in _defines(node):
                found.setdefault(defined, []).append(node)
    return {name: sorted(nodes, key=ast.dump) for name, nodes in found.items()}


def _modules(node: ast.AST, package: str) -> list[str]:
    """The modules of the package that an import names, but for the record."""
    if not isinstance(node, ast.ImportFrom) or (node.module or "").partition(".")[0] != package:
        return []
    names = [node.module] if node.module != package else [f"{package}.{alias.name}" for alias in node.names]
    return [name for name in names if name and name.rpartition(".")[2] not in RECORD]


def _defines(node: ast.AST) -> list[str]:
    """The names that a statement at the top of a module gives something to."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return []
    return [part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)]


def _names(node: ast.AST) -> set[str]:
    """All names in some code, those after a dot too."""
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)} | {
        part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)
    }


def _measures(nodes: list[ast.AST], measuring: set[str]) -> bool:
    """Whether cells are computed here, or in something that is named here."""
    calls = [part for node in nodes for part in ast.walk(node) if isinstance(part, ast.Attribute)]
    direct = any(call.attr in ("grid", "measure") and "study" in _names(call.value) for call in calls)
    return direct or any(_names(node) & measuring for node in nodes)
