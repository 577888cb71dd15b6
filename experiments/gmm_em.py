"""Does every E step and every M step raise the bound, what is Jensen's gap, and when does EM diverge?

EM raises one bound in two ways: the bound after every E and M step, Jensen's gap, any q, and the singularity.

Prediction: No step lowers it; after an E step it is ln p(x); bound + KL = ln p(x) for any q. With K = 2 the log-
likelihood rises by D ln 10 = 4.61 nats for each tenth of the floor on sigma; with K = 1 or a prior it does not. Test
NLL: 5.687 with K = 1 (Gaussian maximum likelihood), the entropy 3.937 with K = 3.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

import vaejax as vj
from experiments import mixtures
from experiments.study import Base, Study

FLOORS = {f"1e-{n}": 10.0**-n for n in (2, 4, 6, 8, 10)}
KINDS = {"K = 1": (1, 0.0), "K = 2": (2, 0.0), "K = 2 with a prior": (2, 1.0)}


@dataclasses.dataclass(frozen=True)
class Config(Base):
    seeds: int = 5
    count: int = 2000
    steps: int = 40
    components: tuple[int, ...] = (1, 2, 3, 4)

    @classmethod
    def smoke(cls) -> "Config":
        return cls.small(count=200, steps=12, components=(1, 3))

    @classmethod
    def full(cls) -> "Config":
        return cls(size="full", seeds=20, count=20_000, steps=200)


def main(config: Config) -> dict:
    study = Study(__name__, config)
    data = vj.data.gaussian_mixture(config.count, test=10_000)

    def exact(function, *arguments) -> dict:
        with jax.enable_x64(True):
            return function(jnp.asarray(data.train.x, jnp.float64), *arguments)

    one_k = {f"K = {k}": (k,) for k in config.components}
    floors = {f"{kind}, {f}": (mixtures.shrink, *how, s) for kind, how in KINDS.items() for f, s in FLOORS.items()}
    runs = study.grid(exact, {"EM": (mixtures.climb, 3, config.steps)})
    ends, worth = study.grid(exact, floors), study.grid(lambda *how: mixtures.fitted(data, *how), one_k)
    rows = worth.rows(dict(zip(one_k, one_k, strict=True)), {"train": 4, "test": 4})
    study.table("Negative log-likelihood; the entropy is 3.937", ("", "train, nats a row", "test, nats a row"), rows)
    end, step = np.array(runs.values("EM", "end")), np.arange(config.steps + 1)
    cell, per_row = runs.cells[f"EM, seed {end.argmax()}"], {"y_label": "mean nats a row"}
    study.lines(
        "half_steps",
        {name: (np.arange(2, 18) / 2, cell[key][:16]) for name, key in (("ln p(x)", "exact"), ("bound", "bound"))},
        x_label="EM step (whole: after E, half: after M)",
        caption="Both half steps raise the bound; what lies between the lines after an M step is Jensen's gap, the KL "
        "divergence of the old posterior from the new one, which the next E step closes.",
        claim="Beaulac, section 2.2: the E step closes the divergence, the M step raises the bound.",
        **per_row,
    )
    total = {"bound + KL(q, p(z|x))": np.add(cell["any_q"], cell["kl"]), "ln p(x)": 0.0 * step + end.max()}
    study.lines(
        "any_q",
        {name: (step, line) for name, line in ({"bound": cell["any_q"]} | total).items()},
        x_label="q is the posterior after this EM step",
        caption="At the last parameters, the bound for many q: with its divergence it is ln p(x) for each.",
        claim="Beaulac, section 2.1: ln p(x) = bound + KL(q, p(z|x)) for any q.",
        **per_row,
    )
    study.lines(
        "floors",
        {kind: ends.line({f"{kind}, {f}": s for f, s in FLOORS.items()}, "total") for kind in KINDS},
        x_label="least standard deviation allowed",
        y_label="log-likelihood of 50 rows, nats",
        log_x=True,
        caption="Where EM ends from a start with a small component on one datum, by the floor under its spread.",
        claim="Beaulac, section 3.3.1 (which needs K >= 2): a component on one datum is a singularity.",
    )
    rise = {k: (ends.mean(f"{k}, 1e-10", "total") - ends.mean(f"{k}, 1e-2", "total")) / 8 for k in KINDS}
    least, error = [min(runs.values("EM", name)) for name in ("least_e", "least_m")], max(runs.values("EM", "error"))
    last = max(runs.values("EM", "last_gap"))
    return study.finish(
        f"The least change of the bound in any E step is {least[0]:.0e} and in any M step {least[1]:.0e} nats: "
        f"{'no step lowers it' if min(least) > -1e-9 else 'a step lowers it'}. Jensen's gap is "
        f"{runs.say('EM', 'first_gap', 3)} after the first M step, at the end at most {last:.0e}; "
        f"bound + KL differs from ln p(x) by at most {error:.0e} for all q. {(end > end.max() - 1e-3).sum()} of "
        f"{len(end)} starts end at the best maximum found. For each tenth of the floor the log-likelihood rises by "
        f"{rise['K = 2']:.3f} nats with K = 2 (predicted {2 * np.log(10):.3f}), by {rise['K = 1']:.3f} with K = 1, "
        f"by {rise['K = 2 with a prior']:.3f} with a prior of one row. K = 1 is the Gaussian of maximum likelihood to "
        f"{max(worth.values('K = 1', 'off')):.0e} in its covariance, test NLL {worth.say('K = 1', 'test', 3)}; K = 3: "
        f"{worth.say('K = 3', 'test', 3)}, the entropy is 3.937.",
        protocol=f"{config.count} points of three clusters in the plane to train on, {len(data.test)} to test; EM in "
        "float64 with exact expectations; floors and priors: 30 steps on 50 points; seeds: starts (floors: points too)",
    )
