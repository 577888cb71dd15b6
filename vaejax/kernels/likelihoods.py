"""Log-probabilities of one event for data that are not Gaussian. Scalars in nats, constants included."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from vaejax.checks import require_shape
from vaejax.kernels.batching import raveled
from vaejax.types import Array, ArrayLike, Event, Scalar, Term

__all__ = [
    "bernoulli_log_prob",
    "categorical_log_prob",
    "continuous_bernoulli_log_prob",
    "discretized_logistic_log_prob",
]


@jax.jit
def bernoulli_log_prob(x: Event, logits: Term) -> Scalar:
    r"""Bernoulli log-probability from logits, summed over the event.

    $$\sum_i x_i \ell_i - \ln(1 + e^{\ell_i})$$

    Args:
      x: the event, values in [0, 1] (values strictly between are the usual relaxation for grey
        pixels: the score is then not a likelihood), any shape.
      logits: log-odds, a scalar or a shape that broadcasts to `x`.

    Returns:
      A scalar, nats.

    >>> bernoulli_log_prob(jnp.array([1.0, 0.0]), jnp.zeros(2)).round(4)
    Array(-1.3863, dtype=float32)
    """
    x, logits = raveled(x, logits=logits)
    # x l - max(l, 0) is exact where x is 0 or 1, so that a confident pixel keeps its small loss.
    return jnp.sum(x * logits - jnp.maximum(logits, 0.0) - jnp.log1p(jnp.exp(-jnp.abs(logits))))


@jax.jit
def continuous_bernoulli_log_prob(x: Event, logits: Term) -> Scalar:
    r"""Continuous Bernoulli log-density on [0, 1], summed over the event.

    The density is $p(x) \propto e^{\ell x}$, so that
    $$\log p(x) = \sum_i \ell_i x_i - \ln\frac{e^{\ell_i} - 1}{\ell_i}.$$

    Args:
      x: the event, values in [0, 1], any shape.
      logits: $\ell = \ln\frac{\lambda}{1-\lambda}$, a scalar or a shape that broadcasts to `x`.

    Returns:
      A scalar, nats. A uniform density (`logits = 0`) scores 0.

    Reference: Loaiza-Ganem and Cunningham, 2019, equations 4-5.

    >>> continuous_bernoulli_log_prob(jnp.array([0.2, 0.9]), jnp.zeros(2))
    Array(0., dtype=float32)
    """
    x, logits = raveled(x, logits=logits)
    near = jnp.abs(logits) < 0.1
    small = jnp.where(near, logits, 0.0)
    square = small * small
    series = (x - 0.5) * small - square * (1 / 24 - square * (1 / 2880 - square / 181440))
    large = jnp.where(near, 1.0, logits)
    size = jnp.abs(large)
    closed = x * large - jnp.maximum(large, 0.0) - jnp.log(-jnp.expm1(-size)) + jnp.log(size)
    return jnp.sum(jnp.where(near, series, closed))


@jax.jit
def discretized_logistic_log_prob(x: Event, loc: Term, scale: Term, levels: Int[ArrayLike, ""] = 256) -> Scalar:
    r"""Log-probability of quantised values under a logistic, summed over the event.

    The `levels` values $0, \delta, \dots, 1$ with $\delta = 1/(\text{levels}-1)$ each receive the mass of
    their bin, the outer ones the tails: $P(x) = S(b) - S(a)$ with
    $a, b = (x \mp \delta/2 - \mu)/s$ and $S$ the logistic sigmoid. It is evaluated as
    $\ln S(b) + \ln S(-a) + \ln(1 - e^{-\delta/s})$, which never subtracts two rounded probabilities.

    Args:
      x: the event, on the grid above, any shape.
      loc: mean, a scalar or a shape that broadcasts to `x`.
      scale: **standard deviation** $\sigma = s\pi/\sqrt3$, likewise.
      levels: number of grey levels, at least 2.

    Returns:
      A scalar, nats; over the grid the probabilities sum to one.

    Differs from the usual implementations: `scale` is a standard deviation, not the logistic's $s$.

    Reference: Salimans et al., 2017 (PixelCNN++), section 2.1, with one component.

    >>> grid = jnp.linspace(0.0, 1.0, 256)
    >>> jnp.exp(jax.vmap(lambda x: discretized_logistic_log_prob(x, 0.3, 0.2))(grid)).sum().round(4)
    Array(1., dtype=float32)
    """
    x, loc, scale = raveled(x, loc=loc, scale=scale)
    delta = 1.0 / (levels - 1.0)
    s = scale * (math.sqrt(3.0) / math.pi)
    bottom, top = x < 0.5 * delta, x > 1.0 - 0.5 * delta
    upper = jnp.where(top, 0.0, jax.nn.log_sigmoid((x + 0.5 * delta - loc) / s))
    lower = jnp.where(bottom, 0.0, jax.nn.log_sigmoid(-(x - 0.5 * delta - loc) / s))
    width = jnp.where(bottom | top, 0.0, jnp.log(-jnp.expm1(-delta / s)))
    return jnp.sum(upper + lower + width)


@jax.jit
def categorical_log_prob(z: Int[ArrayLike, ""], logits: Float[Array, " k"]) -> Scalar:
    r"""Log-probability of class `z` under $\mathrm{softmax}(\text{logits})$.

    Args:
      z: an integer scalar.
      logits: unnormalised log-probabilities, shape `(k,)`.

    Returns:
      A scalar, nats; $-\infty$ for a class outside $0, \dots, k-1$.

    >>> categorical_log_prob(1, jnp.zeros(4)).round(4)
    Array(-1.3863, dtype=float32)
    """
    require_shape("z", z, ())
    z = jnp.asarray(z)
    (k,) = jnp.shape(logits)
    log_p = jax.nn.log_softmax(logits)[jnp.clip(z, 0, k - 1)]
    return jnp.where((z >= 0) & (z < k), log_p, -jnp.inf)
