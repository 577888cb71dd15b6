"""Models whose likelihood is a head that reads a decoder's output."""

import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp

from vaejax import heads
from vaejax.checks import require_integer, require_kind
from vaejax.distributions import Distribution, expect
from vaejax.heads import Head
from vaejax.models.model import LatentModel
from vaejax.networks import Network
from vaejax.types import Array, Context, Key, Params, Scale

__all__ = ["Headed", "as_likelihood", "coder_weights", "output_shape", "require_coder"]


class Headed(LatentModel):
    """A decoder, a likelihood head and a context, whatever the latents are."""

    decoder: Network
    likelihood_head: Head
    remat: bool = False

    def __post_init__(self):
        require_kind("decoder", self.decoder, Network)
        require_integer("context_dim", self.context_dim, 0)

    @property
    def networks(self) -> dict[str, tuple[Network, ...]]:
        """Tuples of networks by the names of their parameters: the fields of this type."""
        kinds = inspect.get_annotations(type(self))
        return {name: getattr(self, name) for name, kind in kinds.items() if kind == tuple[Network, ...]}

    def weights(self, key: Key) -> Params:
        """Draw all parameters but those of the likelihood head: here the decoder's and those of `networks`."""
        key, key_decoder = jax.random.split(key)
        params: Params = {"decoder": self.decoder.init(key_decoder)}
        for name, parts in self.networks.items():
            key, *keys = jax.random.split(key, len(parts) + 1)
            params[name] = {f"layer{i}": part.init(k) for i, (part, k) in enumerate(zip(parts, keys, strict=True))}
        return params

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape of h, the state that the decoder reads."""
        return _state_shape(self)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return _event_shape(self)

    def shape_after(self, network: Network, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the network's output for an input of this shape, and the context."""
        return output_shape(network, shape, *([(self.context_dim,)] if self.context_dim else []))

    @property
    def support(self) -> tuple[float, float] | None:
        return self.likelihood_head.support

    @property
    def levels(self) -> int | None:
        return self.likelihood_head.levels

    @property
    def binary(self) -> bool:
        return self.likelihood_head.binary

    @property
    def scale(self) -> float | Scale | None:
        return self.likelihood_head.scale

    @property
    def scale_floor(self) -> float:
        return self.likelihood_head.floor

    def extra(self, context: Context, like: Any = float) -> tuple[Array, ...]:
        """Input of networks beside x or z: the context, where the model has one, in the precision of `like`."""
        vector = self.condition(context)
        return () if vector is None else (vector.astype(jnp.result_type(like)),)

    def init(self, key: Key) -> Params:
        _require_pass(self)
        return _params(self, key)

    def from_data(self, params: Params, mean: Array, deviation: Array) -> Params:
        head = params["likelihood"]
        # An entry that is constant would begin with a scale that lets it outweigh all others.
        least = jnp.maximum(0.1 * jnp.sqrt(jnp.mean(deviation**2)), 1e-6)
        shift, rest = self.likelihood_head.from_data(head, mean, jnp.maximum(deviation, least))
        started = head | rest | {"shift": shift}
        return params | {"likelihood": jax.tree.map(lambda new, old: new.astype(old.dtype), started, head)}

    def likelihood(self, params: Params, h: Array, context: Context = None) -> Distribution:
        if jnp.shape(h) != self.state_shape:
            raise ValueError(f"z: expected shape {self.state_shape}, got {jnp.shape(h)}; batch with jax.vmap")
        apply = jax.checkpoint(self.decoder.apply) if self.remat else self.decoder.apply
        output = apply(params["decoder"], h, *self.extra(context, h))
        head = params.get("likelihood", {})
        if "shift" in head:  # a constant, which says where the data lie
            output = output + jax.lax.stop_gradient(head["shift"]).astype(output.dtype)
        return self.likelihood_head.apply(head, output)


def _params(model: Headed, key: Key) -> Params:
    head = model.likelihood_head.init(jax.random.fold_in(key, 3), model.event_shape)
    shift = jnp.zeros(model.likelihood_head.output_shape(model.event_shape))
    return model.weights(key) | {"likelihood": head | {"shift": shift}}


def _some_context(model: Headed) -> Array | None:
    return jnp.zeros(model.context_dim) if model.context_dim else None


@functools.cache
def _state_shape(model: Headed) -> tuple[int, ...]:
    def state(key: Key) -> Array:
        return model.prior(model.weights(key), _some_context(model)).run(key)[1]

    return jax.eval_shape(state, jax.random.key(0)).shape


@functools.cache
def _event_shape(model: Headed) -> tuple[int, ...]:
    return model.likelihood_head.event_shape(model.shape_after(model.decoder, model.state_shape))


@functools.cache
def _require_pass(model: Headed) -> None:
    """One abstract pass over all networks, which checks that their shapes fit together."""

    def bound(key: Key) -> Array:
        params, x, context = _params(model, key), jnp.zeros(model.event_shape), _some_context(model)
        p, q = model.prior(params, context), model.posterior(params, x, context)
        return expect(key, q, p, lambda drawn: model.likelihood(params, drawn.h, context).log_prob(x))

    jax.eval_shape(bound, jax.random.key(0))


@functools.cache
def output_shape(network: Network, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of a network's output for inputs of these shapes."""
    weights = jax.eval_shape(network.init, jax.random.key(0))
    return jax.eval_shape(network.apply, weights, *(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)).shape


def require_coder(encoder: Network, latent_dim: int) -> None:
    """Check the arguments of a model with an encoder and one vector of latents."""
    require_kind("encoder", encoder, Network)
    require_integer("latent_dim", latent_dim)


def coder_weights(model: Headed, encoder: Network, codes: Head, latent_dim: int, key: Key) -> Params:
    """Weights of an encoder and a decoder, drawn once the encoder's output fits the head of the codes."""
    key_encoder, key_decoder = jax.random.split(key)
    shape, expected = model.shape_after(encoder, model.event_shape), codes.output_shape((latent_dim,))
    if shape != expected:
        raise ValueError(f"encoder: expected an output of shape {expected} for {latent_dim} latents, got {shape}")
    return {"encoder": encoder.init(key_encoder), "decoder": model.decoder.init(key_decoder)}


def as_likelihood(head: Head | None) -> Head:
    """The head, by default Bernoulli."""
    return require_kind("likelihood", head or heads.bernoulli(), Head)
