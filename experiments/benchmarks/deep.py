"""Training deep models, beside the machine's peak and PyTorch: `python -m experiments.benchmarks.deep [--quick]`.

Calls of `vj.fit` for one epoch of MNIST (dynamic binarisation, Adam, batch 128), the models in turn, medians
over the rounds: images and arithmetic a second. The convolutional VAE is timed against PyTorch eager too, where
there is an environment for it (`make peers`); without MNIST the images are random, which costs the same.
"""

import argparse
import os
import platform
import sys
import tempfile

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

import vaejax as vj
from experiments.benchmarks.peer_process import PEERS, Peers
from experiments.benchmarks.vae import BATCH, clock, gemm_peak, images

SHAPE = 28, 28, 1
NETWORKS = vj.networks
CONVOLUTIONAL = vj.VAE(
    NETWORKS.Sequential((NETWORKS.ConvEncoder(SHAPE, (32, 64), 256), NETWORKS.MLP((256, 256, 64)))),
    NETWORKS.Sequential(
        (NETWORKS.MLP((32, 256), activate_output=True), NETWORKS.ConvDecoder(256, (64, 32), SHAPE)),
    ),
    latent_dim=32,
)
MODELS = {  # with the number of batches of an epoch
    "ladder, 5 layers": (vj.zoo.ladder(SHAPE, (4, 8, 16, 32, 64)), 100),
    "BIVA, 3 layers": (vj.zoo.biva(SHAPE, (8, 16, 32)), 50),
    "NVAE-style, 7 and 14": (vj.zoo.nvae(SHAPE, groups=2, channels=16, latent_channels=4), 5),
    "convolutional VAE": (CONVOLUTIONAL, 60),
}


def step_flops(model: vj.LatentModel) -> float:
    """Arithmetic of one step's value and gradient, as XLA counts it (no loop in it)."""
    objective, params = vj.objectives.elbo(), jax.eval_shape(model.init, jax.random.key(0))
    loss = lambda params, key, x: objective(model, params, key, x, None, 0, {})[0]  # noqa: E731
    batch = jax.ShapeDtypeStruct((BATCH, *SHAPE), "float32")
    lowered = jax.jit(jax.value_and_grad(loss)).lower(params, jax.random.key(0), batch)
    return lowered.cost_analysis()["flops"]


def epoch(model: vj.LatentModel, x: np.ndarray, params: object) -> object:
    options = {"epochs": 1, "batch_size": BATCH, "transform": vj.transforms.binarize, "progress": False}
    return vj.fit(model, jax.random.key(0), x, init=params, **options).params


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of fewer batches, to see that it runs")
    quick = parser.parse_args().quick
    rounds = 1 if quick else 3
    models = {name: (model, max(count // 5, 2) if quick else count) for name, (model, count) in MODELS.items()}
    console = Console(width=130)
    console.print(
        f"{platform.machine()}, {os.cpu_count()} cores, JAX {jax.__version__}, Python {sys.version.split()[0]}"
    )
    pixels = images()
    rows = {name: pixels[: batches * BATCH] for name, (_, batches) in models.items()}
    first, params, flops, seconds = {}, {}, {}, {name: [] for name in models}
    for name, (model, _) in models.items():
        first[name], params[name] = clock(epoch, model, rows[name], None)
        flops[name] = step_flops(model)
    with tempfile.TemporaryDirectory() as folder:
        peers = Peers(rows["convolutional VAE"], folder, "deep_peers.py") if PEERS.exists() else None
        peer = []
        if peers is None:
            console.print(f"PyTorch was skipped: no interpreter at {PEERS} (make peers)")
        else:
            console.print(f"torch {peers.about['torch']} on {peers.about['device']}")
            peers.ask("prepare", "pytorch")
        for _ in range(rounds):
            for name, (model, _) in models.items():
                taken, params[name] = clock(epoch, model, rows[name], params[name])
                seconds[name].append(taken)
            if peers is not None:
                peer.append(peers.ask("epoch", "pytorch")["seconds"])
        if peers is not None:
            peers.close()
    peak = gemm_peak()
    table = Table(title=f"batch {BATCH}, medians of {rounds}; a 2048 product runs at {peak:.0f} GFLOP/s")
    for column in (
        "model",
        "parameters",
        "GFLOP a step",
        "ms a step",
        "images/s",
        "GFLOP/s",
        "of peak",
        "first call, s",
    ):
        table.add_column(column, justify="left" if column == "model" else "right")
    for name, (_, batches) in models.items():
        step = float(np.median(seconds[name])) / batches
        size, rate = sum(leaf.size for leaf in jax.tree.leaves(params[name])), flops[name] / step / 1e9
        cells = f"{size:,}", f"{flops[name] / 1e9:.2f}", f"{1e3 * step:.1f}", f"{BATCH / step:,.0f}", f"{rate:.0f}"
        table.add_row(name, *cells, f"{rate / peak:.0%}", f"{first[name]:.1f}")
    console.print(table)
    if peer:
        ours, theirs = (float(np.median(times)) for times in (seconds["convolutional VAE"], peer))
        batches = models["convolutional VAE"][1]
        console.print(
            f"convolutional VAE, ms a step: vaejax {1e3 * ours / batches:.1f}, "
            f"PyTorch eager {1e3 * theirs / batches:.1f} "
            f"({theirs / ours:.2f} of vaejax's time)"
        )


if __name__ == "__main__":
    main()
