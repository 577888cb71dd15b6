"""The scores of disentanglement at their known extremes."""

import functools
import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from tests.refusals import refused
from vaejax import data
from vaejax.evaluate import disentanglement, interventions

SIZES = (3, 6, 8, 10)
CLASSES = (0,)
FAST = {"num_train": 120, "num_test": 120}


def draws(count, sizes=SIZES):
    return np.random.default_rng(0).integers(0, np.array(sizes)[None], (count, len(sizes)))


FACTORS = draws(3000)
SPREAD = (FACTORS - FACTORS.mean(0)) / FACTORS.std(0)
NOISE = np.random.default_rng(1)
ROTATION = 0.5 * np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])  # every code has all factors

dci = functools.partial(disentanglement.dci, trees=10)
sap = functools.partial(disentanglement.sap, categorical=CLASSES)


@pytest.mark.parametrize(
    "codes",
    [
        FACTORS,
        FACTORS[:, ::-1] * np.array([[-3.0, 1e-3, 1e4, 2.0]]) + 7.0,
        np.concatenate([FACTORS, NOISE.normal(size=(3000, 3)), np.ones((3000, 2))], 1),
    ],
    ids=["as they are", "permuted and rescaled", "with noise and dead codes beside them"],
)
def test_one_code_for_each_factor_is_perfect(codes):
    assert abs(disentanglement.mig(codes, FACTORS) - 1.0) < 0.02
    assert abs(sap(codes, FACTORS) - 1.0) < 0.02
    np.testing.assert_allclose(dci(codes, FACTORS, categorical=CLASSES), 1.0, atol=0.02)


def test_codes_that_are_independent_of_the_factors_score_nothing():
    codes = np.random.default_rng(2).normal(size=(3000, 5))
    assert disentanglement.mig(codes, FACTORS) < 0.01
    assert sap(codes, FACTORS) < 0.02
    assert max(dci(codes, FACTORS, categorical=CLASSES)) < 0.05


def test_a_rotation_hides_the_factors_but_keeps_their_information():
    codes = SPREAD @ ROTATION
    assert disentanglement.mig(codes, FACTORS) < 0.05
    assert sap(codes, FACTORS) < 0.05
    scores = dci(codes, FACTORS, categorical=CLASSES)
    assert scores.disentanglement < 0.2 and scores.completeness < 0.2
    assert scores.informativeness > 0.85


def test_two_equal_codes_have_no_gap_and_are_not_complete():
    codes = np.concatenate([SPREAD, SPREAD], 1)
    assert disentanglement.mig(codes, FACTORS) == 0.0 and abs(sap(codes, FACTORS)) < 1e-12
    scores = dci(codes, FACTORS)
    assert scores.disentanglement > 0.98 and scores.completeness < 0.9 and scores.informativeness > 0.98


def test_one_code_of_everything_is_complete_and_not_disentangled():
    factors = draws(2000, (4, 4))
    scores = dci((4 * factors[:, :1] + factors[:, 1:]).astype(float), factors)
    assert scores.disentanglement < 0.01 and scores.completeness == 1.0 and scores.informativeness > 0.98


def test_order_and_scale_of_the_codes_do_not_matter():
    codes = SPREAD @ ROTATION + 0.3 * np.random.default_rng(3).normal(size=SPREAD.shape)
    again = codes[:, [2, 0, 3, 1]] * np.array([[5.0, 1e-3, 30.0, 1.0]]) - 4.0
    for score in (disentanglement.mig, sap):
        np.testing.assert_allclose(score(codes, FACTORS), score(again, FACTORS), atol=1e-3)
        np.testing.assert_allclose(score(-codes, FACTORS), score(codes, FACTORS), atol=1e-3)
    np.testing.assert_allclose(dci(codes, FACTORS, trees=30), dci(again, FACTORS, trees=30), atol=0.02)


@pytest.mark.parametrize("codes", [np.zeros((3000, 3)), np.full((3000, 1), 0.1, np.float32)], ids=["zeros", "tenths"])
def test_collapsed_codes_score_nothing(codes):
    assert disentanglement.mig(codes, FACTORS) == 0.0
    assert sap(codes, FACTORS) == 0.0
    assert dci(codes, FACTORS, categorical=CLASSES) == (0.0, 0.0, 0.0)


def test_mig_by_hand():
    grid = np.stack(np.unravel_index(np.arange(8), (2, 4)), 1)
    # z0 is v1; z1 is v0 and the lower bit of v1: gaps of ln 2 / ln 2 for v0 and (ln 4 - ln 2) / ln 4 for v1.
    codes = np.stack([grid[:, 1], 2 * grid[:, 0] + grid[:, 1] % 2], 1)
    np.testing.assert_allclose(disentanglement.mig(codes, grid), (1.0 + 0.5) / 2, atol=1e-12)
    fine = np.arange(32)[:, None]
    information = 24 / 32 * math.log(16) + 8 / 32 * math.log(32)  # 12 bins hold two values, 8 hold one
    np.testing.assert_allclose(disentanglement.mig(fine, fine), information / math.log(32), atol=1e-12)
    np.testing.assert_allclose(disentanglement.mig(fine, fine, bins=32), 1.0, atol=1e-12)


