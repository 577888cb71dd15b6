"""Bounds on the log-likelihood: the ELBO, its low-variance gradient, and the importance-weighted bound."""

import jax
import jax.numpy as jnp

from vaejax.checks import require_integer
from vaejax.distributions import bind, sample_latents
from vaejax.kernels import importance_weighted_bound
from vaejax.models import infer
from vaejax.objectives.objective import WEIGHTS, Objective, Terms, assemble, mean_terms, over_batch, terms_of
from vaejax.recipes import field, static

__all__ = ["as_draws", "elbo", "iwae", "stl"]


def as_draws(count: int) -> int:
    """The number of draws for each datum, checked."""
    return require_integer("num_samples", count)


@static
class _Elbo(Objective):
    num_samples: int = field(converter=as_draws)
    analytic: bool

    @property
    def accepts(self) -> tuple[str, ...]:
        return WEIGHTS

    def of_batch(self, model, params, key, x, context, step, hparams):
        one = lambda key, x, c: terms_of(model, params, key, x, c, self.num_samples, self.analytic)  # noqa: E731
        return assemble(mean_terms(over_batch(one, key, x, context)), hparams)


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
class _STL(Objective):
    num_samples: int = field(converter=as_draws)

    @property
    def accepts(self) -> tuple[str, ...]:
        return ("beta",)

    def of_batch(self, model, params, key, x, context, step, hparams):
        def one(key, x, context):
            x, context, p, q = infer(model, params, x, context)
            still = jax.lax.stop_gradient(bind(q, p))

            def score(key):
                drawn = sample_latents(key, q, p)
                likelihood = model.likelihood(params, drawn.h, context)
                # The same number with another gradient: log q sees its parameters through the draw alone.
                log_q, log_p = still.log_prob(drawn.z), -jnp.sum(drawn.entropy) - jnp.sum(drawn.kl)
                return Terms(likelihood.log_prob(x), log_q - log_p, None, -log_q, likelihood.noise_variance)

            return mean_terms(jax.vmap(score)(jax.random.split(key, self.num_samples)))

        return assemble(mean_terms(over_batch(one, key, x, context)), hparams)


def stl(*, num_samples: int = 1) -> Objective:
    r"""The ELBO on draws, its gradient without the score of q ("sticking the landing").

    The parameters of q act through the draw alone, $\log q_{\bar\phi}(z_\phi)$: the dropped term has mean
    zero, and the gradient's variance vanishes as q becomes exact. hparams: `beta`.

    Args:
      num_samples: draws for each datum.

    Reference: Roeder, Wu and Duvenaud, 2017, section 3.
    """
    return _STL(num_samples)


@static
class _IWAE(Objective):
    k: int

    def of_batch(self, model, params, key, x, context, step, hparams):
        def one(key, x, context):
            x, context, p, q = infer(model, params, x, context)

            def weigh(key):
                drawn = sample_latents(key, q, p)
                likelihood = model.likelihood(params, drawn.h, context)
                kl, entropy = jnp.sum(drawn.kl), jnp.sum(drawn.entropy)
                return Terms(likelihood.log_prob(x), kl, None, entropy, likelihood.noise_variance)

            terms = jax.vmap(weigh)(jax.random.split(key, self.k))
            bound = importance_weighted_bound(terms.log_likelihood, jnp.zeros_like(terms.kl), terms.kl)
            share = jax.nn.softmax(terms.log_likelihood - terms.kl)
            return bound, mean_terms(terms), 1.0 / (self.k * jnp.sum(share**2))

        if not model.has_density:
            raise TypeError(f"{type(model).__name__} has no density p(x) to bound")
        bound, terms, share = mean_terms(over_batch(one, key, x, context))
        return bound, assemble(terms, {})[1] | {"effective_sample_share": share}


def iwae(k: int) -> Objective:
    r"""The importance-weighted bound, $E\ln\frac1k\sum_{i\le k} p(x,z_i)/q(z_i|x)$.

    `info` holds the ELBO of the same draws with its terms, and `effective_sample_share`, $1/(k\sum_i w_i^2)$ of the
    normalised weights. It accepts no hparams.

    Args:
      k: draws for each datum.

    Reference: Burda, Grosse and Salakhutdinov, 2016, equation 8.
    """
    return _IWAE(require_integer("k", k))
