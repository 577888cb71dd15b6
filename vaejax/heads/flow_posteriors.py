"""Posteriors that are normalising flows of a diagonal Gaussian; the encoder gives base and flow."""

import math

import jax.numpy as jnp

from vaejax.checks import require_integer, require_number
from vaejax.distributions import Autoregressive, Flowed, Normal, PlanarStep, Reverse, Step
from vaejax.heads.head import VectorHead, deviation
from vaejax.networks import MADE, Network, bound, in_precision
from vaejax.networks.combine import init_parts
from vaejax.networks.dense import as_sizes
from vaejax.recipes import field, static
from vaejax.types import Activation, Array, Key, Params, Precision

__all__ = ["IAF", "Planar"]

_IDENTITY = 0.5413248546129181  # softplus of it is one: the planar step with w'u = this is the identity
_CONTEXT = 4


class _Flow(VectorHead):
    """Flows of a diagonal Gaussian that the first 2 d numbers of the output describe."""

    depth: int

    def __post_init__(self):
        require_integer("depth", self.depth)
        require_number("floor", self.floor, least=0.0)

    def base(self, output: Array) -> Normal:
        """The Gaussian."""
        (dim,) = self.event_shape(output.shape)
        return Normal(output[:dim], deviation(output[dim : 2 * dim], self.floor))


@static
class Planar(_Flow):
    r"""A diagonal Gaussian pushed through planar steps whose parameters all come from the encoder.

    $$z_0 \sim N(\mu, \mathrm{diag}\,\sigma^2), \qquad z_t = z_{t-1} + \hat u_t\tanh(w_t^\top z_{t-1} + b_t)$$

    The encoder gives `2 d + depth (2 d + 1)` numbers: $\mu$, $\sigma$, then u, w, b of each step. w is counted from
    the axis `t % d` and u from where the step is the identity, so that zeros are the diagonal Gaussian and no step
    begins with a normal of zero, where its gradient would vanish. The encoder's numbers for the steps are multiplied
    by `reach`, so that q leaves the diagonal Gaussian slowly: at the full rate training blows up. The steps have no
    inverse in closed form: draws carry their density, and `log_prob` of another point raises.

    Attributes:
      depth: number of steps.
      floor: least $\sigma$ of the base, as in `heads.normal`; 0 for none.
      reach: factor of the encoder's numbers for the steps.

    Reference: Rezende and Mohamed, 2015, equations 10-14.

    >>> import jax
    >>> q = Planar(2).apply({}, jnp.zeros(14))
    >>> z, log_q = q.sample_and_log_prob(jax.random.key(0))
    >>> bool(jnp.allclose(log_q, q.base.log_prob(z), atol=1e-5))
    True
    """

    depth: int
    floor: float = 1e-6
    reach: float = 0.1

    def __post_init__(self):
        super().__post_init__()
        require_number("reach", self.reach, above=0.0)

    def size(self, dim: int) -> int:
        return 2 * dim + self.depth * (2 * dim + 1)

    def apply(self, params: Params, output: Array) -> Flowed:
        base = self.base(output)
        dim = base.loc.size
        steps = self.reach * output[2 * dim :].reshape(self.depth, 2 * dim + 1)
        axes = jnp.eye(dim, dtype=output.dtype)[jnp.arange(self.depth) % dim]
        u, w = steps[:, :dim] + _IDENTITY * axes, steps[:, dim : 2 * dim] + axes
        return Flowed(base, tuple(PlanarStep(u[t], w[t], steps[t, -1]) for t in range(self.depth)))


def _numbers(context: bool | int) -> int:
    return (_CONTEXT if context else 0) if isinstance(context, bool) else require_integer("context", context, 0)


@static
class IAF(_Flow):
    r"""A diagonal Gaussian pushed through gated autoregressive steps, one `networks.MADE` a step.

    $$z_0 \sim N(\mu, \mathrm{diag}\,\sigma^2), \qquad z_t = \sigma_t\odot z_{t-1} + (1-\sigma_t)\odot m_t, \qquad
    [m_t, s_t] = \mathrm{MADE}_t(z_{t-1}, h), \quad \sigma_t = \mathrm{sigmoid}(s_t + 1.5)$$

    The order of the entries is reversed between steps. Drawing with the density is one parallel pass a step; the
    density of any other point takes the inverse, d passes a step one after the other.

    Attributes:
      depth: number of steps.
      hidden: units of the hidden layers of every MADE, a number or several.
      context: numbers of the context h(x) that the encoder gives for each latent; `True` for 4, `False` for none.
        It gives `(2 + context) d` in all: $\mu$, $\sigma$, h. Without context the flow is the same for every x.
      activation: as in `networks.MLP`.
      floor: least $\sigma$ of the base, as in `heads.normal`; 0 for none.
      compute_dtype: precision of the networks; `None` for that of the inputs (`networks.in_precision` sets it).

    Reference: Kingma et al., 2016, section 4 and algorithm 1.

    >>> import jax
    >>> head = IAF(depth=2, hidden=16)
    >>> params = head.init(jax.random.key(0), (3,))
    >>> q = head.apply(params, jnp.linspace(-1.0, 1.0, 18))
    >>> z, log_q = q.sample_and_log_prob(jax.random.key(1))
    >>> bool(jnp.allclose(log_q, q.log_prob(z), atol=1e-4))
    True
    """

    depth: int
    hidden: tuple[int, ...] = field(default=64, converter=as_sizes)
    context: int = field(default=True, converter=_numbers)
    activation: Activation = "elu"
    floor: float = 1e-6
    compute_dtype: Precision | None = None

    def __post_init__(self):
        super().__post_init__()
        self.network(1)

    def size(self, dim: int) -> int:
        return (2 + self.context) * dim

    def network(self, dim: int) -> Network:
        """The network of a step, whose settings it checks."""
        return in_precision(MADE(dim, self.hidden, 2, self.context * dim, self.activation), self.compute_dtype)

    def init(self, key: Key, event_shape: tuple[int, ...]) -> Params:
        return init_parts(key, [self.network(math.prod(event_shape))] * self.depth, "step")

    def apply(self, params: Params, output: Array) -> Flowed:
        base = self.base(output)
        dim = base.loc.size
        context = (output[2 * dim :],) if self.context else ()
        steps: list[Step] = []
        for t in range(self.depth):
            steps += [Reverse()] if t else []
            steps += [Autoregressive(bound(self.network(dim), params[f"step{t}"], *context))]
        return Flowed(base, tuple(steps))
