"""The models that the command line knows, and how its options become one."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import vaejax as vj

__all__ = ["LIKELIHOODS", "MEMBERS", "build", "by_em", "describe"]

LIKELIHOODS: dict[str, Callable[..., Any]] = {
    "bernoulli": vj.heads.bernoulli,
    "continuous-bernoulli": vj.heads.continuous_bernoulli,
    "normal": vj.heads.normal,
    "low-rank-normal": lambda: vj.heads.low_rank_normal(4),
    "full-normal": vj.heads.full_normal,
    "discretized-logistic": vj.heads.discretized_logistic,
}
_EM: dict[str, Callable[..., Any]] = {
    "gmm": lambda dim, components=10, covariance="full": vj.GMM(components, dim, covariance),
    "ppca": lambda dim, latent_dim=None: vj.PPCA(dim, latent_dim or min(8, max(1, dim - 1))),
    "factor-analysis": lambda dim, latent_dim=None: vj.FactorAnalysis(dim, latent_dim or min(8, max(1, dim - 1))),
    "ppca-mixture": lambda dim, components=10, latent_dim=None: vj.PPCAMixture(
        components, dim, latent_dim or min(8, max(1, dim - 1))
    ),
}
_OF_EM = ("restarts", "components", "covariance")
_OF_GRADIENTS = ("conditional", "beta", "patience", "learning_rate", "batch_size", "likelihood", "scale")
_SAYS = {"gmm": vj.GMM, "ppca": vj.PPCA, "factor-analysis": vj.FactorAnalysis, "ppca-mixture": vj.PPCAMixture}
_ZOO = {name.replace("_", "-"): getattr(vj.zoo, name) for name in vj.zoo.__all__}
MEMBERS: dict[str, Callable[..., Any]] = _EM | _ZOO


def by_em(name: str) -> bool:
    """Whether a member is fitted by EM, not by gradients."""
    return name in _EM


def describe(name: str) -> str:
    """What a member is, in one line."""
    text = ((_SAYS.get(name) or MEMBERS[name]).__doc__ or "").strip().split("\n")[0]
    if by_em(name):  # what follows is the equation
        text = text.split(":")[0] + "."
    return text.replace("$", "").replace("\\", "").replace("`", "")


def _likelihood(name: str | None, scale: str | None, levels: int) -> Any:
    """The head that the options mean; `scale` alone is a normal likelihood."""
    if name not in (None, "normal", "discretized-logistic") and scale is not None:
        raise ValueError(f"--scale is for --likelihood normal or discretized-logistic, not for {name}")
    number: Any = "shared" if scale is None else scale
    try:
        number = float(number)
    except ValueError:
        pass
    if name == "discretized-logistic":
        return vj.heads.discretized_logistic(number, levels=18 if levels == 17 else levels)
    return vj.heads.normal(number) if name in (None, "normal") else LIKELIHOODS[name]()


def build(options: Any, shape: tuple[int, ...], labels: int, levels: int) -> Any:
    """The model that `options` (a `Fit`) describe.

    Args:
      options: of the command.
      shape: of a datum.
      labels: number of labels in the data; 0 for none.
      levels: number of grey values of its pixels.

    Raises:
      ValueError: for options that the model does not have.
    """
    given = {"components": options.components, "covariance": options.covariance, "hidden": options.hidden}
    given |= {"channels": options.channels, "posterior": options.posterior, "latent_dim": options.latent_dim}
    if options.likelihood is not None or options.scale is not None:
        given["likelihood"] = _likelihood(options.likelihood, options.scale, levels)
    if options.model == "beta-vae":
        given["beta"] = options.beta
    given = {name: value for name, value in given.items() if value is not None}
    _refuse_of_others(options)
    if by_em(options.model):
        data: Any = math.prod(shape)
    else:
        data = shape
        given = {"latent_dim": min(8, math.prod(shape))} | given
        if options.conditional or options.model == "conditional-vae":
            if not labels:
                raise ValueError("--conditional: the data have no labels (of a .csv name their column with --labels)")
            given["context_dim"] = labels
        given |= _objective(options, given.get("likelihood"))
    try:
        return MEMBERS[options.model](data, **given)
    except TypeError as problem:
        if "unexpected keyword argument" not in str(problem):
            raise
        unknown = str(problem).split("'")[1].replace("_", "-")
        raise ValueError(f"{options.model} has no option --{unknown}") from None


def _refuse_of_others(options: Any) -> None:
    """Raise for options that the way in which the model is fitted has no use for."""
    em = by_em(options.model)
    for field in dataclasses.fields(options):
        if field.name in (_OF_GRADIENTS if em else _OF_EM) and getattr(options, field.name) != field.default:
            raise ValueError(f"{options.model} has no option --{field.name.replace('_', '-')}")


def _objective(options: Any, likelihood: Any) -> dict[str, Any]:
    """What is maximised, where the options say other than the model does."""
    optimal = options.scale == "optimal" or (options.model == "sigma-vae" and likelihood is None)
    if options.beta is None or options.model == "beta-vae":
        return {"objective": vj.objectives.optimal_sigma()} if options.scale == "optimal" else {}
    if options.beta < 0 or not math.isfinite(options.beta):
        raise ValueError(f"--beta: expected a number of at least 0, got {options.beta}")
    inner = vj.objectives.optimal_sigma() if optimal else vj.objectives.elbo()
    return {"objective": vj.objectives.beta(options.beta, inner)}
