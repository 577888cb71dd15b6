"""Bounds on the log-likelihood: the ELBO, its low-variance gradient, and the importance-weighted bound."""

import jax
import jax.numpy as jnp

from vaejax.checks import require_integer
from vaejax.distributions import bind, sample_latents
from vaejax.kernels import importance_weighted_bound
from vaejax.models import LatentModel, Terms, infer, terms
from vaejax.objectives.objective import WEIGHTS, Averaged, Objective, assemble, mean_terms, terms_of
from vaejax.recipes import field, static
from vaejax.types import Array, Scalar

__all__ = ["as_draws", "dreg", "elbo", "iwae", "stl"]


def as_draws(count: int) -> int:
    """The number of draws for each datum, checked."""
    return require_integer("num_samples", count)


@static
class _Elbo(Averaged):
    num_samples: int = field(converter=as_draws)
    analytic: bool

    @property
    def accepts(self) -> tuple[str, ...]:
        return WEIGHTS

    def of_datum(self, model, params, key, x, context):
        return terms_of(model, params, key, x, context, self.num_samples, analytic=self.analytic)

    def of_averages(self, model, averages, hparams):
        return assemble(averages, hparams, model)


def elbo(*, num_samples: int = 1, analytic: bool = True) -> Objective:
    r"""The evidence lower bound, $E_q\log p(x|z) - KL[q(z|x)\,\|\,p(z)]$, averaged over the batch.

    `info` holds the three forces of the bound, `log_likelihood`, `log_prior` = $E_q\log p(z)$ and
    `entropy` (their sum is `elbo`); `kl`, and `kl_per_dimension` or `kl_per_layer`; `beta`, the weight in
    force; and with a Gaussian likelihood `implied_variance` = $\beta\sigma^2$, the noise of the model whose
    ELBO has the same optimum. hparams: `beta`, the weight of the divergence.

    Args:
      num_samples: draws for each datum.
      analytic: `False` uses log q - log p on the draw also where there is a closed form.

    Reference: Kingma and Welling, 2014, equations 7 and 10.

    >>> import jax, vaejax as vj
    >>> model = vj.PPCA(dim=3, latent_dim=1)
    >>> params = model.init(jax.random.key(0))
    >>> value, info = elbo()(model, params, jax.random.key(1), jnp.zeros((4, 3)), None, 0, {"beta": 2.0})
    >>> bool(jnp.isclose(value, info["log_likelihood"] - 2.0 * info["kl"]))
    True
    """
    return _Elbo(num_samples, analytic)


@static
class _STL(Averaged):
    num_samples: int = field(converter=as_draws)

    @property
    def accepts(self) -> tuple[str, ...]:
        return ("beta",)

    def of_datum(self, model, params, key, x, context):
        x, context, p, q = infer(model, params, x, context)
        still = jax.lax.stop_gradient(bind(q, p))

        def score(key):
            drawn = sample_latents(key, q, p)
            likelihood = model.likelihood(params, drawn.h, context)
            # The same number with another gradient: log q sees its parameters through the draw alone.
            log_q, log_p = still.log_prob(drawn.z), -jnp.sum(drawn.entropy) - jnp.sum(drawn.kl)
            return Terms(likelihood.log_prob(x), log_q - log_p, None, -log_q, likelihood.noise_variance)

        return mean_terms(jax.vmap(score)(jax.random.split(key, self.num_samples)))

    def of_averages(self, model, averages, hparams):
        return assemble(averages, hparams)


def stl(*, num_samples: int = 1) -> Objective:
    r"""The ELBO on draws, its gradient without the score of q ("sticking the landing").

    The parameters of q act through the draw alone, $\log q_{\bar\phi}(z_\phi)$: the dropped term has mean
    zero, and the gradient's variance vanishes as q becomes exact. hparams: `beta`.

    Args:
      num_samples: draws for each datum.

    Reference: Roeder, Wu and Duvenaud, 2017, section 3.
    """
    return _STL(num_samples)


