"""What does a fixed sigma change, is a learned one singular, and is q(z) like p(z)?

Prediction: sigma = 1: a likelihood hundreds of nats lower, a smaller KL, larger errors. sigma(z): for each tenth of
the floor at least ln 10 nats a constant pixel (67 in all of MNIST). One datum: D ln 10 = 1805 nats for each tenth of
sigma, for a component of a GMM and for a VAE; without end downwards with K = 1.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

import vaejax as vj
from experiments.harness.grid import Grid, plus_minus
from experiments.harness.study import Study
from experiments.mixtures import plain_em
from experiments.shared import pixels
from experiments.shared.phrases import verdict
from experiments.shared.scores import scores

ORDER = 70

COLUMNS = {"IWAE, nats": ("iwae", 1), "KL, nats": ("kl", 2), "I(x; z), nats": ("mutual_information", 2)}
COLUMNS |= {"KL[q(z) ‖ p(z)]": ("kl_to_prior", 3), "active": ("active", 1), "RMSE": ("reconstruction_rmse", 4)}
COLUMNS |= {"least σ": ("least_sigma", 4)}
SIGMAS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)


@dataclasses.dataclass(frozen=True)
class Config(pixels.Config):
    latent_dim: int = 2
    k: int = 200
    part: int = 20_000
    """Training images."""
    floors: tuple[float, ...] = (0.1, 0.01, 0.001)

    @classmethod
    def smoke(cls) -> "Config":
        return dataclasses.replace(super().smoke(), floors=(0.1, 0.001), part=1000)


def information(model: Any, params: Any, x: np.ndarray, seed: int) -> dict[str, float]:
    """I(x; z) and KL[q(z) || p(z)], nats: the mean KL[q(z|x) || p(z)] is their sum."""
    whole = vj.evaluate.aggregate_posterior(model, params, jax.random.key(seed), x)
    return {"mutual_information": whole.mutual_information, "kl_to_prior": whole.kl_to_prior}


def beside_prior(fits: Mapping[str, tuple[Any, vj.Fit]], x: np.ndarray, labels: np.ndarray) -> dict[str, tuple]:
    """Panels of a draw from q(z|x) of each row with its label, and of as many draws from N(0, I) in the plane."""
    key = jax.random.key(1)
    found = {name: (vj.evaluate.encode_rows(model, fit.best, key, x), labels) for name, (model, fit) in fits.items()}
    return found | {"p(z)": (np.random.default_rng(0).normal(size=(len(x), 2)), None)}


def floor_steps(grid: Grid, floors: Mapping[float, str], constant: int) -> str:
    """Sentences: what each step to a lower floor gains for each tenth, beside the prediction, and the least sigma.

    Args:
      grid: numbers `iwae` and `least_sigma` of the variants.
      floors: `{floor: variant}`.
      constant: pixels that are constant in training, of which a gain of ln 10 each was predicted.
    """
    said, wanted, order = [], constant * np.log(10), sorted(floors, reverse=True)
    for high, low in itertools.pairwise(order):
        before, after = (np.asarray(grid.values(floors[floor], "iwae")) for floor in (high, low))
        gain = (after - before) / np.log10(high / low)
        sign = "+" if gain.mean() > 0 else ""
        said.append(f"{sign}{plus_minus(gain, 0)} nats from {high:g} to {low:g} ({verdict(gain.mean() >= wanted)})")
    reached = ", ".join(f"{grid.mean(floors[floor], 'least_sigma'):.4f}" for floor in order)
    return (
        f"For each tenth of its floor the IWAE of σ(z) changes by {', '.join(said)}; predicted were at least "
        f"{wanted:.0f}, ln 10 for each of the {constant} pixels that are constant in training. The least σ(z) on test "
        f"images is {reached} at the floors {', '.join(map(str, order))}."
    )


def main(config: Config) -> dict:
    study = Study(__name__, config)
    raw = pixels.load(config.data, config.part)
    data = pixels.rows(raw)
    x, test, dim = data.train.x, data.test.x, data.train.x.shape[1]
    learned = {f"σ(z), floor {floor}": vj.heads.normal("per_pixel", floor=floor) for floor in config.floors}
    heads = {"σ = 1": vj.heads.normal(1.0), "σ shared": vj.heads.normal("shared")} | learned

    def cell(name: str, seed: int) -> dict:
        model, fit = pixels.trained(study, data, heads[name], seed)
        found = scores(model, fit.best, test, k=config.k, seed=seed)
        return found | information(model, fit.best, test, seed)

    grid = study.grid(cell, {name: (name,) for name in heads})
    drawn = study.measure(plain_em.singular(x[:100], SIGMAS))
    study.compare(f"M = {config.latent_dim}", grid, list(heads), COLUMNS, first="decoder")
    series = plain_em.kilonats(drawn, SIGMAS)
    labels = {"x_label": "σ of the component on one datum", "y_label": "log-likelihood, 1000 nats", "log_x": True}
    about = "Log-likelihood as one component shrinks on one datum (what is lower is drawn at the foot)."
    claim = "Beaulac, section 3.3.1: the likelihood has singularities (for K >= 2)."
    study.lines("singularity", series, caption=about, claim=claim, **labels)
    floors = {floor: f"σ(z), floor {floor}" for floor in config.floors}
    series = {"σ(z)": grid.line({name: floor for floor, name in floors.items()}, "iwae")}
    labels = {"x_label": "floor under σ(z)", "y_label": "test IWAE, nats an image", "log_x": True}
    top = max(floors, key=lambda floor: grid.mean(floors[floor], "iwae"))
    about = f"The likelihood of a VAE with a sigma for each pixel by the floor under it, highest at {top}."
    claim = "Beaulac, section 3.3.1: singularities might be why a learned sigma makes bad samples."
    study.lines("floors", series, caption=about, claim=claim, **labels)
    names = (*list(heads)[:2], list(heads)[-1])
    fits = {name: pixels.trained(study, data, heads[name], seed=0) for name in names}
    codes = beside_prior(fits, test[:500], raw.test.y[:500])
    about = "Draws from q(z|x) of 500 test images, as their digits, and from p(z), whose 1 and 2 sigma are the circles."
    claim = "Beaulac, section 3.3.1: q(z) close to p(z) is what sampling needs."
    study.figure("aggregate", vj.plots.panels(codes, columns=2, prior=True), caption=about, claim=claim)
    constant = int((x.var(0) == 0).sum())
    slope = "; ".join(f"{name}: {(cell['y'][-1] - cell['y'][2]) / 2:+.4g}" for name, cell in drawn.items())
    say = lambda number, digits: ", ".join(f"{n} {grid.say(n, number, digits)}" for n in names)  # noqa: E731
    return study.finish(
        f"Test IWAE, nats an image: {say('iwae', 1)}; KL of the aggregate q(z) to p(z), nats: {say('kl_to_prior', 2)}; "
        f"RMSE of reconstructions: {say('reconstruction_rmse', 3)}. {floor_steps(grid, floors, constant)} "
        f"For each tenth of σ on one datum the log-likelihood changes, in nats, by {slope} (predicted: D ln 10 = "
        f"{dim * np.log(10):.0f}, with K = 1 downwards without end).",
        protocol=pixels.protocol(raw, config.k) + "; q(z): the mixture over the test images",
    )
