"""Fitting by EM: the functions that a user calls."""

import functools
import math
import warnings
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vaejax.checks import prng_key, require_choice, require_integer, require_number
from vaejax.em.frame import EMRows, Frame, chunked, restored, wide
from vaejax.em.gmm import GMMStep
from vaejax.em.linear import LinearStep, MissingLinearStep
from vaejax.em.loop import EMTrace, run, watched
from vaejax.em.mixtures import MixtureStep, Start
from vaejax.em.ppca_mixture import PPCAMixtureStep
from vaejax.em.step import RESTARTS, Chunks, EMStep, Hyper, Update
from vaejax.models import GMM, PPCA, FactorAnalysis, LatentModel, PPCAMixture
from vaejax.types import Array, ArrayLike, Key, Params

__all__ = ["DegenerateFit", "em_step", "fit"]


class DegenerateFit(UserWarning):
    """Components of a fit explain too few rows or stand on the variance floor: their likelihood is no evidence."""


def step_of(model: LatentModel, missing: bool = False, begin: Start = "kmeans") -> EMStep:
    """The EM step of a model; a `TypeError` or `ValueError` where there is none."""
    match model:
        case LatentModel(em_step=EMStep() as step):
            pass
        case GMM():
            step = GMMStep(model, begin)
        case PPCAMixture():
            step = PPCAMixtureStep(model, begin)
        case PPCA() | FactorAnalysis():
            step = (MissingLinearStep if missing else LinearStep)(model)
        case _:
            known = "a GMM, PPCA, FactorAnalysis or PPCAMixture, or a model with an em_step"
            raise TypeError(f"model: expected {known}, got {type(model).__name__}")
    if begin != "kmeans" and not isinstance(step, MixtureStep):
        raise ValueError(f"start: {begin!r} is for a GMM or a PPCAMixture, got {model}")
    if missing and not step.missing:
        raise ValueError(f"missing: expected covariance diag or spherical, PPCA or FactorAnalysis, got {model}")
    return step


