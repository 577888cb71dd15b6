"""Posteriors that are normalising flows of a diagonal Gaussian; the encoder gives base and flow."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from vaejax.distributions import Autoregressive, Flowed, Normal, Reverse
from vaejax.heads.head import Head, parts, positive, require_floor, with_floor
from vaejax.kernels import planar_step
from vaejax.networks import MADE, bound, in_precision
from vaejax.recipes import static

__all__ = ["IAF", "Planar"]

_IDENTITY = 0.5413248546129181  # softplus of it is one: the planar step with w'u = this is the identity
_CONTEXT = 4


def _base(loc: jax.Array, raw: jax.Array, floor: float) -> Normal:
    return Normal(loc, with_floor(positive(raw), floor))


def _require_depth(depth: Any) -> None:
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        raise ValueError(f"depth: expected an integer of at least 1, got {depth!r}")


@static
class Planar(Head):
    r"""A diagonal Gaussian pushed through planar steps whose parameters all come from the encoder.

    $$z_0 \sim N(\mu, \mathrm{diag}\,\sigma^2), \qquad z_t = z_{t-1} + \hat u_t\tanh(w_t^\top z_{t-1} + b_t)$$

    The encoder gives `2 d + depth (2 d + 1)` numbers: $\mu$, $\sigma$, then u, w, b of each step. w is counted from
    the axis `t % d` and u from where the step is the identity, so that zeros are the diagonal Gaussian and no step
    begins with a normal of zero, where its gradient would vanish. The steps have no inverse in closed form: draws
    carry their density, and `log_prob` of another point raises.

    Attributes:
      depth: number of steps.
      floor: least $\sigma$ of the base, as in `heads.normal`; 0 for none.

    Reference: Rezende and Mohamed, 2015, equations 10-14.

    >>> q = Planar(2).apply({}, jnp.zeros(14))
    >>> z, log_q = q.sample_and_log_prob(jax.random.key(0))
    >>> bool(jnp.allclose(log_q, q.base.log_prob(z), atol=1e-5))
    True
    """

    depth: int
    floor: float = 1e-6

    def __post_init__(self):
        """Check the settings."""
        _require_depth(self.depth)
        require_floor(self.floor)

    @property
    def width(self) -> int:
        """Not defined."""
        raise TypeError("planar steps have no fixed number of parameters for each entry")

    def event_shape(self, output_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape (d,) of the events that an output describes."""
        size = output_shape[0] - self.depth if len(output_shape) == 1 else 0
        if size < 1 or size % (2 + 2 * self.depth):
            wanted = f"{self} reads 2 d + {self.depth} (2 d + 1) numbers for d entries from a vector"
            raise ValueError(f"{wanted}: got shape {output_shape}")
        return (size // (2 + 2 * self.depth),)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape that the encoder's output needs."""
        (dim,) = _vector(self, event_shape)
        return (2 * dim + self.depth * (2 * dim + 1),)

    def apply(self, params: dict[str, Any], output: jax.Array) -> Flowed:
        """The flow of one event."""
        (dim,) = self.event_shape(output.shape)
        steps = output[2 * dim :].reshape(self.depth, 2 * dim + 1)
        axes = jnp.eye(dim, dtype=output.dtype)[jnp.arange(self.depth) % dim]
        u, w = steps[:, :dim] + _IDENTITY * axes, steps[:, dim : 2 * dim] + axes
        base = _base(output[:dim], output[dim : 2 * dim], self.floor)
        return Flowed(base, tuple(Partial(planar_step, u=u[t], w=w[t], b=steps[t, -1]) for t in range(self.depth)))


@static
class IAF(Head):
    r"""A diagonal Gaussian pushed through gated autoregressive steps, each with a `networks.MADE` of its own.

    $$z_0 \sim N(\mu, \mathrm{diag}\,\sigma^2), \qquad z_t = \sigma_t\odot z_{t-1} + (1-\sigma_t)\odot m_t, \qquad
    [m_t, s_t] = \mathrm{MADE}_t(z_{t-1}, h), \quad \sigma_t = \mathrm{sigmoid}(s_t + 1.5)$$

    The order of the entries is reversed between steps. Drawing with the density is one parallel pass a step; the
    density of any other point takes the inverse, d passes a step one after the other.

    Attributes:
      depth: number of steps.
      hidden: units of the hidden layers of each MADE, a number or several.
      context: numbers of the context h(x) that the encoder gives for each latent; `True` for 4, `False` for none.
        It gives `(2 + context) d` in all: $\mu$, $\sigma$, h. Without context the flow is the same for every x.
      activation: as in `networks.MLP`.
      floor: least $\sigma$ of the base, as in `heads.normal`; 0 for none.
      compute_dtype: precision of the networks; `None` for that of the inputs (`networks.in_precision` sets it).

    Reference: Kingma et al., 2016, section 4 and algorithm 1.

    >>> head = IAF(depth=2, hidden=16)
    >>> params = head.init(jax.random.key(0), (3,))
    >>> q = head.apply(params, jnp.linspace(-1.0, 1.0, 18))
    >>> z, log_q = q.sample_and_log_prob(jax.random.key(1))
    >>> bool(jnp.allclose(log_q, q.log_prob(z), atol=1e-4))
    True
    """

    depth: int
    hidden: int | tuple[int, ...] = 64
    context: bool | int = True
    activation: str = "elu"
    floor: float = 1e-6
    compute_dtype: str | None = None

    def __post_init__(self):
        """Check the settings; one number of units becomes one layer, and `True` its number."""
        _require_depth(self.depth)
        require_floor(self.floor)
        numbers = {True: _CONTEXT, False: 0}[self.context] if isinstance(self.context, bool) else self.context
        if not isinstance(numbers, int) or numbers < 0:
            raise ValueError(f"context: expected True, False or a number for each latent, got {self.context!r}")
        object.__setattr__(self, "context", numbers)
        object.__setattr__(self, "hidden", (self.hidden,) if isinstance(self.hidden, int) else self.hidden)
        self._made(1)

    @property
    def width(self) -> int:
        """Numbers that the encoder gives for each latent."""
        return 2 + self.context

    def event_shape(self, output_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape (d,) of the events that an output describes."""
        return super().event_shape(_vector(self, output_shape))

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape that the encoder's output needs."""
        return super().output_shape(_vector(self, event_shape))

    def _made(self, dim: int) -> Any:
        made = MADE(dim, self.hidden, 2, self.context * dim, self.activation)  # type: ignore[arg-type]
        return in_precision(made, self.compute_dtype) if self.compute_dtype else made

    def init(self, key: jax.Array, event_shape: tuple[int, ...]) -> dict[str, Any]:
        """Weights of the networks, `step0` to `step{depth - 1}`."""
        (dim,) = _vector(self, event_shape)
        return {f"step{t}": self._made(dim).init(key) for t, key in enumerate(jax.random.split(key, self.depth))}

    def apply(self, params: dict[str, Any], output: jax.Array) -> Flowed:
        """The flow of one event."""
        (dim,) = self.event_shape(output.shape)
        loc, raw, *context = parts(output, self.width)
        seen = (jnp.concatenate(context),) if context else ()
        steps: list[Any] = []
        for t in range(self.depth):
            steps += [Reverse()] if t else []
            steps += [Autoregressive(bound(self._made(dim), params[f"step{t}"], *seen))]
        return Flowed(_base(loc, raw, self.floor), tuple(steps))


def _vector(head: Head, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 1:
        raise ValueError(f"{head}: expected events that are vectors, got shape {shape}")
    return shape
