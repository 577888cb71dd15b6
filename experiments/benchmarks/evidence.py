"""log p(x) by importance sampling beside PyTorch: `python -m experiments.benchmarks.evidence [--quick]`.

An MLP VAE (784-512-512-20, Bernoulli) with fresh weights, the first images of MNIST (`VAEJAX_DATA`) or noise of their
size, binarised by seed 0; k draws an image. PyTorch (`make peers`) has the same weights and images.
"""

import argparse
import json
import platform
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

import vaejax as vj
from experiments.benchmarks.peer_process import PEERS

FLOP = 2 * (20 * 512 + 512 * 512 + 512 * 784)  # of the decoder, a draw


def images(count: int) -> np.ndarray:
    try:
        grey = vj.data.mnist().test.x[:count] / 255
    except FileNotFoundError:
        grey = np.random.default_rng(0).random((count, 28, 28, 1)) * 0.3
    return (np.random.default_rng(0).random(grey.shape) < grey).astype(np.float32)


def product_rate() -> float:
    """FLOP/s of a product of 2048 x 2048 matrices."""
    a = jax.random.normal(jax.random.key(0), (2048, 2048))
    f = jax.jit(lambda a: a @ a)
    f(a).block_until_ready()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        f(a).block_until_ready()
        times.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(times)


def peer(x: np.ndarray, params: dict, k: int, rounds: int) -> dict | None:
    if not PEERS.exists():
        return None
    arrays = {"x": x.reshape(len(x), -1)}
    for name in ("encoder", "decoder"):
        for i, layer in enumerate(params[name].values()):
            arrays |= {f"{name}/{i}/{part}": np.asarray(layer[part]) for part in ("kernel", "bias")}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.npz"
        np.savez(path, **arrays)
        program = Path(__file__).with_name("evidence_peers.py")
        words = [str(PEERS), str(program), str(path), str(k), str(rounds)]
        return json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="k=500, one round")
    quick = parser.parse_args().quick
    k, rounds, x = (500, 1, images(20)) if quick else (5000, 5, images(20))
    model = vj.zoo.vae((28, 28, 1), 20)
    params = model.init(jax.random.key(0))
    estimate = lambda i: vj.evaluate.log_evidence_estimate(model, params, jax.random.key(i), x, k=k, progress=False)  # noqa: E731
    start = time.perf_counter()
    found = estimate(0)
    first, times = time.perf_counter() - start, []
    for i in range(rounds):
        start = time.perf_counter()
        estimate(i)
        times.append(time.perf_counter() - start)
    rate, theirs = product_rate(), peer(x, params, k, rounds)
    table = Table(title=f"{len(x)} images, k={k}; {platform.processor() or platform.machine()}, JAX {jax.__version__}")
    for column in ("contender", "median s", "least s", "images/s", "of the product's rate", "mean log p(x)"):
        table.add_column(column)
    rows = [("vaejax", times, float(np.mean(found.log_evidence)))]
    if theirs is not None:
        rows.append((f"PyTorch {theirs['torch']}", theirs["seconds"], float(np.mean(theirs["values"]))))
    for name, seconds, value in rows:
        share = FLOP * k * len(x) / np.median(seconds) / rate
        speed = f"{len(x) / np.median(seconds):.1f}"
        table.add_row(name, f"{np.median(seconds):.2f}", f"{min(seconds):.2f}", speed, f"{share:.0%}", f"{value:.2f}")
    Console(width=140).print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"first call {first:.1f} s; peak memory {peak:.2f} GiB; a 2048 product {rate / 1e9:.0f} GFLOP/s")


if __name__ == "__main__":
    main()
