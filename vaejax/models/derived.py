"""Everything that follows from the three functions of a model, for one datum; batch with `jax.vmap`.

Each function is compiled with its sizes and modes static. To compile or vectorise around one, bind
those first with `functools.partial`.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vaejax.distributions import Bound, Distribution, Draw, bind, draw, expect
from vaejax.kernels import importance_weighted_bound
from vaejax.models.model import LatentModel, Params

__all__ = [
    "Elbo",
    "decode",
    "elbo",
    "emit",
    "encode",
    "importance_bound",
    "log_evidence",
    "log_joint",
    "reconstruct",
    "sample",
]

MODES = ("ancestral", "mean", "offset")


class Elbo(NamedTuple):
    """The evidence lower bound of one datum and its parts, in nats; higher is better.

    Attributes:
      value: log_likelihood - beta * sum(kl).
      log_likelihood: E_q log p(x | z).
      kl: `()` for a flat model, `(L,)` per layer for a hierarchy.
    """

    value: jax.Array
    log_likelihood: jax.Array
    kl: jax.Array


@functools.partial(jax.jit, static_argnames=("num_samples", "analytic"))
def elbo(
    model: LatentModel,
    params: Params,
    key: jax.Array,
    x: jax.Array,
    context: Any = None,
    *,
    beta: jax.Array | float = 1.0,
    num_samples: int = 1,
    analytic: bool = True,
) -> Elbo:
    r"""Evidence lower bound of one datum.

    $$E_{q(z|x)}\log p(x|z) - \beta\,KL[q(z|x)\,\|\,p(z)] \le \log p(x) \quad (\beta \ge 1)$$

    Categorical latents are enumerated; the others are drawn and reparameterised, with the divergence
    in closed form where there is one.

    Args:
      model: the model.
      params: its parameters.
      key: a PRNG key.
      x: one datum.
      context: what the model is conditioned on, if anything.
      beta: weight of the divergence.
      num_samples: draws to average over.
      analytic: `False` draws every latent and uses log q - log p on the draw.

    Returns:
      An `Elbo`.

    Reference: Kingma and Welling, 2014, equations 3 and 7.

    >>> import jax, vaejax as vj
    >>> model = vj.PPCA(dim=5, latent_dim=2)
    >>> params = model.init(jax.random.key(0))
    >>> bound = vj.elbo(model, params, jax.random.key(1), jnp.zeros(5), analytic=False)
    >>> bool(jnp.allclose(bound.value, vj.log_evidence(model, params, jnp.zeros(5)), atol=1e-5))
    True
    """
    if num_samples < 1:
        raise ValueError(f"num_samples: expected at least 1, got {num_samples}")
    x = model.event(x)
    p, q = model.prior(params, context), model.posterior(params, x, context)

    def score(d: Draw) -> Elbo:
        log_likelihood = model.likelihood(params, d.h, context).log_prob(x)
        return Elbo(log_likelihood - beta * jnp.sum(d.kl), log_likelihood, d.kl)

    each = jax.vmap(lambda key: expect(key, q, p, score, analytic=analytic))(jax.random.split(key, num_samples))
    return jax.tree.map(lambda leaf: jnp.mean(leaf, 0), each)


@functools.partial(jax.jit, static_argnames=("k",))
def importance_bound(
    model: LatentModel, params: Params, key: jax.Array, x: jax.Array, context: Any = None, *, k: int
) -> jax.Array:
    r"""Importance-weighted bound of one datum, $\ln\frac1k\sum_i p(x,z_i)/q(z_i|x)$ with $z_i \sim q$.

    Its expectation never falls with `k` and never passes log p(x); with an exact posterior every
    weight is p(x) and the bound is exact.

    Args:
      model: the model.
      params: its parameters.
      key: a PRNG key.
      x: one datum.
      context: what the model is conditioned on, if anything.
      k: number of draws.

    Returns:
      A scalar, nats.

    Reference: Burda, Grosse and Salakhutdinov, 2016.
    """
    if k < 1:
        raise ValueError(f"k: expected at least 1, got {k}")
    if not model.has_density:
        raise TypeError(f"{type(model).__name__} has no density p(x) to bound")
    x = model.event(x)
    p, q = model.prior(params, context), model.posterior(params, x, context)

    def weigh(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        d = draw(key, q, p)
        return model.likelihood(params, d.h, context).log_prob(x), jnp.sum(d.kl)

    log_px, log_ratio = jax.vmap(weigh)(jax.random.split(key, k))
    return importance_weighted_bound(log_px, jnp.zeros_like(log_ratio), log_ratio)


@jax.jit
def log_joint(model: LatentModel, params: Params, x: jax.Array, z: Any, context: Any = None) -> jax.Array:
    """Joint log-density log p(z) + log p(x | z) of one datum and its latents, nats."""
    log_p, h = model.prior(params, context).score(z)
    return log_p + model.likelihood(params, h, context).log_prob(model.event(x))


@jax.jit
def log_evidence(model: LatentModel, params: Params, x: jax.Array, context: Any = None) -> jax.Array:
    """Log p(x) of one datum in closed form, nats.

    Raises:
      TypeError: for a model without a closed form; it names `importance_bound`.

    >>> import jax, vaejax as vj
    >>> model = vj.GMM(num_components=1, dim=2)
    >>> params = model.init(jax.random.key(0)) | {"means": jnp.zeros((1, 2))}
    >>> round(float(vj.log_evidence(model, params, jnp.zeros(2))), 4)
    -1.8379
    """
    return model.marginal(params, context).log_prob(model.event(x))


def emit(likelihood: Distribution, key: jax.Array, mode: str, offset: jax.Array | float) -> jax.Array:
    """What a likelihood gives out: a draw, its mean, or its mean and so many standard deviations."""
    match mode:
        case "ancestral":
            return likelihood.sample(key)
        case "mean":
            return likelihood.mean
        case "offset":
            return likelihood.mean + offset * likelihood.stddev
        case _:
            raise ValueError(f"mode: expected one of {', '.join(MODES)}, got {mode!r}")


@functools.partial(jax.jit, static_argnames=("mode",))
def sample(
    model: LatentModel,
    params: Params,
    key: jax.Array,
    context: Any = None,
    *,
    mode: str = "ancestral",
    temperature: jax.Array | float = 1.0,
    offset: jax.Array | float = 0.0,
) -> jax.Array:
    r"""Draw one x: z from the prior, then x from the likelihood.

    Args:
      model: the model.
      params: its parameters.
      key: a PRNG key.
      context: what the model is conditioned on, if anything.
      mode: `"ancestral"` draws x with the decoder's noise, which is the model; `"mean"` returns
        $\mu(z)$, a different process; `"offset"` returns $\mu(z) + \text{offset}\cdot\sigma(z)$.
      temperature: spread of the latents' draw, one number or one per layer of a hierarchy.
      offset: number of standard deviations, for `mode="offset"`.

    Returns:
      One datum.

    >>> import jax, vaejax as vj
    >>> model = vj.PPCA(dim=5, latent_dim=2)
    >>> params = model.init(jax.random.key(0))
    >>> jax.vmap(vj.sample, (None, None, 0))(model, params, jax.random.split(jax.random.key(1), 3)).shape
    (3, 5)
    """
    key_z, key_x = jax.random.split(key)
    _, h = model.prior(params, context).run(key_z, temperature)
    return emit(model.likelihood(params, h, context), key_x, mode, offset)


@functools.partial(jax.jit, static_argnames=("mode",))
def reconstruct(
    model: LatentModel,
    params: Params,
    key: jax.Array,
    x: jax.Array,
    context: Any = None,
    *,
    mode: str = "mean",
    temperature: jax.Array | float = 1.0,
    offset: jax.Array | float = 0.0,
) -> jax.Array:
    """Draw z from the posterior of x and return its x again.

    Args as in `sample`; `temperature` is the spread of the posterior's draw, and 0 takes its centre.

    Returns:
      One datum, in the form that the likelihood scores.
    """
    key_z, key_x = jax.random.split(key)
    p = model.prior(params, context)
    q = bind(model.posterior(params, model.event(x), context), p)
    z, h = q.run(key_z, temperature)
    if not isinstance(q, Bound):
        h = p.score(z)[1]
    return emit(model.likelihood(params, h, context), key_x, mode, offset)


@jax.jit
def encode(model: LatentModel, params: Params, x: jax.Array, context: Any = None) -> Any:
    """Mean of the posterior of one datum (of a mixture: the responsibilities of its components)."""
    q = model.posterior(params, model.event(x), context)
    return bind(q, model.prior(params, context)).mean


@jax.jit
def decode(model: LatentModel, params: Params, z: Any, context: Any = None) -> jax.Array:
    """Mean of x given the latents."""
    return model.likelihood(params, model.prior(params, context).score(z)[1], context).mean
