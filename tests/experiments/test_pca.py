from types import SimpleNamespace

import numpy as np
import pytest

import vaejax as vj
from experiments.harness.study import Grid
from experiments.linear import pca


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(300, 5)) @ np.diag([3.0, 2.0, 1.0, 0.5, 0.5]) + 1.0).astype(np.float32)


def test_wider_layers_err_less_but_not_with_squares():
    errors = {unit: [pca.approximate(width, unit, 0)["error"] for width in (4, 64)] for unit in pca.UNITS}
    assert errors["tanh"][1] < 0.5 * errors["tanh"][0] and errors["relu"][1] < 0.5 * errors["relu"][0]
    assert errors["x²"][1] == pytest.approx(errors["x²"][0])  # any number of them is one parabola


def test_em_climbs_to_the_closed_form(rows):
    slow, fast = (pca.climb(rows[:250], rows[250:], 2, 40, faster, False, 0) for faster in (False, True))
    for found in (slow, fast):
        assert len(found["gap"]) == 40 and np.all(np.diff(found["gap"]) < 1e-5) and found["last"] == found["gap"][-1]
    assert abs(fast["last"]) < 1e-4 and fast["iwae"] == pytest.approx(fast["exact"], abs=1e-3)
    params = vj.em.ppca_exact(vj.PPCA(5, 2), rows[:250])
    covariance = np.asarray(params["weight"]) @ np.asarray(params["weight"]).T
    covariance += np.exp(2 * float(params["log_scale"])) * np.eye(5)
    off = rows[250:] - np.asarray(params["mean"])
    log_p = -0.5 * (np.sum(off @ np.linalg.inv(covariance) * off, 1) + np.linalg.slogdet(2 * np.pi * covariance)[1])
    assert fast["exact"] == pytest.approx(log_p.mean(), rel=1e-4)


def test_components_are_uncorrelated_and_have_the_eigenvalues_as_variances(rows):
    values, x = pca.components(rows, 3)
    assert x.shape == (300, 3) and len(values) == 5
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(x.T @ x / len(x), np.diag(values[:3]), atol=1e-4)
    assert values.sum() == pytest.approx(rows.var(0).sum(), rel=1e-5)


def test_what_is_above_a_share_of_the_largest_eigenvalue():
    count, length = pca.above(np.array([4.0, 3.0, 1.0]), (1.2, 0.5, 0.1))
    assert count == {1.2: 0, 0.5: 2, 0.1: 3}
    assert length == pytest.approx({1.2: 0.0, 0.5: 3.0, 0.1: 6.8})


def test_eigenvalues_of_all_images_stand_beside_their_references(monkeypatch):
    wide = np.random.default_rng(0).normal(size=(4000, 784)) * np.sqrt(np.r_[3.0, 0.7, 0.3, 0.15, np.full(780, 0.001)])
    monkeypatch.setattr(pca, "every", lambda name: (wide, wide[:10]))
    tables = []
    measure = lambda cells: {name: compute() for name, compute in cells.items()}
    study = SimpleNamespace(measure=measure, table=lambda title, columns, rows: tables.append(rows))
    assert list(pca.counts(study, "mnist").values()) == [1, 2, 3, 4, 0]
    assert [row[1:] for row in tables[0][:5]] == [("1", "12"), ("2", "23"), ("3", "39"), ("4", "69"), ("0", "0")]
    pca.counts(study, "digits")
    assert tables[0][4][0].startswith("392 = ") and {row[2] for row in tables[1]} == {"-"}


def test_latents_in_use_by_the_fixed_variance():
    cells = {"linear VAE, 0.5, seed 0": {"active": 2, "length": 2.9}, "VAE, 0.5, seed 0": {"active": 1}}
    grid = Grid(cells | {"linear VAE, 90.0, seed 0": {"active": 0, "length": 0.0}}, 1)
    columns, rows = pca.collapsed(grid, np.array([4.0, 3.0]), ("linear VAE", "VAE"), (90.0, 0.5))
    assert len(columns) == 6 and rows[0] == ("90 (360.00)", "0", "0.0", "-", "0.00", "0.00")
    assert rows[1] == ("0.5 (2.00)", "2", "2.0", "1.0", "3.00", "2.90")


def test_what_is_too_many_and_too_few_is_told_apart():
    grid = Grid({f"VAE, {share}, seed 0": {"active": active} for share, active in {0.6: 5, 0.3: 6, 0.1: 8}.items()}, 1)
    said = pca.excess(grid, "VAE", {0.6: 3, 0.3: 7, 0.1: 12})
    assert said == "at most 2.0 more (5.0 against 3 at 0.6) and at most 4.0 fewer (8.0 against 12 at 0.1)"
    assert pca.excess(grid, "VAE", {0.6: 5, 0.3: 7}) == "never more and at most 1.0 fewer (6.0 against 7 at 0.3)"


def test_all_images_are_rows_of_grey_values():
    train, test = pca.every("digits")
    assert train.shape[1] == test.shape[1] == 64 and 0.9 < train.max() <= 1.0 and len(train) > len(test)


def test_the_closed_form_is_scored_on_both_parts(rows):
    found = pca.scored(rows[:250], rows[250:], 2)
    assert found["test"] == pytest.approx(pca.climb(rows[:250], rows[250:], 2, 1, False, False, 0)["exact"])
    assert found["variance"] == pytest.approx(np.linalg.eigvalsh(np.cov(rows[:250].T, bias=True))[:3].mean(), rel=1e-4)
    em = Grid({f"{kind}, seed 0": {"last": 0.0123} for kind in pca.CLIMBS}, 1)
    table = pca.known(found, em, True)
    assert table[0][2] == "154.10" and table[3] == ("EM: nats below the maximum", "0.012", "0 to 0.05")
    assert {row[2] for row in pca.known(found, em, False)} == {"-"}
    assert pca.ends(em, 20) == (
        "Nats below the maximum after 20 steps: EM 0.0123 (as predicted for 300 steps on MNIST: 0 to 0.05), "
        "expanded EM 0.0123, EM from N(0, 1) 0.0123 (not as predicted for 300 steps on MNIST: 2 to 5)."
    )
    near = Grid({f"{kind}, seed {i}": {"last": (-8.7e-5, 2e-6)[i]} for kind in pca.CLIMBS for i in (0, 1)}, 2)
    assert pca.ends(near, 20).startswith("Nats below the maximum after 20 steps: EM within 0.0001 (as predicted")


def test_em_starts_where_it_is_told(rows):
    near, wide = (pca.climb(rows[:250], rows[250:], 2, 3, False, wide, 0) for wide in (False, True))
    assert near["gap"][0] != wide["gap"][0] and np.all(np.diff(wide["gap"]) < 1e-5)
