"""Sampling: a draw as a function of the parameters and of noise, differentiable where it is continuous."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vaejax.checks import require_broadcast, require_shape
from vaejax.types import Array, Event, Key, Term

__all__ = ["bernoulli_draw", "reparameterize_diag", "reparameterize_tril"]


@jax.jit
def reparameterize_diag(key: Key, loc: Event, scale: Term) -> Event:
    r"""Draw $z = \mu + \sigma \odot \epsilon$ with $\epsilon \sim N(0, I)$.

    Args:
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
def reparameterize_tril(key: Key, loc: Float[Array, " d"], scale_tril: Float[Array, "d d"]) -> Float[Array, " d"]:
    r"""Draw $z = \mu + L\epsilon$ with $\epsilon \sim N(0, I)$, so that $\mathrm{Cov}(z) = LL^\top$.

    Args:
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


@jax.jit
def bernoulli_draw(key: Key, p: Event) -> Event:
    """Draw zeros and ones, one with probability `p` in each entry.

    Each entry has 16 random bits and all share one uniform number for the bits below: the
    probabilities are exact, and two entries depend on one another by less than 2^-16. It costs half as
    much as 32 bits an entry.

    Args:
      p: probabilities, any shape.

    Returns:
      Zeros and ones in the shape and type of `p`.

    >>> bernoulli_draw(jax.random.key(0), jnp.array([0.0, 1.0, 1.0])).tolist()
    [0.0, 1.0, 1.0]
    """
    key_bits, key_rest = jax.random.split(key)
    bits = jax.random.bits(key_bits, ((p.size + 1) // 2,), jnp.uint32)
    halves = jnp.concatenate([bits & 0xFFFF, bits >> 16])[: p.size].astype(jnp.float32)
    level = jnp.minimum(halves + jax.random.uniform(key_rest), 65535.99)  # must not round to the level of p = 1
    return (level < jnp.ravel(p) * 65536.0).astype(p.dtype).reshape(p.shape)
