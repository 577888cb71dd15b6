"""Steps of a `Flowed` distribution, each of one vector."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vaejax.kernels import affine_step, iaf_inverse, iaf_step, planar_step
from vaejax.recipes import pytree
from vaejax.types import Array, Scalar

__all__ = ["Autoregressive", "Coupling", "Inverted", "PlanarStep", "Reverse", "Step"]

_FAR = 1e12
_GATE = 1.5  # sigmoid of it is 0.82
_LARGEST = 3.0  # log-scale: a step spreads or shrinks by a factor of 20 at most

Vector: TypeAlias = Float[Array, " d"]
Conditioner: TypeAlias = Callable[[Vector], Float[Array, "2 d"]]


class Step(abc.ABC):
    """One step of a flow, a pytree.

    Attributes:
      invertible: whether `inverse` is there.
    """

    invertible: ClassVar[bool] = True

    @abc.abstractmethod
    def __call__(self, z: Vector) -> tuple[Vector, Scalar]:
        """The next point, and the log-determinant."""

    def inverse(self, y: Vector) -> tuple[Vector, Scalar]:
        """The point before, and the log-determinant of the inverse."""
        raise TypeError("a Flowed distribution knows its density along its draws only: use sample_and_log_prob")


def _bounded(raw: Vector) -> Vector:
    return _LARGEST * jnp.tanh(raw / _LARGEST)


def _affine_inverse(y: Vector, shift: Vector, log_scale: Vector) -> tuple[Vector, Scalar]:
    return affine_step(y, -shift * jnp.exp(-log_scale), -log_scale)


@pytree
class PlanarStep(Step):
    """The step of `kernels.planar_step`, which has no inverse in closed form."""

    u: Vector
    w: Vector
    b: Scalar
    invertible = False

    def __call__(self, z: Vector) -> tuple[Vector, Scalar]:
        return planar_step(z, self.u, self.w, self.b)


@pytree
class Autoregressive(Step):
    r"""A step whose entry i is affine in $z_i$, with a shift $m_i$ and a scale that read $z_{<i}$ alone.

    $$y_i = \sigma_i z_i + (1-\sigma_i)\,m_i,\quad \sigma_i = \mathrm{sigmoid}(s_i + 1.5), \quad\text{or}\quad
    y_i = e^{3\tanh(s_i/3)} z_i + m_i$$

    The step itself is one pass of the conditioner. Its inverse finds one entry after the other: d passes,
    in sequence. The gate 1.5 begins near the identity.

    Attributes:
      conditioner: a pytree called as `conditioner(z) -> (2, d)`: m and s. Their entries i must not depend
        on $z_{\ge i}$; `networks.MADE` sees to that.
      gated: the first of the two, or the second.

    Reference: Kingma et al., 2016, algorithm 1; Papamakarios, Pavlakou and Murray, 2017, section 3 (not gated).

    >>> import jax, jax.numpy as jnp
    >>> lower = jnp.array([[0.0, 0.0], [1.0, 0.0]])
    >>> step = Autoregressive(jax.tree_util.Partial(lambda z: jnp.stack([lower @ z, lower @ z])))
    >>> y, _ = step(jnp.array([1.0, 2.0]))
    >>> step.inverse(y)[0].round(4)
    Array([1., 2.], dtype=float32)
    """

    conditioner: Conditioner
    gated: bool = dataclasses.field(default=True, metadata={"static": True})

    def __call__(self, z: Vector) -> tuple[Vector, Scalar]:
        shift, raw = self.conditioner(z)
        return iaf_step(z, shift, raw + _GATE) if self.gated else affine_step(z, shift, _bounded(raw))

    def inverse(self, y: Vector) -> tuple[Vector, Scalar]:
        def settle(i: Any, carry: tuple[Vector, Scalar]) -> tuple[Vector, Scalar]:
            z, log_det = carry
            shift, raw = (row[i] for row in self.conditioner(z))
            undone = (
                iaf_inverse(y[i], shift, raw + _GATE) if self.gated else _affine_inverse(y[i], shift, _bounded(raw))
            )
            # Only entry i: those behind it read what is not known yet, and may be anything. Far out, where the
            # density is zero, the entries must not grow to infinity, and their differences to nan.
            return z.at[i].set(jnp.clip(undone[0], -_FAR, _FAR)), log_det + undone[1]

        return jax.lax.fori_loop(0, y.size, settle, (jnp.zeros_like(y), jnp.zeros((), y.dtype)))


@pytree
class Coupling(Step):
    r"""An affine step of every other entry, with a shift and a scale that read the entries between.

    Both directions are one pass of the conditioner. The log-scales are $3\tanh(s/3)$.

    Attributes:
      conditioner: a pytree called as `conditioner(z) -> (2, d)`, shifts and s, on z with zeros for the
        entries that move.
      parity: the entries i with `i % 2 == parity` stay as they are.

    Reference: Dinh, Sohl-Dickstein and Bengio, 2017, sections 3.2 and 3.5.
    """

    conditioner: Conditioner
    parity: int = dataclasses.field(metadata={"static": True})

    def _terms(self, z: Vector) -> tuple[Vector, Vector]:
        stay = jnp.arange(z.size) % 2 == self.parity
        shift, raw = self.conditioner(jnp.where(stay, z, 0.0))
        return jnp.where(stay, 0.0, shift), jnp.where(stay, 0.0, _bounded(raw))

    def __call__(self, z: Vector) -> tuple[Vector, Scalar]:
        return affine_step(z, *self._terms(z))

    def inverse(self, y: Vector) -> tuple[Vector, Scalar]:
        return _affine_inverse(y, *self._terms(y))


@pytree
class Inverted(Step):
    """Another step, the other way round: its fast direction is the other one's slow one.

    Attributes:
      step: a step with an inverse.
    """

    step: Step

    def __call__(self, z: Vector) -> tuple[Vector, Scalar]:
        return self.step.inverse(z)

    def inverse(self, y: Vector) -> tuple[Vector, Scalar]:
        return self.step(y)


@pytree
class Reverse(Step):
    """The entries in the opposite order, so that the next autoregressive step reads the others."""

    def __call__(self, z: Vector) -> tuple[Vector, Scalar]:
        return z[::-1], jnp.zeros((), z.dtype)

    def inverse(self, y: Vector) -> tuple[Vector, Scalar]:
        return self(y)
