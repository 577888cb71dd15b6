"""What each command takes: its fields are the options, their docstrings the help."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg
from tyro.extras import literal_type_from_choices

from vaejax.cli.members import LIKELIHOODS, MEMBERS

__all__ = ["Evaluate", "Export", "Fit", "List", "Report", "Sample"]

Model = literal_type_from_choices(sorted(MEMBERS))
Likelihood = literal_type_from_choices(sorted(LIKELIHOODS))


def _default(metavar: str, text: str) -> Any:
    """How an option without a value of its own is shown."""
    return arg(metavar=metavar, help_behavior_hint=f"({text})")


@dataclasses.dataclass(frozen=True)
class List:
    """Show the models, and what each is."""


@dataclasses.dataclass(frozen=True)
class Fit:
    """Train a model and keep the run in a folder; the same command goes on with a run that was stopped."""

    model: Annotated[Positional[Model], arg(metavar="MODEL")]  # type: ignore[valid-type]
    """The model; `vaejax list` says what each is."""
    data: str
    """digits, sprites, mnist (IDX files in the folder VAEJAX_DATA, or TFDS), tfds:NAME, or your own: a .npy, .npz or
    .csv file, or a folder of images."""
    out: Path
    """Folder of the run."""
    epochs: Annotated[int | None, _default("INT", "default: 100; EM: 200")] = None
    """Passes over the data."""
    seed: int = 0
    """Of the parameters, the order, the draws and the held-out parts."""
    latent_dim: Annotated[int | None, _default("INT", "default: 8, or fewer columns")] = None
    """Number of latents."""
    latent_dims: Annotated[tuple[int, ...] | None, _default("INT INT ...", "default: 4 8 16")] = None
    """Latents of each layer of ladder, hierarchical-vae and biva, top first."""
    components: Annotated[int | None, _default("INT", "default: 10")] = None
    """Components of a mixture."""
    covariance: Annotated[Literal["full", "tied", "diag", "spherical"] | None, _default("NAME", "default: full")] = None
    """Of the components of gmm: full, tied, diag or spherical."""
    hidden: Annotated[tuple[int, ...] | None, _default("INT INT ...", "default: 512 512")] = None
    """Units of the hidden layers of the encoder."""
    channels: Annotated[tuple[int, ...] | None, _default("INT INT ...", "default: 32 64 128")] = None
    """Channels of the stages of a convolutional encoder; of nvae one number."""
    posterior: Annotated[Literal["diag", "full"] | None, _default("NAME", "default: diag")] = None
    """Covariance of q(z|x): diag or full."""
    depth: Annotated[int | None, _default("INT", "default: the model's own")] = None
    """Steps of the flow of planar-vae and iaf-vae."""
    flow_hidden: Annotated[int | None, _default("INT", "default: the model's own")] = None
    """Units of the networks in the flow of iaf-vae."""
    width: Annotated[int | None, _default("INT", "default: 512")] = None
    """Units of all layers of biva."""
    scales: Annotated[int | None, _default("INT", "default: 2")] = None
    """Sizes at which nvae has latents; each halves the image."""
    groups: Annotated[int | None, _default("INT", "default: 2")] = None
    """Groups of latents at each size of nvae."""
    likelihood: Annotated[Likelihood | None, _default("NAME", "default: the model's own")] = None  # type: ignore[valid-type]
    """p(x|z): bernoulli, continuous-bernoulli, normal, low-rank-normal, full-normal or discretized-logistic."""
    scale: Annotated[str | None, _default("TEXT", "default: shared")] = None
    """Standard deviation of a normal or discretized-logistic likelihood: a number, shared, optimal, per_pixel_constant
    or per_pixel."""
    beta: Annotated[float | None, _default("FLOAT", "default: 1; beta-vae: 4")] = None
    """Weight of the divergence."""
    warm_up: Annotated[int | None, _default("EPOCHS", "optional")] = None
    """Epochs in which the weight of the divergence is raised from 0."""
    free_bits: Annotated[float | None, _default("NATS", "optional")] = None
    """Divergence of each latent (of each layer in a hierarchy) that is not punished."""
    conditional: Annotated[bool, arg(metavar="")] = False
    """Condition the model on the labels."""
    pixels: Literal["auto", "binarize", "dequantize", "grey"] = "auto"
    """What a step does to uint8 pixels: binarize, dequantize, or leave them; auto chooses by the likelihood."""
    standardize: Annotated[bool, arg(metavar="")] = False
    """Bring the columns of a table to zero mean and unit variance; likelihoods stay in the units of the data."""
    labels: Annotated[str | None, _default("TEXT", "optional")] = None
    """Column of a .csv that holds the labels, by name or number."""
    validation: float = 0.1
    """Share of the rows held out to choose by, where the data bring no part for it."""
    test: float = 0.1
    """Share of the rows held out to evaluate on, where the data bring no part for it."""
    batch_size: Annotated[int | None, _default("INT", "default: 128; fewer for under 2560 rows")] = None
    """Rows of a step."""
    learning_rate: float = 1e-3
    """Of Adam."""
    patience: Annotated[int | None, _default("INT", "optional")] = None
    """Stop after so many epochs without a better validation."""
    restarts: int = 3
    """Starts of EM, of which the best is kept."""


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Score a run on its test part, with standard errors."""

    dir: Positional[Path]
    """Folder of the run."""
    k: int = 100
    """Draws of the importance-weighted bound."""
    quick: Annotated[bool, arg(metavar="")] = False
    """At most 200 rows and 20 draws; no diagnosis, no samples, no probes."""
    ais: Annotated[int, arg(metavar="CHAINS")] = 0
    """Chains of annealed importance sampling on the first 16 rows, with its bracket on rows of the model; minutes."""
    data: Annotated[str | None, _default("TEXT", "default: the run's")] = None
    """Other data than the run's, in the same forms; all of its rows are scored."""
    seed: int = 0
    """Of the draws."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """Draw from a run's model: a grid of images, or rows of a table."""

    dir: Positional[Path]
    """Folder of the run."""
    n: Annotated[int, arg(aliases=["-n"])] = 64
    """Number of draws."""
    out: Path = Path("samples.png")
    """A .png of images or of points in the plane; a .npy or .csv of rows."""
    mode: Literal["ancestral", "mean", "offset"] = "mean"
    """mean: of the likelihood; ancestral: with its noise, the model itself; offset: mean plus --offset deviations."""
    temperature: float = 1.0
    """Spread of the latents."""
    offset: float = 0.0
    """Deviations, with --mode offset."""
    label: Annotated[int | None, _default("INT", "default: all")] = None
    """Class of a conditional model; all classes in turn unless told."""
    seed: int = 0
    """Of the draws."""


@dataclasses.dataclass(frozen=True)
class Report:
    """Write one page of a run: curves, reconstructions, samples, a map of the latents, and the scores."""

    dir: Positional[Path]
    """Folder of the run."""
    out: Annotated[Path | None, _default("FILE", "default: DIR/report.html")] = None
    """The page."""


@dataclasses.dataclass(frozen=True)
class Export:
    """Write one function of a run's model as StableHLO, which runs without vaejax."""

    dir: Positional[Path]
    """Folder of the run."""
    what: Literal["encode", "decode", "sample", "elbo"] = "encode"
    """Which function."""
    out: Annotated[Path | None, _default("FILE", "default: DIR/WHAT.stablehlo")] = None
    """The file."""
