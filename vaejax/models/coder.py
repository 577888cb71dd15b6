"""What models with an encoder and a decoder of one datum have in common."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from vaejax.distributions import Distribution
from vaejax.heads import Head
from vaejax.models.base import LatentModel, Params, flat_event
from vaejax.networks import Network

__all__ = ["Coder", "require_kind", "set_fields"]


class Coder(LatentModel):
    """What an encoder and a decoder have in common, whatever stands between them."""

    encoder: Network
    decoder: Network
    latent_dim: int
    likelihood_head: Head
    context_dim: int

    @functools.cached_property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of a datum, as the decoder and the likelihood say it."""
        return self.likelihood_head.event_shape(_shape(self.decoder, (self.latent_dim,), self.context_dim))

    @property
    def support(self) -> tuple[float, float] | None:
        """Range of the data that the likelihood allows."""
        return self.likelihood_head.support

    @property
    def levels(self) -> int | None:
        """Number of grey values that the likelihood counts, or `None`."""
        return self.likelihood_head.levels

    @property
    def binary(self) -> bool:
        """Whether the likelihood is one of zeros and ones only."""
        return self.likelihood_head.binary

    def init_networks(self, key: jax.Array, code_head: Head) -> Params:
        """Draw the networks' weights; `code_head` says how many numbers the encoder gives."""
        key_encoder, key_decoder = jax.random.split(key)
        made = _shape(self.encoder, self.event_shape, self.context_dim)
        wanted = code_head.output_shape((self.latent_dim,))
        if made != wanted:
            raise ValueError(f"encoder: expected an output of shape {wanted} for {self.latent_dim} latents, got {made}")
        params = {"encoder": self.encoder.init(key_encoder), "decoder": self.decoder.init(key_decoder)}
        head = self.likelihood_head.init(jax.random.fold_in(key, 2), self.event_shape)
        return params | ({"likelihood": head} if head else {})

    def _inputs(self, value: jax.Array, context: Any) -> tuple[jax.Array, ...]:
        """The value, with the context where the model has one; an integer label becomes a one-hot vector."""
        name = type(self).__name__
        if not self.context_dim:
            if context is not None:
                raise ValueError(f"{name} has context_dim=0: expected context=None, got {context!r}")
            return (value,)
        wanted = f"a vector of {self.context_dim} numbers or a label below {self.context_dim}"
        if context is None:
            raise ValueError(f"{name} has context_dim={self.context_dim}: expected {wanted}, got None")
        context = jnp.asarray(context)
        if context.ndim == 0 and jnp.issubdtype(context.dtype, jnp.integer):
            known = (context >= 0) & (context < self.context_dim)  # an unknown label must not pass for no label
            context = jnp.where(known, jax.nn.one_hot(context, self.context_dim, dtype=value.dtype), jnp.nan)
        if context.shape != (self.context_dim,):
            raise ValueError(f"context: expected {wanted}, got shape {context.shape}")
        return value, context.astype(value.dtype)

    def decoded(self, params: Params, h: jax.Array, context: Any) -> Distribution:
        """The likelihood's distribution for one z."""
        if jnp.shape(h) != (self.latent_dim,):
            raise ValueError(f"z: expected shape ({self.latent_dim},), got {jnp.shape(h)}; batch with jax.vmap")
        output = self.decoder.apply(params["decoder"], *self._inputs(h, context))
        return self.likelihood_head.apply(params.get("likelihood", {}), output)

    def encoded(self, params: Params, x: jax.Array, context: Any) -> jax.Array:
        """The encoder's output for one datum."""
        return self.encoder.apply(params["encoder"], *self._inputs(self.event(x), context))

    def event(self, x: jax.Array) -> jax.Array:
        """The datum as floating point in the model's shape; uint8 pixels are scaled to [0, 1]."""
        return flat_event(x, math.prod(self.event_shape)).reshape(self.event_shape)


@functools.cache
def _shape(network: Network, shape: tuple[int, ...], context_dim: int) -> tuple[int, ...]:
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32)]
    inputs += [jax.ShapeDtypeStruct((context_dim,), jnp.float32)] if context_dim else []
    weights = jax.eval_shape(network.init, jax.random.key(0))
    return jax.eval_shape(network.apply, weights, *inputs).shape


def set_fields(model: Any, **fields: Any) -> None:
    """Set the fields of a frozen dataclass from its own `__init__`."""
    for name, value in fields.items():
        object.__setattr__(model, name, value)


def require_kind(name: str, value: Any, kind: type) -> Any:
    """Raise `TypeError` unless `value` is of this kind; return it."""
    if not isinstance(value, kind):
        raise TypeError(f"{name}: expected a vaejax {kind.__name__}, got {type(value).__name__}")
    return value
