"""Log-likelihoods of rows, exact or by importance sampling; BIC, AIC, rate and distortion, labels."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from vaejax import em
from vaejax.checks import prng_key, require_integer
from vaejax.distributions import Categorical, Guide
from vaejax.evaluate.rows import RowsLike, checked, log_weight, mean_and_error, over_rows, remarks, row_keys
from vaejax.models import GMM, Elbo, LatentModel, PPCAMixture, elbo, infer, log_evidence
from vaejax.types import Array, ArrayLike, Context, Key, Params

__all__ = [
    "Evidence",
    "RateDistortion",
    "aic",
    "bic",
    "exact_log_evidence",
    "labels",
    "log_evidence_estimate",
    "of_weights",
    "rate_distortion",
    "responsibilities",
    "separate",
]

_DRAWS_AT_ONCE = 2048  # at 784 pixels 6 MB: four times as many leave the cache and take a quarter longer
_DRAWS_A_CALL = 2**20  # about a second: the bar moves, and a call can be interrupted
_PURPOSE = 0x65766964
_EXACT_AT_ONCE = 4096


class Evidence(NamedTuple):
    r"""Estimates of log p(x), one for each row.

    Attributes:
      log_evidence: nats. An average of unbiased estimates $w$ of p(x), under the logarithm: its
        expectation is below log p(x), by about half the squared standard error.
      standard_error: of `log_evidence`, by the delta method from the spread of the weights; to be
        trusted where `ess` is above a tenth of the draws.
      ess: effective sample size $(\sum w)^2/\sum w^2$.
      protocol: the computation in words.
    """

    log_evidence: Float[np.ndarray, " N"]
    standard_error: Float[np.ndarray, " N"]
    ess: Float[np.ndarray, " N"]
    protocol: str

    @property
    def mean(self) -> tuple[float, float]:
        """Mean over the rows, and its standard error: that of the rows and of the estimates together."""
        return mean_and_error(self.log_evidence)  # their spread over the rows holds both


class _Sums(NamedTuple):
    """Streaming sums of weights: the largest logarithm so far, and sums of w and w^2 relative to it."""

    top: Float[Array, ""]
    first: Float[Array, ""]
    second: Float[Array, ""]


def _none() -> _Sums:
    return _Sums(*jnp.full((3,), -jnp.inf).at[1:].set(0.0))


def _added(sums: _Sums, log_w: Float[Array, " K"]) -> _Sums:
    top = jnp.maximum(sums.top, jnp.max(log_w))
    safe = jnp.where(jnp.isfinite(top), top, 0.0)
    old, new = jnp.exp(sums.top - safe), jnp.exp(log_w - safe)
    return _Sums(top, sums.first * old + jnp.sum(new), sums.second * old**2 + jnp.sum(new**2))


def _estimate(sums: _Sums, k: int) -> tuple[Array, Array, Array]:
    ess = sums.first**2 / sums.second
    spread = jnp.sqrt(jnp.maximum(1.0 / ess - 1.0 / k, 0.0) * (k / max(k - 1, 1)))
    return sums.top + jnp.log(sums.first / k), jnp.where(k > 1, spread, jnp.nan), ess


def of_weights(log_w: Float[Array, " K"]) -> tuple[Array, Array, Array]:
    """Logarithm of the mean of weights, its standard error, and the effective sample size."""
    return _estimate(_added(_none(), log_w), len(log_w))


def separate(key: Key) -> Key:
    """A key apart from those of a user, so that rows drawn from `split` of the same key are not met again."""
    return jax.random.fold_in(prng_key("key", key), _PURPOSE)


def _sampled(
    model: LatentModel, params: Params, key: Key, x: Array, context: Context, *, k: int, chunk: int
) -> tuple[Array, Array, Array]:
    """The estimate of one row; its draws come in chunks and are summed as they come."""
    known = infer(model, params, x, context)

    def weight(i: Array) -> Array:
        log_w = log_weight(model, params, jax.random.fold_in(key, i), known)
        return jnp.where(i < k, log_w, -jnp.inf)

    add = lambda sums, at: (_added(sums, jax.vmap(weight)(at + jnp.arange(chunk))), None)  # noqa: E731
    return _estimate(jax.lax.scan(add, _none(), jnp.arange(0, k, chunk))[0], k)


def log_evidence_estimate(
    model: LatentModel,
    params: Params,
    key: Key,
    x: RowsLike,
    context: ArrayLike | None = None,
    *,
    k: int = 1000,
    chunk: int = 1024,
    progress: bool = True,
) -> Evidence:
    r"""Estimate log p(x) of each row; in closed form where the model has one, else by importance sampling.

    $$\hat p(x) = \frac1k\sum_i w_i,\quad w_i = \frac{p(x,z_i)}{q(z_i|x)},\quad z_i\sim q(z|x),\qquad
    \mathrm{se}[\ln\hat p] = \sqrt{\frac{k}{k-1}\Big(\frac{\sum w^2}{(\sum w)^2} - \frac1k\Big)}$$

    Sums are kept as the draws come: the memory does not grow with k. A row's draws depend on the key and on
    the row's number alone.

    Args:
      k: draws a row.
      chunk: draws of a row at once, at most.

    Reference: Burda, Grosse and Salakhutdinov, 2016, equation 8; Owen, 2013, chapter 9 (the standard error).

    >>> import jax, vaejax as vj
    >>> model, x = vj.zoo.vae(4, latent_dim=2, hidden=(8,)), jax.numpy.zeros((3, 4))
    >>> found = log_evidence_estimate(model, model.init(jax.random.key(0)), jax.random.key(1), x, k=50)
    >>> found.log_evidence.shape, found.protocol
    ((3,), 'importance sampling from q, k=50')
    """
    require_integer("k", k)
    require_integer("chunk", chunk)
    if not model.has_density:
        raise TypeError(f"{type(model).__name__} has no density p(x)")
    rows = checked(model, x, context)
    said = remarks(model, x, rows)
    if model.has_evidence:
        values = exact_log_evidence(model, params, rows)
        return Evidence(values, np.zeros_like(values), np.full_like(values, np.inf), f"exact{said}")
    chunk = math.ceil(k / math.ceil(k / chunk))  # equal chunks: none is mostly padding
    value, error, ess = over_rows(
        _sampled, (model, params), (row_keys(separate(key), len(rows.x)), *rows), title=f"k={k}", progress=progress,
        batch=max(1, _DRAWS_AT_ONCE // chunk), group=max(1, _DRAWS_A_CALL // k), k=k, chunk=chunk,
    )  # fmt: skip
    given = ", given the context" if model.context_dim else ""
    return Evidence(value, error, ess, f"importance sampling from q, k={k}{given}{said}")


def exact_log_evidence(
    model: LatentModel, params: Params, x: RowsLike, context: ArrayLike | None = None
) -> Float[np.ndarray, " N"]:
    """Log p(x) of each row in closed form, nats, in constant memory.

    Raises:
      TypeError: for a model without a closed form.
    """
    return over_rows(log_evidence, (model, params), checked(model, x, context), batch=_EXACT_AT_ONCE)


class RateDistortion(NamedTuple):
    """One point for each member of an ensemble, nats.

    Attributes:
      rate: mean divergence of the posterior from the prior.
      distortion: minus the mean log-likelihood given z.
      standard_errors: of rate and distortion over the rows.
    """

    rate: Float[np.ndarray, " E"]
    distortion: Float[np.ndarray, " E"]
    standard_errors: Float[np.ndarray, "E 2"]


def _member_bounds(model: LatentModel, params: Params, key: Key, x: Array, context: Context) -> Elbo:
    return jax.vmap(lambda params: elbo(model, params, key, x, context))(params)


def rate_distortion(
    model: LatentModel, params: Params, key: Key, x: RowsLike, context: ArrayLike | None = None
) -> RateDistortion:
    r"""The curve $(R, D)$ of an ensemble over $\beta$: what is spent on z against what is lost of x.

    $$R = E_x\,KL[q(z|x)\,\|\,p(z)], \qquad D = -E_x E_{q}\log p(x|z), \qquad -\mathrm{ELBO} = R + D$$

    A member trained with weight $\beta$ stands where the slope of its curve is $dD/dR = -\beta$.

    Args:
      params: of an ensemble, every array with a leading axis of members, as `vaejax.fit_ensemble` returns them; all
        members are scored by the same draws.

    Reference: Alemi et al., 2018.

    >>> import jax, vaejax as vj
    >>> model, keys = vj.zoo.vae(4, 2, hidden=(8,)), jax.random.split(jax.random.key(0), 2)
    >>> x = (jax.random.uniform(jax.random.key(1), (64, 4)) < 0.3) * 1.0
    >>> rate_distortion(model, jax.vmap(model.init)(keys), keys[0], x).rate.shape
    (2,)
    """
    rows = checked(model, x, context)
    found = over_rows(_member_bounds, (model, params), (jax.random.split(key, len(rows.x)), *rows))
    rates = found.kl.reshape(*found.value.shape, -1).sum(-1)
    points = [[mean_and_error(column) for column in values.T] for values in (rates, -found.log_likelihood)]
    (rate, distortion), errors = np.moveaxis(np.asarray(points), -1, 0)
    return RateDistortion(rate, distortion, errors.T)


def _criterion(model: LatentModel, params: Params, x: RowsLike) -> tuple[int, int, float]:
    """Number of parameters, number of rows, and the sum of log p(x)."""
    if model.num_parameters is None:
        raise TypeError(f"model: expected one that says num_parameters, got {type(model).__name__}")
    if isinstance(model, GMM | PPCAMixture):  # EM reads the rows in their frame, and warns of degenerate components
        rows = checked(model, x)
        _, trace = em.fit(model, jax.random.key(0), rows.x, num_steps=0, init=params, progress=False)
        return model.num_parameters, len(rows.x), float(trace.log_likelihood[-1]) * len(rows.x)
    scores = exact_log_evidence(model, params, x)
    return model.num_parameters, len(scores), float(scores.sum(dtype=np.float64))


def bic(model: LatentModel, params: Params, x: RowsLike) -> float:
    r"""Bayesian information criterion, $p\ln N - 2\sum_n\log p(x_n)$: lower is better.

    Warns:
      vaejax.em.DegenerateFit: of a mixture with a component whose likelihood is no evidence: it wins unfairly.

    Reference: Schwarz, 1978.
    """
    count, rows, total = _criterion(model, params, x)
    return float(count * np.log(rows) - 2.0 * total)


def aic(model: LatentModel, params: Params, x: RowsLike) -> float:
    r"""Akaike's information criterion, $2p - 2\sum_n\log p(x_n)$: lower is better; it warns as `bic` does."""
    count, _, total = _criterion(model, params, x)
    return 2.0 * count - 2.0 * total


