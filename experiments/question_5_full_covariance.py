"""Would a full covariance of p(x|z) help?

Sigma(z) = F(z) F(z)^T + sigma^2 I with F of rank r, by Woodbury. Measured: likelihood, what the latents still do,
correlation of neighbouring pixels in data and in drawn noise, samples; beside a decoder of rank 0 with M + r latents.

Prediction: The likelihood, as M + r latents would: in a linear model rank r is exactly pPCA with M + r. With F(z)
more than that. z does no more than before (KL equal or lower). Noise becomes correlated like the residuals, and draws
look better than with one σ, but the rest, σ² in every direction, stays.
"""

import dataclasses

import vaejax as vj
from experiments import images, linear
from experiments.noise import LAGS, both, looks, noise_grid, noise_scores, residuals
from experiments.scores import scores
from experiments.study import Study, judge

COLUMNS = {"IWAE, nats": ("iwae", 1), "KL, nats": ("kl", 1), "active": ("active", 1)}
COLUMNS |= {"RMSE": ("reconstruction_rmse", 3), "least sd": ("least_sigma", 3)} | LAGS


@dataclasses.dataclass(frozen=True)
class Config(images.Config):
    ranks: tuple[int, ...] = (0, 1, 4, 10)
    """Columns of F; 0 is one learned sigma."""
    scored: int = 300
    """Test images of the likelihoods: ten columns make every draw of z dear."""

    @classmethod
    def smoke(cls) -> "Config":
        return dataclasses.replace(super().smoke(), ranks=(0, 2))


def main(config: Config) -> dict:
    study, raw = Study(__name__, config), images.load(config.data)
    data, judged, size, most = images.rows(raw), judge(config, raw), config.latent_dim, max(config.ranks)
    test = data.test.x

    def fitted(rank: int, latent_dim: int, seed: int) -> tuple:
        head = vj.heads.low_rank_normal(rank) if rank else vj.heads.normal("shared")
        model, fit = images.trained(study, data, head, seed, latent_dim)
        return model, fit.best

    def cell(rank: int, latent_dim: int, seed: int) -> dict:
        model, params = fitted(rank, latent_dim, seed)
        found = noise_scores(*both(model, params, seed + 1, len(test)), residuals(model, params, test), test, judged)
        return found | scores(model, params, test[: config.scored], k=config.k)

    ours = {f"M = {size}, r = {r}": (r, size) for r in config.ranks}
    wide = {f"M = {size + most}, r = 0": (0, size + most)}
    grid, names = study.grid(cell, ours | wide), [*ours, *wide]
    study.compare("Covariance F(z)F(z)ᵀ + σ²I of rank r", grid, names, COLUMNS, first="decoder")
    looks(study, "What samples look like to the classifier", grid, names, kinds=("mean", "draw"))
    pca = {r: linear.evidence(data.train.x, test[: config.scored], size + r) for r in config.ranks}
    lines = {"VAE, rank r": grid.line({name: r for name, (r, _) in ours.items()}, "iwae")}
    lines |= {"pPCA, M + r (exact)": (list(pca), list(pca.values()))}
    first, last, other = next(iter(ours)), list(ours)[-1], next(iter(wide))
    lines |= {"VAE, M + r latents": grid.line({other: most, first: 0}, "iwae")}
    caption = f"Test log-likelihood; M = {size}."
    study.lines("likelihood", lines, x_label="rank of F", y_label="nats an image", caption=caption)
    drawn = {r: both(*fitted(r, size, 0)) for r in config.ranks}
    names = [f"r = {r}: {rows}" for r in config.ranks for rows in ("means", "draws")]
    caption = "Means of samples, and draws from the same z, by the rank r of F."
    claim = (
        "Beaulac, figure 3: draws are horrible, perhaps as pixels are drawn independently; a covariance may mend it."
    )
    study.figure("draws", images.grid(raw, sum(drawn.values(), []), names), caption=caption, claim=claim)
    caption = f"Above what μ(z) leaves of test images (r = {most}); below what each model of the other picture draws."
    noise_grid(study, "noise", raw, residuals(*fitted(most, size, 0), test[:10]), drawn.values(), caption)
    say = lambda number, digits=1: f"{grid.say(first, number, digits)} to {grid.say(last, number, digits)}"  # noqa: E731
    return study.finish(
        f"The likelihood goes from {say('iwae')} nats between r = 0 and r = {most} (pPCA with M + r: "
        f"{pca[config.ranks[0]]:.1f} to {pca[most]:.1f}; {other}: {grid.say(other, 'iwae', 1)}), the divergence from "
        f"{say('kl')} nats, active units from {say('active')}. Neighbouring pixels of drawn noise correlate by "
        f"{say('noise_lag1', 2)}, of what μ(z) leaves of images by {say('data_lag1', 2)}. The Fréchet distance of "
        f"draws goes from {say('draw_frechet')}, their precision from {say('draw_precision', 2)}; of means "
        f"{say('mean_frechet')} and {say('mean_precision', 2)}.",
        protocol=images.protocol(raw, config.k) + f"; of the first {min(config.scored, len(test))} test images",
    )
