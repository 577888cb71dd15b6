"""The linear model with one sigma, pPCA, as what networks are compared with: its best fit is known."""

from typing import Any

import numpy as np

import vaejax as vj

__all__ = ["evidence", "ppca"]


def ppca(train: np.ndarray, latent_dim: int) -> tuple[vj.PPCA, Any]:
    """The model and its parameters of most likelihood of these rows."""
    model = vj.PPCA(train.shape[1], latent_dim)
    return model, vj.em.ppca_exact(model, train)


def evidence(train: np.ndarray, test: np.ndarray, latent_dim: int) -> float:
    """Mean log-likelihood of test rows, nats."""
    return float(np.mean(vj.log_evidences(*ppca(train, latent_dim), test)))
