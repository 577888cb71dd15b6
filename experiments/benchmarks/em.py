"""EM side by side with its peers, in one run: `python -m experiments.benchmarks.em [--quick]`.

Every contender takes 50 steps from the same start. Error is the mean log-likelihood a point of its
final parameters, in float64, against scikit-learn's. Peers that live in an environment of their own
(`make peers`) are timed in a subprocess and skipped with a word where it is absent.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

import vaejax as vj

PEERS = Path(os.environ.get("VAEJAX_PEERS", ".venv-peers/bin/python"))
STEPS = 50
SIZES = ((100_000, 8, 16), (20_000, 64, 10), (1_000_000, 2, 8))


def mixture_data(count: int, dim: int, components: int, seed: int = 0) -> tuple[np.ndarray, dict]:
    """Overlapping, correlated components as float64 rows, and a start near the true means."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(components, dim)) * (3.0 / np.sqrt(dim) + 1.0)
    factors = rng.normal(size=(components, dim, dim)) / np.sqrt(dim) + 0.5 * np.eye(dim)
    labels = rng.integers(components, size=count)
    x = rng.normal(size=(count, dim))
    for k in range(components):
        x[labels == k] = x[labels == k] @ factors[k].T + means[k]
    start = {
        "logits": np.full(components, -np.log(components)),
        "means": means - x.mean(0) + 0.5 * rng.normal(size=means.shape),
        "scale_tril": np.tile(np.linalg.cholesky(np.cov(x.T)), (components, 1, 1)),
    }
    return x - x.mean(0), start


