"""Would a full covariance of p(x|z) help?

Sigma(z) = F(z) F(z)^T + sigma^2 I with F of rank r, by Woodbury. Measured: likelihood, what the latents still do,
correlation of neighbouring pixels in data and in drawn noise, samples; beside a decoder of rank 0 with M + r latents.

Prediction: The likelihood, as M + r latents would: in a linear model rank r is exactly pPCA with M + r. With F(z)
more than that. z does no more than before (KL equal or lower). Noise becomes correlated like the residuals, and draws
look better than with one σ, but the rest, σ² in every direction, stays.
"""

import dataclasses

import numpy as np

import vaejax as vj
from experiments import images
from experiments.scores import both, noise_scores, residuals, scores
from experiments.study import Study, judge

NUMBERS = {"iwae": 1, "kl": 1, "active": 1, "reconstruction_rmse": 3, "least_sigma": 3, "data_lag1": 2, "noise_lag1": 2}
COLUMNS = ("decoder", "IWAE, nats", "KL, nats", "active", "RMSE", "least sd", "lag 1, data", "lag 1, noise")
LOOKS = {f"{kind}_{part}": 1 + (part != "frechet") for part in ("frechet", "precision") for kind in ("mean", "draw")}


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
    study = Study(__name__, config)
    raw = images.load(config.data)
    data, judged = images.rows(raw), judge(config, raw)
    test, dim, most = data.test.x, data.test.x.shape[1], max(config.ranks)

    def fitted(rank: int, latent_dim: int, seed: int) -> tuple:
        head = vj.heads.low_rank_normal(rank) if rank else vj.heads.normal("shared")
        model, fit = images.trained(study, data, head, seed, latent_dim)
        return model, fit.best

    def cell(rank: int, latent_dim: int, seed: int) -> dict:
        model, params = fitted(rank, latent_dim, seed)
        found = noise_scores(*both(model, params, seed + 1, len(test)), residuals(model, params, test), test, judged)
        return found | scores(model, params, test[: config.scored], k=config.k)

    ours = {f"M = {config.latent_dim}, r = {r}": (r, config.latent_dim) for r in config.ranks}
    wide = {f"M = {config.latent_dim + most}, r = 0": (0, config.latent_dim + most)}
    grid = study.grid(cell, ours | wide)
    rows = {name: name for name in ours | wide}
    study.table("Covariance F(z)F(z)ᵀ + σ²I of rank r", COLUMNS, grid.rows(rows, NUMBERS))
    columns = ("Fréchet and precision of", "means", "draws", "means", "draws")
    study.table("What samples look like to the classifier", columns, grid.rows(rows, LOOKS))
    linear = {}
    for r in config.ranks:
        ppca = vj.PPCA(dim, config.latent_dim + r)
        linear[r] = float(np.mean(vj.log_evidences(ppca, vj.em.ppca_exact(ppca, data.train.x), test[: config.scored])))
    lines = {"VAE, rank r": grid.line({name: r for name, (r, _) in ours.items()}, "iwae")}
    lines |= {"pPCA, M + r (exact)": (list(linear), list(linear.values()))}
    lines |= {"VAE, M + r latents": grid.line(dict.fromkeys(wide, most) | {next(iter(ours)): 0}, "iwae")}
    caption = f"Test log-likelihood; M = {config.latent_dim}."
    study.lines("likelihood", lines, x_label="rank of F", y_label="nats an image", caption=caption)
    drawn = {r: both(*fitted(r, config.latent_dim, 0)) for r in config.ranks}
    caption = f"Rows of means and of draws below them, r = {', '.join(map(str, config.ranks))}."
    claim = (
        "Beaulac, figure 3: draws are horrible, perhaps as pixels are drawn independently; a covariance may mend it."
    )
    study.figure("draws", images.grid(raw, sum(drawn.values(), [])), caption=caption, claim=claim)
    left = residuals(*fitted(most, config.latent_dim, 0), test[:10])
    noise = np.stack([left, *(draws - means for means, draws in drawn.values())]).reshape(-1, *judged.shape)
    caption = f"Above what μ(z) leaves of test images (r = {most}); below what each model of the other picture draws."
    study.figure("noise", vj.plots.image_grid(noise, symmetric=True), caption=caption)
    first, last, other = next(iter(ours)), list(ours)[-1], next(iter(wide))
    say = lambda number, digits=1: f"{grid.say(first, number, digits)} to {grid.say(last, number, digits)}"  # noqa: E731
    return study.finish(
        f"The likelihood goes from {say('iwae')} nats between r = 0 and r = {most} (pPCA with M + r: "
        f"{linear[config.ranks[0]]:.1f} to {linear[most]:.1f}; {other}: {grid.say(other, 'iwae', 1)}), the divergence "
        f"from {say('kl')} nats, active units from {say('active')}. Neighbouring pixels of drawn noise correlate by "
        f"{say('noise_lag1', 2)}, of what μ(z) leaves of images by {say('data_lag1', 2)}. The Fréchet distance of "
        f"draws goes from {say('draw_frechet')}, their precision from {say('draw_precision', 2)}; of means "
        f"{say('mean_frechet')} and {say('mean_precision', 2)}.",
        protocol=images.protocol(raw, config.k) + f"; of the first {min(config.scored, len(test))} test images",
    )
