r"""Gaussian log-densities and divergences of one event: diagonal, full, and low rank plus diagonal.

`scale` is always a standard deviation; a `scale_tril` is a lower-triangular $L$ with covariance
$LL^\top$ (the sign of its diagonal does not matter). Results are in nats, constants included.
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Float

from vaejax.checks import require_broadcast, require_shape
from vaejax.kernels.batching import raveled
from vaejax.kernels.linalg import regularised_columns
from vaejax.types import Array, ArrayLike, Event, Scalar, Term

__all__ = [
    "kl_diag",
    "kl_tril",
    "low_rank_normal_log_prob",
    "normal_log_prob",
    "precision_product",
    "tril_normal_log_prob",
]

LOG_2PI = math.log(2.0 * math.pi)


@jax.jit
def normal_log_prob(x: Event, loc: Term, scale: Term) -> Scalar:
    r"""Log-density of a diagonal Gaussian, summed over the event.

    $$\log N(x; \mu, \mathrm{diag}\,\sigma^2) = -\tfrac12 \sum_i \big[u_i^2 + \ln 2\pi\big] - \sum_i \ln\sigma_i,
    \qquad u = (x-\mu)/\sigma$$

    Args:
      x: the event, any shape.
      loc: mean, a scalar or a shape that broadcasts to `x`.
      scale: standard deviation, likewise.

    Returns:
      A scalar, nats.

    Differs from `jax.scipy.stats.norm.logpdf`: sums over the event.

    >>> round(float(normal_log_prob(jnp.zeros(2), jnp.zeros(2), jnp.ones(2))), 4)
    -1.8379
    """
    x, loc, scale = raveled(x, loc=loc, scale=scale)
    u = (x - loc) / scale
    return -0.5 * jnp.sum(u * u + LOG_2PI) - jnp.sum(jnp.broadcast_to(jnp.log(scale), u.shape))


@jax.jit
def tril_normal_log_prob(x: Float[Array, " d"], loc: Float[Array, " d"], scale_tril: Float[Array, "d d"]) -> Scalar:
    r"""Log-density of a full-covariance Gaussian given by its Cholesky factor.

    $$\log N(x; \mu, LL^\top) = -\tfrac12 \|L^{-1}(x-\mu)\|^2 - \tfrac d2 \ln 2\pi - \sum_i \ln |L_{ii}|$$

    Args:
      x: the event, shape `(d,)`.
      loc: mean, shape `(d,)`.
      scale_tril: shape `(d, d)`; entries above the diagonal are ignored.

    Returns:
      A scalar, nats.

    >>> tril_normal_log_prob(jnp.ones(2), jnp.zeros(2), jnp.eye(2)).round(4)
    Array(-2.8379, dtype=float32)
    """
    (dim,) = jnp.shape(x)
    require_shape("loc", loc, (dim,))
    require_shape("scale_tril", scale_tril, (dim, dim))
    u = solve_triangular(scale_tril, x - loc, lower=True)
    return -0.5 * jnp.sum(u * u + LOG_2PI) - jnp.sum(jnp.log(jnp.abs(jnp.diagonal(scale_tril))))


@jax.jit
def low_rank_normal_log_prob(
    x: Float[Array, " d"], loc: Float[Array, " d"], factor: Float[Array, "d r"], scale: Float[ArrayLike, " #d"]
) -> Scalar:
    r"""Log-density of $N(\mu, FF^\top + \mathrm{diag}\,\sigma^2)$ in $O(dr^2)$, by Woodbury.

    With $A = F/\sigma$ and $u = (x-\mu)/\sigma$ the quadratic form is the least-squares residual
    $\min_v \|u - Av\|^2 + \|v\|^2$ and the determinant is $|I + A^\top A|\prod\sigma_i^2$. Both come from a
    Gram-Schmidt sweep over the columns of $[A; I]$, whose norms never fall below one: nothing
    cancels and no pivot vanishes, whatever the scales.

    Args:
      x: the event, shape `(d,)`.
      loc: mean, shape `(d,)`.
      factor: shape `(d, r)`; `r` may be 0.
      scale: standard deviation of the residual, shape `(d,)` or a scalar.

    Returns:
      A scalar, nats.

    >>> low_rank_normal_log_prob(jnp.ones(2), jnp.zeros(2), jnp.zeros((2, 1)), 1.0).round(4)
    Array(-2.8379, dtype=float32)
    """
    (dim,) = jnp.shape(x)
    require_shape("loc", loc, (dim,))
    rank = jnp.shape(factor)[-1]
    require_shape("factor", factor, (dim, rank))
    require_broadcast("scale", scale, (dim,))
    if rank == 0:
        return normal_log_prob(x, loc, scale)
    upper, _, rest = regularised_columns(x - loc, factor, scale)
    log_det = jnp.sum(jnp.log(jnp.broadcast_to(scale, (dim,)))) + jnp.sum(jnp.log(jnp.diagonal(upper)))
    return -0.5 * (jnp.sum(rest * rest) + dim * LOG_2PI) - log_det


@jax.jit
def kl_diag(loc: Event, scale: Term, prior_loc: Term = 0.0, prior_scale: Term = 1.0) -> Scalar:
    r"""Divergence between diagonal Gaussians, $KL[N(\mu,\sigma^2)\,\|\,N(\mu_p,\sigma_p^2)]$, summed over the event.

    $$\sum_i \ln\frac{\sigma_{p,i}}{\sigma_i} + \frac{\sigma_i^2 + (\mu_i-\mu_{p,i})^2}{2\sigma_{p,i}^2} - \tfrac12$$

    Args:
      loc: mean of q, any event shape.
      scale: standard deviation of q, of the event shape or a scalar.
      prior_loc: mean of p.
      prior_scale: standard deviation of p.

    Returns:
      A scalar, nats, never negative up to rounding.

    Reference: Kingma and Welling, 2014, appendix B.

    >>> kl_diag(jnp.array([1.0, 0.0]), jnp.ones(2))
    Array(0.5, dtype=float32)
    """
    loc = jnp.asarray(loc)
    for name, array in (("scale", scale), ("prior_loc", prior_loc), ("prior_scale", prior_scale)):
        require_broadcast(name, array, loc.shape)
    ratio = jnp.broadcast_to(scale / prior_scale, loc.shape)
    shift = (loc - prior_loc) / prior_scale
    return jnp.sum(0.5 * (ratio * ratio + shift * shift - 1.0) - jnp.log(ratio))


@jax.jit
def kl_tril(
    loc: Float[Array, " d"],
    scale_tril: Float[Array, "d d"],
    prior_loc: Float[ArrayLike, " #d"] = 0.0,
    prior_scale_tril: Float[Array, "d d"] | None = None,
) -> Scalar:
    r"""Divergence between full-covariance Gaussians, $KL[N(\mu,LL^\top)\,\|\,N(\mu_p,L_pL_p^\top)]$.

    $$\tfrac12\big(\|L_p^{-1}L\|_F^2 + \|L_p^{-1}(\mu-\mu_p)\|^2 - d\big)
    - \sum_i \ln |L_{ii}| + \sum_i \ln |L_{p,ii}|$$

    Args:
      loc: mean of q, shape `(d,)`.
      scale_tril: factor of q's covariance, shape `(d, d)`.
      prior_loc: mean of p, a scalar or shape `(d,)`.
      prior_scale_tril: factor of p's covariance; the identity when `None`.

    Returns:
      A scalar, nats.

    >>> kl_tril(jnp.array([1.0, 0.0]), jnp.eye(2))
    Array(0.5, dtype=float32)
    """
    (dim,) = jnp.shape(loc)
    require_shape("scale_tril", scale_tril, (dim, dim))
    require_broadcast("prior_loc", prior_loc, (dim,))
    tril, shift = jnp.tril(scale_tril), loc - prior_loc
    log_det = jnp.sum(jnp.log(jnp.abs(jnp.diagonal(tril))))
    if prior_scale_tril is not None:
        require_shape("prior_scale_tril", prior_scale_tril, (dim, dim))
        log_det = log_det - jnp.sum(jnp.log(jnp.abs(jnp.diagonal(prior_scale_tril))))
        both = solve_triangular(prior_scale_tril, jnp.concatenate([tril, shift[:, None]], 1), lower=True)
        tril, shift = both[:, :-1], both[:, -1]
    return 0.5 * (jnp.sum(tril * tril) + jnp.sum(shift * shift) - dim) - log_det


@jax.jit
def precision_product(loc_a: Event, scale_a: Event, loc_b: Event, scale_b: Event) -> tuple[Event, Event]:
    r"""Normalised product of two diagonal Gaussians, the merge of the Ladder VAE.

    $$\sigma^{-2} = \sigma_a^{-2} + \sigma_b^{-2}, \qquad \mu = \sigma^2(\mu_a\sigma_a^{-2} + \mu_b\sigma_b^{-2})$$

    Args:
      loc_a: mean of the first, any event shape.
      scale_a: its standard deviation.
      loc_b: mean of the second.
      scale_b: its standard deviation.

    Returns:
      `(loc, scale)` of the product; `scale` is a standard deviation.

    Reference: Sønderby et al., 2016, equations 17-19 (their $\sigma^2$ is a variance).

    >>> loc, scale = precision_product(jnp.zeros(1), jnp.ones(1), jnp.full(1, 2.0), jnp.ones(1))
    >>> loc, scale
    (Array([1.], dtype=float32), Array([0.70710677], dtype=float32))
    """
    log_weight = jax.nn.log_sigmoid(2.0 * (jnp.log(scale_b) - jnp.log(scale_a)))
    scale = jnp.exp(jnp.log(scale_a) + 0.5 * log_weight)
    return loc_b + jnp.exp(log_weight) * (loc_a - loc_b), scale
