"""Variations of an objective: the weight of the divergence, its warm-up, free bits."""

from typing import Any, Literal

import jax.numpy as jnp

from vaejax.checks import require_choice, require_integer, require_number
from vaejax.models import LatentModel
from vaejax.objectives.bounds import elbo
from vaejax.objectives.objective import Calibration, HParams, Objective
from vaejax.objectives.sigma import optimal_sigma
from vaejax.objectives.two_stage import two_stage
from vaejax.recipes import arguments, field, static
from vaejax.types import Array

__all__ = ["beta", "for_model", "free_bits", "free_share", "kl_balance", "warm_up"]


_OUTSIDE = "{:g} is a share of a run, whose steps vaejax.fit knows; outside of one say objective.of_run(num_steps)"


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
    def warms_up(self) -> bool:
        return self.inner.warms_up

    def settled(self, step: Array | int) -> Array | bool:
        return self.inner.settled(step)

    @property
    def splits(self) -> bool:
        return self.name == "beta" and self.inner.splits

    @property
    def cold(self) -> Objective:
        return self._with(inner=self.inner.cold)

    def of_run(self, num_steps: int) -> Objective:
        return self._with(inner=self.inner.of_run(num_steps))

    @property
    def evaluation(self) -> Objective:
        return self._with(inner=self.inner.evaluation)

    def _with(self, **changed: Any) -> Objective:
        return type(self)(**(arguments(self) | changed))

    def of_batch(self, model, params, key, x, context, step, hparams):
        changed = hparams | {self.name: self.change(step, hparams)}
        return self.inner(model, params, key, x, context, step, changed)

    def gradient(self, model, params, key, x, context, step, hparams, *, parts=1):
        changed = hparams | {self.name: self.change(step, hparams)}
        return self.inner.gradient(model, params, key, x, context, step, changed, parts=parts)


class _Timed(_Around):
    """A change at the beginning of training: of a number of steps, or of a share of the run's."""

    num_steps: int | float
    inner: Objective

    @property
    def evaluation(self) -> Objective:
        return self.inner.evaluation

    def of_run(self, num_steps: int) -> Objective:
        mine = max(1, round(self.num_steps * num_steps)) if isinstance(self.num_steps, float) else self.num_steps
        return self._with(num_steps=mine, inner=self.inner.of_run(num_steps))

    def settled(self, step: Array | int) -> Array | bool:
        return (self.passed(step) >= 1.0) & self.inner.settled(step)

    def passed(self, step: Array | int) -> Array:
        """The share of the steps that is behind."""
        if isinstance(self.num_steps, float):
            raise ValueError(f"num_steps: {_OUTSIDE.format(self.num_steps)}")
        return jnp.minimum(1.0, step / self.num_steps)


def _as_steps(value: Any) -> int | float:
    """A number of steps, or a share of a run."""
    if isinstance(value, float):
        return require_number("num_steps", value, above=0.0, below=1.0)
    return require_integer("num_steps", value)


@static
class _Beta(_Around):
    weight: float
    inner: Objective

    def change(self, step: Array | int, hparams: HParams) -> Array | float:
        return self.weight * hparams.get("beta", 1.0)


@static
class _WarmUp(_Timed):
    num_steps: int | float = field(converter=_as_steps)
    inner: Objective

    @property
    def warms_up(self) -> bool:
        return True

    @property
    def cold(self) -> Objective:
        return self.inner.cold

    def change(self, step: Array | int, hparams: HParams) -> Array | float:
        return self.passed(step) * hparams.get("beta", 1.0)


@static
class _KLBalance(_Timed):
    num_steps: int | float = field(converter=_as_steps)
    inner: Objective
    name = "balance"

    def change(self, step: Array | int, hparams: HParams) -> Array | float:
        return jnp.where(self.passed(step) < 1.0, 1.0, 0.0)


@static
class _FreeBits(_Around):
    nats: float  # or a share of the whole
    name: str = field()
    inner: Objective
    fade: float | None = None
    num_steps: int | None = None

    @property
    def evaluation(self) -> Objective:
        return super().evaluation if self.fade is None else self.inner.evaluation

    def of_run(self, num_steps: int) -> Objective:
        inner = self.inner.of_run(num_steps)
        return self._with(inner=inner) if self.fade is None else self._with(inner=inner, num_steps=num_steps)

    def change(self, step: Array | int, hparams: HParams) -> Array | float:
        amount = hparams.get(self.name, self.nats)
        if self.fade is None:
            return amount
        if self.num_steps is None:
            raise ValueError(f"fade: {_OUTSIDE.format(self.fade)}")
        return amount * jnp.clip((1.0 - step / self.num_steps) / (1.0 - self.fade), 0.0, 1.0)