def test_mig_against_scikit_learn():
    from sklearn.metrics import mutual_info_score

    codes = SPREAD @ ROTATION + np.random.default_rng(8).normal(size=(3000, 4))
    edges = [np.linspace(code.min(), code.max(), 21)[1:-1] for code in codes.T]
    cells = [np.digitize(code, edge) for code, edge in zip(codes.T, edges, strict=True)]
    gaps = []
    for value in FACTORS.T:
        best = sorted(mutual_info_score(cell, value) for cell in cells)
        gaps.append((best[-1] - best[-2]) / mutual_info_score(value, value))
    np.testing.assert_allclose(disentanglement.mig(codes, FACTORS), np.mean(gaps), rtol=1e-9)


def test_sap_by_hand():
    x = np.random.default_rng(4).integers(0, 9, (5000, 1))
    noise = np.random.default_rng(5).normal(size=(5000, 2)) * x.std()
    codes = np.concatenate([x + noise[:, :1], x + 2.0 * noise[:, 1:]], 1)
    squares = [np.corrcoef(code, x[:, 0])[0, 1] ** 2 for code in codes.T]
    np.testing.assert_allclose(disentanglement.sap(codes, x), squares[0] - squares[1], atol=1e-12)
    np.testing.assert_allclose(squares, [1 / 2, 1 / 5], atol=0.03)
    # Names in any order, one of three told from the others: accuracy (1 + 1 + 0)/3, rescaled to 1/2.
    names = np.tile([5, -2, 9], 100)[:, None]
    assert disentanglement.sap((names == 9).astype(float), names, categorical=(0,)) == pytest.approx(0.5)


def test_factors_that_do_not_vary_are_left_out():
    factors = np.concatenate([np.full((3000, 1), 4), FACTORS], 1)
    assert disentanglement.mig(SPREAD, factors) == disentanglement.mig(SPREAD, FACTORS)
    assert disentanglement.sap(SPREAD, factors, categorical=(1,)) == sap(SPREAD, FACTORS)
    assert dci(SPREAD, factors, categorical=(1,)) == dci(SPREAD, FACTORS, categorical=CLASSES)


@pytest.mark.parametrize("score", [disentanglement.mig, disentanglement.sap, disentanglement.dci])
def test_what_cannot_be_meant_is_refused(score):
    codes = SPREAD.copy()
    codes[7, 1] = np.nan
    refused("codes: expected finite values, got nan in row 7", score, codes, FACTORS)
    refused("factors: expected integers (3000, F), got float64 of shape", score, SPREAD, SPREAD)
    refused("factors: expected integers (3000, F), got int64 of shape (9, 4)", score, SPREAD, FACTORS[:9])
    refused("codes: expected numbers (N, M), got float64 of shape (3000,)", score, SPREAD[:, 0], FACTORS)
    refused("at least one column that varies", score, SPREAD, np.ones_like(FACTORS))


def test_more_that_is_refused():
    refused("bins: expected an integer of at least 2, got 1", disentanglement.mig, SPREAD, FACTORS, bins=1)
    refused("categorical: expected columns below 4, got (4,)", disentanglement.sap, SPREAD, FACTORS, categorical=(4,))
    for test in (0.0, 1.0):
        refused("test: expected a share", disentanglement.dci, SPREAD, FACTORS, test=test)


def test_dci_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    refused('pip install "vaejax[experiments]"', disentanglement.dci, SPREAD, FACTORS, error=ImportError)


# The interventions. These sprites are not drawn: an image is its factors, so that codes can be made by hand.


class Seen(data.Sprites):
    def render(self, factors):
        return jnp.asarray(factors, jnp.float32)


def seen(**fixed):
    one = data.sprites(1, size=8)
    return Seen(one.data, one.factors, None, None, fixed, 8)


CENTRE, SCALE = np.array([[1.0, 2.5, 19.5, 15.5, 15.5]]), np.array([[0.8, 1.7, 11.5, 9.2, 9.2]])
MIX = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]


def standard(images):
    return (np.asarray(images) - CENTRE) / SCALE


SCORES = [
    functools.partial(interventions.beta_vae_score, pairs=32, **FAST),
    functools.partial(interventions.factor_vae_score, rows=32, **FAST),
]
IDS = ["beta_vae", "factor_vae"]


@pytest.mark.parametrize("score", SCORES, ids=IDS)
@pytest.mark.parametrize(
    "encode",
    [standard, lambda images: np.asarray(images)[:, ::-1] * np.array([[-3.0, 1e-3, 1e3, 2.0, 1.0]]) + 5.0],
    ids=["as they are", "permuted and rescaled"],
)
def test_interventions_on_perfect_codes(score, encode):
    assert score(encode, seen(), jax.random.key(0)) >= 0.98
    assert score(encode, seen(shape=0, orientation=3), jax.random.key(1)) >= 0.98


