"""Correspondence of codes and known factors: MIG, SAP and DCI, and all scores of a fitted model in one call."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from vaejax.checks import require_each_row, require_integer
from vaejax.data import Sprites
from vaejax.evaluate.interventions import beta_vae_score, encode_factors, factor_vae_score
from vaejax.evaluate.rows import Rows, centres, checked, entropy, flat
from vaejax.models import LatentModel
from vaejax.types import ArrayLike, Key, Params

__all__ = ["DCI", "dci", "mig", "sap", "score"]

_Pairs = tuple[Float[np.ndarray, "N M"], Int[np.ndarray, "N F"], Bool[np.ndarray, " F"]]


def _checked(codes: ArrayLike, factors: ArrayLike, categorical: Sequence[int] = ()) -> _Pairs:
    """Codes and the factors that vary, checked, and which of these are categorical: numbered from 0 without gaps."""
    codes, factors = np.asarray(codes), np.asarray(factors)
    if codes.ndim != 2 or 0 in codes.shape or codes.dtype.kind not in "fiu":
        raise ValueError(f"codes: expected numbers (N, M), got {codes.dtype} of shape {codes.shape}")
    if factors.ndim != 2 or factors.dtype.kind not in "iu" or len(factors) != len(codes):
        raise ValueError(f"factors: expected integers ({len(codes)}, F), got {factors.dtype} of shape {factors.shape}")
    require_each_row("codes", codes, np.isfinite(codes), "finite values")
    if any(not 0 <= column < factors.shape[1] for column in categorical):
        raise ValueError(f"categorical: expected columns below {factors.shape[1]}, got {tuple(categorical)}")
    varying = np.ptp(factors, 0) > 0
    if not varying.any():
        raise ValueError("factors: expected at least one column that varies, got none")
    factors = factors.astype(np.int64)
    for column in categorical:
        factors[:, column] = np.unique(factors[:, column], return_inverse=True)[1]
    named = np.isin(np.arange(len(varying)), categorical)
    return codes.astype(np.float64), factors[:, varying], named[varying]


def _standardised(columns: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and variance 1; constant ones are 0."""
    spread = np.where(np.ptp(columns, 0) > 0.0, columns.std(0), np.inf)
    return (columns - columns.mean(0)[None]) / spread[None]


def _scaled_accuracy(true: np.ndarray, guess: np.ndarray) -> float:
    """Balanced accuracy over the classes that occur, rescaled so that chance is 0 and a perfect guess 1."""
    count = np.bincount(true)
    accuracy = (np.bincount(true, true == guess)[count > 0] / count[count > 0]).mean()
    chance = 1.0 / np.count_nonzero(count)
    return float((accuracy - chance) / (1.0 - chance)) if chance < 1.0 else 0.0


def mig(codes: ArrayLike, factors: ArrayLike, *, bins: int = 20) -> float:
    r"""Mutual information gap: how much more the best code says of a factor than the second best.

    $$\frac1F\sum_k \frac{I(z_{(1)}; v_k) - I(z_{(2)}; v_k)}{H(v_k)} \in [0, 1]$$

    with $z_{(1)}, z_{(2)}$ the codes of the largest mutual information with $v_k$ (the second is 0 where there is
    one code only). A code is cut into `bins` bins of equal width over its range; a constant one has information 0.

    Args:
      codes: (N, M), one row an image.
      factors: integers (N, F); those that do not vary are left out.
      bins: of each code. They bound the score of factors with more values: of 32 evenly spaced ones, equally
        likely, 20 bins keep .85.

    Differs from the paper, as Locatello et al., 2019, do: histograms of the posterior means and no draws from q(z|x).

    Reference: Chen, Li, Grosse and Duvenaud, 2018, equation 6; Locatello et al., 2019, appendix C.

    >>> factors = np.stack(np.unravel_index(np.arange(12), (3, 4)), 1)
    >>> mig(factors[:, ::-1] * 0.5, factors)
    1.0
    >>> round(mig(np.stack([factors[:, 0], 4 * factors[:, 0] + factors[:, 1]], 1), factors), 3)
    0.5
    """
    codes, factors, _ = _checked(codes, factors)
    require_integer("bins", bins, 2)
    low, width = codes.min(0), np.ptp(codes, 0)
    cells = (codes - low[None]) / np.where(width, width, 1.0)[None] * bins
    cells = np.minimum(cells.astype(int), bins - 1)
    gaps = []
    for value in factors.T:
        value = np.unique(value, return_inverse=True)[1]
        values = value.max() + 1
        joint = np.stack([np.bincount(cell * values + value, minlength=bins * values) for cell in cells.T])
        joint = joint.reshape(-1, bins, values) / len(codes)
        of_factor = entropy(joint[0].sum(0))
        information = entropy(joint.sum(2)) + of_factor - entropy(joint.reshape(len(joint), -1))
        gaps.append(_gap(information / of_factor))
    return float(np.mean(gaps))


