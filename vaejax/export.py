"""A fitted model as a compiled artefact: StableHLO that runs without the model's code."""

from typing import Any

import jax
import jax.numpy as jnp

from vaejax.models import LatentModel, decode, elbo, encode, sample

__all__ = ["export"]

WHAT = ("encode", "decode", "sample", "elbo")


def export(
    model: LatentModel,
    params: Any,
    what: str,
    *,
    platforms: tuple[str, ...] = ("cpu", "cuda"),
    dtype: Any = jnp.float32,
) -> bytes:
    """Serialise one function of a fitted model, for batches of any size, by `jax.export`.

    What comes back is called with arrays whose first axis is the batch, and with the contexts
    (batch, context_dim) as the last argument where the model has one:

    - `"encode"`: x to the mean of the posterior;
    - `"decode"`: z to the mean of x;
    - `"sample"`: the data of a PRNG key for each draw, `jax.random.key_data(keys)`, to x;
    - `"elbo"`: the data of a key for each row, and x, to the bound of each row in nats.

    `jax.export.deserialize(blob).call(...)` runs it, where JAX and flatbuffers are installed; vaejax is not needed.

    Args:
      model: the model.
      params: its parameters, which become part of the artefact.
      what: which function.
      platforms: where it can run: `"cpu"`, `"cuda"`, `"tpu"`.
      dtype: of x, z and the context.

    Returns:
      The artefact; write it to a file as it is.

    >>> import jax, vaejax as vj
    >>> model = vj.PPCA(dim=5, latent_dim=2)
    >>> blob = vj.export(model, model.init(jax.random.key(0)), "encode")
    >>> jax.export.deserialize(blob).call(jnp.zeros((3, 5))).shape
    (3, 2)
    """
    from jax import export as jax_export  # needs flatbuffers to serialise, the extra `export`

    if what not in WHAT:
        raise ValueError(f"what: expected one of {', '.join(WHAT)}, got {what!r}")
    (batch,) = jax_export.symbolic_shape("batch")
    spec = lambda leaf, kind=None: jax.ShapeDtypeStruct((batch, *leaf.shape), kind or leaf.dtype)  # noqa: E731
    context = [jax.ShapeDtypeStruct((model.context_dim,), dtype)] if model.context_dim else []
    shape = model.event_shape
    x, key = jax.ShapeDtypeStruct(shape, dtype), jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0)))
    draw = lambda c=None: model.prior(params, c).sample(jax.random.key(0))  # noqa: E731
    as_key = jax.random.wrap_key_data
    functions = {
        "encode": ((x,), lambda x, c=None: encode(model, params, x, c)),
        "decode": ((jax.eval_shape(draw, *context),), lambda z, c=None: decode(model, params, z, c)),
        "sample": ((key,), lambda key, c=None: sample(model, params, as_key(key), c)),
        "elbo": ((key, x), lambda key, x, c=None: elbo(model, params, as_key(key), x, c).value),
    }
    inputs, function = functions[what]
    made = jax_export.export(jax.jit(jax.vmap(function)), platforms=platforms)
    return bytes(made(*jax.tree.map(spec, (*inputs, *context))).serialize())
