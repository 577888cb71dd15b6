"""What models with an encoder and a decoder of one datum have in common."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from vaejax.distributions import Distribution
from vaejax.heads import Head
from vaejax.models.headed import Headed, output_shape, require_kind, set_fields
from vaejax.models.model import Params
from vaejax.networks import Network

__all__ = ["Coder", "require_kind", "set_fields"]


class Coder(Headed):
    """What an encoder and a decoder have in common, whatever stands between them."""

    encoder: Network
    decoder: Network
    latent_dim: int

    def _shape(self, network: Network, shape: tuple[int, ...]) -> tuple[int, ...]:
        return output_shape(network, shape, *([(self.context_dim,)] if self.context_dim else []))

    @functools.cached_property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of a datum, as the decoder and the likelihood say it."""
        return self.likelihood_head.event_shape(self._shape(self.decoder, (self.latent_dim,)))

    def init_networks(self, key: jax.Array, code_head: Head) -> Params:
        """Draw the networks' weights; `code_head` says how many numbers the encoder gives."""
        key_encoder, key_decoder = jax.random.split(key)
        made = self._shape(self.encoder, self.event_shape)
        wanted = code_head.output_shape((self.latent_dim,))
        if made != wanted:
            raise ValueError(f"encoder: expected an output of shape {wanted} for {self.latent_dim} latents, got {made}")
        params = {"encoder": self.encoder.init(key_encoder), "decoder": self.decoder.init(key_decoder)}
        head = self.likelihood_head.init(jax.random.fold_in(key, 2), self.event_shape)
        return params | ({"likelihood": head} if head else {})

    def decoded(self, params: Params, h: jax.Array, context: Any) -> Distribution:
        """The likelihood's distribution for one z."""
        if jnp.shape(h) != (self.latent_dim,):
            raise ValueError(f"z: expected shape ({self.latent_dim},), got {jnp.shape(h)}; batch with jax.vmap")
        return self.emitted(params, self.decoder.apply(params["decoder"], h, *self.extra(context, h.dtype)))

    def encoded(self, params: Params, x: jax.Array, context: Any) -> jax.Array:
        """The encoder's output for one datum."""
        x = self.event(x)
        return self.encoder.apply(params["encoder"], x, *self.extra(context, x.dtype))
