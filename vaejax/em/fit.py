"""Fitting by EM: what a user calls."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vaejax.em import linear
from vaejax.em.family import family_of
from vaejax.em.loop import EMTrace, run
from vaejax.em.prepare import Frame, Rows, prepare
from vaejax.em.progress import progress_bar, wanted
from vaejax.em.step import Hyper
from vaejax.models import PPCA, LatentModel

__all__ = ["fit", "ppca_exact"]

DEFAULT_FLOOR = 1e-8  # of the variance in the standard frame


def _chunk_size(width: int, restarts: int, double: bool = False) -> int:
    """Rows in a chunk: about 2 MiB of numbers on a CPU, where they stay in the cache, and 64 MiB elsewhere."""
    budget = (2**21 if jax.default_backend() == "cpu" else 2**26) // (8 if double else 4)
    size = 2 ** int(math.log2(max(1, budget // (width * restarts))))
    return min(max(size, 64), 2**14 if jax.default_backend() == "cpu" else 2**20)


def _positive(name: str, value: Any, zero: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not math.isfinite(value):
        raise ValueError(f"{name}: expected a finite number, got {value!r}")
    if value < 0 or (value == 0 and not zero):
        raise ValueError(f"{name}: expected a {'non-negative' if zero else 'positive'} number, got {value!r}")
    return float(value)


def _require_count(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name}: expected an integer of at least {least}, got {value!r}")


def fit(
    model: LatentModel,
    key: jax.Array,
    x: Any,
    *,
    num_steps: int,
    num_restarts: int = 1,
    weights: Any = None,
    tol: float | None = None,
    init: dict[str, Any] | None = None,
    variance_floor: float | None = None,
    prior_count: float = 0.0,
    prior_variance: float | None = None,
    missing: bool = False,
    accelerate: bool = True,
    mesh: Mesh | None = None,
    progress: bool = True,
) -> tuple[dict[str, Any], EMTrace]:
    r"""Fit a mixture or a linear Gaussian model by expectation-maximisation, as one compiled scan.

    The data are centred in float64 and brought to unit scale on the host. What is done to each row
    runs in float32 (in float64 where `x` is float64 and JAX is set to it), the sums over rows and the
    matrices of the M step in float64; the parameters come back in the units of `x`.

    With a prior the fit is maximum a posteriori: `prior_count` = $n_0$ pseudo-rows of variance
    $\psi$ = `prior_variance` behind each covariance add
    $-\tfrac12 n_0[\ln|\Sigma| + \mathrm{tr}(\psi\Sigma^{-1})]$ to the log-likelihood of all rows (an
    inverse-Wishart with $n_0 - D - 1$ degrees of freedom; inverse-gamma for variances).

    Args:
      model: a `GMM`, `PPCA`, `FactorAnalysis` or `PPCAMixture`.
      key: a PRNG key, for the starting points.
      x: rows (N, D) of floats, or images (N, H, W, C), which are flattened; uint8 is scaled to [0, 1].
      num_steps: number of EM steps, at most.
      num_restarts: starting points, run side by side; the best final objective is returned.
      weights: a non-negative weight for each row, shape (N,); a weight of 2 is the row twice.
      tol: stop where the objective (mean nats a row) moves by less; `None` takes every step.
      init: parameters to start from, instead of k-means++ seeds (mixtures) or a small random W; the
        mean of a PPCA or factor analysis is the data's, unless values are missing.
      variance_floor: least eigenvalue of a covariance and least noise variance, in squared units of
        `x`. Default: 1e-8 of the variance of each column (spherical GMM and PPCA: of their mean);
        1e-6 for the second moments of 128 or more columns in float32.
      prior_count: $n_0$; 0 for maximum likelihood.
      prior_variance: $\psi$, in squared units of `x`. Default: the variances of the data.
      missing: treat nan as missing at random (PPCA, FactorAnalysis, diagonal and spherical GMM).
      accelerate: take parameter-expanded steps in the linear models, which reach the maximum in a
        fraction of plain EM's steps and are monotone too.
      mesh: devices with one axis named `"data"` to split the rows over.
      progress: show a bar on a terminal where the fit takes more than two seconds.

    Returns:
      `(params, trace)`: the parameters and an `EMTrace`.

    Raises:
      ValueError: for data, weights or settings that cannot be meant; it names expected and actual.

    Reference: Dempster, Laird and Rubin, 1977; Beaulac, 2019, sections 2.2 and 4.1.

    >>> import jax, numpy as np, vaejax as vj
    >>> x = np.concatenate([np.random.default_rng(0).normal(c, 0.1, (50, 2)) for c in (-1, 1)])
    >>> params, trace = vj.em.fit(vj.GMM(2, 2), jax.random.key(0), x, num_steps=20, tol=1e-4)
    >>> sorted(np.round(params["means"][:, 0]).tolist()), bool(trace.converged)
    ([-1.0, 1.0], True)
    """
    family = family_of(model, missing)
    if mesh is not None and getattr(mesh, "axis_names", None) != ("data",):
        raise ValueError(f"mesh: expected a jax.sharding.Mesh with the one axis 'data', got {mesh!r}")
    _require_count("num_steps", num_steps, 0)
    _require_count("num_restarts", num_restarts, 1)
    tol = None if tol is None else _positive("tol", tol, zero=True)
    prior_count = _positive("prior_count", prior_count, zero=True)
    floor = None if variance_floor is None else _positive("variance_floor", variance_floor, zero=True)
    double = family.double or jax.config.jax_enable_x64  # type: ignore[attr-defined]
    rows, frame = prepare(
        x,
        weights,
        model.dim,  # type: ignore[attr-defined]
        per_column=family.per_column and floor is None,
        missing=missing,
        size=_chunk_size(family.width, num_restarts, double),
        rows_last=family.rows_last,
        double=double,
        devices=1 if mesh is None else mesh.size,
    )
    believed = np.ones_like(frame.scale)
    if prior_variance is not None:
        believed = _positive("prior_variance", prior_variance) / frame.scale**2
    count = float(rows.w.sum(dtype=np.float64))
    pseudo = prior_count * count / frame.total
    relative = _relative_floor(floor, frame, rows, family.double and not missing)
    start = None if init is None else _into_frame(model, family, init, frame)
    if start is not None and "mean" in start and not missing:
        start["mean"] = np.zeros_like(frame.shift)  # its maximum likelihood, whatever the rest is
    with _wide(), progress_bar(int(num_steps)):
        if mesh is not None:
            split, everywhere = (NamedSharding(mesh, spec) for spec in (PartitionSpec("data"), PartitionSpec()))
            rows = Rows(*jax.device_put(rows[:3], split), *jax.device_put(rows[3:], everywhere))
        numbers = (jnp.asarray(value, float) for value in (relative, pseudo, believed))
        hyper = Hyper(*numbers, may_reseed=jnp.zeros((), bool), expand=jnp.asarray(bool(accelerate)))
        params, trace = run(
            model,
            key,
            rows,
            None if start is None else jax.tree.map(lambda leaf: jnp.asarray(leaf, float), start),
            hyper,
            jnp.asarray(-1.0 if tol is None else tol, float),
            missing=missing,
            num_steps=int(num_steps),
            num_restarts=int(num_restarts),
            mesh=mesh,
            progress=wanted(progress),
        )
        params, trace = jax.tree.map(np.asarray, (params, trace))  # the trace stays in float64 on the host
    # The log-prior reads log-determinants, which change their units with the data.
    prior_shift = pseudo / count * family.covariances * float(np.log(frame.scale).sum())
    trace = trace._replace(
        objective=trace.objective - frame.log_jacobian - prior_shift,
        log_likelihood=trace.log_likelihood - frame.log_jacobian,
    )
    back = family.rescale(model, params, frame.shift, frame.scale)
    return _narrow(back, x), trace


def _relative_floor(floor: float | None, frame: Frame, rows: Rows, moments: bool) -> float:
    """The floor in the standard frame; none lies below what the precision of the rows resolves."""
    eps = float(jnp.finfo(rows.w.dtype).eps)
    if floor is not None:
        return max(floor / frame.scale[0] ** 2, eps**2)
    wide = moments and rows.x.shape[-1] >= linear.WIDE
    return max(DEFAULT_FLOOR, 8.0 * eps) if wide else DEFAULT_FLOOR


def _wide() -> Any:
    """Enable float64 for the sums and the small matrices of a fit, where the backend has it; rows stay as they are."""
    return jax.enable_x64(jax.default_backend() != "tpu" or jax.config.jax_enable_x64)  # type: ignore[attr-defined]


def _narrow(params: dict[str, Any], x: Any) -> dict[str, Any]:
    """Parameters in the precision of the data, as far as JAX is set to allow it."""
    dtype = np.float64 if np.asarray(x).dtype == np.float64 and jax.config.jax_enable_x64 else np.float32  # type: ignore[attr-defined]
    return {name: jnp.asarray(leaf, dtype) for name, leaf in params.items()}


def _into_frame(model: LatentModel, family: Any, init: Any, frame: Any) -> dict[str, Any]:
    wanted = jax.eval_shape(model.init, jax.random.key(0))
    if not isinstance(init, dict) or sorted(init) != sorted(wanted):
        names = sorted(init) if isinstance(init, dict) else type(init).__name__
        raise ValueError(f"init: expected the parameters {sorted(wanted)}, got {names}")
    for name, leaf in wanted.items():
        if np.shape(init[name]) != leaf.shape:
            raise ValueError(f"init[{name!r}]: expected shape {leaf.shape}, got {np.shape(init[name])}")
        values = np.asarray(init[name], np.float64)
        if not np.all(np.isfinite(values)):
            raise ValueError(f"init[{name!r}]: expected finite numbers, got {values[~np.isfinite(values)][0]}")
        if name == "scale_tril" and np.any(np.diagonal(values, axis1=-2, axis2=-1) == 0):
            raise ValueError("init['scale_tril']: expected non-zero diagonals, got a zero")
    init = {name: np.asarray(leaf, np.float64) for name, leaf in init.items()}
    return family.rescale(model, init, -frame.shift / frame.scale, 1.0 / frame.scale)


def ppca_exact(model: PPCA, x: Any, *, weights: Any = None, variance_floor: float | None = None) -> dict[str, Any]:
    r"""Maximum-likelihood PPCA in closed form, from one eigendecomposition of the data's covariance.

    $$\sigma^2 = \frac{1}{D-M}\sum_{i>M}\lambda_i, \qquad W = U_M(\Lambda_M - \sigma^2 I)^{1/2}$$

    Args:
      model: a `PPCA`.
      x: rows (N, D) of floats or images (N, H, W, C), as for `fit`.
      weights: a non-negative weight for each row, shape (N,).
      variance_floor: least noise variance, in squared units of `x`; default 1e-8 of the mean variance.

    Returns:
      The parameters.

    Reference: Tipping and Bishop, 1999, equations 7-8.

    >>> import numpy as np, vaejax as vj
    >>> x = np.random.default_rng(0).normal(size=(1000, 3)) * [3.0, 1.0, 1.0]
    >>> params = vj.em.ppca_exact(vj.PPCA(3, 1), x)
    >>> round(float(np.exp(params["log_scale"])), 1)
    1.0
    """
    if not isinstance(model, PPCA):
        raise TypeError(f"model: expected a PPCA, got {type(model).__name__}")
    size = _chunk_size(model.dim // 8 + 1, 1)
    rows, frame = prepare(
        x, weights, model.dim, per_column=False, missing=False, size=size, rows_last=False, double=True
    )
    floor = None
    if variance_floor is not None:
        floor = _positive("variance_floor", variance_floor, zero=True)
    relative = _relative_floor(floor, frame, rows, True)
    with _wide():
        params = jax.tree.map(np.asarray, _exact(model, rows, jnp.asarray(relative, float)))
    back = linear.rescale(model, params, frame.shift, frame.scale)
    return _narrow(back, x)


@jax.jit
def _exact(model: PPCA, rows: Rows, floor: jax.Array) -> dict[str, Any]:
    return linear.from_eigh(model, linear.second_moments(rows).moments, floor)
