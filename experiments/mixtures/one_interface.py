"""How well does each kind of model describe one set of points, by one number?

Points on a lemniscate with noise: the density that each model gives the plane, and its held-out log-likelihood. Minus
the entropy of the points is the most that any model can score.

Prediction: Mixtures come close to the entropy, and so do VAEs, which can bend the plane; one Gaussian cannot.
"""

import dataclasses
import functools

import jax
import numpy as np
from matplotlib.figure import Figure

import vaejax as vj
from experiments.harness.study import Base, Study

ORDER = 10

ENTROPY = 0.8848  # nats a point, by quadrature: vj.data.figure_eight, tests/data/test_synthetic.py
PLANE = {"hidden": (128, 128), "likelihood": vj.heads.normal("shared"), "objective": vj.objectives.warm_up(3000)}
MODELS = {
    "one Gaussian": vj.GMM(1, 2),
    "PPCA mixture, 12": vj.PPCAMixture(12, 2, 1),
    "GMM, 12": vj.GMM(12, 2),
    "VAE": vj.zoo.vae(2, 2, **PLANE),
    "VAE, IAF posterior": vj.zoo.iaf_vae(2, 2, flow_hidden=32, **PLANE),
    "hierarchical VAE": vj.zoo.hierarchical_vae(2, (2, 2), **PLANE),
}


@dataclasses.dataclass(frozen=True)
class Config(Base):
    seeds: int = 1
    points: int = 10_000
    epochs: int = 100
    k: int = 500
    side: int = 90
    """Points of the grid along each axis."""

    @classmethod
    def smoke(cls) -> "Config":
        return cls.small(points=500, epochs=2, k=10, side=20)


def main(config: Config) -> dict:
    study = Study(__name__, config)
    data = vj.data.figure_eight(config.points, noise_variance=0.02, seed=0)
    axis = np.linspace(-1.2, 1.2, config.side, dtype=np.float32)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)

    def cell(name: str, seed: int) -> dict:
        model, key = MODELS[name], jax.random.key(seed + 100)
        if isinstance(model, vj.GMM | vj.PPCAMixture):
            params, _ = vj.em.fit(model, key, data.train.x, num_steps=200, num_restarts=3, tol=1e-6)
        else:
            params = study.fit(model, data, seed=seed, epochs=config.epochs, batch_size=100, learning_rate=2e-3).best
        score = functools.partial(vj.evaluate.log_evidence_estimate, model, params, key, k=config.k)
        return {"log_likelihood": score(data.test.x).mean[0], "grid": score(grid).log_evidence}

    found = study.grid(cell, {name: (name,) for name in MODELS})
    figure = Figure(figsize=(10, 6.8), layout="constrained")
    for axes, name in zip(figure.subplots(2, 3, sharex=True, sharey=True).ravel(), MODELS, strict=True):
        density = np.exp(np.array(found.cells[f"{name}, seed 0"]["grid"], float)).reshape(config.side, config.side)
        shown = axes.imshow(density, origin="lower", extent=(-1.2, 1.2) * 2, cmap="magma", vmin=0, vmax=1.0)
        axes.set_title(f"{name}: {found.mean(name, 'log_likelihood'):.3f} nats", fontsize=12)
        axes.set(xticks=[-1, 0, 1], yticks=[-1, 0, 1], xlabel="$x_1$", ylabel="$x_2$")
        axes.label_outer()
    figure.colorbar(shown, ax=figure.axes, label="density p(x)")
    best = f"Held-out log-likelihood, nats a point; no model can pass {-ENTROPY:.3f}, minus the entropy."
    figure.suptitle(best, fontsize=12)
    study.figure("densities", figure, caption=f"Six densities. {best} Bright specks are the noise of IWAE's draws.")
    ranked = sorted(MODELS, key=lambda name: -found.mean(name, "log_likelihood"))
    study.compare("Held-out", found, ranked, {"nats a point": ("log_likelihood", 3)})
    said = ", ".join(f"{name} {found.mean(name, 'log_likelihood'):.3f}" for name in ranked)
    return study.finish(
        f"Nats a point, best first: {said}; minus the entropy is {-ENTROPY:.3f} (predicted: all but one Gaussian "
        "come close to it).",
        protocol=f"{config.points} points of the figure eight, noise of variance 0.02, {len(data.test)} held out; "
        f"exact for mixtures, IWAE-{config.k} for VAEs; one seed",
    )
