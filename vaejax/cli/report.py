"""The page of one run."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

import vaejax as vj
from vaejax.cli.folder import Folder, Run
from vaejax.cli.members import describe
from vaejax.cli.scoring import score_rows
from vaejax.plots.page import Page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["write_report"]

_GROUPS = {
    "Objective and its parts": ("value", "elbo", "log_likelihood", "validation_elbo", "validation_value"),
    "Divergence": ("kl", "validation_kl"),
}


def write_report(folder: Folder, run: Run, metrics: dict[str, Any], out: Path) -> None:
    """Write the page of a run: scores with their protocol, curves, reconstructions, samples, a map of the latents."""
    options, source = run.options, run.source
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
        for kind, name in (("layer", "kl_per_layer"), ("latent", "kl_per_dimension")):
            if values := metrics["arrays"].get(name):
                page.figures({f"Divergence of each {kind}, largest first": vj.plots.bars(values, kind)})
    if (folder.path / "history.csv").is_file():
        page.heading("Training")
        page.figures(_curves(folder.path / "history.csv"))
    if source.train.x.ndim == 4:
        _images(page, run)
    elif run.model.has_density:
        page.heading("Samples")
        page.figures(_columns(run, run.draws(jax.random.key(0), min(len(source.train), 2000), mode="ancestral")[0]))
    latents = _map(run)
    if latents:
        page.heading("Latents")
        page.figures(latents)
    page.heading("How to make it again")
    given = {name: str(value) for name, value in options.items() if value is not None and value is not False}
    digest = given.pop("digest")
    page.table(("option", "value"), list(given.items()))
    page.paragraph(f"vaejax {metrics['vaejax']}, JAX {metrics['jax']}; data {digest[:16]} (sha256).")
    page.write(out)


def _of_rows(function: Any, run: Run, rows: vj.data.Split, *first: Any, **options: Any) -> Any:
    """A function of one datum, of all rows."""
    one = partial(function, run.model, run.params, *first, **options)
    return jax.vmap(one)(rows.x, rows.y if run.model.context_dim else None)


def _images(page: Page, run: Run) -> None:
    """Reconstructions, samples, and the train images nearest to them."""
    train = run.source.train.x
    limits, key = (0.0, 1.0) if train.dtype == np.uint8 else None, jax.random.key(0)

    def grid(*parts: np.ndarray) -> "Figure":
        x = np.concatenate([part.reshape(-1, *train.shape[1:]) for part in parts])
        return vj.plots.image_grid(x, columns=10, limits=limits)

    form, test = run.scored(run.source.test.take(slice(10)))
    again = np.asarray(_of_rows(vj.reconstruct, run, test, key, temperature=0.0))
    page.heading("Reconstructions")
    page.figures({f"Ten test images ({form}), and below each its mean again": grid(test.x, again)})
    if run.model.has_density:
        means = run.draws(key, 50, mode="mean")[0]
        seen = run.scored(run.source.train)[1].x
        seen = (seen / np.float32(255) if seen.dtype == np.uint8 else seen).reshape(len(seen), -1)
        nearest = [np.argmin(((seen - row) ** 2).sum(1)) for row in means[:10].reshape(10, -1)]
        page.heading("Samples")
        page.figures(
            {
                "Means of x given sampled z": grid(means),
                "Samples of x: the model itself": grid(run.draws(key, 50, mode="ancestral")[0]),
                "Ten of the means, and below each the nearest training image": grid(means[:10], seen[nearest]),
            }
        )


def _curves(path: Path) -> "dict[str, Figure]":
    table = np.atleast_1d(np.genfromtxt(path, delimiter=",", names=True))
    names: Sequence[str] = table.dtype.names or ()
    label, figures = "epoch" if "epoch" in names else "step of EM", {}
    for caption, group in _GROUPS.items():
        shown: dict[str, np.ndarray] = {}
        for name in group:
            if name in names and not any(np.array_equal(table[name], other) for other in shown.values()):
                shown[name.replace("_", " ")] = table[name]
        if shown:
            figures[caption] = vj.plots.curves(shown, x_label=label, y_label="nats a row", log_x=len(table) > 20)
    return figures


def _columns(run: Run, samples: np.ndarray) -> "dict[str, Figure]":
    """Two columns of a table, as they are and as the model draws them, in the units of the data."""
    scaling, x = run.source.data.scaling, run.source.train.x
    if x.shape[1] < 2:
        return {}
    # The two that vary most, and where all have unit variance the first two.
    spread = np.nanvar(x, 0) if scaling is None else (np.nanstd(x, 0) > 0).astype(float)
    first, second = sorted(np.argsort(-spread, kind="stable")[:2])
    units = np.asarray if scaling is None else scaling.undo
    sets = {"train rows": x[: len(samples)], "samples": samples}
    points = {name: units(rows)[:, [first, second]] for name, rows in sets.items()}
    figure = vj.plots.scatter(points, names=(f"column {first}", f"column {second}"))
    return {f"Columns {first} and {second}: as many train rows as samples": figure}


def _map(run: Run) -> "dict[str, Figure]":
    """Centres of q of the test rows in the plane of the two latents that vary most."""
    _, test = run.scored(run.source.test)
    test = test.take(slice(5000))
    layers = [np.asarray(leaf).reshape(len(test), -1) for leaf in jax.tree.leaves(_of_rows(vj.encode, run, test))]
    layers = [layer for layer in layers if layer.dtype.kind == "f" and layer.shape[1] >= 2]
    if not layers or run.model.num_components is not None:
        return {}
    z = np.concatenate(layers, 1)
    first, second = sorted(np.argsort(-z.var(0))[:2])
    which = f"latents {first + 1} and {second + 1} of {z.shape[1]}, those of most variance"
    names = (f"$z_{{{first + 1}}}$", f"$z_{{{second + 1}}}$")
    figure = vj.plots.scatter(z[:, [first, second]], test.y, names=names)
    return {f"Centres of q(z|x) of {len(z)} test rows: {which}": figure}
