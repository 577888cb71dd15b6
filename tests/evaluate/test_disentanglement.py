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
from vaejax.evaluate.disentanglement import dci, mig, sap, score
from vaejax.evaluate.interventions import beta_vae_score, factor_vae_score

SIZES = (3, 6, 8, 10)
CLASSES = (0,)
FAST = {"num_train": 120, "num_test": 120}


def draws(count, sizes=SIZES):
    return np.random.default_rng(0).integers(0, np.array(sizes)[None], (count, len(sizes)))


FACTORS, FEW = draws(3000), draws(2000, (4, 4))
SPREAD = (FACTORS - FACTORS.mean(0)) / FACTORS.std(0)
NOISE = np.random.default_rng(1)
ROTATION = 0.5 * np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])  # every code has all factors
MOVED = FACTORS[:, ::-1] * np.array([[-3.0, 1e-3, 1e4, 2.0]]) + 7.0
BESIDE = np.concatenate([FACTORS, NOISE.normal(size=(3000, 3)), np.ones((3000, 2))], 1)

EXTREMES = {  # codes, factors; bounds of mig, sap, disentanglement, completeness and informativeness
    "one code for each factor": (FACTORS, FACTORS, 0.98, 1.02),
    "permuted and rescaled": (MOVED, FACTORS, 0.98, 1.02),
    "with noise and dead codes beside them": (BESIDE, FACTORS, 0.98, 1.02),
    "independent of the factors": (NOISE.normal(size=(3000, 5)), FACTORS, 0.0, (0.01, 0.02, 0.05, 0.05, 0.05)),
    "rotated: hidden, not lost": (SPREAD @ ROTATION, FACTORS, (0, 0, 0, 0, 0.85), (0.05, 0.05, 0.2, 0.2, 1)),
    "each twice": (np.tile(SPREAD, 2), FACTORS, (0, 0, 0.98, 0, 0.98), (0, 1e-12, 1.02, 0.9, 1.02)),
    "one of everything": (FEW[:, :1] + FEW[:, 1:] / 4, FEW, (0, 0, 0, 1, 0.98), (1, 1, 0.01, 1, 1.02)),
    "collapsed to zeros": (np.zeros((3000, 3)), FACTORS, 0.0, 0.0),
    "collapsed to tenths": (np.full((3000, 1), 0.1, np.float32), FACTORS, 0.0, 0.0),
}


@pytest.mark.parametrize("codes, factors, low, high", EXTREMES.values(), ids=EXTREMES)
def test_known_extremes(codes, factors, low, high):
    classes = () if factors is FEW else CLASSES
    gaps = mig(codes, factors), sap(codes, factors, categorical=classes)
    scores = np.array([*gaps, *dci(codes, factors, categorical=classes, trees=10)])
    assert np.all(scores >= np.subtract(low, 1e-12)) and np.all(scores <= high), scores


def test_order_and_scale_of_the_codes_do_not_matter():
    codes = SPREAD @ ROTATION + 0.3 * np.random.default_rng(3).normal(size=SPREAD.shape)
    again = codes[:, [2, 0, 3, 1]] * np.array([[5.0, 1e-3, 30.0, 1.0]]) - 4.0
    for gap in (mig, functools.partial(sap, categorical=CLASSES)):
        np.testing.assert_allclose([gap(again, FACTORS), gap(-codes, FACTORS)], gap(codes, FACTORS), atol=1e-3)
    np.testing.assert_allclose(dci(codes, FACTORS, trees=30), dci(again, FACTORS, trees=30), atol=0.02)


def test_mig_by_hand():
    grid = np.stack(np.unravel_index(np.arange(8), (2, 4)), 1)
    # z0 is v1; z1 is v0 and the lower bit of v1: gaps of ln 2 / ln 2 for v0 and (ln 4 - ln 2) / ln 4 for v1.
    codes = np.stack([grid[:, 1], 2 * grid[:, 0] + grid[:, 1] % 2], 1)
    np.testing.assert_allclose(mig(codes, grid), (1.0 + 0.5) / 2, atol=1e-12)
    fine = np.arange(32)[:, None]
    information = 24 / 32 * math.log(16) + 8 / 32 * math.log(32)  # 12 bins hold two values, 8 hold one
    np.testing.assert_allclose(mig(fine, fine), information / math.log(32), atol=1e-12)
    np.testing.assert_allclose(mig(fine, fine, bins=32), 1.0, atol=1e-12)


