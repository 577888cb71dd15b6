"""Learned flows as priors, in the direction in which their density is fast: a bound scores many more than it draws."""

from typing import Any

import jax

from vaejax.distributions import Autoregressive, Coupling, Flowed, Inverted, Reverse
from vaejax.networks import MADE, MLP, Network, bound, in_precision
from vaejax.priors.prior import Prior, require_count, standard
from vaejax.recipes import static

__all__ = ["autoregressive", "coupling"]


class _Flow(Prior):
    """Steps that each have a network of their own, in the order from N(0, I) to z."""

    depth: int
    hidden: tuple[int, ...]
    activation: str
    compute_dtype: str | None

    def __post_init__(self):
        require_count("depth", self.depth)
        object.__setattr__(self, "hidden", (self.hidden,) if isinstance(self.hidden, int) else self.hidden)
        self.network(1)

    def network(self, dim: int) -> Network:
        raise NotImplementedError

    def step(self, t: int, conditioner: Any) -> tuple:
        raise NotImplementedError

    def init(self, key, latent_dim, event_shape):
        network = self.network(latent_dim)
        return {f"step{t}": network.init(key) for t, key in enumerate(jax.random.split(key, self.depth))}

    def apply(self, params, latent_dim, posterior):
        network, dtype = self.network(latent_dim), self.compute_dtype
        network = in_precision(network, dtype) if dtype else network
        steps = [self.step(t, bound(network, params[f"step{t}"])) for t in range(self.depth)]
        return Flowed(standard(latent_dim), tuple(part for step in steps for part in step))


@static
class _Autoregressive(_Flow):
    depth: int
    hidden: Any
    activation: str
    compute_dtype: str | None = None

    def network(self, dim: int) -> Network:
        return MADE(dim, self.hidden, activation=self.activation)

    def step(self, t: int, conditioner: Any) -> tuple:
        undone = Inverted(Autoregressive(conditioner, gated=False))
        return (Reverse(), undone) if t else (undone,)


@static
class _Coupling(_Flow):
    depth: int
    hidden: Any
    activation: str
    compute_dtype: str | None = None

    def network(self, dim: int) -> Network:
        return MLP((dim, *self.hidden, 2 * dim), self.activation, out_shape=(2, dim))

    def init(self, key, latent_dim, event_shape):
        params, last = super().init(key, latent_dim, event_shape), f"layer{len(self.hidden)}"
        small = lambda weights: weights | {last: jax.tree.map(lambda leaf: 0.1 * leaf, weights[last])}  # noqa: E731
        return {name: small(weights) for name, weights in params.items()}

    def step(self, t: int, conditioner: Any) -> tuple:
        return (Coupling(conditioner, 1 - t % 2),)


def autoregressive(depth: int, hidden: int | tuple[int, ...] = 64, *, activation: str = "elu") -> Prior:
    r"""A masked autoregressive flow: the density of any z in one parallel pass a step, draws in d passes.

    $$\epsilon_i = e^{s_i(z_{<i})} z_i + m_i(z_{<i}), \qquad \log p(z) = \log N(\epsilon; 0, I) + \sum_i s_i$$

    for one step; the order of the entries is reversed between steps.

    Args:
      depth: number of steps, each with a `networks.MADE` of its own.
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


def coupling(depth: int, hidden: int | tuple[int, ...] = 64, *, activation: str = "elu") -> Prior:
    """Affine coupling steps, each of every other entry in turn: density and draws in one pass a step.

    Args:
      depth: number of steps, each with a `networks.MLP` of its own; at least 2 reach all entries.
      hidden: units of its hidden layers, a number or several.
      activation: as in `networks.MLP`.

    Reference: Dinh, Sohl-Dickstein and Bengio, 2017, section 3.
    """
    return _Coupling(depth, hidden, activation)
