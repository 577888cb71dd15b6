"""Latents over many rows: active units, the aggregate posterior, and the best q of a row."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from vaejax.checks import require_integer, require_number
from vaejax.distributions import After, Guide, Normal, TrilNormal, bind, expect
from vaejax.evaluate.evidence import of_weights
from vaejax.evaluate.rows import (
    RowsLike,
    centres,
    checked,
    log_weight,
    mean_and_error,
    over_rows,
    posterior_form,
    row_keys,
)
from vaejax.models import LatentModel, infer
from vaejax.types import Array, ArrayLike, Context, Key, Params, PyTree

__all__ = [
    "ActiveUnits",
    "Aggregate",
    "Refined",
    "active_units",
    "aggregate_posterior",
    "refine",
]

_SCORED, _WEIGHTS = 64, 512  # draws that compare q with the refined one, and that weigh this one


class ActiveUnits(NamedTuple):
    """Latents that move with the data.

    Attributes:
      count: their number; a tuple, one a layer, for a hierarchy.
      variance: variance over the data of each latent's posterior mean, in the shape of the latents.
    """

    count: Any
    variance: PyTree


def active_units(
    model: LatentModel, params: Params, x: RowsLike, context: ArrayLike | None = None, threshold: float = 0.01
) -> ActiveUnits:
    r"""Count the latents whose posterior mean moves with the data, $\mathrm{Var}_x\,E_{q(z|x)}z_j > $ `threshold`.

    In a hierarchy a layer's mean is taken at the means of the layers that it reads; for a flow the mean is its
    centre (`Flowed.mean`).

    Args:
      threshold: least variance of an active unit.

    Reference: Burda, Grosse and Salakhutdinov, 2016, section 5.2.

    >>> import jax, vaejax as vj
    >>> model = vj.PPCA(dim=3, latent_dim=2)
    >>> params = model.init(jax.random.key(0)) | {"weight": jnp.array([[2.0, 0.0], [0.0, 0.0], [0.0, 0.0]])}
    >>> active_units(model, params, jax.random.normal(jax.random.key(1), (50, 3))).count
    1
    """
    require_number("threshold", threshold, least=0.0)
    variance = jax.tree.map(lambda leaf: leaf.var(0), centres(model, params, checked(model, x, context)))
    return ActiveUnits(jax.tree.map(lambda leaf: int(np.sum(leaf > threshold)), variance), variance)


class Aggregate(NamedTuple):
    """The aggregate posterior q(z) in numbers: nats, but for the correlations, each a mean over draws.

    Attributes:
      mutual_information: I(x; z) under q, at most ln N of the rows averaged over.
      kl_to_prior: KL[q(z) || p(z)]: with the mutual information it makes the mean divergence of the bound.
      total_correlation: KL[q(z) || prod_j q(z_j)], nan for posteriors that are not diagonal Gaussians.
      standard_errors: of these three.
      correlations: of draws of q(z).
      protocol: how the mixture was estimated.
    """

    mutual_information: float
    kl_to_prior: float
    total_correlation: float
    standard_errors: tuple[float, float, float]
    correlations: Float[np.ndarray, "M M"]
    protocol: str


def _drawn_code(model: LatentModel, params: Params, key: Key, x: Array) -> tuple[Any, Array, Array, Array]:
    _, _, p, q = infer(model, params, x)
    q = bind(q, p)
    z, log_q = q.sample_and_log_prob(key)
    return q, z, log_q, p.log_prob(z)


def _mixture(q: Any, i: Array, z: Array, *, total: int) -> tuple[Array, Array]:
    """Log q(z) of one draw under the mixture of all rows, and that of its entries, each by itself."""
    count = len(jax.tree.leaves(q)[0])
    # q(z_i | x_i) is one of the N terms of the mixture; the other N - 1 are estimated by the rows at hand.
    others = math.log((total - 1) / total / max(count - 1, 1)) if total > 1 else -math.inf
    weights = jnp.full(count, others).at[i].set(-math.log(total))
    joint = jax.nn.logsumexp(jax.vmap(lambda q: q.log_prob(z))(q) + weights)
    if not isinstance(q, Normal):
        return joint, jnp.full((), jnp.nan)
    each = jax.vmap(jax.vmap(lambda m, s, v: Normal(m, s).log_prob(v)), (0, 0, None))
    entries = each(q.loc, jnp.broadcast_to(q.scale, q.loc.shape), z)
    return joint, jnp.sum(jax.nn.logsumexp(entries + weights[:, None], 0))


def aggregate_posterior(
    model: LatentModel, params: Params, key: Key, x: RowsLike, *, num_rows: int = 2000
) -> Aggregate:
    r"""Information of the aggregate posterior $q(z) = \frac1N\sum_n q(z|x_n)$ on x, and its distance from p(z).

    $$E_n\,KL[q(z|x_n)\|p(z)] = I(x;z) + KL[q(z)\|p(z)],\qquad KL[q(z)\|p(z)] = TC + \sum_j KL[q(z_j)\|p(z_j)]$$

    (the second for a factorised prior). With at most `num_rows` rows the mixture is over all of them and exact, one
    draw of z a row; with more it is over the first `num_rows`, each of which stands for several (Chen et al., 2018,
    appendix C.2: minibatch-stratified weights).

    Args:
      num_rows: rows of the mixture, which are in no particular order; the time grows with its square.

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
    rows = checked(model, x)
    total = len(rows.x)
    some = jax.tree.map(lambda leaf: leaf[:num_rows], rows)
    if isinstance(posterior_form(model, params, some), Guide | After):
        raise TypeError("aggregate_posterior: expected a flat model, got a hierarchy")
    count = len(some.x)
    q, z, log_q, log_p = over_rows(_drawn_code, (model, params), (jax.random.split(key, count), some.x))
    joint, product = over_rows(_mixture, (q,), (np.arange(count), z), batch=64, total=total)
    means, errors = zip(*map(mean_and_error, (log_q - joint, joint - log_p, joint - product)), strict=True)
    z = z.reshape(count, -1).astype(np.float64)
    spread = np.maximum(z.std(0), 1e-12)
    correlations = (z - z.mean(0)).T @ (z - z.mean(0)) / count / spread[:, None] / spread[None]
    kind = "exact mixture" if total <= num_rows else f"{num_rows} rows that stand for {total}"
    return Aggregate(means[0], means[1], means[2], errors, correlations, f"{kind}, one draw a row")


