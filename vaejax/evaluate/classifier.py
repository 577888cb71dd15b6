"""A small classifier with a name and a checksum: the neural categorical p(y | x), whose features metrics stand on."""

import dataclasses
import functools
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, Int

from vaejax.checks import finite_rows, integer_labels, require_integer
from vaejax.data import Dataset, Split
from vaejax.distributions import Categorical
from vaejax.evaluate.rows import over_rows
from vaejax.files import new_folder, read_json, write_json
from vaejax.networks import MLP, Linear, Network, Sequential
from vaejax.recipes import digest, from_json, to_json
from vaejax.types import Array, ArrayLike, Key, Params

__all__ = ["Classifier", "load", "save", "train"]

_NAME = "vaejax-mlp-v1"
_ABOUT, _WEIGHTS, _FORMAT = "classifier.json", "weights.npz", 1
_HIDDEN, _FEATURES, _STEPS, _BATCH = 256, 64, 2500, 128
_NOISE = 0.2  # standard deviation; without it 92 % of the embedded digits' held-out rows are right, with it 96 %
_AT_ONCE = 4096


@dataclasses.dataclass(frozen=True)
class Classifier:
    r"""p(y | x) as a network, with its weights.

    Attributes:
      name: of the recipe that trained it.
      network: the recipe of the network, features and then logits.
      params: its weights.
      shape: of one image.
      num_classes: number of classes.
      accuracy: share of held-out rows that it labels right; `None` where it was shown none.
      held_out: number of those rows.
    """

    name: str
    network: Sequential
    params: Params
    shape: tuple[int, ...]
    num_classes: int
    accuracy: float | None = None
    held_out: int = 0

    @functools.cached_property
    def sha256(self) -> str:
        """Checksum of the weights: two numbers compare where their classifiers have the same one."""
        return digest(self.params)

    def __str__(self) -> str:
        """Name, checksum and accuracy, for the protocol of a number."""
        tested = "" if self.accuracy is None else f", {self.accuracy:.2%} right of {self.held_out} held-out rows"
        return f"{self.name}, sha256 {self.sha256[:16]}{tested}"

    def distribution(self, x: ArrayLike) -> Categorical:
        """p(y | x) for one image in [0, 1] or uint8; batch with `jax.vmap`."""
        return Categorical(self.network.apply(self.params, _unit(jnp.asarray(x))))

    def log_probabilities(self, x: ArrayLike) -> Float[np.ndarray, "N K"]:
        """Log p(y | x) of many images, nats."""
        rows = finite_rows("x", x, self.shape)
        return over_rows(_log_probabilities, (self.network, self.params), (rows,), batch=_AT_ONCE)

    def features(self, x: ArrayLike) -> Float[np.ndarray, "N 64"]:
        """The last hidden layer of many images."""
        trunk = self.network.parts[0], self.params["part0"]
        return over_rows(_features, trunk, (finite_rows("x", x, self.shape),), batch=_AT_ONCE)

    def labels(self, x: ArrayLike) -> Int[np.ndarray, " N"]:
        """The likeliest class of each image, int32."""
        return self.log_probabilities(x).argmax(1).astype(np.int32)


def _unit(x: Array) -> Array:
    return x / 255.0 if x.dtype == jnp.uint8 else x


def _features(network: Network, params: Params, x: Array) -> Array:
    return network.apply(params, x)


def _log_probabilities(network: Network, params: Params, x: Array) -> Array:
    return jax.nn.log_softmax(network.apply(params, x))


@functools.partial(jax.jit, static_argnames=("network",))
def _trained(network: Sequential, params: Params, key: Key, x: Array, y: Array, order: Array) -> Params:
    optimizer = optax.adamw(optax.cosine_decay_schedule(2e-3, len(order)), weight_decay=1e-3)

    def noisy(key: Key, x: Array) -> Array:
        drawn = jax.random.bits(key, x.shape, jnp.uint8).astype(x.dtype)  # a quarter of the time of 32 bits a pixel
        return x + _NOISE * math.sqrt(3.0) * (drawn / 127.5 - 1.0)

    def loss(params: Params, key: Key, rows: Array) -> Array:
        logits = jax.vmap(lambda x: network.apply(params, x))(noisy(key, _unit(x[rows])))
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, y[rows]))

    def step(carry: Any, now: tuple[Array, Array]) -> tuple[Any, None]:
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params, *now), state, params)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), (jax.random.split(key, len(order)), order))
    return params


