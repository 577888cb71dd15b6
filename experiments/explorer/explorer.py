"""What lies where in the latent space, and what does each latent do?

Small sigma-VAEs, whose decoders the page of `report` runs in the browser: two latents, eight, and two given the
label. `explorer.json` holds the decoders of seed 0 in two bytes a weight.

Prediction: A plane holds the digits in islands: the five nearest codes name 0.80 of the test images, of eight latents
0.95, given the label less than 0.30. On the plane the codes are within 0.5 nats of N(0, I).
"""

import dataclasses
import json

import numpy as np

import vaejax as vj
from experiments.explorer import latents
from experiments.harness.study import Study
from experiments.shared import pixels

ORDER = 240

MODELS = {"two latents": (2, 0), "eight latents": (8, 0), "two latents and the label": (2, 10)}
CLAIMS = (
    "Mittas, figure 3, left: a sigma-VAE decodes the square [-1, 1]² to digits that turn into each other.",
    "Mittas, figure 6, of faces: each latent has features of its own.",
    "Beaulac, figure 1: given that the digit is four, the plane holds the ways of writing it.",
    "Mittas, figure 3, right: digits lie in places of their own, and all of them together close to N(0, I).",
)
COLUMNS = {"5-NN accuracy of codes": ("neighbours", 3), "KL of moments of q(z), nats": ("off_prior", 2)}
COLUMNS |= {"active": ("active", 1), "change of a pixel by int16": ("difference", 5)}


@dataclasses.dataclass(frozen=True)
class Config(pixels.Config):
    epochs: int = 5
    hidden: tuple[int, ...] = (96, 128)


def main(config: Config) -> dict:
    study = Study(__name__, config)
    data = pixels.load(config.data)
    test, voters = data.test, data.train.take(slice(0, 10_000))

    def fitted(name: str, seed: int) -> tuple:
        size, classes = MODELS[name]
        model = vj.zoo.sigma_vae((*test.x.shape[1:3], 1), size, hidden=config.hidden, context_dim=classes)
        how = {"epochs": config.epochs, "learning_rate": 2e-3, "context": "labels" if classes else None}
        return model, study.fit(model, data, seed=seed, **how).best

    def cell(name: str, seed: int) -> dict:
        model, params = fitted(name, seed)
        z, label = latents.codes(model, params, test), latents.known_labels(model, test)
        return {
            "neighbours": vj.evaluate.codes.knn_probe(latents.codes(model, params, voters), voters.y, z, test.y),
            "off_prior": latents.off_prior(latents.codes(model, params, test, temperature=1.0)),
            "active": vj.evaluate.active_units(model, params, test.x, label).count,
            "difference": latents.change(model, params, z, label),
        }

    grid = study.grid(cell, {name: (name,) for name in MODELS})
    study.compare("Codes of the test images", grid, list(MODELS), COLUMNS)
    kept = [latents.packed(name, *fitted(name, 0), test) for name in MODELS]
    (study.folder / "explorer.json").write_text(json.dumps({"models": kept}) + "\n")
    for i, name in enumerate(MODELS):
        (model, params), (at, where, how) = fitted(name, 0), latents.places(MODELS[name][0])
        shown = latents.decode(model, params, at, np.full(len(at), 4) if model.context_dim else None)
        seen = f"Means of p(x|z), {name}{', four' if model.context_dim else ''}: {where}."
        picture = vj.plots.image_grid(shown, limits=(0, 1), **how)
        seen += "" if i else latents.framed(picture, test.x.shape[1:3])
        study.figure(f"latents_{i}", picture, caption=seen, claim=CLAIMS[i])
    picture = vj.plots.panels({"two latents": (np.asarray(kept[0]["codes"]), test.y)}, columns=1, prior=True)
    seen = "Centres of q(z|x) of the test images, as their digits; the circles are 1 and 2 standard deviations of p(z)."
    study.figure("codes", picture, caption=seen, claim=CLAIMS[-1])
    return study.finish(
        f"{latents.beside_predictions(grid, tuple(MODELS))} The largest change of a pixel found by keeping the "
        f"decoders' weights in two bytes is {max(model['difference'] for model in kept):.5f}.",
        protocol=f"{pixels.protocol(data, 0).split('; log')[0]}; codes: centres of q(z|x), those of {len(voters)} "
        "training images vote; KL to N(0, I) of a Gaussian with the moments of draws from q(z) over the test images; "
        "±: standard errors over seeds",
    )
