"""Annealed importance sampling with Hamiltonian transitions, and the reverse chain that brackets the truth."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from vaejax.data.inputs import Rows, checked_rows
from vaejax.evaluate.evidence import PURPOSE, Evidence, of_weights
from vaejax.evaluate.progress import groups
from vaejax.models import LatentModel, sample
from vaejax.models.model import require_at_least

__all__ = ["Bracket", "ais", "bdmc"]

_WANTED = 0.65  # share of proposals that are accepted
_GAIN = 0.2
_FIRST_STEP = 0.1


class Bracket(NamedTuple):
    """What `bdmc` finds on simulated data: in expectation `lower` is below log p(x) and `upper` above.

    Attributes:
      lower: by annealing from the prior to the posterior.
      upper: by annealing back from the latents that x was drawn with.
      x: the simulated rows.
    """

    lower: Evidence
    upper: Evidence
    x: jax.Array


def _schedule(steps: int) -> jax.Array:
    """Inverse temperatures from 0 to 1, dense at both ends: a logistic curve between -4 and 4."""
    curve = jax.nn.sigmoid(jnp.linspace(-4.0, 4.0, steps + 1))
    return (curve - curve[0]) / (curve[-1] - curve[0])


def _hmc(
    log_density: Callable[[jax.Array], jax.Array], key: jax.Array, v: jax.Array, size: jax.Array, leapfrog: int
) -> tuple[jax.Array, jax.Array]:
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


def _anneal(terms, key: jax.Array, v: jax.Array, betas: jax.Array, sizes: Any, leapfrog: int, backward: bool):
    """Log-weights of chains (C, d) along `betas`; with `sizes=None` step sizes are adapted, and returned."""

    def step(carry: tuple, item: tuple) -> tuple[tuple, jax.Array]:
        v, log_w, log_size = carry
        before, beta, key, given = item
        log_size = log_size if sizes is None else given

        def tempered(u: jax.Array) -> jax.Array:
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
        return (v, log_w, log_size + _GAIN * (jnp.mean(chance) - _WANTED)), log_size

    pairs = betas[:-1], betas[1:], jax.random.split(key, len(betas) - 1)
    given = jnp.zeros(len(betas) - 1) if sizes is None else sizes
    start = v, jnp.zeros(len(v)), jnp.full((), np.log(_FIRST_STEP))
    (_, log_w, _), path = jax.lax.scan(step, start, (*pairs, given), reverse=backward)
    return log_w, path


@functools.partial(jax.jit, static_argnames=("chains", "temperatures", "leapfrog", "burn_in", "backward", "batch"))
def _run(
    model: LatentModel, params: Any, key: jax.Array, rows: Any, first: Any, *, chains, temperatures, leapfrog,
    burn_in, backward, batch,
):  # fmt: skip
    def one(item: tuple[jax.Array, Any]) -> tuple[jax.Array, ...]:
        number, ((x, context), z) = item
        x = model.event(x)
        p = model.prior(params, context)
        keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, PURPOSE), number), 4)
        _, unravel = ravel_pytree(p.sample(keys[0]))

        def terms(v: jax.Array) -> tuple[jax.Array, jax.Array]:
            log_p, h = p.score(unravel(v))
            return log_p, model.likelihood(params, h, context).log_prob(x)

        drawn = lambda key: jax.vmap(lambda k: ravel_pytree(p.sample(k))[0])(jax.random.split(key, chains))  # noqa: E731
        pilot = _schedule(burn_in)
        _, path = _anneal(terms, keys[0], drawn(keys[1]), pilot, None, leapfrog, False)
        betas = _schedule(temperatures)
        sizes = jnp.interp(betas[1:], pilot[1:], path)
        start = jnp.tile(ravel_pytree(z)[0], (chains, 1)) if backward else drawn(keys[2])
        log_w, _ = _anneal(terms, keys[3], start, betas, sizes, leapfrog, backward)
        return of_weights(log_w)

    numbers = first + jnp.arange(len(rows[0].x))
    return jax.lax.map(one, (numbers, rows), batch_size=min(batch, len(numbers)))


def _require(model: LatentModel, params: Any, context: Any, **counts: int) -> None:
    for name, value in counts.items():
        require_at_least(name, value, 1)
    z = jax.eval_shape(lambda: model.prior(params, context).sample(jax.random.key(0)))
    if not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(z)):
        raise TypeError(f"{type(model).__name__} has discrete latents: annealing needs continuous ones")


def _settings(
    num_chains: int = 16,
    num_temperatures: int = 1000,
    num_leapfrog: int = 10,
    burn_in: int = 200,
    batch: int = 64,
    progress: bool = True,
) -> tuple[dict[str, int], int, bool]:
    counts = {"chains": num_chains, "temperatures": num_temperatures, "leapfrog": num_leapfrog, "burn_in": burn_in}
    return counts, batch, progress


def ais(
    model: LatentModel,
    params: Any,
    key: jax.Array,
    x: Any,
    context: Any = None,
    *,
    num_chains: int = 16,
    num_temperatures: int = 1000,
    num_leapfrog: int = 10,
    burn_in: int = 200,
    batch: int = 64,
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
      model: a model with continuous latents, flat or a hierarchy.
      params: its parameters.
      key: a PRNG key.
      x: rows (N, ...) of floats or uint8 pixels.
      context: labels (N,) or vectors (N, context_dim), where the model has a context.
      num_chains: chains of each row.
      num_temperatures: T.
      num_leapfrog: leapfrog steps of a transition.
      burn_in: temperatures of the run that finds the step sizes.
      batch: rows at once.
      progress: show a bar with the time left.

    Returns:
      An `Evidence`; its standard error is that of `num_chains` weights.

    Reference: Neal, 2001; Wu, Burda, Salakhutdinov and Grosse, 2017.

    >>> import jax, vaejax as vj
    >>> model = vj.PPCA(dim=4, latent_dim=1)
    >>> params, x = model.init(jax.random.key(0)), jax.numpy.ones((1, 4))
    >>> found = ais(model, params, jax.random.key(1), x, num_chains=32, num_temperatures=50, burn_in=20)
    >>> bool(abs(found.log_evidence[0] - vj.log_evidence(model, params, x[0])) < 0.2)
    True
    """
    rows = checked_rows(model, x, context, "x")
    counts, batch, progress = _settings(num_chains, num_temperatures, num_leapfrog, burn_in, batch, progress)
    _require(model, params, None if rows.context is None else rows.context[0], **counts, batch=batch)
    call = lambda first, part: _run(  # noqa: E731
        model, params, key, (part, jnp.zeros(len(part.x))), first, **counts, backward=False, batch=batch
    )
    value, error, ess = groups(call, rows, batch, progress, "AIS")
    return Evidence(value, error, ess, _told("AIS from the prior", **counts))


