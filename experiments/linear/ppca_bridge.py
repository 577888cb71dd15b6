"""Is the VAE probabilistic PCA with networks, and what do the networks add?

From probabilistic PCA to the VAE: EM against the closed form, linear VAE, VAE, and what one hidden layer can do.

Prediction: EM reaches the closed form (MNIST, M = 8: test 154.1; to 0.05 nats in 300 steps, but 2 to 5 nats off from
weights N(0, 1) and a variance of 1), a linear VAE comes within 2 nats, a VAE with one
learned sigma passes it. One hidden layer errs less the wider it is, but not with x² units.
"""

import dataclasses

import numpy as np

import vaejax as vj
from experiments.harness.study import Study
from experiments.linear import pca
from experiments.shared import pixels
from experiments.shared.scores import scores

ORDER = 30

KINDS = {"linear VAE": True, "VAE": False}


@dataclasses.dataclass(frozen=True)
class Config(pixels.Config):
    steps: int = 300
    """Steps of EM."""
    widths: tuple[int, ...] = (4, 16, 64, 256)
    """Hidden units of the one layer."""

    @classmethod
    def smoke(cls) -> "Config":
        return dataclasses.replace(super().smoke(), steps=20)


def main(config: Config) -> dict:
    study = Study(__name__, config)
    raw = pixels.load(config.data)
    data, m = pixels.rows(raw), config.latent_dim
    x, test = data.train.x, data.test.x

    def learned(linear: bool, seed: int) -> dict:
        slow = {"learning_rate": 0.02, "cosine": config.epochs * (len(x) // 128)}
        options = {} if linear else {"hidden": config.hidden, "likelihood": vj.heads.normal("shared")}
        model = (vj.zoo.linear_vae if linear else vj.zoo.vae)(x.shape[1], m, **options)
        fit = study.fit(model, data, seed=seed, epochs=config.epochs, **(slow if linear else {}))
        return scores(model, fit.best, test, k=config.k)

    em = study.grid(pca.climb, {kind: (x, test, m, config.steps, *how) for kind, how in pca.CLIMBS.items()})
    whole = study.measure({"closed form": lambda: pca.scored(*pca.every(config.data), m)})["closed form"]
    nets = study.grid(learned, {kind: (linear,) for kind, linear in KINDS.items()})
    cells = {f"{unit}, {width}": (width, unit) for unit in pca.UNITS for width in config.widths}
    layer = study.grid(pca.approximate, cells)
    exact = {"closed form": em.say("EM", "exact", 1)} | {kind: em.say(kind, "iwae", 1) for kind in pca.CLIMBS}
    rows = [(kind, said, "the same", "-") for kind, said in exact.items()]
    rows += nets.rows({kind: kind for kind in KINDS}, {"iwae": 1, "elbo": 1, "active": 1})
    study.table(f"Test images, M = {m}", ("fit by", "ln p(x) or IWAE, nats", "ELBO, nats", "active"), rows)
    known = pca.known(whole, em, (config.data, m, config.steps) == ("mnist", 8, 300))
    known = [(what, said.replace("-0.000", "0.000"), reference) for what, said, reference in known]
    study.table(f"All images, and EM after {config.steps} steps", ("", "measured", "reference"), known)
    steps = np.arange(1, config.steps + 1)
    gap = {kind: (steps, np.maximum(em.cells[f"{kind}, seed 0"]["gap"], 1e-5)) for kind in pca.CLIMBS}
    log, labels = {"log_x": True, "log_y": True}, {"x_label": "EM step", "y_label": "below the maximum, nats a row"}
    about = "Training log-likelihood below the closed form, one start (what is under 1e-5 is drawn there)."
    claim = "Beaulac, section 4: EM finds the maximum likelihood of pPCA."
    study.lines("em", gap, caption=about, claim=claim, **labels, **log)
    error = {unit: layer.line({f"{unit}, {width}": width for width in config.widths}, "error") for unit in pca.UNITS}
    about = "sin 6x + |x| on [-1, 1] by one hidden layer of random units with the best output weights."
    claim = "Beaulac, section 3.5 (which needs units that are no polynomials): universal approximation."
    labels = {"x_label": "hidden units", "y_label": "greatest error"}
    study.lines("universality", error, caption=about, claim=claim, **labels, **log)
    spans = ", from ".join(f"{y[0]:.2g} to {y[-1]:.2g} ({unit})" for unit, (_, y, _) in error.items())
    gain = nets.mean("VAE", "iwae") - em.mean("EM", "exact")
    return study.finish(
        f"Test log-likelihood: closed form {exact['closed form']}, EM {exact['EM']}, linear VAE "
        f"{nets.say('linear VAE', 'iwae', 1)}, VAE {nets.say('VAE', 'iwae', 1)} nats: the networks are worth "
        f"{gain:.1f}. The closed form of all images has {whole['test']:.2f} (predicted for MNIST: 154.1). "
        f"{pca.ends(em, config.steps)} From {config.widths[0]} to {config.widths[-1]} units the greatest error of one "
        f"hidden layer goes from {spans}.",
        protocol=pixels.protocol(raw, config.k) + "; pPCA: exact; EM: all training images",
    )
