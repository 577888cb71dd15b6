"""The linear model as a yardstick: against the Gaussian that it is."""

import jax
import numpy as np
import pytest
from scipy import stats

import vaejax as vj
from experiments.harness.study import Base, Study
from experiments.shared import linear_model, pixels


def test_evidence_is_that_of_the_gaussian_with_the_largest_directions_kept():
    rng = np.random.default_rng(0)
    train = (rng.normal(size=(400, 3)) @ np.diag([3.0, 1.0, 0.5])).astype(np.float32)
    test = train[:50] + np.float32(0.1)
    values, vectors = np.linalg.eigh(np.cov(train.T, bias=True))
    kept = np.array([values[:2].mean(), values[:2].mean(), values[2]])
    p = stats.multivariate_normal(train.mean(0), vectors @ np.diag(kept) @ vectors.T)
    np.testing.assert_allclose(linear_model.evidence(train, test, 1), p.logpdf(test).mean(), rtol=1e-4)
    model, params = linear_model.ppca(train, 1)
    assert model.latent_dim == 1
    np.testing.assert_allclose(np.exp(2 * params["log_scale"]), values[:2].mean(), rtol=1e-4)


def test_what_a_network_gains_is_over_the_linear_model():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 3)).astype(np.float32) * np.float32([2.0, 1.0, 0.5])
    data = vj.data.Dataset(vj.data.Split(x[:200]), None, vj.data.Split(x[200:]))
    model = vj.zoo.vae(3, 1, hidden=(2,), likelihood=vj.heads.normal("shared"))
    params = jax.tree.map(np.zeros_like, model.init(jax.random.key(0)))
    params = params | {"likelihood": {"log_scale": np.float32(np.log(1.5))}}
    found = linear_model.gain(model, params, data, k=500)
    exact = stats.norm(0.0, 1.5).logpdf(data.test.x).sum(1).mean()  # the decoder does not look at z
    assert found["iwae"] == pytest.approx(exact, abs=0.05) and found["sigma"] == pytest.approx(1.5)
    assert found["ppca"] == pytest.approx(linear_model.evidence(data.train.x, data.test.x, 1))
    assert found["gain"] == found["iwae"] - found["ppca"] < 0


def test_the_table_of_references_is_of_all_grey_values(tmp_path, monkeypatch):
    digits = vj.data.digits()
    train, test = (pixels.grey(part).reshape(len(part), -1) for part in (digits.train, digits.test))
    monkeypatch.setattr(vj.data, "mnist", vj.data.digits)
    monkeypatch.setattr(linear, "MNIST", {3: (0.5, 6.0, 7.0)})
    study = Study("a.b", Base(out=tmp_path, work=tmp_path), "?")
    linear_model.reference(study)
    variance = np.exp(2 * linear_model.ppca(train, 3)[1]["log_scale"])
    both = [f"{linear_model.evidence(train, part, 3):.2f}" for part in (train, test)]
    row = ["pPCA, M = 3", f"{variance:.5f}", "0.50000", both[0], "6.00", both[1], "7.00"]
    assert study.tables[0]["rows"] == [row] and study.numbers["pPCA, M = 3"]["variance"] == pytest.approx(variance)
