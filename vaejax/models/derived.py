"""Everything that follows from the three functions of a model, for one datum; batch with `jax.vmap`.

Each function is compiled with its sizes and modes static. To compile or vectorise around one, bind
those first with `functools.partial`.
"""

import functools
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vaejax.checks import prng_key, require_choice, require_integer
from vaejax.distributions import Distribution, GuidedChain, Heat, Latents, Proposal, bind, expect, kl_per_dimension
from vaejax.kernels import importance_weighted_bound
from vaejax.models.model import LatentModel
from vaejax.types import Array, ArrayLike, Context, Key, Mode, Params, Scalar

__all__ = [
    "Elbo",
    "Inference",
    "Terms",
    "decode",
    "elbo",
    "emit",
    "encode",
    "importance_bound",
    "infer",
    "log_evidence",
    "log_joint",
    "reconstruct",
    "sample",
    "terms",
]


class Inference(NamedTuple):
    """A datum and its context, checked, with its prior and its posterior.

    Attributes:
      x: `model.event(x)`.
      context: `model.condition(context)`.
      prior: p(z | context).
      posterior: p(z | x, context) where it is exact, else q.
    """

    x: Array
    context: Array | None
    prior: Distribution
    posterior: Proposal


def infer(model: LatentModel, params: Params, x: ArrayLike, context: Context = None) -> Inference:
    """Prior and posterior of one datum: the beginning of all that is derived from a model."""
    event, condition = model.event(x), model.condition(context)
    return Inference(event, condition, model.prior(params, condition), model.posterior(params, event, condition))


class Terms(NamedTuple):
    r"""The bound of one datum on one draw, or an average of such: nats.

    Attributes:
      log_likelihood: $\log p(x|z)$.
      kl: `()`, or `(L,)` per layer of a hierarchy.
      kl_per_dimension: where q and p are diagonal Gaussians over one vector and `kl` is analytic, else `None`.
      entropy: of q, summed.
      variance: mean $\sigma^2$ of a Gaussian likelihood, else `None`.
    """

    log_likelihood: Scalar
    kl: Float[Array, "*layers"]
    kl_per_dimension: Float[Array, " M"] | None
    entropy: Scalar
    variance: Scalar | None


def _log_prob(likelihood: Distribution, x: Array) -> Scalar:
    return likelihood.log_prob(x)


def terms(
    model: LatentModel,
    params: Params,
    key: Key,
    x: ArrayLike,
    context: Context = None,
    *,
    analytic: bool = True,
    score: Callable[[Distribution, Array], Scalar] = _log_prob,
) -> Terms:
    """Terms of the bound in one pass over the networks; `score` stands in for the log-likelihood."""
    x, context, p, q = infer(model, params, x, context)
    dimensions = kl_per_dimension(q, p) if analytic else None

    def gather(drawn: Latents) -> Terms:
        likelihood = model.likelihood(params, drawn.h, context)
        return Terms(score(likelihood, x), drawn.kl, dimensions, jnp.sum(drawn.entropy), likelihood.noise_variance)

    return expect(key, q, p, gather, analytic=analytic)


class Elbo(NamedTuple):
    """The evidence lower bound of one datum and its parts, in nats; higher is better.

    Attributes:
      value: log_likelihood - beta * sum(kl).
      log_likelihood: E_q log p(x | z).
      kl: `()` for a flat model, `(L,)` per layer for a hierarchy.
    """

    value: Scalar
    log_likelihood: Scalar
    kl: Float[Array, "*layers"]


