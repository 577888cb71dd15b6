"""What `why_recognition` is made of: a proposal that does not look, two gradients, and two ways to spoil an image."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import vaejax as vj
from experiments import images
from experiments.scores import samples
from experiments.study import Grid, Study, judge

__all__ = ["Digits", "below", "by_batches", "distances", "gradients", "likeness", "spoilt", "unseeing"]


def unseeing(model: vj.VAE, params: Any) -> tuple[vj.VAE, Any]:
    """The same p(x, z) with q(z|x) = N(0, I): importance sampling from it is naive Monte Carlo."""
    blind = vj.networks.Constant(2 * model.latent_dim)
    same = vj.VAE(blind, model.decoder, model.latent_dim, likelihood=model.likelihood_head)
    return same, params | {"encoder": blind.init(jax.random.key(0))}


def _bound(model: vj.VAE, params: Any, encoder: Any, key: jax.Array, x: jax.Array, score: bool) -> jax.Array:
    """A function of the encoder's weights whose gradient is that of the ELBO, up to noise of mean zero."""
    full = params | {"encoder": encoder}
    if not score:
        return vj.elbo(model, full, key, x).value
    q = model.posterior(full, model.event(x))
    z = jax.lax.stop_gradient(q.sample(key))
    value = model.likelihood(full, z).log_prob(model.event(x)) + model.prior(full).log_prob(z) - q.log_prob(z)
    return jax.lax.stop_gradient(value) * q.log_prob(z)


@functools.partial(jax.jit, static_argnames=("model", "score", "draws"))
def _gradient(
    model: vj.VAE, params: Any, key: jax.Array, x: jax.Array, *, score: bool, draws: int
) -> tuple[jax.Array, jax.Array]:
    """Mean and variance of the gradient by the encoder's last layer, over draws of z for one image."""
    _, form = jax.tree.flatten(params["encoder"])

    def one(key: jax.Array) -> jax.Array:
        grads = jax.grad(lambda encoder: _bound(model, params, encoder, key, x, score))(params["encoder"])
        return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(grads[sorted(grads)[-1]])])

    each = jax.lax.map(one, jax.random.split(key, draws), batch_size=min(draws, 100))
    return each.mean(0), each.var(0, ddof=1)


@functools.partial(jax.jit, static_argnames=("model", "batch"))
def by_batches(model: vj.VAE, params: Any, key: jax.Array, x: jax.Array, *, batch: int) -> jax.Array:
    """How far the mean of the gradients of batches, times N / |M|, is from that of all rows, relative to its size."""
    keys = jax.random.split(key, len(x))
    total = lambda p, keys, x: jnp.sum(jax.vmap(lambda k, x: vj.elbo(model, p, k, x).value)(keys, x))  # noqa: E731
    flat = lambda tree: jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)])  # noqa: E731
    one = lambda rows: flat(jax.grad(total)(params, *rows)) * (len(x) / batch)  # noqa: E731
    parts = jax.lax.map(one, (keys.reshape(-1, batch), x.reshape(-1, batch, *x.shape[1:])))
    whole = flat(jax.grad(total)(params, keys, x))
    return jnp.linalg.norm(parts.mean(0) - whole) / jnp.linalg.norm(whole)


