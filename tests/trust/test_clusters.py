"""Mixtures find the clusters that are there, and say where a likelihood is no evidence for them."""

import warnings

import jax
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.metrics import adjusted_rand_score

import vaejax as vj


def table(load):
    data = load()
    return ((data.data - data.data.mean(0)) / data.data.std(0)).astype(np.float32), data.target


def oblique(seed, angle, count):
    """Long parallel clusters, 100 to 1, side by side and rotated."""
    rng, angle = np.random.default_rng(seed), np.deg2rad(angle)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    labels = np.repeat(np.arange(count), 400)
    across = (labels - (count - 1) / 2) * 1.2
    x = rng.normal(size=(len(labels), 2)) * [10.0, 0.1] + np.stack([np.zeros(len(labels)), across], 1)
    return (x @ turn.T).astype(np.float32), labels


def clusters(x, labels, model, seed, restarts):
    params, trace = vj.em.fit(model, jax.random.key(seed), x, num_steps=200, num_restarts=restarts, tol=1e-5)
    assert not trace.degenerate.any()
    return adjusted_rand_score(labels, vj.evaluate.labels(model, params, x)), trace.log_likelihood[-1]


# scikit-learn 1.9, n_init=3, eight seeds: median and least adjusted Rand index, mean log-likelihood.
PEER = {
    "wine-full": (load_wine, 3, 0.86, 0.85, -11.776),
    "iris-full": (load_iris, 3, 0.90, 0.90, -1.937),
    "cancer-full": (load_breast_cancer, 2, 0.77, 0.77, 0.169),
    "cancer-tied": (load_breast_cancer, 2, 0.71, 0.69, -6.997),
}


@pytest.mark.parametrize("name", PEER)
def test_a_mixture_finds_the_classes_of_a_table(name):
    load, k, median, least, score = PEER[name]
    x, labels = table(load)
    model = vj.GMM(k, x.shape[1], name.split("-")[1])
    found = np.array([clusters(x, labels, model, seed, restarts=3) for seed in range(8)])
    margin = 0.12 if model.covariance == "tied" else 0.05
    assert np.median(found[:, 0]) >= median - margin and found[:, 0].min() >= least - 0.12
    assert found[:, 1].mean() >= score - 0.02


@pytest.mark.parametrize(("angle", "count"), [(35, 3), (70, 4), (20, 5)])
def test_a_mixture_finds_long_oblique_clusters(angle, count):
    model = vj.GMM(count, 2)
    right = [clusters(*oblique(seed, angle, count), model, seed, restarts=6)[0] > 0.95 for seed in range(8)]
    assert sum(right) >= 7


def test_a_likelihood_that_is_no_evidence_is_said():
    """Nine rows in ten columns can be any component's own: no restart is free of it, and BIC says so too."""
    x = np.random.default_rng(0).normal(size=(40, 10)).astype(np.float32)
    model = vj.GMM(5, 10)
    with pytest.warns(vj.em.DegenerateFit, match="of 5 components") as said:
        params, trace = vj.em.fit(model, jax.random.key(0), x, num_steps=100)
    assert len(said) == 1 and trace.degenerate.any()
    np.testing.assert_allclose(trace.effective_rows.sum(), 40, rtol=1e-5)
    with pytest.warns(vj.em.DegenerateFit):
        vj.evaluate.bic(model, params, x)
    with pytest.warns(vj.em.DegenerateFit):
        vj.evaluate.aic(model, params, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vj.em.fit(model, jax.random.key(0), x, num_steps=100, prior_count=12.0)


def test_a_degenerate_restart_loses_against_one_that_is_not():
    """On wine some random starts end with a component of a few rows, and win by likelihood."""
    x, _ = table(load_wine)
    model, options = vj.GMM(3, 13), {"num_steps": 100, "start": "random"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", vj.em.DegenerateFit)
        alone = [vj.em.fit(model, jax.random.key(seed), x, **options)[1] for seed in range(12)]
    fallen = {bool(trace.degenerate.any()) for trace in alone}
    assert fallen == {False, True}, "all starts end alike: this test shows nothing"
    assert max(alone, key=lambda trace: trace.objective[-1]).degenerate.any()
    for seed in range(4):
        assert not vj.em.fit(model, jax.random.key(seed), x, num_restarts=8, **options)[1].degenerate.any()


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
def test_clusters_far_apart_keep_their_spread(covariance):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0.0, 1.0, 300), rng.normal(1e5, 1.0, 300)])[:, None]
    params, trace = vj.em.fit(vj.GMM(2, 1, covariance), jax.random.key(0), x, num_steps=50)
    sigma = np.exp(params["log_scale"]) if "log_scale" in params else np.abs(params["scale_tril"])
    np.testing.assert_allclose(sigma, 1.0, atol=0.05)
    assert not trace.at_floor.any()


def test_a_floor_that_is_active_is_said():
    """Three sentinels of 1e6 widen the variance that the floor of a linear model refers to."""
    rng = np.random.default_rng(0)
    x = rng.normal(0.0, 0.95, (300, 2))
    x[:3, 0] = 1e6
    with pytest.warns(vj.em.DegenerateFit, match="1 of 2 components stand on the variance floor"):
        params, trace = vj.em.fit(vj.GMM(2, 2), jax.random.key(0), x, num_steps=50, num_restarts=3)
    np.testing.assert_allclose(np.abs(params["scale_tril"][:, 0, 0]).max(), 0.95, atol=0.1)
    assert trace.at_floor.sum() == 1
    with pytest.warns(vj.em.DegenerateFit, match="the noise stands on the variance floor"):
        vj.em.fit(vj.PPCA(2, 1), jax.random.key(0), x, num_steps=50)


def test_a_constant_column_is_no_fault_of_a_component():
    rng = np.random.default_rng(0)
    x = np.stack([np.r_[rng.normal(-3, 1, 100), rng.normal(3, 1, 100)], np.full(200, 7.0)], 1)
    for model in (vj.GMM(2, 2), vj.GMM(2, 2, "tied"), vj.GMM(2, 2, "diag"), vj.FactorAnalysis(2, 1)):
        _, trace = vj.em.fit(model, jax.random.key(0), x, num_steps=30)
        assert not trace.degenerate.any()


def test_starts_are_chosen_by_name():
    x = np.random.default_rng(0).normal(size=(60, 2))
    for start in ("kmeans", "seeds", "random"):
        for model in (vj.GMM(2, 2), vj.PPCAMixture(2, 2, 1)):
            assert np.isfinite(vj.em.fit(model, jax.random.key(0), x, num_steps=3, start=start)[1].objective).all()
    with pytest.raises(ValueError, match="start: expected one of kmeans, seeds, random, got 'k-means'"):
        vj.em.fit(vj.GMM(2, 2), jax.random.key(0), x, num_steps=3, start="k-means")
    with pytest.raises(ValueError, match="start: 'seeds' is for a GMM or a PPCAMixture"):
        vj.em.fit(vj.PPCA(2, 1), jax.random.key(0), x, num_steps=3, start="seeds")
