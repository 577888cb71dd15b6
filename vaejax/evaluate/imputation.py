"""Missing pixels given the observed ones, by importance sampling in the latent space."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from vaejax.checks import require_integer
from vaejax.distributions import Bernoulli, ContinuousBernoulli, DiscretizedLogistic, Distribution, Normal, bind
from vaejax.evaluate.rows import checked, over_rows
from vaejax.models import LatentModel
from vaejax.types import Array, ArrayLike, Context, Key, Params, PyTree

__all__ = ["Imputation", "entry_log_probs", "impute"]

_FACTORISED = (Normal, Bernoulli, ContinuousBernoulli, DiscretizedLogistic)
_DRAWS_AT_ONCE = 4096


class Imputation(NamedTuple):
    """Missing entries given the observed ones.

    Attributes:
      mean: the rows, missing entries replaced by E[x_missing | x_observed].
      draws: the rows, missing entries drawn from p(x_missing | x_observed).
      log_observed: estimate of log p(x_observed), nats.
      effective: effective sample size over the number of draws, in (0, 1]: near 1/k the
        weights rest on one draw and nothing here is to be trusted.
    """

    mean: Float[np.ndarray, "N ..."]
    draws: Float[np.ndarray, "N K ..."]
    log_observed: Float[np.ndarray, " N"]
    effective: Float[np.ndarray, " N"]


def entry_log_probs(distribution: Distribution, value: Array) -> Array:
    """Log-density of each entry of an event under a distribution whose entries are independent.

    Args:
      distribution: a `Normal`, `Bernoulli`, `ContinuousBernoulli` or `DiscretizedLogistic`.
      value: the event.

    Returns:
      Nats, in the shape of `value`; they sum to `log_prob`.

    >>> entry_log_probs(Bernoulli(jnp.zeros(2)), jnp.array([0.0, 1.0])).round(4)
    Array([-0.6931, -0.6931], dtype=float32)
    """
    if not isinstance(distribution, _FACTORISED):
        names = ", ".join(kind.__name__ for kind in _FACTORISED)
        raise TypeError(
            f"expected a likelihood of independent entries ({names}), got {type(distribution).__name__}: "
            "its observed entries have no density of their own here"
        )
    value = jnp.asarray(value)
    each = jax.tree.map(lambda leaf: jnp.ravel(jnp.broadcast_to(leaf, value.shape)), distribution)
    return jax.vmap(lambda entry, x: entry.log_prob(x))(each, jnp.ravel(value)).reshape(value.shape)


def _imputed(
    model: LatentModel,
    params: Params,
    key: Key,
    x: Array,
    context: Context,
    seen: Bool[Array, "..."],
    *,
    size: int,
    num_fills: int,
    num_rounds: int,
    num_draws: int,
) -> tuple[Array, Array, Array, Array]:
    x, context = model.event(x), model.condition(context)
    seen = seen.reshape(x.shape)
    p = model.prior(params, context)
    likelihood = lambda z: model.likelihood(params, p.score(z)[1], context)  # noqa: E731
    guess = lambda fill: bind(model.posterior(params, fill, context), p)  # noqa: E731
    filled = lambda key, z: jnp.where(seen, x, likelihood(z).sample(key))  # noqa: E731

    def weigh(key: Key, fills: Array) -> tuple[PyTree, Array]:
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

    def again(key: Key, z: PyTree, log_w: Array, count: int) -> Array:
        key, key_x = jax.random.split(key)
        index = jax.random.categorical(key, log_w, shape=(count,))
        return jax.vmap(filled)(jax.random.split(key_x, count), jax.tree.map(lambda leaf: leaf[index], z))

    def refill(fills: Array, keys: Key) -> tuple[Array, None]:
        return again(keys[0], *weigh(keys[1], fills), num_fills), None

    keys = jax.random.split(key, 2 * num_rounds + 2)
    start = jax.vmap(p.sample)(jax.random.split(keys[1], num_fills))
    fills = again(keys[0], start, jnp.zeros(num_fills), num_fills)
    fills, _ = jax.lax.scan(refill, fills, keys[2:-2].reshape(num_rounds - 1, 2))
    z, log_w = weigh(keys[-1], fills)
    w = jax.nn.softmax(log_w)
    mean = jnp.tensordot(w, jax.vmap(lambda z: likelihood(z).mean)(z), 1)
    draws = again(keys[-2], z, log_w, num_draws)
    log_observed = jax.nn.logsumexp(log_w) - math.log(len(w))
    return jnp.where(seen, x, mean), draws, log_observed, 1.0 / (len(w) * jnp.sum(w**2))


def impute(
    model: LatentModel,
    params: Params,
    key: Key,
    x: ArrayLike,
    observed: ArrayLike,
    context: ArrayLike | None = None,
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
      x: rows; missing entries are not read and may be nan.
      observed: bool, in the shape of `x` or of one row; `False` where an entry is missing.
      k: draws a row and round, split evenly over the components.
      num_fills: F, filled rows.
      num_rounds: rounds; each fills the rows anew.
      num_draws: imputations to draw for each row.

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
        require_integer(name, value)
    if not model.has_density:
        raise TypeError(f"{type(model).__name__} has no density p(z) to weigh draws with")
    x, observed = np.asarray(x), np.asarray(observed)
    if observed.dtype != bool or observed.shape not in (x.shape, x.shape[1:]):
        raise ValueError(f"observed: expected bool of shape {x.shape}, got {observed.dtype} of shape {observed.shape}")
    observed = np.broadcast_to(observed, x.shape)
    rows = checked(model, np.where(observed, x, np.zeros((), x.dtype)), context)
    size = -(-k // (num_fills + 1))
    found = over_rows(
        _imputed, (model, params), (jax.random.split(key, len(x)), *rows, observed), num_draws=num_draws,
        batch=max(1, _DRAWS_AT_ONCE // (size * (num_fills + 1))), size=size, num_fills=num_fills, num_rounds=num_rounds,
    )  # fmt: skip
    return Imputation(*found)
