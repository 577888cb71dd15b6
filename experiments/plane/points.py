"""Guo, Liao and Zhou's sets of points in the plane, their VAE, and its score against the best that is possible."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import vaejax as vj
from experiments.harness.study import Base, Study, mean_and_error
from experiments.mixtures.divergences import mixture
from experiments.shared.scores import samples

__all__ = [
    "KINDS",
    "SETS",
    "WARM_UP",
    "Config",
    "by_epoch",
    "cell",
    "dataset",
    "drawn",
    "fit",
    "forces",
    "model",
    "panels",
    "settling",
]

NORMAL, FULL = vj.heads.normal, vj.heads.full_normal


class Points(NamedTuple):
    """A set of section 4: its generator, the options, its entropy and the negative log-likelihood of a Gaussian."""

    make: Callable
    options: dict[str, Any]
    entropy: float = math.nan
    gaussian: float = math.nan
    long: bool = True


EIGHT, BLOBS, MIXTURE = vj.data.figure_eight, vj.data.three_blobs, vj.data.gaussian_mixture
SETS = {
    "4.1 axis": Points(vj.data.gaussian_axis, {}, 3.36368, 3.36368, False),
    "4.2 rotated": Points(vj.data.gaussian_rotated, {}, 3.36368, 3.36368, False),
    "4.3 eight": Points(EIGHT, {}, 1.1337, 1.2386),
    "4.3 eight, .02": Points(EIGHT, {"noise_variance": 0.02}, 0.8848, 1.1329),
    "4.3 eight, .2": Points(EIGHT, {"noise_variance": 0.2}, 1.8202, 1.8248),
    "4.3 eight, literal": Points(EIGHT, {"form": "literal", "noise_variance": 0.2}),
    "4.4 blobs": Points(BLOBS, {}, 2.2839, 2.4748),
    "4.4 blobs, .02": Points(BLOBS, {"noise_variance": 0.02}, 0.6317, 2.1727),
    "4.4 blobs, .04": Points(BLOBS, {"noise_variance": 0.04}, 1.1637, 2.2113),
    "4.4 blobs, literal": Points(BLOBS, {"form": "literal"}),
    "4.5 mixture": Points(MIXTURE, {}, 3.9365, 5.6869),
    "4.5 mixture, literal": Points(MIXTURE, {"form": "literal"}, 3.6581, 4.6195),
    "4.5 mixture, equilateral": Points(MIXTURE, {"equilateral": True}, 3.9365, 5.5570),
}
SOURCE = tuple(name for name in SETS if "," not in name)  # one of each section; the others have another noise or form
KINDS = {  # heads of p(x|z) and q(z|x)
    "diagonal": (NORMAL("per_pixel"), NORMAL("per_pixel", floor=1e-6)),
    "full": (FULL(), FULL(floor=1e-6)),
    "one σ, diagonal q": (NORMAL("shared"), NORMAL("per_pixel", floor=1e-6)),
    "one σ, full q": (NORMAL("shared"), FULL(floor=1e-6)),
}
WARM_UP = "diagonal, KL warm-up"  # over 5000 steps of batches, a third of the default run
PROTOCOL = (
    "{rows} points of the figure eight, the blobs and the mixture for {epochs} epochs, {gaussian_rows} of the "
    "Gaussians for a quarter of them; batches of 32, Adam at 0.001, the last parameters; half as many test rows, drawn "
    "apart, scored by IWAE-{k}; 'above the best' is the mean of log p_true - log p on them, log p_true from the "
    "generator; ±: standard errors over seeds of weights and order, on one set of rows"
)


@dataclasses.dataclass(frozen=True)
class Config(Base):
    """Settings of the experiments in the plane; the Gaussian sets have a quarter of the epochs."""

    rows: int = 8_000
    """Points to train on; half as many to test."""
    gaussian_rows: int = 4_000
    """The same of the two Gaussian sets."""
    epochs: int = 60
    """Passes over them."""
    k: int = 200
    """Draws a point of the importance-weighted bound."""
    mixture_seeds: int = 5
    """Runs on the mixture, where failures are counted."""
    sets: tuple[str, ...] = tuple(SETS)
    """Which sets."""

    @classmethod
    def smoke(cls) -> Self:
        """A few hundred points, four epochs."""
        sets = ("4.1 axis", "4.3 eight", "4.5 mixture")
        return cls.small(rows=512, gaussian_rows=512, epochs=4, k=10, mixture_seeds=1, sets=sets)

    @classmethod
    def full(cls) -> Self:
        """The source's sets, rows and epochs."""
        return cls(size="full", seeds=1, rows=40_000, gaussian_rows=20_000, epochs=200, k=500, sets=SOURCE)

    @property
    def protocol(self) -> str:
        return PROTOCOL.format(**dataclasses.asdict(self))

    def seeds_of(self, name: str) -> int:
        return self.mixture_seeds if name == "4.5 mixture" else self.seeds


