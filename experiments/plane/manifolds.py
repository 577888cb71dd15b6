"""Parts of `two_stage`: data on manifolds, ways to draw, gradients as the noise vanishes, one dimension."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import norm

import vaejax as vj
from experiments.harness.study import Grid, Study, mean_and_error, plus_minus
from experiments.shared.phrases import beyond_noise, failing
from experiments.shared.scores import samples

__all__ = [
    "bent",
    "collapsed",
    "drawn",
    "figures",
    "fitted",
    "inverse",
    "nearer",
    "numbers",
    "of_latents",
    "of_stages",
    "one_dimension",
    "points",
    "quantiles",
    "slopes",
    "unringed",
    "ways",
]

LINE = np.linspace(-3.0, 3.0, 61)  # z of the one dimension


def points(name: str, count: int) -> tuple[vj.data.Dataset, int]:
    """Rows, and the latents of their model."""
    if name == "ring":
        return vj.data.ring(count), 2
    if name != "clusters":
        return vj.data.manifold(int(name[4:]), 10, count), 6
    rng = np.random.default_rng(0)
    on = np.where(rng.random((count + count // 2, 1)) < 0.5, 1.5, -1.5) + 0.2 * rng.normal(size=(count + count // 2, 1))
    x = (on * np.array([[1.0, 0.5, -0.5, 0.2]])).astype(np.float32)
    return vj.data.Dataset(vj.data.Split(x[:count], None), None, vj.data.Split(x[count:], None)), 1


@functools.partial(jax.jit, static_argnums=1)
def _slope(key: jax.Array, draws: int, sigma: jax.Array, x: jax.Array) -> jax.Array:
    """Gradient by the ring's radius, at 1.1 where 1 is right, of log p(x) with noise sigma, by draws of the prior."""
    z = jax.random.normal(key, (draws, 2))
    unit = z / jnp.linalg.norm(z, axis=1, keepdims=True)

    def log_p(radius: jax.Array) -> jax.Array:
        square = jnp.sum((x[None] - 0.1 * z - radius * unit) ** 2, 1)
        return jax.nn.logsumexp(-0.5 * square / sigma**2) - 2.0 * jnp.log(sigma)

    return jax.grad(log_p)(1.1)


def _below(x: np.ndarray) -> np.ndarray:
    """The distribution function of two Gaussians on a line: means -2 and 1, deviations 1 and 0.3, weights 0.4, 0.6."""
    return 0.4 * norm.cdf(x, -2.0, 1.0) + 0.6 * norm.cdf(x, 1.0, 0.3)


def inverse(u: np.ndarray) -> np.ndarray:
    """Its quantile function, by interpolation."""
    grid = np.linspace(-8.0, 4.0, 20_001)
    return np.interp(u, _below(grid), grid)


def ways(model: vj.TwoStage, both: Any, data: vj.data.Dataset, seed: int, mode: str = "mean") -> dict[str, np.ndarray]:
    """As many rows as there are to test: by both stages, and by one whose z come from four densities."""
    first, key, count = both["first"], jax.random.key(seed), len(data.test.x)
    codes = vj.evaluate.encode_rows(model.first, first, key, data.train.x)
    z = jax.jit(jax.vmap(vj.kde.fit(codes).sample))(jax.random.split(key, count))
    mixed = vj.evaluate.ex_post(model.first, first, key, data.train.x, num_restarts=1, mode=mode)
    return {
        "one stage": samples(model.first, first, seed, count, mode=mode),
        "two stages": samples(model, both, seed, count, mode=mode),
        "mixture": vj.evaluate.draw_rows(mixed, key, count),
        "kernels": np.asarray(jax.jit(jax.vmap(functools.partial(vj.decode, model.first, first)))(z)),
        "data": data.train.x[:count],
    }