def sap(codes: ArrayLike, factors: ArrayLike, *, categorical: Sequence[int] = ()) -> float:
    r"""Separated attribute predictability: how much better the best code predicts a factor than the second best.

    $$\frac1F\sum_k S_{(1)k} - S_{(2)k} \in [0, 1]$$

    with $S_{jk}$ the squared correlation of code j and factor k or, for a categorical factor, the balanced accuracy of
    the classes by their nearest mean in code j, rescaled so that chance is 0. A constant code predicts nothing: 0.

    Args:
      categorical: columns of the factors whose values are names, not numbers: `(0,)` for sprites.

    Differs from the paper: nearest means instead of thresholds by search, accuracies on the scale of $R^2$ instead of
    raw. Both are in sample, one number a class being fitted. A circular factor (orientation) counts as a number, in
    which a code of its angle's sine or cosine has a part only.

    Reference: Kumar, Sattigeri and Balakrishnan, 2018, section 3.

    >>> factors = np.stack(np.unravel_index(np.arange(12), (3, 4)), 1)
    >>> round(sap(factors * -2.0, factors), 4), round(sap(factors * -2.0, factors, categorical=(0, 1)), 4)
    (1.0, 1.0)
    >>> round(sap(factors @ np.array([[1.0, 1.0], [1.0, -1.0]]), factors), 4)
    0.0
    """
    codes, factors, classes = _checked(codes, factors, categorical)
    codes = _standardised(codes)
    gaps = []
    for value, named in zip(factors.T, classes, strict=True):
        if named:
            scores = [_scaled_accuracy(value, _nearest_mean(code, value)) for code in codes.T]
        else:
            scores = (_standardised(value[:, None].astype(float)) * codes).mean(0) ** 2
        gaps.append(_gap(np.asarray(scores)))
    return float(np.mean(gaps))


def _gap(scores: np.ndarray) -> float:
    best = np.sort(np.append(scores, 0.0))
    return float(best[-1] - best[-2])


def _nearest_mean(code: np.ndarray, classes: np.ndarray) -> np.ndarray:
    count = np.bincount(classes)
    means = np.bincount(classes, code) / count
    order = np.argsort(means, kind="stable")
    return order[np.searchsorted((means[order][1:] + means[order][:-1]) / 2.0, code)]


class DCI(NamedTuple):
    """Three numbers from 0 to 1: codes that predict one factor, factors predicted by one code, factors predicted."""

    disentanglement: float
    completeness: float
    informativeness: float


def dci(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    categorical: Sequence[int] = (),
    test: float = 0.3,
    trees: int = 30,
    seed: int = 0,
) -> DCI:
    r"""Disentanglement, completeness and informativeness, from the importances of codes in predicting factors.

    With $R_{jk}$ the importance of code j for factor k (each factor's sum to 1),

    $$D = \sum_j \rho_j\Big(1 - H_F\Big(\frac{R_{j\cdot}}{\sum_k R_{jk}}\Big)\Big),\quad
    C = \frac1F\sum_k\big(1 - H_M(R_{\cdot k})\big),\quad \rho_j = \frac{\sum_k R_{jk}}{\sum_{jk} R_{jk}}$$

    where $H_n$ is the entropy to base n. Codes that are constant have importance 0, and codes that are all constant
    score 0 in everything; with one code alone C is 1, with one factor D is.

    Each factor is predicted by a random forest of scikit-learn (all codes open to every split, leaves of at least 2
    rows, importance by the decrease of impurity): a regression for numbers, a classification for names. I is the
    mean, over factors, of $R^2$ or of the balanced accuracy rescaled so that chance is 0, on the rows held out.

    Args:
      categorical: as for `sap`.
      test: share of the rows that are held out.
      trees: of each forest.
      seed: of the choice of the rows and of the forests.

    Raises:
      ImportError: without scikit-learn; it says what to install.

    Differs from the paper, which reports prediction errors for I, lower being better, and chooses the forests'
    depth by cross-validation, and from Locatello et al., 2019, who boost trees and classify every factor.

    Reference: Eastwood and Williams, 2018, section 2.

    >>> factors = np.stack(np.unravel_index(np.tile(np.arange(12), 50), (3, 4)), 1)
    >>> [round(value, 3) for value in dci(factors * 0.5, factors, trees=5)]
    [1.0, 1.0, 1.0]
    """
    codes, factors, classes = _checked(codes, factors, categorical)
    try:
        from sklearn import ensemble
    except ImportError as missing:
        raise ImportError(
            'dci needs scikit-learn, which is not installed: python -m pip install "vaejax[experiments]" '
            "(from a checkout: python -m pip install -e '.[experiments]')"
        ) from missing
    held = np.zeros(len(codes), bool)
    held[np.random.default_rng(seed).permutation(len(codes))[: max(1, round(test * len(codes)))]] = True
    if not 0.0 < test < 1.0 or held.sum() > len(codes) - 2:
        raise ValueError(f"test: expected a share above 0 that leaves two of {len(codes)} rows, got {test!r}")
    codes = _standardised(codes)
    options: dict[str, Any] = {"n_estimators": trees, "max_features": 1.0, "min_samples_leaf": 2}
    importance, scores = [], []
    for value, named in zip(factors.T, classes, strict=True):
        kind = ensemble.RandomForestClassifier if named else ensemble.RandomForestRegressor
        forest = kind(random_state=seed, **options)
        forest.fit(codes[~held], value[~held])
        guess, true = forest.predict(codes[held]), value[held]
        importance.append(forest.feature_importances_)
        score = _scaled_accuracy(true, guess) if named else _explained(true, guess)
        scores.append(max(score, 0.0))
    return DCI(*_concentration(np.stack(importance, 1)), float(np.mean(scores)))