def fit(
    model: LatentModel,
    key: Key,
    x: EMRows,
    *,
    num_steps: int,
    num_restarts: int = 1,
    weights: ArrayLike | None = None,
    tol: float | None = None,
    start: Start = "kmeans",
    init: Params | None = None,
    variance_floor: float | None = None,
    prior_count: float = 0.0,
    prior_variance: float | None = None,
    missing: bool = False,
    accelerate: bool = True,
    mesh: Mesh | None = None,
    progress: bool = True,
) -> tuple[Params, EMTrace]:
    r"""Fit a mixture, a linear Gaussian model or one with a step of its own by EM, as one compiled scan.

    The data are centred in float64 and brought to unit scale on the host. What is done to each row
    runs in float32 (in float64 where `x` is float64 and JAX is set to it), the sums over rows and the
    matrices of the M step in float64; the parameters come back in the units of `x`.

    With a prior the fit is maximum a posteriori: `prior_count` = $n_0$ pseudo-rows of variance
    $\psi$ = `prior_variance` behind each covariance add
    $-\tfrac12 n_0[\ln|\Sigma| + \mathrm{tr}(\psi\Sigma^{-1})]$ to the log-likelihood of all rows (an
    inverse-Wishart with $n_0 - D - 1$ degrees of freedom; inverse-gamma for variances).

    Args:
      model: a `GMM`, `PPCA`, `FactorAnalysis` or `PPCAMixture`, or any model that brings an `EMStep` as its `em_step`.
      key: for the starting points.
      x: rows (N, D) of floats, or images (N, H, W, C), which are flattened; uint8 is scaled to [0, 1]. Of a
        `data.Dataset` the train part.
      num_steps: number of EM steps, at most.
      num_restarts: starting points, run side by side; the best final objective is returned, of a fit without
        degenerate components where there is one (`EMTrace.degenerate`).
      weights: a non-negative weight for each row, shape (N,); a weight of 2 is the row twice.
      tol: stop where the objective (mean nats a row) moves by less; `None` takes every step.
      start: starting points of a mixture: `"kmeans"`, clusters, of full covariances in every third restart along one
        direction (`vaejax.em.mixtures.MixtureStep`); `"seeds"`, k-means++ seeds with the variance about them;
        `"random"`, the model's `init` in standard units. Linear models start at a small random W.
      init: parameters to start from instead; the mean of a PPCA or factor analysis is the data's, unless values are
        missing.
      variance_floor: least eigenvalue of a covariance and least noise variance, in squared units of `x`. Default:
        1e-8 of the variance of each column within the components at the start, at most of the variance of the
        column (spherical GMM and PPCA: of their mean); 1e-6 for second moments of 128 or more columns in float32.
      prior_count: $n_0$; 0 for maximum likelihood.
      prior_variance: $\psi$, in squared units of `x`. Default: the variances of the data.
      missing: treat nan as missing at random (PPCA, FactorAnalysis, diagonal and spherical GMM).
      accelerate: take parameter-expanded steps in the linear models, which reach the maximum in a
        fraction of plain EM's steps and are monotone too.
      mesh: devices with one axis named `"data"` to split the rows over.
      progress: show a bar where the fit takes more than two seconds.

    Returns:
      `(params, trace)`: the parameters and an `EMTrace`.

    Raises:
      ValueError: for data, weights or settings that cannot be meant; it names expected and actual.

    Warns:
      DegenerateFit: where no restart was free of degenerate components.

    Reference: Dempster, Laird and Rubin, 1977; Beaulac, 2019, sections 2.2 and 4.1.

    >>> import jax, numpy as np, vaejax as vj
    >>> x = np.concatenate([np.random.default_rng(0).normal(c, 0.1, (50, 2)) for c in (-1, 1)])
    >>> params, trace = vj.em.fit(vj.GMM(2, 2), jax.random.key(0), x, num_steps=20, tol=1e-4)
    >>> sorted(np.round(params["means"][:, 0]).tolist()), bool(trace.converged)
    ([-1.0, 1.0], True)
    """
    key = prng_key("key", key)
    step = step_of(model, missing, require_choice("start", start, get_args(Start)))
    if mesh is not None and not (isinstance(mesh, Mesh) and mesh.axis_names == ("data",)):
        raise ValueError(f"mesh: expected a jax.sharding.Mesh with the one axis 'data', got {mesh!r}")
    num_steps = require_integer("num_steps", num_steps, 0)
    num_restarts = require_integer("num_restarts", num_restarts)
    tol = -1.0 if tol is None else require_number("tol", tol, least=0.0)
    prior_count = require_number("prior_count", prior_count, least=0.0)
    rows, frame = chunked(
        step,
        x,
        weights,
        variance_floor=variance_floor,
        missing=missing,
        restarts=num_restarts,
        devices=1 if mesh is None else mesh.size,
    )
    believed = np.ones_like(frame.scale)
    if prior_variance is not None:
        believed = require_number("prior_variance", prior_variance, above=0.0) / frame.scale**2
    count = float(rows.w.sum(dtype=np.float64))
    pseudo = prior_count * count / frame.total
    begin = None if init is None else _into_frame(step, init, frame)
    with wide(), watched(progress, num_steps) as visible:
        if mesh is not None:
            split, everywhere = (NamedSharding(mesh, spec) for spec in (PartitionSpec("data"), PartitionSpec()))
            xs, w, mask = jax.device_put((rows.x, rows.w, rows.mask), split)
            rows = Chunks(xs, w, mask, jax.device_put(rows.raw, everywhere), mesh)
        hyper = Hyper(
            jnp.asarray(frame.floor, float),
            jnp.asarray(variance_floor is not None),
            jnp.zeros((), jnp.int32),
            jnp.asarray(pseudo, float),
            jnp.asarray(believed, float),
            may_reseed=jnp.zeros((), bool),
            expand=jnp.asarray(bool(accelerate)),
        )
        options = {"num_steps": num_steps, "num_restarts": num_restarts, "progress": visible}
        params, trace = run(step, key, rows, begin, hyper, jnp.asarray(tol, float), **options)
        params, trace = jax.tree.map(np.asarray, (params, trace))  # the trace stays in float64 on the host
    # The log-prior reads log-determinants, which change their units with the data.
    prior_shift = pseudo / count * step.covariances * float(np.log(frame.scale).sum())
    trace = trace._replace(
        objective=trace.objective - frame.log_jacobian - prior_shift,
        log_likelihood=trace.log_likelihood - frame.log_jacobian,
    )
    _warn_of_degenerate(step, trace)
    _warn_of_rounding(frame)
    return restored(step, params, frame), trace


def _warn_of_degenerate(step: EMStep, trace: EMTrace) -> None:
    if not np.any(trace.degenerate):
        return
    few, faults = trace.degenerate & (trace.effective_rows < step.least_rows), []
    if np.any(few):
        rows = ", ".join(f"{count:.1f}" for count in trace.effective_rows[few][:5])
        faults.append(
            f"{few.sum()} of {few.size} components explain too few rows ({rows}; {step.least_rows} are needed)"
        )
    if np.any(trace.at_floor & trace.degenerate):
        some = f"{trace.at_floor.sum()} of {few.size} components stand"
        which = "the noise stands" if step.model.num_components is None else some
        faults.append(f"{which} on the variance floor")
    fewer = "or fewer latents" if step.model.num_components is None else "fewer components, or tied or diagonal ones"
    message = f"{' and '.join(faults)}: this likelihood is no evidence; try a prior (prior_count=), {fewer}"
    warnings.warn(message, DegenerateFit, stacklevel=3)


def _warn_of_rounding(frame: Frame) -> None:
    """Parameters in float32 hold no column that lies 1e5 deviations from the origin, though the fit is right."""
    if not frame.double and np.any(far := np.abs(frame.shift) > 1e5 * frame.scale):
        column = int(np.argmax(far))
        warnings.warn(
            f"x: column {column} has mean {frame.shift[column]:.9g} and deviation {frame.scale[column]:.3g}: float32 "
            "rounds the parameters; standardise it (vaejax.data.standardize), or set jax_enable_x64",
            stacklevel=3,
        )


