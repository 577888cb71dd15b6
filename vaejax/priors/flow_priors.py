"""Learned flows as priors, in the direction in which their density is fast: a bound scores many more than it draws."""

import abc
import itertools
from collections.abc import Callable

import jax

from vaejax.checks import require_integer
from vaejax.distributions import Autoregressive, Coupling, Flowed, Inverted, Reverse, Step
from vaejax.networks import MADE, MLP, Network, bound, in_precision
from vaejax.networks.combine import init_parts
from vaejax.networks.dense import as_sizes
from vaejax.priors.prior import Posterior, Prior, standard
from vaejax.recipes import field, static
from vaejax.types import Activation, Array, Key, Params, Precision

__all__ = ["autoregressive", "coupling"]


@static
class _Flow(Prior):
    """Steps with one network a step, in the order from N(0, I) to z."""

    depth: int
    hidden: tuple[int, ...] = field(converter=as_sizes)
    activation: Activation
    compute_dtype: Precision | None = None

    def __post_init__(self):
        require_integer("depth", self.depth)
        self.network(1)

    @abc.abstractmethod
    def network(self, dim: int) -> Network:
        """The network of a step, whose settings it checks."""

    @abc.abstractmethod
    def steps(self, t: int, conditioner: Callable[[Array], Array]) -> tuple[Step, ...]:
        """Step t, as one or several of a `Flowed`."""

    def init(self, key: Key, latent_dim: int, event_shape: tuple[int, ...]) -> Params:
        return init_parts(key, [self.network(latent_dim)] * self.depth, "step")

    def apply(self, params: Params, latent_dim: int, posterior: Posterior) -> Flowed:
        network = in_precision(self.network(latent_dim), self.compute_dtype)
        steps = (self.steps(t, bound(network, params[f"step{t}"])) for t in range(self.depth))
        return Flowed(standard(latent_dim), tuple(itertools.chain.from_iterable(steps)))


@static
class _Autoregressive(_Flow):
    def network(self, dim: int) -> Network:
        return MADE(dim, self.hidden, activation=self.activation)

    def steps(self, t: int, conditioner: Callable[[Array], Array]) -> tuple[Step, ...]:
        undone = Inverted(Autoregressive(conditioner, gated=False))
        return (Reverse(), undone) if t else (undone,)


@static
class _Coupling(_Flow):
    def network(self, dim: int) -> Network:
        return MLP((dim, *self.hidden, 2 * dim), self.activation, out_shape=(2, dim))

    def init(self, key: Key, latent_dim: int, event_shape: tuple[int, ...]) -> Params:
        params, last = super().init(key, latent_dim, event_shape), f"layer{len(self.hidden)}"
        small = lambda weights: weights | {last: jax.tree.map(lambda leaf: 0.1 * leaf, weights[last])}  # noqa: E731
        return {name: small(weights) for name, weights in params.items()}

    def steps(self, t: int, conditioner: Callable[[Array], Array]) -> tuple[Step, ...]:
        return (Coupling(conditioner, 1 - t % 2),)


def autoregressive(depth: int, hidden: int | tuple[int, ...] = 64, *, activation: Activation = "elu") -> Prior:
    r"""A masked autoregressive flow: the density of any z in one parallel pass a step, draws in d passes.

    $$\epsilon_i = e^{s_i(z_{<i})} z_i + m_i(z_{<i}), \qquad \log p(z) = \log N(\epsilon; 0, I) + \sum_i s_i$$

    for one step; the order of the entries is reversed between steps.

    Args:
      depth: number of steps, one `networks.MADE` a step.
      hidden: units of its hidden layers, a number or several.
      activation: as in `networks.MLP`.

    Reference: Papamakarios, Pavlakou and Murray, 2017, section 3; Chen et al., 2017, section 3.2, as a prior.

    >>> import vaejax as vj
    >>> model = vj.zoo.vae(4, latent_dim=3, hidden=(8,), prior=autoregressive(2, 16))
    >>> p = model.prior(model.init(jax.random.key(0)))
    >>> z, log_p = p.sample_and_log_prob(jax.random.key(1))
    >>> bool(abs(log_p - p.log_prob(z)) < 1e-4)
    True
    """
    return _Autoregressive(depth, hidden, activation)


def coupling(depth: int, hidden: int | tuple[int, ...] = 64, *, activation: Activation = "elu") -> Prior:
    """Affine coupling steps that move every other entry in turn: density and draws in one pass a step.

    Args:
      depth: number of steps, one `networks.MLP` a step; at least 2 reach all entries.
      hidden: units of its hidden layers, a number or several.
      activation: as in `networks.MLP`.

    Reference: Dinh, Sohl-Dickstein and Bengio, 2017, section 3.
    """
    return _Coupling(depth, hidden, activation)
