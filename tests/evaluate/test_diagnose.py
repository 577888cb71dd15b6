"""Diagnosis and advice: the rules, a model made to collapse, and every kind of posterior."""

import jax
import numpy as np
import pytest

import vaejax as vj
from tests import zoo
from vaejax.evaluate.diagnose import advise

KEY = jax.random.key(0)

HEALTHY = {
    "active_units": 8, "latents": 8, "fixed_sigma": 0.2, "ppca_keeps": 30, "mean_squared_error": 0.04, "elbo": -90.0,
    "least_sigma": 0.2, "generalisation_gap": 0.5, "amortisation_gap": 0.4, "approximation_gap": 0.6, "kl": 20.0,
    "aggregate_kl": 0.5, "relative_ess": 0.3, "beta": 1.0,
}  # fmt: skip


@pytest.mark.parametrize(
    "changed, words",
    [
        ({"grey_bernoulli": True}, "not a likelihood"),
        ({"active_units": 2, "fixed_sigma": 1.0, "ppca_keeps": 5}, "2 of 8 units are active; sigma is fixed at 1"),
        ({"active_units": 2, "beta": 4.0}, "with beta = 4"),
        ({"active_units": 2}, "warm-up of beta or free bits"),
        ({"fixed_sigma": 1.0}, "a beta-VAE with beta = 25"),
        ({"least_sigma": 1e-4, "low_variance_share": 0.8}, "variance below 0.01 give 80%"),
        ({"generalisation_gap": 30.0}, "30.0 nats above the held-out one"),
        ({"amortisation_gap": 5.0}, "the encoder loses 5.0 nats"),
        ({"approximation_gap": 5.0}, "the best q of this family loses 5.0 nats"),
        ({"aggregate_kl": 6.0}, "6.0 nats from the prior"),
        ({"relative_ess": 0.001}, "0.1% of its draws"),
    ],
)
def test_each_rule_speaks_when_it_should(changed, words):
    assert advise(HEALTHY) == []
    assert any(words in sentence for sentence in advise(HEALTHY | changed))


@pytest.fixture(scope="module")
def collapsed():
    """sigma = 1 on the digits: their pixels vary less than that, and most latents are dropped."""
    data = vj.data.digits()
    rows = {name: vj.data.dequantize(getattr(data, name).x, levels=17) for name in ("train", "test")}
    model = vj.zoo.vae((8, 8, 1), 6, hidden=(32,), likelihood=vj.heads.normal(1.0))
    return model, vj.fit(model, KEY, rows["train"], epochs=5).params, rows


def test_a_collapsed_model_is_recognised(collapsed):
    model, params, rows = collapsed
    found = vj.evaluate.diagnose(model, params, KEY, rows["test"], train=rows["train"], num_rows=100, k=50)
    numbers = found.numbers
    assert numbers["latents"] == 6 and numbers["active_units"] <= 4 and numbers["fixed_sigma"] == 1.0
    assert numbers["ppca_keeps"] == int((np.linalg.eigvalsh(np.cov(rows["test"][:100].reshape(100, -1).T)) > 1).sum())
    words = f"{numbers['active_units']} of 6 units are active", "sigma is fixed at 1"
    assert all(part in found.advice[0] for part in words) and any("beta-VAE with beta" in a for a in found.advice)
    assert numbers["kl"] == pytest.approx(found.arrays["kl_per_dimension"].sum(), rel=1e-4)
    assert numbers["mutual_information"] + numbers["aggregate_kl"] == pytest.approx(numbers["kl"], abs=0.2)
    assert numbers["implied_sigma"] == pytest.approx(np.sqrt(numbers["mean_squared_error"]))
    assert "100 rows" in found.protocol


@pytest.mark.parametrize("name", ["full-posterior", "conditional", "vamp-prior", "iaf", "planar"])
def test_every_kind_of_model_is_diagnosed(name):
    model, rows = zoo.AMORTIZED[name], (zoo.levels() > 0.5).astype(np.float32)
    found = vj.evaluate.diagnose(model, jax.jit(model.init)(KEY), KEY, rows, zoo.context(model, 40), k=20)
    assert all(np.isfinite(value) for value in found.numbers.values())
    assert ("mutual_information" in found.numbers) == (name not in ("conditional", "planar"))
