"""Parts of `why_recognition`: a proposal that does not look, two gradients, and two ways to spoil an image."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import vaejax as vj
from experiments.harness.study import Grid, Study, judge
from experiments.shared import pixels
from experiments.shared.scores import samples

__all__ = [
    "BATCHES",
    "DECODERS",
    "Digits",
    "below",
    "by_batches",
    "distances",
    "draws_that_do",
    "exact_case",
    "gradients",
    "likeness",
    "of_gaps",
    "show_estimates",
    "show_exact",
    "spoilt",
    "unseeing",
]

BATCHES = {"gradient: mean from that of all rows, standard errors": ("batch_gradient", 2)}
BATCHES |= {"ELBO: the same": ("batch_value", 2), "one gradient's error over its size": ("batch_spread", 2)}
DECODERS = {"Bernoulli": "estimates", "normal": "estimates_normal"}  # and the names of their figures
NAIVE = {1: "-221", 10: "-39", 100: "-13.1", 1000: "-10.54"}  # nats by draws of the prior, where log p(x) is -10.358


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


@functools.partial(jax.jit, static_argnames=("model", "batch", "count"))
def by_batches(
    model: vj.VAE, params: Any, key: jax.Array, x: jax.Array, *, batch: int, count: int = 200
) -> dict[str, jax.Array]:
    """Whether random minibatches M, each sum times N / |M|, have the ELBO and the gradient of all N rows on average.

    Each row has one draw of z, the same in every minibatch, so that the sum over all rows is what the mean should be.

    Returns:
      `value` and `gradient`: how far the mean of `count` minibatches is from all rows, in standard errors (about 1 or
      less if there is no bias); `spread`: how far the gradient of one is from that of all, relative to its size.
    """
    keys = jax.random.split(key, len(x))
    total = lambda p, keys, x: jnp.sum(jax.vmap(lambda k, x: vj.elbo(model, p, k, x).value)(keys, x))  # noqa: E731
    flat = lambda tree: jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)])  # noqa: E731
    both = lambda *rows: flat(jax.value_and_grad(total)(params, *rows))  # noqa: E731 (the value comes first)
    whole = both(keys, x)

    def add(sums: tuple, key: jax.Array) -> tuple[tuple, None]:
        chosen = jax.random.choice(key, len(x), (batch,), replace=False)
        off = both(keys[chosen], x[chosen]) * (len(x) / batch) - whole
        return (sums[0] + off, sums[1] + off**2), None

    start = jnp.zeros_like(whole), jnp.zeros_like(whole)
    (first, second), _ = jax.lax.scan(add, start, jax.random.split(jax.random.fold_in(key, 1), count))
    mean, square = first / count, second / count
    error = jnp.maximum(square - mean**2, 0.0) / (count - 1)
    return {
        "value": jnp.abs(mean[0]) / jnp.sqrt(error[0]),
        "gradient": jnp.linalg.norm(mean[1:]) / jnp.sqrt(error[1:].sum()),
        "spread": jnp.sqrt(square[1:].sum()) / jnp.linalg.norm(whole[1:]),
    }


def exact_case(draws: int, seed: int) -> dict[str, Any]:
    """Naive Monte Carlo where log p(x) is known: ten dimensions, W of N(0, 1), two latents, a variance of 0.3.

    Returns:
      Means over 500 rows of the model: of the estimate by so many draws of the prior, and of log p(x).
    """
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(10, 2)).astype(np.float32)
    x = (rng.normal(size=(500, 2)) @ weight.T + 0.3**0.5 * rng.normal(size=(500, 10))).astype(np.float32)
    same = {"mean": jnp.zeros(10), "weight": jnp.asarray(weight), "log_scale": jnp.log(0.3) / 2}
    model = vj.zoo.linear_vae(10, 2, likelihood=vj.heads.normal(0.3**0.5))
    params = model.init(jax.random.key(seed))
    params["decoder"]["layer0"] = {"kernel": jnp.asarray(weight.T), "bias": jnp.zeros(10)}
    how = {"k": draws, "progress": False}
    found = vj.evaluate.log_evidence_estimate(*unseeing(model, params), jax.random.key(seed), x, **how)
    return {"naive": found.mean[0], "exact": np.mean(vj.evaluate.exact_log_evidence(vj.PPCA(10, 2), same, x))}


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


def likeness(grey: np.ndarray, named: vj.evaluate.classifier.Classifier) -> dict[str, float]:
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


def below(grid: Grid, draws: Sequence[int], decoder: str) -> dict[str, dict[int, float]]:
    """How far log p(x) by so many draws of the prior and of q is below that by the most draws of q."""
    most = grid.mean(f"{decoder}, q, {draws[-1]}", "log p")
    return {of: {n: most - grid.mean(f"{decoder}, {of}, {n}", "log p") for n in draws} for of in ("prior", "q")}


def draws_that_do(gaps: Mapping[str, Mapping[str, Mapping[int, float]]], nats: float) -> str:
    """The fewest draws of q that are within so many nats of the most, by decoder, of the gaps that `below` gives."""
    few = {decoder: next(n for n, gap in found["q"].items() if gap < nats) for decoder, found in gaps.items()}
    return ", ".join(f"{n} ({decoder})" for decoder, n in few.items())


def of_gaps(grid: Grid, draws: Sequence[int]) -> str:
    """How far the prior's estimate is below that of q with the most draws, by decoder, and how many draws count."""
    last, said = draws[-1], []
    for decoder in DECODERS:
        gap = below(grid, draws, decoder)["prior"]
        ess = {of: grid.say(f"{decoder}, {of}, {last}", "ess", 1) for of in ("prior", "q")}
        said.append(f"{gap[last]:.1f} nats ({decoder} decoder; {ess['prior']} and {ess['q']} of these draws count)")
    return ", ".join(said)


