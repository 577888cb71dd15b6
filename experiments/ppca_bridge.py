"""Is the VAE probabilistic PCA with networks, and what do the networks add?

From probabilistic PCA to the VAE: EM against the closed form, linear VAE, VAE, and what one hidden layer can do.

Prediction: EM reaches the closed form (MNIST, M = 8: test 154.1), a linear VAE comes within 2 nats, a VAE with one
learned sigma passes it. One hidden layer errs less the wider it is, but not with x² units.
"""

import dataclasses

import jax
import numpy as np

import vaejax as vj
from experiments import images
from experiments.scores import scores
from experiments.study import Study

KINDS, CLIMBS = {"linear VAE": True, "VAE": False}, {"EM": False, "expanded EM": True}
UNITS = {"tanh": np.tanh, "relu": lambda h: np.maximum(h, 0), "x²": np.square}


@dataclasses.dataclass(frozen=True)
class Config(images.Config):
    steps: int = 300
    widths: tuple[int, ...] = (4, 16, 64, 256)

    @classmethod
    def smoke(cls) -> "Config":
        return dataclasses.replace(super().smoke(), steps=20)


def approximate(width: int, unit: str, seed: int) -> dict:
    """Greatest error on [-1, 1] of one hidden layer with random units and the best output weights."""
    rng, x = np.random.default_rng(seed), np.linspace(-1, 1, 2001)
    hidden = UNITS[unit](np.outer(x, rng.normal(scale=8.0, size=width)) + rng.uniform(-8, 8, width))
    hidden, wanted = np.column_stack([hidden, np.ones_like(x)]), np.sin(6 * x) + np.abs(x)
    return {"error": np.abs(hidden @ np.linalg.lstsq(hidden, wanted, rcond=1e-12)[0] - wanted).max()}


def main(config: Config) -> dict:
    study = Study(__name__, config)
    raw = images.load(config.data)
    data = images.rows(raw)
    x, test, dim, m = data.train.x, data.test.x, data.train.x.shape[1], config.latent_dim
    slow = {"learning_rate": 0.02, "cosine": config.epochs * (len(x) // 128)}

    def climb(faster: bool, seed: int) -> dict:
        model, key = vj.PPCA(dim, m), jax.random.key(seed)
        best = vj.em.ppca_exact(model, x)
        params, trace = vj.em.fit(model, key, x, num_steps=config.steps, accelerate=faster, progress=False)
        score = lambda params, rows: np.mean(np.asarray(vj.log_evidences(model, params, rows), float))  # noqa: E731
        gap = score(best, x) - trace.log_likelihood
        return {"gap": gap[1:], "last": gap[-1], "exact": score(best, test), "iwae": score(params, test)}

    def learned(linear: bool, seed: int) -> dict:
        options = {} if linear else {"hidden": config.hidden, "likelihood": vj.heads.normal("shared")}
        model = (vj.zoo.linear_vae if linear else vj.zoo.vae)(dim, m, **options)
        fit = study.fit(model, data, seed=seed, epochs=config.epochs, **(slow if linear else {}))
        return scores(model, fit.best, test, k=config.k)

    em, nets = (study.grid(f, {n: (how,) for n, how in of.items()}) for f, of in ((climb, CLIMBS), (learned, KINDS)))
    layer = study.grid(approximate, {f"{unit}, {width}": (width, unit) for unit in UNITS for width in config.widths})
    rows = [(kind, em.say(kind, "iwae", 1), "the same", "-") for kind in CLIMBS]
    rows += nets.rows({kind: kind for kind in KINDS}, {"iwae": 1, "elbo": 1, "active": 1})
    rows.insert(0, ("closed form", em.say("EM", "exact", 1), "the same", "-"))
    study.table(f"Test images, M = {m}", ("fit by", "ln p(x) or IWAE, nats", "ELBO, nats", "active"), rows)
    steps = np.arange(1, config.steps + 1)
    study.lines(
        "em",
        {kind: (steps, np.maximum(em.cells[f"{kind}, seed 0"]["gap"], 1e-5)) for kind in CLIMBS},
        x_label="EM step",
        y_label="below the maximum, nats a row",
        caption="Training log-likelihood below the closed form, one start (what is under 1e-5 is drawn there).",
        claim="Beaulac, section 4: EM finds the maximum likelihood of pPCA.",
        **(log := {"log_x": True, "log_y": True}),
    )
    study.lines(
        "universality",
        {unit: layer.line({f"{unit}, {width}": width for width in config.widths}, "error") for unit in UNITS},
        x_label="hidden units",
        y_label="greatest error",
        caption="sin 6x + |x| on [-1, 1] by one hidden layer of random units with the best output weights.",
        claim="Beaulac, section 3.5 (which needs units that are no polynomials): universal approximation.",
        **log,
    )
    few, many = config.widths[0], config.widths[-1]
    error = {unit: [f"{layer.mean(f'{unit}, {w}', 'error'):.2g}" for w in (few, many)] for unit in UNITS}
    gain = nets.mean("VAE", "iwae") - em.mean("EM", "exact")
    return study.finish(
        f"Test log-likelihood: closed form {em.say('EM', 'exact', 1)}, EM {em.say('EM', 'iwae', 1)}, linear VAE "
        f"{nets.say('linear VAE', 'iwae', 1)}, VAE {nets.say('VAE', 'iwae', 1)} nats: the networks are worth "
        f"{gain:.1f}. After {config.steps} steps plain EM is {em.say('EM', 'last', 3)} nats below its maximum, "
        f"expanded EM {em.say('expanded EM', 'last', 4)}. From {few} to {many} units the greatest error of one hidden "
        f"layer goes from {', from '.join(f'{a} to {b} ({unit})' for unit, (a, b) in error.items())}.",
        protocol=images.protocol(raw, config.k) + "; pPCA: exact; EM: default start, all training images",
    )
