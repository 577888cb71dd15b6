"""Annealed importance sampling with Hamiltonian transitions, and the reverse chain that brackets the truth."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from vaejax.checks import require_integer
from vaejax.evaluate.evidence import Evidence, of_weights, separate
from vaejax.evaluate.rows import RowsLike, checked, over_rows, remarks, row_keys
from vaejax.models import LatentModel, sample
from vaejax.types import Array, ArrayLike, Context, Key, Params, PyTree

__all__ = ["Bracket", "ais", "bdmc"]

_ACCEPTANCE = 0.65  # share of proposals that are accepted
_GAIN = 0.2
_FIRST_STEP = 0.1


class Bracket(NamedTuple):
    """Bounds of log p(x) of simulated rows: in expectation `lower` is below it and `upper` above.

    Attributes:
      lower: by annealing from the prior to the posterior.
      upper: by annealing back from the latents that x was drawn with.
      x: the simulated rows.
    """

    lower: Evidence
    upper: Evidence
    x: Float[Array, "N ..."]


def _schedule(steps: int) -> Array:
    """Inverse temperatures from 0 to 1, dense at both ends: a logistic curve between -4 and 4."""
    curve = jax.nn.sigmoid(jnp.linspace(-4.0, 4.0, steps + 1))
    return (curve - curve[0]) / (curve[-1] - curve[0])


def _hmc(
    log_density: Callable[[Array], Array], key: Array, v: Array, size: Array, leapfrog: int
) -> tuple[Array, Array]:
    """One Hamiltonian transition: the next point, and the probability that the proposal was taken with."""
    key_momentum, key_accept = jax.random.split(key)
    momentum = jax.random.normal(key_momentum, v.shape)
    value_and_grad = jax.value_and_grad(log_density)
    value, slope = value_and_grad(v)

    def leap(state: tuple, _: None) -> tuple[tuple, None]:
        v, m, slope, _ = state
        m = m + 0.5 * size * slope
        v = v + size * m
        value, slope = value_and_grad(v)
        return (v, m + 0.5 * size * slope, slope, value), None

    (new, m, _, after), _ = jax.lax.scan(leap, (v, momentum, slope, value), None, length=leapfrog)
    gain = after - value - 0.5 * (jnp.sum(m**2) - jnp.sum(momentum**2))
    chance = jnp.where(jnp.isfinite(gain), jnp.exp(jnp.minimum(gain, 0.0)), 0.0)
    return jnp.where(jax.random.uniform(key_accept) < chance, new, v), chance


def _anneal(
    terms: Callable[[Array], tuple[Array, Array]],
    key: Key,
    v: Float[Array, "C D"],
    betas: Float[Array, " T"],
    sizes: Array | None,
    leapfrog: int,
    backward: bool,
) -> tuple[Float[Array, " C"], Array]:
    """Log-weights of chains (C, d) along `betas`; with `sizes=None` step sizes are adapted, and returned."""

    def step(carry: tuple, item: tuple) -> tuple[tuple, Array]:
        v, log_w, log_size = carry
        before, beta, key, given = item
        log_size = log_size if sizes is None else given

        def tempered(u: Array) -> Array:
            log_p, log_likelihood = terms(u)
            return log_p + beta * log_likelihood

        move = jax.vmap(lambda key, u: _hmc(tempered, key, u, jnp.exp(log_size), leapfrog))
        keys, heat = jax.random.split(key, len(v)), beta - before
        weigh = lambda v: heat * jax.vmap(lambda u: terms(u)[1])(v)  # noqa: E731
        if backward:
            v, chance = move(keys, v)
            log_w = log_w - weigh(v)
        else:
            log_w = log_w + weigh(v)
            v, chance = move(keys, v)
        return (v, log_w, log_size + _GAIN * (jnp.mean(chance) - _ACCEPTANCE)), log_size

    pairs = betas[:-1], betas[1:], jax.random.split(key, len(betas) - 1)
    given = jnp.zeros(len(betas) - 1) if sizes is None else sizes
    start = v, jnp.zeros(len(v)), jnp.full((), np.log(_FIRST_STEP))
    (_, log_w, _), path = jax.lax.scan(step, start, (*pairs, given), reverse=backward)
    return log_w, path


def _annealed(
    model: LatentModel,
    params: Params,
    key: Key,
    x: Array,
    context: Context,
    z: PyTree,
    *,
    num_chains: int,
    num_temperatures: int,
    num_leapfrog: int,
    burn_in: int,
) -> tuple[Array, Array, Array]:
    """The estimate of one row; chains run back from the latents that come with it, if any do."""
    backward = z is not None
    x, context = model.event(x), model.condition(context)
    p = model.prior(params, context)
    keys = jax.random.split(key, 4)
    _, unravel = ravel_pytree(p.sample(keys[0]))

    def terms(v: Array) -> tuple[Array, Array]:
        log_p, h = p.score(unravel(v))
        return log_p, model.likelihood(params, h, context).log_prob(x)

    start = lambda key: jax.vmap(lambda k: ravel_pytree(p.sample(k))[0])(jax.random.split(key, num_chains))  # noqa: E731
    pilot, betas = _schedule(burn_in), _schedule(num_temperatures)
    _, path = _anneal(terms, keys[0], start(keys[1]), pilot, None, num_leapfrog, False)
    sizes = jnp.interp(betas[1:], pilot[1:], path)
    first = jnp.tile(ravel_pytree(z)[0], (num_chains, 1)) if backward else start(keys[2])
    log_w, _ = _anneal(terms, keys[3], first, betas, sizes, num_leapfrog, backward)
    return of_weights(log_w)


def ais(
    model: LatentModel,
    params: Params,
    key: Key,
    x: RowsLike,
    context: ArrayLike | None = None,
    *,
    num_chains: int = 16,
    num_temperatures: int = 1000,
    num_leapfrog: int = 10,
    burn_in: int = 200,
    batch: int = 64,
    back_from: PyTree = None,
    progress: bool = True,
) -> Evidence:
    r"""Annealed importance sampling of log p(x), from the prior to the posterior.

    $$f_t(z) = p(z)\,p(x|z)^{\beta_t},\qquad \ln w = \sum_{t=1}^{T}(\beta_t - \beta_{t-1})\ln p(x|z_{t-1}),
    \qquad E[w] = p(x)$$

    with a Hamiltonian transition that leaves $f_t$ alone between the temperatures, $\beta_t$ on a logistic curve.
    It needs no q, and so tells how far q's bounds are from the truth. Step sizes come from a run of its own,
    `burn_in` temperatures long with chains that are thrown away, in which they are adapted to an acceptance of
    0.65 for each row and temperature; the chains that are weighed do not adapt, so that $E[w] = p(x)$ holds.

    Args:
      num_chains: chains of each row.
      num_temperatures: T.
      num_leapfrog: leapfrog steps of a transition.
      burn_in: temperatures of the run that finds the step sizes.
      batch: rows at once.
      back_from: latents of each row, drawn from its exact posterior. All chains of the row start there and anneal
        back to the prior: $E[w'] = 1/p(x)$, and $-\ln\overline{w'}$ is in expectation above log p(x).

    Returns:
      An `Evidence`; its standard error is that of `num_chains` weights.

    Raises:
      TypeError: for discrete latents.

    Reference: Neal, 2001; Wu, Burda, Salakhutdinov and Grosse, 2017.

    >>> import jax, vaejax as vj
    >>> model = vj.PPCA(dim=4, latent_dim=1)
    >>> params, x = model.init(jax.random.key(0)), jax.numpy.ones((1, 4))
    >>> found = ais(model, params, jax.random.key(1), x, num_chains=32, num_temperatures=50, burn_in=20)
    >>> bool(abs(found.log_evidence[0] - vj.log_evidence(model, params, x[0])) < 0.2)
    True
    """
    options = {
        "num_chains": num_chains,
        "num_temperatures": num_temperatures,
        "num_leapfrog": num_leapfrog,
        "burn_in": burn_in,
    }
    for name, value in (*options.items(), ("batch", batch)):
        require_integer(name, value)
    rows = checked(model, x, context)
    one = None if rows.context is None else rows.context[0]
    latents = jax.eval_shape(lambda: model.prior(params, model.condition(one)).sample(jax.random.key(0)))
    if not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(latents)):
        raise TypeError(f"{type(model).__name__} has discrete latents: annealing needs continuous ones")
    title = "AIS from the prior" if back_from is None else "AIS back to the prior"
    value, error, ess = over_rows(
        _annealed, (model, params), (row_keys(separate(key), len(rows.x)), *rows, back_from), batch=batch, group=batch,
        title=title, progress=progress, **options,
    )  # fmt: skip
    size = f"{num_chains} chains, {num_temperatures} temperatures, {num_leapfrog} leapfrog steps, burn-in {burn_in}"
    return Evidence(value if back_from is None else -value, error, ess, f"{title}, {size}{remarks(model, x, rows)}")


@jax.jit
def _simulated(model: LatentModel, params: Params, keys: Key, context: ArrayLike | None) -> tuple[Array, PyTree]:
    """Rows of the model, and the latents that they were drawn with."""

    def one(key: Key, context: ArrayLike | None) -> tuple[Array, PyTree]:
        z, _ = model.prior(params, model.condition(context)).run(jax.random.split(key)[0])  # as `sample` does
        return sample(model, params, key, context), z

    return jax.vmap(one)(keys, context)


def bdmc(
    model: LatentModel, params: Params, key: Key, num_rows: int, context: ArrayLike | None = None, **options: Any
) -> Bracket:
    r"""Bracket log p(x) of data that the model itself draws: bidirectional Monte Carlo.

    For x drawn with z the pair is an exact draw of the posterior, from which `ais` can anneal back. The gap says how
    far annealing of this length is from the truth for this model.

    Args:
      num_rows: rows to draw.
      **options: the keywords of `ais`.

    Reference: Grosse, Ghahramani and Adams, 2015.
    """
    require_integer("num_rows", num_rows)
    key_x, key_lower, key_upper = jax.random.split(key, 3)
    given = None if context is None else jnp.asarray(context)
    x, z = _simulated(model, params, jax.random.split(key_x, num_rows), given)
    rows = checked(model, x, context)
    lower = ais(model, params, key_lower, rows, **options)
    return Bracket(lower, ais(model, params, key_upper, rows, back_from=z, **options), x)
