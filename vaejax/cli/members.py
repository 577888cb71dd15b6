"""The models that the command line knows, and how its options become one."""

import dataclasses
import inspect
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
_OWN = ("latent_dim", "latent_dims", "depth", "flow_hidden", "scales", "groups", "width", "channels", "components")
_AS_THEY_ARE = (*_OWN, "covariance", "hidden", "posterior")
_OF_EM = ("restarts", "components", "covariance")
_OF_GRADIENTS = (
    "conditional",
    "beta",
    "patience",
    "learning_rate",
    "batch_size",
    "likelihood",
    "scale",
    "warm_up",
    "free_bits",
)
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


def build(options: Any, shape: tuple[int, ...], labels: int, levels: int, steps_per_epoch: int) -> Any:
    """The model that `options` (a `Fit`) describe.

    Args:
      options: of the command.
      shape: of a datum.
      labels: number of labels in the data; 0 for none.
      levels: number of grey values of its pixels.
      steps_per_epoch: for a warm-up that is told in epochs.

    Raises:
      ValueError: for options that the model does not have.
    """
    takes = inspect.signature(MEMBERS[options.model]).parameters
    given: dict[str, Any] = {name: getattr(options, name) for name in _AS_THEY_ARE}
    if options.model == "nvae" and options.channels is not None:
        (given["channels"],) = options.channels if len(options.channels) == 1 else (_one_number(options.channels),)
    if options.likelihood is not None or options.scale is not None:
        given["likelihood"] = _likelihood(options.likelihood, options.scale, levels)
    given = {name: value for name, value in given.items() if value is not None}
    _refuse_of_others(options)
    if by_em(options.model):
        data: Any = math.prod(shape)
    else:
        data = shape
        if "latent_dim" in takes:
            given = {"latent_dim": min(8, math.prod(shape))} | given
        elif "latent_dims" in takes:
            given = {"latent_dims": (4, 8, 16)} | given
        if options.conditional or options.model == "conditional-vae":
            if not labels:
                raise ValueError("--conditional: the data have no labels (of a .csv name their column with --labels)")
            given["context_dim"] = labels
        given |= _objective(options, given.get("likelihood"), steps_per_epoch)
    for name in given:
        if name in _OWN and name not in takes:
            raise ValueError(f"{options.model} has no option --{name.replace('_', '-')}")
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


def _one_number(channels: tuple[int, ...]) -> int:
    raise ValueError(f"--channels: nvae expects one number, that of its smallest cells, got {channels}")


def _objective(options: Any, likelihood: Any, steps_per_epoch: int) -> dict[str, Any]:
    """What is maximised, where the options say other than the model does."""
    if options.model in ("two-stage", "autoencoder"):
        for name in ("beta", "warm_up", "free_bits"):
            if getattr(options, name) is not None:
                raise ValueError(f"{options.model} has no option --{name.replace('_', '-')}")
        return {}
    optimal = options.scale == "optimal" or (options.model == "sigma-vae" and likelihood is None)
    beta = options.beta if options.beta is not None else 4.0 if options.model == "beta-vae" else None
    if beta is not None and not (0 <= beta < math.inf):
        raise ValueError(f"--beta: expected a number of at least 0, got {beta}")
    objective = vj.objectives.optimal_sigma() if optimal else vj.objectives.elbo()
    plain = objective
    if beta is not None:
        objective = vj.objectives.beta(beta, objective)
    if options.free_bits is not None:
        deep = "latent_dim" not in inspect.signature(MEMBERS[options.model]).parameters
        objective = vj.objectives.free_bits(options.free_bits, objective, per="layer" if deep else "dimension")
    if options.warm_up is not None:
        objective = vj.objectives.warm_up(options.warm_up * steps_per_epoch, objective)
    return {} if objective is plain and not optimal else {"objective": objective}
