"""Scores that tell rows unlike the training data, and how well they do."""

from typing import Any

import jax
import numpy as np

from vaejax.data.inputs import Rows, checked_rows
from vaejax.evaluate.criteria import log_evidences
from vaejax.evaluate.evidence import importance_bounds
from vaejax.models import LatentModel, elbo
from vaejax.models.model import require_at_least

__all__ = ["anomaly_scores", "auroc"]

SCORES = ("elbo", "iwae", "log_evidence")
_AT_ONCE = 256


@jax.jit
def _elbos(model: LatentModel, params: Any, key: jax.Array, rows: Rows) -> jax.Array:
    one = lambda row: elbo(model, params, row[0], row[1].x, row[1].context).value  # noqa: E731
    return jax.lax.map(one, (jax.random.split(key, len(rows.x)), rows), batch_size=min(len(rows.x), _AT_ONCE))


def anomaly_scores(
    model: LatentModel,
    params: Any,
    key: jax.Array,
    x: Any,
    context: Any = None,
    *,
    score: str = "elbo",
    k: int = 100,
    background: tuple[LatentModel, Any] | None = None,
) -> np.ndarray:
    r"""How unlike the training data each row is: higher is stranger.

    $$s(x) = -\mathcal L(x), \qquad\text{or with a background model}\qquad s(x) = \mathcal L_0(x) - \mathcal L(x)$$

    where $\mathcal L$ is a bound on log p(x). The ratio takes out what makes any image likely, such as a
    plain background.

    Args:
      model: the model of what is usual.
      params: its parameters.
      key: a PRNG key.
      x: rows (N, ...).
      context: labels or vectors, where the model has a context.
      score: `"elbo"` (one draw; of an autoencoder the reconstruction's log-likelihood), `"iwae"` or, in
        closed form, `"log_evidence"`.
      k: draws of `"iwae"`.
      background: `(model, params)` of the background model, for instance one trained on rows whose pixels
        were replaced at random; it is scored with the same draws and context.

    Returns:
      Nats, shape (N,).

    Reference: Ren et al., 2019 (the ratio); Nalisnick et al., 2019 (why the bound alone fails).

    >>> import vaejax as vj
    >>> model = vj.PPCA(dim=4, latent_dim=1)
    >>> x = np.stack([np.zeros(4), np.full(4, 9.0)])
    >>> near, far = anomaly_scores(model, model.init(jax.random.key(0)), jax.random.key(1), x)
    >>> bool(near < far)
    True
    """
    if score not in SCORES:
        raise ValueError(f"score: expected one of {', '.join(SCORES)}, got {score!r}")
    require_at_least("k", k, 1)

    def bound(model: LatentModel, params: Any) -> np.ndarray:
        rows = checked_rows(model, x, context, "x")
        match score:
            case "elbo":
                return np.asarray(_elbos(model, params, key, rows), np.float64)
            case "iwae":
                return np.asarray(importance_bounds(model, params, key, x, context, k=k), np.float64)
            case _:
                return np.asarray(log_evidences(model, params, rows.x), np.float64)

    return (0.0 if background is None else bound(*background)) - bound(model, params)


def auroc(scores_in: Any, scores_out: Any) -> float:
    r"""Area under the receiver operating characteristic: how often a strange row scores above a usual one.

    $$P(s_\text{out} > s_\text{in}) + \tfrac12 P(s_\text{out} = s_\text{in}),$$ exactly, over all pairs.

    Args:
      scores_in: scores of usual rows, shape (N,).
      scores_out: scores of strange rows, shape (M,); higher is stranger. Infinite ones are allowed.

    Returns:
      1 for perfect separation, 0.5 for none.

    Reference: Mann and Whitney, 1947; Hanley and McNeil, 1982.

    >>> auroc([0.0, 1.0, 2.0], [1.0, 3.0])
    0.75
    """
    usual, strange = (np.asarray(scores, np.float64) for scores in (scores_in, scores_out))
    for name, scores in (("scores_in", usual), ("scores_out", strange)):
        if scores.ndim != 1 or not len(scores) or np.isnan(scores).any():
            raise ValueError(f"{name}: expected a vector of numbers, got shape {scores.shape} or nan")
    usual = np.sort(usual)
    below, upto = (np.searchsorted(usual, strange, side) for side in ("left", "right"))
    return float((below + upto).sum() / (2.0 * len(usual) * len(strange)))
