"""Variations of an objective: the weight of the divergence, its warm-up, free bits."""

import dataclasses

import jax.numpy as jnp

from vaejax.models import LatentModel, TwoStage
from vaejax.objectives.bounds import elbo
from vaejax.objectives.objective import Objective, require_count
from vaejax.objectives.sigma import has_optimal_scale, optimal_sigma
from vaejax.objectives.two_stage import two_stage
from vaejax.recipes import static

__all__ = ["beta", "for_model", "free_bits", "warm_up"]


class _Around(Objective):
    """An objective that changes the hparams of another one."""

    inner: Objective

    @property
    def accepts(self):
        return self.inner.accepts

    @property
    def calibration(self):
        return self.inner.calibration

    @property
    def evaluation(self):
        return dataclasses.replace(self, inner=self.inner.evaluation)  # type: ignore[type-var]

    def _require(self, name: str) -> None:
        if not isinstance(self.inner, Objective):
            raise TypeError(f"expected an objective of vaejax.objectives, got {type(self.inner).__name__}")
        if name not in self.inner.accepts:
            raise ValueError(f"{type(self.inner).__name__.strip('_')} has no {name} to change")


@static
class _Beta(_Around):
    weight: float
    inner: Objective

    def __post_init__(self):
        self._require("beta")

    def __call__(self, model, params, key, x, context, step, hparams):
        weight = self.weight * hparams.get("beta", 1.0)
        return self.inner(model, params, key, x, context, step, hparams | {"beta": weight})


@static
class _WarmUp(_Around):
    num_steps: int
    inner: Objective

    def __post_init__(self):
        self._require("beta")

    @property
    def evaluation(self):
        return self.inner.evaluation

    def __call__(self, model, params, key, x, context, step, hparams):
        weight = jnp.minimum(1.0, step / self.num_steps) * hparams.get("beta", 1.0)
        return self.inner(model, params, key, x, context, step, hparams | {"beta": weight})


@static
class _FreeBits(_Around):
    nats: float
    name: str
    inner: Objective

    def __post_init__(self):
        self._require(self.name)

    def __call__(self, model, params, key, x, context, step, hparams):
        nats = hparams.get(self.name, self.nats)
        return self.inner(model, params, key, x, context, step, hparams | {self.name: nats})


def beta(weight: float, objective: Objective | None = None) -> Objective:
    r"""Weight the divergence by $\beta$ (times the hparam `beta`, where there is one).

    Args:
      weight: $\beta$.
      objective: what to change; `elbo()` unless told otherwise.

    Reference: Higgins et al., 2017. With a Gaussian likelihood of fixed $\sigma$ it is the ELBO of the model
    with noise $\beta\sigma^2$.
    """
    if not weight >= 0:
        raise ValueError(f"weight: expected a non-negative number, got {weight!r}")
    return _Beta(weight, objective or elbo())


def warm_up(num_steps: int, objective: Objective | None = None) -> Objective:
    r"""Raise the weight of the divergence linearly, $\beta_t = \min(1, t/N)$ times what it is.

    Args:
      num_steps: N, steps until the full weight.
      objective: what to change; `elbo()` unless told otherwise. Held-out data have the full weight.

    Reference: Sønderby et al., 2016, section 3.2.
    """
    require_count("num_steps", num_steps)
    return _WarmUp(num_steps, objective or elbo())


def free_bits(nats: float, objective: Objective | None = None, *, per: str = "dimension") -> Objective:
    r"""Count each part of the divergence as at least `nats`, $\sum_j\max(\lambda, E_{\text{batch}}KL_j)$.

    Args:
      nats: $\lambda$.
      objective: what to change; `elbo()` unless told otherwise.
      per: `"dimension"`, for a diagonal Gaussian posterior and prior, or `"layer"`.

    Reference: Kingma et al., 2016, section 2.5 and appendix C.8.
    """
    if per not in ("dimension", "layer"):
        raise ValueError(f"per: expected dimension or layer, got {per!r}")
    if not nats >= 0:
        raise ValueError(f"nats: expected a non-negative number, got {nats!r}")
    return _FreeBits(nats, "free_bits" if per == "dimension" else "free_bits_per_layer", objective or elbo())


def for_model(model: LatentModel) -> Objective:
    """What `fit` maximises unless told otherwise: the model's own objective, or the ELBO."""
    if model.objective is not None:
        return model.objective
    if isinstance(model, TwoStage):
        return two_stage()
    return optimal_sigma() if has_optimal_scale(model) else elbo()
