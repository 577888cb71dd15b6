import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.refusals import refused
from vaejax import distributions as dist
from vaejax import heads, networks, priors
from vaejax.distributions import Autoregressive, Coupling, Inverted, Reverse

pytestmark = pytest.mark.usefixtures("x64")
KEY = jax.random.key(0)
NAMES = ["gated", "affine", "inverted", "coupling", "other coupling", "reverse"]
FLOWS = ["iaf", "autoregressive", "coupling"]  # densities that are known everywhere


def compiled(f):
    """One program for each name; its values as NumPy arrays."""
    jitted = jax.jit(f, static_argnums=0)
    return lambda name, *arrays: jax.tree.map(np.asarray, jitted(name, *arrays))


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape)


def noisy(tree, scale=0.4):
    """Parameters away from the start, in float64."""
    leaves, form = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(7), len(leaves))
    noise = [jax.random.normal(key, jnp.shape(leaf), jnp.float64) for key, leaf in zip(keys, leaves, strict=True)]
    return form.unflatten([leaf + scale * n for leaf, n in zip(leaves, noise, strict=True)])


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


def flow(name, dim):
    if name == "iaf":
        head = heads.IAF(2, (6, 5))
        out = 0.5 * jax.random.normal(jax.random.key(3), head.output_shape((dim,)), jnp.float64)
        return head.apply(noisy(head.init(KEY, (dim,))), out)
    recipe = getattr(priors, name)(2, 6)
    return recipe.apply(noisy(recipe.init(KEY, dim, ()), 0.25), dim, None)


@compiled
def both_ways(name, z):
    step = step_named(name, z.shape[1])

    def one(z):
        y, log_det = step(z)
        jacobian = jax.jacfwd(lambda z: step(z)[0])(z)
        return y, log_det, jacobian, jnp.linalg.slogdet(jacobian), *step.inverse(y)

    return jax.vmap(one)(z)


@pytest.mark.parametrize("dim", [1, 5])
@pytest.mark.parametrize("name", NAMES)
def test_log_dets_round_trips_and_structure(name, dim):  # oracle 12
    z = 2.0 * normal(3, dim)
    y, log_det, jacobian, (sign, exact), back, undone = both_ways(name, z)
    np.testing.assert_allclose(log_det, exact, atol=1e-9)
    np.testing.assert_allclose(back, z, atol=1e-8)
    np.testing.assert_allclose(undone, -log_det, atol=1e-8)
    assert name == "reverse" or np.all(sign > 0)
    if name in ("gated", "affine"):
        assert np.all(np.triu(jacobian, 1) == 0) and np.all(np.diagonal(jacobian, axis1=1, axis2=2) > 0)
    if "coupling" in name:
        kept = slice(int(name == "other coupling"), None, 2)
        np.testing.assert_array_equal(y[:, kept], z[:, kept])


@compiled
def density(name, grid):
    q = flow(name, 2)
    z, log_q = q.sample_and_log_prob(KEY)
    draws = jax.vmap(q.sample)(jax.random.split(KEY, 20_000))
    return (z, q.sample(KEY)), (log_q, q.log_prob(z)), jnp.exp(jax.vmap(q.log_prob)(grid)), draws


@pytest.mark.parametrize("name", FLOWS)
def test_flows_are_densities(name):  # oracle 12
    axis = np.linspace(-14.0, 14.0, 281)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    values, log_densities, on_grid, draws = density(name, grid)
    np.testing.assert_array_equal(*values)
    np.testing.assert_allclose(*log_densities, atol=1e-8)
    assert abs(on_grid.sum() * (axis[1] - axis[0]) ** 2 - 1) < 1e-3
    mean = (on_grid[:, None] * grid).sum(0) / on_grid.sum()  # draws and density are of one distribution
    assert np.all(np.abs(draws.mean(0) - mean) < 5 * draws.std(0) / np.sqrt(len(draws)))


@compiled
def there_and_back(name, z, batch):
    q = flow(name, 4)
    point, total = z, 0.0
    for step in q.steps:
        point, log_det = step(point)
        total += log_det
    for step in reversed(q.steps):
        point, log_det = step.inverse(point)
        total += log_det
    leaves, form = jax.tree.flatten(q)
    leaves = [z, *leaves]
    f = lambda leaves: form.unflatten(leaves[1:]).log_prob(leaves[0])
    grads = jax.grad(f)(leaves)
    direction = [jnp.cos(jnp.arange(g.size, dtype=g.dtype)).reshape(g.shape) for g in grads]
    steps = [[leaf + h * d for leaf, d in zip(leaves, direction, strict=True)] for h in (1e-6, -1e-6)]
    moved = jax.lax.map(f, jax.tree.map(lambda *pair: jnp.stack(pair), *steps))
    stated = sum(jnp.sum(g * d) for g, d in zip(grads, direction, strict=True))
    rows = jax.vmap(q.log_prob)(batch), jax.lax.map(q.log_prob, batch)
    return point, total, grads, (moved[0] - moved[1]) / 2e-6, stated, rows


@pytest.mark.parametrize("name", FLOWS)
def test_round_trips_of_whole_flows_and_gradients_of_their_densities(name):  # oracle 12
    z = normal(4)
    point, total, grads, slope, stated, rows = there_and_back(name, z, normal(3, 4))
    np.testing.assert_allclose(point, z, atol=1e-8)
    assert abs(total) < 1e-8 and all(np.all(np.isfinite(g)) for g in grads)
    np.testing.assert_allclose(slope, stated, rtol=1e-5)
    np.testing.assert_allclose(*rows, atol=1e-10)


@compiled
def far_away(name, y):
    q = flow("iaf", 5)
    far, slope = jax.value_and_grad(q.log_prob)(1e4 * y)
    return [step_named(name, 5).inverse(y) for name in ("gated", "affine")], far, slope


def test_an_entry_is_not_spoilt_by_those_behind_it():
    """The inverse never feeds the conditioner an entry that it has not found, and far points stay finite."""
    near, far, slope = far_away("all", np.array([1e3, -1e3, 1e3, 0.0, 1.0]))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(near))
    assert -np.inf < far < -1e4 and np.all(np.isfinite(slope))


class Half(dist.Step):
    """A user's step, one way."""

    invertible = False

    def __call__(self, z):
        return 0.5 * z, z.size * jnp.log(0.5)


def test_a_step_without_an_inverse_leaves_the_draws():
    q = dist.Flowed(dist.Normal(np.zeros(2), np.ones(2)), (Reverse(), Half()))
    assert not q.has_density and dist.Flowed(q.base, (Reverse(),)).has_density
    z, log_q = q.sample_and_log_prob(KEY)
    np.testing.assert_allclose(log_q, dist.Normal(np.zeros(2), np.full(2, 0.5)).log_prob(z), atol=1e-12)
    refused("along its draws only: use sample_and_log_prob", q.log_prob, z, error=TypeError)


def test_priors_are_fast_where_they_are_scored():
    """The density of either prior has no loop in it; draws of the autoregressive one have."""

    def has_loop(name, method, argument):
        program = str(jax.make_jaxpr(lambda argument: getattr(flow(name, 3), method)(argument))(argument))
        return "scan[" in program or "while[" in program

    loops = {name: [has_loop(name, "log_prob", np.ones(3)), has_loop(name, "sample", KEY)] for name in FLOWS[1:]}
    assert loops == {"autoregressive": [False, True], "coupling": [False, False]}
    program = jax.make_jaxpr(lambda key: flow("iaf", 3).sample_and_log_prob(key))
    assert "scan[" not in str(program(KEY))
