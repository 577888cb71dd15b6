"""What do the number of latents and the number of draws do to a VAE of MNIST?

Latent spaces of MNIST: samples, reconstructions, a plane of codes, and what more latents and more draws do.

Prediction: With n the reconstructions improve and the samples worsen, since the latents correlate in the aggregate
posterior; of 32 latents about 15 to 20 stay active. The variance of the ELBO's estimate falls as 1/L, but most of the
gradient's comes from the choice of the batch, so that L = 1 will do.
"""

import dataclasses

import jax
import numpy as np

import vaejax as vj
from experiments import images
from experiments.scores import estimator_spread, latent_scores, samples, scores
from experiments.study import Study, judge

NUMBERS = {
    "iwae": 1,
    "elbo": 1,
    "log_likelihood": 1,
    "kl": 1,
    "active": 1,
    "reconstruction_rmse": 3,
    "mean_frechet": 1,
    "mean_entropy": 2,
    "aggregate_kl": 2,
    "largest_correlation": 2,
}
COLUMNS = ("n", "IWAE", "ELBO", "E log p(x|z)", "KL", "active", "RMSE", "Fréchet", "entropy", "KL q(z)", "largest |r|")


@dataclasses.dataclass(frozen=True)
class Config(images.Config):
    train: int = 20_000
    """Images to train on; 0 for all."""
    epochs: int = 10
    latents: tuple[int, ...] = (2, 8, 32)
    """Numbers of latents; the second one is drawn."""
    hidden: tuple[int, ...] = (512, 256, 128, 64)
    channels: tuple[int, ...] = (32, 64, 128, 256)
    conv_train: int = 5000
    """Images that the convolutional model is trained on."""
    conv_epochs: int = 5
    k: int = 200
    draws: tuple[int, ...] = (1, 2, 4, 8, 16)
    """L, draws of z for each image of the ELBO's estimate."""
    pairs: int = 16
    """Pairs of estimates that a variance is taken from."""

    @classmethod
    def smoke(cls) -> "Config":
        small = {"hidden": (32, 16), "channels": (4,), "latents": (2, 4), "draws": (1, 4), "pairs": 2}
        return cls.small(data="digits", epochs=2, conv_epochs=2, k=20, **small)

    @classmethod
    def full(cls) -> "Config":
        return cls(
            size="full", seeds=5, train=0, epochs=30, conv_train=0, conv_epochs=20, k=1000, latents=(2, 8, 32, 64)
        )


