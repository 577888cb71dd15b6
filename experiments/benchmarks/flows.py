"""An inverse autoregressive flow beside PyTorch: `python -m experiments.benchmarks.flows [--quick]`.

Value and gradient of the Monte Carlo divergence of the posterior from N(0, I): 4 steps, one hidden layer of
512 units, 32 latents, a context of 128 numbers, batch 128, float32, by the weights and by the encoder's output. PyTorch
(`make peers`) is given the same weights, in turn, in a process of its own; without it its row is skipped. Then the
two directions of one step: parallel, and the inverse, one entry after the other.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

import vaejax as vj
from experiments.benchmarks.peer_process import PEERS

DEPTH, HIDDEN, LATENT, BATCH = 4, 512, 32, 128
HEAD = vj.heads.IAF(DEPTH, HIDDEN)
DIMS = (2, 4, 8, 16, 32, 64, 128, 256)


def divergence(params, output, key):
    """Mean of log q(z) - log N(z; 0, I) on one draw for each datum."""

    def one(output, key):
        z, log_q = HEAD.apply(params, output).sample_and_log_prob(key)
        return log_q - vj.kernels.normal_log_prob(z, jnp.zeros(LATENT), jnp.ones(LATENT))

    return jnp.mean(jax.vmap(one)(output, jax.random.split(key, BATCH)))


def rounds(f, count: int) -> tuple[list[float], list[float]]:
    times, values = [], []
    for i in range(count):
        key = jax.random.key(i)
        start = time.perf_counter()
        value, _ = jax.block_until_ready(f(key))
        times.append(time.perf_counter() - start)
        values.append(float(value))
    return times, values


class Peer:
    """PyTorch in an environment of its own: a number of calls asked, their seconds and values answered."""

    def __init__(self, params, output, folder: str):
        path = Path(folder) / "flow.npz"
        leaves = jax.tree_util.tree_flatten_with_path(params)[0]
        named = {jax.tree_util.keystr(at, simple=True, separator="/"): np.asarray(leaf) for at, leaf in leaves}
        np.savez(path, output=np.asarray(output), **named)
        script = Path(__file__).with_name("flows_peers.py")
        quiet = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}  # threads that spin would slow both down
        self.process = subprocess.Popen(
            [str(PEERS), str(script), str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=quiet
        )

    def ask(self, count: int) -> dict:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def against_pytorch(console: Console, turns: int, count: int) -> None:
    params = HEAD.init(jax.random.key(0), (LATENT,))
    output = jax.random.normal(jax.random.key(1), (BATCH, *HEAD.output_shape((LATENT,))))
    start = time.perf_counter()
    compiled = jax.jit(jax.value_and_grad(divergence, (0, 1))).lower(params, output, jax.random.key(0)).compile()
    seconds = time.perf_counter() - start
    ours = lambda key: compiled(params, output, key)  # noqa: E731
    times, values = {"vaejax": []}, {"vaejax": []}
    with tempfile.TemporaryDirectory() as folder:
        peer = Peer(params, output, folder) if PEERS.exists() else None
        if peer is None:
            console.print(f"PyTorch was skipped: no interpreter at {PEERS} (make peers)")
        else:
            times["PyTorch eager"], values["PyTorch eager"] = [], []
            peer.ask(10)
        rounds(ours, 10)
        for _ in range(turns):
            took, got = rounds(ours, count)
            times["vaejax"] += took
            values["vaejax"] += got
            if peer is not None:
                answer = peer.ask(count)
                times["PyTorch eager"] += answer["seconds"]
                values["PyTorch eager"] += answer["values"]
        if peer is not None:
            peer.close()
    table = Table(title=f"forward and gradient, ms: {turns} turns of {count} calls each")
    for column in ("contender", "median", "least", "tenth", "of vaejax's", "mean value, nats"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    base = np.median(times["vaejax"])
    for name, took in times.items():
        middle = np.median(took)
        cells = [f"{1e3 * each:.2f}" for each in (middle, min(took), np.quantile(took, 0.1))]
        table.add_row(name, *cells, f"{middle / base:.2f}", f"{np.mean(values[name]):.2f}")
    console.print(table)
    console.print(f"vaejax compiles in {seconds:.1f} s; {compiled.cost_analysis()['flops'] / 1e9:.2f} GFLOP a call")


def both_ways(dim: int, count: int) -> tuple[float, float]:
    """Median seconds of one step and of its inverse, forward only."""
    head = vj.heads.IAF(1, HIDDEN, context=False)
    step = head.apply(head.init(jax.random.key(0), (dim,)), jnp.zeros(2 * dim)).steps[0]
    z = jax.random.normal(jax.random.key(1), (BATCH, dim))
    seconds = []
    for f in (step, step.inverse):
        run = jax.jit(jax.vmap(f))
        jax.block_until_ready(run(z))
        took = []
        for _ in range(count):
            start = time.perf_counter()
            jax.block_until_ready(run(z))
            took.append(time.perf_counter() - start)
        seconds.append(float(np.median(took)))
    return seconds[0], seconds[1]


def directions(console: Console, dims: tuple[int, ...], count: int) -> None:
    table = Table(title=f"one step of {HIDDEN} hidden units, batch {BATCH}, forward only, ms")
    for column in ("dimension", "parallel", "sequential inverse", "ratio"):
        table.add_column(column, justify="right")
    for dim in dims:
        seconds = both_ways(dim, count)
        table.add_row(str(dim), *(f"{1e3 * each:.2f}" for each in seconds), f"{seconds[1] / seconds[0]:.0f}")
    console.print(table)


def main(quick: bool = False) -> None:
    console = Console(width=120)
    console.print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, JAX {jax.__version__} on "
        f"{jax.devices()[0].device_kind}, Python {sys.version.split()[0]}"
    )
    against_pytorch(console, *((1, 3) if quick else (8, 40)))
    directions(console, DIMS[:2] if quick else DIMS, 3 if quick else 20)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few calls, to see that it runs")
    main(parser.parse_args().quick)
