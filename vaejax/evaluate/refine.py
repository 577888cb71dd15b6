"""What the encoder loses: the bound of the best Gaussian q of each row, found by gradients, against the encoder's."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from vaejax.data.inputs import Rows, checked_rows
from vaejax.distributions import Normal, TrilNormal, draw, expect
from vaejax.evaluate.evidence import of_weights
from vaejax.evaluate.progress import groups
from vaejax.models import LatentModel
from vaejax.models.model import require_at_least

__all__ = ["Refined", "refine"]

_WEIGHTS = 512


class Refined(NamedTuple):
    """Evidence lower bounds of each row, nats, (N,), `encoder` and `best` by the same draws.

    Attributes:
      encoder: with the encoder's q.
      best: with the best q of the same family that was found; never below `encoder`.
      importance: log p(x) by importance sampling from that q, with other draws.
    """

    encoder: Any
    best: Any
    importance: Any


def _free(q: Any) -> Any:
    """The parameters of a Gaussian without constraints."""
    if isinstance(q, Normal):
        return q.loc, jnp.log(jnp.broadcast_to(q.scale, q.loc.shape))
    return q.loc, jnp.tril(q.scale_tril, -1), jnp.log(jnp.diagonal(q.scale_tril))


def _gaussian(free: Any) -> Any:
    if len(free) == 2:
        return Normal(free[0], jnp.exp(free[1]))
    return TrilNormal(free[0], jnp.tril(free[1], -1) + jnp.diag(jnp.exp(free[2])))


@functools.partial(jax.jit, static_argnames=("steps", "draws", "rate"))
def _refine(model: LatentModel, params: Any, key: jax.Array, rows: Rows, first: Any, *, steps, draws, rate):
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, steps))

    def one(item: tuple[jax.Array, Rows]) -> Refined:
        number, (x, context) = item
        x, key_row = model.event(x), jax.random.fold_in(key, number)
        p = model.prior(params, context)

        def bound(free: Any, key: jax.Array, count: int) -> jax.Array:
            score = lambda d: model.likelihood(params, d.h, context).log_prob(x) - jnp.sum(d.kl)  # noqa: E731
            return jnp.mean(jax.vmap(lambda k: expect(k, _gaussian(free), p, score))(jax.random.split(key, count)))

        def step(carry: tuple, key: jax.Array) -> tuple[tuple, None]:
            free, state = carry
            slope = jax.grad(lambda free: -bound(free, key, draws))(free)
            good = jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(slope)]))
            updates, after = optimizer.update(slope, state, free)
            new = optax.apply_updates(free, updates), after
            return jax.tree.map(lambda a, b: jnp.where(good, a, b), new, carry), None

        start = _free(model.posterior(params, x, context))
        key_steps, key_score = jax.random.split(key_row)
        (best, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), jax.random.split(key_steps, steps))
        before, after = (bound(free, key_score, 64) for free in (start, best))
        free = jax.tree.map(lambda a, b: jnp.where(after > before, a, b), best, start)

        def weight(key: jax.Array) -> jax.Array:
            d = draw(key, _gaussian(free), p)
            return model.likelihood(params, d.h, context).log_prob(x) - jnp.sum(d.kl)

        log_w = jax.lax.map(weight, jax.random.split(jax.random.fold_in(key_score, 1), _WEIGHTS), batch_size=64)
        return Refined(before, jnp.maximum(before, after), of_weights(log_w)[0])

    return jax.lax.map(one, (first + jnp.arange(len(rows.x)), rows), batch_size=min(len(rows.x), 64))


def refine(
    model: LatentModel,
    params: Any,
    key: jax.Array,
    x: Any,
    context: Any = None,
    *,
    num_steps: int = 200,
    num_samples: int = 8,
    learning_rate: float = 0.03,
    progress: bool = True,
) -> Refined:
    r"""Improve q of each row by itself, by gradients from where the encoder put it.

    $$\underbrace{\ln p(x) - \mathcal L[q^*]}_{\text{approximation gap}} +
    \underbrace{\mathcal L[q^*] - \mathcal L[q_\phi]}_{\text{amortisation gap}} = \ln p(x) - \mathcal L[q_\phi]$$

    Args:
      model: a model with a diagonal or full-covariance Gaussian q(z|x).
      params: its parameters.
      key: a PRNG key.
      x: rows (N, ...) of floats or uint8 pixels.
      context: labels (N,) or vectors (N, context_dim), where the model has a context.
      num_steps: of Adam, its rate on a cosine to zero.
      num_samples: draws of a step.
      learning_rate: at the start.
      progress: show a bar with the time left.

    Returns:
      A `Refined`; `best - encoder` is the amortisation gap, up to what the optimiser did not find.

    Reference: Cremer, Li and Duvenaud, 2018, section 3.
    """
    require_at_least("num_steps", num_steps, 1)
    require_at_least("num_samples", num_samples, 1)
    rows = checked_rows(model, x, context, "x")
    one = jax.tree.map(lambda leaf: leaf[0], rows)
    q = jax.eval_shape(lambda row: model.posterior(params, model.event(row.x), row.context), one)
    if not isinstance(q, Normal | TrilNormal):
        raise TypeError(f"refine: expected a Gaussian q(z|x), got {type(q).__name__}")
    options = {"steps": num_steps, "draws": num_samples, "rate": learning_rate}
    call = lambda first, part: _refine(model, params, key, part, first, **options)  # noqa: E731
    return groups(call, rows, 256, progress, "refining q")
