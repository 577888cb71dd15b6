"""The use that a fitted model makes of its latents and its noise, and what to try next."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from vaejax.data.inputs import is_grey
from vaejax.distributions import Distribution, Normal, TrilNormal, kl_per_dimension
from vaejax.evaluate.evidence import Evidence, log_evidence_estimate
from vaejax.evaluate.latents import active_units, aggregate_posterior, refine
from vaejax.evaluate.rows import Rows, RowsLike, bounds, checked, mean_and_error, over_rows, posterior_form
from vaejax.models import Elbo, LatentModel, infer
from vaejax.types import Array, ArrayLike, Context, Key, Params

__all__ = ["RULES", "Diagnosis", "advise", "diagnose"]

_LOW_VARIANCE = 1e-2
Numbers = Mapping[str, Any]


class Diagnosis(NamedTuple):
    """Numbers on a fitted model, with advice.

    Attributes:
      numbers: by name, nats unless the name says otherwise; a number that a model does not have is absent.
      arrays: `kl_per_dimension` (M,), `kl_per_layer` (L,), `correlations` (M, M), where there are any.
      advice: sentences, the most important first; empty where no rule applies.
      protocol: rows and draws behind the numbers.
      errors: standard errors of those numbers that are means, over the rows that were looked at.
    """

    numbers: dict[str, float]
    arrays: dict[str, Float[np.ndarray, "..."]]
    advice: list[str]
    protocol: str
    errors: dict[str, float]


def _noise(model: LatentModel, params: Params, key: Key, x: Array, context: Context) -> dict[str, Array]:
    """Divergence by latent and, of a Gaussian likelihood at a draw of z, noise, log-density and error by entry."""
    x, context, p, q = infer(model, params, x, context)
    if not isinstance(q, Distribution):
        return {}
    each = kl_per_dimension(q, p)
    found = {} if each is None else {"kl_per_dimension": each}
    likelihood = model.likelihood(params, p.score(q.sample(key))[1], context)
    if isinstance(likelihood, Normal):
        sigma = jnp.broadcast_to(likelihood.scale, x.shape)
        pixels = jax.vmap(lambda m, s, v: Normal(m, s).log_prob(v))(*map(jnp.ravel, (likelihood.loc, sigma, x)))
        found |= {"x": jnp.ravel(x), "sigma": jnp.ravel(sigma), "pixels": pixels}
        found["squared_error"] = jnp.mean((x - likelihood.loc) ** 2)
    return found


def _spectrum(x: Float[np.ndarray, "N D"]) -> Float[np.ndarray, " D"]:
    """Eigenvalues of the covariance of the rows, largest first."""
    x = np.asarray(x, np.float64)
    return np.linalg.svd(x - x.mean(0), compute_uv=False) ** 2 / len(x)


def _of_noise(model: LatentModel, found: dict[str, np.ndarray]) -> dict[str, float]:
    """Noise of a Gaussian likelihood against its errors."""
    x, sigma, error = found["x"], found["sigma"], float(found["squared_error"].mean())
    numbers = {
        "least_sigma": float(sigma.min()),
        "greatest_sigma": float(sigma.max()),
        "mean_squared_error": error,
        "implied_sigma": math.sqrt(error),
    }
    if isinstance(model.scale, float | int):
        numbers["fixed_sigma"] = float(model.scale)
        numbers["effective_beta"] = model.scale**2 / max(error, 1e-300)
        numbers["ppca_keeps"] = int((_spectrum(x) > model.scale**2).sum())
    low, pixels = x.var(0) < _LOW_VARIANCE, found["pixels"].mean(0)
    if low.any() and pixels.sum() > 0:
        numbers["low_variance_share"] = float(pixels[low].sum() / pixels.sum())
    return numbers


def diagnose(
    model: LatentModel,
    params: Params,
    key: Key,
    x: RowsLike,
    context: ArrayLike | None = None,
    *,
    train: RowsLike | tuple[ArrayLike, ArrayLike] | None = None,
    bound: Elbo | None = None,
    evidence: Evidence | None = None,
    k: int = 500,
    num_rows: int = 500,
    beta: float = 1.0,
    progress: bool = True,
) -> Diagnosis:
    r"""Say what a fitted model does with its latents and its noise, and what to try next.

    Active units; the divergence by latent and by layer; of flat models the mutual information, the divergence and
    the total correlation of the aggregate posterior and its correlations; of Gaussian likelihoods the least and the
    greatest sigma, the sigma that the errors imply, and which share of the log-likelihood comes from pixels of
    variance below 0.01; the generalisation gap; the amortisation gap (by refining q) and the approximation gap
    (importance sampling from the best q, minus its bound).

    Args:
      x: held-out rows; the first `num_rows` are used.
      train: rows that were trained on, in the same form (of a conditional model the pair `(x, context)`): for the
        generalisation gap.
      bound: the evidence lower bound of each row and its parts, where they are known.
      evidence: `log_evidence_estimate` of the rows, where it is known.
      k: draws of that estimate.
      num_rows: rows that are looked at.
      beta: the weight of the divergence that the model was trained with, for the advice.
    """
    first = lambda tree: jax.tree.map(lambda leaf: leaf[:num_rows], tree)  # noqa: E731
    rows = first(checked(model, x, context))
    key_score, key_train, key_aggregate, key_weights, key_gap = jax.random.split(key, 5)
    elbo: Elbo = bounds(model, params, key_score, rows) if bound is None else first(bound)
    if evidence is None:
        evidence = log_evidence_estimate(model, params, key_weights, rows, k=k, progress=progress)
    log_evidence, ess = first((evidence.log_evidence, evidence.ess))
    kl = np.reshape(elbo.kl, (len(rows.x), -1))
    arrays: dict[str, np.ndarray] = {"kl_per_layer": kl.mean(0)} if kl.shape[1] > 1 else {}
    numbers: dict[str, Any] = {}
    errors: dict[str, float] = {}

    def put(name: str, values: Any) -> None:
        numbers[name], errors[name] = mean_and_error(values)

    for name, values in (("elbo", elbo.value), ("log_likelihood", elbo.log_likelihood), ("kl", kl.sum(1))):
        put(name, values)
    active = active_units(model, params, rows)
    numbers["latents"] = sum(int(np.size(leaf)) for leaf in jax.tree.leaves(active.variance))
    numbers["active_units"] = int(sum(jax.tree.leaves(active.count)))
    numbers |= {"beta": beta, "grey_bernoulli": is_grey(model, rows, None)}
    noise = over_rows(_noise, (model, params), (jax.random.split(key_score, len(rows.x)), *rows))
    if "kl_per_dimension" in noise:
        arrays["kl_per_dimension"] = noise["kl_per_dimension"].mean(0)
    if "sigma" in noise:
        numbers |= _of_noise(model, noise)
        errors["mean_squared_error"] = mean_and_error(noise["squared_error"])[1]
    if train is not None:
        x, context = train if isinstance(train, tuple) and not isinstance(train, Rows) else (train, None)
        seen = first(checked(model, x, context, "train"))
        mean, error = mean_and_error(bounds(model, params, key_train, seen).value)
        numbers["generalisation_gap"] = mean - numbers["elbo"]
        errors["generalisation_gap"] = math.hypot(error, errors["elbo"])
    q = posterior_form(model, params, rows)
    if isinstance(q, Distribution) and not model.context_dim and q.has_density:
        whole = aggregate_posterior(model, params, key_aggregate, rows)
        numbers |= {"mutual_information": whole.mutual_information, "aggregate_kl": whole.kl_to_prior}
        names = ("mutual_information", "aggregate_kl", "total_correlation")
        errors |= dict(zip(names, whole.standard_errors, strict=True))
        arrays["correlations"] = whole.correlations
        if math.isfinite(whole.total_correlation):
            numbers["total_correlation"] = whole.total_correlation
    put("log_evidence", log_evidence)
    if not model.has_evidence:
        numbers["relative_ess"] = float(np.median(ess) / k)
    if isinstance(q, Normal | TrilNormal):
        refined = refine(model, params, key_gap, rows, progress=progress)
        put("amortisation_gap", refined.best - refined.encoder)
        put("approximation_gap", refined.importance - refined.best)
    extra = {"k": k, "generalisation_gap_error": np.nan_to_num(errors.get("generalisation_gap", 0.0))}
    return Diagnosis(numbers, arrays, advise(numbers | extra), f"{len(rows.x)} rows, {evidence.protocol}", errors)


def _collapsed(n: Numbers) -> str | None:
    active, latents = n["active_units"], n["latents"]
    if active >= 0.75 * latents or latents < 2:
        return None
    sentence = f"{active} of {latents} units are active"
    sigma, kept = n.get("fixed_sigma"), n.get("ppca_keeps")
    if sigma is not None and kept is not None and kept < latents:
        return f"{sentence}; sigma is fixed at {sigma:.3g}, where pPCA keeps at most {kept}: try a learned shared sigma"
    if n.get("beta", 1.0) > 1.0:
        return f"{sentence} with beta = {n['beta']:.3g}: a smaller beta keeps more of them"
    return f"{sentence}: try a warm-up of beta or free bits, or fewer latents"


def _wrong_noise(n: Numbers) -> str | None:
    sigma, error = n.get("fixed_sigma"), n.get("mean_squared_error")
    if sigma is None or error is None or error <= 0 or 0.5 < sigma**2 / error < 2.0:
        return None
    return (
        f"sigma^2 is fixed at {sigma**2:.3g}, but the mean squared error is {error:.3g}: this trains a beta-VAE with "
        f"beta = {sigma**2 / error:.3g}, and its log-likelihood is not the best it could be: learn sigma"
    )


def _tiny_noise(n: Numbers) -> str | None:
    least, share = n.get("least_sigma"), n.get("low_variance_share")
    if least is None or least > 2e-3:
        return None
    sentence = f"sigma goes down to {least:.2g}"
    if share is not None:
        sentence += f", and pixels of variance below 0.01 give {share:.0%} of the log-likelihood"
    return f"{sentence}: dequantize the data or give sigma a larger floor before comparing log-likelihoods"


def _overfitted(n: Numbers) -> str | None:
    gap, error = n.get("generalisation_gap"), n.get("generalisation_gap_error", 0.0)
    if gap is None or gap < max(1.0, 4.0 * error, 0.05 * abs(n["elbo"])):
        return None
    return (
        f"the bound on the train rows is {gap:.1f} nats above the held-out one: stop earlier, or use a smaller network"
    )


def _amortised(n: Numbers) -> str | None:
    gap, other = n.get("amortisation_gap"), n.get("approximation_gap", 0.0)
    if gap is None or gap < 1.0 or gap < other:
        return None
    return f"the encoder loses {gap:.1f} nats to the best q of its family: train longer, or a larger encoder"


def _approximated(n: Numbers) -> str | None:
    gap, other = n.get("approximation_gap"), n.get("amortisation_gap", 0.0)
    if gap is None or gap < 1.0 or gap < other:
        return None
    return f"the best q of this family loses {gap:.1f} nats: try a full covariance or a flow (heads.IAF)"


def _holes(n: Numbers) -> str | None:
    divergence = n.get("aggregate_kl")
    if divergence is None or divergence < max(1.0, 0.1 * n["kl"]):
        return None
    return (
        f"the aggregate posterior is {divergence:.1f} nats from the prior: samples start where the decoder was not "
        "trained; try priors.mixture, priors.vamp or zoo.two_stage"
    )


def _weak_bound(n: Numbers) -> str | None:
    share = n.get("relative_ess")
    if share is None or share * n.get("k", 500) > 10:
        return None
    return (
        f"the effective sample size of the importance bound is {share:.1%} of its draws: the bound is loose; raise k, "
        "or compare with evaluate.ais"
    )


def _not_a_likelihood(n: Numbers) -> str | None:
    if not n.get("grey_bernoulli", False):
        return None
    return "a Bernoulli score of grey values is not a likelihood: use transforms.binarize or heads.continuous_bernoulli"


RULES: tuple[Callable[[Numbers], str | None], ...] = (
    _not_a_likelihood,
    _collapsed,
    _wrong_noise,
    _tiny_noise,
    _overfitted,
    _amortised,
    _approximated,
    _holes,
    _weak_bound,
)


def advise(numbers: Numbers) -> list[str]:
    """Sentences that the numbers of a diagnosis call for, in the order of importance; empty where nothing is wrong.

    >>> advise({"active_units": 6, "latents": 20, "fixed_sigma": 1.0, "ppca_keeps": 12, "kl": 3.0, "elbo": -1.0})
    ['6 of 20 units are active; sigma is fixed at 1, where pPCA keeps at most 12: try a learned shared sigma']
    """
    return [sentence for rule in RULES if (sentence := rule(numbers)) is not None]
