"""Hierarchies: cost, shapes, and what carries them around. Their laws are in test_laws_amortized."""

import math
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vaejax as vj
from tests import zoo
from tests.refusals import refused
from vaejax.distributions import Normal, analytic_kl
from vaejax.kernels import precision_product
from vaejax.models.hierarchy import GAUSSIAN
from vaejax.networks import ConvLayer, Linear

KEY = jax.random.key(0)
WIDTH = 128  # wide enough for the products to be what a pass costs


STANDARD = Normal(np.zeros(4, np.float32), np.ones(4, np.float32))


def run(model, params, name, i, *inputs):
    return getattr(model, name)[i].apply(params[name][f"layer{i}"], *inputs)


def normal(output):
    return GAUSSIAN.apply({}, output)


def ladder_by_hand(model, params, keys, x):
    d1 = run(model, params, "ups", 0, x)
    d2 = run(model, params, "ups", 1, d1)
    e1, q2 = (normal(run(model, params, "evidence", i, d)) for i, d in enumerate((d1, d2)))
    z2 = q2.sample(keys[0])
    p1 = normal(run(model, params, "downs", 0, z2))
    q1 = Normal(*precision_product(p1.loc, p1.scale, e1.loc, e1.scale))
    z1 = q1.sample(keys[1])
    return z1, analytic_kl(q2, STANDARD) + analytic_kl(q1, p1)


def hierarchical_by_hand(model, params, keys, x):
    z, log_q = [x], 0.0
    for i in range(3):
        q = normal(run(model, params, "ups", i, z[-1]))
        z.append(q.sample(keys[i]))
        log_q = log_q + (q.log_prob(z[-1]) if i < 2 else 0.0)
    p2, p1 = (normal(run(model, params, "downs", j, z[3 - j])) for j in range(2))
    return z[1], analytic_kl(q, STANDARD) + log_q - p2.log_prob(z[2]) - p1.log_prob(z[1])


def biva_by_hand(model, params, keys, x):
    d1 = run(model, params, "ups", 0, x)
    q_b = normal(run(model, params, "rises", 0, d1))
    b = q_b.sample(keys[0])
    q_top = normal(run(model, params, "rises", 1, run(model, params, "ups", 1, d1, b)))
    z = q_top.sample(keys[1])
    h = run(model, params, "downs", 0, z)
    p_b, p_t = (normal(part) for part in jnp.split(run(model, params, "priors", 0, h), 2))
    q_t = normal(run(model, params, "merges", 0, h, d1))
    t = q_t.sample(keys[2])
    kl = analytic_kl(q_top, STANDARD) + analytic_kl(q_t, p_t)
    return run(model, params, "downs", 1, h, b, t), kl + q_b.log_prob(b) - p_b.log_prob(b)


def nvae_by_hand(model, params, keys, x):
    def bounded(output):
        loc, raw = jnp.split(output, 2)
        return loc, jnp.exp(5 * jnp.tanh(raw / 5))

    d1 = run(model, params, "ups", 0, x)
    features, h, kl = (run(model, params, "ups", 1, d1), d1), params["start"], 0.0
    for i, d in enumerate(features):
        p = Normal(*bounded(run(model, params, "priors", 0, h))) if i else STANDARD
        shift, ratio = bounded(run(model, params, "residuals", i, d, h))
        q = Normal(p.loc + shift, p.scale * ratio)
        kl = kl + analytic_kl(q, p)
        h = run(model, params, "downs", i, h, q.sample(keys[i]))
    return h, kl


DEEP = {  # each hierarchy, and its bound written by hand
    "ladder": (partial(vj.zoo.ladder, WIDTH, (4, 4), hidden=(WIDTH, WIDTH)), ladder_by_hand),
    "hierarchical": (partial(vj.zoo.hierarchical_vae, WIDTH, (4, 4, 4), hidden=(WIDTH,) * 3), hierarchical_by_hand),
    "biva": (partial(vj.zoo.biva, WIDTH, (4, 4), width=WIDTH), biva_by_hand),
    "nvae": (partial(zoo.dense_nvae, WIDTH, WIDTH, (4, 4)), nvae_by_hand),
}


