"""The use that a fitted model makes of its latents and its noise, and what to try next."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
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

__all__ = ["Diagnosis", "advise", "diagnose"]

_LOW_VARIANCE = 1e-2


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
        centred = np.asarray(x, np.float64) - x.mean(0, dtype=np.float64)
        variances = np.linalg.svd(centred, compute_uv=False) ** 2 / len(x)  # of the principal components
        numbers["ppca_keeps"] = int((variances > model.scale**2).sum())
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
    rise: float = math.nan,
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
      rise: nats that the objective gained in the last tenth of the training, for the advice; nan where nobody knows.
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
    extra = {"k": k, "rise": rise, "generalisation_gap_error": errors.get("generalisation_gap", math.nan)}
    return Diagnosis(numbers, arrays, advise(numbers | extra), f"{len(rows.x)} rows, {evidence.protocol}", errors)


def advise(numbers: Mapping[str, Any]) -> list[str]:
    """Sentences that the numbers of a diagnosis call for, in the order of importance; empty where nothing is wrong.

    >>> advise({"active_units": 6, "latents": 20, "fixed_sigma": 1.0, "ppca_keeps": 12, "kl": 3.0, "elbo": -1.0})
    ['6 of 20 units are active; sigma is fixed at 1, where pPCA keeps at most 12: try a learned shared sigma']
    """
    return list(_advice(defaultdict(lambda: math.nan, {"k": 500, **numbers})))


def _advice(n: Mapping[str, Any]) -> Iterator[str]:
    """The rules; a number that a model does not have is nan, and no comparison with nan is true."""
    if n["grey_bernoulli"] == 1:
        remedy = "use transforms.binarize or heads.continuous_bernoulli"
        yield f"a Bernoulli score of grey values is not a likelihood: {remedy}"
    if n["rise"] >= max(0.5, 0.005 * abs(n["elbo"])):
        rise = f"by {n['rise']:.2g} nats in the last tenth of the training"
        yield f"the objective was still rising, {rise}: train longer first"
    if math.isnan(n["fixed_sigma"]) and n["least_sigma"] >= 1.5 * n["implied_sigma"]:
        yield (
            f"sigma stands at {n['least_sigma']:.2g} or more, where the errors imply {n['implied_sigma']:.2g}: latents "
            "count for little until it has arrived: train longer, or set it in closed form (scale='optimal')"
        )
    active, latents, sigma = n["active_units"], n["latents"], n["fixed_sigma"]
    if active < 0.75 * latents and latents >= 2:
        remedy = ": try a warm-up of beta or free bits, or fewer latents"
        if n["ppca_keeps"] < latents:
            keeps = f"where pPCA keeps at most {n['ppca_keeps']}"
            remedy = f"; sigma is fixed at {sigma:.3g}, {keeps}: try a learned shared sigma"
        elif n["beta"] > 1.0:
            remedy = f" with beta = {n['beta']:.3g}: a smaller beta keeps more of them"
        yield f"{active} of {latents} units are active{remedy}"
    error = n["mean_squared_error"]
    ratio = sigma**2 / error if error > 0.0 else math.nan
    if ratio <= 0.5 or ratio >= 2.0:
        yield (
            f"sigma^2 is fixed at {sigma**2:.3g}, but the mean squared error is {error:.3g}: this trains a beta-VAE "
            f"with beta = {ratio:.3g}, and its log-likelihood is not the best it could be: learn sigma"
        )
    if n["least_sigma"] <= 2e-3:
        share = n["low_variance_share"]
        pixels = f", and pixels of variance below 0.01 give {share:.0%} of the log-likelihood"
        remedy = "dequantize the data or give sigma a larger floor before comparing log-likelihoods"
        yield f"sigma goes down to {n['least_sigma']:.2g}{'' if math.isnan(share) else pixels}: {remedy}"
    gap = n["generalisation_gap"]
    if gap >= max(1.0, 4.0 * n["generalisation_gap_error"], 0.05 * abs(n["elbo"])):
        yield (
            f"the bound on the train rows is {gap:.1f} nats above the held-out one: stop earlier, or use a smaller "
            "network"
        )
    gap, other = n["amortisation_gap"], n["approximation_gap"]
    if gap >= 1.0 and not gap < other:
        yield f"the encoder loses {gap:.1f} nats to the best q of its family: train longer, or a larger encoder"
    if other >= 1.0 and not other < gap:
        yield f"the best q of this family loses {other:.1f} nats: try a full covariance or a flow (heads.IAF)"
    if n["aggregate_kl"] >= max(1.0, 0.1 * n["kl"]):
        yield (
            f"the aggregate posterior is {n['aggregate_kl']:.1f} nats from the prior: samples start where the decoder "
            "was not trained; try priors.mixture, priors.vamp or zoo.two_stage"
        )
    if n["relative_ess"] * n["k"] <= 10.0:
        yield (
            f"the effective sample size of the importance bound is {n['relative_ess']:.1%} of its draws: the bound is "
            "loose; raise k, or compare with evaluate.ais"
        )
