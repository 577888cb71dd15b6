"""The page of one run."""

import csv
from pathlib import Path
from typing import Any

import jax
import numpy as np

import vaejax as vj
from vaejax.cli.members import describe
from vaejax.cli.sampling import draws
from vaejax.cli.scoring import score_rows
from vaejax.plots.page import Page

__all__ = ["write_report"]


def write_report(folder: Any, metrics: dict[str, Any], out: Path) -> None:
    """Write the page of a run: scores with their protocol, curves, reconstructions, samples, a map of the latents."""
    model, params, source = folder.load()
    options = folder.options
    page = Page(f"{options['model']} on {options['data']}", quiet=True)
    page.paragraph(describe(options["model"]))
    page.heading("Scores")
    page.paragraph("; ".join([metrics["protocol"], *metrics["notes"]]) + ".")
    rows, notes = score_rows(metrics)
    page.table(("score", "mean ± standard error", "unit", "note"), rows)
    for note in notes:
        page.paragraph(note)
    if metrics["advice"]:
        page.heading("Diagnosis")
        for sentence in metrics["advice"]:
            page.paragraph(f"– {sentence}.")
        divergence = metrics["arrays"].get("kl_per_dimension") or metrics["arrays"].get("kl_per_layer")
        if divergence:
            kind = "latent" if "kl_per_dimension" in metrics["arrays"] else "layer"
            page.figures({f"Divergence of each {kind}, largest first": vj.plots.bars(divergence, kind)})
    if (folder.path / "history.csv").is_file():
        page.heading("Training")
        page.figures(_curves(folder.path / "history.csv"))
    told, test = folder.test_rows(model, source)
    x, context = test.x, test.y if model.context_dim else None
    key = jax.random.key(0)
    shape = source.data.train.x.shape[1:]
    if len(shape) == 3:
        limits = (0.0, 1.0) if source.data.train.x.dtype == np.uint8 else None
        grid = lambda x, columns: vj.plots.image_grid(x.reshape(-1, *shape), columns=columns, limits=limits)  # noqa: E731
        page.heading("Reconstructions")
        some, labels = x[:10], None if context is None else context[:10]
        page.figures(
            {f"Ten test images ({told}), and below each its mean again": grid(_again(model, params, some, labels), 10)}
        )
        if model.has_density:
            page.heading("Samples")
            means = draws(model, params, key, 50, mode="mean")
            train = folder.scored(model, source.data.train, source.levels)[1].x
            page.figures(
                {
                    "Means of x given sampled z": grid(means, 10),
                    "Samples of x: the model itself": grid(draws(model, params, key, 50, mode="ancestral"), 10),
                    "Ten of the means, and below each the nearest training image": grid(_beside(means[:10], train), 10),
                }
            )
    elif model.has_density:
        page.heading("Samples")
        page.figures(_columns(source, draws(model, params, key, min(len(source.data.train), 2000), mode="ancestral")))
    latents = _map(model, params, x[:5000], context, source)
    if latents:
        page.heading("Latents")
        page.figures(latents)
    page.heading("How to make it again")
    given = {
        name: value for name, value in options.items() if value is not None and value is not False and name != "digest"
    }
    page.table(("option", "value"), [(name, str(value)) for name, value in given.items()])
    page.paragraph(f"vaejax {metrics['vaejax']}, JAX {metrics['jax']}; data {options['digest'][:16]} (sha256).")
    page.write(out)


def _again(model: Any, params: Any, x: np.ndarray, context: Any) -> np.ndarray:
    """Rows and their reconstructions, one after the other."""
    one = lambda x, c=None: vj.reconstruct(model, params, jax.random.key(0), x, c, temperature=0.0)  # noqa: E731
    again = jax.vmap(one)(x) if context is None else jax.vmap(one)(x, context)
    return np.concatenate([x.reshape(len(x), -1), np.asarray(again).reshape(len(x), -1)])


def _beside(samples: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Samples and the nearest training rows, one after the other."""
    train = (train / np.float32(255) if train.dtype == np.uint8 else train).reshape(len(train), -1)
    samples = samples.reshape(len(samples), -1)
    return np.concatenate([samples, train[[np.argmin(((train - row) ** 2).sum(1)) for row in samples]]])


def _curves(path: Path) -> dict[str, Any]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    column = lambda name: np.array([float(row[name]) for row in rows])  # noqa: E731
    names = list(rows[0]) if rows else []
    groups = {
        "Objective and its parts": ("value", "elbo", "log_likelihood", "validation_elbo", "validation_value"),
        "Divergence": ("kl", "validation_kl"),
    }
    figures = {}
    for caption, wanted in groups.items():
        shown: dict[str, np.ndarray] = {}
        for name in wanted:
            if name in names and not any(np.array_equal(column(name), other) for other in shown.values()):
                shown[name.replace("_", " ")] = column(name)
        if shown:
            label = "epoch" if "epoch" in names else "step of EM"
            figures[caption] = vj.plots.curves(shown, x_label=label, y_label="nats a row", log_x=len(rows) > 20)
    return figures


def _columns(source: Any, drawn: np.ndarray) -> dict[str, Any]:
    """Two columns of a table, as they are and as the model draws them, in the units of the data."""
    units = source.data.scaling.undo if source.data.scaling is not None else np.asarray
    real = units(source.data.train.x)
    if real.shape[1] < 2:
        return {}
    first, second = sorted(np.argsort(-np.where(np.nanstd(real, 0) > 0, 1, 0) * _spread(source), kind="stable")[:2])
    sets = {"train rows": real[: len(drawn)], "samples": units(drawn)}
    pairs = {name: rows[:, [first, second]] for name, rows in sets.items()}
    figure = vj.plots.overlay(pairs, names=(f"column {first}", f"column {second}"))
    return {f"Columns {first} and {second}: as many train rows as samples": figure}


def _spread(source: Any) -> np.ndarray:
    """Variance of each column in standard units, so that the two shown are not the two of the largest unit."""
    x = source.data.test.x
    return np.ones(x.shape[1]) if source.data.scaling is not None else np.nanvar(x, 0)


def _map(model: Any, params: Any, x: np.ndarray, context: Any, source: Any) -> dict[str, Any]:
    """Centres of q of the test rows in the plane of the two latents that vary most."""
    one = lambda x, c=None: vj.encode(model, params, x, c)  # noqa: E731
    codes = jax.vmap(one)(x) if context is None else jax.vmap(one)(x, context)
    layers = [np.asarray(leaf).reshape(len(x), -1) for leaf in jax.tree.leaves(codes)]
    layers = [layer for layer in layers if layer.dtype.kind == "f" and layer.shape[1] >= 2]
    if not layers or model.num_components is not None:
        return {}
    z = np.concatenate(layers, 1)
    first, second = sorted(np.argsort(-z.var(0))[:2])
    y = source.data.test.y
    which = f"latents {first + 1} and {second + 1} of {z.shape[1]}, those of most variance"
    caption = f"Centres of q(z|x) of {len(x)} test rows: {which}"
    labels, names = None if y is None else y[: len(x)], (f"$z_{{{first + 1}}}$", f"$z_{{{second + 1}}}$")
    return {caption: vj.plots.scatter(z[:, [first, second]], labels, names=names)}