def test_mig_against_scikit_learn():
    from sklearn.metrics import mutual_info_score

    codes = SPREAD @ ROTATION + np.random.default_rng(8).normal(size=(3000, 4))
    edges = [np.linspace(code.min(), code.max(), 21)[1:-1] for code in codes.T]
    cells = [np.digitize(code, edge) for code, edge in zip(codes.T, edges, strict=True)]
    gaps = []
    for value in FACTORS.T:
        best = sorted(mutual_info_score(cell, value) for cell in cells)
        gaps.append((best[-1] - best[-2]) / mutual_info_score(value, value))
    np.testing.assert_allclose(mig(codes, FACTORS), np.mean(gaps), rtol=1e-9)


def test_sap_by_hand():
    x = np.random.default_rng(4).integers(0, 9, (5000, 1))
    noise = np.random.default_rng(5).normal(size=(5000, 2)) * x.std()
    codes = np.concatenate([x + noise[:, :1], x + 2.0 * noise[:, 1:]], 1)
    squares = [np.corrcoef(code, x[:, 0])[0, 1] ** 2 for code in codes.T]
    np.testing.assert_allclose(sap(codes, x), squares[0] - squares[1], atol=1e-12)
    np.testing.assert_allclose(squares, [1 / 2, 1 / 5], atol=0.03)
    # Names in any order, one of three told from the others: accuracy (1 + 1 + 0)/3, rescaled to 1/2.
    names = np.tile([5, -2, 9], 100)[:, None]
    assert sap((names == 9).astype(float), names, categorical=(0,)) == pytest.approx(0.5)


def test_factors_that_do_not_vary_are_left_out():
    factors = np.concatenate([np.full((3000, 1), 4), FACTORS], 1)
    assert mig(SPREAD, factors) == mig(SPREAD, FACTORS)
    assert sap(SPREAD, factors, categorical=(1,)) == sap(SPREAD, FACTORS, categorical=CLASSES)
    few = functools.partial(dci, SPREAD, trees=10)
    assert few(factors, categorical=(1,)) == few(FACTORS, categorical=CLASSES)


@pytest.mark.parametrize("call", [mig, sap, dci])
def test_what_cannot_be_meant_is_refused(call):
    codes = SPREAD.copy()
    codes[7, 1] = np.nan
    refused("codes: expected finite values, got nan in row 7", call, codes, FACTORS)
    refused("factors: expected integers (3000, F), got float64 of shape", call, SPREAD, SPREAD)
    refused("factors: expected integers (3000, F), got int64 of shape (9, 4)", call, SPREAD, FACTORS[:9])
    refused("codes: expected numbers (N, M), got float64 of shape (3000,)", call, SPREAD[:, 0], FACTORS)
    refused("at least one column that varies", call, SPREAD, np.ones_like(FACTORS))


def test_wrong_options_are_refused(monkeypatch):
    refused("bins: expected an integer of at least 2, got 1", mig, SPREAD, FACTORS, bins=1)
    refused("categorical: expected columns below 4, got (4,)", sap, SPREAD, FACTORS, categorical=(4,))
    for share in (0.0, 1.0):
        refused("test: expected a share", dci, SPREAD, FACTORS, test=share)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    refused('pip install "vaejax[experiments]"', dci, SPREAD, FACTORS, error=ImportError)


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


def moved(images):
    return np.asarray(images)[:, ::-1] * np.array([[-3.0, 1e-3, 1e3, 2.0, 1.0]]) + 5.0


def unrelated(images):
    return np.random.default_rng(np.asarray(images).sum().astype(int)).normal(size=(len(images), 6))


FIXED = {"shape": 0, "orientation": 3}
CODES = {  # encoder, fixed factors, bounds of the score
    "perfect": (standard, {}, 0.98, 1.0),
    "perfect, of three factors": (standard, FIXED, 0.98, 1.0),
    "permuted and rescaled": (moved, {}, 0.98, 1.0),
    "permuted and rescaled, of three factors": (moved, FIXED, 0.98, 1.0),
    "unrelated: one in five": (unrelated, {}, 0.05, 0.35),
    "collapsed: one in five": (lambda images: np.full((len(images), 6), 0.1), {}, 0.1, 0.3),
    "collapsed: one in two": (lambda images: np.zeros((len(images), 1)), {"shape": 0, "x": 1, "y": 1}, 0.35, 0.65),
}
INTERVENTIONS = [
    functools.partial(beta_vae_score, pairs=32, **FAST),
    functools.partial(factor_vae_score, rows=32, **FAST),
]
both = pytest.mark.parametrize("intervene", INTERVENTIONS, ids=["beta_vae", "factor_vae"])


