"""Arguments that a user gives in good faith: they work, or the error says what was expected and what came."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from tests import zoo
from vaejax.recipes import static

X = np.asarray(zoo.levels(40))
MODEL = vj.zoo.vae(zoo.D, 2, hidden=(8,))
PARAMS = MODEL.init(jax.random.key(0))
GMM = vj.GMM(2, zoo.D)
FIT = {"epochs": 1, "progress": False, "batch_size": 20}

CALLS = {
    "fit": lambda key: vj.fit(MODEL, key, X, **FIT).params,
    "em.fit": lambda key: vj.em.fit(GMM, key, X, num_steps=2)[0],
    "elbo": lambda key: vj.elbo(MODEL, PARAMS, key, X[0]),
    "sample": lambda key: vj.sample(MODEL, PARAMS, key),
    "reconstruct": lambda key: vj.reconstruct(MODEL, PARAMS, key, X[0]),
    "importance_bound": lambda key: vj.importance_bound(MODEL, PARAMS, key, X[0], k=2),
    "log_evidence_estimate": lambda key: vj.evaluate.log_evidence_estimate(MODEL, PARAMS, key, X, k=2)[:3],
}


@pytest.mark.parametrize("name", CALLS)
def test_both_kinds_of_keys_work_and_a_number_is_no_key(name):
    call = CALLS[name]
    for old, new in zip(
        jax.tree.leaves(call(jax.random.PRNGKey(3))), jax.tree.leaves(call(jax.random.key(3))), strict=True
    ):
        np.testing.assert_array_equal(old, new)
    with pytest.raises(TypeError, match=r"key: expected jax\.random\.key\((3|n)\), got "):
        call(3)


def test_an_ensemble_takes_old_keys_too():
    keys = jax.random.split(jax.random.PRNGKey(0), 2)
    assert vj.fit_ensemble(MODEL, keys, X, **FIT).history["elbo"].shape == (2, 1)


@pytest.mark.parametrize("form", [jnp.bfloat16, jnp.dtype("bfloat16"), "bfloat16"])
def test_a_precision_is_a_name_or_a_type(form):
    assert vj.train.Options(epochs=1, compute_dtype=form).precision == "bfloat16"


def test_other_precisions_are_refused():
    with pytest.raises(
        ValueError, match="compute_dtype: expected one of float16, bfloat16, float32, float64, got 'int8'"
    ):
        vj.fit(MODEL, jax.random.key(0), X, compute_dtype=jnp.int8, **FIT)


@pytest.mark.parametrize("name", zoo.AMORTIZED)
def test_float64_in_float64_out(name, x64):
    model = zoo.AMORTIZED[name]
    params = jax.eval_shape(model.init, jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float64")}


def test_a_fit_in_float64_is_one(x64):
    result = vj.fit(vj.zoo.sigma_vae(zoo.D, 2, hidden=(8,)), jax.random.key(0), X.astype(np.float64), **FIT)
    assert {leaf.dtype for leaf in jax.tree.leaves(result.params)} == {jnp.dtype("float64")}


def test_em_takes_a_dataset_and_a_split_and_refuses_a_stream():
    train, test = vj.data.Split(X), vj.data.Split(X[:5])
    plain = vj.em.fit(GMM, jax.random.key(0), X, num_steps=3)[0]
    for data in (train, vj.data.Dataset(train, None, test)):
        params, _ = vj.em.fit(GMM, jax.random.key(0), data, num_steps=3)
        np.testing.assert_array_equal(params["means"], plain["means"])
    with pytest.raises(ValueError, match="x: expected rows in memory, which EM reads at every step, got a Stream"):
        vj.em.fit(GMM, jax.random.key(0), vj.data.Stream(lambda epoch: [X]), num_steps=3)


def test_masked_entries_are_missing_not_data():
    x = np.ma.masked_array(X, np.zeros_like(X, bool))
    x.mask[3, 1] = True
    with pytest.raises(ValueError, match="finite values.*got nan in row 3"):
        vj.fit(MODEL, jax.random.key(0), x, **FIT)
    with pytest.raises(ValueError, match="got nan in row 3"):
        vj.em.fit(GMM, jax.random.key(0), x, num_steps=2)
    with pytest.raises(ValueError, match="got nan in row 3"):
        vj.evaluate.exact_log_evidence(GMM, GMM.init(jax.random.key(0)), x)
    missing = np.where(x.mask, np.nan, X)
    model = vj.GMM(2, zoo.D, "diag")
    masked, plain = (vj.em.fit(model, jax.random.key(0), each, num_steps=2, missing=True)[0] for each in (x, missing))
    np.testing.assert_array_equal(masked["means"], plain["means"])


@static
class Open(vj.LatentModel):
    """A model of a user's own whose support has an end that is not given."""

    support = (0.0, None)
    event_shape = (zoo.D,)

    def init(self, key):
        return {}

    def prior(self, params, context=None):
        return vj.distributions.Normal(jnp.zeros(zoo.D), jnp.ones(zoo.D))

    def likelihood(self, params, h, context=None):
        return vj.distributions.Normal(h, jnp.ones(zoo.D))

    def posterior(self, params, x, context=None):
        return vj.distributions.Normal(x / 2.0, jnp.ones(zoo.D))


def test_errors_name_expected_and_actual():
    key, params = jax.random.key(0), GMM.init(jax.random.key(0))
    with pytest.raises(ValueError, match=r"support: expected numbers \(low, high\), with math.inf for an open end"):
        vj.evaluate.log_evidence_estimate(Open(), {}, key, X, k=2)
    with pytest.raises(TypeError, match="VAE has no evidence in closed form: estimate it with vaejax.importance_bound"):
        vj.evaluate.exact_log_evidence(MODEL, PARAMS, X)
    with pytest.raises(ValueError, match=r"GMM has context_dim=0: expected context=None, got int32 of shape \(\)"):
        vj.sample(GMM, params, key, 5)
    with pytest.raises(TypeError, match="model: expected one that says num_parameters, got Open"):
        vj.evaluate.bic(Open(), {}, X)


def test_messages_stay_short():
    for call in (
        lambda: vj.fit(MODEL, jax.random.key(0), X, context=["x"] * 100_000, epochs=1),
        lambda: vj.fit(MODEL, jax.random.key(0), X, epochs=list(range(100_000))),
        lambda: vj.zoo.vae(zoo.D, 2, hidden=("x",) * 100_000),
    ):
        with pytest.raises((ValueError, TypeError)) as problem:
            call()
        assert len(str(problem.value)) < 1000


def test_numbers_of_numpy_are_numbers():
    options = {"epochs": np.int64(1), "batch_size": np.int32(20), "average": np.float32(0.5), "patience": np.int8(1)}
    assert vj.fit(MODEL, jax.random.key(0), jnp.asarray(X, jnp.bfloat16), validation=X, **options).state.step == 2
