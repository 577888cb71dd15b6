"""Few sizes for all tests of EM: 60 rows, 40 steps, one start a model, so that each program compiles once a module."""

import jax
import numpy as np

import vaejax as vj
from tests import zoo

KEY = jax.random.key(0)
STEPS = 40
X = zoo.rows()


def start(name, seed=0):
    """Generic parameters, far from any symmetry and from a maximum, with the mean of the rows."""
    params = zoo.EXACT[name].init(jax.random.key(seed))
    params = {
        part: leaf + 0.1 * jax.random.normal(jax.random.key(seed + 1), leaf.shape) for part, leaf in params.items()
    }
    return params | ({"mean": X.mean(0)} if "mean" in params else {})


def fit(name, x=X, **options):
    return vj.em.fit(zoo.EXACT[name], KEY, x, num_steps=STEPS, **options)


def least_rise(trace):
    """The least change of the objective in a step without a component that starts again."""
    return np.diff(trace.objective)[trace.reseeds == 0].min()
