"""What are the held-out likelihoods of the zoo on MNIST, by one protocol?

Likelihoods: VAE, IWAE, IAF, hierarchies, ladder and BIVA on binarised MNIST, beside the literature's numbers.

Prediction: Worst first: VAE, IWAE objective, IAF, hierarchical and ladder, BIVA, within 10 nats; all of them some
nats below what others report, whose models are larger and trained a hundred times as long.
"""

import dataclasses

import vaejax as vj
from experiments import images, likelihoods, phrases
from experiments.study import Study

SCORES = {"over rows ±": ("error", 2), "ELBO": ("elbo", 2), "KL": ("kl", 1), "bits a pixel": ("bits_per_dimension", 3)}
COSTS = {"parameters, 10^6": ("parameters", 2), "s to train": ("seconds", 0)}
REPORTED = ("model", "minus nats", "protocol", "repository whose README says so")
CAPTION = "Held-out bounds of the models with binarised pixels, sorted; bands: one standard error over seeds."
CLAIM = "Mittas, section 6: deep hierarchies such as BIVA have better test likelihoods than flat models."


@dataclasses.dataclass(frozen=True)
class Config(images.Config):
    train: int = 20_000
    """Images to train on; 0 for all."""
    epochs: int = 10
    latent_dim: int = 32
    layers: tuple[int, ...] = (8, 16, 32)
    """Latents of the hierarchies, top first."""
    units: tuple[int, ...] = (64, 128, 256)
    """Hidden units of their layers, top first; BIVA has the last everywhere."""
    flow: int = 128
    """Hidden units of each of the two steps of the IAF."""
    models: tuple[str, ...] = likelihoods.NAMES
    """What is trained; "NVAE-style" is left to --full: 45 images a second on two cores."""
    k: int = 200

    @classmethod
    def smoke(cls) -> "Config":
        small = {"latent_dim": 4, "layers": (2, 4), "units": (8, 16), "hidden": (16,)}
        return cls.small(data="digits", epochs=2, k=10, models=("VAE", "ladder", "σ-VAE"), **small)

    @classmethod
    def full(cls) -> "Config":
        wide = {"hidden": (512, 512), "layers": (4, 8, 16, 32, 64), "units": (64, 64, 128, 256, 512), "flow": 512}
        return cls(size="full", train=0, epochs=200, k=1000, models=(*likelihoods.NAMES, "NVAE-style"), **wide)


def main(config: Config) -> dict:
    study, data = Study(__name__, config), images.load(config.data, config.train)
    levels, iwae = 17 if config.data == "digits" else 256, f"IWAE-{config.k}"
    models = likelihoods.members(config, data.train.x.shape[1:])

    def cell(model: vj.LatentModel, binary: bool, seed: int) -> dict:
        transform = vj.transforms.binarize if binary else vj.transforms.dequantize(levels)
        fit = study.fit(model, data, seed=seed, epochs=config.epochs, transform=transform)
        test = images.binary(data.test) if binary else images.dequantised(data.test)
        return likelihoods.scored(model, fit, test, 100 + seed, k=config.k, levels=1 if binary else levels)

    grid = study.grid(cell, models)
    binary, grey = ([name for name, (_, counted) in models.items() if counted is kind] for kind in (True, False))
    columns = {iwae: ("iwae", 2)} | SCORES | COSTS
    study.compare("Binarised pixels, Bernoulli: nats", grid, binary, columns)
    study.compare(f"In a column of their own, densities of (k + u)/{levels}, Gaussian: nats", grid, grey, columns)
    study.table("Reported by others, not measured here", REPORTED, likelihoods.LITERATURE)
    order = sorted(binary, key=lambda name: grid.mean(name, "iwae"))
    figure, series = likelihoods.ranked(grid, order, {iwae: "iwae", "ELBO": "elbo"})
    study.figure("likelihoods", figure, caption=CAPTION, claim=CLAIM, series=series)
    gap = {name: grid.mean(name, "iwae") - grid.mean(name, "elbo") for name in order}
    said, apart = phrases.listed(grid, order, "iwae"), phrases.listed(grid, grey, "iwae", 0)
    left = "" if "NVAE-style" in models else " The NVAE-style model was left to --full."
    return study.finish(
        f"Worst first, {iwae} of binarised pixels in nats: {said}; the best is "
        f"{grid.mean(order[-1], 'iwae') - grid.mean('VAE', 'iwae'):.1f} nats above the plain VAE. The bound is "
        f"{min(gap.values()):.1f} to {max(gap.values()):.1f} nats above the ELBO, most with "
        f"{max(gap, key=gap.__getitem__)}. Not to be compared with these, densities of grey values: {apart}.{left}",
        protocol=images.protocol(data, config.k, pixels="binarised anew in each step, the test images once (seed 0)")
        + f"; {config.epochs} epochs; hierarchies with a KL warm-up of 300 steps; Gaussian models: dequantised anew in "
        "each step, the test images once. Others' static set is Larochelle's, their models larger and trained longer",
    )
