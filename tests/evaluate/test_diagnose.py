"""The aggregate posterior, the gaps and the advice, against closed forms and against cases made to trigger them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from tests import zoo
from vaejax.distributions import Normal
from vaejax.evaluate.diagnose import RULES, advise
from vaejax.recipes import static

KEY = jax.random.key(0)


@static
class Encoded(vj.LatentModel):
    """z ~ N(0, I), x = z + noise, and q(z|x) = N(A x, s^2) with A and s from the parameters."""

    dim: int
    event_shape = property(lambda self: (self.dim,))

    def init(self, key):
        return {"map": jnp.eye(self.dim), "scale": jnp.ones(())}

    def prior(self, params, context=None):
        return Normal(jnp.zeros(self.dim), jnp.ones(self.dim))

    def likelihood(self, params, h, context=None):
        return Normal(h, jnp.full(self.dim, 0.5))

    def posterior(self, params, x, context=None):
        return Normal(params["map"] @ x, jnp.broadcast_to(params["scale"], (self.dim,)))


def aggregate(covariance, scale, count=1500, **options):
    tril = np.linalg.cholesky(np.asarray(covariance, float))
    x = np.random.default_rng(0).normal(size=(count, len(tril))) @ tril.T
    params = {"map": jnp.eye(len(tril)), "scale": jnp.asarray(scale)}
    return vj.evaluate.aggregate_posterior(Encoded(len(tril)), params, KEY, x.astype(np.float32), **options)


@pytest.mark.parametrize("rows", [2000, 500])
def test_the_aggregate_posterior_of_a_gaussian(rows):
    covariance, scale = np.array([[1.5, 0.9], [0.9, 1.0]]), 0.7
    found = aggregate(covariance, scale, num_rows=rows)
    total = covariance + scale**2 * np.eye(2)
    information = 0.5 * (np.linalg.slogdet(total)[1] - 2 * np.log(scale**2))
    divergence = 0.5 * (np.trace(total) - 2 - np.linalg.slogdet(total)[1])
    correlation = total[0, 1] / np.sqrt(total[0, 0] * total[1, 1])
    expected = information, divergence, -0.5 * np.log(1 - correlation**2)
    for value, wanted, error in zip(found[:3], expected, found.standard_errors, strict=True):
        assert abs(value - wanted) < 4 * error + 0.06, (value, wanted, error)
    assert found.correlations[0, 1] == pytest.approx(correlation, abs=0.05)
    assert ("exact" in found.protocol) == (rows == 2000)


def test_independent_latents_have_no_total_correlation():
    found = aggregate(np.eye(3), 0.5)
    assert abs(found.total_correlation) < 4 * found.standard_errors[2] + 0.06
    with pytest.raises(TypeError, match="unconditional"):
        model = vj.zoo.conditional_vae(zoo.D, 2, 3, hidden=(8,))
        vj.evaluate.aggregate_posterior(model, model.init(KEY), KEY, zoo.levels(8))
    with pytest.raises(TypeError, match="a hierarchy"):
        model = vj.PPCAMixture(2, zoo.D, 2)
        vj.evaluate.aggregate_posterior(model, zoo.fitted("ppca-mixture"), KEY, zoo.rows())


@static
class Rotated(vj.LatentModel):
    """pPCA with a diagonal q that is far from the best one."""

    dim: int
    latent_dim: int

    @property
    def inner(self):
        return vj.PPCA(self.dim, self.latent_dim)

    event_shape = property(lambda self: (self.dim,))
    init = lambda self, key: self.inner.init(key)
    prior = lambda self, params, context=None: self.inner.prior(params)
    likelihood = lambda self, params, h, context=None: self.inner.likelihood(params, h)
    event = lambda self, x: self.inner.event(x)

    def posterior(self, params, x, context=None):
        return Normal(self.inner.posterior(params, x).loc + 0.3, jnp.full(self.latent_dim, 1.5))


def test_refining_finds_the_mean_field_optimum():
    """Oracle 4: what a diagonal q cannot reach is (sum ln diag M - ln |M|) / 2, with M = W^T W / sigma^2 + I."""
    model, weight, sigma = Rotated(5, 2), np.random.default_rng(0).normal(size=(5, 2)), 0.8
    params = model.init(KEY) | {"weight": jnp.asarray(weight, jnp.float32), "log_scale": jnp.log(jnp.float32(sigma))}
    x = jax.vmap(lambda k: vj.sample(model, params, k))(jax.random.split(jax.random.key(1), 12))
    refined = vj.evaluate.latents.refine(model, params, KEY, x, num_steps=400, num_samples=16)
    exact = np.asarray(vj.evaluate.exact_log_evidence(vj.PPCA(5, 2), params, x))
    m = weight.T @ weight / sigma**2 + np.eye(2)
    gap = 0.5 * (np.log(np.diag(m)).sum() - np.linalg.slogdet(m)[1])
    assert np.mean(exact - refined.best) == pytest.approx(gap, abs=0.1)
    assert np.mean(refined.best) < np.mean(refined.importance) < np.mean(exact) + 0.2
    assert (refined.best >= refined.encoder).all() and np.mean(refined.best - refined.encoder) > 0.5
    with pytest.raises(TypeError, match="expected a Gaussian q"):
        vj.evaluate.latents.refine(vj.GMM(3, zoo.D), zoo.fitted("gmm-full"), KEY, zoo.rows())


HEALTHY = {
    "active_units": 8, "latents": 8, "fixed_sigma": 0.2, "ppca_keeps": 30, "mean_squared_error": 0.04, "elbo": -90.0,
    "least_sigma": 0.2, "generalisation_gap": 0.5, "amortisation_gap": 0.4, "approximation_gap": 0.6, "kl": 20.0,
    "aggregate_kl": 0.5, "relative_ess": 0.3, "beta": 1.0,
}  # fmt: skip


@pytest.mark.parametrize(
    "changed, told",
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
def test_each_rule_speaks_when_it_should(changed, told):
    assert advise(HEALTHY) == []
    assert any(told in sentence for sentence in advise(HEALTHY | changed))
    assert len(RULES) == 9


@pytest.fixture(scope="module")
def collapsed():
    """sigma = 1 on the digits: their pixels vary less than that, and most latents are dropped."""
    data = vj.data.digits()
    rows = {name: vj.data.dequantize(getattr(data, name).x, levels=17) for name in ("train", "test")}
    model = vj.zoo.vae((8, 8, 1), 6, hidden=(32,), likelihood=vj.heads.normal(1.0))
    return model, vj.fit(model, KEY, rows["train"], epochs=20).params, rows


def test_a_collapsed_model_is_told(collapsed):
    model, params, rows = collapsed
    found = vj.evaluate.diagnose(model, params, KEY, rows["test"], train=rows["train"], num_rows=100, k=50)
    numbers = found.numbers
    assert numbers["latents"] == 6 and numbers["active_units"] <= 4 and numbers["fixed_sigma"] == 1.0
    assert numbers["ppca_keeps"] == int((np.linalg.eigvalsh(np.cov(rows["test"][:100].reshape(100, -1).T)) > 1).sum())
    assert (
        f"{numbers['active_units']} of 6 units are active" in found.advice[0]
        and "sigma is fixed at 1" in found.advice[0]
    )
    assert any("beta-VAE with beta" in sentence for sentence in found.advice)
    assert numbers["kl"] == pytest.approx(found.arrays["kl_per_dimension"].sum(), rel=1e-4)
    assert numbers["mutual_information"] + numbers["aggregate_kl"] == pytest.approx(numbers["kl"], abs=0.2)
    assert numbers["implied_sigma"] == pytest.approx(np.sqrt(numbers["mean_squared_error"]))
    assert "100 rows" in found.protocol


@pytest.mark.parametrize("name", ["bernoulli", "full-posterior", "conditional", "vamp-prior", "iaf", "planar"])
def test_every_kind_of_model_is_diagnosed(name):
    model = zoo.AMORTIZED[name]
    rows, labels = (zoo.levels() > 0.5).astype(np.float32), zoo.context(zoo.AMORTIZED[name], 40)
    found = vj.evaluate.diagnose(model, model.init(KEY), KEY, rows, labels, k=20)
    assert all(np.isfinite(value) for value in found.numbers.values())
    assert ("mutual_information" in found.numbers) == (name not in ("conditional", "planar"))
