"""What does an autoregressive flow buy as a posterior, and which of its directions is cheap?

Posteriors by flows: four points in two latents, and what the two directions of an autoregressive step cost.

Prediction: ELBO: diagonal -1.79, full and linear IAF -1.75, IAF -1.65, planar -1.55, at most -ln 4 = -1.386. Time of
the parallel direction nearly flat in the dimension, of the sequential one at least proportional.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

import vaejax as vj
from experiments.benchmarks.flows import BATCH, HIDDEN, both_ways
from experiments.study import Base, Study

HEADS = {
    "diagonal": "diag",
    "full covariance": "full",
    "linear IAF": vj.heads.LinearIAF(),
    "IAF, 4 steps": vj.heads.IAF(4, 32),
    "planar, 16 steps": vj.heads.Planar(16),
}
POINTS, SIDE = np.eye(4, dtype=np.float32), 241
AXIS = np.linspace(-6.0, 6.0, SIDE, dtype=np.float32)
GRID = np.stack(np.meshgrid(AXIS, AXIS), -1).reshape(-1, 2)


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


@jax.jit
def posteriors(model: Any, params: Any) -> tuple[jax.Array, jax.Array]:
    """log p(x) of the four points by quadrature, and the most probable point at each place of the grid."""
    joint = jax.vmap(lambda x: jax.vmap(lambda z: vj.log_joint(model, params, x, z))(jnp.asarray(GRID)))(POINTS)
    return jax.nn.logsumexp(joint, 1) + 2 * jnp.log(AXIS[1] - AXIS[0]), jnp.argmax(joint, 0)


@jax.jit
def bounds(model: Any, params: Any) -> jax.Array:
    return jax.vmap(lambda x: vj.elbo(model, params, jax.random.key(100), x, num_samples=2000).value)(POINTS)


@jax.jit
def clouds(model: Any, params: Any) -> jax.Array:
    keys = jax.random.split(jax.random.key(101), 400)
    return jax.vmap(lambda x: jax.vmap(lambda key: model.posterior(params, x).sample(key))(keys))(POINTS)


def main(config: Config) -> dict:
    study = Study(__name__, config)

    def fitted(name: str, seed: int) -> tuple:
        model, rows = vj.zoo.vae(4, 2, hidden=(32,), posterior=HEADS[name]), np.tile(POINTS, (64, 1))
        options = {"epochs": config.epochs, "batch_size": 64, "learning_rate": 3e-3, "checkpoint_every": 1e9}
        return model, study.fit(model, rows, seed=seed, **options).params

    def cell(name: str, seed: int) -> dict:
        model, params = fitted(name, seed)
        bound, evidence = float(bounds(model, params).mean()), float(posteriors(model, params)[0].mean())
        return {"elbo": bound, "evidence": evidence, "gap": evidence - bound}

    grid = study.grid(cell, {name: (name,) for name in config.posteriors})

    def timed(dim: int, _: int) -> dict:
        parallel, sequential = both_ways(dim, config.calls)
        return {"parallel": 1e3 * parallel, "sequential": 1e3 * sequential, "ratio": sequential / parallel}

    times = study.grid(timed, {f"{d} latents": (d,) for d in config.dims})
    columns = ("posterior", "ELBO", "log p(x)", "KL from q to p(z|x)")
    rows = grid.rows({name: name for name in config.posteriors}, {"elbo": 3, "evidence": 3, "gap": 3})
    study.table("Four points, two latents: nats a point", columns, rows)
    columns = ("latents", "parallel (noise to z), ms", "sequential (z to noise), ms", "ratio")
    rows = times.rows({str(d): f"{d} latents" for d in config.dims}, {"parallel": 2, "sequential": 2, "ratio": 1})
    study.table(f"One step of {HIDDEN} hidden units, batch {BATCH}, forward only", columns, rows)
    over = {f"{d} latents": d for d in config.dims}
    study.lines(
        "directions",
        {
            "parallel: noise to z": times.line(over, "parallel"),
            "sequential: z to noise": times.line(over, "sequential"),
        },
        x_label="latents",
        y_label="ms a batch",
        log_x=True,
        log_y=True,
        caption="Time of one autoregressive step in both directions.",
        claim="Mittas, section 5.2: the autoregressive direction takes time proportional to the dimension, the inverse "
        "one is parallel.",
    )
    shown = [name for name in config.posteriors if name in ("diagonal", "IAF, 4 steps", "planar, 16 steps")]
    panels = {"prior N(0, I)": None} | {f"q, {name}: ELBO {grid.values(name, 'elbo')[0]:.2f}": name for name in shown}
    figure = Figure(figsize=(3.0 * len(panels), 3.2), layout="constrained")
    for axes, (title, name) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        draws = (
            [np.asarray(jax.random.normal(jax.random.key(102), (1600, 2)))]
            if name is None
            else clouds(*fitted(name, 0))
        )
        for x, marker, colour in zip(draws, "o^sx", (0.1, 0.4, 0.65, 0.85), strict=False):
            axes.scatter(
                *np.asarray(x).T, s=6, marker=marker, color=colormaps["cividis"](colour), alpha=0.5, linewidths=0.6
            )
        if name is not None:
            regions = np.asarray(posteriors(*fitted(name, 0))[1]).reshape(SIDE, SIDE)
            for point in range(4):
                axes.contour(AXIS, AXIS, regions == point, levels=[0.5], colors="black", linewidths=0.8)
        axes.set(xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), xlabel="$z_1$", ylabel="$z_2$", aspect="equal")
        axes.set_title(title, fontsize=9)
    study.figure(
        "posteriors",
        figure,
        caption="Left 1600 draws of the prior, then 400 draws of q(z|x) for each of four points (one marker "
        "each; seed 0). The lines part the plane by which point is the most probable given z.",
        claim="Mittas, figure 13: the posteriors of a standard VAE leave gaps in the prior, those with IAF fill it.",
    )
    best = max(config.posteriors, key=lambda name: grid.mean(name, "elbo"))
    first, last = (f"{d} latents" for d in (config.dims[0], config.dims[-1]))
    said = ", ".join(f"{name} {grid.say(name, 'elbo', 3)}" for name in config.posteriors)
    growth = {way: times.mean(last, way) / times.mean(first, way) for way in ("parallel", "sequential")}
    return study.finish(
        f"ELBO of the four points, of at most {-np.log(4):.3f}: {said}; the highest has {best}, whose q is "
        f"{grid.say(best, 'gap', 3)} nats from the posterior of its own decoder (diagonal: "
        f"{grid.say('diagonal', 'gap', 3)}). From {first} to {last.split()[0]} the parallel direction takes "
        f"{growth['parallel']:.1f} times as long, the sequential one {growth['sequential']:.0f} times, and then "
        f"{times.say(last, 'ratio', 0)} times the parallel one.",
        protocol=f"Four one-hot points in four dimensions, Bernoulli likelihood; {config.epochs} epochs of 256 rows, "
        "batch 64, Adam 3e-3, 32 hidden units; final parameters; ELBO of 2000 draws a point, log p(x) by quadrature on "
        f"{SIDE} x {SIDE} points; times: median of {config.calls} calls, {config.seeds} rounds; ±: standard "
        "errors over seeds and rounds",
    )