def _shares(model: LatentModel, params: Params, x: Array, context: Context) -> Array:
    _, _, p, q = infer(model, params, x, context)
    if isinstance(q, Guide):  # a mixture of PPCAs chooses its component first
        q = q.links[0](p, None)
    assert isinstance(q, Categorical)
    return q.mean


def responsibilities(model: LatentModel, params: Params, x: RowsLike) -> Float[np.ndarray, "N K"]:
    """Posterior probability of each component of a mixture for each row.

    >>> import jax, vaejax as vj
    >>> model = vj.GMM(2, 2)
    >>> params = model.init(jax.random.key(0)) | {"means": jnp.array([[-9.0, 0.0], [9.0, 0.0]])}
    >>> responsibilities(model, params, jnp.array([[9.0, 0.0]])).tolist()
    [[0.0, 1.0]]
    """
    if model.num_components is None:
        raise TypeError(f"model: expected a GMM or a PPCAMixture, got {type(model).__name__}")
    return over_rows(_shares, (model, params), checked(model, x), batch=_EXACT_AT_ONCE)


def labels(model: LatentModel, params: Params, x: RowsLike) -> Int[np.ndarray, " N"]:
    """Likeliest component of a mixture for each row, int32."""
    return responsibilities(model, params, x).argmax(1).astype(np.int32)