def _into_frame(step: EMStep, init: Params, frame: Frame) -> Params:
    expected = jax.eval_shape(step.model.init, jax.random.key(0))
    if jax.tree.structure(init) != jax.tree.structure(expected):
        names = sorted(init) if isinstance(init, dict) else type(init).__name__
        raise ValueError(f"init: expected the parameters {sorted(expected)}, got {names}")

    def checked(path: tuple, leaf: ArrayLike, like: jax.ShapeDtypeStruct) -> np.ndarray:
        name, values = f"init{jax.tree_util.keystr(path)}", np.asarray(leaf, np.float64)
        if values.shape != like.shape:
            raise ValueError(f"{name}: expected shape {like.shape}, got {values.shape}")
        if not np.all(np.isfinite(values)):
            raise ValueError(f"{name}: expected finite numbers, got {values[~np.isfinite(values)][0]}")
        if name.endswith("['scale_tril']") and np.any(np.diagonal(values, axis1=-2, axis2=-1) == 0):
            raise ValueError(f"{name}: expected non-zero diagonals, got a zero")
        return values

    init = jax.tree_util.tree_map_with_path(checked, init, expected)
    return step.rescale(init, -frame.shift / frame.scale, 1.0 / frame.scale)


@functools.partial(jax.jit, static_argnames=("missing",))
def em_step(
    model: LatentModel,
    params: Params,
    x: Array,
    *,
    weights: Array | None = None,
    variance_floor: float = 0.0,
    prior_count: float = 0.0,
    prior_variance: float = 1.0,
    missing: bool = False,
    accelerate: bool = False,
) -> Update:
    r"""One E step and one M step as a pure function of parameters and rows, in the units of the rows.

    It neither scales nor re-seeds nor looks at values (negative weights, nan); `fit` does. PPCA and factor analysis
    take the mean of the rows for their mean, its maximum likelihood, before the E step, and the values returned are
    at that mean. Arguments are those of `fit` with other defaults: `variance_floor` is zero, `prior_variance` one,
    and the step of a linear model is the sources' plain one.

    Args:
      model: as for `fit`.
      params: the old parameters $\theta^o$.
      x: rows, shape (N, D).
      weights: weight of each row, shape (N,).
      variance_floor: least eigenvalue of a covariance and least noise variance.
      prior_count: as in `fit`.
      prior_variance: as in `fit`.
      missing: as in `fit`.
      accelerate: as in `fit`.

    Returns:
      An `Update`: the new parameters, and the objective and log-likelihood at the old ones.

    >>> import jax, vaejax as vj
    >>> model = vj.GMM(2, 3)
    >>> x = jax.random.normal(jax.random.key(0), (50, 3))
    >>> first = vj.em.em_step(model, model.init(jax.random.key(1)), x)
    >>> second = vj.em.em_step(model, first.params, x)
    >>> bool(second.log_likelihood > first.log_likelihood)
    True
    """
    step, dim = step_of(model, missing), math.prod(model.event_shape)
    if jnp.ndim(x) != 2 or x.shape[1] != dim or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"x: expected floating-point rows (N, {dim}), got {x.dtype} of shape {jnp.shape(x)}")
    w = jnp.ones(len(x), x.dtype) if weights is None else jnp.asarray(weights, x.dtype)
    if w.shape != (len(x),):
        raise ValueError(f"weights: expected shape ({len(x)},), got {w.shape}")
    shift, unit = jnp.zeros(dim, x.dtype), np.ones(dim, x.dtype)
    mask = (~jnp.isnan(x)).astype(x.dtype) if missing else jnp.ones_like(x)
    x = jnp.where(mask > 0, x, 0.0)
    if step.frame != "none":
        shift = (w @ x) / jnp.maximum(w @ mask, jnp.finfo(x.dtype).tiny)
    x = jnp.where(mask > 0, x - shift[None], 0.0)
    turn = (lambda leaf: leaf[None]) if step.rows_first else (lambda leaf: leaf.T[None])
    rows = step.summarize(Chunks(turn(x), w[None], turn(mask) if missing else None))
    hyper = Hyper(
        jnp.maximum(jnp.asarray(variance_floor, x.dtype), jnp.finfo(x.dtype).eps ** 2),
        jnp.ones((), bool),
        jnp.zeros((), jnp.int32),
        jnp.asarray(prior_count, x.dtype),
        jnp.full(dim, prior_variance, x.dtype),
        jnp.zeros((), bool),
        jnp.asarray(accelerate),
    )
    alone = lambda params: step.update(params, rows, hyper, jax.random.key(0))  # noqa: E731
    params = jax.tree.map(lambda leaf: leaf[None], step.rescale(params, -shift, unit))
    result = jax.tree.map(lambda leaf: leaf[0], jax.vmap(alone, axis_name=RESTARTS)(params))
    return result._replace(params=step.rescale(result.params, shift, unit))