@functools.partial(jax.jit, static_argnames=("num_samples", "analytic"))
def elbo(
    model: LatentModel,
    params: Params,
    key: Key,
    x: ArrayLike,
    context: Context = None,
    *,
    beta: Float[ArrayLike, ""] = 1.0,
    num_samples: int = 1,
    analytic: bool = True,
) -> Elbo:
    r"""Evidence lower bound of one datum.

    $$E_{q(z|x)}\log p(x|z) - \beta\,KL[q(z|x)\,\|\,p(z)] \le \log p(x) \quad (\beta \ge 1)$$

    Categorical latents are enumerated; the others are drawn and reparameterised, with the divergence
    in closed form where there is one.

    Args:
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
    require_integer("num_samples", num_samples)
    key = prng_key("key", key)
    one = lambda key: terms(model, params, key, x, context, analytic=analytic)  # noqa: E731
    mean = jax.tree.map(lambda leaf: jnp.mean(leaf, 0), jax.vmap(one)(jax.random.split(key, num_samples)))
    return Elbo(mean.log_likelihood - beta * jnp.sum(mean.kl), mean.log_likelihood, mean.kl)


@functools.partial(jax.jit, static_argnames=("k",))
def importance_bound(
    model: LatentModel, params: Params, key: Key, x: ArrayLike, context: Context = None, *, k: int
) -> Scalar:
    r"""Importance-weighted bound of one datum, $\ln\frac1k\sum_i p(x,z_i)/q(z_i|x)$ with $z_i \sim q$.

    Its expectation never falls with `k` and never passes log p(x); with an exact posterior every
    weight is p(x) and the bound is exact.

    Args:
      k: number of draws.

    Returns:
      A scalar, nats.

    Reference: Burda, Grosse and Salakhutdinov, 2016.
    """
    require_integer("k", k)
    key = prng_key("key", key)
    if not model.has_density:
        raise TypeError(f"{type(model).__name__} has no density p(x) to bound")
    one = lambda key: terms(model, params, key, x, context, analytic=False)  # noqa: E731
    drawn = jax.vmap(one)(jax.random.split(key, k))
    log_ratio = jnp.sum(drawn.kl.reshape(k, -1), 1)
    return importance_weighted_bound(drawn.log_likelihood, jnp.zeros_like(log_ratio), log_ratio)


@jax.jit
def log_joint(model: LatentModel, params: Params, x: ArrayLike, z: Any, context: Context = None) -> Scalar:
    """Joint log-density log p(z) + log p(x | z) of one datum and its latents, nats."""
    context = model.condition(context)
    log_p, h = model.prior(params, context).score(z)
    return log_p + model.likelihood(params, h, context).log_prob(model.event(x))


@jax.jit
def log_evidence(model: LatentModel, params: Params, x: ArrayLike, context: Context = None) -> Scalar:
    """Log p(x) of one datum in closed form, nats.

    Raises:
      TypeError: for a model without a closed form; it names `importance_bound`.

    >>> import jax, vaejax as vj
    >>> model = vj.GMM(num_components=1, dim=2)
    >>> params = model.init(jax.random.key(0)) | {"means": jnp.zeros((1, 2))}
    >>> round(float(vj.log_evidence(model, params, jnp.zeros(2))), 4)
    -1.8379
    """
    return model.marginal(params, model.condition(context)).log_prob(model.event(x))


def emit(likelihood: Distribution, key: Key, mode: Mode, offset: Float[ArrayLike, ""]) -> Array:
    """Output of a likelihood: a draw, its mean, or its mean and so many standard deviations."""
    require_choice("mode", mode, typing.get_args(Mode))
    if mode == "ancestral":
        return likelihood.sample(key)
    return likelihood.mean if mode == "mean" else likelihood.mean + offset * likelihood.stddev


@functools.partial(jax.jit, static_argnames=("mode",))
def sample(
    model: LatentModel,
    params: Params,
    key: Key,
    context: Context = None,
    *,
    mode: Mode = "ancestral",
    temperature: Heat = 1.0,
    offset: Float[ArrayLike, ""] = 0.0,
) -> Array:
    r"""Draw one x: z from the prior, then x from the likelihood.

    Args:
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
    key_z, key_x = jax.random.split(prng_key("key", key))
    context = model.condition(context)
    _, h = model.prior(params, context).run(key_z, temperature)
    return emit(model.likelihood(params, h, context), key_x, mode, offset)


@functools.partial(jax.jit, static_argnames=("mode",))
def reconstruct(
    model: LatentModel,
    params: Params,
    key: Key,
    x: ArrayLike,
    context: Context = None,
    *,
    mode: Mode = "mean",
    temperature: Heat = 1.0,
    offset: Float[ArrayLike, ""] = 0.0,
) -> Array:
    """Draw z from the posterior of x and return its x again.

    Args as in `sample`; `temperature` is the spread of the posterior's draw, and 0 takes its centre.

    Returns:
      One datum, in the form that the likelihood scores.
    """
    key_z, key_x = jax.random.split(prng_key("key", key))
    _, context, p, q = infer(model, params, x, context)
    q = bind(q, p)
    z, h = q.run(key_z, temperature)
    if not isinstance(q, GuidedChain):
        h = p.score(z)[1]
    return emit(model.likelihood(params, h, context), key_x, mode, offset)


@jax.jit
def encode(model: LatentModel, params: Params, x: ArrayLike, context: Context = None) -> Any:
    """Mean of the posterior of one datum (of a mixture: the responsibilities of its components)."""
    _, _, p, q = infer(model, params, x, context)
    return bind(q, p).mean


@jax.jit
def decode(model: LatentModel, params: Params, z: Any, context: Context = None) -> Array:
    """Mean of x given the latents."""
    context = model.condition(context)
    return model.likelihood(params, model.prior(params, context).score(z)[1], context).mean
