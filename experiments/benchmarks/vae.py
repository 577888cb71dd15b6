"""Training a VAE side by side with its peers, in one run: `python -m experiments.benchmarks.vae [--quick]`.

One epoch of MNIST (MLP 784-512-512-20, Bernoulli, Adam, batch 128, dynamic binarisation), the contenders in
turn, medians over the rounds. PyTorch and pythae live in an environment of their own (`make peers`) and are
skipped with a word where it is absent; without MNIST the images are random, which costs the same.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console
from rich.table import Table

import vaejax as vj
from experiments.benchmarks.peer_process import PEERS, Peers

BATCH, LATENT, HIDDEN, SAMPLES = 128, 20, (512, 512), 10_000
MODEL = vj.zoo.vae((28, 28, 1), LATENT, hidden=HIDDEN)
STARTUP = """
import time; start = time.perf_counter()
import sys
before = {packages}
print(time.perf_counter() - start)
"""
FIRST_EPOCH = """
import time; start = time.perf_counter()
import sys, numpy as np, jax, vaejax as vj
imported = time.perf_counter()
x = np.load(sys.argv[1])["x"].reshape(-1, 28, 28, 1)
model = vj.zoo.vae((28, 28, 1), 20)
options = dict(epochs=1, transform=vj.transforms.binarize, progress=False)
params = vj.fit(model, jax.random.key(0), x, **options).params
done = time.perf_counter()
vj.fit(model, jax.random.key(0), x, init=params, **options)
epoch = time.perf_counter() - done
print(imported - start, done - imported - epoch, done - start)
"""


def images() -> np.ndarray:
    try:
        return vj.data.mnist().train.x
    except FileNotFoundError:
        return np.random.default_rng(0).integers(0, 256, (60_000, 28, 28, 1), dtype=np.uint8)


def clock(f: Callable, *args) -> tuple[float, object]:
    start = time.perf_counter()
    result = jax.block_until_ready(f(*args))
    return time.perf_counter() - start, result


def vaejax_epoch(x: np.ndarray) -> Callable[[], float]:
    """One call of `vj.fit` an epoch, from the parameters of the last one; returns the mean loss."""
    state = {"params": None, "key": jax.random.key(0)}

    def epoch() -> float:
        state["key"], key = jax.random.split(state["key"])
        options = {"epochs": 1, "batch_size": BATCH, "transform": vj.transforms.binarize, "progress": False}
        result = vj.fit(MODEL, key, x, init=state["params"], **options)
        state["params"] = result.params
        return -float(result.history["value"][-1])

    return epoch


def step_by_step(x: np.ndarray) -> Callable[[], float]:
    """The usual loop of JAX examples: one compiled step, batches cut by NumPy on the host."""
    optimizer, objective = optax.adam(1e-3), vj.objectives.elbo()
    params = MODEL.init(jax.random.key(0))
    rng = np.random.default_rng(0)

    @jax.jit
    def step(params, state, key, x):
        x = jax.random.bernoulli(key, x).astype(jnp.float32)
        loss = lambda params: -objective(MODEL, params, key, x, None, 0, {})[0]  # noqa: E731
        value, grads = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state, value

    carry = [params, optimizer.init(params), jax.random.key(1)]

    def epoch() -> float:
        order, losses = rng.permutation(len(x)), []
        for i in range(len(x) // BATCH):
            carry[2], key = jax.random.split(carry[2])
            batch = x[order[i * BATCH : (i + 1) * BATCH]] / np.float32(255)
            carry[0], carry[1], value = step(carry[0], carry[1], key, batch)
            losses.append(value)
        return float(jnp.mean(jnp.stack(losses)))

    return epoch


def epochs(console: Console, x: np.ndarray, rounds: int, peers: Peers | None) -> None:
    ours = {"vaejax": vaejax_epoch(x), "JAX, step by step": step_by_step(x)}
    prepare, times, losses = {}, {}, {}
    for name, epoch in ours.items():
        prepare[name], losses[name] = clock(epoch)
        times[name] = []
    for name in peers.about["contenders"] if peers else ():
        answer = peers.ask("prepare", name)
        if "error" in answer:
            console.print(f"{name} was skipped: {answer['error']}")
            continue
        prepare[name], times[name] = answer["seconds"], []
    for _ in range(rounds):
        for name in times:
            if name in ours:
                seconds, losses[name] = clock(ours[name])
            else:
                answer = peers.ask("epoch", name)
                seconds, losses[name] = answer["seconds"], answer["value"]
            times[name].append(seconds)
    table = Table(title=f"one epoch of {len(x):,} images, seconds: median, least and most of {rounds} rounds in turn")
    for column in ("contender", "median", "least", "most", "of vaejax's", "first call", "loss, last epoch"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    base = float(np.median(times["vaejax"]))
    for name, seconds in times.items():
        middle = float(np.median(seconds))
        cells = f"{middle:.2f}", f"{min(seconds):.2f}", f"{max(seconds):.2f}", f"{middle / base:.2f}"
        table.add_row(name, *cells, f"{prepare[name]:.1f}", f"{losses[name]:.1f}")
    console.print(table)
    work = 6.0 * sum(a * b for a, b in ((784, 512), (512, 512), (512, 40), (20, 512), (512, 512), (512, 784))) * len(x)
    work -= 2.0 * 784 * 512 * len(x)  # the first layer's input needs no gradient
    peak = gemm_peak()
    rate = work / base / 1e9
    console.print(
        f"{work / 1e9:.0f} GFLOP an epoch: {rate:.0f} GFLOP/s, {rate / peak:.0%} of a 2048 product's {peak:.0f}"
    )


def gemm_peak() -> float:
    """GFLOP/s of a float32 product of 2048 x 2048 matrices."""
    a = jax.random.normal(jax.random.key(0), (2048, 2048))
    product = jax.jit(lambda a: a @ a)
    jax.block_until_ready(product(a))
    return max(2 * 2048**3 / clock(product, a)[0] for _ in range(5)) / 1e9


def startup(console: Console, x: np.ndarray, repeats: int) -> None:
    def run(code: str, *args: str) -> list[float]:
        done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True)
        return [float(word) for word in done.stdout.split()]

    imports = {
        "vaejax": "__import__('vaejax')",
        "jax, flax, optax": "__import__('jax'), __import__('flax.nnx'), __import__('optax')",
    }
    seconds = {name: [] for name in imports}
    for _ in range(repeats):
        for name, code in imports.items():
            seconds[name] += run(STARTUP.format(packages=code))
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    ratio = medians["vaejax"] / medians["jax, flax, optax"]
    console.print(
        "import: " + ", ".join(f"{name} {value:.2f} s" for name, value in medians.items()) + f" ({ratio:.2f}x)"
    )
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "x.npz", x=x)
        imported, compiled, done = run(FIRST_EPOCH, str(Path(folder) / "x.npz"))
    console.print(
        f"process start to the end of the first epoch: {done:.1f} s, of it import {imported:.1f} s, "
        f"compiling and placing the data {compiled:.1f} s"
    )


def ensemble(console: Console, x: np.ndarray) -> None:
    betas = jnp.array([0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0])
    keys = jax.random.split(jax.random.key(0), len(betas))
    options = {"epochs": 1, "batch_size": BATCH, "transform": vj.transforms.binarize, "progress": False}
    together = lambda: vj.fit_ensemble(MODEL, keys, x, hparams={"beta": betas}, **options).params  # noqa: E731

    def apart():
        for key, beta in zip(keys, betas, strict=True):
            params = vj.fit(MODEL, key, x, objective=vj.objectives.beta(float(beta)), **options).params
        return params

    clock(together), clock(apart)
    one, many = [], []
    for _ in range(2):
        one.append(clock(apart)[0])
        many.append(clock(together)[0])
    console.print(
        f"8 members (8 values of beta), one epoch of {len(x):,}: together {min(many):.2f} s, "
        f"one after the other {min(one):.2f} s ({min(many) / min(one):.2f}x), one member {min(one) / 8:.2f} s"
    )


def samples(console: Console, peers: Peers | None, repeats: int) -> None:
    params = MODEL.init(jax.random.key(0))
    draw = jax.jit(lambda key: jax.vmap(lambda k: vj.sample(MODEL, params, k))(jax.random.split(key, SAMPLES)))
    keys = jax.random.split(jax.random.key(1), repeats + 1)
    first, _ = clock(draw, keys[0])
    rows = {"vaejax": [clock(draw, key)[0] for key in keys[1:]]}
    for name in peers.about["contenders"] if peers else ():
        answers = [peers.ask("sample", name) for _ in range(repeats)]
        if "error" not in answers[0]:
            rows[name] = [answer["seconds"] for answer in answers]
    line = ", ".join(f"{name} {np.median(values):.3f} s" for name, values in rows.items())
    console.print(f"{SAMPLES:,} samples: {line} (vaejax's first call {first:.2f} s)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the images and one round, to see that it runs")
    quick = parser.parse_args().quick
    console = Console(width=130)
    console.print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, JAX {jax.__version__} on "
        f"{jax.devices()[0].device_kind}, Python {sys.version.split()[0]}"
    )
    x = images()[:6000] if quick else images()
    with tempfile.TemporaryDirectory() as folder:
        peers = Peers(x, folder) if PEERS.exists() else None
        if peers is None:
            console.print(f"PyTorch and pythae were skipped: no interpreter at {PEERS} (make peers)")
        else:
            console.print(f"torch {peers.about['torch']} on {peers.about['device']}")
        epochs(console, x, 1 if quick else 5, peers)
        samples(console, peers, 5)
        if peers is not None:
            peers.close()
    startup(console, x, 2 if quick else 5)
    ensemble(console, x[:6000])


if __name__ == "__main__":
    main()
