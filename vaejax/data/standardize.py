"""Tables in standard units, zero mean and unit variance, without losing the units of their likelihoods."""

import dataclasses
import warnings
from pathlib import Path

import numpy as np

from vaejax.data.dataset import Dataset, Split
from vaejax.files import read_json, write_json

__all__ = ["FILE", "Scaling", "standardize"]

FILE = "scaling.json"


@dataclasses.dataclass(frozen=True)
class Scaling:
    r"""The map $y = (x - \text{mean}) / \text{scale}$ of each entry, and its effect on densities.

    Attributes:
      mean: of the train part, in the shape of a row.
      scale: its standard deviation; 1 where an entry is constant.
    """

    mean: np.ndarray
    scale: np.ndarray

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Rows in standard units."""
        return ((np.asarray(x, np.float64) - self.mean) / self.scale).astype(np.float32)

    def undo(self, y: np.ndarray) -> np.ndarray:
        """Rows in the units of the data."""
        return (np.asarray(y, np.float64) * self.scale + self.mean).astype(np.float32)

    def write(self, folder: str | Path) -> None:
        """Write `scaling.json` into the folder of a model, where `vaejax.load` sees it."""
        write_json(Path(folder) / FILE, {"mean": self.mean.tolist(), "scale": self.scale.tolist()})

    @classmethod
    def read(cls, folder: str | Path) -> "Scaling":
        """The scaling of the model in a folder; `FileNotFoundError` where its rows were not standardised."""
        stored = read_json(Path(folder) / FILE, "what vaejax fit --standardize writes", ("mean", "scale"))
        mean, scale = (np.asarray(stored[name], np.float64) for name in ("mean", "scale"))
        if mean.ndim != 1 or mean.shape != scale.shape or not np.all(np.isfinite(mean) & (scale > 0)):
            raise ValueError(f"{Path(folder) / FILE}: expected a finite mean and a positive scale for each column")
        return cls(mean, scale)

    @property
    def log_jacobian(self) -> float:
        r"""$-\sum_d\ln \text{scale}_d$: what a log-density in standard units lacks to be one in the data's units."""
        return -float(np.log(self.scale).sum())


def standardize(data: Dataset | Split | np.ndarray) -> Dataset:
    r"""Scale every column by the mean and the standard deviation of the train part.

    $$\ln p(x) = \ln p(y) - \sum_d \ln s_d, \qquad y = (x - m) / s$$

    Args:
      data: a table, (N, D); missing values (nan) stay missing.

    Returns:
      A `Dataset` in standard units whose `scaling` goes back and forth; add `scaling.log_jacobian` to
      log-likelihoods.

    >>> import numpy as np, vaejax as vj
    >>> x = np.random.default_rng(0).normal(5.0, 10.0, (1000, 2))
    >>> data = standardize(x)
    >>> bool(abs(data.train.x.std() - 1) < 1e-4), round(data.scaling.log_jacobian, 1)
    (True, -4.6)
    """
    if not isinstance(data, Dataset):
        data = Dataset(data if isinstance(data, Split) else Split(np.asarray(data)))
    x = data.train.x
    if x.ndim != 2 or x.dtype.kind != "f":
        raise ValueError(f"standardize: expected a table (N, D) of floats, got {x.dtype} of shape {x.shape}")
    if data.scaling is not None:
        raise ValueError("standardize: the data are in standard units already")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without a single number is refused below
        mean, scale = (np.asarray(of(x, 0, dtype=np.float64)) for of in (np.nanmean, np.nanstd))
    bad = np.flatnonzero(~(np.isfinite(mean) & np.isfinite(scale)))
    if len(bad):
        raise ValueError(f"standardize: column {bad[0]} has no finite mean and standard deviation")
    constant = np.flatnonzero(scale <= 1e-12 * np.maximum(np.abs(mean), 1e-300))
    scale[constant] = 1.0
    scaling, notes = Scaling(mean, scale), [*data.notes, "columns standardised by the train part"]
    if len(constant):
        notes.append(f"columns {constant.tolist()} are constant: centred, not scaled")
    scaled = {
        name: Split(scaling.apply(part.x), part.y)
        for name, part in zip(("train", "validation", "test"), data.parts, strict=True)
        if part is not None
    }
    return dataclasses.replace(data, **scaled, scaling=scaling, notes=tuple(notes))
