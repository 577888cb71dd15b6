"""Is the variability of x given z useful, and is the network?

Measured: what latent noise and output noise of the same total variance do to an image, and what a VAE gains in
likelihood over pPCA with as many latents, whose values on all of MNIST are compared with reference values.

Prediction: For the likelihood both: without noise there is none, and the network gains 100 nats and more over pPCA
with M = 8. For drawing only z: noise of z changes the digit and stays an image, noise of x of the same variance
leaves the digit and is no image.
"""

import dataclasses
import functools

import jax
import numpy as np

import vaejax as vj
from experiments import images
from experiments.noise import both, moved
from experiments.scores import quality
from experiments.study import Study, judge

TABLE = {2: (0.05610, 14.36), 8: (0.03826, 154.10), 10: (0.03487, 186.02), 20: (0.02460, 306.55), 32: (0.01798, 409.41)}
GAIN = {"VAE, IWAE": ("iwae", 1), "pPCA, exact": ("ppca", 1), "gain": ("gain", 1), "σ": ("sigma", 3)}
LOOK = {"same digit, %": ("same", 1), "Fréchet": ("draw_frechet", 1), "precision": ("draw_precision", 2)}
KINDS = {"latent": "noise of z", "output": "noise of x"}


@dataclasses.dataclass(frozen=True)
class Config(images.Config):
    sweep: tuple[int, ...] = (2, 8, 20, 32)
    """Latents."""
    shares: tuple[float, ...] = (0.0625, 0.25, 1.0)
    """Variance of the noise over the decoder's own, D sigma^2."""

    @classmethod
    def smoke(cls) -> "Config":
        return dataclasses.replace(super().smoke(), sweep=(8,), shares=(0.25, 1.0))


def whole(latent_dim: int) -> dict:
    """pPCA of all training images, scored on all test images."""
    data, model = vj.data.mnist(), vj.PPCA(784, latent_dim)
    params = vj.em.ppca_exact(model, data.train.x)
    test = images.grey(data.test).reshape(-1, 784)
    return {"variance": np.exp(2 * params["log_scale"]), "test": np.mean(vj.log_evidences(model, params, test))}


