"""Everything known of a model in one call: the scores that are there for the inputs, and that they are right."""

import jax
import numpy as np
import pytest

import vaejax as vj
from tests.refusals import refused

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def fitted(data):
    """A pPCA of the digits, its parameters, and the dequantised train and test rows with labels."""
    parts = data.train, data.test.take(slice(80))
    train, test = (vj.data.Split(vj.data.dequantize(part.x, levels=17), part.y) for part in parts)
    model = vj.PPCA(64, 4)
    return model, vj.em.ppca_exact(model, train.x), train, test


@pytest.fixture(scope="module")
def scores(fitted, classifier):
    model, params, train, test = fitted
    return vj.evaluate.run(model, params, KEY, test.x, train=train, labels=test.y, classifier=classifier)


def test_the_table_holds_every_part_with_its_error(scores, fitted, classifier):
    model, params, train, test = fitted
    exact = np.asarray(vj.evaluate.exact_log_evidence(model, params, test.x))
    assert scores["log_evidence"].value == pytest.approx(exact.mean(), abs=1e-3)
    codes = [np.asarray(jax.vmap(vj.encode, (None, None, 0))(model, params, part.x)) for part in (train, test)]
    for name, probe in (("linear_probe", vj.evaluate.codes.linear_probe), ("knn_probe", vj.evaluate.codes.knn_probe)):
        share = probe(codes[0], train.y, codes[1], test.y)
        assert scores[name].value == pytest.approx(share, abs=0.02)  # ties and roundings of float32
        assert scores[name].standard_error == pytest.approx(np.sqrt(share * (1 - share) / 80), abs=0.005)
    assert 0.2 < scores["kmeans_nmi"].value < 0.9 and 0.005 < scores["kmeans_nmi"].standard_error < 0.1
    assert classifier.sha256[:16] in scores["sample_frechet_distance"].protocol
    assert scores["sample_lag1_correlation"].value < scores["mean_lag1_correlation"].value  # the noise has none
    assert scores["sample_out_of_range"].value > scores["mean_out_of_range"].value
    assert scores["train_frechet_distance"].value < scores["sample_frechet_distance"].value
    found = scores.diagnosis
    assert found is not None and scores["active_units"].value == 4
    gap = scores["generalisation_gap"]
    assert gap.value == found.numbers["generalisation_gap"] and 0.5 < gap.standard_error < 5
    assert not {"reference_frechet_distance", "accuracy", "ais", "mig"} & scores.keys()


def test_labels_that_mean_nothing_score_nothing_and_wrong_ones_are_refused(fitted):
    model, params, train, test = fitted
    noise = np.random.default_rng(0).integers(0, 10, len(train)).astype(np.int32)
    mixed = vj.data.Split(train.x, noise)
    found = vj.evaluate.run(model, params, KEY, train.x, train=mixed, labels=noise, quick=True)
    assert found["kmeans_nmi"].value < 0.05 and found["linear_probe"].value < 0.25 and found.diagnosis is None
    refused("labels: expected 80 integer labels", vj.evaluate.run, model, params, KEY, test.x, labels=test.y[:3])


def test_clusters_of_a_mixture_are_its_components():
    data = vj.data.gaussian_mixture(300, seed=0)
    model = vj.GMM(3, 2)
    params, _ = vj.em.fit(model, KEY, data.train.x, num_steps=50, num_restarts=3)
    found = vj.evaluate.run(model, params, KEY, data.test.x, labels=data.test.y)
    components = np.asarray(vj.evaluate.labels(model, params, data.test.x))
    assert found["cluster_nmi"].value == vj.evaluate.codes.nmi(components, data.test.y) > 0.5
    assert "active_units" not in found


def test_annealing_joins_where_it_is_asked_for(fitted):
    model, params, _, test = fitted
    found = vj.evaluate.run(model, params, KEY, test.x[:4], ais=8, quick=True, progress=False, log_jacobian=1.0)
    exact = np.asarray(vj.evaluate.exact_log_evidence(model, params, test.x[:4]))
    assert found["ais"].value == pytest.approx(exact.mean() + 1.0, abs=0.5)
    assert found["ais_minus_iwae"].value == pytest.approx(found["ais"].value - 1.0 - exact.mean(), abs=1e-3)
    assert -0.2 < found["bdmc_gap"].value < 1.0 and "8 chains, 500 temperatures" in found["ais"].protocol


def test_conditional_samples_are_asked_for_by_the_labels_of_the_rows(data, classifier):
    test = data.test.take(slice(40))
    model = vj.zoo.conditional_vae((8, 8, 1), 2, 10, hidden=(8,))
    x = np.asarray(test.x > 127, np.float32)
    params = jax.jit(model.init)(KEY)
    found = vj.evaluate.run(model, params, KEY, x, test.y, classifier=classifier, grey=test.x, quick=True, k=2)
    assert 0.0 <= found["sample_accuracy"].value < 0.6  # of an untrained model
    assert found["sample_out_of_range"].value == 0.0


def test_factors_are_scored_where_they_are_known():
    sprites = vj.data.sprites(1, size=8, fixed={"shape": 0, "orientation": 0})
    model, x = vj.PPCA(64, 2), np.asarray(sprites.render(sprites.draw(KEY, 50)), np.float32) / 255
    found = vj.evaluate.run(model, vj.em.ppca_exact(model, x), KEY, x, sprites=sprites, quick=True)
    again = vj.evaluate.disentanglement.score(model, vj.em.ppca_exact(model, x), jax.random.key(1), sprites)
    for name in ("mig", "sap", "dci_informativeness", "factor_vae"):
        assert abs(found[name].value - again[name]) < 10 * found[name].standard_error + 0.02
    assert found["factor_vae"].value > 0.5
