"""Steps of a `Flowed` distribution that have an inverse, each of one vector.

A step is a pytree: `step(z) -> (y, log_det)`, and `step.inverse(y) -> (z, log_det of the inverse)`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vaejax.kernels import affine_step, iaf_inverse, iaf_step
from vaejax.recipes import pytree

__all__ = ["Autoregressive", "Coupling", "Inverted", "Reverse"]

_FAR = 1e12
_GATE = 1.5  # sigmoid of it is 0.82
_LARGEST = 3.0  # log-scale: a step spreads or shrinks by a factor of 20 at most


def _bounded(raw: jax.Array) -> jax.Array:
    return _LARGEST * jnp.tanh(raw / _LARGEST)


def _affine_inverse(y: jax.Array, shift: jax.Array, log_scale: jax.Array) -> tuple[jax.Array, jax.Array]:
    return affine_step(y, -shift * jnp.exp(-log_scale), -log_scale)


@pytree
class Autoregressive:
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

    conditioner: Callable[[jax.Array], Any]
    gated: bool = dataclasses.field(default=True, metadata={"static": True})

    def __call__(self, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The next point, and the log-determinant."""
        shift, raw = self.conditioner(z)
        return iaf_step(z, shift, raw + _GATE) if self.gated else affine_step(z, shift, _bounded(raw))

    def inverse(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The point before, and the log-determinant of the inverse."""

        def settle(i: Any, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
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
class Coupling:
    r"""An affine step of every other entry, with a shift and a scale that read the entries between.

    Both directions are one pass of the conditioner. The log-scales are $3\tanh(s/3)$.

    Attributes:
      conditioner: a pytree called as `conditioner(z) -> (2, d)`, shifts and s, on z with zeros for the
        entries that move.
      parity: the entries i with `i % 2 == parity` stay as they are.

    Reference: Dinh, Sohl-Dickstein and Bengio, 2017, sections 3.2 and 3.5.
    """

    conditioner: Callable[[jax.Array], Any]
    parity: int = dataclasses.field(metadata={"static": True})

    def _terms(self, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        stay = jnp.arange(z.size) % 2 == self.parity
        shift, raw = self.conditioner(jnp.where(stay, z, 0.0))
        return jnp.where(stay, 0.0, shift), jnp.where(stay, 0.0, _bounded(raw))

    def __call__(self, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The next point, and the log-determinant."""
        return affine_step(z, *self._terms(z))

    def inverse(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The point before, and the log-determinant of the inverse."""
        return _affine_inverse(y, *self._terms(y))


@pytree
class Inverted:
    """Another step, the other way round: what it did fast it now undoes fast.

    Attributes:
      step: a step with an inverse.
    """

    step: Any

    def __call__(self, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The inverse of the step."""
        return self.step.inverse(z)

    def inverse(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The step itself."""
        return self.step(y)


@pytree
class Reverse:
    """The entries in the opposite order, so that the next autoregressive step reads the others."""

    def __call__(self, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The entries, last to first."""
        return z[::-1], jnp.zeros((), z.dtype)

    def inverse(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The same again."""
        return self(y)
