"""log p(x) by importance sampling beside PyTorch and pythae: `python -m experiments.benchmarks.evidence [--quick]`.

An MLP VAE (784-512-512-20, Bernoulli) with fresh weights, the first images of MNIST (`VAEJAX_DATA`) or noise of their
size, binarised by seed 0; k draws an image. The peers (`make peers`) have the same weights and images; each round is a
process of theirs, so that all contenders meet the same load. Then 10 000 images with fewer draws, for the memory, and
annealing: 16 chains, `--ais` temperatures and 64 images in one compiled call.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def peers(x: np.ndarray, params: dict, k: int) -> dict:
    """One round: seconds and the mean of log p(x) by contender."""
    if not PEERS.exists():
        return {}
    arrays = {"x": x.reshape(len(x), -1)}
    for name in ("encoder", "decoder"):
        for i, layer in enumerate(params[name].values()):
            arrays |= {f"{name}/{i}/{part}": np.asarray(layer[part]) for part in ("kernel", "bias")}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.npz"
        np.savez(path, **arrays)
        words = [str(PEERS), str(Path(__file__).with_name("evidence_peers.py")), str(path), str(k)]
        # Spinning threads of OpenMP made PyTorch's times two to three times longer on shared cores.
        environment = os.environ | {"OMP_WAIT_POLICY": "passive"}
        told = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
        return json.loads(told.splitlines()[-1])


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


def peak() -> str:
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB resident at the most"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="k=500, one round, 500 images for the memory")
    parser.add_argument("--ais", type=int, default=100, help="temperatures of annealing; 0 for none")
    options = parser.parse_args()
    k, rounds, many = (500, 1, 500) if options.quick else (5000, 5, 10_000)
    x = images(many)
    few, model = x[:20], vj.zoo.vae((28, 28, 1), 20)
    params = model.init(jax.random.key(0))
    estimate = lambda x, k: vj.evaluate.log_evidence_estimate(model, params, jax.random.key(1), x, k=k)  # noqa: E731
    print(f"first call {timed(lambda: estimate(few, k))[0]:.1f} s; load {os.getloadavg()[0]:.1f}", flush=True)
    found: dict[str, list] = {}
    rates = []
    for _ in range(rounds):
        rates.append(product_rate())
        seconds, ours = timed(lambda: estimate(few, k))
        for name, pair in {"vaejax": (seconds, ours.mean[0]), **peers(few, params, k)}.items():
            found.setdefault(name, []).append(pair)
    rate = float(np.median(rates))
    table = Table(title=f"{len(few)} images, k={k}; {platform.machine()}, JAX {jax.__version__}")
    for column in ("contender", "median s (least, most)", "images/s", "of the product's rate", "mean log p(x)"):
        table.add_column(column)
    for name, pairs in found.items():
        seconds, middle = [pair[0] for pair in pairs], float(np.median([pair[0] for pair in pairs]))
        spread, share = f"{middle:.2f} ({min(seconds):.2f}, {max(seconds):.2f})", FLOP * k * len(few) / middle / rate
        table.add_row(name, spread, f"{len(few) / middle:.1f}", f"{share:.0%}", f"{pairs[0][1]:.2f}")
    Console(width=140).print(table)
    print(f"a 2048 product {rate / 1e9:.0f} GFLOP/s; load {os.getloadavg()[0]:.1f}; {peak()}", flush=True)
    seconds, _ = timed(lambda: estimate(x, 100))
    print(f"{len(x)} images, k=100: {seconds:.1f} s; {peak()}", flush=True)
    if options.ais:
        key, how = jax.random.key(2), {"num_temperatures": options.ais}
        seconds, found_by_ais = timed(lambda: vj.evaluate.ais(model, params, key, x[:64], **how))
        mean, error = found_by_ais.mean
        print(f"{found_by_ais.protocol}, 64 images: {seconds:.1f} s with compilation, {mean:.2f} ± {error:.2f} nats")
        mean, error = estimate(x[:64], k).mean
        print(f"the same images, k={k}: {mean:.2f} ± {error:.2f} nats; load {os.getloadavg()[0]:.1f}; {peak()}")


if __name__ == "__main__":
    main()
