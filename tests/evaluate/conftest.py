import jax
import numpy as np
import pytest

import vaejax as vj


@pytest.fixture(scope="session")
def data():
    return vj.data.digits()


@pytest.fixture(scope="session")
def classifier(data):
    """A short training; the whole protocol is under test in the slow tests."""
    return vj.evaluate.classifier.train(data, num_steps=400)


@pytest.fixture(scope="session")
def ppca():
    """A pPCA whose loadings tell much of one entry by the others, its parameters, 40 rows of it and their evidence."""
    rng = np.random.default_rng(1)
    model, weight = vj.PPCA(5, 2), rng.normal(size=(5, 2)).astype(np.float32)
    params = {"mean": rng.normal(size=5).astype(np.float32), "weight": weight, "log_scale": np.float32(np.log(0.5))}
    x = (rng.normal(size=(40, 2)) @ weight.T + params["mean"] + 0.5 * rng.normal(size=(40, 5))).astype(np.float32)
    return model, params, x, np.asarray(jax.vmap(lambda x: vj.log_evidence(model, params, x))(x))
