"""One call for the quality of samples, with the protocol beside the numbers."""

from typing import Any

import numpy as np

from vaejax.evaluate.arrays import as_classes, as_rows
from vaejax.evaluate.classifier import Classifier
from vaejax.evaluate.fidelity import frechet_distance, lag1_correlation, memorisation, out_of_range, precision_recall

__all__ = ["Quality", "sample_quality"]

_LOOKED_UP = 2000  # rows whose nearest training rows are searched for


class Quality(dict[str, float]):
    """Numbers by name.

    Attributes:
      protocol: how they were computed: the classifier with its checksum, the numbers of rows, k.
    """

    protocol: str

    def __init__(self, values: dict[str, float], protocol: str):
        super().__init__(values)
        self.protocol = protocol


def _some(rows: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the rows, without repetition, always the same ones."""
    if len(rows) <= count:
        return rows
    return rows[np.random.default_rng(0).choice(len(rows), count, replace=False)]


def _entropy(probabilities: np.ndarray) -> np.ndarray:
    live = np.where(probabilities > 0, probabilities, 1.0)
    return -(probabilities * np.log(live)).sum(-1)


def sample_quality(
    samples: Any, reference: Any, classifier: Classifier, *, train: Any = None, labels: Any = None, k: int = 3
) -> Quality:
    r"""Score samples against data that the model was not trained on, in the features of a named classifier.

    No one number ranks samples. Blurred means have too little spread in the features, and the decoder's
    independent noise makes some of it up: the Fréchet distance may call noisy draws better where precision
    and `lag1_correlation` call them worse.

    Args:
      samples: rows (N, ...) in the units of the data; rows of as many entries are taken as images.
      reference: images (M, ...) of the test part. The Fréchet distance is biased by the number of
        rows: keep N and M fixed in a table.
      classifier: what `train_classifier` returned; its name and checksum are in the protocol.
      train: the training rows, for the check that samples are no copies, and for what fresh data score:
        the Fréchet distance of as many of them as there are samples, to the reference.
      labels: classes (N,) that conditional samples were asked for.
      k: neighbours of `precision_recall`.

    Returns:
      A `Quality`, a dict with a `protocol`: `frechet_distance`, `precision`, `recall`; `entropy`, the mean
      entropy of p(y|x), nats, low for clear samples; `class_entropy`, that of the mean p(y), high for all
      classes in balance, and `entropy` and `class_entropy` of the reference; `out_of_range`; of images
      `lag1_correlation` of both; `accuracy` with labels; `memorisation_ratio`, `copies` and
      `train_frechet_distance` with train.

    Reference: Heusel et al., 2017; Kynkäänniemi et al., 2019; Salimans et al., 2016, section 4 (its score
    is exp(class_entropy - entropy)).

    >>> import vaejax as vj
    >>> data = vj.data.digits()
    >>> classifier = vj.evaluate.train_classifier(data)
    >>> quality = sample_quality(data.train.x[:397], data.test.x, classifier)
    >>> quality["out_of_range"], quality["precision"] > 0.7, quality["frechet_distance"] < 20
    (0.0, True, True)
    >>> quality.protocol.split(",")[0]
    'vaejax-mlp-v1'
    """
    shape = classifier.shape
    samples, reference = as_rows("samples", samples, shape, k + 1), as_rows("reference", reference, shape, k + 1)
    ours, theirs = classifier.features(samples), classifier.features(reference)
    values = {"frechet_distance": frechet_distance(ours, theirs)}
    values["precision"], values["recall"] = precision_recall(ours, theirs, k)
    for prefix, rows in (("", samples), ("reference_", reference)):
        probabilities = np.exp(classifier.log_probabilities(rows).astype(np.float64))
        values[f"{prefix}entropy"] = float(_entropy(probabilities).mean())
        values[f"{prefix}class_entropy"] = float(_entropy(probabilities.mean(0)))
        if len(shape) == 3:
            values[f"{prefix}lag1_correlation"] = lag1_correlation(rows)
    values["out_of_range"] = out_of_range(samples)
    if labels is not None:
        wanted = as_classes("labels", labels, len(samples), classifier.num_classes)
        values["accuracy"] = float((classifier.labels(samples) == wanted).mean())
    told = [str(classifier), f"{len(samples)} samples, {len(reference)} reference rows, k={k}"]
    if train is not None:
        train = as_rows("train", train, shape)
        found = memorisation(_some(samples, _LOOKED_UP), _some(reference, _LOOKED_UP), train)
        values |= {"memorisation_ratio": found.ratio, "copies": found.copies}
        some = _some(train, len(samples))
        values["train_frechet_distance"] = frechet_distance(classifier.features(some), theirs)
        told.append(f"{len(train)} training rows, nearest ones of at most {_LOOKED_UP} rows")
        told.append(f"{len(some)} rows for train_frechet_distance")
    return Quality(values, "; ".join(told))
