"""Parts of `likelihood_table`: the models, their held-out scores, what others report, models in order."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

import vaejax as vj
from experiments.harness.grid import Grid
from experiments.harness.study import Study
from experiments.shared import pixels
from experiments.shared.scores import samples

__all__ = [
    "EXACT",
    "LITERATURE",
    "MORE",
    "NAMES",
    "REDUCED",
    "Models",
    "draw",
    "exact",
    "judged",
    "left_out",
    "members",
    "ranked",
    "scored",
]

_IWAE = "xqding/Importance_Weighted_Autoencoders"
LITERATURE = (  # minus nats; what others report
    ("VAE, 784-400-z", "89.78", "binarised, 200 draws", "pythae"),
    ("IWAE, k = 5 / 50", "87.85 / 86.82", "binarised, 5000 draws", "pythae"),
    ("VAE, one layer, k = 1 / 5 / 50", "87.78 / 87.15 / 87.47", "5000 draws", _IWAE),
    ("IWAE, one layer, k = 1 / 5 / 50", "87.75 / 85.46 / 84.59", "5000 draws", _IWAE),
    ("VAE, two layers, k = 1 / 5 / 50", "89.16 / 91.37 / 89.16", "5000 draws", _IWAE),
    ("IWAE, two layers, k = 1 / 5 / 50", "88.39 / 84.69 / 83.29", "5000 draws", _IWAE),
    ("VampPrior, 500 inputs", "85.79", "binarised, 5000 draws", "pythae"),
    ("ladder, 3 / 6 / 12 layers", "79.24 / 78.52 / 78.30", "static, 1000 draws", "addtt/ladder-vae-pytorch"),
)
REPORTED = {"VAE": "-89.78", "VAE, IWAE-5 objective": "-87.85", "VampPrior": "-85.79"}  # pythae's, of `LITERATURE`
REDUCED = "NVAE-style, reduced"
NAMES = ("VAE", "VAE, IWAE-5 objective", "IAF", "hierarchical", "ladder", "BIVA", "σ-VAE", "VAE, σ(z)")
MORE = ("planar flow", "full covariance", "VampPrior", "mixture prior", "convolutional", REDUCED)
MORE += ("low-rank noise", "continuous Bernoulli")
EXACT = ("pPCA, M = 8", "pPCA, M = 32", "GMM, K = 10")
PREDICTED = (("VAE",), ("VAE, IWAE-5 objective",), ("IAF",), ("hierarchical", "ladder"), ("BIVA",))  # worst first
DRAWN = ("VAE", "hierarchical", "ladder", "BIVA", REDUCED, "NVAE-style")
FLOORS = (1e-6, 1e-5, 1e-4)  # least variances of the mixture's pixels, chosen by the validation images


def members(config: Any, shape: tuple[int, ...]) -> dict[str, tuple[vj.LatentModel, bool]]:
    """The models that `config.models` names, and whether their likelihood is Bernoulli.

    Args:
      config: with `latent_dim`, `hidden`, and `flow` (hidden units of a step of the IAF) of the flat models; `layers`
        (latents) and `units` (hidden) of the hierarchies, top first; BIVA has the last `units` everywhere; `inputs` of
        the VampPrior; `channels` of the convolutions.
      shape: of one image.
    """
    m, flat = config.latent_dim, {"hidden": config.hidden}
    warm = {"objective": vj.objectives.warm_up(300)}
    deep = {"hidden": config.units} | warm
    one = lambda **how: vj.zoo.vae(shape, m, **flat, **how)  # noqa: E731
    models = {
        "VAE": vj.zoo.vae(shape, m, **flat),
        "VAE, IWAE-5 objective": one(objective=vj.objectives.iwae(5)),
        "IAF": vj.zoo.iaf_vae(shape, m, depth=2, flow_hidden=config.flow, **flat),
        "hierarchical": vj.zoo.hierarchical_vae(shape, config.layers, **deep),
        "ladder": vj.zoo.ladder(shape, config.layers, **deep),
        "BIVA": vj.zoo.biva(shape, config.layers, width=config.units[-1], **warm),
        "NVAE-style": vj.zoo.nvae(shape, channels=16, **warm),
        REDUCED: vj.zoo.nvae(shape, channels=16),
        "σ-VAE": vj.zoo.sigma_vae(shape, m, **flat),
        "VAE, σ(z)": one(likelihood=vj.heads.normal("per_pixel")),
        "planar flow": vj.zoo.planar_vae(shape, m, **flat),
        "full covariance": one(posterior="full"),
        "VampPrior": one(prior=vj.priors.vamp(config.inputs)),
        "mixture prior": one(prior=vj.priors.mixture(20)),
        "convolutional": vj.zoo.conv_vae(shape, m, channels=config.channels),
        "low-rank noise": one(likelihood=vj.heads.low_rank_normal(4)),
        "continuous Bernoulli": one(likelihood=vj.heads.continuous_bernoulli()),
    }
    return {name: (models[name], models[name].likelihood_head == vj.heads.bernoulli()) for name in config.models}


class Models:
    """Fits of one study, by the name of the model and the seed, and their scores."""

    def __init__(self, study: Study, config: Any, data: vj.data.Dataset):
        self.study, self.config, self.data = study, config, data
        self.levels, self.reported = (17, {}) if config.data == "digits" else (256, REPORTED)
        self.members = members(config, data.train.x.shape[1:])
        few = data.train.take(slice(0, config.reduced[0]))
        self.few = vj.data.Dataset(few, data.validation, data.test, notes=data.notes)

    def label(self, name: str) -> str:
        """What stands in the table: how the reduced model was trained, too."""
        config = self.config
        said = f"{config.reduced[0]} images x {config.reduced[1]} epochs, IWAE-{max(config.k // 10, 1)}"
        return f"{name}: {said}" if name == REDUCED else name

    def fitted(self, name: str, seed: int = 0) -> tuple[vj.LatentModel, vj.Fit]:
        """A model with networks; finished fits are read."""
        (model, binary), config = self.members[name], self.config
        transform = vj.transforms.binarize if binary else vj.transforms.dequantize(self.levels)
        if name == REDUCED:
            how = {"seed": seed, "epochs": config.reduced[1], "batch_size": 100, "transform": transform}
            return model, self.study.fit(model, self.few, **how)
        return model, self.study.fit(model, self.data, seed=seed, epochs=config.epochs, transform=transform)

    def numbers(self, name: str, seed: int) -> dict[str, Any]:
        """Bounds of held-out images; a tenth of the draws for the reduced model, which is slow."""
        if name not in self.members:
            return exact(name, pixels.rows(self.data, pixels.dequantised), seed, self.levels)
        binary, k = self.members[name][1], self.config.k
        test = pixels.binary(self.data.test) if binary else pixels.dequantised(self.data.test)
        how = {"k": max(k // 10, 1) if name == REDUCED else k, "levels": 1 if binary else self.levels}
        return scored(*self.fitted(name, seed), test, 100 + seed, **how)

    def drawn(self, names: Sequence[str]) -> list[np.ndarray]:
        """Ten means of x given sampled latents of each model, seed 0."""
        fits = {name: self.fitted(name) for name in names}
        return [samples(model, fit.best, 1, 10, mode="mean") for model, fit in fits.values()]


def scored(model: Any, fit: vj.Fit, test: np.ndarray, seed: int, *, k: int, levels: int) -> dict[str, Any]:
    """Bounds on held-out rows, the error of IWAE-k over them, millions of parameters, seconds of training.

    `levels` are those of dequantised pixels, 1 of binarised ones: bits a dimension are of the former.
    """
    found = vj.evaluate.run(model, fit.best, jax.random.key(seed), test, k=k, levels=levels, progress=False, quick=True)
    return {name: score.value for name, score in found.items()} | {
        "error": found["iwae"].standard_error,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(fit.best)) / 1e6,
        "seconds": fit.history["seconds"].sum(),
    }


def exact(name: str, data: vj.data.Dataset, seed: int, levels: int) -> dict[str, Any]:
    """The same numbers of a model without networks, `"pPCA, M = 8"` or `"GMM, K = 10"`, whose log p(x) is exact.

    pPCA is fitted in closed form; a mixture (diagonal) by EM, its least variance chosen by the validation rows.
    """
    x, test, start = data.train.x, data.test.x, time.perf_counter()
    size, score = (
        int(name.rsplit(" ", 1)[1]),
        lambda params, rows: np.asarray(vj.evaluate.exact_log_evidence(model, params, rows)),
    )
    if name.startswith("pPCA"):
        model = vj.PPCA(x.shape[1], size)
        params = vj.em.ppca_exact(model, x)
    else:
        model, how = vj.GMM(size, x.shape[1], "diag"), {"num_steps": 30, "tol": 0.1, "progress": False}
        fits = [vj.em.fit(model, jax.random.key(seed), x, variance_floor=floor, **how)[0] for floor in FLOORS]
        params = max(fits, key=lambda params: score(params, data.validation.x).mean())
    seconds, found = time.perf_counter() - start, score(params, test).astype(float)
    return {
        "iwae": found.mean(),
        "error": found.std(ddof=1) / np.sqrt(len(found)),
        "bits_per_dimension": np.log2(levels) - found.mean() / x.shape[1] / np.log(2),
        "parameters": sum(np.size(leaf) for leaf in jax.tree.leaves(params)) / 1e6,
        "seconds": seconds,
    }


def ranked(grid: Grid, order: Sequence[str], numbers: Mapping[str, str]) -> tuple[Figure, dict[str, Any]]:
    """Lines `{label: number}` over named variants in this order, and the series that are drawn."""
    places = {name: i for i, name in enumerate(order)}
    series = {label: grid.line(places, number) for label, number in numbers.items()}
    figure = vj.plots.lines(series, x_label="", y_label="nats an image")
    figure.axes[0].set_xticks(range(len(order)), order, rotation=20, ha="right", fontsize=8)
    return figure, series


def left_out(models: Models) -> str:
    """Why the reduced model is not among those in order, if there is one."""
    if REDUCED not in models.members:
        return ""
    rows, epochs = models.config.reduced
    return (
        " The NVAE-style model stands in the table only, not here nor in the order of the answer: it was trained on "
        f"{rows} images for {epochs} epochs and scored with a tenth of the draws."
    )


def draw(study: Study, grid: Grid, models: Models, order: Sequence[str]) -> None:
    """The bounds of these models, worst first, and samples of the hierarchies beside those of the VAE."""
    figure, series = ranked(grid, order, {f"IWAE-{models.config.k}": "iwae", "ELBO": "elbo"})
    study.figure(
        "likelihoods",
        figure,
        caption="Held-out bounds of the models with binarised pixels, sorted; bands: one standard error over seeds."
        + left_out(models),
        claim="Mittas, section 6: deep hierarchies such as BIVA have better test likelihoods than flat models.",
        series=series,
    )
    shown = [name for name in DRAWN if name in models.members]
    study.figure(
        "samples",
        pixels.grid(models.data, models.drawn(shown), shown),
        caption="Probabilities of a one given ten draws of the latents of each model, seed 0.",
        claim="Mittas, figure 14, of faces by NVAE: a deep hierarchy's samples are sharp, those of normal VAEs blurry.",
    )


def judged(grid: Grid, order: Sequence[str], reported: Mapping[str, str]) -> str:
    """Where the predictions held: the order, the span, and how far the measured are from the reported numbers."""
    place = {name: i for i, names in enumerate(PREDICTED) for name in names if name in order}
    pairs = [(a, b) for a in place for b in place if place[a] < place[b]]
    wrong = [f"{a} before {b}" for a, b in pairs if order.index(a) > order.index(b)]
    values = [grid.mean(name, "iwae") for name in place]
    beyond = {name: grid.mean(name, "iwae") - float(reported[name]) for name in order if name in reported}
    apart = ", ".join(f"{name} {value:+.1f}" for name, value in beyond.items())
    if apart:
        apart = f" Measured minus reported (predicted: below 0): {apart}."
    held = f"wrong are {len(wrong)} ({'; '.join(wrong)})" if wrong else "all hold"
    return (
        f"Of the {len(pairs)} predicted pairs, {held}; these models span {max(values) - min(values):.1f} nats "
        f"(predicted: within 10).{apart}"
    )
