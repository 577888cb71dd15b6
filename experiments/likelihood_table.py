"""What are the held-out likelihoods of the zoo on MNIST, by one protocol?

Likelihoods: VAE, IWAE, IAF, hierarchies, ladder and BIVA on binarised MNIST, beside the literature's numbers.

Prediction: Worst first: VAE, IWAE objective, IAF, hierarchical and ladder, BIVA, within 10 nats; all of them some
nats below what others report, whose models are larger and trained a hundred times as long.
"""

import dataclasses

import jax

import vaejax as vj
from experiments import images
from experiments.study import Study

LITERATURE = (  # minus nats; what others report
    ("VAE, 784-400-z", "89.78", "binarised, 200 draws", "pythae"),
    ("IWAE, k = 5 / 50", "87.85 / 86.82", "binarised, 5000 draws", "pythae"),
    ("VAE, one layer, k = 1 / 50", "87.78 / 87.47", "5000 draws", "xqding/Importance_Weighted_Autoencoders"),
    ("IWAE, one layer, k = 5 / 50", "85.46 / 84.59", "5000 draws", "xqding/Importance_Weighted_Autoencoders"),
    ("IWAE, two layers, k = 50", "83.29", "5000 draws", "xqding/Importance_Weighted_Autoencoders"),
    ("VampPrior, 500 inputs", "85.79", "binarised, 5000 draws", "pythae"),
    ("ladder, 3 / 6 / 12 layers", "79.24 / 78.52 / 78.30", "static, 1000 draws", "addtt/ladder-vae-pytorch"),
)
NAMES = ("VAE", "VAE, IWAE-5 objective", "IAF", "hierarchical", "ladder", "BIVA", "σ-VAE", "VAE, σ(z)")
COLUMNS = ("over rows ±", "ELBO", "KL", "bits a pixel", "parameters, 10^6", "s to train")
NUMBERS = {"iwae": 2, "error": 2, "elbo": 2, "kl": 1, "bits_per_dimension": 3, "parameters": 2, "seconds": 0}


@dataclasses.dataclass(frozen=True)
class Config(images.Config):
    train: int = 20_000
    """Images to train on; 0 for all."""
    epochs: int = 10
    latent_dim: int = 32
    hidden: tuple[int, ...] = (256, 256)
    layers: tuple[int, ...] = (8, 16, 32)
    """Latents of the hierarchies, top first."""
    units: tuple[int, ...] = (64, 128, 256)
    """Hidden units of their layers, top first; BIVA has the last everywhere."""
    flow: int = 128
    """Hidden units of each of the two steps of the IAF."""
    models: tuple[str, ...] = NAMES
    """What is trained; "NVAE-style" is left to --full: 45 images a second on two cores."""
    k: int = 200

    @classmethod
    def smoke(cls) -> "Config":
        small = {"latent_dim": 4, "layers": (2, 4), "units": (8, 16), "hidden": (16,)}
        return cls.small(data="digits", epochs=2, k=10, models=("VAE", "ladder", "σ-VAE"), **small)

    @classmethod
    def full(cls) -> "Config":
        wide = {"hidden": (512, 512), "layers": (4, 8, 16, 32, 64), "units": (64, 64, 128, 256, 512), "flow": 512}
        return cls(size="full", seeds=3, train=0, epochs=200, k=1000, models=(*NAMES, "NVAE-style"), **wide)


def members(config: Config, shape: tuple) -> dict:
    """Models by name, and whether their likelihood is Bernoulli."""
    m, flat = config.latent_dim, {"hidden": config.hidden}
    warm = {"objective": vj.objectives.warm_up(300)}
    deep = {"hidden": config.units} | warm
    models = {
        "VAE": vj.zoo.vae(shape, m, **flat),
        "VAE, IWAE-5 objective": vj.zoo.vae(shape, m, objective=vj.objectives.iwae(5), **flat),
        "IAF": vj.zoo.iaf_vae(shape, m, depth=2, flow_hidden=config.flow, **flat),
        "hierarchical": vj.zoo.hierarchical_vae(shape, config.layers, **deep),
        "ladder": vj.zoo.ladder(shape, config.layers, **deep),
        "BIVA": vj.zoo.biva(shape, config.layers, width=config.units[-1], **warm),
        "NVAE-style": vj.zoo.nvae(shape, channels=16, **warm),
        "σ-VAE": vj.zoo.sigma_vae(shape, m, **flat),
        "VAE, σ(z)": vj.zoo.vae(shape, m, likelihood=vj.heads.normal("per_pixel"), **flat),
    }
    return {name: (models[name], "σ" not in name) for name in config.models}