def spoilt(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W, 1) moved aside by a fourteenth of their width, and with a square of their ink erased."""
    step, side = max(1, images.shape[2] // 14), max(2, images.shape[1] // 5)
    moved, torn = np.roll(images, step, axis=2), images.copy()
    moved[:, :, :step] = 0.0
    for image in torn:
        ink = np.argwhere(image[..., 0] > 0.5)
        y, x = ink[np.argmin(((ink - ink.mean(0)) ** 2).sum(1))] - side // 2 if len(ink) else (0, 0)
        image[max(y, 0) : y + side, max(x, 0) : x + side] = 0.0
    return moved, torn


def gradients(model: vj.VAE, params: Any, x: np.ndarray, draws: int = 400) -> dict[str, Any]:
    """Noise of both gradients relative to their mean, averaged over images, and whether their means agree."""
    found = {}
    for name, score in (("score", True), ("pathwise", False)):
        each = [_gradient(model, params, jax.random.key(i), row, score=score, draws=draws) for i, row in enumerate(x)]
        found[name] = np.asarray(each, np.float64).transpose(1, 0, 2)
    (a, v), (b, w) = found["score"], found["pathwise"]
    noise = {name: np.mean(var.sum(1) / (b**2).sum(1)) for name, var in (("score", v), ("pathwise", w))}
    return noise | {"agreement": np.sqrt(((a - b) ** 2).sum() / ((v + w) / draws).sum())}


def likeness(grey: np.ndarray, named: vj.evaluate.Classifier) -> dict[str, float]:
    """How often a torn image is nearer to its original than a moved one, and how often the class is kept."""
    changed = dict(zip(("moved", "torn"), spoilt(grey), strict=True))
    far = {"pixels": lambda x: x.reshape(len(x), -1), "features": named.features}
    found = {}
    for name, form in far.items():
        away = {how: np.linalg.norm(form(x) - form(grey), axis=1) for how, x in changed.items()}
        found |= {name: np.mean(away["torn"] < away["moved"])} | {f"{name}, {how}": v.mean() for how, v in away.items()}
    return found | {how: np.mean(named.labels(x) == named.labels(grey)) for how, x in changed.items()}


def distances(like: Mapping[str, float]) -> list[tuple[str, ...]]:
    """Rows of a table of `likeness`: how far moved and torn images are from their originals."""
    return [(way, *(f"{like[f'{way}, {how}']:.2f}" for how in ("moved", "torn"))) for way in ("pixels", "features")]


def below(grid: Grid, draws: Sequence[int]) -> dict[str, dict[int, float]]:
    """How far log p(x) by so many draws of the prior and of q is below that by the most draws of q."""
    most = grid.mean(f"q, {draws[-1]}", "log p")
    return {of: {n: most - grid.mean(f"{of}, {n}", "log p") for n in draws} for of in ("prior", "q")}


class Digits:
    """VAEs of images that are binarised once, of one study, by their seed, and what is measured of them."""

    def __init__(self, study: Study, data: vj.data.Dataset):
        self.study, self.data, self.binary = study, data, images.rows(data, images.binary)
        self.x, self.grey = self.binary.test.x[: study.config.test], images.grey(data.test)
        self.judge = judge(study.config, data)

    @functools.cache  # noqa: B019 (a study has one of these)
    def fitted(self, seed: int) -> tuple[vj.VAE, Any]:
        """Model and parameters."""
        model, fit = images.trained(self.study, self.binary, vj.heads.bernoulli(), seed)
        return model, fit.best

    def evidence(self, proposal: str, draws: int, seed: int) -> dict[str, Any]:
        """Estimate of log p(x) by draws of each row from "q" or the "prior", and how many of them count."""
        model, params = self.fitted(seed) if proposal == "q" else unseeing(*self.fitted(seed))
        found = vj.evaluate.log_evidence_estimate(model, params, jax.random.key(seed), self.x, k=draws, progress=False)
        return {"log p": found.mean[0], "error": np.mean(found.standard_error), "ess": np.mean(found.ess)}

    def gradients(self, seed: int) -> dict[str, Any]:
        """Noise of two gradients of eight test images, and of batches against 512 training images."""
        apart = by_batches(*self.fitted(seed), jax.random.key(0), self.binary.train.x[:512], batch=128)
        return gradients(*self.fitted(seed), self.x[:8]) | {"batches": apart}

    def likeness(self) -> dict[str, float]:
        """`likeness` of 500 test images."""
        return likeness(self.grey[:500], self.judge)

    def spoilt(self, count: int) -> np.ndarray:
        """The first test images, then moved, then torn."""
        return np.concatenate([self.grey[:count], *spoilt(self.grey[:count])])

    def means(self, count: int) -> np.ndarray:
        """Means of p(x|z) for z of the prior, as images."""
        return samples(*self.fitted(0), 1, count, mode="mean").reshape(-1, *self.grey.shape[1:])
