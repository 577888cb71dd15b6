"""What does a β-VAE optimise, and is it better?

With Gaussian noise of fixed sigma it is the VAE with noise beta sigma^2, exactly. Measured: fits of one beta sigma^2,
the curve of rate against distortion, and samples drawn with sigma^2 and with beta sigma^2.

Prediction: The VAE with noise βσ²: at one βσ² the same fit whatever β is, as Adam does not see the scale of an
objective. Distortion falls by β nats a nat of rate. Codes have variance 1 whatever β is. Draws with σ² have too much
variance where β < 1 and too little where β > 1; those with βσ² have the data's.
"""

import dataclasses

import jax
import numpy as np

import vaejax as vj
from experiments import images
from experiments.noise import renoised
from experiments.scores import samples, scores
from experiments.study import Study

NUMBERS = {"kl": 1, "distortion": 1, "error": 4, "own": 1, "iwae": 1, "active": 1, "low": 2, "high": 2, "codes": 2}
COLUMNS = ("fit", "rate", "distortion", "MSE", "ELBO, σ²", "IWAE, βσ²", "active", "V, σ²", "V, βσ²", "V of codes")


@dataclasses.dataclass(frozen=True)
class Config(images.Config):
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
    study = Study(__name__, config)
    raw, zero = images.load(config.data), config.variance
    data = images.rows(raw)
    test, dim = data.test.x, data.test.x.shape[1]
    pair = lambda b, noise: (f"β = {b:g}, σ² = {noise / b:.3g}", (float(b), round(noise / b, 9)))  # noqa: E731
    curve, plain = (dict(pair(b, b * zero) for b in config.betas), dict(pair(1, b * zero) for b in config.plain))
    same = dict(pair(b, config.noise) for b in config.pairs)

    def fitted(beta: float, variance: float, seed: int) -> tuple:
        return images.trained(study, data, vj.heads.normal(float(np.sqrt(variance))), seed, beta=beta)

    def cell(beta: float, variance: float, seed: int) -> dict:
        model, fit = fitted(beta, variance, seed)
        other = renoised(model, fit.best, np.sqrt(beta * variance))
        found = scores(*other, test, k=config.k)
        normal, own, noise = 0.5 * dim * np.log(2 * np.pi * np.array([zero, variance, beta * variance]))
        half = -(found["log_likelihood"] + noise) * beta * variance  # of the squared error
        total, spread = (float(rows.var(0).sum()) for rows in (test, samples(*other, 1, 2000, mode="mean")))
        found |= {
            "distortion": half / zero + normal,
            "error": 2 * half / dim,
            "own": -half / variance - own - found["kl"],
        }
        found |= {"low": (spread + dim * variance) / total, "high": (spread + dim * beta * variance) / total}
        values = np.asarray(fit.history["validation_value"])  # beta times the bound at beta sigma^2, and a constant
        found["epochs"] = (values + own) / beta - noise
        return found | {"codes": float(vj.evaluate.codes(*other, jax.random.key(2), test).var(0).mean())}

    grid = study.grid(cell, curve | plain | same)
    title = "Nats; distortion with noise s₀; V: variance, of draws over the data's"
    study.table(title, COLUMNS, grid.rows({name: name for name in curve | plain | same}, NUMBERS))
    rate = {name: grid.mean(name, "kl") for name in curve | plain}
    weight = {name: beta for name, (beta, _) in curve.items()}
    both = {"β-VAE with σ² = s₀": curve, "VAE with noise βs₀": plain}
    lines = {label: grid.line({name: rate[name] for name in pairs}, "distortion") for label, pairs in both.items()}
    caption = f"Rate against distortion with the noise s₀ = {zero:g}: β-VAEs and VAEs with the noise βs₀ on one curve."
    how = {"x_label": "rate: KL of q from the prior, nats", "y_label": "distortion with noise s₀, nats"}
    study.lines("rate_distortion", lines, caption=caption, **how)
    epochs = {name: np.array(grid.values(name, "epochs")) for name in same}
    lines = {name: (np.arange(1, config.epochs + 1), values[0]) for name, values in epochs.items()}
    caption = f"Pairs of one βσ² = {config.noise:g}, from one seed: the curves should lie on each other."
    how = {"x_label": "epoch", "y_label": f"validation ELBO, noise {config.noise:g}, nats"}
    study.lines("one_noise", lines, caption=caption, **how)
    lines = {f"draws with {name}": grid.line(weight, key) for name, key in (("σ²", "low"), ("βσ²", "high"))}
    caption = f"Total variance of draws from the prior over that of test images, σ² = {zero:g}; 1 is right."
    study.lines("variance", lines, x_label="β", y_label="variance over the data's", log_x=True, caption=caption)
    low, high = ends = (min(weight, key=weight.get), max(weight, key=weight.get))
    drawn = []
    for model, fit, noise in ((*fitted(*curve[name], 0), np.prod(curve[name])) for name in ends):
        drawn += [samples(model, fit.best, 1, 10, mode=mode) for mode in ("mean", "ancestral")]
        drawn.append(samples(*renoised(model, fit.best, np.sqrt(noise)), 1, 10))
    caption = f"{low}, then {high}: means of samples, draws with σ², draws with βσ²."
    claim = "Beaulac, figures 9 to 11: with small β samples from the prior fail, with large β they are all alike."
    study.figure("samples", images.grid(raw, drawn), caption=caption, claim=claim)
    last = [values[:, -1] for values in epochs.values()]
    steps = [(a, b) for a, b in zip(curve, list(curve)[1:], strict=False) if abs(rate[a] - rate[b]) > 0.1]
    fall = [(grid.mean(b, "distortion") - grid.mean(a, "distortion")) / (rate[a] - rate[b]) for a, b in steps]
    slopes = [found / np.sqrt(weight[a] * weight[b]) for found, (a, b) in zip(fall, steps, strict=True)] or [np.inf]
    twins = zip((pair(b, b * zero)[0] for b in config.plain), plain, strict=True)
    gap = max(abs(grid.mean(a, "iwae") - grid.mean(b, "iwae")) for a, b in twins)
    best = max(curve, key=lambda name: grid.mean(name, "iwae"))
    return study.finish(
        f"The likelihood of the VAE with noise βσ². The {len(same)} pairs of βσ² = {config.noise:g} end within "
        f"{np.ptp([v.mean() for v in last]):.2f} nats of each other (one pair over seeds: within "
        f"{max(map(np.ptp, last)):.2f}), β-VAEs and VAEs with the noise βs₀ within {gap:.2f} nats of IWAE. For a nat "
        f"of rate distortion falls by {min(slopes):.2f} to {max(slopes):.2f} times the predicted β. Codes have "
        f"variance {grid.say(low, 'codes')} at {low}, {grid.say(high, 'codes')} at {high}. Draws with σ² have "
        f"{grid.say(low, 'low')} and {grid.say(high, 'low')} of the data's variance there, draws with βσ² "
        f"{grid.say(low, 'high')} and {grid.say(high, 'high')} (predicted: 1). The best of the curve as a likelihood "
        f"is {best}, {grid.say(best, 'iwae', 1)} nats with the noise βσ², where squared errors are "
        f"{grid.say(best, 'error', 4)}; σ² alone is not what was fitted: as the noise of {high} it has an ELBO of "
        f"{grid.say(high, 'own', 1)}.",
        protocol=images.protocol(raw, config.k),
    )