def main(config: Config) -> dict:
    study = Study(__name__, config)
    raw = images.load(config.data)
    data, judged = images.rows(raw), judge(config, raw)
    test, dim = data.test.x, data.test.x.shape[1]

    def fitted(latent_dim: int, seed: int) -> tuple:
        model, fit = images.trained(study, data, vj.heads.normal("shared"), seed, latent_dim)
        return model, fit.best, float(np.exp(fit.best["likelihood"]["log_scale"]))

    def gain(latent_dim: int, seed: int) -> dict:
        model, params, sigma = fitted(latent_dim, seed)
        bounds = vj.importance_bounds(model, params, jax.random.key(5), test, k=config.k)
        exact = vj.em.ppca_exact(ppca := vj.PPCA(dim, latent_dim), data.train.x)
        found = {"iwae": float(np.mean(bounds)), "ppca": float(np.mean(vj.log_evidences(ppca, exact, test)))}
        return found | {"gain": found["iwae"] - found["ppca"], "sigma": sigma}

    def pictures(kind: str, share: float, seed: int) -> np.ndarray:
        model, params, sigma = fitted(config.latent_dim, seed)
        z = vj.evaluate.codes(model, params, jax.random.key(6), test, temperature=0.0)
        noise = np.random.default_rng(seed).normal(size=test.shape).astype(np.float32)
        if kind == "prior":  # 0: means, 1: draws, 2: means of z so wide that they are as far from mu(0) as draws
            means, drawn = both(model, params, seed + 1, len(test))
            far = np.square(drawn - moved(model, params, 0 * z, 0.0)).sum(1).mean()
            return (means, drawn, moved(model, params, 0 * z, far, seed))[int(share)]
        if kind == "latent":
            return moved(model, params, z, share * dim * sigma**2, seed)
        return moved(model, params, z, 0.0) + sigma * np.sqrt(share, dtype=np.float32) * noise

    def change(kind: str, share: float, seed: int) -> dict:
        rows = pictures(kind, share, seed)
        same = {} if kind == "prior" else {"same": 100 * float((judged.labels(rows) == raw.test.y).mean())}
        return quality("draw", rows, test, judged) | same

    sizes = {f"M = {m}": (m,) for m in config.sweep}
    noises = {f"{KINDS[kind]}, {share:g} Dσ²": (kind, share) for kind in KINDS for share in config.shares}
    noises = {"reconstructions": ("output", 0.0)} | noises
    noises |= {"means of samples": ("prior", 0), "draws": ("prior", 1), "means of wider z": ("prior", 2)}
    gains, changes = study.grid(gain, sizes), study.grid(change, noises)
    study.table("The network, nats", ("latents", *GAIN), gains.rows({n: n for n in sizes}, dict(GAIN.values())))
    study.table("What noise does", ("images", *LOOK), changes.rows({n: n for n in noises}, dict(LOOK.values())))
    if config.data == "mnist":
        known = study.measure({f"pPCA, M = {m}": functools.partial(whole, m) for m in TABLE})
        pairs = zip(known.items(), TABLE.values(), strict=True)
        rows = [(n, f"{f['variance']:.5f}", f"{v:.5f}", f"{f['test']:.2f}", f"{t:.2f}") for (n, f), (v, t) in pairs]
        study.table("All of MNIST", ("closed form", "σ²", "reference", "test, nats", "reference"), rows)
    size = {name: m for name, (m,) in sizes.items()}
    lines = {"VAE, one learned σ": gains.line(size, "iwae"), "pPCA, exact": gains.line(size, "ppca")}
    caption = "Test log-likelihood of a network and of a linear model with as many latents and one σ."
    study.lines("gain", lines, x_label="latents, M", y_label="nats an image", caption=caption)
    share = {kind: {name: s for name, (k, s) in noises.items() if k == kind and s} for kind in KINDS}
    lines = {label: changes.line(share[kind], "same") for kind, label in KINDS.items()}
    caption = "Test images encoded and decoded with noise: share that the classifier takes for their digit."
    how = {"x_label": "variance of the noise over Dσ²", "y_label": "same digit, %", "log_x": True}
    study.lines("digit", lines, caption=caption, **how)
    most = max(config.shares)
    shown = (("output", 0.0), ("latent", most), ("output", most), ("prior", 0), ("prior", 1), ("prior", 2))
    picture = images.grid(raw, [test, *(pictures(*pair, 0) for pair in shown)])
    caption = (
        f"Rows: test images; reconstructions, with noise of z, of x ({most:g} Dσ²); means; draws; means of wider z."
    )
    claim = "Beaulac, section 3.7: it is unclear whether the variability of x given z is useful for drawing."
    study.figure("noise", picture, caption=caption, claim=claim)
    latent, output, plain = (*(f"{label}, {most:g} Dσ²" for label in KINDS.values()), "reconstructions")
    say = lambda name, number="draw_precision", digits=2: changes.say(name, number, digits)  # noqa: E731
    told = ", ".join(f"{gains.say(name, 'gain', 1)} at {name}" for name in sizes)
    return study.finish(
        f"Without noise of x there is no likelihood; over pPCA the network gains, in nats, {told}. For drawing, test "
        f"images encoded and decoded keep their digit in {say(plain, 'same', 1)} %, with noise of x of variance "
        f"{most:g} Dσ² in {say(output, 'same', 1)} %, with noise of z of the same variance in "
        f"{say(latent, 'same', 1)} %; precision is {say(plain)}, {say(output)} and {say(latent)}. Samples have the "
        f"precision {say('means of samples')} as means, {say('draws')} as draws, and {say('means of wider z')} as "
        "means of z that is spread as wide as draws are.",
        protocol=images.protocol(raw, config.k) + "; the digit: by the judge, trained with noise of 0.2",
    )
