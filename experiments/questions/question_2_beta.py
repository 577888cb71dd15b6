"""What does a β-VAE optimise, and is it better?

Prediction: The VAE with noise βσ²: at one βσ² the same fit whatever β is, as Adam does not see the scale of an
objective. Distortion falls by β nats a nat of rate. Codes have variance 1 whatever β is. Draws with σ² have too much
variance where β < 1 and too little where β > 1; those with βσ² have the data's.
"""

import dataclasses
import functools

import numpy as np

import vaejax as vj
from experiments.harness.study import Study, judge
from experiments.questions import rates
from experiments.shared import pixels

ORDER = 180

COLUMNS = {"rate": ("kl", 1), "distortion": ("distortion", 1), "MSE": ("error", 4), "ELBO, σ²": ("own", 1)}
COLUMNS |= {"IWAE, βσ²": ("iwae", 1), "active": ("active", 1), "V, σ²": ("low", 2), "V, βσ²": ("high", 2)}
COLUMNS |= {"V of codes": ("codes", 2)}
LOOKS = {"means": ("mean_frechet", 1), "draws, σ²": ("own_frechet", 1), "draws, βσ²": ("draw_frechet", 1)}


@dataclasses.dataclass(frozen=True)
class Config(pixels.Config):
    variance: float = 0.05
    """s0: sigma^2 of the beta-VAEs of the curve."""
    betas: tuple[float, ...] = (0.1, 0.2, 1.0, 5.0, 20.0)
    plain: tuple[float, ...] = (0.2, 5.0, 20.0)
    """Those of them for which the VAE with noise beta s0 is fitted too."""
    noise: float = 0.25
    """beta sigma^2 of the fits that should be one."""
    pairs: tuple[float, ...] = (0.1, 1.0, 5.0, 20.0)
    """Their beta."""

    @classmethod
    def smoke(cls) -> "Config":
        return dataclasses.replace(super().smoke(), betas=(0.2, 1.0, 5.0), pairs=(1.0, 5.0), plain=(5.0,))


def main(config: Config) -> dict:
    study, raw, zero = Study(__name__, config), pixels.load(config.data), config.variance
    data = pixels.rows(raw)
    measured = functools.partial(rates.measured, zero=zero, k=config.k, judge=judge(config, raw))
    pair = lambda b, noise: (f"β = {b:g}, σ² = {noise / b:.3g}", (float(b), round(noise / b, 9)))  # noqa: E731
    curve, plain = (dict(pair(b, b * zero) for b in config.betas), dict(pair(1, b * zero) for b in config.plain))
    same = dict(pair(b, config.noise) for b in config.pairs)

    def fitted(beta: float, variance: float, seed: int) -> tuple:
        return pixels.trained(study, data, vj.heads.normal(float(np.sqrt(variance))), seed, beta=beta)

    def cell(beta: float, variance: float, seed: int) -> dict:
        return measured(*fitted(beta, variance, seed), data.test.x, beta, variance)

    grid = study.grid(cell, curve | plain | same)
    study.compare("Nats; V: variance over the data's", grid, [*(curve | plain | same)], COLUMNS, first="fit")
    study.compare("Fréchet distance of samples from test images", grid, [*(curve | plain)], LOOKS, first="fit")
    weight = {name: beta for name, (beta, _) in curve.items()}
    rates.curves(study, grid, curve, [*plain, pair(1, zero)[0]], zero)
    apart, over_seeds = rates.one_noise(study, grid, same, config.noise)
    rates.variances(study, grid, weight, zero)
    low, high = min(weight, key=weight.get), max(weight, key=weight.get)
    rates.pictures(study, raw, {name: (*fitted(*curve[name], 0), *curve[name]) for name in (low, high)})
    look = min(curve, key=lambda name: grid.mean(name, "mean_frechet"))
    slopes, best = rates.slopes(grid, weight), max(curve, key=lambda name: grid.mean(name, "iwae"))
    gap = rates.twins(grid, zip((pair(b, b * zero)[0] for b in config.plain), plain, strict=True))
    return study.finish(
        f"The likelihood of the VAE with noise βσ². The {len(same)} pairs of βσ² = {config.noise:g} end within "
        f"{apart:.2f} nats of each other (seeds of one pair differ by {over_seeds:.2f}), β-VAEs and VAEs with the "
        f"noise βs₀ within {gap:.2f} nats of IWAE. For a nat of rate, between neighbouring β, distortion falls by "
        f"{', '.join(f'{slope:.2f}' for slope in slopes)} times the predicted β (below 0 it rises). Codes have "
        f"variance {grid.say(low, 'codes')} at {low}, {grid.say(high, 'codes')} at {high}. Draws with σ² have "
        f"{grid.say(low, 'low')} and {grid.say(high, 'low')} of the data's variance there, draws with βσ² "
        f"{grid.say(low, 'high')} and {grid.say(high, 'high')} (predicted: 1). The best of the curve as a likelihood "
        f"is {best}, {grid.say(best, 'iwae', 1)} nats with the noise βσ², where squared errors are "
        f"{grid.say(best, 'error', 4)}; σ² alone was not fitted: as the noise of {high} it has an ELBO of "
        f"{grid.say(high, 'own', 1)}. Least Fréchet distance of means: {look} ({grid.say(look, 'mean_frechet', 1)}); "
        f"its draws have {grid.say(look, 'own_frechet', 1)} with σ² and {grid.say(look, 'draw_frechet', 1)} with βσ², "
        f"{grid.say(look, 'high')} times the data's variance: the distance hardly minds noise.",
        protocol=pixels.protocol(raw, config.k),
    )