def show_estimates(study: Study, grid: Grid, draws: Sequence[int], count: int) -> None:
    """Lines of log p(x) of `count` images by draws of the prior and of q, and a table of how far below the best."""
    columns, about = {}, f"Mean estimate over {count} test images; bands: standard errors over seeds of the model."
    labels = {"x_label": "draws of z an image", "y_label": "log p(x), nats", "log_x": True}
    labels["claim"] = "Doersch, section 2: for most z of the prior p(x|z) is nearly zero"
    for decoder, name in DECODERS.items():
        series = {of: grid.line({f"{decoder}, {of}, {n}": n for n in draws}, "log p") for of in ("prior", "q")}
        study.lines(name, series, caption=f"{decoder} decoder. {about}", **labels)
        columns |= {f"{decoder}, {of}": gap for of, gap in below(grid, draws, decoder).items()}
    rows = [(str(n), *(f"{gap[n]:.1f}" for gap in columns.values())) for n in draws]
    study.table(f"Nats below the estimate by {draws[-1]} draws of q", ("draws", *columns), rows)


def show_exact(study: Study) -> Grid:
    """A table of `exact_case` beside references of another W and one x; its numbers, by the draws as text."""
    grid = study.grid(exact_case, {str(n): (n,) for n in NAIVE})
    rows = [(n, grid.say(n, "naive", 2), said) for n, said in zip(map(str, NAIVE), NAIVE.values(), strict=True)]
    rows.append(("log p(x)", grid.say("1", "exact", 2), "-10.358"))
    study.table("pPCA of ten dimensions: draws of the prior", ("draws", "naive estimate", "reference, another W"), rows)
    return grid


class Digits:
    """VAEs of images that are binarised once, of one study, by their seed, and what is measured of them."""

    def __init__(self, study: Study, data: vj.data.Dataset):
        self.study, self.data, self.binary = study, data, pixels.rows(data, pixels.binary)
        self.pixels = pixels.rows(data)
        self.x, self.grey = self.binary.test.x[: study.config.test], pixels.grey(data.test)
        self.judge = judge(study.config, data)

    @functools.cache  # noqa: B019 (a study has one of these)
    def fitted(self, seed: int, decoder: str = "Bernoulli") -> tuple[vj.VAE, Any]:
        """Model and parameters; the "normal" decoder, N(mu(z), sigma^2 I), is one of grey values."""
        if decoder == "normal":
            model, fit = pixels.trained(self.study, self.pixels, vj.heads.normal("shared"), seed)
        else:
            model, fit = pixels.trained(self.study, self.binary, vj.heads.bernoulli(), seed)
        return model, fit.best

    def evidence(self, decoder: str, proposal: str, draws: int, seed: int) -> dict[str, Any]:
        """Estimate of log p(x) by draws of each row from "q" or the "prior", and how many of them count."""
        fit = self.fitted(seed, decoder)
        x = self.pixels.test.x[: len(self.x)] if decoder == "normal" else self.x
        model, params = fit if proposal == "q" else unseeing(*fit)
        found = vj.evaluate.log_evidence_estimate(model, params, jax.random.key(seed), x, k=draws, progress=False)
        return {"log p": found.mean[0], "error": np.mean(found.standard_error), "ess": np.mean(found.ess)}

    def gradients(self, seed: int) -> dict[str, Any]:
        """Noise of two gradients of eight test images, and of batches against 512 training images."""
        apart = by_batches(*self.fitted(seed), jax.random.key(0), self.binary.train.x[:512], batch=128)
        return gradients(*self.fitted(seed), self.x[:8]) | {f"batch_{name}": value for name, value in apart.items()}

    def likeness(self) -> dict[str, float]:
        """`likeness` of 500 test images."""
        return likeness(self.grey[:500], self.judge)

    def spoilt(self, count: int) -> np.ndarray:
        """The first test images, then moved, then torn."""
        return np.concatenate([self.grey[:count], *spoilt(self.grey[:count])])

    def means(self, count: int) -> np.ndarray:
        """Means of p(x|z) for z of the prior, as images."""
        return samples(*self.fitted(0), 1, count, mode="mean").reshape(-1, *self.grey.shape[1:])