class _Weighted(Averaged):
    """Bounds by importance weights: averages are the bound, the terms of its draws, and their effective share."""

    def of_averages(self, model, averages, hparams):
        bound, drawn, share = averages
        return bound, assemble(drawn, {})[1] | {"effective_sample_share": share}


def _bound_of(drawn: Terms) -> tuple[Scalar, Array]:
    """The importance-weighted bound of k draws of one datum, and the normalised weights."""
    bound = importance_weighted_bound(drawn.log_likelihood, jnp.zeros_like(drawn.kl), drawn.kl)
    return bound, jax.nn.softmax(drawn.log_likelihood - drawn.kl)


def _require_density(model: LatentModel) -> None:
    if not model.has_density:
        raise TypeError(f"{type(model).__name__} has no density p(x) to bound")


@static
class _IWAE(_Weighted):
    k: int

    def of_datum(self, model, params, key, x, context):
        _require_density(model)
        weigh = lambda key: terms(model, params, key, x, context, analytic=False)  # noqa: E731
        drawn = jax.vmap(weigh)(jax.random.split(key, self.k))
        drawn = drawn._replace(kl=jnp.sum(drawn.kl.reshape(self.k, -1), 1))
        bound, weights = _bound_of(drawn)
        return bound, mean_terms(drawn), 1.0 / (self.k * jnp.sum(weights**2))


@static
class _DReG(_Weighted):
    k: int

    def of_datum(self, model, params, key, x, context):
        _require_density(model)
        x, context, p, q = infer(model, params, x, context)
        still = jax.lax.stop_gradient(bind(q, p))

        def weigh(key, share):
            # Whatever moves the draw has its gradient multiplied by the weight's share once more than the rest.
            drawn = sample_latents(key, *jax.tree.map(lambda leaf: _scaled(leaf, share), (q, p)))
            (log_p, h), log_q = p.score(drawn.z), still.log_prob(drawn.z)
            likelihood = model.likelihood(params, h, context)
            return Terms(likelihood.log_prob(x), log_q - log_p, None, -log_q, likelihood.noise_variance)

        keys = jax.random.split(key, self.k)
        _, weights = jax.lax.stop_gradient(_bound_of(jax.vmap(weigh, (0, None))(keys, jnp.ones(()))))
        drawn = jax.vmap(weigh)(keys, weights)
        return _bound_of(drawn)[0], mean_terms(drawn), 1.0 / (self.k * jnp.sum(weights**2))


def _scaled(value: Array, factor: Array) -> Array:
    """The value, whose gradient is multiplied by a factor."""
    if not jnp.issubdtype(value.dtype, jnp.floating):
        return value
    moving = factor.astype(value.dtype) * value
    return jax.lax.stop_gradient(value - moving) + moving


def iwae(k: int) -> Objective:
    r"""The importance-weighted bound, $E\ln\frac1k\sum_{i\le k} p(x,z_i)/q(z_i|x)$.

    `info` holds the ELBO of the same draws with its terms, and `effective_sample_share`, $1/(k\sum_i w_i^2)$ of the
    normalised weights. It accepts no hparams.

    Args:
      k: draws for each datum.

    Reference: Burda, Grosse and Salakhutdinov, 2016, equation 8.
    """
    return _IWAE(require_integer("k", k))


def dreg(k: int) -> Objective:
    r"""The importance-weighted bound with doubly reparameterised gradients.

    $$\nabla_\phi = \sum_i \tilde w_i^2\,\frac{\partial\ln w_i}{\partial z_i}\frac{\partial z_i}{\partial\phi},
    \qquad \nabla_\theta = \sum_i \tilde w_i\,\nabla_\theta\ln w_i, \qquad
    \tilde w_i = w_i\Big/\sum_j w_j$$

    The value is that of `iwae`, and so is the gradient's mean; the score of q, whose mean is zero, is replaced, and the
    encoder's signal no longer vanishes against its noise as k grows. It takes a second pass without gradients. `info`
    and hparams as of `iwae`.

    Args:
      k: draws for each datum.

    Reference: Tucker, Lawson, Gu and Maddison, 2019, equation 8.
    """
    return _DReG(require_integer("k", k))