@pytest.mark.parametrize("make, states_and_divergence", DEEP.values(), ids=DEEP)
def test_the_bound_costs_a_single_pass_and_computing_again_changes_no_number(make, states_and_divergence):
    model, again = make(), make(remat=True)
    params = jax.jit(model.init)(KEY)
    keys, x = jax.random.split(KEY, 16), np.random.default_rng(0).integers(0, 2, (16, WIDTH)).astype(np.float32)

    def by_hand(params, key, x):
        h, kl = states_and_divergence(model, params, jax.random.split(key, 3), x)
        logits = model.decoder.apply(params["decoder"], h)
        return jnp.sum(x * logits - jax.nn.softplus(logits)) - kl

    def gradient(f):
        return jax.jit(jax.value_and_grad(lambda params: jnp.mean(jax.vmap(f, (None, 0, 0))(params, keys, x))))

    def bound(model):
        return gradient(lambda params, key, x: vj.elbo(model, params, key, x).value)

    mine, hand = (f.lower(params).compile() for f in (bound(model), gradient(by_hand)))
    assert mine.cost_analysis()["flops"] <= 1.05 * hand.cost_analysis()["flops"]
    assert mine.as_text().count(" dot(") == hand.as_text().count(" dot(")
    (value, grads), (value_by_hand, _) = mine(params), hand(params)
    assert abs(value - value_by_hand) < 0.1 * abs(value_by_hand)  # the draws are others
    chex.assert_trees_all_close((value, grads), bound(again)(params), rtol=2e-5, atol=2e-5)
    count = lambda model: str(jax.make_jaxpr(bound(model))(params)).count("remat")
    assert count(again) >= 4 and count(model) == 0


def spatial_ladder():
    """Latents that are images: two scales of them."""
    ups = ConvLayer(1, 4, 3, 2, activation="silu"), ConvLayer(4, 4, 3, 2, activation="silu")
    evidence = ConvLayer(4, 2, 1), ConvLayer(4, 4, 1)
    downs = (ConvLayer(2, 2, 3, double_to=(4, 4)),)
    decoder = vj.networks.Sequential((ConvLayer(1, 4, 3, double_to=(8, 8)), ConvLayer(4, 1, 3, activation="silu")))
    return vj.Ladder(ups, evidence, downs, decoder, ((2, 2, 2), (4, 4, 1)))


def small_nvae():
    return vj.zoo.nvae((8, 8, 1), groups=1, channels=3, latent_channels=1, expand=1)


def test_a_residual_hierarchy_of_images_has_a_bound():
    model = small_nvae()
    bound = jax.jit(lambda key: vj.elbo(model, model.init(key), key, jnp.full((8, 8, 1), 0.5)))(KEY)
    kl = np.asarray(bound.kl)
    assert np.isfinite(bound.value) and kl.shape == (2,) and (kl > 0).all()
    assert kl.sum() < 10  # fresh groups are near the prior


@pytest.mark.parametrize(
    "make", [spatial_ladder, pytest.param(small_nvae, marks=pytest.mark.slow)], ids=["spatial-ladder", "nvae"]
)
def test_hierarchies_of_images_train(make):
    model = make()
    x = vj.data.digits().train.x[:60]
    how = {"optimizer": optax.adam(1e-2), "objective": vj.objectives.free_bits(0.1, per="layer")}
    result = vj.fit(model, KEY, x, epochs=8, batch_size=20, **how)
    value = result.history["value"]
    assert value[-1] > value[0] + 3 and result.state.skipped == 0
    assert result.history["kl_per_layer"].shape == (8, 2)
    z = jax.eval_shape(vj.encode, model, result.params, x[0])
    assert tuple(each.shape for each in z) == model.latent_shapes
    assert jax.eval_shape(vj.decode, model, result.params, z).shape == (8, 8, 1)


