"""Walks through the latent space, decoded: between two codes, along one latent, and over a plane of two."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from vaejax.models import LatentModel, decode
from vaejax.models.model import Params, require_at_least

__all__ = ["interpolate", "plane", "traverse"]


def _between(a: jax.Array, b: jax.Array, t: jax.Array, spherical: bool) -> jax.Array:
    if not spherical:
        return (1.0 - t) * a + t * b
    norms = jnp.linalg.norm(jnp.ravel(a)), jnp.linalg.norm(jnp.ravel(b))
    cosine = jnp.sum(a * b) / jnp.maximum(norms[0] * norms[1], jnp.finfo(a.dtype).tiny)
    angle = jnp.arccos(jnp.clip(cosine, -1.0, 1.0))
    sine = jnp.sin(angle)
    straight = jnp.abs(sine) < 1e-4  # parallel or opposite: no great circle is shortest
    safe = jnp.where(straight, 1.0, sine)
    weights = jnp.sin((1.0 - t) * angle) / safe, jnp.sin(t * angle) / safe
    return jnp.where(straight, (1.0 - t) * a + t * b, weights[0] * a + weights[1] * b)


@jax.jit
def _decoded(model: LatentModel, params: Params, z: Any, context: Any) -> jax.Array:
    return jax.vmap(lambda z: decode(model, params, z, context))(z)


def interpolate(
    model: LatentModel,
    params: Params,
    start: Any,
    end: Any,
    context: Any = None,
    *,
    steps: int = 12,
    spherical: bool = False,
) -> jax.Array:
    r"""Decode a walk from one code to another, both ends included.

    $$z_t = (1-t)\,a + t\,b \quad\text{or}\quad
      z_t = \frac{\sin((1-t)\Omega)}{\sin\Omega}a + \frac{\sin(t\Omega)}{\sin\Omega}b, \qquad
      \cos\Omega = \frac{a\cdot b}{|a||b|}$$

    The straight walk between two draws of N(0, I) passes nearer to the origin than draws lie; the
    spherical one keeps their length.

    Args:
      model: the model.
      params: its parameters.
      start: a code, `vaejax.encode` of one datum for instance; a tuple of latents for a hierarchy, each
        of which is walked by itself.
      end: a code.
      context: of all the images, where the model has a context.
      steps: number of images.
      spherical: walk along the great circle.

    Returns:
      Means of x, shape (steps, ...).

    Reference: Shoemake, 1985; White, 2016.

    >>> import vaejax as vj
    >>> model = vj.PPCA(dim=3, latent_dim=2)
    >>> params = model.init(jax.random.key(0))
    >>> interpolate(model, params, jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]), steps=5).shape
    (5, 3)
    """
    require_at_least("steps", steps, 2)
    shapes = [[jnp.shape(leaf) for leaf in jax.tree.leaves(z)] for z in (start, end)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"end: expected a code of shape {shapes[0]}, got {shapes[1]}")
    t = jnp.linspace(0.0, 1.0, steps)
    walk = lambda a, b: jax.vmap(lambda t: _between(jnp.asarray(a), jnp.asarray(b), t, spherical))(t)  # noqa: E731
    return _decoded(model, params, jax.tree.map(walk, start, end), context)


def traverse(
    model: LatentModel,
    params: Params,
    z: Any,
    dimension: int,
    context: Any = None,
    *,
    values: Any = None,
    layer: int | None = None,
) -> jax.Array:
    """Decode a code with one of its latents set to each of several values.

    Args:
      model: the model.
      params: its parameters.
      z: the code; a tuple of latents for a hierarchy.
      dimension: which latent, an index into the code (of that layer).
      context: of all the images, where the model has a context.
      values: what the latent is set to; 7 values from -3 to 3 unless told otherwise.
      layer: which latent of a hierarchy's tuple.

    Returns:
      Means of x, shape (len(values), ...).

    Reference: Higgins et al., 2017, figure 1.

    >>> import vaejax as vj
    >>> model = vj.PPCA(dim=2, latent_dim=1)
    >>> params = {"mean": jnp.zeros(2), "weight": jnp.array([[1.0], [2.0]]), "log_scale": jnp.zeros(())}
    >>> traverse(model, params, jnp.zeros(1), 0, values=[-1.0, 1.0]).tolist()
    [[-1.0, -2.0], [1.0, 2.0]]
    """
    values = jnp.linspace(-3.0, 3.0, 7) if values is None else jnp.asarray(values, jnp.float32)
    if values.ndim != 1 or not bool(jnp.all(jnp.isfinite(values))):
        raise ValueError(f"values: expected a vector of finite numbers, got shape {values.shape}")
    if isinstance(z, tuple) != (layer is not None):
        raise ValueError(f"layer: expected {'an index' if isinstance(z, tuple) else None} for this code, got {layer}")
    own = jnp.asarray(z if layer is None else z[layer])
    if not 0 <= dimension < own.size:
        raise ValueError(f"dimension: expected 0 to {own.size - 1}, got {dimension}")
    moved = jax.vmap(lambda value: jnp.ravel(own).at[dimension].set(value).reshape(own.shape))(values)
    if layer is None:
        return _decoded(model, params, moved, context)
    tile = lambda leaf: jnp.broadcast_to(leaf, (len(values), *jnp.shape(leaf)))  # noqa: E731
    walk = tuple(moved if i == layer else tile(leaf) for i, leaf in enumerate(z))
    return _decoded(model, params, walk, context)


def plane(model: LatentModel, params: Params, context: Any = None, *, steps: int = 10, limit: float = 2.0) -> jax.Array:
    """Decode a square grid of codes of a model with two latents, in reading order.

    The first latent grows to the right, from -limit to limit, the second one upwards.

    Args:
      model: a model with one array of two latents.
      params: its parameters.
      context: of all the images, where the model has a context.
      steps: images along a side.
      limit: the edge of the square, in standard deviations of N(0, I).

    Returns:
      Means of x, shape (steps^2, ...).

    Reference: Kingma and Welling, 2014, figure 4 (whose grid is one of quantiles).

    >>> import vaejax as vj
    >>> model = vj.PPCA(dim=3, latent_dim=2)
    >>> params = {"mean": jnp.zeros(3), "weight": jnp.eye(3, 2), "log_scale": jnp.zeros(())}
    >>> plane(model, params, steps=2, limit=1.0)[:, :2].tolist()
    [[-1.0, 1.0], [1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]]
    """
    require_at_least("steps", steps, 2)
    if not (math.isfinite(limit) and limit > 0):
        raise ValueError(f"limit: expected a positive number, got {limit!r}")
    draw = lambda key: model.prior(params, context).sample(key)  # noqa: E731
    shape = jax.tree.map(lambda leaf: leaf.shape, jax.eval_shape(draw, jax.random.key(0)))
    if shape != (2,):
        raise ValueError(f"model: expected one array of two latents, got {shape}")
    side = jnp.linspace(-limit, limit, steps)
    right, up = jnp.meshgrid(side, side[::-1])
    return _decoded(model, params, jnp.stack([right.ravel(), up.ravel()], -1), context)
