"""A fitted model as a compiled artefact: StableHLO that runs without the model's code."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from vaejax.checks import require_choice
from vaejax.data.standardize import Scaling
from vaejax.models import LatentModel, decode, elbo, encode, sample
from vaejax.types import Array, Params

__all__ = ["Function", "export"]

Function = Literal["encode", "decode", "sample", "elbo"]


def export(
    model: LatentModel,
    params: Params,
    what: Function,
    *,
    scaling: Scaling | None = None,
    platforms: tuple[str, ...] = ("cpu", "cuda"),
    dtype: DTypeLike = jnp.float32,
) -> bytes:
    """Serialise one function of a fitted model, for batches of any size, by `jax.export`.

    The artefact is called with arrays whose first axis is the batch, and with the contexts
    (batch, context_dim) as the last argument where the model has one:

    - `"encode"`: x to the mean of the posterior;
    - `"decode"`: z to the mean of x;
    - `"sample"`: the data of a PRNG key for each draw, `jax.random.key_data(keys)`, to x;
    - `"elbo"`: the data of a key for each row, and x, to the bound of each row in nats.

    `jax.export.deserialize(blob).call(...)` runs it, where JAX and flatbuffers are installed; vaejax is not needed.

    Args:
      model: the model.
      params: its parameters, which become part of the artefact.
      what: the function.
      scaling: of the rows that the model was fitted to (`Dataset.scaling`): the artefact then takes and gives rows in
        the units of the data, and its bounds are of those.
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

    require_choice("what", what, get_args(Function))
    context = [jax.ShapeDtypeStruct((model.context_dim,), dtype)] if model.context_dim else []
    key = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0)))
    x = jax.ShapeDtypeStruct(model.event_shape, dtype)
    z = jax.eval_shape(lambda *c: model.prior(params, *c).sample(jax.random.key(0)), *context)

    mean, scale, log_jacobian = (
        (0.0, 1.0, 0.0) if scaling is None else (scaling.mean, scaling.scale, scaling.log_jacobian)
    )
    into = lambda x: (x - jnp.asarray(mean, x.dtype)) / jnp.asarray(scale, x.dtype)  # noqa: E731
    back = lambda x: x * jnp.asarray(scale, x.dtype) + jnp.asarray(mean, x.dtype)  # noqa: E731
    typed = jax.random.wrap_key_data
    functions: dict[Function, tuple[Callable[..., Array], tuple[Any, ...]]] = {
        "encode": (lambda x, *args: encode(model, params, into(x), *args), (x,)),
        "decode": (lambda *args: back(decode(model, params, *args)), (z,)),
        "sample": (lambda key, *args: back(sample(model, params, typed(key), *args)), (key,)),
        "elbo": (lambda key, x, *args: elbo(model, params, typed(key), into(x), *args).value + log_jacobian, (key, x)),
    }
    function, inputs = functions[what]
    (batch,) = jax_export.symbolic_shape("batch")
    batched = lambda leaf: jax.ShapeDtypeStruct((batch, *leaf.shape), leaf.dtype)  # noqa: E731
    exported = jax_export.export(jax.jit(jax.vmap(function)), platforms=platforms)
    return bytes(exported(*jax.tree.map(batched, (*inputs, *context))).serialize())
