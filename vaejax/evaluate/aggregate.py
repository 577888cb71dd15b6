r"""The aggregate posterior $q(z) = \frac1N\sum_n q(z|x_n)$: what it says of the data, how far it is from p(z)."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.data.inputs import Rows, checked_rows
from vaejax.distributions import Guide, Normal
from vaejax.distributions.chain import After
from vaejax.models import LatentModel

__all__ = ["Aggregate", "aggregate_posterior"]


class Aggregate(NamedTuple):
    """Nats, but for the correlations; each a mean over draws with its standard error beside it.

    Attributes:
      mutual_information: I(x; z) under q, at most ln N of what was averaged over.
      kl_to_prior: KL[q(z) || p(z)]: with the mutual information it makes the mean divergence of the bound.
      total_correlation: KL[q(z) || prod_j q(z_j)], nan for posteriors that are not diagonal Gaussians.
      standard_errors: of these three.
      correlations: of draws of q(z), (M, M).
      protocol: how the mixture was estimated.
    """

    mutual_information: float
    kl_to_prior: float
    total_correlation: float
    standard_errors: tuple[float, float, float]
    correlations: np.ndarray
    protocol: str


@functools.partial(jax.jit, static_argnames=("total",))
def _terms(model: LatentModel, params: Any, key: jax.Array, rows: Rows, *, total: int) -> tuple[jax.Array, ...]:
    count = len(rows.x)
    q = jax.vmap(lambda row: model.posterior(params, model.event(row.x), row.context))(rows)
    p = model.prior(params)
    z, log_own = jax.vmap(lambda q, key: q.sample_and_log_prob(key))(q, jax.random.split(key, count))
    # q(z_i | x_i) is one of the N terms of the mixture; the other N - 1 are estimated by the rows at hand.
    others = math.log((total - 1) / total / max(count - 1, 1)) if total > 1 else -math.inf

    def mixture(log_q: jax.Array, i: jax.Array) -> jax.Array:
        weights = jnp.full(count, others).at[i].set(-math.log(total))
        return jax.nn.logsumexp(log_q + (weights if log_q.ndim == 1 else weights[:, None]), 0)

    def one(item: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        i, z = item
        joint = mixture(jax.vmap(lambda q: q.log_prob(z))(q), i)
        if not isinstance(q, Normal):
            return joint, jnp.full((), jnp.nan)
        each = jax.vmap(jax.vmap(lambda m, s, v: Normal(m, s).log_prob(v)), (0, 0, None))
        scale = jnp.broadcast_to(q.scale, q.loc.shape)
        return joint, jnp.sum(mixture(each(q.loc, scale, z), i))

    log_joint, log_product = jax.lax.map(one, (jnp.arange(count), z), batch_size=min(count, 64))
    log_p = jax.vmap(p.log_prob)(z)
    return log_own - log_joint, log_joint - log_p, log_joint - log_product, z


def aggregate_posterior(model: LatentModel, params: Any, key: jax.Array, x: Any, *, num_rows: int = 2000) -> Aggregate:
    r"""What q(z) says of the data as a whole.

    $$E_n\,KL[q(z|x_n)\|p(z)] = I(x;z) + KL[q(z)\|p(z)],\qquad KL[q(z)\|p(z)] = TC + \sum_j KL[q(z_j)\|p(z_j)]$$

    (the second for a factorised prior). With at most `num_rows` rows the mixture is over all of them and exact, one
    draw of z a row; with more it is over the first `num_rows`, each of which stands for several (Chen et al., 2018,
    appendix C.2: minibatch-stratified weights).

    Args:
      model: an unconditional, flat model whose posterior has a density everywhere.
      params: its parameters.
      key: a PRNG key.
      x: rows (N, ...) of floats or uint8 pixels, in no particular order.
      num_rows: rows of the mixture; the time grows with its square.

    Returns:
      An `Aggregate`.

    Raises:
      TypeError: for conditional models, hierarchies, and posteriors without a density (planar flows).

    Reference: Hoffman and Johnson, 2016; Chen, Li, Grosse and Duvenaud, 2018.

    >>> import jax, vaejax as vj
    >>> model = vj.PPCA(dim=3, latent_dim=2)
    >>> params = model.init(jax.random.key(0)) | {"weight": jax.numpy.zeros((3, 2))}
    >>> found = aggregate_posterior(model, params, jax.random.key(0), jax.numpy.ones((50, 3)))
    >>> abs(found.mutual_information) < 1e-5, abs(found.kl_to_prior) < 1e-5
    (True, True)
    """
    if model.context_dim:
        raise TypeError("aggregate_posterior: expected an unconditional model")
    rows = checked_rows(model, x, None, "x")
    total = len(rows.x)
    some = jax.tree.map(lambda leaf: leaf[:num_rows], rows)
    q = jax.eval_shape(lambda x: model.posterior(params, model.event(x)), some.x[0])
    if isinstance(q, Guide | After):
        raise TypeError("aggregate_posterior: expected a flat model, got a hierarchy")
    *terms, z = _terms(model, params, key, some, total=total)
    values = [np.asarray(term, np.float64) for term in terms]
    errors = [float(value.std(ddof=1) / math.sqrt(len(value))) if len(value) > 1 else math.nan for value in values]
    z = np.asarray(z, np.float64).reshape(len(z), -1)
    spread = np.maximum(z.std(0), 1e-12)
    correlations = (z - z.mean(0)).T @ (z - z.mean(0)) / len(z) / spread[:, None] / spread[None]
    kind = "exact mixture" if total <= num_rows else f"{num_rows} rows that stand for {total}"
    means = [float(value.mean()) for value in values]
    return Aggregate(*means, tuple(errors), correlations, f"{kind}, one draw a row")  # type: ignore[arg-type]
