"""One step of a normalising flow on one datum: the value and the log-determinant of its Jacobian."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vaejax.checks import require_broadcast, require_shape
from vaejax.types import Array, ArrayLike, Event, Scalar, Term

__all__ = ["affine_step", "iaf_inverse", "iaf_step", "planar_step"]


def _like(z: Event, **terms: Term) -> list[Event]:
    """The point, and its terms in the same shape."""
    z = jnp.asarray(z)
    for name, term in terms.items():
        require_broadcast(name, term, z.shape)
    return [z, *(jnp.broadcast_to(term, z.shape) for term in terms.values())]


@jax.jit
def planar_step(
    z: Float[Array, " d"], u: Float[Array, " d"], w: Float[Array, " d"], b: Float[ArrayLike, ""]
) -> tuple[Float[Array, " d"], Scalar]:
    r"""Planar step $y = z + \hat u \tanh(w^\top z + b)$, made invertible.

    $$\hat u = u + \big[m(w^\top u) - w^\top u\big]\frac{w}{\|w\|^2},\quad m(a) = -1 + \ln(1+e^a),\qquad
    \ln\det = \ln\big(1 + m\,(1 - \tanh^2)\big)$$

    so that $w^\top\hat u = m > -1$ and the determinant is positive for every `u`. Where $\|w\| < 10^{-6}$ the
    step is the translation $y = z + u\tanh b$, with $\ln\det = 0$.

    Args:
      z: the point, shape `(d,)`.
      u: direction, shape `(d,)`, unconstrained.
      w: normal of the plane, shape `(d,)`.
      b: offset, a scalar.

    Returns:
      `(y, log_det)`: shape `(d,)` and a scalar.

    Reference: Rezende and Mohamed, 2015, equations 10-12 and appendix A.

    >>> y, log_det = planar_step(jnp.zeros(2), jnp.ones(2), jnp.zeros(2), 0.0)
    >>> float(log_det)
    0.0
    """
    (dim,) = jnp.shape(z)
    require_shape("u", u, (dim,))
    require_shape("w", w, (dim,))
    require_shape("b", b, ())
    square = jnp.sum(w * w)
    plane = square > 1e-12
    along = jnp.sum(w * u)
    slope = jnp.maximum(jax.nn.softplus(along), jnp.finfo(square.dtype).tiny)
    u_hat = u + jnp.where(plane, slope - 1.0 - along, 0.0) * w / jnp.where(plane, square, 1.0)
    t = jnp.tanh(jnp.where(plane, jnp.sum(w * z), 0.0) + b)
    # 1 + m (1 - t^2) with m = slope - 1, as a sum of two terms that are never negative.
    det = jnp.where(plane, t * t + slope * (1.0 - t * t), 1.0)
    return z + u_hat * t, jnp.log(det)


@jax.jit
def iaf_step(z: Event, shift: Term, gate_logit: Term) -> tuple[Event, Scalar]:
    r"""Gated step of an inverse autoregressive flow.

    $$y = \sigma \odot z + (1-\sigma)\odot m, \qquad \sigma = \mathrm{sigmoid}(s), \qquad
    \ln\det = \sum_i \ln\sigma_i$$

    `shift` $m$ and `gate_logit` $s$ come from an autoregressive network of `z`, so that the Jacobian is
    triangular; add 1 to 2 to $s$ at the start to begin near the identity.

    Args:
      z: the point, any event shape.
      shift: of the same shape.
      gate_logit: of the same shape.

    Returns:
      `(y, log_det)`: the event and a scalar.

    Reference: Kingma et al., 2016, equation 12 and algorithm 1.

    >>> y, log_det = iaf_step(jnp.array([1.0, 3.0]), jnp.zeros(2), jnp.zeros(2))
    >>> y, log_det.round(4)
    (Array([0.5, 1.5], dtype=float32), Array(-1.3863, dtype=float32))
    """
    z, shift, gate_logit = _like(z, shift=shift, gate_logit=gate_logit)
    y = jax.nn.sigmoid(gate_logit) * z + jax.nn.sigmoid(-gate_logit) * shift
    return y, jnp.sum(jax.nn.log_sigmoid(gate_logit))


@jax.jit
def iaf_inverse(y: Event, shift: Term, gate_logit: Term) -> tuple[Event, Scalar]:
    r"""The inverse of `iaf_step` for a known shift and gate.

    $$z = y + e^{-s}(y - m), \qquad \ln\det = -\sum_i \ln\sigma_i$$

    `shift` $m$ and `gate_logit` $s$ are functions of z: entry i is right once the entries before it are.
    Below s = -30, where rounding has left nothing of z in y, it is divided by $e^{-30}$, and stays finite.

    Args:
      y: the point, any event shape.
      shift: of the same shape.
      gate_logit: of the same shape.

    Returns:
      `(z, log_det)`: the event, and the log-determinant of the inverse, a scalar.

    >>> iaf_inverse(jnp.array([0.5, 1.5]), jnp.zeros(2), jnp.zeros(2))[0]
    Array([1., 3.], dtype=float32)
    """
    y, shift, gate_logit = _like(y, shift=shift, gate_logit=gate_logit)
    return y + jnp.exp(jnp.minimum(-gate_logit, 30.0)) * (y - shift), -jnp.sum(jax.nn.log_sigmoid(gate_logit))


@jax.jit
def affine_step(z: Event, shift: Term, log_scale: Term) -> tuple[Event, Scalar]:
    r"""Affine step $y = e^{s} \odot z + t$ with $\ln\det = \sum_i s_i$.

    Its inverse is `affine_step(y, -shift * exp(-log_scale), -log_scale)`.

    Args:
      z: the point, any event shape.
      shift: $t$, of the same shape.
      log_scale: $s$, of the same shape.

    Returns:
      `(y, log_det)`: the event and a scalar.

    Reference: Dinh, Sohl-Dickstein and Bengio, 2017, equations 4-6.

    >>> affine_step(jnp.array([1.0, 3.0]), jnp.ones(2), jnp.zeros(2))[0]
    Array([2., 4.], dtype=float32)
    """
    z, shift, log_scale = _like(z, shift=shift, log_scale=log_scale)
    return jnp.exp(log_scale) * z + shift, jnp.sum(log_scale)
