"""Parts of `iaf_posterior`: posteriors of four points, where all can be summed, and a step both ways."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import vaejax as vj
from experiments.benchmarks.flows import both_ways
from experiments.harness.grid import Grid
from experiments.harness.study import Study
from experiments.shared.phrases import beyond_noise, failing

__all__ = [
    "HEADS",
    "POINTS",
    "SIDE",
    "WAYS",
    "against",
    "draw_directions",
    "draw_posteriors",
    "of_times",
    "posteriors",
    "scored",
    "timed",
]

HEADS = {
    "diagonal": "diag",
    "full covariance": "full",
    "linear IAF": vj.heads.LinearIAF(),
    "IAF, 4 steps": vj.heads.IAF(4, 32),
    "planar, 16 steps": vj.heads.Planar(16),
}
WAYS = {"parallel": "noise to z", "sequential": "z to noise"}
BEFORE = {"diagonal": -1.79, "full covariance": -1.75, "linear IAF": -1.75, "IAF, 4 steps": -1.65}
BEFORE |= {"planar, 16 steps": -1.55}  # ELBOs of five other seeds, which are predicted
POINTS, SIDE = np.eye(4, dtype=np.float32), 241
AXIS = np.linspace(-6.0, 6.0, SIDE, dtype=np.float32)
GRID = np.stack(np.meshgrid(AXIS, AXIS), -1).reshape(-1, 2)
SHADES = (0.1, 0.4, 0.65, 0.85)  # of the colour map


@jax.jit
def posteriors(model: Any, params: Any) -> tuple[jax.Array, jax.Array]:
    """log p(x) of the four points by quadrature, and the most probable point at each place of the grid."""
    joint = jax.vmap(lambda x: jax.vmap(lambda z: vj.log_joint(model, params, x, z))(jnp.asarray(GRID)))(POINTS)
    return jax.nn.logsumexp(joint, 1) + 2 * jnp.log(AXIS[1] - AXIS[0]), jnp.argmax(joint, 0)


@jax.jit
def _bounds(model: Any, params: Any) -> jax.Array:
    """The ELBO of each point, by 2000 draws."""
    return jax.vmap(lambda x: vj.elbo(model, params, jax.random.key(100), x, num_samples=2000).value)(POINTS)


@jax.jit
def _clouds(model: Any, params: Any) -> jax.Array:
    """400 draws of q(z|x) of each point, shape (4, 400, 2)."""
    keys = jax.random.split(jax.random.key(101), 400)
    return jax.vmap(lambda x: jax.vmap(lambda key: model.posterior(params, x).sample(key))(keys))(POINTS)


def scored(model: Any, params: Any) -> dict[str, float]:
    """Mean over the points of the bound and of log p(x), and how far q is from the posterior."""
    bound, evidence = float(_bounds(model, params).mean()), float(posteriors(model, params)[0].mean())
    return {"elbo": bound, "evidence": evidence, "gap": evidence - bound}


def against(grid: Grid, names: Iterable[str]) -> str:
    """The ELBOs that were measured before, and which of these are not within two standard errors of them."""
    known = {name: BEFORE[name] for name in names if name in BEFORE}
    off = [name for name, value in known.items() if beyond_noise(np.subtract(grid.values(name, "elbo"), value))]
    listed = ", ".join(f"{value:g} ({name})" for name, value in known.items())
    return f"{listed}" + (f"; more than two standard errors off: {', '.join(off)}" if off else "")


def of_times(times: Grid, dims: Sequence[int]) -> str:
    """How the time of each direction grows from the fewest latents to the most."""
    first, last, wider = f"{dims[0]} latents", f"{dims[-1]} latents", dims[-1] / dims[0]
    growth = {way: times.mean(last, way) / times.mean(first, way) for way in WAYS}
    return (
        f"From {dims[0]} latents to {dims[-1]}, {wider:.0f} times as many, the parallel direction takes "
        f"{growth['parallel']:.1f} times as long (predicted: nearly as long{failing(growth['parallel'] < 2)}), the "
        f"sequential one {growth['sequential']:.0f} times (predicted: {wider:.0f} at least"
        f"{failing(growth['sequential'] >= wider)}), and then {times.say(last, 'ratio', 0)} times the parallel one."
    )


def timed(dim: int, calls: int) -> dict[str, float]:
    """Milliseconds of one autoregressive step in each direction, the median of some calls."""
    parallel, sequential = both_ways(dim, calls)
    return {"parallel": 1e3 * parallel, "sequential": 1e3 * sequential, "ratio": sequential / parallel}


def _scatter(axes: Axes, title: str, draws: Any) -> None:
    """Each cloud (N, 2) with a marker and a colour of its own."""
    for x, marker, shade in zip(draws, "o^sx", SHADES, strict=False):
        how = {"marker": marker, "color": colormaps["cividis"](shade), "alpha": 0.5, "linewidths": 0.6}
        axes.scatter(*np.asarray(x).T, s=6, **how)
    axes.set(xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), xlabel="$z_1$", ylabel="$z_2$", aspect="equal")
    axes.set_title(title, fontsize=9)


def _panels(fits: Mapping[str, tuple[Any, Any]]) -> Figure:
    """Draws of the prior, then of q of each `{title: (model, parameters)}`; lines where the most probable x changes."""
    figure = Figure(figsize=(3.0 * (len(fits) + 1), 3.2), layout="constrained")
    first, *rest = figure.subplots(1, len(fits) + 1)
    _scatter(first, "prior N(0, I)", jax.random.normal(jax.random.key(102), (1, 1600, 2)))
    for axes, (title, fit) in zip(rest, fits.items(), strict=True):
        _scatter(axes, title, _clouds(*fit))
        regions = np.asarray(posteriors(*fit)[1]).reshape(SIDE, SIDE)
        for point in range(4):
            axes.contour(AXIS, AXIS, regions == point, levels=[0.5], colors="black", linewidths=0.8)
    return figure


def draw_posteriors(study: Study, fits: Mapping[str, tuple[Any, Any]]) -> None:
    """The picture of `_panels`."""
    study.figure(
        "posteriors",
        _panels(fits),
        caption="Left 1600 draws of the prior, then 400 draws of q(z|x) for each of four points (one marker each; seed "
        "0). The lines part the plane by which point is the most probable given z.",
        claim="Mittas, figure 13: the posteriors of a standard VAE leave gaps in the prior, those with IAF fill it.",
    )


def draw_directions(study: Study, times: Grid, over: Mapping[str, int]) -> None:
    """Time over the number of latents, `{variant: latents}`."""
    study.lines(
        "directions",
        {f"{way}: {how}": times.line(over, way) for way, how in WAYS.items()},
        x_label="latents",
        y_label="ms a batch",
        log_x=True,
        log_y=True,
        caption="Time of one autoregressive step in both directions.",
        claim="Mittas, section 5.2: the autoregressive direction takes time proportional to the dimension, the inverse "
        "one is parallel.",
    )
