"""Programs that the tests compile: `pytest --compilations=30 tests/em` prints them by module, line and function.

Seconds are those of XLA and of tracing by the clock, and the processor's of a whole module. One process only: `-n 0`.
"""

import collections
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.extend
import pytest

ROOT = str(Path(__file__).parent.parent)
BACKEND = "/jax/core/compile/backend_compile_duration"
BEFORE = ("/jax/core/compile/jaxpr_trace_duration", "/jax/core/compile/jaxpr_to_mlir_module_duration")
HITS = "/jax/compilation_cache/cache_hits"
# Functions of JAX that are programs of their own where they are called outside of `jax.jit`.
EAGER = {
    name
    for module in (jax.numpy, jax.numpy.linalg, jax.lax, jax.lax.linalg, jax.random, jax.nn, jax.scipy.special)
    for name in dir(module)
} | {"threefry_fold_in", "threefry_split", "true_divide", "truncated_normal", "where", "broadcast_arrays", "copy"}


class Compilations:
    """Pytest plugin: counts programs and their seconds."""

    def __init__(self, longest: int):
        self.longest, self.module, self.hits = longest, "collection", 0
        self.modules = collections.defaultdict(collections.Counter)
        self.places = {"line of the tests": collections.defaultdict(list), "function": collections.defaultdict(list)}
        jax.monitoring.register_event_duration_secs_listener(self.duration)
        jax.monitoring.register_event_listener(self.event)

    def event(self, name: str, **_: object) -> None:
        self.modules[self.module]["hits"] += name == HITS

    def duration(self, name: str, seconds: float, **words: object) -> None:
        here = self.modules[self.module]
        if name in BEFORE:
            here["traced"] += seconds
        if name != BACKEND:
            return
        function = str(words.get("fun_name", "?")).removeprefix("jit(").removesuffix(")")
        here["programs"] += 1
        here["eager"] += function.lstrip("_") in EAGER
        here["compiled"] += seconds
        for found, place in zip(self.places.values(), (_line(), f"{self.module} {function}"), strict=True):
            found[place].append(seconds)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.module, start = item.location[0], time.process_time()
        try:
            return (yield)
        finally:
            self.modules[self.module]["cpu"] += time.process_time() - start
            self.modules[self.module]["tests"] += 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        write = terminalreporter.write_line
        write("\n  cpu s  traced  compiled  programs  eager  hits  tests  module")
        rows = sorted(self.modules.items(), key=lambda entry: -entry[1]["cpu"])
        total = sum((found for _, found in rows), collections.Counter())
        for name, found in [*rows, ("all", total)]:
            write(
                f"{found['cpu']:7.1f} {found['traced']:7.1f} {found['compiled']:9.1f} {found['programs']:9} "
                f"{found['eager']:6} {found['hits']:5} {found['tests']:6}  {name}"
            )
        for title, places in self.places.items():
            write(f"\ncompiled  programs  {title}")
            for place, seconds in sorted(places.items(), key=lambda entry: -sum(entry[1]))[: self.longest]:
                write(f"{sum(seconds):8.2f} {len(seconds):9}  {place}")


def _line() -> str:
    """Line of the tests from which the program is called, and the innermost line of the library."""
    frame, test, own = sys._getframe(2), "", ""
    while frame and not test:
        name = frame.f_code.co_filename
        if name.startswith(f"{ROOT}/vaejax") and not own:
            own = f"{name.removeprefix(ROOT + '/')}:{frame.f_lineno}"
        if name.startswith(f"{ROOT}/tests"):
            test = f"{name.removeprefix(ROOT + '/')}:{frame.f_lineno}"
        frame = frame.f_back
    return f"{test or '?'}  {own}"