def train(
    data: Split | Dataset, *, held_out: Split | None = None, seed: int = 0, num_steps: int = _STEPS
) -> Classifier:
    r"""Train the named classifier, a neural categorical distribution, by a recipe that is the same for all data.

    $$p(y|x) = \mathrm{softmax}(W_3\,\phi(x) + b_3), \qquad \phi(x) = r(W_2\,r(W_1 x + b_1) + b_2)$$

    with 256 and 64 rectified units. AdamW (weight decay 1e-3) takes steps of 128 rows, with uniform noise of standard
    deviation 0.2 on the pixels, the rate falling from 2e-3 to 0 by a cosine, as one compiled scan. The same rows and
    seed give the same weights on the same machine; another machine rounds otherwise, so keep one (`save`) and state
    its checksum beside every number that stands on it.

    Args:
      data: images with labels; of a `Dataset` the train part, and its test part as `held_out`.
      held_out: rows to state the accuracy on.
      seed: of the weights and of the order of the rows.
      num_steps: another number than 2500 is part of the classifier's name.

    Differs from an Inception network: its features are of these classes only, so that a Fréchet
    distance in them is no FID and compares with no published one.

    Reference: Kingma and Welling, 2019, chapter 1 (a categorical distribution by a neural network).

    >>> import vaejax as vj
    >>> classifier = vj.evaluate.classifier.train(vj.data.digits(), num_steps=50)
    >>> classifier.name, classifier.held_out, classifier.accuracy > 0.7
    ('vaejax-mlp-v1-50-steps', 397, True)
    """
    require_integer("num_steps", num_steps)
    part = data.train if isinstance(data, Dataset) else data
    held_out = data.test if isinstance(data, Dataset) and held_out is None else held_out
    if not isinstance(part, Split) or part.y is None:
        raise ValueError(f"data: expected a vaejax.data.Split or Dataset with labels, got {type(data).__name__}")
    y = integer_labels("data.y", part.y, len(part))
    if len(np.unique(y)) < 2:
        raise ValueError(f"data.y: expected at least two classes, got the label {y[0]} alone")
    x = part.x if part.x.dtype == np.uint8 else finite_rows("data.x", part.x).astype(np.float32)
    classes = int(y.max()) + 1
    hidden = MLP((math.prod(x.shape[1:]), _HIDDEN, _FEATURES), activate_output=True)
    network = Sequential((hidden, Linear(_FEATURES, classes)))
    key_init, key_noise = jax.random.split(jax.random.key(seed))
    rows = (jnp.asarray(array) for array in (x, y, _order(len(part), seed, num_steps)))
    params = jax.tree.map(np.asarray, _trained(network, jax.jit(network.init)(key_init), key_noise, *rows))
    name = _NAME if num_steps == _STEPS else f"{_NAME}-{num_steps}-steps"
    classifier = Classifier(name, network, params, x.shape[1:], classes)
    if held_out is None:
        return classifier
    if held_out.y is None:
        raise ValueError("held_out: expected rows with labels")
    right = classifier.labels(held_out.x) == integer_labels("held_out.y", held_out.y, len(held_out))
    return dataclasses.replace(classifier, accuracy=float(right.mean()), held_out=len(held_out))


def _order(rows: int, seed: int, steps: int) -> Int[np.ndarray, "T B"]:
    """Rows of every step: one shuffle after the other, cut into batches."""
    generator = np.random.default_rng(seed)
    shuffles = [generator.permutation(rows) for _ in range(-(-steps * _BATCH // rows))]
    return np.concatenate(shuffles)[: steps * _BATCH].reshape(steps, _BATCH).astype(np.int32)


def save(path: str | Path, classifier: Classifier) -> None:
    """Write a classifier to a new folder, whole or not at all: its recipe as JSON beside its weights as npz.

    Raises:
      FileExistsError: where something is at `path` already.
    """
    about = {
        name: getattr(classifier, name) for name in ("name", "sha256", "shape", "num_classes", "accuracy", "held_out")
    }
    about |= {"format": _FORMAT, "network": json.loads(to_json(classifier.network))}
    weights: dict[str, Any] = {str(i): leaf for i, leaf in enumerate(jax.tree.leaves(classifier.params))}
    with new_folder(Path(path).absolute()) as folder:
        np.savez(folder / _WEIGHTS, **weights)
        write_json(folder / _ABOUT, about)


def load(path: str | Path) -> Classifier:
    """Read a classifier, and compare the checksum of its weights with the one stated.

    Raises:
      FileNotFoundError: where there is no classifier.
      ValueError: for a damaged folder, and weights that are not the ones that were saved.
    """
    path = Path(path).absolute()
    if not (path / _ABOUT).is_file():
        raise FileNotFoundError(f"{path} holds no classifier: expected the file {_ABOUT} in it")
    about = read_json(path / _ABOUT, "what evaluate.classifier.save writes")
    if about.get("format") != _FORMAT:
        raise ValueError(f"{path / _ABOUT}: expected format {_FORMAT}, got {about.get('format')!r}: a newer vaejax")
    try:
        network = from_json(json.dumps(about["network"]))
        if not isinstance(network, Sequential):
            raise ValueError(f"expected a network of features and logits, got {type(network).__name__}")
        template = jax.eval_shape(network.init, jax.random.key(0))
        with (path / _WEIGHTS).open("rb") as file, np.load(file, allow_pickle=False) as saved:
            leaves = [saved[str(i)] for i in range(len(saved.files))]
        classifier = Classifier(
            str(about["name"]),
            network,
            jax.tree.unflatten(jax.tree.structure(template), leaves),
            tuple(map(int, about["shape"])),
            int(about["num_classes"]),
            None if about["accuracy"] is None else float(about["accuracy"]),
            int(about["held_out"]),
        )
    except (FileNotFoundError, PermissionError):
        raise
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as problem:
        raise ValueError(f"{path}: the classifier cannot be read ({problem})") from problem
    if classifier.sha256 != about["sha256"]:
        raise ValueError(f"{path}: expected weights with sha256 {about['sha256']}, got {classifier.sha256}")
    return classifier
