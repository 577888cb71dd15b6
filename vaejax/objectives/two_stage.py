"""Both stages of a two-stage model at once, each by an objective of its own."""

import jax
import jax.numpy as jnp

from vaejax.distributions import bind
from vaejax.models import infer
from vaejax.objectives.bounds import elbo
from vaejax.objectives.objective import Objective, over_batch
from vaejax.recipes import static
from vaejax.types import Array, Context, Key

__all__ = ["two_stage"]


@static
class _TwoStage(Objective):
    first: Objective
    second: Objective

    def __post_init__(self):
        for name, objective in (("first", self.first), ("second", self.second)):
            if not isinstance(objective, Objective):
                raise TypeError(f"{name}: expected an objective of vaejax.objectives, got {type(objective).__name__}")
            if objective.calibration is not None:
                raise ValueError(f"{name}: expected an objective without a closed form, got {objective}")

    @property
    def accepts(self) -> tuple[str, ...]:
        return tuple(name for name in self.first.accepts or () if name in (self.second.accepts or ()))

    @property
    def warms_up(self) -> bool:
        return self.first.warms_up

    def settled(self, step: Array | int) -> Array | bool:
        return jnp.logical_and(self.first.settled(step), self.second.settled(step))

    def of_run(self, num_steps: int) -> Objective:
        return _TwoStage(self.first.of_run(num_steps), self.second.of_run(num_steps))

    @property
    def evaluation(self) -> Objective:
        return _TwoStage(self.first.evaluation, self.second.evaluation)

    def of_batch(self, model, params, key, x, context, step, hparams):
        if len(model.stages) != 2:
            raise TypeError(f"two_stage: expected a TwoStage model, got {type(model).__name__}")
        (first, second), (above, below) = model.stages, model.stage_contexts(context)
        key_first, key_codes, key_second = jax.random.split(key, 3)

        def code(key: Key, x: Array, context: Context) -> Array:
            _, _, p, q = infer(first, params["first"], x, context)
            return bind(q, p).sample(key)

        codes = jax.lax.stop_gradient(over_batch(code, key_codes, x, above))
        value, info = self.first(first, params["first"], key_first, x, above, step, hparams)
        other, terms = self.second(second, params["second"], key_second, codes, below, step, hparams)
        named = {f"first_{k}": v for k, v in info.items()} | {f"second_{k}": v for k, v in terms.items()}
        # E log p(x|z) - log q(z|x), and a bound on E log p(z): together the bound of the joint model.
        joint = info["log_likelihood"] + info["entropy"] + terms["elbo"]
        return value + other, {"elbo": joint} | named


def two_stage(first: Objective | None = None, second: Objective | None = None) -> Objective:
    r"""Train both stages of a `TwoStage` in one run: the first as if alone, the second on the first's codes.

    $$E_{q_1}\log p_1(x|z) - KL[q_1(z|x)\,\|\,p_1(z)] \;+\;
    E_{q_2}\log p_2(\bar z|u) - KL[q_2(u|\bar z)\,\|\,p_2(u)], \qquad \bar z \sim q_1(z|x)$$

    with no gradient through $\bar z$. `info` holds the infos of both objectives, under the names `first_...` and
    `second_...`, and `elbo`, an estimate of the bound of the joint model: $E\log p_1(x|z) + H[q_1]$ plus the
    ELBO of the second stage. The value is the sum of the two objectives and a bound of nothing. hparams: those
    that both accept, given to both.

    Args:
      first: objective of the first stage (default: `elbo()`).
      second: objective of the second stage (default: `elbo()`).

    Reference: Dai and Wipf, 2019, section 4, whose stages are trained one after the other.
    """
    return _TwoStage(first or elbo(), second or elbo())
