"""Latent spaces and their decoders as small text: what `explorer` looks at and keeps, and `explorer.js` reads."""

import base64
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import vaejax as vj
from experiments.harness.grid import Grid

__all__ = [
    "REACH",
    "beside_predictions",
    "change",
    "codes",
    "decode",
    "framed",
    "known_labels",
    "off_prior",
    "packed",
    "places",
    "quantised",
]

REACH = 3.0  # latents go from -REACH to REACH


def known_labels(model: Any, split: vj.data.Split) -> Any:
    """The labels, where the model is given them."""
    return split.y if model.context_dim else None


def codes(model: Any, params: Any, split: vj.data.Split, temperature: float = 0.0) -> np.ndarray:
    """Centres of q(z|x), or draws from it at temperature 1."""
    key, labels = jax.random.key(0), known_labels(model, split)
    return vj.evaluate.encode_rows(model, params, key, split.x, labels, temperature=temperature)


def off_prior(z: np.ndarray) -> float:
    """KL[N(m, S) || N(0, I)], nats, of the mean and the covariance of these codes."""
    mean, covariance = z.mean(0), np.atleast_2d(np.cov(z.T))
    return float(np.trace(covariance) + mean @ mean - len(mean) - np.linalg.slogdet(covariance)[1]) / 2


def decode(model: Any, params: Any, z: Any, labels: Any = None) -> np.ndarray:
    """Means of x as pixels in [0, 1], for rows of latents (and their labels)."""
    means = jax.vmap(vj.decode, (None, None, 0, 0))(model, params, np.asarray(z, np.float32), labels)
    return np.clip(means, 0, 1)[..., 0]


def places(latents: int, count: int = 10) -> tuple[np.ndarray, str, dict[str, Any]]:
    """Rows of `count` codes to decode, what they are, and how `vj.plots.image_grid` shows that."""
    line, sides = np.linspace(-REACH, REACH, count), {"extent": (-REACH, REACH, -REACH, REACH)}
    if latents == 2:
        return np.stack(np.meshgrid(line, -line), -1).reshape(-1, 2), "over the plane, from -3 to 3", sides
    each = [f"$z_{{{i + 1}}}$" for i in range(latents)]
    said = "a row moves each latent from -3 to 3, the others at 0"
    return np.kron(np.eye(latents), line[:, None]), said, sides | {"row_labels": each, "names": ("its value", "")}


def framed(figure: Figure, shape: tuple[int, int], side: float = 1.0, count: int = 10) -> str:
    """Frame the square of the plane of `places` that a claim is about; what is said of it."""
    inside = np.flatnonzero(np.abs(np.linspace(-REACH, REACH, count)) <= side + 1e-9)
    steps = np.array(shape[::-1]) + 1  # from an image to the next, with the line between them
    corner, size = inside[0] * steps - 1.0, len(inside) * steps
    figure.axes[0].add_patch(Rectangle(tuple(corner), *map(float, size), fill=False, color="#e07b00", linewidth=2.5))
    return f" The frame is around the images whose centres are in [{-side:g}, {side:g}]²."


def quantised(params: Mapping[str, Any]) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """An MLP in two bytes a weight, in steps of each output's own: its layers for JSON, and the weights these mean.

    Weights are int16, (inputs, outputs) row by row; steps and biases are float32, little-endian; all in base64.
    """
    text = lambda array: base64.b64encode(array.tobytes()).decode()  # noqa: E731
    layers, meant = [], {}
    for name, layer in sorted(params.items()):
        kernel, bias = (np.asarray(layer[part], "<f4") for part in ("kernel", "bias"))
        steps = np.maximum(np.abs(kernel).max(0), np.float32(1e-12)) / np.float32(32767)
        whole = np.rint(kernel / steps).astype("<i2")
        layers.append({"weights": text(whole), "steps": text(steps), "biases": text(bias)})
        meant[name] = {"kernel": whole * steps, "bias": bias}
    return layers, meant


def folded(params: Any) -> Any:
    """The parameters with the likelihood's shift in the decoder's last bias, where the page reads it."""
    last, likelihood = max(params["decoder"]), params["likelihood"]
    shift = likelihood["shift"]
    layer = params["decoder"][last]
    moved = params["decoder"] | {last: layer | {"bias": layer["bias"] + shift.ravel()}}
    return params | {"decoder": moved, "likelihood": likelihood | {"shift": 0.0 * shift}}


def change(model: Any, params: Any, z: np.ndarray, labels: Any = None) -> float:
    """The largest change of a pixel by weights of two bytes, at these codes and at as many points anywhere in reach."""
    params = folded(params)
    rounded = params | {"decoder": quantised(params["decoder"])[1]}
    anywhere = np.random.default_rng(0).uniform(-REACH, REACH, z.shape)
    apart = [decode(model, params, at, labels) - decode(model, rounded, at, labels) for at in (z, anywhere)]
    return float(np.abs(apart).max())


def packed(name: str, model: Any, params: Any, split: vj.data.Split) -> dict[str, Any]:
    """All that the page has to know of a model.

    Args:
      name: what it is called.
      model: a VAE with an MLP of ReLUs as decoder, whose output is the mean of one grey image; labels are its context.
      params: its parameters.
      split: images whose codes are drawn on the plane.
    """
    z = codes(model, params, split)
    return {
        "name": name,
        "latents": model.latent_dim,
        "classes": model.context_dim,
        "shape": model.event_shape[:2],
        "reach": REACH,
        "difference": round(change(model, params, z, known_labels(model, split)), 6),
        "layers": quantised(folded(params)["decoder"])[0],
        "codes": np.round(z.astype(float), 2).tolist(),
        "labels": np.asarray(split.y).tolist(),
    }


def beside_predictions(grid: Grid, models: tuple[str, str, str]) -> str:
    """Sentences: how well codes name digits and how far they are from N(0, I): of the plane, eight, the label."""
    known, near = ([grid.say(name, number, 2) for name in models] for number in ("neighbours", "off_prior"))
    right, off = ([grid.mean(name, number) for name in models] for number in ("neighbours", "off_prior"))
    than = lambda value, wanted: "fewer than" if value < wanted - 0.005 else "not fewer than"  # noqa: E731
    held = lambda yes: "as predicted" if yes else "not as predicted"  # noqa: E731
    return (
        f"The five nearest codes name {known[0]} of the test digits on the plane ({than(right[0], 0.8)} the predicted "
        f"0.80), {known[1]} with eight latents ({than(right[1], 0.95)} 0.95) and {known[2]} given the label "
        f"(below 0.30, {held(right[2] < 0.3)}). A Gaussian with the mean and covariance of q(z), which leaves out how "
        f"its digits lie apart, is {near[0]} nats from N(0, I) on the plane (below 0.5, {held(off[0] < 0.5)}) and "
        f"{near[1]} with eight latents."
    )
