"""Plain advice from the numbers of a diagnosis: a table of rules, one sentence each."""

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["RULES", "advise"]

Numbers = Mapping[str, Any]


def _collapsed(n: Numbers) -> str | None:
    active, latents = n["active_units"], n["latents"]
    if active >= 0.75 * latents or latents < 2:
        return None
    told = f"{active} of {latents} units are active"
    sigma, kept = n.get("fixed_sigma"), n.get("ppca_keeps")
    if sigma is not None and kept is not None and kept < latents:
        return f"{told}; sigma is fixed at {sigma:.3g}, where pPCA keeps at most {kept}: try a learned shared sigma"
    if n.get("beta", 1.0) > 1.0:
        return f"{told} with beta = {n['beta']:.3g}: a smaller beta keeps more of them"
    return f"{told}: try a warm-up of beta or free bits, or fewer latents"


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
    told = f"sigma goes down to {least:.2g}"
    if share is not None:
        told += f", and pixels of variance below 0.01 give {share:.0%} of the log-likelihood"
    return f"{told}: dequantize the data or give sigma a larger floor before comparing log-likelihoods"


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
    if share is None or share > 0.02:
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
    """What the numbers of a diagnosis suggest, in the order of importance; empty where nothing is wrong.

    >>> advise({"active_units": 6, "latents": 20, "fixed_sigma": 1.0, "ppca_keeps": 12, "kl": 3.0, "elbo": -1.0})
    ['6 of 20 units are active; sigma is fixed at 1, where pPCA keeps at most 12: try a learned shared sigma']
    """
    return [sentence for rule in RULES if (sentence := rule(numbers)) is not None]