@both
@pytest.mark.parametrize("encode, fixed, low, high", CODES.values(), ids=CODES)
def test_interventions_at_known_extremes(intervene, encode, fixed, low, high):
    assert low <= intervene(encode, seen(**fixed), jax.random.key(0)) <= high


@both
def test_interventions_are_invariant_and_repeatable(intervene):
    key, rng = jax.random.key(4), np.random.default_rng(7)
    noise = rng.normal(size=(1000, 5))
    rotated = lambda images: standard(images) @ MIX + 0.5 * noise[np.asarray(images).sum(1).astype(int)]
    value = intervene(rotated, seen(), key)
    assert value == intervene(rotated, seen(), key)
    moved = lambda images: rotated(images)[:, [3, 1, 4, 0, 2]] * np.array([[1.0, -1e-3, 1e3, 2.0, 5.0]]) + 1.0
    np.testing.assert_allclose(intervene(moved, seen(), key), value, atol=0.01)


def test_the_vote_of_rotated_codes_is_lost():
    assert 0.25 < INTERVENTIONS[1](lambda images: standard(images) @ MIX, seen(), jax.random.key(5)) < 0.95


def test_perfect_codes_of_real_images():
    some = data.sprites(1, fixed={"shape": 1, "orientation": 0})

    def encode(images):
        mask = np.asarray(images)[..., 0] / 255.0
        area = mask.sum((1, 2))
        return np.stack([mask.sum(1) @ np.arange(64) / area, np.sqrt(area), mask.sum(2) @ np.arange(64) / area], 1)

    few = {"num_train": 60, "num_test": 60}
    assert beta_vae_score(encode, some, jax.random.key(0), pairs=8, **few) >= 0.95
    assert factor_vae_score(encode, some, jax.random.key(0), rows=8, **few) >= 0.95
    factors = some.draw(jax.random.key(1), 512)
    codes = encode(some.render(factors))
    np.testing.assert_allclose(codes[:, [0, 2]], factors[:, 3:] + 16.0, atol=1e-9)
    assert sap(codes, factors) > 0.95


@pytest.mark.parametrize("intervene", [beta_vae_score, factor_vae_score])
def test_bad_encoders_are_refused(intervene):
    def on(encode, num_test=4, **fixed):
        return intervene(encode, seen(**fixed), jax.random.key(0), num_train=4, num_test=num_test)

    nan = lambda images: np.where(np.asarray(images)[:, :1] == 2, np.nan, 0.0)
    refused("encode: expected finite codes, got nan or inf for the image of the factors [2", on, nan)
    refused("encode: expected codes (256, M) of 256 images, got shape (256,)", on, lambda images: np.zeros(256))
    refused("sprites: expected at least two factors that vary, got 1", on, standard, shape=0, scale=0, x=0, y=0)
    refused("num_test: expected an integer of at least 1, got 0", on, standard, num_test=0)


def test_a_fitted_model_is_scored():
    some = data.sprites(400, size=16, fixed={"shape": 0, "orientation": 0})
    model, key = vj.zoo.vae(256, latent_dim=3, hidden=(16,)), jax.random.key(1)
    of = functools.partial(score, count=600, rows=8, **FAST)
    params = model.init(jax.random.key(0))
    scores = of(model, params, key, some)
    names = ["beta_vae", "factor_vae", "mig", "sap", "dci_disentanglement", "dci_completeness", "dci_informativeness"]
    assert list(scores) == names and all(0.0 <= value <= 1.0 for value in scores.values())
    assert scores == of(model, params, key, some)
    scores = of(model, jax.tree.map(jnp.zeros_like, params), key, some)
    assert scores["mig"] == scores["sap"] == scores["dci_informativeness"] == 0.0
    assert abs(scores["factor_vae"] - 1 / 3) < 1e-9 and abs(scores["beta_vae"] - 1 / 3) < 0.15
    refused("expected rows of shape", of, model, params, key, data.sprites(1, size=8))
    conditional = vj.zoo.vae(256, latent_dim=3, hidden=(16,), context_dim=3)
    refused("context", of, conditional, conditional.init(key), key, some)
