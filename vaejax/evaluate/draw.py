"""Drawing from a fitted model: samplers of many rows, and walks through the latents, decoded."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from vaejax import em
from vaejax.checks import require_integer, require_number
from vaejax.evaluate.codes import encode_rows
from vaejax.evaluate.rows import RowsLike, checked, over_rows
from vaejax.models import GMM, LatentModel, decode, sample
from vaejax.models.derived import emit
from vaejax.recipes import pytree
from vaejax.types import Array, ArrayLike, Context, Covariance, Key, Mode, Params, PyTree

__all__ = ["Sampler", "draw_rows", "ex_post", "from_prior", "interpolate", "plane", "traverse"]


@pytree
class Sampler:
    """One way to draw from a model: `sampler(key, context)` is one datum; `draw_rows` makes many.

    Attributes:
      temperature: spread of the draw of z.
      offset: standard deviations of x, for `mode="offset"`.
      density: a model of the codes that stands in for the prior, or `None`.
      density_params: its parameters.
      mode: of x: `"ancestral"`, `"mean"` or `"offset"`, as in `vaejax.sample`.
    """

    model: LatentModel
    params: Params
    temperature: Array | float = 1.0
    offset: Array | float = 0.0
    density: LatentModel | None = None
    density_params: Params | None = None
    mode: Mode = dataclasses.field(default="ancestral", metadata={"static": True})

    def __call__(self, key: Key, context: Context = None) -> Array:
        """Draw one datum."""
        if self.density is None:
            how = {"mode": self.mode, "temperature": self.temperature, "offset": self.offset}
            return sample(self.model, self.params, key, context, **how)
        key_z, key_x = jax.random.split(key)
        context = self.model.condition(context)
        z = sample(self.density, self.density_params, key_z, temperature=self.temperature)
        h = self.model.prior(self.params, context).score(z)[1]
        return emit(self.model.likelihood(self.params, h, context), key_x, self.mode, self.offset)


def from_prior(
    model: LatentModel,
    params: Params,
    *,
    mode: Mode = "ancestral",
    temperature: Array | float = 1.0,
    offset: Array | float = 0.0,
) -> Sampler:
    """A `Sampler` of z from the prior and of x a draw, its mean, or its mean and so many deviations."""
    return Sampler(model, params, temperature, offset, mode=mode)


def draw_rows(sampler: Sampler, key: Key, count: int, context: ArrayLike | None = None) -> Float[np.ndarray, "N ..."]:
    """Many draws, each with its own context.

    >>> import vaejax as vj
    >>> model = vj.PPCA(dim=5, latent_dim=2)
    >>> sampler = from_prior(model, model.init(jax.random.key(0)), mode="mean", temperature=0.0)
    >>> draw_rows(sampler, jax.random.key(1), 2).tolist()
    [[0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    require_integer("count", count)
    conditional = bool(sampler.model.context_dim)
    if (context is None) == conditional or (context is not None and np.shape(context)[:1] != (count,)):
        got = None if context is None else f"an array of shape {np.shape(context)}"
        raise ValueError(f"context: expected {f'{count} labels or vectors' if conditional else None}, got {got}")
    context = None if context is None else jnp.asarray(context)
    return over_rows(Sampler.__call__, (sampler,), (jax.random.split(key, count), context), batch=512)


def ex_post(
    model: LatentModel,
    params: Params,
    key: Key,
    x: RowsLike,
    context: ArrayLike | None = None,
    *,
    num_components: int = 10,
    covariance: Covariance = "full",
    num_steps: int = 100,
    num_restarts: int = 3,
    mode: Mode = "mean",
    temperature: Array | float = 1.0,
    offset: Array | float = 0.0,
) -> Sampler:
    r"""Ex-post density: fit a mixture to codes of the training rows and draw z from it instead of from the prior.

    $$z \sim \sum_k \pi_k N(\mu_k, \Sigma_k) \approx \frac1N\sum_n q(z|x_n), \qquad x \sim p(x|z)$$

    The codes are draws from q, so that the mixture is fitted to the aggregate posterior itself. With a
    context one mixture is fitted to the codes of all classes.

    Args:
      model: a model with one array of continuous latents; an `Autoencoder`, which has no prior, too.
      x: the rows that the model was trained on.
      num_components: K of the mixture.
      covariance: of the mixture, as in `GMM`.
      num_steps: steps of EM, at most.
      num_restarts: starting points of EM.
      mode: as of a `Sampler`, like `temperature` (of z within its component) and `offset`.

    Returns:
      A `Sampler`; its `density` and `density_params` are the mixture.

    Differs from the paper: draws from q are fitted, not its means.

    Reference: Ghosh et al., 2020 (ex-post density estimation).

    >>> import vaejax as vj
    >>> model, x = vj.zoo.autoencoder(4, 2, hidden=(8,)), np.random.default_rng(0).random((50, 4))
    >>> sampler = ex_post(model, model.init(jax.random.key(0)), jax.random.key(1), x, num_components=2)
    >>> draw_rows(sampler, jax.random.key(2), 3).shape
    (3, 4)
    """
    key_codes, key_fit = jax.random.split(key)
    z = encode_rows(model, params, key_codes, checked(model, x, context))
    mixture = GMM(num_components, z.shape[1], covariance)
    fitted, _ = em.fit(mixture, key_fit, z, num_steps=num_steps, num_restarts=num_restarts, tol=1e-5, progress=False)
    return Sampler(model, params, temperature, offset, mixture, fitted, mode)


def _between(a: ArrayLike, b: ArrayLike, steps: int, spherical: bool) -> Float[np.ndarray, "T ..."]:
    a, b = np.asarray(a), np.asarray(b)
    t = np.linspace(0.0, 1.0, steps).reshape(-1, *(1,) * a.ndim)
    if spherical:
        norms = max(np.linalg.norm(a) * np.linalg.norm(b), 1e-30)
        angle = np.arccos(np.clip((a * b).sum() / norms, -1.0, 1.0))
        if np.sin(angle) > 1e-4:  # else parallel or opposite: no great circle is shortest
            return (np.sin((1.0 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
    return (1.0 - t) * a + t * b


@jax.jit
def _decoded(model: LatentModel, params: Params, z: PyTree, context: Context) -> Array:
    return jax.vmap(lambda z: decode(model, params, z, context))(z)


def interpolate(
    model: LatentModel,
    params: Params,
    start: PyTree,
    end: PyTree,
    context: Context = None,
    *,
    steps: int = 12,
    spherical: bool = False,
) -> Array:
    r"""Decode a walk from one code to another, both ends included.

    $$z_t = (1-t)\,a + t\,b \quad\text{or}\quad
      z_t = \frac{\sin((1-t)\Omega)}{\sin\Omega}a + \frac{\sin(t\Omega)}{\sin\Omega}b, \qquad
      \cos\Omega = \frac{a\cdot b}{|a||b|}$$

    The straight walk between two draws of N(0, I) passes nearer to the origin than draws lie; the
    spherical one keeps their length.

    Args:
      start: a code, `vaejax.encode` of one datum for instance; a tuple of latents for a hierarchy, each
        of which is walked by itself.
      end: a code.
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
    require_integer("steps", steps, 2)
    shapes = [[np.shape(leaf) for leaf in jax.tree.leaves(z)] for z in (start, end)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"end: expected a code of shape {shapes[0]}, got {shapes[1]}")
    walk = jax.tree.map(lambda a, b: _between(a, b, steps, spherical), start, end)
    return _decoded(model, params, walk, context)


def traverse(
    model: LatentModel,
    params: Params,
    z: PyTree,
    dimension: int,
    context: Context = None,
    *,
    values: ArrayLike | None = None,
    layer: int | None = None,
) -> Array:
    """Decode a code with one of its latents set to each of several values.

    Args:
      z: the code; a tuple of latents for a hierarchy.
      dimension: which latent, an index into the code (of that layer).
      values: what the latent is set to; default: 7 values from -3 to 3.
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
    values = np.linspace(-3.0, 3.0, 7) if values is None else np.asarray(values, float)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(f"values: expected a vector of finite numbers, got shape {values.shape}")
    if isinstance(z, tuple) != (layer is not None):
        raise ValueError(f"layer: expected {'an index' if isinstance(z, tuple) else None} for this code, got {layer}")
    tile = lambda leaf: np.repeat(np.asarray(leaf)[None], len(values), 0)  # noqa: E731
    walk, moved = jax.tree.map(tile, z), tile(z if layer is None else z[layer])
    size = moved[0].size
    if not 0 <= dimension < size:
        raise ValueError(f"dimension: expected 0 to {size - 1}, got {dimension}")
    moved.reshape(len(values), -1)[:, dimension] = values
    walk = moved if layer is None else tuple(moved if i == layer else leaf for i, leaf in enumerate(walk))
    return _decoded(model, params, walk, context)


def plane(model: LatentModel, params: Params, context: Context = None, *, steps: int = 10, limit: float = 2.0) -> Array:
    """Decode a square grid of codes of a model with two latents, in reading order.

    The first latent grows to the right, from -limit to limit, the second one upwards.

    Args:
      model: a model with one array of two latents.
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
    require_integer("steps", steps, 2)
    require_number("limit", limit, above=0.0)
    one = jax.eval_shape(lambda key: model.prior(params, model.condition(context)).sample(key), jax.random.key(0))
    shape = jax.tree.map(lambda leaf: leaf.shape, one)
    if shape != (2,):
        raise ValueError(f"model: expected one array of two latents, got {shape}")
    side = np.linspace(-limit, limit, steps, dtype=np.float32)
    right, up = np.meshgrid(side, side[::-1])
    return _decoded(model, params, np.stack([right.ravel(), up.ravel()], -1), context)
