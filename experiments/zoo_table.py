"""Held-out log-likelihoods of every member of the zoo on the embedded digits: `python -m experiments.zoo_table`.

Pixels are binarised, each 1 with its grey value: in training anew in each step, the test part once (seed 0).
Training stops where the validation part has not improved for `patience` epochs; the best parameters are scored.
Nothing is tuned: small networks, one learning rate, so that the table compares forms, not effort.
"""

import dataclasses
import json
import time
from pathlib import Path

import jax
import numpy as np
import optax
import tyro

import vaejax as vj
from vaejax.page import Page

SHAPE, M = (8, 8, 1), 8
DEEP = (4, 8, 16)


@dataclasses.dataclass(frozen=True)
class Config:
    epochs: int = 300
    patience: int = 40
    k: int = 500
    seeds: int = 1
    test: int = 397
    out: Path = Path("results/zoo_table")

    @classmethod
    def smoke(cls) -> "Config":
        return cls(epochs=1, k=5, test=20)


def members() -> dict:
    small = {"hidden": (256,)}
    flow = vj.zoo.iaf_vae(SHAPE, M, depth=4, flow_hidden=64, **small)
    warm = {"objective": vj.objectives.warm_up(1000)}
    return {
        "VAE": vj.zoo.vae(SHAPE, M, **small),
        "VAE, IWAE-10 objective": vj.zoo.vae(SHAPE, M, objective=vj.objectives.iwae(10), **small),
        "full covariance q": vj.zoo.vae(SHAPE, M, posterior="full", **small),
        "planar flow, 8 steps": vj.zoo.planar_vae(SHAPE, M, **small),
        "linear IAF": vj.zoo.linear_iaf_vae(SHAPE, M, **small),
        "IAF, 4 steps": flow,
        "mixture prior": vj.zoo.vae(SHAPE, M, prior=vj.priors.mixture(20), **small),
        "VampPrior": vj.zoo.vae(SHAPE, M, prior=vj.priors.vamp(50), **small),
        "autoregressive prior": vj.zoo.vae(SHAPE, M, prior=vj.priors.autoregressive(3, 64), **small),
        "convolutional VAE": vj.zoo.conv_vae(SHAPE, M, channels=(16, 32)),
        "hierarchical VAE": vj.zoo.hierarchical_vae(SHAPE, DEEP, hidden=(64, 128, 256), **warm),
        "ladder": vj.zoo.ladder(SHAPE, DEEP, hidden=(64, 128, 256), **warm),
        "BIVA": vj.zoo.biva(SHAPE, DEEP, width=128, **warm),
        "NVAE-style": vj.zoo.nvae(SHAPE, groups=1, channels=8, latent_channels=4, **warm),
    }


def main(config: Config) -> dict:
    data = vj.data.digits()
    test = np.random.default_rng(0).random(data.test.x.shape) * 255 < data.test.x
    test, rows, metrics = test.astype(np.float32)[: config.test], [], {}
    page = Page("The zoo on the digits")
    for name, model in members().items():
        start, keys = time.perf_counter(), jax.random.split(jax.random.key(0), config.seeds)
        options = {"transform": vj.transforms.binarize, "patience": config.patience, "batch_size": 100}
        fits = [vj.fit(model, k, data, epochs=config.epochs, optimizer=optax.adam(1e-3), **options) for k in keys]
        found = [vj.evaluate.log_evidence_estimate(model, f.best, keys[0], test, k=config.k).log_evidence for f in fits]
        each, error = [float(np.mean(values)) for values in found], float(np.std(found[0]) / np.sqrt(len(test)))
        size = sum(leaf.size for leaf in jax.tree.leaves(fits[0].params))
        metrics[name] = {"iwae": each, "standard_error": error, "parameters": size, "k": config.k, "rows": len(test)}
        value = f"{np.mean(each):.2f} ± {error:.2f}"
        seconds = (time.perf_counter() - start) / config.seeds
        rows.append((name, value, f"{size:,}", f"{len(fits[0].history['value'])}", f"{seconds:.0f}"))
        page.console.print(*rows[-1])
    page.table(("model", f"IWAE-{config.k}, nats", "parameters", "epochs", "s"), rows)
    page.write(config.out / "index.html")
    (config.out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    return metrics


if __name__ == "__main__":
    main(tyro.cli(Config))
