"""What is the process that outputs μ(z), and did it reach the goal of a generative model?

The distribution of mu(z) lies on a surface of at most M dimensions: it has no density, and less variance than the
data. Measured: the surface's rank, the variance, the likelihood with noise put back, means of other processes.

Prediction: A pushforward of N(0, I): rank at most M, hence no density; pPCA with M = 8 keeps 43.1 % of the variance
(exact). The fit with σ = 1 gains hundreds of nats with σ_ML. As pictures, an autoencoder with a GMM and a two-stage
VAE are no worse than means of a VAE.
"""

import dataclasses

import vaejax as vj
from experiments.harness.study import Study, judge
from experiments.questions import surface
from experiments.shared import linear_model, pixels
from experiments.shared.phrases import listed
from experiments.shared.scores import quality

ORDER = 190

HEADS = {"σ = 1": vj.heads.normal(1.0), "σ shared": vj.heads.normal("shared")}
OTHERS = {"AE": vj.zoo.autoencoder, "two-stage": vj.zoo.two_stage}
LOOKS = {"Fréchet": ("mean_frechet", 1), "precision": ("mean_precision", 2), "recall": ("mean_recall", 2)}
LOOKS |= {"entropy": ("mean_entropy", 2), "variance, %": ("variance", 1), "rank": ("rank", 1)}


@dataclasses.dataclass(frozen=True)
class Config(pixels.Config):
    draws: int = 10_000
    """Mean samples of the kernel density estimate."""
    others: tuple[str, ...] = ("σ shared + GMM", "AE + GMM", "two-stage", "pPCA")

    @classmethod
    def smoke(cls) -> "Config":
        return dataclasses.replace(super().smoke(), draws=1000, others=("AE + GMM", "pPCA"))


def main(config: Config) -> dict:
    study, raw = Study(__name__, config), pixels.load(config.data)
    data, judged, names = pixels.rows(raw), judge(config, raw), (*HEADS, *config.others)
    coded = {name: data.train.x if "GMM" in name else None for name in names}  # rows that a mixture is fitted to

    def fitted(name: str, seed: int) -> tuple:
        kind = name.removesuffix(" + GMM")
        if kind == "pPCA":
            return linear_model.ppca(data.train.x, config.latent_dim)
        how = {"likelihood": HEADS[kind]} if kind in HEADS else {}
        zoo = OTHERS.get(kind, vj.zoo.vae)
        model = zoo(data.train.x.shape[1], config.latent_dim, hidden=config.hidden, **how)
        return model, study.fit(model, data, seed=seed, epochs=config.epochs).best

    def cell(name: str, seed: int) -> dict:
        model, params = fitted(name, seed)
        means = surface.means(model, params, seed, config.draws, coded[name])
        found = quality("mean", means[: len(data.test.x)], data.test.x, judged)
        found["variance"] = surface.variance(model, params, means, data.train.x)
        if name in (*HEADS, "pPCA"):
            found |= surface.slopes(model, params)
        if name in HEADS:
            found |= surface.with_noise(model, params, data, k=config.k) | surface.kernels(means, data)
        return found

    grid = study.grid(cell, {name: (name,) for name in names})
    study.compare("Means, and the surface that they lie on", grid, names, LOOKS, first="output of the decoder's mean")
    study.compare("Likelihood with noise put back, nats", grid, list(HEADS), surface.NOISE, first="trained with")
    pictures = pixels.grid(raw, [surface.means(*fitted(name, 0), 0, 10, coded[name]) for name in names], names)
    claim = "Beaulac, figures 2 and 8: means of samples look good, but they are no samples of the model."
    study.figure("means", pictures, caption="Ten means of each.", claim=claim)
    surface.curves(study, grid, HEADS, "pPCA")
    best = min(names, key=lambda name: grid.mean(name, "mean_frechet"))
    say = lambda number, digits=1, of=tuple(HEADS): " and ".join(grid.say(name, number, digits) for name in of)  # noqa: E731
    met = "by a process that never had a likelihood" if best[:2] == "AE" else "by means of a model"
    return study.finish(
        f"A pushforward of N(0, I): with M = {config.latent_dim} its Jacobian has rank {say('rank')} (σ = 1 and σ "
        f"shared), so that x has no density; means keep {say('variance')} % of the data's variance, pPCA's "
        f"{say('variance', of=['pPCA'])} % (predicted: 43.1). Noise makes it a model again: IWAE is {say('one')} nats "
        f"with σ = 1, {say('wide')} with the σ² = D/2 that a mean of squared errors implies, {say('ml')} with σ_ML = "
        f"{say('sigma', 3)}, and kernels on means reach {say('kde')}. By the Fréchet distance means are "
        f"{say('mean_frechet')} from test images, {listed(grid, config.others, 'mean_frechet', 1)}: the goal of "
        f"drawing is met best {met} ({best}), that of a model only with noise.",
        protocol=pixels.protocol(raw, config.k) + f"; {config.draws} means a fit; kernel widths by validation",
    )
