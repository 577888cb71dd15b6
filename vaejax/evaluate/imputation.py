"""Missing pixels given the observed ones, by importance sampling in the latent space."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.data.inputs import Rows, checked_rows
from vaejax.distributions import Bernoulli, ContinuousBernoulli, DiscretizedLogistic, Distribution, Normal, bind
from vaejax.models import LatentModel
from vaejax.models.model import Params, require_at_least

__all__ = ["Imputation", "entry_log_probs", "impute"]

FACTORISED = (Normal, Bernoulli, ContinuousBernoulli, DiscretizedLogistic)
_DRAWS_AT_ONCE = 4096


class Imputation(NamedTuple):
    """What the observed entries say of the missing ones.

    Attributes:
      mean: the rows, missing entries replaced by E[x_missing | x_observed], shape (N, ...).
      draws: the rows, missing entries drawn from p(x_missing | x_observed), shape (N, num_draws, ...).
      log_observed: estimate of log p(x_observed), nats, shape (N,).
      effective: effective sample size over the number of draws, in (0, 1], shape (N,): near 1/k the
        weights rest on one draw and nothing here is to be trusted.
    """

    mean: jax.Array
    draws: jax.Array
    log_observed: jax.Array
    effective: jax.Array


def entry_log_probs(distribution: Distribution, value: jax.Array) -> jax.Array:
    """Log-density of each entry of an event under a distribution whose entries are independent.

    Args:
      distribution: a `Normal`, `Bernoulli`, `ContinuousBernoulli` or `DiscretizedLogistic`.
      value: the event.

    Returns:
      Nats, in the shape of `value`; they sum to `log_prob`.

    >>> entry_log_probs(Bernoulli(jnp.zeros(2)), jnp.array([0.0, 1.0])).round(4)
    Array([-0.6931, -0.6931], dtype=float32)
    """
    if not isinstance(distribution, FACTORISED):
        names = ", ".join(kind.__name__ for kind in FACTORISED)
        raise TypeError(
            f"expected a likelihood of independent entries ({names}), got {type(distribution).__name__}: "
            "its observed entries have no density of their own here"
        )
    value = jnp.asarray(value)
    each = jax.tree.map(lambda leaf: jnp.ravel(jnp.broadcast_to(leaf, value.shape)), distribution)
    return jax.vmap(lambda entry, x: entry.log_prob(x))(each, jnp.ravel(value)).reshape(value.shape)


@functools.partial(jax.jit, static_argnames=("size", "num_fills", "num_rounds", "num_draws"))
def _impute(
    model: LatentModel,
    params: Params,
    key: jax.Array,
    rows: Rows,
    observed: jax.Array,
    size: int,
    num_fills: int,
    num_rounds: int,
    num_draws: int,
) -> Imputation:
    def one(row: tuple[jax.Array, Rows, jax.Array]) -> Imputation:
        key, (x, context), seen = row
        x = model.event(x)
        seen = seen.reshape(x.shape)
        p = model.prior(params, context)
        likelihood = lambda z: model.likelihood(params, p.score(z)[1], context)  # noqa: E731
        guess = lambda fill: bind(model.posterior(params, fill, context), p)  # noqa: E731
        filled = lambda key, z: jnp.where(seen, x, likelihood(z).sample(key))  # noqa: E731

        def weigh(key: jax.Array, fills: jax.Array) -> tuple[Any, jax.Array]:
            keys = jax.random.split(key, (num_fills + 1, size))
            from_q = jax.vmap(lambda fill, keys: jax.vmap(guess(fill).sample)(keys))(fills, keys[1:])
            z = jax.tree.map(
                lambda first, others: jnp.concatenate([first, others.reshape(-1, *others.shape[2:])]),
                jax.vmap(p.sample)(keys[0]),
                from_q,
            )
            log_p = jax.vmap(p.log_prob)(z)
            log_q = jax.vmap(lambda fill: jax.vmap(guess(fill).log_prob)(z))(fills)
            mixture = jax.nn.logsumexp(jnp.concatenate([log_p[None], log_q]), 0) - math.log(num_fills + 1)
            log_seen = jax.vmap(lambda z: jnp.sum(jnp.where(seen, entry_log_probs(likelihood(z), x), 0.0)))(z)
            return z, log_p + log_seen - mixture

        def again(key: jax.Array, z: Any, log_w: jax.Array, count: int) -> jax.Array:
            key, key_x = jax.random.split(key)
            index = jax.random.categorical(key, log_w, shape=(count,))
            return jax.vmap(filled)(jax.random.split(key_x, count), jax.tree.map(lambda leaf: leaf[index], z))

        keys = jax.random.split(key, 2 * num_rounds + 2)
        fills = again(
            keys[0], jax.vmap(p.sample)(jax.random.split(keys[1], num_fills)), jnp.zeros(num_fills), num_fills
        )
        for i in range(1, num_rounds):
            fills = again(keys[2 * i], *weigh(keys[2 * i + 1], fills), num_fills)
        z, log_w = weigh(keys[-1], fills)
        w = jax.nn.softmax(log_w)
        mean = jnp.tensordot(w, jax.vmap(lambda z: likelihood(z).mean)(z), 1)
        return Imputation(
            jnp.where(seen, x, mean),
            again(keys[-2], z, log_w, num_draws),
            jax.nn.logsumexp(log_w) - math.log(len(w)),
            1.0 / (len(w) * jnp.sum(w**2)),
        )

    keys = jax.random.split(key, len(rows.x))
    at_once = max(1, _DRAWS_AT_ONCE // (size * (num_fills + 1)))
    return jax.lax.map(one, (keys, rows, observed), batch_size=min(len(rows.x), at_once))


def impute(
    model: LatentModel,
    params: Params,
    key: jax.Array,
    x: Any,
    observed: Any,
    context: Any = None,
    *,
    k: int = 1000,
    num_fills: int = 4,
    num_rounds: int = 3,
    num_draws: int = 1,
) -> Imputation:
    r"""Missing entries of each row given its observed ones, by self-normalised importance sampling.

    $$E[x_m|x_o] = \sum_i \bar w_i\,E[x_m|z_i], \qquad
      w_i = \frac{p(z_i)\,p(x_o|z_i)}{\frac1{F+1}\big[p(z_i) + \sum_f q(z_i|x_o,x_m^{(f)})\big]}$$

    An encoder reads whole rows. The proposal is therefore a mixture over F rows whose missing entries
    are filled: in the first round with the model's own samples, in every later one with imputations
    of the round before. The prior is a component too, which bounds the weights by $(F+1)\,p(x_o|z)$:
    $q(z|x)$ believes the filled entries, and alone it is narrower than $p(z|x_o)$.

    Args:
      model: a model with a density p(z) and a likelihood of independent entries.
      params: its parameters.
      key: a PRNG key.
      x: rows (N, ...); what stands in missing entries is not read, nan is allowed.
      observed: bool, in the shape of `x` or of one row; `False` where an entry is missing.
      context: labels or vectors, where the model has a context.
      k: draws a row and round, split evenly over the components.
      num_fills: F, filled rows.
      num_rounds: rounds; each fills the rows anew.
      num_draws: imputations to draw for each row.

    Returns:
      An `Imputation`.

    Raises:
      TypeError: for likelihoods whose entries depend on each other, models without a density, and
        posteriors that know their density only along their own draws (flows).

    Reference: Rezende, Mohamed and Wierstra, 2014 (the chain that this replaces); Veach and
    Guibas, 1995 (the mixture in the denominator).

    >>> import vaejax as vj
    >>> model = vj.PPCA(dim=3, latent_dim=1)
    >>> params = {"mean": jnp.zeros(3), "weight": jnp.ones((3, 1)), "log_scale": jnp.log(0.1)}
    >>> x = np.array([[2.0, 2.0, np.nan]])
    >>> made = impute(model, params, jax.random.key(0), x, ~np.isnan(x))
    >>> round(float(made.mean[0, 2]), 1)
    2.0
    """
    for name, value in (("k", k), ("num_fills", num_fills), ("num_rounds", num_rounds), ("num_draws", num_draws)):
        require_at_least(name, value, 1)
    if not model.has_density:
        raise TypeError(f"{type(model).__name__} has no density p(z) to weigh draws with")
    x, observed = np.asarray(x), np.asarray(observed)
    if observed.dtype != bool or observed.shape not in (x.shape, x.shape[1:]):
        raise ValueError(f"observed: expected bool of shape {x.shape}, got {observed.dtype} of shape {observed.shape}")
    observed = np.broadcast_to(observed, x.shape)
    rows = checked_rows(model, np.where(observed, x, np.zeros((), x.dtype)), context, "x")
    size = -(-k // (num_fills + 1))
    return _impute(model, params, key, rows, jnp.asarray(observed), size, num_fills, num_rounds, num_draws)