def dataset(config: Config, name: str) -> vj.data.Dataset:
    points = SETS[name]
    return points.make(config.rows if points.long else config.gaussian_rows, seed=0, **points.options)


@functools.cache
def model(kind: str) -> vj.VAE:
    """One shared layer of 128 and a layer of 128 for each parameter, encoder and decoder alike."""
    likelihood, posterior = KINDS[kind.removesuffix(", KL warm-up")]
    objective = vj.objectives.warm_up(5000) if kind == WARM_UP else None

    def network(head: vj.heads.Head) -> vj.networks.Network:
        rest = head.output_shape((2,))[0] - 2
        branches = [vj.networks.MLP((128, 128, size)) for size in (2, rest) if size]
        trunk = vj.networks.MLP((2, 128), activate_output=True)
        return vj.networks.Sequential((trunk, vj.networks.Parallel(tuple(branches))))

    return vj.VAE(network(posterior), network(likelihood), 2, posterior, likelihood, objective=objective)


@functools.cache
def fit(study: Study, name: str, kind: str, epochs: int | None = None) -> vj.Fit:
    """All seeds of one variant, side by side."""
    config: Any = study.config
    epochs = epochs or (config.epochs if SETS[name].long else max(config.epochs // 4, 1))
    rows = dataset(config, name).train.x
    return study.fit(model(kind), rows, members=config.seeds_of(name), epochs=epochs, batch_size=32)


def _truth(name: str, x: np.ndarray, draws: int) -> np.ndarray:
    """True log-densities: exact of the mixture, else the mean of the noise's density over draws without noise."""
    points = SETS[name]
    if points.make is MIXTURE:
        return np.asarray(jax.jit(jax.vmap(mixture(**points.options).log_prob))(x))
    variance = points.options.get("noise_variance", 0.04 if points.make is EIGHT else 0.2)
    centres = points.make(draws, test=0, seed=1, **(points.options | {"noise_variance": 0.0})).train.x
    return np.asarray(vj.kde.log_density(vj.kde.fit(centres, bandwidth=math.sqrt(variance)), jnp.asarray(x)))


@functools.partial(jax.jit, static_argnums=0)
def _again(vae: Any, params: Any, keys: jax.Array, x: jax.Array) -> jax.Array:
    return jax.vmap(functools.partial(vj.reconstruct, vae, params))(keys, x)


def drawn(study: Study, name: str, kind: str, seed: int = 0, epochs: int | None = None) -> np.ndarray:
    """Points from one run, with their noise."""
    return samples(model(kind), fit(study, name, kind, epochs).member(seed)[0], 3, 1500)


def panels(study: Study, name: str, kinds: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Test points; for each kind, draws and the means of p(x|z) at one draw of q(z|x) of each test point."""
    config: Any = study.config
    x = dataset(config, name).test.x[:1500]
    found = {"data": x}
    for kind in kinds:
        again = _again(model(kind), fit(study, name, kind).member(0)[0], jax.random.split(jax.random.key(5), len(x)), x)
        found |= {f"{kind}:\ndrawn": drawn(study, name, kind), f"{kind}:\nreconstructed": np.asarray(again)}
    return found


def cell(study: Study, name: str, kind: str, epochs: int | None, seed: int) -> dict[str, Any]:
    """What is measured of one run: nats a test point, and how the mixture's components are served."""
    config: Any = study.config
    data, vae = dataset(config, name), model(kind)
    params = fit(study, name, kind, epochs).member(seed)[0]
    x = data.test.x
    run = vj.evaluate.run(vae, params, jax.random.key(100 + seed), x, k=config.k, quick=True, progress=False)
    best = float(_truth(name, x, min(10 * config.rows, 100_000)).mean())
    mean, cov = data.train.x.mean(0), np.cov(data.train.x.T)
    off = x - mean[None]
    line = -0.5 * (
        np.einsum("ni,ij,nj->n", off, np.linalg.inv(cov), off).mean() + np.log(np.linalg.det(2 * np.pi * cov))
    )
    score = run["iwae"].value
    found = {
        "nll": -score,
        "above the best": best - score,
        "best nll": -best,
        "gaussian nll": -float(line),
        "entropy": SETS[name].entropy,
        "known gaussian": SETS[name].gaussian,
        "closed": (score - line) / (best - line) if SETS[name].gaussian - SETS[name].entropy > 0.02 else math.nan,
        "inference gap": score - run["elbo"].value,
        "kl": run["kl"].value,
        "unused": float(run["kl"].value < 0.01),
    }
    if name == "4.5 mixture":
        drawn = samples(vae, params, 200 + seed, 3000)
        each = np.asarray(jax.jit(jax.vmap(mixture().component_log_probs))(drawn))
        shares = np.bincount(each.argmax(1), minlength=3) / len(drawn)
        far = each.max(1) < float(mixture().component_log_probs(mixture().components.loc[0])[0]) - 6.9
        one = jax.tree.map(lambda leaf: leaf[0], mixture().components)
        found |= {
            "one mode": best - float(jax.jit(jax.vmap(one.log_prob))(x).mean()),
            "least share": shares.min(),
            "between": far.mean(),
            "fails": float(score < line or shares.min() < 0.1),
        }
    return found


def settling(loss: np.ndarray) -> tuple[dict[str, tuple], int]:
    """A line of the running mean of a loss by batch, and the batch from which it stays within 0.1 nats of its end.

    The mean is over 100 batches: that of 25 was out by chance as late as batch 30 322 of 31 250.
    """
    width = min(100, len(loss) // 2)
    smooth = np.convolve(loss, np.ones(width) / width, "valid")
    away = np.flatnonzero(smooth >= np.mean(loss[-len(loss) // 5 :]) + 0.1)
    settled = int(away[-1]) + 1 + width if len(away) else width
    return {f"loss, mean of {width} batches": (np.arange(width, len(loss) + 1)[:1500], smooth[:1500])}, settled


def by_epoch(terms: Mapping[str, np.ndarray]) -> dict[str, tuple]:
    """Lines of means over runs and their standard errors, of `{label: values of runs by epochs}`."""
    each = {label: np.transpose([mean_and_error(epoch) for epoch in values.T]) for label, values in terms.items()}
    return {label: (np.arange(1, line.shape[1] + 1), *line) for label, line in each.items()}


def forces(terms: Mapping[str, np.ndarray]) -> tuple[Figure, dict[str, tuple]]:
    """The lines of `by_epoch`, their names above them as there is no free corner, and the series that are drawn."""
    series = by_epoch(terms)
    figure = vj.plots.lines(series, x_label="epoch", y_label="nats a point")
    figure.axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(series), fontsize=8, frameon=False)
    return figure, series
