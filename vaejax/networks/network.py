"""Networks: frozen, hashable recipes whose weights are a plain nested dict."""

import abc
import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx

from vaejax.recipes import static
from vaejax.types import Activation, Array, Key, Params

__all__ = ["ACTIVATIONS", "FlaxNetwork", "Modules", "Network", "flat", "from_functions", "from_nnx"]

Modules: TypeAlias = dict[str, Any]
"""Flax NNX modules by name, nested where modules have parts."""
_PER_BATCH = (nnx.GroupNorm, nnx.InstanceNorm)  # they take the first axis for that of the batch

ACTIVATIONS: dict[Activation, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "tanh": jnp.tanh,
}


class Network(abc.ABC):
    """A function of one datum with weights: `init` draws them, `apply` uses them.

    Subclasses are frozen dataclasses without arrays (decorated with `vaejax.recipes.static`), so that
    models that hold them hash and compare by value.
    """

    @abc.abstractmethod
    def init(self, key: Key) -> Params:
        """Draw the weights, a nested dict of arrays."""

    @abc.abstractmethod
    def apply(self, weights: Params, *inputs: Array) -> Array:
        """Output for the inputs of one datum: x or z, and a context where there is one."""


class FlaxNetwork(Network):
    """A network of Flax NNX modules, whose only state is their parameters.

    A subclass gives `build`; and `call` too, where `build` returns several modules.
    """

    @abc.abstractmethod
    def build(self, rngs: nnx.Rngs) -> Any:
        """One module that takes the inputs of one datum, or a dict of modules for `call`."""

    def call(self, modules: Any, *inputs: Array) -> Array:
        """Output of the modules that `build` returns."""
        return modules(*inputs)

    def init(self, key: Key) -> Params:
        _, template = _structure(self)
        weights = _named(template, nnx.to_pure_dict(nnx.state(self.build(nnx.Rngs(key)), nnx.Param)))
        usual = jnp.result_type(float)  # Flax draws in float32 where JAX is set to float64 too
        return jax.tree.map(lambda leaf: leaf.astype(usual) if leaf.dtype == jnp.float32 else leaf, weights)

    def apply(self, weights: Params, *inputs: Array) -> Array:
        graphdef, template = _structure(self)
        return self.call(nnx.merge(graphdef, _unnamed(template, weights, type(self).__name__)), *inputs)


@functools.cache
def _structure(network: FlaxNetwork) -> tuple[Any, dict]:
    """The modules without their numbers, and the nested dict of the numbers' shapes."""
    module = nnx.eval_shape(lambda: network.build(nnx.Rngs(0)))
    grouped = {type(node).__name__ for _, node in nnx.iter_graph(module) if isinstance(node, _PER_BATCH)}
    if grouped:
        raise ValueError(f"{', '.join(grouped)} normalises one datum otherwise than a batch of them: use LayerNorm")
    graphdef, params, rest = nnx.split(module, nnx.Param, ...)
    if nnx.to_flat_state(rest):
        kinds = sorted({type(leaf).__name__ for _, leaf in nnx.to_flat_state(rest)})
        raise ValueError(
            f"{type(network).__name__}: expected a module whose only state is parameters, got {', '.join(kinds)}. "
            "Models are pure functions: use LayerNorm instead of BatchNorm, and no stored random streams"
        )
    return graphdef, nnx.to_pure_dict(params)


def _named(template: dict, state: dict) -> Params:
    """The state with strings for names, as files have them (lists of layers are numbered)."""
    return {str(k): _named(v, state[k]) if isinstance(v, dict) else state[k] for k, v in template.items()}


def _unnamed(template: dict, weights: Any, where: str) -> dict:
    if not isinstance(weights, dict) or {str(k) for k in template} != set(weights):
        got = sorted(weights) if isinstance(weights, dict) else type(weights).__name__
        raise ValueError(f"{where}: expected weights named {sorted(map(str, template))}, got {got}")
    state = {}
    for k, v in template.items():
        leaf = weights[str(k)]
        if isinstance(v, dict):
            state[k] = _unnamed(v, leaf, f"{where}.{k}")
        elif jnp.shape(leaf) != v.shape:
            raise ValueError(f"{where}.{k}: expected shape {v.shape}, got {jnp.shape(leaf)}")
        else:
            state[k] = leaf
    return state


@static
class _FromNNX(FlaxNetwork):
    builder: Callable[[nnx.Rngs], Any]

    def build(self, rngs: nnx.Rngs) -> Any:
        return self.builder(rngs)


def from_nnx(builder: Callable[[nnx.Rngs], Any]) -> Network:
    """Any Flax NNX module as a network.

    Args:
      builder: `builder(rngs) -> module`; the module is called with x or z of one datum, and with the
        context as a second argument where a model has one. Its only state may be parameters, and a call
        must not change them: the change would be lost. Networks
        compare by their builder, so define it once: a new function compiles anew.

    >>> import jax
    >>> network = from_nnx(lambda rngs: nnx.Linear(3, 2, rngs=rngs))
    >>> network.apply(network.init(jax.random.key(0)), jnp.zeros(3)).tolist()
    [0.0, 0.0]
    """
    return _FromNNX(builder)


@static
class _FromFunctions(Network):
    init_function: Callable[[Key], Params]
    apply_function: Callable[..., Array]

    def init(self, key: Key) -> Params:
        return self.init_function(key)

    def apply(self, weights: Params, *inputs: Array) -> Array:
        return self.apply_function(weights, *inputs)


def from_functions(init: Callable[[Key], Params], apply: Callable[..., Array]) -> Network:
    """A pair of plain functions as a network.

    Args:
      init: `init(key) -> weights`, any pytree.
      apply: `apply(weights, x)` or `apply(weights, x, context)` of one datum.
    """
    return _FromFunctions(init, apply)


def flat(inputs: Sequence[Array], size: int, name: str) -> Array:
    """The inputs as one vector, checked."""
    joined = jnp.concatenate([jnp.ravel(x) for x in inputs])
    if joined.size != size:
        shapes = " and ".join(str(jnp.shape(x)) for x in inputs)
        raise ValueError(f"{name}: expected {size} inputs, got shapes {shapes}")
    return joined
