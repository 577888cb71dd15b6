"""Which latents a model uses."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.data.inputs import Rows, checked_rows
from vaejax.models import LatentModel, encode

__all__ = ["ActiveUnits", "active_units"]

_AT_ONCE = 1024


class ActiveUnits(NamedTuple):
    """How many latents are active.

    Attributes:
      count: their number; a tuple, one a layer, for a hierarchy.
      variance: variance over the data of each latent's posterior mean, in the shape of the latents.
    """

    count: Any
    variance: Any


@jax.jit
def _variances(model: LatentModel, params: Any, rows: Rows) -> Any:
    codes = jax.lax.map(
        lambda row: encode(model, params, row.x, row.context), rows, batch_size=min(len(rows.x), _AT_ONCE)
    )
    return jax.tree.map(lambda leaf: jnp.var(leaf, 0), codes)


def active_units(model: LatentModel, params: Any, x: Any, context: Any = None, threshold: float = 0.01) -> ActiveUnits:
    r"""Count the latents whose posterior mean moves with the data, $\mathrm{Var}_x\,E_{q(z|x)}z_j > $ `threshold`.

    In a hierarchy a layer's mean is taken at the means of the layers that it reads; for a flow the mean is its
    centre (`Flowed.mean`).

    Args:
      model: a model with continuous latents.
      params: its parameters.
      x: rows (N, ...) of floats or uint8 pixels.
      context: labels (N,) or vectors (N, context_dim), where the model has a context.
      threshold: least variance of an active unit.

    Returns:
      `ActiveUnits(count, variance)`.

    Reference: Burda, Grosse and Salakhutdinov, 2016, section 5.2.

    >>> import jax, vaejax as vj
    >>> model = vj.PPCA(dim=3, latent_dim=2)
    >>> params = model.init(jax.random.key(0)) | {"weight": jnp.array([[2.0, 0.0], [0.0, 0.0], [0.0, 0.0]])}
    >>> active_units(model, params, jax.random.normal(jax.random.key(1), (50, 3))).count
    1
    """
    if isinstance(threshold, bool) or not threshold >= 0:
        raise ValueError(f"threshold: expected a non-negative variance, got {threshold!r}")
    variance = _variances(model, params, checked_rows(model, x, context, "x"))
    count = lambda leaf: int(np.sum(np.asarray(leaf) > threshold))  # noqa: E731
    return ActiveUnits(jax.tree.map(count, variance), variance)
