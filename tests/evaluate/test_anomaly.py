import jax
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import vaejax as vj
from tests.refusals import refused

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def test_auroc_counts_every_pair_and_halves_ties():
    usual, strange = RNG.integers(0, 6, 40) / 2, RNG.integers(2, 8, 25) / 2
    pairs = np.sign(strange[:, None] - usual[None])
    area = vj.evaluate.auroc(usual, strange)
    assert area == pytest.approx(np.mean((pairs + 1) / 2), abs=1e-15)
    assert area == pytest.approx(roc_auc_score([0] * 40 + [1] * 25, np.concatenate([usual, strange])))
    assert vj.evaluate.auroc(strange, usual) == pytest.approx(1.0 - area)
    assert vj.evaluate.auroc([0.0, 0.0], [0.0]) == 0.5 and vj.evaluate.auroc([0.0], [np.inf]) == 1.0
    for bad in ([], [np.nan], [[1.0]]):
        refused("scores_out: expected a vector of numbers", vj.evaluate.auroc, [0.0], bad)


def test_anomaly_scores_are_the_bounds_and_their_ratio(ppca):
    model, params, x, exact = ppca
    scores = {name: vj.evaluate.anomaly_scores(model, params, KEY, x, score=name, k=3) for name in ("iwae", "elbo")}
    np.testing.assert_allclose(scores["iwae"], -exact, rtol=1e-4)
    bounds = jax.vmap(lambda key, x: vj.elbo(model, params, key, x).value)(jax.random.split(KEY, 40), x)
    np.testing.assert_allclose(scores["elbo"], -bounds, rtol=1e-4)
    other = params | {"mean": params["mean"] + 1.0}
    ratio = vj.evaluate.anomaly_scores(model, params, KEY, x, score="log_evidence", background=(model, other))
    plain = vj.evaluate.anomaly_scores(model, other, KEY, x, score="log_evidence")
    np.testing.assert_allclose(ratio, -exact - plain, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="score: expected one of elbo, iwae, log_evidence, got 'loss'"):
        vj.evaluate.anomaly_scores(model, params, KEY, x, score="loss")
    refused("finite", vj.evaluate.anomaly_scores, model, params, KEY, np.full((2, 5), np.nan))
