"""Variations of an objective: the weight of the divergence, its warm-up, free bits."""

from typing import Literal

import jax.numpy as jnp

from vaejax.checks import require_choice, require_integer, require_number
from vaejax.models import LatentModel
from vaejax.objectives.bounds import elbo
from vaejax.objectives.objective import Calibration, HParams, Objective
from vaejax.objectives.sigma import optimal_sigma
from vaejax.objectives.two_stage import two_stage
from vaejax.recipes import arguments, field, static
from vaejax.types import Array

__all__ = ["beta", "for_model", "free_bits", "warm_up"]


class _Around(Objective):
    """An objective that changes the hparams of another one."""

    inner: Objective
    name: str = "beta"

    def __post_init__(self):
        if not isinstance(self.inner, Objective):
            raise TypeError(f"expected an objective of vaejax.objectives, got {type(self.inner).__name__}")
        if self.name not in (self.inner.accepts or ()):
            raise ValueError(f"{type(self.inner).__name__.strip('_')} has no {self.name} to change")

    def change(self, step: Array | int, hparams: HParams) -> Array | float:
        """The hparam that the inner objective is given."""
        raise NotImplementedError

    @property
    def accepts(self) -> tuple[str, ...] | None:
        return self.inner.accepts

    @property
    def calibration(self) -> Calibration | None:
        return self.inner.calibration

    @property
    def evaluation(self) -> Objective:
        return type(self)(**(arguments(self) | {"inner": self.inner.evaluation}))

    def of_batch(self, model, params, key, x, context, step, hparams):
        changed = hparams | {self.name: self.change(step, hparams)}
        return self.inner(model, params, key, x, context, step, changed)


@static
class _Beta(_Around):
    weight: float
    inner: Objective

    def change(self, step: Array | int, hparams: HParams) -> Array | float:
        return self.weight * hparams.get("beta", 1.0)


@static
class _WarmUp(_Around):
    num_steps: int
    inner: Objective

    @property
    def evaluation(self) -> Objective:
        return self.inner.evaluation

    def change(self, step: Array | int, hparams: HParams) -> Array | float:
        return jnp.minimum(1.0, step / self.num_steps) * hparams.get("beta", 1.0)


@static
class _FreeBits(_Around):
    nats: float
    name: str = field()
    inner: Objective

    def change(self, step: Array | int, hparams: HParams) -> Array | float:
        return hparams.get(self.name, self.nats)


def beta(weight: float, objective: Objective | None = None) -> Objective:
    r"""Weight the divergence by $\beta$ (times the hparam `beta`, where there is one).

    Args:
      weight: $\beta$.
      objective: the one to change (default: `elbo()`).

    Reference: Higgins et al., 2017. With a Gaussian likelihood of fixed $\sigma$ it is the ELBO of the model
    with noise $\beta\sigma^2$.
    """
    return _Beta(require_number("weight", weight, least=0.0), objective or elbo())


def warm_up(num_steps: int, objective: Objective | None = None) -> Objective:
    r"""Raise the weight of the divergence linearly, by the factor $\beta_t = \min(1, t/N)$.

    Args:
      num_steps: N, steps until the full weight.
      objective: the one to change (default: `elbo()`). Held-out data have the full weight.

    Reference: Sønderby et al., 2016, section 3.2.
    """
    return _WarmUp(require_integer("num_steps", num_steps), objective or elbo())


def free_bits(
    nats: float, objective: Objective | None = None, *, per: Literal["dimension", "layer"] = "dimension"
) -> Objective:
    r"""Count each part of the divergence as at least `nats`, $\sum_j\max(\lambda, E_{\text{batch}}KL_j)$.

    Args:
      nats: $\lambda$.
      objective: the one to change (default: `elbo()`).
      per: `"dimension"`, for a diagonal Gaussian posterior and prior, or `"layer"`.

    Reference: Kingma et al., 2016, section 2.5 and appendix C.8.
    """
    name = "free_bits" if require_choice("per", per, ("dimension", "layer")) == "dimension" else "free_bits_per_layer"
    return _FreeBits(require_number("nats", nats, least=0.0), name, objective or elbo())


def for_model(model: LatentModel) -> Objective:
    """Default of `fit`: the model's objective, else a bound that can train the model."""
    if model.objective is not None:
        return model.objective  # type: ignore[return-value]
    if model.stages:
        return two_stage()
    return optimal_sigma() if model.scale == "optimal" else elbo()