def _concentration(importance: np.ndarray) -> tuple[float, float]:
    """D and C of importances (M, F)."""
    total = importance.sum()
    if total == 0.0:
        return 0.0, 0.0

    def along(rows: np.ndarray) -> np.ndarray:
        sums = rows.sum(1, keepdims=True)
        spread = entropy(rows / np.where(sums, sums, 1.0)) / np.log(max(rows.shape[1], 2))
        return np.where(sums[:, 0] > 0.0, 1.0 - spread, 0.0)

    weight = importance.sum(1) / total
    return float(weight @ along(importance)), float(along(importance.T).mean())


def _explained(true: np.ndarray, guess: np.ndarray) -> float:
    variance = true.var()
    return float(1.0 - ((true - guess) ** 2).mean() / variance) if variance else 0.0


def score(
    model: LatentModel,
    params: Params,
    key: Key,
    sprites: Sprites,
    *,
    count: int = 5_000,
    num_train: int = 800,
    num_test: int = 400,
    rows: int = 64,
) -> dict[str, float]:
    """Score the posterior means of an unconditional model, all layers side by side, against the factors of sprites.

    Images are drawn anew, uniformly over the factors that vary; those that `sprites` holds are not needed. The shape
    is a categorical factor in SAP and DCI, the orientation a number. Compare with a model of fresh parameters: even an
    untrained encoder knows something of x and y.

    Args:
      sprites: what `data.sprites` returns, of the images' size.
      count: images for MIG, SAP and DCI.
      num_train: rows and votes of the interventions to fit on.
      num_test: to score on.
      rows: pairs and images of each.

    Returns:
      `beta_vae`, `factor_vae`, `mig`, `sap`, `dci_disentanglement`, `dci_completeness`, `dci_informativeness`: each
      from 0 to 1, the higher the better, as the function of its name documents.

    Raises:
      ImportError: without scikit-learn, which DCI needs.

    Reference: Locatello et al., *Challenging common assumptions in the unsupervised learning of disentangled
    representations*, 2019.

    >>> import vaejax as vj
    >>> some = vj.data.sprites(1, size=8, fixed={"shape": 0, "orientation": 0})
    >>> model = vj.PPCA(dim=64, latent_dim=2)
    >>> params, key = model.init(jax.random.key(0)), jax.random.key(1)
    >>> scores = score(model, params, key, some, count=500, num_train=20, num_test=20, rows=4)
    >>> len(scores), all(0.0 <= value <= 1.0 for value in scores.values())
    (7, True)
    """
    checked(model, sprites.render(sprites.draw(key, 1)), name="sprites")
    key_rows, key_beta, key_factor = jax.random.split(key, 3)
    code = lambda images: flat(centres(model, params, Rows(images, None)))  # noqa: E731
    factors = sprites.draw(key_rows, count)
    codes = encode_factors(code, sprites, factors)
    votes = {"num_train": num_train, "num_test": num_test}
    parts = dci(codes, factors, categorical=sprites.categorical)
    return {
        "beta_vae": beta_vae_score(code, sprites, key_beta, pairs=rows, **votes),
        "factor_vae": factor_vae_score(code, sprites, key_factor, rows=rows, **votes),
        "mig": mig(codes, factors),
        "sap": sap(codes, factors, categorical=sprites.categorical),
        **{f"dci_{name}": value for name, value in parts._asdict().items()},
    }