def fitted(study: Study, name: str, seed: int = 0) -> tuple[vj.data.Dataset, vj.TwoStage, Any]:
    """A set of points, its model of two stages, and the parameters of both."""
    config: Any = study.config
    data, latents = points(name, config.rows)
    warm = vj.objectives.two_stage(second=vj.objectives.warm_up(config.rows * config.epochs // 400))
    model = vj.zoo.two_stage(data.test.x.shape[1], latents, hidden=(64, 64), activation="silu", objective=warm)
    return data, model, study.fit(model, data.train.x, seed=seed, epochs=config.epochs, learning_rate=2e-3).params


def numbers(data: vj.data.Dataset, model: vj.TwoStage, both: Any, seed: int) -> dict[str, Any]:
    """The first stage's sigma, its floor, and latents in use; MMD² of each way to draw, and of the codes.

    That of ways to draw is against the test points. That of the test points' codes is against draws of the first
    stage's prior, `to_prior`, and of the second stage, `to_second`, with a kernel as wide as the root of the latents.
    """
    x, first, count = data.test.x, both["first"], model.first.latent_dim
    scale = model.first.likelihood(first, jnp.zeros(count)).scale.mean()
    gaps = {way: vj.evaluate.mmd(y, x, 0.3 * x.std()) for way, y in ways(model, both, data, seed).items()}
    codes = vj.evaluate.encode_rows(model.first, first, jax.random.key(seed + 1), x)
    normal = np.random.default_rng(seed).normal(size=codes.shape).astype(np.float32)
    second = samples(model.second, both["second"], seed, len(x), mode="ancestral")
    gaps |= {
        name: vj.evaluate.mmd(codes, z, np.sqrt(count)) for name, z in (("to_prior", normal), ("to_second", second))
    }
    floor = model.first.likelihood_head.floor
    return gaps | {"active": int(vj.evaluate.active_units(model.first, first, x).count), "sigma": scale, "floor": floor}


def collapsed(grid: Grid, names: Iterable[str]) -> str:
    """How many runs use no latent, of the sets where there are such runs."""
    counted = {name: np.equal(grid.values(name, "active"), 0) for name in names}
    return ", ".join(f"{sum(dead)} of {len(dead)} ({name})" for name, dead in counted.items() if any(dead)) or "none"


def of_latents(grid: Grid, names: Iterable[str], ranks: Mapping[str, int]) -> str:
    """Latents in use and sigma of each set, and where the latents of manifolds are not as many as dimensions."""
    found = "; ".join(f"{n}: {grid.say(n, 'active', 1)}, σ {grid.say(n, 'sigma', 3)}" for n in names)
    wrong = [name for name, rank in ranks.items() if abs(grid.mean(name, "active") - rank) >= 0.5]
    return found + f" (predicted: r of them{failing(not wrong)}{' for ' if wrong else ''}{', '.join(wrong)}; σ near 0)"


def nearer(grid: Grid, names: Iterable[str], less: str, more: str) -> str:
    """The sets where one number is below another, by differences paired by seed of the runs that use latents."""
    shown, back, rest = [], [], []
    for name in names:
        used = np.greater(grid.values(name, "active"), 0)
        gain = np.subtract(grid.values(name, more), grid.values(name, less))[used]
        if len(gain) > 1 and beyond_noise(gain):
            (shown if gain.mean() > 0 else back).append(f"{name} (by {plus_minus(gain, 4)})")
        else:
            rest.append(name)
    said = f"on {', '.join(shown) or 'none'}"
    said += f", further on {', '.join(back)}" if back else ""
    return said + (f", and no difference is shown on {', '.join(rest)}" if rest else "")


def of_stages(grid: Grid, names: Sequence[str]) -> str:
    """On which sets a second stage helps."""
    better, codes = (nearer(grid, names, *on) for on in (("two stages", "one stage"), ("to_second", "to_prior")))
    return (
        "Among the others (differences of MMD², paired by seed, of more than two standard errors) means of two stages "
        f"are closer to the data than those of one {better}; codes are closer to draws of the second stage than to the "
        f"prior {codes}."
    )


def unringed(x: np.ndarray) -> np.ndarray:
    """The z whose z/10 + z/|z| are these points of the ring."""
    radius = np.linalg.norm(x, axis=1, keepdims=True)
    return 10 * (radius - 1) * x / radius


def drawn(name: str, data: vj.data.Dataset, model: vj.TwoStage, both: Any, most: int = 1500) -> dict[str, np.ndarray]:
    """Points in the plane: each way to draw, two stages with their noise, and before the ring the z of its data."""
    found = ways(model, both, data, 0)
    found["two stages, with noise"] = ways(model, both, data, 0, "ancestral")["two stages"]
    if name == "ring":
        found = {"z": unringed(found["data"]), "data": found.pop("data")} | found
    return {way: x[:most, :2] for way, x in found.items()}


def bent(data: vj.data.Dataset, model: vj.TwoStage, both: Any, most: int = 1500) -> dict[str, np.ndarray]:
    """Data and means of samples by one and by two stages on principal axes of the data: 1 and 2, then 1 and the last.

    The last is the least that holds a thousandth of the variance.
    """
    x = data.train.x.astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(x.T))
    last = int((values > values.sum() / 1000).sum())
    found, names = ways(model, both, data, 0), ("data", "one stage", "two stages")
    on = {way: ((found[way] - x.mean(0)) @ vectors[:, ::-1])[:most] for way in names}
    planes = dict.fromkeys(((1, 2), (1, last)))
    return {f"{way}, axes {a}, {b}": on[way][:, [a - 1, b - 1]] for a, b in planes for way in names}


def figures(study: Study, sets: Iterable[str], ranks: Iterable[str], dead: str) -> None:
    """Pictures of the points and of samples: all ways to draw of `sets`, on principal axes of the first two `ranks`.

    `dead` says which runs collapsed.
    """
    claim = "Doersch, figure 2: a Gaussian mapped to a ring by z/10 + z/|z|"
    for name in sets:
        picture = vj.plots.planes(drawn(name, *fitted(study, name)), columns=4)
        text = (
            f"{name}, run of seed 0: means of samples (pushforwards) four ways, the data, and draws with their noise."
        )
        ring = {"caption": f"{text} The data are g(z) of the z beside them. Collapsed runs: {dead}.", "claim": claim}
        study.figure(name, picture, **(ring if name == "ring" else {"caption": text}))
    for name in tuple(ranks)[:2]:
        picture = vj.plots.planes(bent(*fitted(study, name)), columns=3, names=("first axis", "other axis"))
        text = f"{name[4:]} dimensions bent into ten: data, and means of samples, on principal axes of the data."
        study.figure(name.replace(" = ", ""), picture, caption=text, claim="Dai and Wipf: two stages for a manifold")


def slopes(sigma: float, seed: int) -> dict[str, Any]:
    """Size and spread of the gradient by the ring's radius, 100 draws of the prior each."""
    x = vj.data.ring(64, test=0, seed=seed).train.x
    keys = jax.random.split(jax.random.key(seed), 200)
    found = jax.vmap(lambda x: jax.vmap(lambda key: _slope(key, 100, sigma, x))(keys))(x)
    return {"size": jnp.abs(found.mean(1)).mean(), "spread": found.std(1).mean()}


def one_dimension(study: Study, rows: int, epochs: int, seed: int) -> dict[str, Any]:
    """A VAE on a line: nats above the entropy, its decoder's mean, and draws by the quantile function."""
    rng = np.random.default_rng(seed)
    train, test = (inverse(rng.random((n, 1))).astype(np.float32) for n in (rows, 2000))
    model = vj.zoo.vae(1, 1, hidden=(64, 64), activation="silu", likelihood=vj.heads.normal("shared"))
    params = study.fit(model, train, seed=seed, epochs=epochs, learning_rate=2e-3).params
    truth = np.log(0.4 * norm.pdf(test, -2.0, 1.0) + 0.6 * norm.pdf(test, 1.0, 0.3)).mean()
    estimate = vj.evaluate.log_evidence_estimate(model, params, jax.random.key(seed), test, k=500, progress=False)
    score = estimate.log_evidence.mean()
    z = jnp.linspace(-3.0, 3.0, len(LINE))[:, None]
    mean = np.asarray(jax.jit(jax.vmap(functools.partial(vj.decode, model, params)))(z))[:, 0]
    distance = np.abs(np.sort(_below(inverse(rng.random(2000)))) - np.arange(2000) / 2000).max()
    return {"gap": truth - score, "mean": mean if mean[-1] > mean[0] else mean[::-1], "distance": distance}


def quantiles(means: Any) -> dict[str, tuple]:
    """Lines of the quantile function and of decoders' means (a row each) with their standard error, by z."""
    line = [mean_and_error(each) for each in np.transpose(means)]
    return {"quantile function": (LINE, inverse(norm.cdf(LINE))), "decoder's mean": (LINE, *np.transpose(line))}
