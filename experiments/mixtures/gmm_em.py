"""Does every E step and every M step raise the bound, what is Jensen's gap, and when does EM diverge?

Prediction: No step lowers it; after an E step it is ln p(x); bound + KL = ln p(x) for any q. With K = 2 the log-
likelihood rises by D ln 10 = 4.61 nats for each tenth of the floor on sigma; with K = 1 or a prior it does not. Test
NLL: 5.687 with K = 1 (Gaussian maximum likelihood), the entropy 3.937 with K = 3.
"""

import dataclasses

import numpy as np

import vaejax as vj
from experiments.harness.study import Base, Study
from experiments.mixtures import plain_em

ORDER = 20

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

    runs = study.grid(plain_em.exactly(plain_em.climb, data.train.x), {"EM": (3, config.steps)})
    floors = {f"{kind}, {f}": (*how, s) for kind, how in KINDS.items() for f, s in FLOORS.items()}
    ends = study.grid(plain_em.exactly(plain_em.shrink, data.train.x), floors)
    one_k = {f"K = {k}": (data, k) for k in config.components}
    worth = study.grid(plain_em.fitted, one_k)
    columns = {"train, nats a row": ("train", 4), "test, nats a row": ("test", 4)}
    study.compare("Negative log-likelihood; the entropy is 3.937", worth, list(one_k), columns, first="")
    end = np.array(runs.values("EM", "end"))
    best = runs.cells[f"EM, seed {end.argmax()}"]
    about = (
        "Both half steps raise the bound; what lies between the lines after an M step is Jensen's gap, the KL "
        "divergence of the old posterior from the new one, which the next E step closes."
    )
    claim = "Beaulac, section 2.2: the E step closes the divergence, the M step raises the bound."
    labels = {"x_label": "EM step (whole: after E, half: after M)", "y_label": "mean nats a row"}
    study.lines("half_steps", plain_em.half_steps(best), caption=about, claim=claim, **labels)
    about = "At the last parameters, the bound for many q: with its divergence it is ln p(x) for each."
    claim = "Beaulac, section 2.1: ln p(x) = bound + KL(q, p(z|x)) for any q."
    labels = {"x_label": "q is the posterior after this EM step", "y_label": "mean nats a row"}
    study.lines("any_q", plain_em.any_q(best), caption=about, claim=claim, **labels)
    total = {kind: ends.line({f"{kind}, {f}": s for f, s in FLOORS.items()}, "total") for kind in KINDS}
    about = "Where EM ends from a start with a small component on one datum, by the floor under its spread."
    claim = "Beaulac, section 3.3.1 (which needs K >= 2): a component on one datum is a singularity."
    labels = {"x_label": "least standard deviation allowed", "y_label": "log-likelihood of 50 rows, nats"}
    study.lines("floors", total, log_x=True, caption=about, claim=claim, **labels)
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
