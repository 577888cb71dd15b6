import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vaejax import distributions as dist
from vaejax import heads, networks, priors
from vaejax.distributions import Autoregressive, Coupling, Inverted, Reverse

pytestmark = pytest.mark.usefixtures("x64")
KEY = jax.random.key(0)


def noisy(tree, scale=0.4):
    """Parameters away from the start, in float64."""
    leaves, form = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(7), len(leaves))
    noise = [
        scale * jax.random.normal(key, jnp.shape(leaf), jnp.float64) for key, leaf in zip(keys, leaves, strict=True)
    ]
    return form.unflatten([leaf + each for leaf, each in zip(leaves, noise, strict=True)])


def conditioner(dim, made=True):
    network = networks.MADE(dim, (7,)) if made else networks.MLP((dim, 7, 2 * dim), "tanh", out_shape=(2, dim))
    return networks.bound(network, noisy(network.init(KEY)))


def step_named(name, dim):
    return {
        "gated": lambda: Autoregressive(conditioner(dim)),
        "affine": lambda: Autoregressive(conditioner(dim), gated=False),
        "inverted": lambda: Inverted(Autoregressive(conditioner(dim), gated=False)),
        "coupling": lambda: Coupling(conditioner(dim, made=False), 0),
        "other coupling": lambda: Coupling(conditioner(dim, made=False), 1),
        "reverse": lambda: Reverse(),
    }[name]()


@pytest.mark.parametrize("dim", [1, 5])
@pytest.mark.parametrize("name", ["gated", "affine", "inverted", "coupling", "other coupling", "reverse"])
def test_log_dets_and_round_trips(name, dim):  # oracle 12
    step = step_named(name, dim)

    @jax.jit
    @jax.vmap
    def both_ways(z):
        y, log_det = step(z)
        return log_det, jnp.linalg.slogdet(jax.jacfwd(lambda z: step(z)[0])(z)), *step.inverse(y)

    z = 2.0 * jax.random.normal(KEY, (3, dim))
    log_det, (sign, exact), back, undone = both_ways(z)
    np.testing.assert_allclose(log_det, exact, atol=1e-9)
    np.testing.assert_allclose(back, z, atol=1e-8)
    np.testing.assert_allclose(undone, -log_det, atol=1e-8)
    assert name == "reverse" or jnp.all(sign > 0)


def test_autoregressive_steps_are_triangular_and_couplings_keep_half():
    for name in ("gated", "affine"):
        jacobian = jax.jacfwd(lambda z, name=name: step_named(name, 4)(z)[0])(jnp.ones(4))
        assert np.all(np.triu(jacobian, 1) == 0) and np.all(np.diag(jacobian) > 0)
    z = jax.random.normal(KEY, (5,))
    np.testing.assert_array_equal(step_named("coupling", 5)(z)[0][::2], z[::2])
    np.testing.assert_array_equal(step_named("other coupling", 5)(z)[0][1::2], z[1::2])


def flow(name, dim=2):
    """Posteriors and priors whose density is known everywhere."""
    if name == "iaf":
        head = heads.IAF(3, (6, 5))
        out = 0.5 * jax.random.normal(jax.random.key(3), head.output_shape((dim,)), jnp.float64)
        return head.apply(noisy(head.init(KEY, (dim,))), out)
    recipe = getattr(priors, name)(3, 6)
    return recipe.apply(noisy(recipe.init(KEY, dim, ()), 0.25), dim, None)


@pytest.mark.parametrize("name", ["iaf", "autoregressive", "coupling"])
def test_flows_are_densities(name):  # oracle 12
    q = flow(name)
    z, log_q = q.sample_and_log_prob(KEY)
    np.testing.assert_allclose(q.log_prob(z), log_q, atol=1e-8)
    np.testing.assert_array_equal(z, q.sample(KEY))
    axis = jnp.linspace(-14.0, 14.0, 281)
    grid = jnp.stack(jnp.meshgrid(axis, axis), -1).reshape(-1, 2)
    density = jnp.exp(jax.jit(jax.vmap(q.log_prob))(grid))
    mass = density.sum() * (axis[1] - axis[0]) ** 2
    assert abs(mass - 1) < 1e-3
    draws = jax.jit(jax.vmap(q.sample))(jax.random.split(KEY, 20_000))
    mean = (density[:, None] * grid).sum(0) / density.sum()  # draws and density are of one distribution
    assert jnp.all(jnp.abs(draws.mean(0) - mean) < 5 * draws.std(0) / np.sqrt(len(draws)))


