"""Ways to draw from a fitted model as one kind of function: z from the prior, or from a density fitted to codes."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vaejax import em
from vaejax.data.inputs import Rows, checked_rows
from vaejax.distributions import bind
from vaejax.models import GMM, LatentModel
from vaejax.models import sample as draw_one
from vaejax.models.derived import emit
from vaejax.models.model import Params, require_at_least
from vaejax.recipes import pytree

__all__ = ["Sampler", "codes", "draws", "ex_post", "from_prior"]

_AT_ONCE = 512


@pytree
class Sampler:
    """One way to draw from a model: `sampler(key, context)` is one datum; `draws` makes many.

    Attributes:
      model: the model.
      params: its parameters.
      temperature: spread of the draw of z from the prior.
      offset: standard deviations, for `mode="offset"`.
      density: a model of the codes that stands in for the prior, or `None`.
      density_params: its parameters.
      mode: as in `vaejax.sample`.
    """

    model: LatentModel
    params: Any
    temperature: Any = 1.0
    offset: Any = 0.0
    density: LatentModel | None = None
    density_params: Any = None
    mode: str = dataclasses.field(default="ancestral", metadata={"static": True})

    def __call__(self, key: jax.Array, context: Any = None) -> jax.Array:
        """Draw one datum."""
        if self.density is None:
            how = {"mode": self.mode, "temperature": self.temperature, "offset": self.offset}
            return draw_one(self.model, self.params, key, context, **how)
        key_z, key_x = jax.random.split(key)
        z = draw_one(self.density, self.density_params, key_z, temperature=self.temperature)
        h = self.model.prior(self.params, context).score(z)[1]
        return emit(self.model.likelihood(self.params, h, context), key_x, self.mode, self.offset)


def from_prior(
    model: LatentModel, params: Params, *, mode: str = "ancestral", temperature: Any = 1.0, offset: Any = 0.0
) -> Sampler:
    """Draw z from the prior, as `vaejax.sample`, and of x a draw, its mean, or its mean and so many deviations.

    Args:
      model: any model with a prior.
      params: its parameters.
      mode: `"ancestral"`, `"mean"` or `"offset"`.
      temperature: spread of z.
      offset: standard deviations, for `mode="offset"`.
    """
    return Sampler(model, params, temperature, offset, mode=mode)


@jax.jit
def _draws(sampler: Sampler, keys: jax.Array, context: Any) -> jax.Array:
    return jax.lax.map(lambda row: sampler(*row), (keys, context), batch_size=min(len(keys), _AT_ONCE))


def draws(sampler: Sampler, key: jax.Array, count: int, context: Any = None) -> np.ndarray:
    """Many draws, shape (count, ...).

    Args:
      sampler: what `from_prior` or `ex_post` returned.
      key: a PRNG key.
      count: number of draws.
      context: labels (count,) or vectors (count, C), where the model has a context.

    >>> import vaejax as vj
    >>> model = vj.PPCA(dim=5, latent_dim=2)
    >>> sampler = from_prior(model, model.init(jax.random.key(0)), mode="mean", temperature=0.0)
    >>> draws(sampler, jax.random.key(1), 2).tolist()
    [[0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    require_at_least("count", count, 1)
    wanted = sampler.model.context_dim
    if (context is None) == bool(wanted) or (context is not None and len(context) != count):
        got = None if context is None else f"an array of shape {np.shape(context)}"
        raise ValueError(f"context: expected {f'{count} labels or vectors' if wanted else None}, got {got}")
    context = None if context is None else jnp.asarray(context)
    return np.asarray(_draws(sampler, jax.random.split(key, count), context))


@functools.partial(jax.jit, static_argnames=("temperature",))
def _codes(model: LatentModel, params: Params, key: jax.Array, rows: Rows, temperature: float) -> jax.Array:
    def one(row: tuple[jax.Array, Rows]) -> jax.Array:
        key, (x, context) = row
        q = bind(model.posterior(params, model.event(x), context), model.prior(params, context))
        z = q.sample(key, temperature)
        if not isinstance(z, jax.Array) or not jnp.issubdtype(z.dtype, jnp.floating):
            raise TypeError(
                f"{type(model).__name__}: expected one array of continuous latents, got {jax.tree.map(jnp.shape, z)}"
            )
        return jnp.ravel(z)

    return jax.lax.map(one, (jax.random.split(key, len(rows.x)), rows), batch_size=min(len(rows.x), _AT_ONCE))


def codes(
    model: LatentModel, params: Params, key: jax.Array, x: Any, context: Any = None, *, temperature: float = 1.0
) -> np.ndarray:
    """A draw from the posterior of each row, shape (N, M): the aggregate posterior, for probes, clusters and densities.

    Args:
      model: a model with one array of continuous latents.
      params: its parameters.
      key: a PRNG key.
      x: rows (N, ...).
      context: labels or vectors, where the model has a context.
      temperature: spread of the draws; 0 takes the centres.

    >>> import vaejax as vj
    >>> model = vj.PPCA(dim=5, latent_dim=2)
    >>> codes(model, model.init(jax.random.key(0)), jax.random.key(1), np.zeros((3, 5)), temperature=0.0).shape
    (3, 2)
    """
    return np.asarray(_codes(model, params, key, checked_rows(model, x, context, "x"), float(temperature)))


def ex_post(
    model: LatentModel,
    params: Params,
    key: jax.Array,
    x: Any,
    context: Any = None,
    *,
    num_components: int = 10,
    density: str = "gmm",
    covariance: str = "full",
    num_steps: int = 100,
    num_restarts: int = 3,
    mode: str = "mean",
    temperature: Any = 1.0,
    offset: Any = 0.0,
) -> Sampler:
    r"""Ex-post density: fit a mixture to codes of the training rows and draw z from it instead of from the prior.

    $$z \sim \sum_k \pi_k N(\mu_k, \Sigma_k) \approx \frac1N\sum_n q(z|x_n), \qquad x \sim p(x|z)$$

    The codes are draws from q, so that the mixture is fitted to the aggregate posterior itself. With a
    context one mixture is fitted to the codes of all classes.

    Args:
      model: a model with one array of continuous latents; an `Autoencoder`, which has no prior, too.
      params: its parameters.
      key: a PRNG key.
      x: the rows that the model was trained on.
      context: their labels or vectors, where the model has a context.
      num_components: K of the mixture.
      density: `"gmm"`.
      covariance: of the mixture, as in `GMM`.
      num_steps: steps of EM, at most.
      num_restarts: starting points of EM.
      mode: of the decoder, as in `vaejax.sample`.
      temperature: spread of z within its component.
      offset: standard deviations, for `mode="offset"`.

    Returns:
      A `Sampler`; its `density` and `density_params` are the mixture.

    Differs from the paper: draws from q are fitted, not its means.

    Reference: Ghosh et al., 2020 (ex-post density estimation).

    >>> import vaejax as vj
    >>> model, x = vj.zoo.autoencoder(4, 2, hidden=(8,)), np.random.default_rng(0).random((50, 4))
    >>> sampler = ex_post(model, model.init(jax.random.key(0)), jax.random.key(1), x, num_components=2)
    >>> draws(sampler, jax.random.key(2), 3).shape
    (3, 4)
    """
    if density != "gmm":
        raise ValueError(f'density: expected "gmm", got {density!r}')
    key_codes, key_fit = jax.random.split(key)
    z = codes(model, params, key_codes, x, context)
    mixture = GMM(num_components, z.shape[1], covariance)
    fitted, _ = em.fit(mixture, key_fit, z, num_steps=num_steps, num_restarts=num_restarts, tol=1e-5, progress=False)
    return Sampler(model, params, temperature, offset, mixture, fitted, mode)
