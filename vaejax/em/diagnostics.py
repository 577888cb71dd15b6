r"""The pieces of EM's argument as functions: $Q(\theta,\theta^o)$, the lower bound, and the gap to the log-likelihood.

Expectations under an exact posterior are exact: classes are enumerated, and a Gaussian is replaced by
the $2M$ points $m \pm \sqrt M L e_i$, which integrate a quadratic log-density without error.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vaejax.distributions import Categorical, Chain, Distribution, Guide, TrilNormal
from vaejax.em.fit import em_step
from vaejax.models import LatentModel, log_evidence
from vaejax.types import Array, Params, PyTree

__all__ = ["HalfSteps", "ascent", "expected_log_joint", "half_steps", "kl_gap", "lower_bound"]


class HalfSteps(NamedTuple):
    """The lower bound through one EM step, mean nats a row.

    Attributes:
      before: bound with the old parameters and the posterior of `q_params`.
      after_e: bound with the old parameters and their own posterior: the log-likelihood.
      after_m: bound with the new parameters and the old posterior.
      log_likelihood: log-likelihood of the new parameters; the gap to `after_m` is Jensen's.
    """

    before: Float[Array, ""]
    after_e: Float[Array, ""]
    after_m: Float[Array, ""]
    log_likelihood: Float[Array, ""]


def _expectation(q: Distribution | Guide, p: Distribution, f: Callable[[PyTree, Array], Array]) -> Array:
    """E_q f(z, log q(z)), exact for a Categorical, a TrilNormal with quadratic f, and a Guide of the two."""
    match q:
        case Categorical():
            values = jnp.arange(q.logits.shape[0])
            log_q = jax.nn.log_softmax(q.logits)
            terms, mass = jax.vmap(f)(values, log_q), jnp.exp(log_q)
            return jnp.sum(jnp.where(mass > 0, mass * terms, 0.0))
        case TrilNormal():
            steps = jnp.sqrt(q.loc.size) * q.scale_tril.T
            points = q.loc[None] + jnp.concatenate([steps, -steps])
            return jnp.mean(jax.vmap(lambda z: f(z, q.log_prob(z)))(points))
        case Guide() if isinstance(p, Chain):

            def below(i: int, h: PyTree, values: tuple, total: Array | float) -> Array:
                if i == len(p.links):
                    return f(values, jnp.asarray(total))
                p_i, advance = p.links[i](h)
                follow = lambda z, log_q: below(i + 1, advance(z), (*values, z), total + log_q)  # noqa: E731
                return _expectation(q.links[i](p_i, h), p_i, follow)

            return below(0, p.start, (), 0.0)
        case _:
            raise TypeError(f"q: expected an exact posterior of an EM model, got {type(q).__name__}")


def _mean(f: Callable[[Array], Array], x: Float[Array, "N D"]) -> Float[Array, ""]:
    return jnp.mean(jax.lax.map(f, x, batch_size=min(len(x), 1024)))


def _bound(model: LatentModel, params: Params, q_params: Params, x: Array, entropy: float) -> Array:
    def one(x: Array) -> Array:
        x = model.event(x)

        def f(z: PyTree, log_q: Array) -> Array:
            log_p, h = model.prior(params).score(z)
            return log_p + model.likelihood(params, h).log_prob(x) - entropy * log_q

        posterior: Any = model.posterior(q_params, x)
        return _expectation(posterior, model.prior(q_params), f)

    return _mean(one, x)


@jax.jit
def expected_log_joint(model: LatentModel, params: Params, old_params: Params, x: Array) -> Array:
    r"""$Q(\theta, \theta^o) = E_{p_{\theta^o}(z|x)} \log p_\theta(x, z)$, mean over the rows, nats.

    Args:
      model: one with an exact posterior: `GMM`, `PPCA`, `FactorAnalysis`, `PPCAMixture`, or a mixture of your own.
      params: $\theta$.
      old_params: $\theta^o$, under which the posterior is computed.
      x: rows, shape (N, D).

    Reference: Beaulac, 2019, equation 5.
    """
    return _bound(model, params, old_params, x, 0.0)


@jax.jit
def lower_bound(model: LatentModel, params: Params, q_params: Params, x: Array) -> Array:
    r"""$\mathcal L(q, \theta) = Q(\theta, \theta^q) + H(q)$ with $q(z) = p_{\theta^q}(z|x)$, mean over the rows, nats.

    Args:
      params: $\theta$.
      q_params: $\theta^q$; any value gives a valid bound.
      x: rows, shape (N, D).

    Reference: Beaulac, 2019, equation 3.

    >>> import jax, vaejax as vj
    >>> model = vj.GMM(2, 3)
    >>> params, x = model.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (10, 3))
    >>> exact = jnp.mean(jax.vmap(vj.log_evidence, (None, None, 0))(model, params, x))
    >>> bool(jnp.allclose(lower_bound(model, params, params, x), exact, atol=1e-5))
    True
    """
    return _bound(model, params, q_params, x, 1.0)


@jax.jit
def kl_gap(model: LatentModel, params: Params, q_params: Params, x: Array) -> Array:
    r"""$KL[q(z)\,\|\,p_\theta(z|x)] = \log p_\theta(x) - \mathcal L(q, \theta)$, mean over the rows, nats."""
    return _mean(lambda x: log_evidence(model, params, x), x) - lower_bound(model, params, q_params, x)


@jax.jit
def half_steps(model: LatentModel, q_params: Params, old_params: Params, new_params: Params, x: Array) -> HalfSteps:
    """The bound before the E step, after it, and after the M step, and the new log-likelihood.

    Args:
      q_params: the parameters whose posterior is q before the E step.
      old_params: the parameters that the step starts from.
      new_params: those that it ends at, `em_step(model, old_params, x).params`.
      x: rows, shape (N, D).
    """
    return HalfSteps(
        lower_bound(model, old_params, q_params, x),
        lower_bound(model, old_params, old_params, x),
        lower_bound(model, new_params, old_params, x),
        lower_bound(model, new_params, new_params, x),
    )


@functools.partial(jax.jit, static_argnames=("num_steps",))
def ascent(model: LatentModel, params: Params, x: Array, *, num_steps: int) -> tuple[Params, HalfSteps]:
    """Plain EM steps with the bound at every half step.

    Args:
      params: where to start.
      x: rows, shape (N, D).
      num_steps: number of steps.

    Returns:
      The parameters before the first and after every step, num_steps + 1 along a leading axis, and the `HalfSteps` of
      each step; q is at first the posterior of `params`.

    >>> import jax, vaejax as vj
    >>> model, x = vj.GMM(2, 3), jax.random.normal(jax.random.key(0), (50, 3))
    >>> path, half = ascent(model, model.init(jax.random.key(1)), x, num_steps=4)
    >>> path["means"].shape, half.after_m.shape
    ((5, 2, 3), (4,))
    """

    def step(carry: tuple[Params, Params], _: None) -> tuple[tuple[Params, Params], tuple[Params, HalfSteps]]:
        q, old = carry
        new = em_step(model, old, x).params
        return (old, new), (new, half_steps(model, q, old, new, x))

    _, (path, halves) = jax.lax.scan(step, (params, params), None, length=num_steps)
    return jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), params, path), halves