def _told(what: str, chains: int, temperatures: int, leapfrog: int, burn_in: int) -> str:
    return f"{what}, {chains} chains, {temperatures} temperatures, {leapfrog} leapfrog steps, burn-in {burn_in}"


def bdmc(
    model: LatentModel, params: Any, key: jax.Array, num_rows: int, context: Any = None, **options: Any
) -> Bracket:
    r"""Bracket log p(x) of data that the model itself draws: bidirectional Monte Carlo.

    For x drawn with z the pair is an exact draw of the posterior. Annealing from there back to the prior
    gives weights with $E[w'] = 1/p(x)$, and $-\ln\overline{w'}$ is in expectation above log p(x), as `ais` is
    below it. The gap says how far annealing of this length is from the truth for this model.

    Args:
      model: as for `ais`.
      params: its parameters.
      key: a PRNG key.
      num_rows: rows to draw.
      context: labels (num_rows,) or vectors, where the model has a context.
      **options: the keywords of `ais`; backward chains of a row all start at the latents it was drawn with.

    Returns:
      A `Bracket`.

    Reference: Grosse, Ghahramani and Adams, 2015.
    """
    require_at_least("num_rows", num_rows, 1)
    key_x, key_lower, key_upper = jax.random.split(key, 3)
    keys = jax.random.split(key_x, num_rows)
    each = (keys,) if context is None else (keys, jnp.asarray(context))
    x = jax.vmap(lambda k, c=None: sample(model, params, k, c))(*each)
    latents = lambda k, c=None: model.prior(params, c).run(jax.random.split(k)[0])[0]  # noqa: E731  those of `sample`
    z = jax.vmap(latents)(*each)
    rows = checked_rows(model, x, context, "x")
    counts, batch, progress = _settings(**options)
    _require(model, params, None if rows.context is None else rows.context[0], **counts, batch=batch)
    found = []
    for backward, own in ((False, key_lower), (True, key_upper)):
        call = lambda first, part, own=own, backward=backward: _run(  # noqa: E731
            model, params, own, (Rows(*part[0]), part[1]), first, **counts, backward=backward, batch=batch
        )
        found.append(groups(call, (rows, z), batch, progress, "backward" if backward else "forward"))
    (low, low_error, low_ess), (high, high_error, high_ess) = found
    lower = Evidence(low, low_error, low_ess, _told("AIS from the prior", **counts))
    return Bracket(lower, Evidence(-high, high_error, high_ess, _told("AIS back to the prior", **counts)), x)