def main(config: Config) -> dict:
    study = Study(__name__, config)
    data = images.load(config.data, config.train)
    levels = 17 if config.data == "digits" else 256
    models = members(config, data.train.x.shape[1:])

    def cell(model: vj.LatentModel, binary: bool, seed: int) -> dict:
        transform = vj.transforms.binarize if binary else vj.transforms.dequantize(levels)
        fit = study.fit(model, data, seed=seed, epochs=config.epochs, transform=transform)
        test, key = images.binary(data.test) if binary else images.dequantised(data.test), jax.random.key(100 + seed)
        how = {"k": config.k, "levels": 1 if binary else levels, "progress": False}
        found = vj.evaluate.run(model, fit.best, key, test, quick=True, **how)
        size = sum(leaf.size for leaf in jax.tree.leaves(fit.best)) / 1e6
        other = {"error": found["iwae"].standard_error, "parameters": size, "seconds": fit.history["seconds"].sum()}
        return {name: score.value for name, score in found.items()} | other

    grid = study.grid(cell, models)
    binary, grey = ([name for name, (_, counted) in models.items() if counted is kind] for kind in (True, False))
    columns = ("model", f"IWAE-{config.k}", *COLUMNS)
    titles = {
        "Binarised pixels, Bernoulli: nats": binary,
        f"In a column of their own, densities of (k + u)/{levels}, Gaussian: nats": grey,
    }
    for title, names in titles.items():
        study.table(title, columns, grid.rows({name: name for name in names}, NUMBERS))
    columns = ("model", "minus nats", "protocol", "repository whose README says so")
    study.table("Reported by others, not measured here", columns, LITERATURE)
    order = sorted(binary, key=lambda name: grid.mean(name, "iwae"))
    places = {name: i for i, name in enumerate(order)}
    series = {f"IWAE-{config.k}": grid.line(places, "iwae"), "ELBO": grid.line(places, "elbo")}
    figure = vj.plots.lines(series, x_label="", y_label="nats an image")
    figure.axes[0].set_xticks(range(len(order)), order, rotation=20, ha="right", fontsize=8)
    study.figure(
        "likelihoods",
        figure,
        caption="Held-out bounds of the models with binarised pixels, sorted; bands: one standard error over seeds.",
        claim="Mittas, section 6: deep hierarchies such as BIVA have better test likelihoods than flat models.",
        series=series,
    )
    gap = {name: grid.mean(name, "iwae") - grid.mean(name, "elbo") for name in order}
    said = ", ".join(f"{name} {grid.say(name, 'iwae')}" for name in order)
    apart = ", ".join(f"{name} {grid.say(name, 'iwae', 0)}" for name in grey)
    left = "" if "NVAE-style" in models else " The NVAE-style model was left to --full."
    return study.finish(
        f"Worst first, IWAE-{config.k} of binarised pixels in nats: {said}; the best is "
        f"{grid.mean(order[-1], 'iwae') - grid.mean('VAE', 'iwae'):.1f} nats above the plain VAE. The bound is "
        f"{min(gap.values()):.1f} to {max(gap.values()):.1f} nats above the ELBO, most with "
        f"{max(gap, key=gap.__getitem__)}. Not to be compared with these, densities of grey values: {apart}.{left}",
        protocol=images.protocol(data, config.k, pixels="binarised anew in each step, the test images once (seed 0)")
        + f"; {config.epochs} epochs; hierarchies with a KL warm-up of 300 steps; Gaussian models: dequantised anew in "
        "each step, the test images once. The static set of others is Larochelle's, which this one is not, and their "
        "models are larger and trained for longer",
    )
