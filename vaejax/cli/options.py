"""Options of each command: the fields of a record, whose docstrings are the help."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg
from tyro.extras import literal_type_from_choices

from vaejax.cli.members import LIKELIHOODS, MEMBERS
from vaejax.types import Covariance, Mode

__all__ = ["Evaluate", "Export", "Fit", "List", "Report", "Sample"]

Model = literal_type_from_choices(sorted(MEMBERS))
Likelihood = literal_type_from_choices(sorted(LIKELIHOODS))


def _default(metavar: str, text: str) -> Any:
    """Appearance of an option without a value of its own in the help."""
    return arg(metavar=metavar, help_behavior_hint=f"({text})")


@dataclasses.dataclass(frozen=True)
class List:
    """Show the models, and what each is."""


@dataclasses.dataclass(frozen=True)
class Fit:
    """Train a model and keep the run in a folder; the same command goes on with a run that was stopped.

    Attributes:
      model: The model; `vaejax list` says what each is.
      data: digits, sprites, mnist (IDX files in the folder VAEJAX_DATA, or TFDS), tfds:NAME, or your own: a .npy,
        .npz or .csv file, or a folder of images.
      out: Folder of the run.
      epochs: Passes over the data.
      seed: Of the parameters, the order, the draws and the held-out parts.
      latent_dim: Number of latents.
      latent_dims: Latents of each layer of ladder, hierarchical-vae and biva, top first.
      components: Components of a mixture.
      covariance: Of the components of gmm: full, tied, diag or spherical.
      hidden: Units of the hidden layers of the encoder.
      channels: Channels of the stages of a convolutional encoder; of nvae one number.
      posterior: Covariance of q(z|x): diag or full.
      depth: Steps of the flow of planar-vae and iaf-vae.
      flow_hidden: Units of the networks in the flow of iaf-vae.
      width: Units of all layers of biva.
      scales: Sizes at which nvae has latents; each halves the image.
      groups: Groups of latents at each size of nvae.
      likelihood: p(x|z): bernoulli, continuous-bernoulli, normal, low-rank-normal, full-normal or
        discretized-logistic.
      scale: Standard deviation of a normal or discretized-logistic likelihood: a number, shared, optimal,
        per_pixel_constant or per_pixel.
      beta: Weight of the divergence.
      warm_up: Epochs in which the weight of the divergence is raised from 0, where it begins; 0 for the full weight
        at once.
      free_bits: Divergence of each latent (of each layer in a hierarchy) that is not punished.
      conditional: Condition the model on the labels.
      pixels: What a step does to uint8 pixels: binarize, dequantize, or leave them; auto chooses by the
        likelihood.
      standardize: Bring the columns of a table to zero mean and unit variance; likelihoods stay in the units of
        the data.
      labels: Column of a .csv that holds the labels, by name or number.
      validation: Share of the rows held out to choose by, where the data bring no part for it.
      test: Share of the rows held out to evaluate on, where the data bring no part for it.
      batch_size: Rows of a step.
      learning_rate: Of Adam at the start; it falls to 0 along a cosine.
      extend: Go on with a run for more epochs than it was begun for.
      patience: Stop after so many epochs without a better validation.
      restarts: Starts of EM, of which the best is kept.
    """

    model: Annotated[Positional[Model], arg(metavar="MODEL")]  # type: ignore[valid-type]
    data: str
    out: Path
    epochs: Annotated[int | None, _default("INT", "default: 100; EM: 200")] = None
    seed: int = 0
    latent_dim: Annotated[int | None, _default("INT", "default: 8, or fewer columns")] = None
    latent_dims: Annotated[tuple[int, ...] | None, _default("INT INT ...", "default: 4 8 16")] = None
    components: Annotated[int | None, _default("INT", "default: 10")] = None
    covariance: Annotated[Covariance | None, _default("NAME", "default: full")] = None
    hidden: Annotated[tuple[int, ...] | None, _default("INT INT ...", "default: 512 512")] = None
    channels: Annotated[tuple[int, ...] | None, _default("INT INT ...", "default: 32 64 128")] = None
    posterior: Annotated[Literal["diag", "full"] | None, _default("NAME", "default: diag")] = None
    depth: Annotated[int | None, _default("INT", "default: the model's own")] = None
    flow_hidden: Annotated[int | None, _default("INT", "default: the model's own")] = None
    width: Annotated[int | None, _default("INT", "default: 512")] = None
    scales: Annotated[int | None, _default("INT", "default: 2")] = None
    groups: Annotated[int | None, _default("INT", "default: 2")] = None
    likelihood: Annotated[Likelihood | None, _default("NAME", "default: the model's own")] = None  # type: ignore[valid-type]
    scale: Annotated[str | None, _default("TEXT", "default: shared")] = None
    beta: Annotated[float | None, _default("FLOAT", "default: 1; beta-vae: 4")] = None
    warm_up: Annotated[int | None, _default("EPOCHS", "default: 15 or 30 % of them")] = None
    free_bits: Annotated[float | None, _default("NATS", "optional")] = None
    conditional: Annotated[bool, arg(metavar="")] = False
    pixels: Literal["auto", "binarize", "dequantize", "grey"] = "auto"
    standardize: Annotated[bool, arg(metavar="")] = False
    labels: Annotated[str | None, _default("TEXT", "optional")] = None
    validation: float = 0.1
    test: float = 0.1
    batch_size: Annotated[int | None, _default("INT", "default: 100; fewer for under 2000 rows")] = None
    learning_rate: float = 2e-3
    extend: Annotated[bool, arg(metavar="")] = False
    patience: Annotated[int | None, _default("INT", "optional")] = None
    restarts: int = 3


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Score a run on its test part, with standard errors.

    Attributes:
      dir: Folder of the run.
      k: Draws of the importance-weighted bound.
      quick: At most 200 rows and 20 draws; no diagnosis, no samples, no probes.
      ais: Chains of annealed importance sampling on the first 16 rows, with its bracket on rows of the model;
        minutes.
      data: Other data than the run's, in the same forms; all of its rows are scored.
      seed: Of the draws.
    """

    dir: Positional[Path]
    k: int = 100
    quick: Annotated[bool, arg(metavar="")] = False
    ais: Annotated[int, arg(metavar="CHAINS")] = 0
    data: Annotated[str | None, _default("TEXT", "default: the run's")] = None
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Sample:
    """Draw from a run's model: a grid of images, or rows of a table.

    Attributes:
      dir: Folder of the run.
      n: Number of draws.
      out: A .png of images or of points in the plane; a .npy or .csv of rows.
      mode: ancestral: with the noise of the likelihood, the model itself; mean: of the likelihood, without its noise;
        offset: mean plus --offset deviations.
      temperature: Spread of the latents.
      offset: Deviations, with --mode offset.
      label: Class of a conditional model.
      seed: Of the draws.
    """

    dir: Positional[Path]
    n: Annotated[int, arg(aliases=["-n"])] = 64
    out: Annotated[Path | None, _default("FILE", "default: samples.png; of a wide table the terminal")] = None
    mode: Annotated[Mode | None, _default("NAME", "default: ancestral; of images mean")] = None
    temperature: float = 1.0
    offset: float = 0.0
    label: Annotated[int | None, _default("INT", "default: all")] = None
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Report:
    """Write one page of a run: curves, reconstructions, samples, a map of the latents, and the scores.

    Attributes:
      dir: Folder of the run.
      out: The page.
    """

    dir: Positional[Path]
    out: Annotated[Path | None, _default("FILE", "default: DIR/report.html")] = None


@dataclasses.dataclass(frozen=True)
class Export:
    """Write one function of a run's model as StableHLO, which runs without vaejax.

    Attributes:
      dir: Folder of the run.
      what: Which function.
      out: The file.
    """

    dir: Positional[Path]
    what: Literal["encode", "decode", "sample", "elbo"] = "encode"
    out: Annotated[Path | None, _default("FILE", "default: DIR/WHAT.stablehlo")] = None
