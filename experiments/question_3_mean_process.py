"""What is the process that outputs μ(z), and did it reach the goal of a generative model?

The distribution of mu(z) lies on a surface of at most M dimensions: it has no density, and less variance than the
data. Measured: the surface's rank, the variance, the likelihood with noise put back, means of other processes.

Prediction: A pushforward of N(0, I): rank at most M, hence no density; pPCA with M = 8 keeps 43.1 % of the variance
(exact). The fit with σ = 1 gains hundreds of nats with σ_ML. As pictures, an autoencoder with a GMM and a two-stage
VAE are no worse than means of a VAE.
"""

import dataclasses

import jax
import numpy as np

import vaejax as vj
from experiments import images
from experiments.noise import renoised, residuals
from experiments.scores import quality, stretches
from experiments.study import Study, judge

HEADS = {"σ = 1": vj.heads.normal(1.0), "σ shared": vj.heads.normal("shared")}
WIDTHS = np.geomspace(0.1, 1.0, 10)  # of the kernels that stand for noise


@dataclasses.dataclass(frozen=True)
class Config(images.Config):
    draws: int = 10_000
    """Mean samples of the kernel density estimate."""
    others: tuple[str, ...] = ("σ shared + GMM", "AE + GMM", "two-stage", "pPCA")

    @classmethod
    def smoke(cls) -> "Config":
        return dataclasses.replace(super().smoke(), draws=1000, others=("AE + GMM", "pPCA"))


def main(config: Config) -> dict:
    study = Study(__name__, config)
    raw = images.load(config.data)
    data, judged = images.rows(raw), judge(config, raw)
    test, dim = data.test.x, data.test.x.shape[1]
    size = {"hidden": config.hidden}

    def fitted(name: str, seed: int) -> tuple:
        kind = name.removesuffix(" + GMM")
        if kind == "pPCA":
            model = vj.PPCA(dim, config.latent_dim)
            return model, vj.em.ppca_exact(model, data.train.x)
        if kind in HEADS:
            model, fit = images.trained(study, data, HEADS[kind], seed)
            return model, fit.best
        model = (vj.zoo.autoencoder if kind == "AE" else vj.zoo.two_stage)(dim, config.latent_dim, **size)
        return model, study.fit(model, data, seed=seed, epochs=config.epochs).best

    def drawn(name: str, seed: int, count: int) -> np.ndarray:
        model, params = fitted(name, seed)
        sampler = vj.evaluate.from_prior(model, params, mode="mean")
        if "GMM" in name:
            sampler = vj.evaluate.ex_post(model, params, jax.random.key(3), data.train.x, num_restarts=1)
        return vj.evaluate.draws(sampler, jax.random.key(seed + 1), count)

    def cell(name: str, seed: int) -> dict:
        model, params = fitted(name, seed)
        means = drawn(name, seed, config.draws)
        found = quality("mean", means[: len(test)], test, judged)
        spread = (params["weight"] ** 2).sum() if name == "pPCA" else means.var(0).sum()  # of pPCA exactly
        found["variance"] = 100 * float(spread / data.train.x.var(0).sum())
        if name in (*HEADS, "pPCA"):
            each = stretches(model, params, jax.random.key(4), 200)
            found |= {"stretch": each.mean(0), "rank": float((each > 1e-3 * each[:, :1]).sum(1).mean())}
        if name in HEADS:
            found["sigma"] = float(np.sqrt((residuals(model, params, data.validation.x) ** 2).mean()))
            for label, sigma in (("one", 1.0), ("ml", found["sigma"])):
                bounds = vj.importance_bounds(*renoised(model, params, sigma), jax.random.key(5), test, k=config.k)
                found[label] = float(np.mean(bounds))
            kernels = [vj.kde.fit(means, bandwidth=width) for width in WIDTHS]
            curve = [[float(np.mean(vj.kde.log_density(kde, x))) for kde in kernels] for x in (data.validation.x, test)]
            found |= {"kde_curve": curve[1], "kde": curve[1][np.argmax(curve[0])], "width": WIDTHS[np.argmax(curve[0])]}
        return found

    names = (*HEADS, *config.others)
    grid = study.grid(cell, {name: (name,) for name in names})
    columns = ("output of the decoder's mean", "Fréchet", "precision", "recall", "entropy", "variance, %", "rank")
    numbers = {"mean_frechet": 1, "mean_precision": 2, "mean_recall": 2, "mean_entropy": 2, "variance": 1, "rank": 1}
    study.table(
        "Means as pictures, and the surface that they lie on", columns, grid.rows({n: n for n in names}, numbers)
    )
    columns = ("trained with", "IWAE, noise 1", "σ_ML", "IWAE, noise σ_ML", "kernels on means", "their width")
    numbers = {"one": 1, "sigma": 3, "ml": 1, "kde": 1, "width": 2}
    study.table("Likelihood with noise put back, nats", columns, grid.rows({name: name for name in HEADS}, numbers))
    pictures = images.grid(raw, [drawn(name, 0, 10) for name in names])
    claim = "Beaulac, figures 2 and 8: means of samples look good, but they are no samples of the model."
    study.figure("means", pictures, caption="Rows of ten means: " + ", ".join(names) + ".", claim=claim)
    index = np.arange(1, config.latent_dim + 1)
    lines = {name: (index, np.mean(grid.values(name, "stretch"), 0)) for name in (*HEADS, "pPCA")}
    caption = "How far μ moves with z: singular values of its Jacobian, mean over 200 draws of z."
    study.lines("stretch", lines, x_label="direction", y_label="singular value of dμ/dz", caption=caption)
    lines = {f"kernels, {name}": (WIDTHS, np.mean(grid.values(name, "kde_curve"), 0)) for name in HEADS}
    lines |= {f"IWAE, {name}": ([grid.mean(name, "sigma")], [grid.mean(name, "ml")]) for name in HEADS}
    caption = "Test likelihood of the output of means with noise: kernels on drawn means, and IWAE with σ_ML (dots)."
    study.lines("noise", lines, x_label="noise or width of the kernels, σ", y_label="nats an image", caption=caption)
    rivals = [name for name in config.others if name != "pPCA"]
    say = lambda number, digits=1, of=tuple(HEADS): " and ".join(grid.say(name, number, digits) for name in of)  # noqa: E731
    return study.finish(
        f"A pushforward of N(0, I): with M = {config.latent_dim} its Jacobian has rank {say('rank')} (σ = 1 and σ "
        f"shared), so that x has no density; means keep {say('variance')} % of the data's variance, pPCA's "
        f"{say('variance', of=['pPCA'])} %. Noise makes it a model again: IWAE is {say('one')} nats with σ = 1, "
        f"{say('ml')} with σ_ML = {say('sigma', 3)}, and kernels on means reach {say('kde')}. As pictures means have "
        f"the Fréchet distances {say('mean_frechet')}; {', '.join(rivals)}: {say('mean_frechet', of=rivals)}. So the "
        "goal of drawing is met as well by processes that never had a likelihood, and that of a model only with the "
        "noise.",
        protocol=images.protocol(raw, config.k) + f"; {config.draws} means a fit; kernel widths by validation",
    )
