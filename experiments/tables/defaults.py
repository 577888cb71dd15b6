"""What `vj.fit` reaches without settings, beside what it did before: `python -m experiments.tables.defaults`.

Before: Adam at 1e-3, batches of 128, the plain bound, a start from the key, posteriors whose network says their
triangles and flow steps as they are. Each fit is kept as a run and scored on held-out rows, IWAE with `k` draws: nats
of binarised pixels, log-densities of standardised columns. One seed; ± is over the rows.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import numpy as np
import optax
import tyro

import vaejax as vj
from experiments.tables.zoo_table import write

Set = Literal["mnist", "digits", "plane", "table"]
EPOCHS = {"mnist": 30, "digits": 100, "plane": 30, "table": 200}
BEFORE = optax.adam(1e-3)


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the table."""

    sets: tuple[Set, ...] = get_args(Set)
    """Data; mnist needs VAEJAX_DATA."""
    only: tuple[str, ...] = ()
    """Names of models; all unless told otherwise."""
    forms: tuple[Literal["before", "now"], ...] = ("before", "now")
    """Which of the two to train; the table shows whatever is finished."""
    k: int = 500
    """Draws a row."""
    rows: int = 1000
    """Held-out rows at most."""
    share: float = 1.0
    """Of the epochs, for a quick look."""
    out: Path = Path("out/defaults")
    """Folder of the runs and of `metrics.json`."""


def images(shape: tuple[int, ...], m: int, deep: tuple[int, ...], units: tuple[int, ...]) -> dict[str, Any]:
    """Makers of models, given the options of both forms; posteriors are given their reach."""
    zoo, heads = vj.zoo, vj.heads
    reached = lambda make, *args: lambda reach, **options: make(shape, m, posterior=args[0](**reach), **options)  # noqa: E731
    layers = lambda make, **more: lambda reach, **options: make(shape, deep, **more, **options)  # noqa: E731
    return {
        "VAE": lambda reach, **options: zoo.vae(shape, m, **options),
        "planar flow, 8 steps": reached(zoo.vae, lambda **reach: heads.Planar(8, **reach)),
        "full covariance": reached(zoo.vae, heads.full_normal),
        "linear IAF": reached(zoo.vae, heads.LinearIAF),
        "IAF, 2 steps of 256": lambda reach, **options: zoo.iaf_vae(shape, m, depth=2, flow_hidden=256, **options),
        "hierarchy": layers(zoo.hierarchical_vae, hidden=units),
        "ladder": layers(zoo.ladder, hidden=units),
        "BIVA": layers(zoo.biva, width=max(units) // 2),
    }


def vectors(size: int, m: int) -> dict[str, Any]:
    shared = {"hidden": (128, 128), "likelihood": vj.heads.normal("shared")}
    deep = {"hidden": (64, 128), "likelihood": vj.heads.normal("shared")}
    return {
        "VAE": lambda reach, **options: vj.zoo.vae(size, m, **shared, **options),
        "full covariance": lambda reach, **options: vj.zoo.vae(
            size, m, posterior=vj.heads.full_normal(**reach), **shared, **options
        ),
        "ladder": lambda reach, **options: vj.zoo.ladder(size, (m, m), **deep, **options),
    }


def load(name: Set) -> tuple[Any, np.ndarray, Any, dict[str, Any]]:
    """Train rows, held-out rows, the transform of a batch, and makers of models."""
    rng = np.random.default_rng(0)
    if name in ("mnist", "digits"):
        data = getattr(vj.data, name)()
        x = np.asarray(data.test.x)
        grey = x.reshape(len(x), *((28, 28, 1) if name == "mnist" else (8, 8, 1)))
        test = (rng.random(grey.shape) * 255 < grey).astype(np.float32)
        sizes = (40, (16, 32, 64), (128, 256, 512)) if name == "mnist" else (8, (4, 8, 16), (64, 128, 256))
        return data.train, test, vj.transforms.binarize, images(grey.shape[1:], *sizes)
    if name == "plane":
        data = vj.data.figure_eight(5000, noise_variance=0.02)
        return data.train, np.asarray(data.test.x), None, vectors(2, 2)
    from sklearn.datasets import load_breast_cancer

    x = rng.permutation(np.asarray(load_breast_cancer().data, np.float32))
    x = ((x - x[:400].mean(0)) / x[:400].std(0)).astype(np.float32)
    return x[:400], x[400:], None, vectors(x.shape[1], 5)


def scored(config: Config, make: Callable[..., Any], parts: tuple[Any, ...], before: bool, epochs: int, folder: Path):
    """One fit, and the score of its last parameters."""
    train, test, transform = parts
    x = test[: config.rows]
    model = make({"reach": 1.0}, objective=None) if before else make({})
    old = {"optimizer": BEFORE, "batch_size": 128} if before else {}
    fit = vj.fit(model, jax.random.key(1), train, epochs=epochs, transform=transform, checkpoint=folder, **old)
    estimate = vj.evaluate.log_evidence_estimate(model, fit.params, jax.random.key(2), x, k=config.k)
    keys = jax.random.split(jax.random.key(3), len(x))
    bound = jax.jit(jax.vmap(lambda key, x: vj.elbo(model, fit.params, key, x)))(keys, x)
    kl = np.asarray(bound.kl, float).reshape(len(x), -1).mean(0)
    seconds = float(fit.history["seconds"].sum())
    return {"iwae": [float(v) for v in estimate.mean], "kl": kl.round(2).tolist(), "seconds": seconds, "epochs": epochs}


def main(config: Config) -> dict[str, Any]:
    path = config.out / "metrics.json"
    done = json.loads(path.read_text()) if path.exists() else {}
    for name in config.sets:
        *parts, models = load(name)
        epochs = max(1, round(config.share * EPOCHS[name]))
        for model, make in models.items():
            if config.only and model not in config.only:
                continue
            for form in config.forms:
                cell = f"{name}, {model}, {form}"
                if done.get(cell, {}).get("epochs") != epochs:
                    folder = config.out / "runs" / f"{cell}, {epochs}".replace(", ", "-").replace(" ", "_")
                    done[cell] = scored(config, make, tuple(parts), form == "before", epochs, folder)
                    write(path, done)
            shown = (done.get(f"{name}, {model}, {form}") for form in ("before", "now"))
            print(f"| {name} | {model} | {' | '.join(map(words, shown))} |", flush=True)
    return done


def words(cell: dict[str, Any] | None) -> str:
    """Nats, and the divergence of each layer, top first."""
    if cell is None:
        return " | "
    layers = ", ".join(f"{value:.1f}" for value in cell["kl"])
    return f"{cell['iwae'][0]:.2f} ± {cell['iwae'][1]:.2f} | {layers}"


if __name__ == "__main__":
    main(tyro.cli(Config))
