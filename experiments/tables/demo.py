"""The main job on embedded data: `python -m experiments.tables.demo [--out FOLDER] [--smoke]`.

Mixtures and linear Gaussian models by EM and variational autoencoders by gradients, compared by held-out
likelihood on the 8x8 digits, and mixtures on a synthetic set whose entropy is known.
"""

import dataclasses
import time
import warnings
from pathlib import Path

import jax
import numpy as np
import tyro

import vaejax as vj
from experiments.tables.climb import climb
from vaejax.plots.page import Page


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the demo."""

    out: Path = Path("out/demo")
    """Folder that the page is written to."""
    steps: int = 100
    """EM steps at most."""
    restarts: int = 3
    """Starting points of each mixture."""
    epochs: int = 250
    """Epochs of each autoencoder at most."""
    k: int = 100
    """Draws a test image for the autoencoders' likelihoods."""
    seed: int = 0
    """Of starting points, dequantisation and samples."""

    @staticmethod
    def smoke() -> "Config":
        return Config(steps=5, restarts=1, epochs=2, k=5)


def fit(config: Config, model, x, **options):
    start = time.perf_counter()
    restarts = config.restarts if (model.num_components or 1) > 1 else 1
    key = jax.random.key(config.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", vj.em.DegenerateFit)  # the tables mark such a fit
        params, trace = vj.em.fit(model, key, x, num_steps=config.steps, num_restarts=restarts, tol=1e-4, **options)
    return params, trace, time.perf_counter() - start


def mixture(config: Config, page: Page) -> None:
    page.heading("A synthetic mixture of three Gaussians")
    data = vj.data.gaussian_mixture(4000, seed=config.seed)
    page.paragraph(
        "4000 points to fit, 2000 held out; exact mean log-likelihood in nats. "
        "No model can average above minus the entropy, -3.9365."
    )
    rows, fits = [], {}
    for k in range(1, 6):
        model = vj.GMM(k, 2)
        params, trace, seconds = fit(config, model, data.train.x)
        fits[k] = model, params, trace
        scores = np.asarray(vj.evaluate.exact_log_evidence(model, params, data.test.x))
        error = scores.std() / np.sqrt(len(scores))
        bic = vj.evaluate.bic(model, params, data.train.x)
        rows.append(
            (f"GMM, K={k}", f"{scores.mean():.3f} ± {error:.3f}", f"{bic:,.0f}", str(trace.steps), f"{seconds:.1f}")
        )
    page.table(("model", "held-out, nats", "BIC of train", "steps", "s"), rows)
    best = min(fits, key=lambda k: vj.evaluate.bic(*fits[k][:2], data.train.x))
    page.paragraph(f"BIC (lower is better) chooses K={best}.")
    page.figures(
        {
            "The chosen mixture: one and two standard deviations": vj.plots.ellipses(data.train.x, *fits[best][:2]),
            "EM never goes down": vj.plots.curves(
                {f"K={k}": trace.objective[: int(trace.steps) + 1] for k, (_, _, trace) in fits.items()},
                x_label="EM step",
                y_label="objective, nats a point",
                log_x=True,
            ),
        }
    )


def digits(config: Config, page: Page) -> dict[str, tuple[float, float]]:
    page.heading("Handwritten digits, 8x8")
    data = vj.data.digits(seed=config.seed)
    parts = {
        name: vj.data.dequantize(getattr(data, name).x, levels=17, seed=config.seed + i).reshape(-1, 64)
        for i, name in enumerate(("train", "validation", "test"))
    }
    page.paragraph(
        f"{len(data.train)} images to fit, {len(data.validation)} to choose by, "
        f"{len(data.test)} to test (other writers). "
        "Exact mean log-density in nats of dequantised pixels, (k + u)/17; "
        "bits a pixel bound the code length of the grey levels. MAP: 50 pseudo-images of the data's variances behind "
        "each covariance. *: the likelihood of some components is no evidence for them (too few images, or the floor)."
    )
    models = {
        "Gaussian": vj.GMM(1, 64),
        "GMM 10, spherical": vj.GMM(10, 64, "spherical"),
        "GMM 10, diagonal": vj.GMM(10, 64, "diag"),
        "GMM 10, tied": vj.GMM(10, 64, "tied"),
        "GMM 10, full": vj.GMM(10, 64),
        "GMM 10, full, MAP": vj.GMM(10, 64),
        "pPCA, M=10": vj.PPCA(64, 10),
        "pPCA, M=20": vj.PPCA(64, 20),
        "factors, M=20": vj.FactorAnalysis(64, 20),
        "10 pPCAs, M=8": vj.PPCAMixture(10, 64, 8),
    }
    rows, fits, scores, key = [], {}, {}, jax.random.key(config.seed)
    for name, model in models.items():
        options = {"prior_count": 50.0} if name.endswith("MAP") else {}
        params, trace, seconds = fit(config, model, parts["train"], **options)
        fits[name] = model, params
        held = {
            part: np.asarray(vj.evaluate.exact_log_evidence(model, params, parts[part]))
            for part in ("validation", "test")
        }
        error, mean = held["test"].std() / np.sqrt(len(held["test"])), held["test"].mean()
        bits, scores[name] = np.log2(17) - mean / 64 / np.log(2), (mean, error)
        cells = f"{trace.log_likelihood[-1]:.1f}", f"{held['validation'].mean():.1f}", f"{mean:.1f} ± {error:.1f}"
        name += " *" * bool(trace.degenerate.any())
        rows.append((name, *cells, f"{bits:.3f}", f"{model.num_parameters:,}", f"{seconds:.1f}"))
    start = time.perf_counter()
    kde = vj.kde.fit(parts["train"], bandwidth="cv", seed=config.seed)
    train = "-"
    held = {part: np.asarray(vj.kde.log_density(kde, parts[part])) for part in ("validation", "test")}
    mean, error = held["test"].mean(), held["test"].std() / np.sqrt(len(held["test"]))
    bits, seconds = np.log2(17) - mean / 64 / np.log(2), time.perf_counter() - start
    cells = train, f"{held['validation'].mean():.1f}", f"{mean:.1f} ± {error:.1f}"
    rows.append((f"KDE, h={float(kde.scale):.3f}", *cells, f"{bits:.3f}", "", f"{seconds:.1f}"))
    columns = ("model", "train", "valid.", "test, nats", "bits/px", "params", "s")
    page.table(columns, rows)
    show = lambda x: np.asarray(x).reshape(-1, 8, 8)  # noqa: E731
    draw = lambda name, mode: show(  # noqa: E731
        jax.vmap(lambda k: vj.sample(*fits[name], k, mode=mode))(jax.random.split(key, 20))
    )
    linear, mixed = "pPCA, M=10", "10 pPCAs, M=8"
    page.figures(
        {
            "Data": vj.plots.image_grid(show(parts["train"][:20])),
            "Means of the spherical mixture": vj.plots.image_grid(show(fits["GMM 10, spherical"][1]["means"])),
            "Columns of pPCA's W (their sign and rotation are arbitrary)": vj.plots.image_grid(
                show(fits[linear][1]["weight"].T), symmetric=True, scale="weight"
            ),
            "pPCA: samples of x, with the decoder's noise": vj.plots.image_grid(draw(linear, "ancestral")),
            "pPCA: means of x given sampled z, another process than the model": vj.plots.image_grid(
                draw(linear, "mean")
            ),
            "Mixture of pPCAs: samples of x": vj.plots.image_grid(draw(mixed, "ancestral")),
        }
    )
    return {name: scores[name] for name in ("GMM 10, full, MAP", "pPCA, M=20")}


def main(config: Config) -> Path:
    start = time.perf_counter()
    page = Page("vaejax: latent-variable models with likelihoods to trust")
    mixture(config, page)
    climb(config, page, digits(config, page))
    page.paragraph(
        f"python -m experiments.tables.demo, seed {config.seed}, JAX {jax.__version__} on "
        f"{jax.devices()[0].device_kind}, {time.perf_counter() - start:.0f} s."
    )
    path = config.out / "index.html"
    page.write(path)
    print(f"The page with the pictures: {path.resolve()}")
    return path


if __name__ == "__main__":
    main(tyro.cli(Config))