@pytest.mark.parametrize("shape, scales", [((28, 28, 1), 2), ((32, 32, 3), 3), ((64, 64, 3), 3), ((9, 7, 2), 2)])
def test_groups_at_doubling_sizes(shape, scales):
    model = vj.zoo.nvae(shape, scales=scales, groups=1, channels=2, likelihood=vj.heads.normal("per_pixel"))
    assert model.event_shape == shape
    sizes = [tuple(-(-n // 2**k) for n in shape[:2]) for k in range(scales, 0, -1)]
    assert [latent[:2] for latent in model.latent_shapes] == sizes
    refused(f"one datum with {math.prod(shape)} entries", model.event, jnp.ones(3))


@pytest.mark.slow
@pytest.mark.parametrize("side, scales", [(32, 2), (64, 3)])
def test_colour_images_train(side, scales):
    shape = side, side, 3
    head = vj.heads.discretized_logistic(levels=256)
    model = vj.zoo.nvae(shape, scales=scales, groups=1, channels=4, latent_channels=2, likelihood=head)
    blocks = jax.random.uniform(KEY, (32, 4, 4, 3))
    x = np.asarray(jnp.round(255 * jax.image.resize(blocks, (32, *shape), "nearest"))).astype(np.uint8)
    result = vj.fit(model, KEY, x, epochs=5, batch_size=8)
    value = result.history["value"]
    assert value[-1] > value[0] and np.isfinite(value).all() and result.state.skipped == 0


_SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("ladder", "hierarchical", "nvae", "two-stage")]


@pytest.mark.parametrize("name", ["biva", *_SLOW])
def test_members_of_an_ensemble(name):
    model, x, keys = zoo.AMORTIZED[name], zoo.levels(), jax.random.split(KEY, 2)
    options = {"context": zoo.context(model, len(x)), "epochs": 4, "batch_size": 20}
    results = vj.fit_ensemble(model, keys, x, hparams={"beta": jnp.array([0.1, 4.0])}, **options)
    assert np.all(results.state.skipped == 0)
    alone = vj.fit(model, keys[1], x, objective=vj.objectives.beta(4.0, vj.objectives.for_model(model)), **options)
    chex.assert_trees_all_close(results.member(1)[0], alone.params, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(results.history["value"][1], alone.history["value"], rtol=1e-4)
    assert np.any(results.history["value"][0] != results.history["value"][1])


def test_temperatures_per_layer_reach_the_bottom_up_path():
    model, x = zoo.AMORTIZED["biva"], np.full(5, 0.5, np.float32)

    @jax.jit
    def run(key):
        params = model.init(key)
        again = partial(vj.reconstruct, model, params, key, x)
        cold, bottom_up = (again(temperature=jnp.asarray(heat)) for heat in ([0.0, 0.0, 0.0], [0.0, 1.0, 0.0]))
        return cold, bottom_up, vj.decode(model, params, vj.encode(model, params, x))

    cold, bottom_up, decoded = map(np.asarray, run(KEY))
    np.testing.assert_allclose(cold, decoded, rtol=1e-5)
    assert np.any(abs(cold - bottom_up) > 1e-6)


@pytest.mark.parametrize("name", ["nvae", "biva"])
def test_stuck_landings_and_importance_weights_train_hierarchies(name):
    model, x = zoo.AMORTIZED[name], zoo.levels()

    @jax.jit
    def run(key):
        params = model.init(key)
        each = vj.objectives.stl(), vj.objectives.iwae(3)
        return [jax.value_and_grad(lambda p, f=f: f(model, p, key, x, None, 0, {})[0])(params) for f in each]

    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(run(KEY)))


def test_wrong_recipes_are_named():
    up, out, words = Linear(5, 2), Linear(2, 5), "ups[0]: expected a vaejax Network, got function"
    refused(words, vj.HierarchicalVAE, (lambda x: x,), (), out, (2,), error=TypeError)
    refused("hidden: expected 2 numbers, one for each of latent_dims", vj.zoo.ladder, 5, (2, 3), hidden=(8,))
    refused("expected at least 2 positive sizes, got (256, 0)", vj.zoo.ladder, 5, (0, 2))
    refused("evidence: expected 1 networks for 1 layers", vj.Ladder, (up,), (), (), out, (2,))
    refused("number of latent_shapes: expected an integer of at least 1", vj.Ladder, (), (), (), out, ())
    words = "evidence[0]: expected an output of shape (4,) for a latent of shape (2,), got (3,)"
    refused(words, vj.Ladder((up,), (Linear(2, 3),), (), out, (2,)).init, KEY)
    refused("latent_shapes: expected sizes or shapes of positive integers", vj.Ladder, (up,), (up,), (), out, (0,))
    refused("number of latent_shapes: expected an integer of at least 2, got 1", vj.zoo.biva, 5, (2,))
    refused("data_shape: expected (height, width, channels), got (8, 8)", vj.zoo.nvae, (8, 8))
    refused("groups: expected 2 positive numbers, one for each scale", vj.zoo.nvae, (8, 8, 1), groups=(1, 2, 3))
    refused("cells: expected at least 1, got 0", vj.zoo.nvae, (8, 8, 1), cells=0)
