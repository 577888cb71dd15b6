"""Scores of rows unlike the training data, and how well they separate."""

from typing import Literal

import numpy as np
from jaxtyping import Float

from vaejax.checks import require_choice, require_integer
from vaejax.evaluate.evidence import exact_log_evidence, log_evidence_estimate
from vaejax.evaluate.rows import bounds, checked
from vaejax.models import LatentModel
from vaejax.types import ArrayLike, Key, Params

__all__ = ["anomaly_scores", "auroc"]


def anomaly_scores(
    model: LatentModel,
    params: Params,
    key: Key,
    x: ArrayLike,
    context: ArrayLike | None = None,
    *,
    score: Literal["elbo", "iwae", "log_evidence"] = "elbo",
    k: int = 100,
    background: tuple[LatentModel, Params] | None = None,
) -> Float[np.ndarray, " N"]:
    r"""Unlikeness to the training data of each row, nats: higher is stranger.

    $$s(x) = -\mathcal L(x), \qquad\text{or with a background model}\qquad s(x) = \mathcal L_0(x) - \mathcal L(x)$$

    where $\mathcal L$ is a bound on log p(x). The ratio takes out what makes any image likely, such as a
    plain background.

    Args:
      model: the model of usual rows.
      score: `"elbo"` (one draw; of an autoencoder the reconstruction's log-likelihood), `"iwae"` or, in
        closed form, `"log_evidence"`.
      k: draws of `"iwae"`.
      background: `(model, params)` of the background model, for instance one trained on rows whose pixels
        were replaced at random; it is scored with the same draws and context.

    Reference: Ren et al., 2019 (the ratio); Nalisnick et al., 2019 (why the bound alone fails).

    >>> import jax, vaejax as vj
    >>> model = vj.PPCA(dim=4, latent_dim=1)
    >>> x = np.stack([np.zeros(4), np.full(4, 9.0)])
    >>> near, far = anomaly_scores(model, model.init(jax.random.key(0)), jax.random.key(1), x)
    >>> bool(near < far)
    True
    """
    require_choice("score", score, ("elbo", "iwae", "log_evidence"))
    require_integer("k", k)

    def bound(model: LatentModel, params: Params) -> np.ndarray:
        rows = checked(model, x, context)
        match score:
            case "elbo":
                values = bounds(model, params, key, rows).value
            case "iwae":
                values = log_evidence_estimate(model, params, key, rows, k=k, progress=False).log_evidence
            case _:
                values = exact_log_evidence(model, params, rows)
        return np.asarray(values, np.float64)

    scores = -bound(model, params)
    return scores if background is None else scores + bound(*background)


def auroc(scores_in: ArrayLike, scores_out: ArrayLike) -> float:
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
