"""Estimates of log p(x) beside the truth, where it is known: `python -m experiments.tables.evidence_table`.

pPCA in closed form on the dequantised digits (k+u over 17) and MNIST (k+u over 256). Its own q is exact. Here the
latents are turned at random, and proposals are a diagonal Gaussian with the posterior's mean and `spread` times its
marginal deviations, which is no posterior of this model, and the prior. Annealing starts from the prior.
"""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import vaejax as vj
from vaejax.plots.page import Page


@dataclasses.dataclass(frozen=True)
class Config:
    latent_dim: int = 8
    spread: float = 1.5
    rows: int = 64
    draws: tuple[int, ...] = (1, 10, 100, 1000, 5000)
    chains: int = 16
    temperatures: int = 500
    mnist: bool = True
    out: Path = Path("results/evidence_table")

    @classmethod
    def smoke(cls) -> "Config":
        return cls(rows=3, draws=(1, 10), chains=2, temperatures=5, mnist=False)


@vj.recipes.static
class Proposed(vj.LatentModel):
    inner: vj.PPCA
    spread: float  # 0: q is the prior
    event_shape = property(lambda self: self.inner.event_shape)
    init = lambda self, key: self.inner.init(key)  # noqa: E731
    prior = lambda self, params, context=None: self.inner.prior(params)  # noqa: E731
    likelihood = lambda self, params, h, context=None: self.inner.likelihood(params, h)  # noqa: E731
    event_shape = property(lambda self: self.inner.event_shape)

    def posterior(self, params, x, context=None):
        q = self.inner.posterior(params, x)
        deviations = self.spread * jnp.sqrt(jnp.sum(q.scale_tril**2, 1))
        return vj.distributions.Normal(q.loc, deviations) if self.spread else self.inner.prior(params)


def estimates(config: Config, model: vj.PPCA, params: dict, x: np.ndarray) -> dict[str, vj.evaluate.Evidence]:
    key, weigh = jax.random.key(0), vj.evaluate.log_evidence_estimate
    found = {"exact": weigh(model, params, key, x)}
    for told, spread in (("diagonal q", config.spread), ("the prior", 0.0)):
        for k in config.draws:
            found[f"IWAE-{k} from {told}"] = weigh(Proposed(model, spread), params, key, x, k=k)
    how = {"num_chains": config.chains, "num_temperatures": config.temperatures}
    return found | {"AIS": vj.evaluate.ais(model, params, key, x, **how)}


def main(config: Config) -> dict:
    page, metrics, sets = Page("Evidence, exact and estimated"), {}, {"digits": (vj.data.digits(), 17)}
    for name, (data, levels) in (sets | ({"mnist": (vj.data.mnist(), 256)} if config.mnist else {})).items():
        train, test = (vj.data.dequantize(part.x, levels=levels, seed=0) for part in (data.train, data.test))
        model, rows, metrics[name] = vj.PPCA(train[0].size, config.latent_dim), [], {}
        params = vj.em.ppca_exact(model, train)
        turn = np.linalg.qr(np.random.default_rng(0).normal(size=(config.latent_dim,) * 2))[0].astype(np.float32)
        found = estimates(config, model, params | {"weight": params["weight"] @ turn}, test[: config.rows])
        for method, estimate in found.items():
            gap, (mean, error) = estimate.log_evidence - found["exact"].log_evidence, estimate.mean
            off, spread = float(gap.mean()), float(gap.std(ddof=1) / np.sqrt(len(gap)))
            stated, ess = np.median(estimate.standard_error), np.median(estimate.ess)
            metrics[name][method] = {"mean": mean, "standard_error": error, "minus_exact": off, "its_error": spread}
            cells = f"{mean:.2f} ± {error:.2f}", f"{off:.3f} ± {spread:.3f}", f"{stated:.2g}", f"{ess:.3g}"
            rows.append((method, *cells))
        page.heading(f"pPCA({config.latent_dim}) on {name}: {config.rows} test images, {found['AIS'].protocol}")
        page.table(("estimate", "nats", "minus exact", "stated error, median", "effective draws, median"), rows)
    page.write(config.out / "index.html")
    (config.out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    return metrics


if __name__ == "__main__":
    main(tyro.cli(Config))
