"""At which fixed sigma does a VAE stop using its latents?

Which sigma makes a VAE collapse? Latents in use at a fixed sigma, beside the eigenvalues above its square.

Prediction: A linear VAE keeps the columns whose eigenvalues exceed sigma^2, none above the first, and their squared
lengths are lambda - sigma^2. A VAE with networks keeps no more.
"""

import dataclasses

import numpy as np

import vaejax as vj
from experiments.harness.study import Study
from experiments.linear import pca
from experiments.shared import pixels

ORDER = 40

KINDS = {"linear VAE": True, "VAE": False}


@dataclasses.dataclass(frozen=True)
class Config(pixels.Config):
    epochs: int = 60
    latent_dim: int = 16
    hidden: tuple[int, ...] = (128,)
    part: int = 10_000
    """Training images."""
    axes: int = 64
    """Principal components that they are given by."""
    shares: tuple[float, ...] = (1.2, 0.6, 0.3, 0.15, 0.05)
    """sigma squared over the largest eigenvalue."""

    @classmethod
    def smoke(cls) -> "Config":
        return dataclasses.replace(super().smoke(), latent_dim=4, epochs=4, shares=(1.2, 0.15))

    @classmethod
    def full(cls) -> "Config":
        return dataclasses.replace(
            super().full(), epochs=400, part=60_000, shares=(1.2, 0.9, 0.6, 0.3, 0.15, 0.1, 0.05)
        )


def main(config: Config) -> dict:
    study = Study(__name__, config)
    values, x = pca.components(pixels.rows(pixels.load(config.data, config.part)).train.x, config.axes)

    def fixed(linear: bool, share: float, seed: int) -> dict:
        slow = {"learning_rate": 0.02, "cosine": config.epochs * (len(x) // 128)}
        head = vj.heads.normal(float(np.sqrt(share * values[0])))
        zoo, options = (vj.zoo.linear_vae, {}) if linear else (vj.zoo.vae, {"hidden": config.hidden})
        model = zoo(x.shape[1], config.latent_dim, likelihood=head, **options)
        params = study.fit(model, x, seed=seed, epochs=config.epochs, **(slow if linear else {})).params
        length = np.sum(np.square(params["decoder"]["layer0"]["kernel"])) if linear else np.nan
        return {"active": vj.evaluate.active_units(model, params, x).count, "length": length}

    mean = float(len(values) / 2 / values[0])  # squared errors as a mean over D pixels: sigma^2 = D/2
    cells = {f"{kind}, {share}": (linear, share) for kind, linear in KINDS.items() for share in config.shares}
    grid = study.grid(fixed, cells | {f"linear VAE, {mean}": (True, mean)})
    values, shares = values[: config.latent_dim], (mean, *config.shares)
    above, lengths = pca.above(values, config.shares)
    study.table(f"Latents in use of {config.latent_dim}", *pca.collapsed(grid, values, tuple(KINDS), shares))
    whole = ", ".join(f"{count} above {variance}" for variance, count in pca.counts(study, config.data).items())
    drawn = {"eigenvalues above σ²": (list(above), list(above.values()))}
    drawn |= {kind: grid.line({f"{kind}, {s}": s for s in config.shares}, "active") for kind in KINDS}
    about = f"Latents in use of {config.latent_dim} (posterior means of variance above 0.01), by a fixed sigma."
    claim = "Beaulac, section 3.6.2: sigma is what drives posterior collapse."
    labels = {"x_label": "fixed σ² over the largest eigenvalue", "y_label": "active latents", "log_x": True}
    study.lines("collapse", drawn, caption=about, claim=claim, **labels)
    more = [str(s) for s in config.shares if grid.mean(f"VAE, {s}", "active") > above[s]]
    far = max(abs(grid.mean(f"linear VAE, {s}", "length") - length) for s, length in lengths.items())
    return study.finish(
        f"Active latents (of {config.latent_dim}) beside the eigenvalues above sigma^2, by sigma^2 / lambda_1 from "
        f"{max(above)} to {min(above)}: the linear VAE has {pca.excess(grid, 'linear VAE', above)}; the VAE with "
        f"networks has {pca.excess(grid, 'VAE', above)}. The prediction that networks keep no more "
        f"{'fails at ' + ', '.join(more) if more else 'holds'}. The linear VAE's squared columns are within {far:.2f} "
        f"of the sum of lambda - sigma^2 (up to {lengths[min(lengths)]:.2f}). Eigenvalues of all images: {whole}; D/2 "
        f"means squared errors averaged over pixels: {grid.say(f'linear VAE, {mean}', 'active', 1)} latents in use.",
        protocol=f"{len(x)} training images by {x.shape[1]} principal components, isotropic noise of fixed sigma, "
        f"{config.epochs} epochs; active: variance of the posterior mean above 0.01; ±: standard errors over seeds",
    )
