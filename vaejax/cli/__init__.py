"""The command line: `vaejax list | fit | evaluate | sample | report | export`, also as `python -m vaejax`."""

import contextlib
import functools
import io
import operator
import re
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from vaejax.checks import require_integer
from vaejax.cli.commands import COMMANDS

__all__ = ["main"]

_SAYS = "vaejax: latent-variable models with likelihoods to trust."
_NAMES = {kind: kind.__name__.lower() for kind in COMMANDS}
_LONGEST = 2000  # characters of a message
_FRAME = str.maketrans(dict.fromkeys("╭╮╰╯│─", " "))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code.

    0 is success; 2 a command that cannot be followed, with one line on what was expected and what came;
    1 training that failed, or a fault of ours; 130 one that was stopped from outside.

    Args:
      arguments: the words after `vaejax`; default: those of the process.
    """
    try:
        command = _parse(sys.argv[1:] if arguments is None else list(arguments))
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 2
    try:
        if isinstance(seed := getattr(command, "seed", None), int):
            require_integer("--seed", seed, 0, 2**32 - 1)
        COMMANDS[type(command)](command)
    except (ValueError, TypeError, OSError, ImportError) as problem:
        return _complain(problem, 2)
    except (FloatingPointError, RuntimeError) as problem:
        return _complain(problem, 1)
    except KeyboardInterrupt as stopped:
        return _complain(stopped, 130)
    except Exception as problem:  # one line, as of any other
        return _complain(RuntimeError(f"{type(problem).__name__}: {problem}"), 1)
    return 0


def _complain(problem: BaseException, code: int) -> int:
    text = " ".join(str(problem).split()) or type(problem).__name__
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    letters = sys.stderr.encoding or "utf-8"
    print(f"vaejax: {text}".encode(letters, "replace").decode(letters), file=sys.stderr)
    return code


def _parse(words: list[str]) -> Any:
    """The command as one of the classes of `options`; a message of the parser becomes one line."""
    named: Any = (Annotated[kind, tyro.conf.subcommand(name)] for kind, name in _NAMES.items())
    kinds: Any = functools.reduce(operator.or_, named)
    errors = io.StringIO()
    settings = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff)
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(kinds, prog="vaejax", description=_SAYS, args=words or ["--help"], config=settings)
    except SystemExit as ended:
        if ended.code:
            lines = [line.translate(_FRAME).strip() for line in errors.getvalue().splitlines()[1:]]
            rule = next((i for i, line in enumerate(lines) if not line), len(lines))
            where = f"vaejax {words[0]}" if words and words[0] in _NAMES.values() else "vaejax"
            said = re.sub(r"(--\S+ [A-Z]+) .*?\(required\)", r"\1", " ".join(lines[:rule])).rstrip(".")
            print(f"vaejax: {said}; see {where} --help", file=sys.stderr)
        raise
