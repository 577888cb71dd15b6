"""What models with several layers of latents have in common: networks in tuples, a walk from the top down."""

import abc
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from vaejax import heads
from vaejax.distributions import Distribution, Drawn, Normal, expect
from vaejax.heads import Head
from vaejax.models.headed import Headed, require_kind, set_fields
from vaejax.models.model import Params, require_at_least
from vaejax.networks import Network
from vaejax.recipes import static

__all__ = ["Hierarchy", "Layer", "conditional", "gaussian", "give", "passed", "standard", "top"]

GAUSSIAN = heads.normal("per_pixel", floor=1e-3)  # softplus scales, which the floor keeps away from zero


@static
class Layer:
    """One network in its place: what runs it, and checks what comes out."""

    network: Network
    name: str
    shape: tuple[int, ...]
    remat: bool

    def __call__(self, weights: Params, *inputs: jax.Array) -> jax.Array:
        """The network's output."""
        apply = jax.checkpoint(self.network.apply) if self.remat else self.network.apply
        return apply(weights, *inputs)


def gaussian(layer: Layer, weights: Params, *inputs: jax.Array) -> Distribution:
    """The diagonal Gaussian over a latent of the layer's shape that the network gives."""
    return GAUSSIAN.apply({}, parameters(layer, weights, *inputs))


def parameters(layer: Layer, weights: Params, *inputs: jax.Array) -> jax.Array:
    """The two numbers that the network gives for each entry of a latent."""
    output, wanted = layer(weights, *inputs), GAUSSIAN.output_shape(layer.shape)
    if output.shape != wanted:
        message = f"expected an output of shape {wanted} for a latent of shape {layer.shape}, got {output.shape}"
        raise ValueError(f"{layer.name}: {message}")
    return output


def passed(z: Any) -> Any:
    """The latent itself as the next state."""
    return z


def standard(shape: tuple[int, ...]) -> Normal:
    """N(0, I)."""
    return Normal(jnp.zeros(shape), jnp.ones(shape))


def top(p: Distribution, h: Any) -> tuple[Distribution, Any]:
    """A link that ignores the state."""
    return p, passed


def conditional(layer: Layer, weights: Params, extra: tuple, h: Any) -> tuple[Distribution, Any]:
    """The link of a latent that depends on the one before it, and on nothing else."""
    return gaussian(layer, weights, h, *extra), passed


def give(q: Distribution, p: Distribution, h: Any) -> Distribution:
    """A guide's link that is known already."""
    return q


def drawn(z: Any, log_q: jax.Array) -> Partial:
    """A guide's link of a latent that was drawn on the way up."""
    return Partial(give, Drawn(z, log_q))


class Hierarchy(Headed):
    """What hierarchies share. Latents, and all that belongs to them, come top first, networks as they are computed."""

    decoder: Network
    latent_shapes: tuple[tuple[int, ...], ...]
    objective: Any
    remat: bool

    def _set(
        self,
        decoder: Network,
        latent_shapes: Any,
        likelihood: Head | None,
        context_dim: int,
        objective: Any,
        remat: bool,
        networks: dict[str, tuple[tuple[Network, ...], int]],
    ) -> None:
        """Check and set the fields; `networks` has the tuples of networks with the length that each must have."""
        shapes = tuple(tuple(s) if isinstance(s, tuple | list) else (s,) for s in latent_shapes)
        require_at_least("number of latent_shapes", len(shapes), 1)
        for shape in shapes:
            if not shape or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in shape):
                raise ValueError(f"latent_shapes: expected sizes or shapes of positive integers, got {latent_shapes}")
        for name, (parts, count) in networks.items():
            if len(parts) != count:
                wanted = f"{count} networks for {len(shapes)} layers of latents"
                raise ValueError(f"{name}: expected {wanted}, got {len(parts)}")
        tuples = {
            name: tuple(require_kind(f"{name}[{i}]", part, Network) for i, part in enumerate(parts))
            for name, (parts, _) in networks.items()
        }
        set_fields(
            self,
            decoder=require_kind("decoder", decoder, Network),
            latent_shapes=shapes,
            likelihood_head=require_kind("likelihood", likelihood or heads.bernoulli(), Head),
            context_dim=context_dim,
            objective=objective,
            remat=remat,
            **tuples,
        )
        require_at_least("context_dim", context_dim, 0)

    @property
    @abc.abstractmethod
    def networks(self) -> dict[str, tuple[Network, ...]]:
        """The tuples of networks by the names of their fields, which are those of their parameters."""

    def layer(self, name: str, i: int, shape: tuple[int, ...] = ()) -> Layer:
        """Network i of a tuple, for a latent of this shape where it gives the parameters of one."""
        return Layer(getattr(self, name)[i], f"{name}[{i}]", shape, self.remat)

    def weights(self, key: jax.Array) -> Params:
        """Draw the weights of all networks."""
        key, key_decoder = jax.random.split(key)
        params: Params = {"decoder": self.decoder.init(key_decoder)}
        for name, parts in self.networks.items():
            key, *keys = jax.random.split(key, len(parts) + 1)
            params[name] = {f"layer{i}": part.init(k) for i, (part, k) in enumerate(zip(parts, keys, strict=True))}
        return params

    @functools.cached_property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of a datum, as the decoder and the likelihood say it."""
        return _event_shape(self)

    def init(self, key: jax.Array) -> Params:
        """Draw the networks' weights."""
        params = self.weights(key)
        head = self.likelihood_head.init(jax.random.fold_in(key, 2), self.event_shape)
        params |= {"likelihood": head} if head else {}
        jax.eval_shape(self._pass, params, jax.ShapeDtypeStruct(self.event_shape, jnp.float32), _context(self))
        return params

    def _pass(self, params: Params, x: jax.Array, context: Any) -> jax.Array:
        """One pass over all networks, whose shapes it checks."""
        p, q = self.prior(params, context), self.posterior(params, x, context)
        return expect(jax.random.key(0), q, p, lambda d: self.likelihood(params, d.h, context).log_prob(x))

    def output(self, params: Params, h: Any, context: Any) -> jax.Array:
        """The decoder's output for the last state of the walk."""
        layer = Layer(self.decoder, "decoder", (), self.remat)
        return layer(params["decoder"], h, *self.extra(context, jnp.result_type(h)))

    def likelihood(self, params: Params, h: Any, context: Any = None) -> Distribution:
        """p(x | h, context)."""
        return self.emitted(params, self.output(params, h, context))


def _context(model: Hierarchy) -> Any:
    return jax.ShapeDtypeStruct((model.context_dim,), jnp.float32) if model.context_dim else None


@functools.cache
def _event_shape(model: Hierarchy) -> tuple[int, ...]:
    def output(key: jax.Array, context: Any) -> jax.Array:
        params = model.weights(key)
        return model.output(params, model.prior(params, context).run(key)[1], context)

    return model.likelihood_head.event_shape(jax.eval_shape(output, jax.random.key(0), _context(model)).shape)
