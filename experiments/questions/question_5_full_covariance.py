"""Would a full covariance of p(x|z) help?

Sigma(z) = F(z) F(z)^T + sigma^2 I with F of rank r, by Woodbury. Measured: likelihood, what the latents still do,
correlation of neighbouring pixels in data and in drawn noise, samples; beside rank 0 with M + r latents, and with
the optimal sigma in place of the learned one.

Prediction: The likelihood, as M + r latents would: in a linear model rank r is exactly pPCA with M + r. With F(z)
more than that. z does no more than before (KL equal or lower). Noise becomes correlated like the residuals, and draws
look better than with one σ, but the rest, σ² in every direction, stays.
"""

import dataclasses

import vaejax as vj
from experiments.harness.study import Study, judge
from experiments.shared import decoders, linear_model, pixels
from experiments.shared.noise import LAGS, both, draw_ranks, looks, noise_scores, residuals
from experiments.shared.phrases import listed
from experiments.shared.scores import scores

ORDER = 210

COLUMNS = {"IWAE, nats": ("iwae", 1), "KL, nats": ("kl", 1), "active": ("active", 1)}
COLUMNS |= {"RMSE": ("reconstruction_rmse", 3), "least sd": ("least_sigma", 3)} | LAGS


@dataclasses.dataclass(frozen=True)
class Config(pixels.Config):
    ranks: tuple[int, ...] = (0, 1, 4, 10)
    """Columns of F; 0 is one learned sigma."""
    scored: int = 300
    """Test images of the likelihoods: ten columns make every draw of z dear."""

    @classmethod
    def smoke(cls) -> "Config":
        return dataclasses.replace(super().smoke(), ranks=(0, 2))


def main(config: Config) -> dict:
    study, raw = Study(__name__, config), pixels.load(config.data)
    data, judged, size, most = pixels.rows(raw), judge(config, raw), config.latent_dim, max(config.ranks)
    test = data.test.x

    def fitted(rank: int | str, latent_dim: int, seed: int) -> tuple:
        if isinstance(rank, str) or not rank:
            return decoders.fitted(study, data, rank or "σ shared", latent_dim, seed)
        model, fit = pixels.trained(study, data, vj.heads.low_rank_normal(rank), seed, latent_dim)
        return model, fit.best

    def cell(rank: int | str, latent_dim: int, seed: int) -> dict:
        model, params = fitted(rank, latent_dim, seed)
        found = noise_scores(*both(model, params, seed + 1, len(test)), residuals(model, params, test), test, judged)
        return found | scores(model, params, test[: config.scored], k=config.k)

    ours = {f"M = {size}, r = {r}": (r, size) for r in config.ranks}
    wide = {f"M = {size + most}, r = 0": (0, size + most)}
    best = {f"M = {m}, σ*": ("σ* optimal", m) for m in (size, size + most)}
    grid, names = study.grid(cell, ours | wide | best), [*ours, *wide, *best]
    study.compare("Covariance F(z)F(z)ᵀ + σ²I of rank r", grid, names, COLUMNS, first="decoder")
    looks(study, "What samples look like to the classifier", grid, names, kinds=("mean", "draw"))
    pca = {r: linear_model.evidence(data.train.x, test[: config.scored], size + r) for r in config.ranks}
    first, last, other, tuned = next(iter(ours)), list(ours)[-1], next(iter(wide)), list(best)
    lines = {"VAE, rank r": grid.line({name: r for name, (r, _) in ours.items()}, "iwae")}
    lines |= {"pPCA, M + r (exact)": (list(pca), list(pca.values()))}
    lines |= {"VAE, M + r latents": grid.line({first: 0, other: most}, "iwae")}
    lines |= {"the same, optimal σ": grid.line({tuned[0]: 0, tuned[1]: most}, "iwae")}
    caption = f"Test log-likelihood; M = {size}, one learned σ but for the last line."
    study.lines("likelihood", lines, x_label="rank of F", y_label="nats an image", caption=caption)
    left, drawn = residuals(*fitted(most, size, 0), test[:10]), {r: both(*fitted(r, size, 0)) for r in config.ranks}
    draw_ranks(study, raw, left, drawn)
    say = lambda number, digits=1: f"{grid.say(first, number, digits)} to {grid.say(last, number, digits)}"  # noqa: E731
    told = listed(grid, {f"r = {r}": name for name, (r, _) in ours.items()}, "iwae", 1)
    return study.finish(
        f"The likelihood is {told} nats (pPCA with M + r: {pca[config.ranks[0]]:.1f} to {pca[most]:.1f}). At rank 0 "
        f"the optimal σ gives {listed(grid, tuned, 'iwae', 1)}; one learned by gradients lags: {other} "
        f"{grid.say(other, 'iwae', 1)}. From r = 0 to r = {most} the divergence goes from "
        f"{say('kl')} nats, active units from {say('active')}. Neighbouring pixels of drawn noise correlate by "
        f"{say('noise_lag1', 2)}, of what μ(z) leaves of images by {say('data_lag1', 2)}. The Fréchet distance of "
        f"draws goes from {say('draw_frechet')}, their precision from {say('draw_precision', 2)}; of means "
        f"{say('mean_frechet')} and {say('mean_precision', 2)}.",
        protocol=pixels.protocol(raw, config.k) + f"; of the first {min(config.scored, len(test))} test images",
    )
