"""The models that the command line knows, and the way from its options to one of them."""

import dataclasses
import inspect
import math
import re
from collections.abc import Callable
from typing import Any

import vaejax as vj
from vaejax.checks import require_number

__all__ = ["LIKELIHOODS", "MEMBERS", "build", "by_em", "describe"]

LIKELIHOODS: dict[str, Callable[..., vj.heads.Head]] = {
    "bernoulli": vj.heads.bernoulli,
    "continuous-bernoulli": vj.heads.continuous_bernoulli,
    "normal": vj.heads.normal,
    "low-rank-normal": lambda: vj.heads.low_rank_normal(4),
    "full-normal": vj.heads.full_normal,
    "discretized-logistic": vj.heads.discretized_logistic,
}
_EM = {"gmm": vj.GMM, "ppca": vj.PPCA, "factor-analysis": vj.FactorAnalysis, "ppca-mixture": vj.PPCAMixture}
MEMBERS: dict[str, Callable[..., vj.LatentModel]] = _EM | {
    name.replace("_", "-"): getattr(vj.zoo, name) for name in vj.zoo.__all__
}
_ARGUMENTS = (  # of constructors, each an option of the same name
    *("latent_dim", "latent_dims", "depth", "flow_hidden", "scales", "groups", "width", "channels", "components"),
    *("covariance", "hidden", "posterior"),
)
_OF_OBJECTIVE = ("beta", "warm_up", "free_bits")
_SET_OBJECTIVE = ("two-stage", "autoencoder")
_OF_GRADIENTS = (
    "conditional",
    "patience",
    "learning_rate",
    "extend",
    "batch_size",
    "likelihood",
    "scale",
    *_OF_OBJECTIVE,
)


def by_em(name: str) -> bool:
    """Whether a member is fitted by EM, not by gradients."""
    return name in _EM


def describe(name: str) -> str:
    """A member in one line."""
    text = (MEMBERS[name].__doc__ or "").strip().split("\n")[0]
    if by_em(name):  # the rest is the equation
        text = text.split(":")[0] + "."
    return re.sub(r"[$\\`]", "", text)


def _refused(model: str, name: str) -> ValueError:
    """The error for an option that a model has no use for."""
    return ValueError(f"{model} has no option --{name.replace('_', '-')}")


def build(options: Any, shape: tuple[int, ...], labels: int, levels: int, steps_per_epoch: int) -> vj.LatentModel:
    """The model that `options` (a `Fit`) describe.

    Args:
      options: of the command.
      shape: of a datum.
      labels: number of labels in the data; 0 for none.
      levels: number of grey values of its pixels.
      steps_per_epoch: for a warm-up that is stated in epochs.

    Raises:
      ValueError: for options that the model does not have.
    """
    name, make = options.model, MEMBERS[options.model]
    refused = _OF_GRADIENTS if by_em(name) else ("restarts",)
    refused += _OF_OBJECTIVE if name in _SET_OBJECTIVE else ()
    for field in dataclasses.fields(options):
        if field.name in refused and getattr(options, field.name) != field.default:
            raise _refused(name, field.name)
    takes, size = inspect.signature(make).parameters, math.prod(shape)
    defaults = {"latent_dim": min(8, max(1, size - by_em(name))), "latent_dims": (4, 8, 16), "num_components": 10}
    given = {argument: value for argument, value in defaults.items() if argument in takes}
    for argument in _ARGUMENTS:
        if getattr(options, argument) is not None:
            given["num_components" if argument == "components" else argument] = getattr(options, argument)
    if name == "nvae" and options.channels is not None:
        if len(options.channels) != 1:
            raise ValueError(f"--channels: expected one number for nvae, of its smallest cells, got {options.channels}")
        (given["channels"],) = options.channels
    if options.likelihood is not None or options.scale is not None:
        given["likelihood"] = _likelihood(options.likelihood, options.scale, levels)
    if options.conditional or name == "conditional-vae":
        if not labels:
            raise ValueError("--conditional: the data have no labels (of a .csv name their column with --labels)")
        given["context_dim"] = labels
    if name == "beta-vae" and options.beta is not None:
        given["beta"] = require_number("--beta", options.beta, least=0)
    try:
        if by_em(name):
            return make(dim=size, **given)
        model = make(shape, **given)
    except TypeError as problem:
        unknown = re.search(r"unexpected keyword argument '(?:num_)?(\w+)'", str(problem))
        if unknown is None:
            raise
        raise _refused(name, unknown[1]) from None
    objective = _objective(options, model, steps_per_epoch)
    return model if objective == model.objective else make(shape, **given, objective=objective)


def _likelihood(name: str | None, scale: str | None, levels: int) -> vj.heads.Head:
    """The head that the options mean; `scale` alone is a normal likelihood."""
    if name not in (None, "normal", "discretized-logistic"):
        if scale is not None:
            raise ValueError(f"--scale is for --likelihood normal or discretized-logistic, not for {name}")
        return LIKELIHOODS[name]()
    number: Any = "shared" if scale is None else scale
    try:
        number = float(number)
    except ValueError:
        pass
    if name == "discretized-logistic":
        return vj.heads.discretized_logistic(number, levels=18 if levels == 17 else levels)
    return vj.heads.normal(number)


def _objective(options: Any, model: vj.LatentModel, steps_per_epoch: int) -> Any:
    """The model's objective with the changes that the options ask for."""
    objective: Any = model.objective
    if options.beta is options.free_bits is options.warm_up is None:
        return objective
    objective = vj.objectives.for_model(model)
    if options.beta is not None and options.model != "beta-vae":
        objective = vj.objectives.beta(require_number("--beta", options.beta, least=0), objective)
    if options.free_bits is not None:
        flat = "latent_dim" in inspect.signature(MEMBERS[options.model]).parameters
        objective = vj.objectives.free_bits(options.free_bits, objective, per="dimension" if flat else "layer")
    if options.warm_up is not None:
        cold = objective.cold
        objective = vj.objectives.warm_up(options.warm_up * steps_per_epoch, cold) if options.warm_up else cold
    return objective