class Refined(NamedTuple):
    """Evidence lower bounds of each row, nats, `encoder` and `best` by the same draws.

    Attributes:
      encoder: with the encoder's q.
      best: with the best q of the same family that was found; never below `encoder`.
      importance: log p(x) by importance sampling from that q, with other draws.
    """

    encoder: Float[np.ndarray, " N"]
    best: Float[np.ndarray, " N"]
    importance: Float[np.ndarray, " N"]


def _free(q: Any) -> tuple[Array, ...]:
    """The parameters of a Gaussian without constraints."""
    if isinstance(q, Normal):
        return q.loc, jnp.log(jnp.broadcast_to(q.scale, q.loc.shape))
    return q.loc, jnp.tril(q.scale_tril, -1), jnp.log(jnp.diagonal(q.scale_tril))


def _gaussian(free: tuple[Array, ...]) -> Normal | TrilNormal:
    if len(free) == 2:
        return Normal(free[0], jnp.exp(free[1]))
    return TrilNormal(free[0], jnp.tril(free[1], -1) + jnp.diag(jnp.exp(free[2])))


def _refined(
    model: LatentModel,
    params: Params,
    key: Key,
    x: Array,
    context: Context,
    *,
    num_steps: int,
    num_samples: int,
    rate: float,
) -> tuple[Array, Array, Array]:
    optimizer = optax.apply_if_finite(optax.adam(optax.cosine_decay_schedule(rate, num_steps)), num_steps)
    known = infer(model, params, x, context)
    x, context, p, q = known

    def bound(free: PyTree, key: Key, count: int) -> Array:
        score = lambda d: model.likelihood(params, d.h, context).log_prob(x) - jnp.sum(d.kl)  # noqa: E731
        return jnp.mean(jax.vmap(lambda k: expect(k, _gaussian(free), p, score))(jax.random.split(key, count)))

    def step(carry: tuple, key: Key) -> tuple[tuple, None]:
        free, state = carry
        slope = jax.grad(lambda free: -bound(free, key, num_samples))(free)
        updates, state = optimizer.update(slope, state, free)
        return (optax.apply_updates(free, updates), state), None

    start = _free(q)
    key_steps, key_score = jax.random.split(key)
    (best, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), jax.random.split(key_steps, num_steps))
    before, after = (bound(free, key_score, _SCORED) for free in (start, best))
    known = known._replace(posterior=_gaussian(jax.tree.map(lambda a, b: jnp.where(after > before, a, b), best, start)))
    keys = jax.random.split(jax.random.fold_in(key_score, 1), _WEIGHTS)
    log_w = jax.lax.map(lambda key: log_weight(model, params, key, known), keys, batch_size=64)
    return before, jnp.maximum(before, after), of_weights(log_w)[0]


def refine(
    model: LatentModel,
    params: Params,
    key: Key,
    x: RowsLike,
    context: ArrayLike | None = None,
    *,
    num_steps: int = 200,
    num_samples: int = 8,
    learning_rate: float = 0.03,
    progress: bool = True,
) -> Refined:
    r"""Improve a Gaussian q of each row by itself, by gradients from where the encoder put it.

    $$\underbrace{\ln p(x) - \mathcal L[q^*]}_{\text{approximation gap}} +
    \underbrace{\mathcal L[q^*] - \mathcal L[q_\phi]}_{\text{amortisation gap}} = \ln p(x) - \mathcal L[q_\phi]$$

    Args:
      num_steps: of Adam, its rate on a cosine to zero.
      num_samples: draws of a step.
      learning_rate: at the start.

    Returns:
      A `Refined`; `best - encoder` is the amortisation gap, up to what the optimiser did not find.

    Reference: Cremer, Li and Duvenaud, 2018, section 3.
    """
    for name, value in (("num_steps", num_steps), ("num_samples", num_samples)):
        require_integer(name, value)
    rows = checked(model, x, context)
    if not isinstance(q := posterior_form(model, params, rows), Normal | TrilNormal):
        raise TypeError(f"refine: expected a Gaussian q(z|x), got {type(q).__name__}")
    found = over_rows(
        _refined, (model, params), (row_keys(key, len(rows.x)), *rows), batch=64, group=256, title="refining q",
        progress=progress, num_steps=num_steps, num_samples=num_samples, rate=learning_rate,
    )  # fmt: skip
    return Refined(*found)
