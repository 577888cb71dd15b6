"""From mixtures to autoencoders on the digits: a section of the demo's page."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

import vaejax as vj
from vaejax.plots.page import Page

SHAPE, LATENT, HIDDEN = (8, 8, 1), 16, (256,)
FLOOR = 1 / (17 * 12**0.5)  # the standard deviation of the dequantisation noise: nothing can be known better


def members() -> dict[str, tuple]:
    """Name, model, learning rate: the first four by density, the last two by probability of binary pixels."""
    vae = lambda likelihood: vj.zoo.vae(SHAPE, LATENT, hidden=HIDDEN, likelihood=likelihood)  # noqa: E731
    return {
        "linear VAE, M=20": (vj.zoo.linear_vae(SHAPE, 20), 1e-2),
        "VAE, sigma = 1": (vae(vj.heads.normal(1.0)), 1e-3),
        "sigma-VAE": (vj.zoo.sigma_vae(SHAPE, LATENT, hidden=HIDDEN), 1e-3),
        "conditional sigma-VAE": (vj.zoo.sigma_vae(SHAPE, LATENT, hidden=HIDDEN, context_dim=10), 1e-3),
        "VAE, sigma(z) per pixel": (vae(vj.heads.normal("per_pixel", floor=FLOOR)), 1e-3),
        "VAE, Bernoulli": (vj.zoo.vae(SHAPE, LATENT, hidden=HIDDEN), 1e-3),
        "conditional VAE, Bernoulli": (vj.zoo.conditional_vae(SHAPE, LATENT, 10, hidden=HIDDEN), 1e-3),
    }


def held_out(model, params, key, x, k: int) -> np.ndarray:
    """IWAE-k of each row; under a conditional model the ten labels are summed out, each with probability 1/10."""

    def bound(*given):
        return vj.evaluate.log_evidence_estimate(model, params, *given, k=k, progress=False).log_evidence

    if not model.context_dim:
        return bound(key, x)
    labels = [np.full(len(x), label) for label in range(model.context_dim)]
    keys = jax.random.split(key, len(labels))
    each = [bound(k_, x, y) for k_, y in zip(keys, labels, strict=True)]
    return np.asarray(jax.nn.logsumexp(jnp.stack(each), 0) - np.log(len(each)))


def climb(config, page: Page, exact: dict[str, tuple[float, float]]) -> None:
    page.heading("From mixtures to autoencoders")
    data = vj.data.digits(seed=config.seed)
    binary = (np.random.default_rng(config.seed).random(data.test.x.shape) < data.test.x / 255).astype(np.float32)
    grey = vj.data.dequantize(data.test.x, levels=17, seed=config.seed + 2)
    page.paragraph(
        f"The same held-out images. Densities of dequantised pixels and probabilities of binarised ones (each pixel 1 "
        f"with its grey value; the test part once, by seed {config.seed}) stand in columns of their own and cannot be "
        f"compared. The first two are exact, the others IWAE-{config.k}, a lower bound; a conditional model's labels "
        "are summed out. Training stops where the validation part has not improved for 60 epochs."
    )
    rows = [(name, f"{mean:.1f} ± {error:.1f}", "", "", "", "") for name, (mean, error) in exact.items()]
    density = {name: mean for name, (mean, _) in exact.items()}
    fits, curves, key = {}, {}, jax.random.key(config.seed)
    for name, (model, rate) in members().items():
        start, bernoulli = time.perf_counter(), "Bernoulli" in name
        result = vj.fit(
            model,
            key,
            data,
            epochs=config.epochs,
            batch_size=100,
            optimizer=optax.adam(rate),
            transform=vj.transforms.binarize if bernoulli else vj.transforms.dequantize(17),
            context="labels" if model.context_dim else None,
            patience=60,
        )
        fits[name] = model, result.best
        curves[name] = result.history["validation_elbo"]
        scores = held_out(model, result.best, key, binary if bernoulli else grey, config.k)
        score = f"{scores.mean():.1f} ± {scores.std() / np.sqrt(len(scores)):.1f}"
        kl = result.history["validation_kl"][result.history["validation_value"].argmax()]
        ending = f"{kl:.1f}", f"{len(curves[name])}", f"{time.perf_counter() - start:.1f}"
        if not bernoulli:
            density[name] = scores.mean()
        rows.append((name, "" if bernoulli else score, score if bernoulli else "", *ending))
    page.table(("model", "density, nats", "Bernoulli, nats", "KL, valid.", "epochs", "s"), rows)
    page.paragraph(
        f"Highest density: {max(density, key=lambda name: density[name])}. The linear VAE is pPCA by gradients. The KL "
        "column says how many nats the latents carry: with sigma fixed at 1 a pixel's squared error is divided by a "
        "variance many times the data's, and a latent must buy more than it costs. sigma(z) has a floor at the "
        "standard deviation of the dequantisation noise, 1/(17 sqrt 12), below which nothing can be known."
    )
    keys = jax.random.split(key, 20)
    show = lambda x: vj.plots.image_grid(np.asarray(x).reshape(-1, 8, 8), limits=(0.0, 1.0))  # noqa: E731
    draw = lambda name, mode: show(jax.vmap(lambda k: vj.sample(*fits[name], k, mode=mode))(keys))  # noqa: E731
    by_label = lambda k, y: vj.sample(*fits["conditional VAE, Bernoulli"], k, y, mode="mean")  # noqa: E731
    again = jax.vmap(lambda x: vj.reconstruct(*fits["sigma-VAE"], key, x, temperature=0.0))(jnp.asarray(grey[:10]))
    page.figures(
        {
            "sigma-VAE: ten test images and their reconstructions": show(np.concatenate([grey[:10], again])),
            "sigma-VAE: means of x given sampled z": draw("sigma-VAE", "mean"),
            "sigma-VAE: samples of x, the model itself": draw("sigma-VAE", "ancestral"),
            "VAE with sigma(z): samples of x": draw("VAE, sigma(z) per pixel", "ancestral"),
            "Bernoulli VAE: probabilities of a one given sampled z": draw("VAE, Bernoulli", "mean"),
            "Conditional Bernoulli VAE: the digits 0 to 9, one z a row": show(
                jax.vmap(by_label)(jnp.repeat(keys[:3], 10), jnp.tile(jnp.arange(10), 3))
            ),
            "Held-out ELBO while training": vj.plots.curves(
                {name: curve for name, curve in curves.items() if "Bernoulli" not in name and "= 1" not in name},
                x_label="epoch",
                y_label="validation ELBO, nats",
                log_x=True,
            ),
        }
    )
