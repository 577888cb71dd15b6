"""Reparameterised sampling: a draw as a differentiable function of the parameters and of noise."""

import jax
import jax.numpy as jnp

from vaejax.kernels.shapes import require_broadcast, require_shape

__all__ = ["reparameterize_diag", "reparameterize_tril"]


@jax.jit
def reparameterize_diag(key: jax.Array, loc: jax.Array, scale: jax.Array) -> jax.Array:
    r"""Draw $z = \mu + \sigma \odot \epsilon$ with $\epsilon \sim N(0, I)$.

    Args:
      key: a PRNG key.
      loc: mean, any event shape.
      scale: standard deviation, of the event shape or a scalar.

    Returns:
      One draw, of the shape of `loc`.

    Reference: Kingma and Welling, 2014, section 2.4.

    >>> import jax, jax.numpy as jnp
    >>> reparameterize_diag(jax.random.key(0), jnp.array([1.0, 2.0]), 0.0)
    Array([1., 2.], dtype=float32)
    """
    loc = jnp.asarray(loc)
    require_broadcast("scale", scale, loc.shape)
    noise = jax.random.normal(key, (loc.size,), jnp.result_type(loc, scale, jnp.float32))
    return loc + scale * noise.reshape(loc.shape)


@jax.jit
def reparameterize_tril(key: jax.Array, loc: jax.Array, scale_tril: jax.Array) -> jax.Array:
    r"""Draw $z = \mu + L\epsilon$ with $\epsilon \sim N(0, I)$, so that $\mathrm{Cov}(z) = LL^\top$.

    Args:
      key: a PRNG key.
      loc: mean, shape `(d,)`.
      scale_tril: lower-triangular factor of the covariance, shape `(d, d)`.

    Returns:
      One draw, shape `(d,)`.

    Reference: Kingma and Welling, 2019, section 2.5.1.

    >>> import jax, jax.numpy as jnp
    >>> reparameterize_tril(jax.random.key(0), jnp.array([1.0, 2.0]), jnp.zeros((2, 2)))
    Array([1., 2.], dtype=float32)
    """
    (dim,) = jnp.shape(loc)
    require_shape("scale_tril", scale_tril, (dim, dim))
    dtype = jnp.result_type(loc, scale_tril, jnp.float32)
    return loc + jnp.tril(scale_tril) @ jax.random.normal(key, (dim,), dtype)
