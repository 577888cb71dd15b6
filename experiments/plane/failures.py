"""Runs in the plane that fail: how many by when, what the worst of them draw, and what is said of them."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from experiments.harness.grid import Grid, plus_minus
from experiments.harness.study import Study
from experiments.plane import points
from experiments.shared.phrases import beyond_noise, failing, listed

__all__ = [
    "beside",
    "beside_source",
    "counts",
    "idle",
    "of_curves",
    "of_eights",
    "of_gaussians",
    "of_mixture",
    "way",
    "worst",
]

NAME = "4.5 mixture"
JOINED = 0.2  # of the points between components: a run with more joins some of them
NEAR = 0.01  # nats above the best, which was predicted for the Gaussians
FLAT = 0.1  # nats of divergence; with less than that reconstructions are nearly one point


def counts(grid: Grid, kinds: Sequence[str], ends: Iterable[int]) -> dict[int, int]:
    """Failures after so many epochs, over all seeds of the variants `"kind, epochs"`."""
    return {n: round(sum(sum(grid.values(f"{kind}, {n}", "fails")) for kind in kinds)) for n in ends}


def way(grid: Grid, names: Iterable[str], kind: str) -> str:
    """How far each set's runs go from a Gaussian to the truth, where there is far to go."""
    found = {name: grid.mean(f"{name}, {kind}", "closed") for name in names}
    shares = {name: round(value, 2) + 0.0 for name, value in found.items() if not np.isnan(value)}  # no minus nought
    return ", ".join(f"{value:.0%} ({name})" for name, value in shares.items())


def idle(grid: Grid, names: Iterable[str], kind: str) -> str:
    """How many runs on these sets do not use their latents."""
    dead = [value for name in names for value in grid.values(f"{name}, {kind}", "unused")]
    return f"{sum(dead):.0f} of {len(dead)}"


def beside(grid: Grid, variant: str) -> str:
    """How much better or worse than a Gaussian the runs of a variant end."""
    gain = np.subtract(grid.values(variant, "gaussian nll"), grid.values(variant, "nll"))
    side, sign = ("better", 1) if gain.mean() > 0 else ("worse", -1)
    return f"{plus_minus(sign * gain, 4)} nats {side} than a Gaussian"


def of_gaussians(grid: Grid, labels: Sequence[str]) -> str:
    """How near the best the fits of the Gaussians end, what full covariances gain, and which reconstruct nothing."""
    shown = {f"{label[:3]} {label.rpartition(' ')[2]}": label for label in labels}
    far = [name for name, label in shown.items() if grid.mean(label, "above the best") > NEAR]
    dots = [name for name, label in shown.items() if grid.mean(label, "kl") < FLAT]
    gains = {}
    for name, label in shown.items():
        other = shown.get(name.replace("diagonal", "full"), label)
        if other != label:
            gains[name[:3]] = np.subtract(grid.values(label, "nll"), grid.values(other, "nll"))
    gained = ", ".join(f"{plus_minus(gain, 4)} on {name}" for name, gain in gains.items())
    said = f"Gaussians, nats above the best: {listed(grid, shown, 'above the best', 3)} (predicted: {NEAR} at most"
    said += f", which fails for {', '.join(far)})" if far else ")"
    held = not any(beyond_noise(gain) for gain in gains.values())
    said += f"; full covariances gain {gained} (predicted: 0{failing(held)})." if gains else "."
    if dots:
        said += (
            f" Reconstruction of 4.1 works well, says the source; here reconstructions of {', '.join(dots)} are nearly "
            f"one point (KL below {FLAT} nats): a decoder with a covariance of its own needs no z to fit a Gaussian."
        )
    return said


def of_curves(grid: Grid, names: Sequence[str]) -> str:
    """How far the diagonal model goes from a Gaussian, against the prediction that it goes some of the way."""
    short = [name for name in names if not 0 < grid.mean(f"{name}, diagonal", "closed") < 1]
    fails = f", which fails for {'; '.join(short)}" if short else ""
    dead = ", ".join(f"{idle(grid, [name], 'diagonal')} ({name})" for name in names)
    return (
        f"Of the way from a Gaussian to the true density the diagonal model goes {way(grid, names, 'diagonal')} "
        f"(predicted: some of it{fails}); runs that do not use their latents (KL below 0.01 nats): {dead}."
    )


def of_eights(grid: Grid, names: Sequence[str], warm: str) -> str:
    """The figure eight, with and without a warm-up of the divergence: where there is far to go, and where not."""
    far = [name for name in names if not np.isnan(grid.mean(f"{name}, diagonal", "closed"))]
    most = grid.mean(f"{names[0]}, diagonal", "closed") > 0.5
    said = (
        f"On {' and '.join(far)} {idle(grid, far, 'diagonal')} runs do not use their latents (KL below 0.01 nats), and "
        f"of the way from a Gaussian to the truth the mean is {way(grid, far, 'diagonal')} (predicted for {names[0]}: "
        f"most{failing(most)}); with a KL warm-up {idle(grid, far, warm)}, going {way(grid, far, warm)}."
    )
    for name in names:
        if name not in far:
            to_gain = grid.mean(f"{name}, diagonal", "gaussian nll") - grid.mean(f"{name}, diagonal", "best nll")
            said += (
                f" On {name}, {to_gain:.3f} nats are to gain: {idle(grid, [name], 'diagonal')} runs do not use their "
                f"latents, and with the warm-up {idle(grid, [name], warm)}, ending {beside(grid, f'{name}, {warm}')}."
            )
    return said


def of_mixture(grid: Grid, ends: Mapping[str, str]) -> str:
    """What the last fits of the mixture leave out and join, by `{heads: variant}`."""
    share = min(min(grid.values(variant, "least share")) for variant in ends.values())
    each = {heads: np.array(grid.values(variant, "between")) for heads, variant in ends.items()}
    joined = ", ".join(
        f"{np.sum(between > JOINED)} of {len(between)} {heads} runs ({between.mean():.0%} on average)"
        for heads, between in each.items()
    )
    return (
        f"{'no component is' if share >= 0.1 else 'components are'} left out ({share:.0%} of the points is the least "
        f"that one gets), but components are joined, with more than {JOINED:.0%} of the points between them, by "
        f"{joined}; nats above the best: {listed(grid, ends, 'above the best')}"
    )


def worst(study: Study, grid: Grid, kind: str, ends: Iterable[int]) -> dict[str, np.ndarray]:
    """Test points, and draws of the run that has the greatest negative log-likelihood after so many epochs."""
    panels = {"data": points.dataset(study.config, NAME).test.x[:1500]}
    for n in ends:
        run = int(np.argmax(grid.values(f"{kind}, {n}", "nll")))
        panels[f"run {run} after {n} epochs"] = points.drawn(study, NAME, kind, run, n)
    return panels


def beside_source(config: points.Config) -> str:
    """A sentence: how much more the source trained than these runs, if it did."""
    source = config.full()
    times = source.rows * source.epochs / (config.rows * config.epochs)
    if times <= 1:
        return ""
    return (
        f" The source has {source.gaussian_rows} points and {source.epochs // 4} epochs for the Gaussians, "
        f"{source.rows} and {source.epochs} for the rest, {times:.0f} times the steps of these runs."
    )