@pytest.mark.parametrize("score", SCORES, ids=IDS)
def test_interventions_on_codes_that_know_nothing(score):
    rng = np.random.default_rng(6)
    random = score(lambda images: rng.normal(size=(len(images), 6)), seen(), jax.random.key(2))
    assert abs(random - 0.2) < 0.15
    collapsed = score(lambda images: np.full((len(images), 6), 0.1), seen(), jax.random.key(3))
    assert abs(collapsed - 0.2) < 0.1
    two = score(lambda images: np.zeros((len(images), 1)), seen(shape=0, x=1, y=1), jax.random.key(3))
    assert abs(two - 0.5) < 0.15


@pytest.mark.parametrize("score", SCORES, ids=IDS)
def test_interventions_are_invariant_and_repeatable(score):
    key, rng = jax.random.key(4), np.random.default_rng(7)
    noise = rng.normal(size=(1000, 5))
    rotated = lambda images: standard(images) @ MIX + 0.5 * noise[np.asarray(images).sum(1).astype(int)]
    value = score(rotated, seen(), key)
    assert value == score(rotated, seen(), key)
    moved = lambda images: rotated(images)[:, [3, 1, 4, 0, 2]] * np.array([[1.0, -1e-3, 1e3, 2.0, 5.0]]) + 1.0
    np.testing.assert_allclose(score(moved, seen(), key), value, atol=0.01)


def test_the_vote_of_rotated_codes_is_lost():
    value = SCORES[1](lambda images: standard(images) @ MIX, seen(), jax.random.key(5))
    assert 0.25 < value < 0.95


def test_perfect_codes_of_real_images():
    some = data.sprites(1, fixed={"shape": 1, "orientation": 0})

    def encode(images):
        mask = np.asarray(images)[..., 0] / 255.0
        area = mask.sum((1, 2))
        return np.stack([mask.sum(1) @ np.arange(64) / area, np.sqrt(area), mask.sum(2) @ np.arange(64) / area], 1)

    for name, score in (
        ("pairs", interventions.beta_vae_score),
        ("rows", interventions.factor_vae_score),
    ):
        assert score(encode, some, jax.random.key(0), num_train=60, num_test=60, **{name: 8}) >= 0.95
    factors = some.draw(jax.random.key(1), 512)
    codes = encode(some.render(factors))
    np.testing.assert_allclose(codes[:, [0, 2]], factors[:, 3:] + 16.0, atol=1e-9)
    assert disentanglement.sap(codes, factors) > 0.95


@pytest.mark.parametrize("score", [interventions.beta_vae_score, interventions.factor_vae_score])
def test_bad_encoders_are_refused(score):
    key = jax.random.key(0)
    nan = lambda images: np.where(np.asarray(images)[:, :1] == 2, np.nan, 0.0)
    with pytest.raises(
        ValueError, match=r"encode: expected finite codes, got nan or inf for the image of the factors \[2"
    ):
        score(nan, seen(), key, num_train=4, num_test=4)
    with pytest.raises(ValueError, match=r"encode: expected codes \(256, M\) of 256 images, got shape \(256,\)"):
        score(lambda images: np.zeros(256), seen(), key, num_train=4, num_test=4)
    with pytest.raises(ValueError, match="sprites: expected at least two factors that vary, got 1"):
        score(standard, seen(shape=0, scale=0, x=0, y=0), key)
    refused("num_test: expected an integer of at least 1, got 0", score, standard, seen(), key, num_test=0)


def test_a_fitted_model_is_scored():
    some = data.sprites(400, size=16, fixed={"shape": 0, "orientation": 0})
    model = vj.zoo.vae(256, latent_dim=3, hidden=(16,))
    score = functools.partial(disentanglement.score, count=600, rows=8, **FAST)
    params = model.init(jax.random.key(0))
    scores = score(model, params, jax.random.key(1), some)
    names = ["beta_vae", "factor_vae", "mig", "sap", "dci_disentanglement", "dci_completeness", "dci_informativeness"]
    assert list(scores) == names and all(0.0 <= value <= 1.0 for value in scores.values())
    assert scores == score(model, params, jax.random.key(1), some)
    dead = jax.tree.map(jnp.zeros_like, params)
    scores = score(model, dead, jax.random.key(1), some)
    assert scores["mig"] == scores["sap"] == scores["dci_informativeness"] == 0.0
    assert abs(scores["factor_vae"] - 1 / 3) < 1e-9 and abs(scores["beta_vae"] - 1 / 3) < 0.15
    refused("expected rows of shape", score, model, params, jax.random.key(1), data.sprites(1, size=8))
    conditional = vj.zoo.vae(256, latent_dim=3, hidden=(16,), context_dim=3)
    refused("context", score, conditional, conditional.init(jax.random.key(0)), jax.random.key(1), some)
