"""A study that trains nothing and writes nothing."""

import types

import jax
from rich.console import Console


class Untrained:
    """A study whose fits are first guesses, which keeps what it is shown."""

    def __init__(self):
        self.console, self.drawn, self.asked = Console(quiet=True), {}, []

    def fit(self, model, data, *, seed=0, **how):
        self.asked.append((data, how))
        return types.SimpleNamespace(best=model.init(jax.random.key(seed)))

    def figure(self, name, figure, **said):
        self.drawn[name] = figure

    def lines(self, name, series, **said):
        self.drawn[name] = series
