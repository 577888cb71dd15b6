"""Which EM serves which model."""

from collections.abc import Callable
from typing import Any, NamedTuple

from vaejax.em import gmm, linear, linear_missing, ppca_mixture
from vaejax.models import GMM, PPCA, FactorAnalysis, LatentModel, PPCAMixture

__all__ = ["Family", "family_of"]


class Family(NamedTuple):
    """The pieces of one model's EM.

    Attributes:
      start: `(model, key, data, hyper) -> params` in the standard frame.
      step: `(model, params, data, hyper, key, mesh) -> Step`.
      rescale: `(model, params, shift, scale) -> params` of shift + scale * x.
      summarize: what a step sees of the rows: the rows themselves or their second moments.
      per_column: whether columns may be scaled one by one (the family is closed under it).
      rows_last: whether chunks run down the rows, x of shape (n, D, C).
      width: numbers that a step holds for each row, for the size of the chunks.
      covariances: number of covariances that a prior rests on.
      double: whether float64 data are summed up in float64 even where JAX is set to float32.
    """

    start: Callable[..., Any]
    step: Callable[..., Any]
    rescale: Callable[..., Any]
    summarize: Callable[..., Any]
    per_column: bool
    rows_last: bool
    width: int
    covariances: int = 1
    double: bool = False


def _as_they_are(rows: Any, mesh: Any = None) -> Any:
    return rows


def family_of(model: LatentModel, missing: bool = False) -> Family:
    """The EM of a model; a `TypeError` or `ValueError` where there is none."""
    match model:
        case GMM():
            if missing and model.covariance not in ("diag", "spherical"):
                raise ValueError(f"missing: expected covariance diag or spherical, got {model.covariance!r}")
            per_column, width = model.covariance != "spherical", model.num_components * model.dim
            covariances = 1 if model.covariance == "tied" else model.num_components
            return Family(gmm.start, gmm.step, gmm.rescale, _as_they_are, per_column, True, width, covariances)
        case PPCAMixture():
            if missing:
                raise ValueError("missing: expected a PPCA, a FactorAnalysis or a diagonal GMM, got a PPCAMixture")
            width = model.num_components * model.dim
            pieces = ppca_mixture.start, ppca_mixture.step, ppca_mixture.rescale
            return Family(*pieces, _as_they_are, False, True, width, model.num_components)
        case PPCA() | FactorAnalysis():
            per_column = isinstance(model, FactorAnalysis)
            if missing:
                width = max(model.dim, 4 * model.latent_dim**2)
                return Family(linear.start, linear_missing.step, linear.rescale, _as_they_are, per_column, True, width)
            return Family(
                linear.start,
                linear.step,
                linear.rescale,
                linear.second_moments,
                per_column,
                False,
                model.dim // 8 + 1,
                1,
                True,
            )
        case _:
            raise TypeError(f"model: expected a GMM, PPCA, FactorAnalysis or PPCAMixture, got {type(model).__name__}")
