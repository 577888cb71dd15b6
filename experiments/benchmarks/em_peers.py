"""Times the peers of `em.py` inside their own environment: `python em_peers.py FOLDER`; a JSON line each."""

import json
import sys
import time
from pathlib import Path

import numpy as np


def pomegranate(task, dtype):
    import torch
    from pomegranate.distributions import Normal
    from pomegranate.gmm import GeneralMixtureModel

    cast = lambda a: torch.tensor(a, dtype=dtype)  # noqa: E731
    trils = task["scale_tril"]
    covariances = trils @ np.swapaxes(trils, 1, 2)
    parts = [Normal(cast(m), cast(c), "full") for m, c in zip(task["means"], covariances, strict=True)]
    weights = cast(np.full(len(parts), 1 / len(parts)))
    model = GeneralMixtureModel(parts, priors=weights, max_iter=int(task["steps"]), tol=-np.inf)
    x = cast(task["x"])
    start = time.perf_counter()
    model.fit(x)
    seconds = time.perf_counter() - start
    stack = lambda name: np.stack([getattr(part, name).detach().numpy() for part in model.distributions])  # noqa: E731
    return seconds, dict(weights=model.priors.detach().numpy(), means=stack("means"), covariances=stack("covs"))


def gmmx(task):
    import jax
    from gmmx import EMFitter, GaussianMixtureModelJax

    trils = task["scale_tril"]
    start = GaussianMixtureModelJax.from_squeezed(
        means=jax.numpy.asarray(task["means"], "float32"),
        covariances=jax.numpy.asarray(trils @ np.swapaxes(trils, 1, 2), "float32"),
        weights=jax.numpy.full(len(trils), 1 / len(trils)),
    )
    fitter = EMFitter(max_iter=int(task["steps"]), tol=-1.0, reg_covar=0.0)
    x = jax.numpy.asarray(task["x"], "float32")
    jax.block_until_ready(fitter.fit(x=x, gmm=start).gmm.means)
    begin = time.perf_counter()
    gmm = fitter.fit(x=x, gmm=start).gmm
    jax.block_until_ready(gmm.means)
    seconds = time.perf_counter() - begin
    found = dict(
        weights=np.asarray(gmm.weights).ravel(),
        means=np.asarray(gmm.means).reshape(trils.shape[:2]),
        covariances=np.asarray(gmm.covariances.values).reshape(trils.shape),
    )
    return seconds, found


def main():
    folder = Path(sys.argv[1])
    with np.load(folder / "task.npz") as saved:
        task = dict(saved)
    import torch

    contenders = {
        "pomegranate f64": lambda: pomegranate(task, torch.float64),
        "pomegranate f32": lambda: pomegranate(task, torch.float32),
        "gmmx f32": lambda: gmmx(task),
    }
    for name, contender in contenders.items():
        try:
            seconds, found = contender()
        except Exception as problem:  # a peer that fails is said to fail, and the others still run
            print(f"{name}: {type(problem).__name__}: {problem}", file=sys.stderr)
            continue
        np.savez(folder / f"{name}.npz", **found)
        print(json.dumps([name, seconds]), flush=True)


if __name__ == "__main__":
    main()