def mean_log_likelihood(x: np.ndarray, weights: np.ndarray, means: np.ndarray, trils: np.ndarray) -> float:
    """Of a full-covariance mixture, in float64."""
    from scipy.linalg import solve_triangular
    from scipy.special import logsumexp

    total = 0.0
    for part in np.array_split(x, max(1, len(x) // 50_000)):
        scores = []
        for weight, mean, tril in zip(weights, means, trils, strict=True):
            y = solve_triangular(tril, (part - mean).T, lower=True)
            constant = np.log(weight) - np.log(np.abs(np.diag(tril))).sum() - 0.5 * x.shape[1] * np.log(2 * np.pi)
            scores.append(constant - 0.5 * (y * y).sum(0))
        total += logsumexp(scores, axis=0).sum()
    return total / len(x)


def timed(f, repeats: int):
    """First-call seconds, median seconds of the others, and the result."""
    start = time.perf_counter()
    result = f()
    first, times = time.perf_counter() - start, []
    for _ in range(repeats):
        start = time.perf_counter()
        result = f()
        times.append(time.perf_counter() - start)
    return first, float(np.median(times)) if times else first, result


def ours(x: np.ndarray, start: dict, double: bool, repeats: int) -> dict:
    dim, components = x.shape[1], len(start["means"])
    model = vj.GMM(components, dim)
    rows = x if double else x.astype(np.float32)
    with jax.enable_x64(double):
        first, seconds, (params, trace) = timed(
            lambda: vj.em.fit(model, jax.random.key(0), rows, num_steps=STEPS, init=start), repeats
        )
        params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    weights = np.exp(params["logits"] - np.logaddexp.reduce(params["logits"]))
    score = mean_log_likelihood(x, weights, params["means"], params["scale_tril"])
    return {"seconds": seconds, "compile": first - seconds, "score": score}


def scikit_learn(x: np.ndarray, start: dict) -> dict:
    from sklearn.mixture import GaussianMixture

    trils, means = start["scale_tril"], start["means"]
    inverse = np.linalg.inv(trils)
    mixture = GaussianMixture(
        len(means),
        max_iter=STEPS,
        tol=0.0,
        reg_covar=0.0,
        weights_init=np.full(len(means), 1 / len(means)),
        means_init=means,
        precisions_init=np.swapaxes(inverse, 1, 2) @ inverse,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that 50 steps did not converge
        _, seconds, fitted = timed(lambda: mixture.fit(x), 0)
    trils = np.linalg.cholesky(fitted.covariances_)
    return {"seconds": seconds, "score": mean_log_likelihood(x, fitted.weights_, fitted.means_, trils)}


def peers(x: np.ndarray, start: dict) -> dict[str, dict]:
    if not PEERS.exists():
        return {}
    script = Path(__file__).with_name("em_peers.py")
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "task.npz", x=x, steps=STEPS, **start)
        done = subprocess.run([str(PEERS), str(script), folder], capture_output=True, text=True, check=False)
        if done.stderr.strip():
            print(f"a peer failed: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        found = {}
        for line in done.stdout.splitlines():
            name, seconds = json.loads(line)
            with np.load(Path(folder) / f"{name}.npz") as saved:
                trils = np.linalg.cholesky(saved["covariances"].astype(np.float64))
                score = mean_log_likelihood(x, saved["weights"].astype(np.float64), saved["means"], trils)
            found[name] = {"seconds": seconds, "score": score}
    return found


def mixtures(console: Console, sizes, repeats: int) -> None:
    table = Table(title=f"{STEPS} full-covariance EM steps, seconds (median of {repeats} after the first)")
    for column in ("N, D, K", "contender", "seconds", "compile", "times scikit-learn", "error, nats a point"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    for count, dim, components in sizes:
        x, start = mixture_data(count, dim, components)
        reference = scikit_learn(x, start)
        rows = {"scikit-learn f64": reference}
        rows |= {"vaejax f32": ours(x, start, False, repeats), "vaejax f64": ours(x, start, True, repeats)}
        rows |= peers(x, start)
        for name, row in rows.items():
            table.add_row(
                f"{count:,}, {dim}, {components}",
                name,
                f"{row['seconds']:.2f}",
                f"{row['compile']:.2f}" if "compile" in row else "",
                f"{reference['seconds'] / row['seconds']:.1f}",
                f"{row['score'] - reference['score']:+.1e}",
            )
        table.add_section()
    console.print(table)
    if not PEERS.exists():
        console.print(f"pomegranate and gmmx were skipped: no interpreter at {PEERS} (make peers)")


def mnist_ppca(console: Console, repeats: int) -> None:
    try:
        x = vj.data.mnist().train.x
    except FileNotFoundError as missing:
        console.print(f"pPCA on MNIST was skipped: {missing}")
        return
    from sklearn.decomposition import PCA

    x = (x.reshape(len(x), -1) / np.float32(255.0)).astype(np.float32)
    table = Table(title="pPCA on MNIST 60 000 x 784")
    for column in ("M", "contender", "seconds", "compile", "ratio"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    for latent in (16, 64):
        model = vj.PPCA(784, latent)
        _, reference, _ = timed(lambda: PCA(latent, svd_solver="covariance_eigh").fit(x), repeats)  # noqa: B023
        first, exact, _ = timed(lambda: vj.em.ppca_exact(model, x), repeats)  # noqa: B023
        short_first, short, _ = timed(lambda: vj.em.fit(model, jax.random.key(0), x, num_steps=1), repeats)  # noqa: B023
        _, long, _ = timed(lambda: vj.em.fit(model, jax.random.key(0), x, num_steps=201), repeats)  # noqa: B023
        per_row = per_row_step(model, x)
        step = (long - short) / 200
        table.add_row(str(latent), "scikit-learn covariance_eigh", f"{reference:.3f}", "", "1.00")
        table.add_row("", "vaejax ppca_exact", f"{exact:.3f}", f"{first - exact:.2f}", f"{exact / reference:.2f}")
        table.add_row("", "vaejax EM, one step on S", f"{step:.4f}", f"{short_first - short:.2f}", "1.0")
        table.add_row("", "EM, one step over the rows", f"{per_row:.4f}", "", f"{per_row / step:.1f}")
        table.add_section()
    console.print(table)


def per_row_step(model: vj.PPCA, x: np.ndarray) -> float:
    """Seconds of one EM step that visits every row, as the textbook writes it (float32, compiled)."""
    import jax.numpy as jnp

    @jax.jit
    def step(params, x):
        weight, variance = params["weight"], jnp.exp(2 * params["log_scale"])
        inverse = jnp.linalg.inv(weight.T @ weight + variance * jnp.eye(model.latent_dim))
        code = x @ weight @ inverse
        second = len(x) * variance * inverse + code.T @ code
        new = jnp.linalg.solve(second, code.T @ x).T
        residual = jnp.sum(x * x) - 2 * jnp.sum(code * (x @ new)) + jnp.sum(second * (new.T @ new))
        return params | {"weight": new, "log_scale": 0.5 * jnp.log(residual / x.size)}

    centred = jax.numpy.asarray(x - x.mean(0))
    params = jax.tree.map(lambda leaf: leaf.astype(np.float32), model.init(jax.random.key(0)))
    jax.block_until_ready(step(params, centred))
    start = time.perf_counter()
    for _ in range(3):
        params = jax.block_until_ready(step(params, centred))
    return (time.perf_counter() - start) / 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, to see that it runs")
    quick = parser.parse_args().quick
    console = Console(width=110)
    console.print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, JAX {jax.__version__}"
        f" on {jax.devices()[0].platform}, Python {sys.version.split()[0]}"
    )
    sizes = [(max(count // 10, 8000), dim, components) for count, dim, components in SIZES] if quick else SIZES
    mixtures(console, sizes, repeats=1 if quick else 3)
    if not quick:
        mnist_ppca(console, repeats=3)


if __name__ == "__main__":
    main()
