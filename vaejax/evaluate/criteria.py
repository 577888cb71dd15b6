"""What a fitted mixture or linear Gaussian model says of many rows: responsibilities, labels, BIC and AIC."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.distributions import Categorical, Guide
from vaejax.models import LatentModel, log_evidence

__all__ = ["aic", "bic", "labels", "log_evidences", "responsibilities"]

_AT_ONCE = 4096


def _rows(model: LatentModel, x: Any) -> jax.Array:
    if isinstance(x, np.ndarray) and x.dtype not in (np.uint8, np.float32, np.float64, np.float16):
        raise ValueError(f"x: expected floating-point rows or uint8 images, got {x.dtype}")
    x = jnp.asarray(x)
    dim = model.dim  # type: ignore[attr-defined]
    if x.ndim < 2 or x.shape[0] == 0 or x[0].size != dim:
        raise ValueError(f"x: expected rows of {dim} values, got shape {x.shape}")
    x = x.reshape(len(x), dim)
    bad = ~np.asarray(jnp.all(jnp.isfinite(x), 1))
    if bad.any():
        raise ValueError(f"x: expected finite values, got nan or inf in row {int(np.argmax(bad))}")
    return x


@jax.jit
def _responsibilities(model: LatentModel, params: Any, x: jax.Array) -> jax.Array:
    def one(x: jax.Array) -> jax.Array:
        q = model.posterior(params, x)
        if isinstance(q, Guide):  # a mixture of PPCAs chooses its component first
            q = q.links[0](None, None)  # type: ignore[arg-type]
        assert isinstance(q, Categorical)
        return q.mean

    return jax.lax.map(one, x, batch_size=min(len(x), _AT_ONCE))


@jax.jit
def _log_evidences(model: LatentModel, params: Any, x: jax.Array) -> jax.Array:
    return jax.lax.map(lambda x: log_evidence(model, params, x), x, batch_size=min(len(x), _AT_ONCE))


def responsibilities(model: LatentModel, params: Any, x: Any) -> jax.Array:
    """Posterior probability of each component for each row, shape (N, K).

    Args:
      model: a `GMM` or a `PPCAMixture`.
      params: its parameters.
      x: rows (N, D) or images.

    >>> import jax, vaejax as vj
    >>> model = vj.GMM(2, 2)
    >>> params = model.init(jax.random.key(0)) | {"means": jnp.array([[-9.0, 0.0], [9.0, 0.0]])}
    >>> vj.responsibilities(model, params, jnp.array([[9.0, 0.0]])).tolist()
    [[0.0, 1.0]]
    """
    if model.num_components is None:
        raise TypeError(f"model: expected a GMM or a PPCAMixture, got {type(model).__name__}")
    return _responsibilities(model, params, _rows(model, x))


def labels(model: LatentModel, params: Any, x: Any) -> jax.Array:
    """Likeliest component of each row, int32 (N,); arguments as for `responsibilities`."""
    return jnp.argmax(responsibilities(model, params, x), 1).astype(jnp.int32)


def log_evidences(model: LatentModel, params: Any, x: Any) -> jax.Array:
    """Exact log p(x) of each row, nats, shape (N,), in constant memory; arguments as for `bic`."""
    return _log_evidences(model, params, _rows(model, x))


def bic(model: LatentModel, params: Any, x: Any) -> float:
    r"""Bayesian information criterion, $p\ln N - 2\sum_n\log p(x_n)$: lower is better.

    Args:
      model: a `GMM`, `PPCA`, `FactorAnalysis` or `PPCAMixture`.
      params: its parameters.
      x: rows (N, D) or images.

    Reference: Schwarz, 1978.
    """
    scores = np.asarray(log_evidences(model, params, x), np.float64)
    return float(model.num_parameters * np.log(len(scores)) - 2.0 * scores.sum())  # type: ignore[attr-defined]


def aic(model: LatentModel, params: Any, x: Any) -> float:
    r"""Akaike's information criterion, $2p - 2\sum_n\log p(x_n)$: lower is better; arguments as for `bic`."""
    scores = np.asarray(log_evidences(model, params, x), np.float64)
    return float(2.0 * model.num_parameters - 2.0 * scores.sum())  # type: ignore[attr-defined]
