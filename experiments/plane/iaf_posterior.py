"""What does an autoregressive flow buy as a posterior, and which of its directions is cheap?

Posteriors by flows: four points in two latents, and what the two directions of an autoregressive step cost.

Prediction: ELBO: diagonal -1.79, full and linear IAF -1.75, IAF -1.65, planar -1.55, measured before with five other
seeds; at most -ln 4 = -1.386. Time of the parallel direction nearly flat in the dimension, of the sequential one at
least proportional.
"""

import dataclasses

import numpy as np

import vaejax as vj
from experiments.benchmarks.flows import BATCH, HIDDEN
from experiments.harness.study import Base, Study
from experiments.plane import flow_posteriors
from experiments.plane.flow_posteriors import HEADS, POINTS, SIDE, WAYS
from experiments.shared.phrases import listed

ORDER = 120

SHOWN = ("diagonal", "IAF, 4 steps", "planar, 16 steps")
BOUNDS = {"ELBO": ("elbo", 3), "log p(x)": ("evidence", 3), "KL from q to p(z|x)": ("gap", 3)}
TIMES = {f"{way} ({how}), ms": (way, 2) for way, how in WAYS.items()} | {"ratio": ("ratio", 1)}


@dataclasses.dataclass(frozen=True)
class Config(Base):
    seeds: int = 5
    """Runs of each posterior, and rounds of the timing."""
    epochs: int = 400
    """Passes over 64 copies of the four points, in batches of 64."""
    posteriors: tuple[str, ...] = tuple(HEADS)
    dims: tuple[int, ...] = (2, 8, 32, 128, 256)
    """Numbers of latents that are timed."""
    calls: int = 5
    """Calls of which the median is taken."""

    @classmethod
    def smoke(cls) -> "Config":
        return cls.small(epochs=3, dims=(2, 4), calls=2, posteriors=("diagonal", "IAF, 4 steps"))

    @classmethod
    def full(cls) -> "Config":
        return cls(size="full", seeds=20, epochs=2000, dims=(2, 4, 8, 16, 32, 64, 128, 256), calls=20)


def main(config: Config) -> dict:
    study = Study(__name__, config)

    def fitted(name: str, seed: int) -> tuple:
        model, rows = vj.zoo.vae(4, 2, hidden=(32,), posterior=HEADS[name]), np.tile(POINTS, (64, 1))
        options = {"epochs": config.epochs, "batch_size": 64, "learning_rate": 3e-3, "checkpoint_every": 1e9}
        return model, study.fit(model, rows, seed=seed, **options).params

    over = {f"{dim} latents": dim for dim in config.dims}
    scored = lambda name, seed: flow_posteriors.scored(*fitted(name, seed))  # noqa: E731
    timed = lambda dim, _: flow_posteriors.timed(dim, config.calls)  # noqa: E731
    grid = study.grid(scored, {name: (name,) for name in config.posteriors})
    times = study.grid(timed, {name: (dim,) for name, dim in over.items()})
    study.compare("Four points, two latents: nats a point", grid, config.posteriors, BOUNDS, first="posterior")
    title = f"One step of {HIDDEN} hidden units, batch {BATCH}, forward only"
    study.compare(title, times, {str(dim): name for name, dim in over.items()}, TIMES, first="latents")
    flow_posteriors.draw_directions(study, times, over)
    shown = [name for name in config.posteriors if name in SHOWN]
    titles = {name: f"q, {name}: ELBO {grid.values(name, 'elbo')[0]:.2f}" for name in shown}
    flow_posteriors.draw_posteriors(study, {title: fitted(name, 0) for name, title in titles.items()})
    best = max(config.posteriors, key=lambda name: grid.mean(name, "elbo"))
    return study.finish(
        f"ELBO of the four points, of at most {-np.log(4):.3f}: {listed(grid, config.posteriors, 'elbo', 3)}; measured "
        "before, with five other seeds, 400 epochs and the same network, batches and rate: "
        f"{flow_posteriors.against(grid, config.posteriors)}. The highest has {best}, whose q is "
        f"{grid.say(best, 'gap', 3)} nats from the posterior of its own decoder (diagonal: "
        f"{grid.say('diagonal', 'gap', 3)}). {flow_posteriors.of_times(times, config.dims)}",
        protocol=f"Four one-hot points in four dimensions, Bernoulli likelihood; {config.epochs} epochs of 256 rows, "
        "batch 64, Adam 3e-3, 32 hidden units; final parameters; ELBO of 2000 draws a point, log p(x) by quadrature on "
        f"{SIDE} x {SIDE} points; times: median of {config.calls} calls, {config.seeds} rounds; ±: standard "
        "errors over seeds and rounds",
    )
