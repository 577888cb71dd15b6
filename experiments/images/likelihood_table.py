"""What are the held-out likelihoods of the zoo on MNIST, by one protocol?

Likelihoods: VAE, IWAE, IAF, hierarchies, ladder and BIVA on binarised MNIST, beside the literature's numbers.

Prediction: Worst first: VAE, IWAE objective, IAF, hierarchical and ladder, BIVA, within 10 nats; all of them some
nats below what others report, whose models are larger and trained a hundred times as long.
"""

import dataclasses

from experiments.harness.study import Study
from experiments.images import likelihoods
from experiments.shared import phrases, pixels

ORDER = 130

SCORES = {"over rows ±": ("error", 2), "ELBO": ("elbo", 2), "KL": ("kl", 1), "bits a pixel": ("bits_per_dimension", 3)}
COSTS = {"parameters, 10^6": ("parameters", 2), "s to train": ("seconds", 0)}
LITERATURE = ("model", "minus nats", "protocol", "repository whose README says so")


@dataclasses.dataclass(frozen=True)
class Config(pixels.Config):
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
    inputs: int = 500
    """Learned inputs of the VampPrior."""
    channels: tuple[int, ...] = (16, 32)
    reduced: tuple[int, int] = (2000, 4)
    """Images and epochs of the NVAE-style model, which is trained in full with --full: 155 images a second here."""
    models: tuple[str, ...] = likelihoods.NAMES + likelihoods.MORE
    exact: tuple[str, ...] = likelihoods.EXACT
    """Models without networks."""
    k: int = 200

    @classmethod
    def smoke(cls) -> "Config":
        small = {"latent_dim": 4, "layers": (2, 4), "units": (8, 16), "hidden": (16,), "exact": likelihoods.EXACT[:1]}
        return cls.small(data="digits", epochs=2, k=10, models=("VAE", "ladder", "mixture prior", "σ-VAE"), **small)

    @classmethod
    def full(cls) -> "Config":
        wide = {"hidden": (512, 512), "layers": (4, 8, 16, 32, 64), "units": (64, 64, 128, 256, 512), "flow": 512}
        every = tuple(name for name in cls.models if name != likelihoods.REDUCED)
        return cls(size="full", train=0, epochs=200, k=1000, models=(*every, "NVAE-style"), **wide)


def main(config: Config) -> dict:
    study, data = Study(__name__, config), pixels.load(config.data, config.train)
    models, names = likelihoods.Models(study, config, data), (*config.models, *config.exact)
    once = dict.fromkeys(likelihoods.EXACT if config.size == "full" else likelihoods.MORE + likelihoods.EXACT, 1)
    grid = study.grid(models.numbers, {name: (name,) for name in names}, seeds=once)
    binary = {models.label(name): name for name, (_, counted) in models.members.items() if counted}
    grey = [name for name in names if name not in binary.values()]
    columns = {f"IWAE-{config.k}": ("iwae", 2)} | SCORES | COSTS
    rows = [(*row, models.reported.get(row[0], "-")) for row in grid.rows(binary, dict(columns.values()))]
    study.table("Binarised pixels, Bernoulli: nats (no ±: one run)", ("model", *columns, "reported"), rows)
    title = f"In a column of their own, densities of (k + u)/{models.levels}: nats (pPCA, GMM: exact; no ±: one run)"
    study.compare(title, grid, grey, columns)
    study.table("Reported by others, not measured here", LITERATURE, likelihoods.LITERATURE)
    whole = [name for name in binary.values() if name != likelihoods.REDUCED]
    order = sorted(whole, key=lambda name: grid.mean(name, "iwae"))
    likelihoods.draw(study, grid, models, order)
    gap = {name: grid.mean(name, "iwae") - grid.mean(name, "elbo") for name in order}
    judged = likelihoods.judged(grid, order, models.reported)
    said, apart = phrases.listed(grid, order, "iwae"), phrases.listed(grid, grey, "iwae", 0)
    return study.finish(
        f"Worst first, IWAE-{config.k} of binarised pixels in nats: {said}. {judged} The bound is "
        f"{min(gap.values()):.1f} to {max(gap.values()):.1f} nats above the ELBO, most with "
        f"{max(gap, key=gap.__getitem__)}. Not to be compared with these, densities of grey values: {apart}.",
        protocol=pixels.protocol(data, config.k, pixels="binarised anew in each step, the test images once (seed 0)")
        + f"; {config.epochs} epochs; hierarchies but the reduced one with a KL warm-up of 300 steps; densities: "
        "dequantised anew in each step, the test images once; reported: pythae's (VAE 200 draws, the others 5000). "
        "Others' static set is Larochelle's, their models larger and trained longer",
    )