def main(config: Config) -> dict:
    study = Study(__name__, config)
    data, few = images.load(config.data, config.train), images.load(config.data, config.conv_train)
    shape, binarize = data.train.x.shape[1:], vj.transforms.binarize
    test, grey, judged = images.binary(data.test), images.grey(data.test), judge(config, data)

    def fitted(n: int, seed: int) -> tuple:
        model = vj.zoo.vae(shape, n, hidden=config.hidden)
        return model, study.fit(model, data, seed=seed, epochs=config.epochs, transform=binarize).best

    def cell(n: int, seed: int) -> dict:
        model, params = fitted(n, seed)
        quality = vj.evaluate.sample_quality(samples(model, params, 1, len(test), mode="mean"), grey, judged)
        found = scores(model, params, test, k=config.k) | latent_scores(model, params, test)
        named = {"mean_frechet": quality["frechet_distance"], "mean_entropy": quality["entropy"]}
        return found | named | {"distortion": -found["log_likelihood"]}

    def spread(draws: int, seed: int) -> dict:
        how = {"draws": draws, "rows": 100, "pairs": config.pairs, "seed": seed}
        return estimator_spread(*fitted(config.latents[1], seed), test, **how)

    def convolutional() -> tuple:
        model = vj.zoo.conv_vae(shape, 8, channels=config.channels)
        how = {"epochs": config.conv_epochs, "batch_size": 64, "transform": binarize}
        return model, study.fit(model, few, **how).best

    def rebuilt() -> np.ndarray:
        model, params = convolutional()
        one = lambda x: vj.reconstruct(model, params, jax.random.key(3), x, temperature=0.0)  # noqa: E731
        return np.asarray(jax.lax.map(one, test, batch_size=50))

    def flat() -> tuple:
        model = vj.zoo.sigma_vae(shape, 2, hidden=config.hidden)
        return model, study.fit(model, data, epochs=config.epochs).best

    over = {f"n = {n}": n for n in config.latents}
    grid = study.grid(cell, {name: (n,) for name, n in over.items()})
    noise = study.grid(spread, {f"L = {n}": (n,) for n in config.draws})
    one = study.measure(
        {
            "convolutional": lambda: {"rmse": float(np.sqrt(np.mean((rebuilt() - test) ** 2)))},
            "sigma-VAE": lambda: latent_scores(*flat(), grey),
        }
    )
    study.table(
        "Fully connected VAEs of n latents", COLUMNS, grid.rows({str(n): name for name, n in over.items()}, NUMBERS)
    )
    study.lines(
        "latents",
        {
            "lost in reconstruction: -E log p(x|z)": grid.line(over, "distortion"),
            "KL from q(z|x) to p(z)": grid.line(over, "kl"),
            "Fréchet distance of means of samples": grid.line(over, "mean_frechet"),
        },
        x_label="latents",
        y_label="nats an image; squared features",
        log_x=True,
        log_y=True,
        caption="What is lost in reconstruction, what the latents carry, and how far samples are from test images.",
        claim="Mittas, section 3.4: with more latents reconstructions get better and samples less realistic.",
    )
    ranked = {name: grid.cells[f"{name}, seed 0"]["kl_per_dimension"] for name in over}
    study.lines(
        "kl",
        {name: (np.arange(1, len(kl) + 1), kl) for name, kl in ranked.items()},
        x_label="latent, by its divergence",
        y_label="KL, nats",
        caption="Divergence of each latent on test images, seed 0.",
        claim="Mittas, section 3.5: in a collapsed latent q(z|x) is the prior whatever x.",
    )
    kinds = {
        "ELBO, other draws": "draw_value",
        "ELBO, another batch, too": "batch_value",
        "gradient, other draws": "draw_gradient",
        "gradient, another batch, too": "batch_gradient",
    }
    by_draws = {f"L = {n}": n for n in config.draws}
    study.lines(
        "draws",
        {label: noise.line(by_draws, name) for label, name in kinds.items()},
        x_label="draws L of z for each image",
        y_label="variance of the mean of 100 images",
        log_x=True,
        log_y=True,
        caption="Variance of the estimate of the ELBO (square nats) and of its gradient (trace), on test images.",
        claim="Mittas, section 3: in practice L = 1.",
    )
    drawn = samples(*fitted(config.latents[1], 0), 1, 100, mode="mean")
    again = rebuilt()
    model, params = flat()
    side = np.linspace(-1, 1, 11, dtype=np.float32)
    square = np.stack(np.meshgrid(side, side[::-1]), -1).reshape(-1, 2)
    decoded = jax.vmap(lambda z: vj.decode(model, params, z))(square)
    codes = jax.vmap(lambda x: vj.encode(model, params, x))(grey)
    show = lambda x, **how: vj.plots.image_grid(np.asarray(x).reshape(-1, *shape), limits=(0, 1), **how)  # noqa: E731
    study.figure(
        "samples",
        show(drawn),
        caption=f"Fully connected VAE, n = {config.latents[1]}: probabilities of a one given 100 draws of z.",
        claim="Mittas, figure 1: decoded standard normal samples of a fully connected VAE of eight latents are digits.",
    )
    pairs = [np.concatenate([test[i : i + 10], again[i : i + 10]]) for i in (0, 10, 20)]
    study.figure(
        "reconstructions",
        show(np.concatenate(pairs)),
        caption="Convolutional VAE, n = 8: test images, and below each row their reconstructions from the centre of q.",
        claim="Mittas, figure 2: a convolutional VAE of eight latents reconstructs test images.",
    )
    study.figure(
        "plane",
        show(decoded, columns=11, title="z from (-1, 1), top left, and (1, 1), top right, down to -1"),
        caption="σ-VAE, n = 2: means of x over the square [-1, 1]^2; the corners (-1, 1) and (1, 1) are above.",
        claim="Mittas, figure 3, left: codes of the unit ball of the largest norm decode to digits that change "
        "smoothly.",
    )
    study.figure(
        "codes",
        vj.plots.scatter(codes, data.test.y, names=("$z_1$", "$z_2$")),
        caption="σ-VAE, n = 2: means of q(z|x) of the test images; the colours are the digits.",
        claim="Mittas, figure 3, right: classes lie apart, and q(z) is close to the standard normal prior.",
    )
    few_n, many_n = (f"n = {n}" for n in (config.latents[0], config.latents[-1]))
    ends = {number: [grid.say(name, number, 2) for name in (few_n, many_n)] for number in NUMBERS}
    share = {
        what: noise.mean("L = 1", f"draw_{what}") / noise.mean("L = 1", f"batch_{what}")
        for what in ("value", "gradient")
    }
    last = f"L = {config.draws[-1]}"
    fall = noise.mean("L = 1", "draw_gradient") / noise.mean(last, "draw_gradient")
    total = noise.mean("L = 1", "batch_gradient") / noise.mean(last, "batch_gradient")
    better = (
        "do improve" if grid.mean(many_n, "log_likelihood") > grid.mean(few_n, "log_likelihood") else "do not improve"
    )
    worse = "worsen" if grid.mean(many_n, "mean_frechet") > grid.mean(few_n, "mean_frechet") else "do not worsen"
    return study.finish(
        f"From {few_n} to {many_n} reconstructions {better} (E log p(x|z) {' to '.join(ends['log_likelihood'])} "
        f"nats) and samples {worse} (Fréchet distance of their means {' to '.join(ends['mean_frechet'])}); the "
        f"aggregate posterior moves from the prior (KL {' to '.join(ends['aggregate_kl'])} nats), its largest "
        f"correlation is {' and '.join(ends['largest_correlation'])}, and {' and '.join(ends['active'])} latents "
        f"are active. With {last} in place of 1 the gradient's variance from the draws falls {fall:.1f} times, "
        f"but that of batches of 100 {total:.2f} times: at L = 1 draws make {100 * share['gradient']:.0f} % of it "
        f"(of the ELBO's {100 * share['value']:.0f} %). The σ-VAE's q(z) in the plane is "
        f"{one['sigma-VAE']['aggregate_kl']:.2f} nats from the prior.",
        protocol=images.protocol(data, config.k, pixels="binarised anew in each step, the test images once (seed 0)")
        + f"; {config.epochs} epochs; RMSE against binarised pixels; Fréchet distance and entropy of means of "
        f"samples in the features of {judged.name}, against grey test images; q(z) of at most 1000 test images; "
        f"σ-VAE: grey values as they are; the convolutional model: {len(few.train)} images, {config.conv_epochs} "
        "epochs, one seed",
    )