def beta(weight: float, objective: Objective | None = None) -> Objective:
    r"""Weight the divergence by $\beta$ (times the hparam `beta`, where there is one).

    Args:
      weight: $\beta$.
      objective: the one to change (default: `elbo()`).

    Reference: Higgins et al., 2017. With a Gaussian likelihood of fixed $\sigma$ it is the ELBO of the model
    with noise $\beta\sigma^2$.
    """
    return _Beta(require_number("weight", weight, least=0.0), objective or elbo())


def warm_up(num_steps: int | float, objective: Objective | None = None) -> Objective:
    r"""Raise the weight of the divergence linearly, by the factor $\beta_t = \min(1, t/N)$.

    Args:
      num_steps: N, steps until the full weight; a float below 1 is a share of the run's steps.
      objective: the one to change (default: `elbo()`). Held-out data have the full weight.

    Reference: Sønderby et al., 2016, section 3.2.
    """
    return _WarmUp(num_steps, objective or elbo())


def kl_balance(num_steps: int | float, objective: Objective | None = None) -> Objective:
    r"""Balance the layers of a hierarchy at the beginning, so that none is lost before it is of use.

    For the first N steps the divergence of layer l, of size $s_l$, has the weight

    $$\gamma_l = \frac{KL_l/s_l}{\frac1L\sum_i KL_i/s_i},$$

    without a gradient: what holds little a latent variable costs little. Then all weights are one.

    Args:
      num_steps: N, or a share as in `warm_up`, with which it belongs: `kl_balance(0.3, warm_up(0.3))`.
      objective: the one to change (default: `elbo()`), on averages over the batch.

    Reference: Vahdat and Kautz, 2020, appendix A, in the form of their code, where $s_l$ divides.
    """
    return _KLBalance(num_steps, objective or elbo())


def free_bits(
    nats: float,
    objective: Objective | None = None,
    *,
    per: Literal["dimension", "layer"] = "dimension",
    fade: float | None = None,
) -> Objective:
    r"""Count each part of the divergence as at least `nats`, $\sum_j\max(\lambda, E_{\text{batch}}KL_j)$.

    Args:
      nats: $\lambda$.
      objective: the one to change (default: `elbo()`).
      per: `"dimension"`, for a diagonal Gaussian posterior and prior, or `"layer"`.
      fade: share of the run from which on $\lambda$ falls linearly, to zero at its end: the layers are in use by then,
        and the last steps are those of the bound itself, which held-out data have all the time. `None` keeps it.

    Reference: Kingma et al., 2016, section 2.5 and appendix C.8.
    """
    name = "free_bits" if require_choice("per", per, ("dimension", "layer")) == "dimension" else "free_bits_per_layer"
    if fade is not None:
        fade = require_number("fade", fade, least=0.0, below=1.0)
    return _FreeBits(require_number("nats", nats, least=0.0), name, objective or elbo(), fade)


def free_share(share: float, objective: Objective | None = None, *, fade: float | None = None) -> Objective:
    r"""Count each layer's divergence as at least a share of the whole, $\sum_l\max(KL_l, s\sum_i KL_i)$.

    The free bits of a hierarchy whose data say how many nats there are: the bound of the maximum follows the averages
    over the batch and has no gradient.

    Args:
      share: s, below one over the number of layers.
      objective: the one to change (default: `elbo()`).
      fade: as in `free_bits`.
    """
    if fade is not None:
        fade = require_number("fade", fade, least=0.0, below=1.0)
    return _FreeBits(require_number("share", share, least=0.0, below=1.0), "free_share", objective or elbo(), fade)


def for_model(model: LatentModel) -> Objective:
    """Default of `fit`: the model's objective, else a bound that can train the model."""
    if model.objective is not None:
        return model.objective  # type: ignore[return-value]
    if model.stages:
        return two_stage()
    return optimal_sigma() if model.scale == "optimal" else elbo()