@pytest.mark.parametrize("name", ["iaf", "autoregressive", "coupling"])
def test_round_trips_of_whole_flows_and_gradients_of_their_densities(name):  # oracle 12
    q = flow(name, 4)
    z = jax.random.normal(KEY, (4,))
    points, total = z, 0.0
    for step in q.steps:
        points, log_det = step(points)
        total += log_det
    for step in reversed(q.steps):
        points, log_det = step.inverse(points)
        total += log_det
    np.testing.assert_allclose(points, z, atol=1e-8)
    assert abs(total) < 1e-8
    leaves, form = jax.tree.flatten(q)
    leaves = [z, *leaves]
    f = jax.jit(lambda leaves: form.unflatten(leaves[1:]).log_prob(leaves[0]))
    grads = jax.jit(jax.grad(f))(leaves)
    chex.assert_tree_all_finite(grads)
    direction = [jnp.cos(jnp.arange(g.size, dtype=g.dtype)).reshape(g.shape) for g in grads]
    moved = [f([leaf + h * d for leaf, d in zip(leaves, direction, strict=True)]) for h in (1e-6, -1e-6)]
    stated = sum(jnp.sum(g * d) for g, d in zip(grads, direction, strict=True))
    np.testing.assert_allclose((moved[0] - moved[1]) / 2e-6, stated, rtol=1e-5)
    batch = jax.random.normal(KEY, (3, 4))
    np.testing.assert_allclose(jax.vmap(q.log_prob)(batch), [q.log_prob(row) for row in batch], atol=1e-10)


def test_what_lies_behind_an_entry_cannot_spoil_it():
    """The inverse never feeds the conditioner what it has not found, and far points stay finite."""
    y = jnp.array([1e3, -1e3, 1e3, 0.0, 1.0])
    for name in ("gated", "affine"):
        z, log_det = step_named(name, 5).inverse(y)
        assert jnp.all(jnp.isfinite(z)) and jnp.isfinite(log_det)
    far = flow("iaf", 5).log_prob(1e4 * y)
    assert -jnp.inf < far < -1e4 and jnp.all(jnp.isfinite(jax.grad(flow("iaf", 5).log_prob)(1e4 * y)))


class Half(dist.Step):
    """A user's step, one way."""

    invertible = False

    def __call__(self, z):
        return 0.5 * z, z.size * jnp.log(0.5)


def test_a_step_without_an_inverse_leaves_the_draws():
    q = dist.Flowed(dist.Normal(jnp.zeros(2), jnp.ones(2)), (Reverse(), Half()))
    assert not q.has_density and dist.Flowed(q.base, (Reverse(),)).has_density
    z, log_q = q.sample_and_log_prob(KEY)
    np.testing.assert_allclose(log_q, dist.Normal(jnp.zeros(2), jnp.full(2, 0.5)).log_prob(z), atol=1e-12)
    with pytest.raises(TypeError, match="along its draws only: use sample_and_log_prob"):
        q.log_prob(z)


def test_priors_are_fast_where_they_are_scored():
    """The density of either prior has no loop in it; draws of the autoregressive one have."""
    loops = {}
    for name in ("autoregressive", "coupling"):
        p = flow(name, 3)
        score, draw = jax.make_jaxpr(p.log_prob)(jnp.ones(3)), jax.make_jaxpr(p.sample)(KEY)
        loops[name] = [any(word in str(each) for word in ("scan[", "while[")) for each in (score, draw)]
    assert loops == {"autoregressive": [False, True], "coupling": [False, False]}
    q = flow("iaf", 3)
    assert "scan[" not in str(jax.make_jaxpr(functools.partial(q.sample_and_log_prob))(KEY))
