"""Every model once, with data and a fit: a new model gets every law by one entry here."""

import jax
import numpy as np

import vaejax as vj

D = 5


def rows(count=60, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(count, 2))
    x = z @ rng.normal(size=(2, D)) + 0.3 * rng.normal(size=(count, D))
    x[: count // 2] += 2.0
    return x


EXACT = {
    "gmm-full": vj.GMM(3, D),
    "gmm-tied": vj.GMM(3, D, "tied"),
    "gmm-diag": vj.GMM(3, D, "diag"),
    "gmm-spherical": vj.GMM(3, D, "spherical"),
    "ppca": vj.PPCA(D, 2),
    "factor-analysis": vj.FactorAnalysis(D, 2),
    "ppca-mixture": vj.PPCAMixture(2, D, 2),
}


def fitted(name, num_steps=5):
    """Parameters after a few steps of EM: generic ones, far from any symmetry."""
    return vj.em.fit(EXACT[name], jax.random.key(0), rows(), num_steps=num_steps)[0]
