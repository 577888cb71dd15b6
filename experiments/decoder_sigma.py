"""What does a fixed sigma change, is a learned one singular, and is q(z) like p(z)?

What does sigma do to the decoder? Fixed against learned, the singularity of GMM and VAE, and q(z) against p(z).

Prediction: sigma = 1: a likelihood hundreds of nats lower, a smaller KL, larger errors. sigma(z): for each tenth of
the floor at least ln 10 nats a constant pixel (67 in all of MNIST). One datum: D ln 10 = 1805 nats for each tenth of
sigma, for a component of a GMM and for a VAE; without end downwards with K = 1.
"""

import dataclasses

import jax
import numpy as np

import vaejax as vj
from experiments import images
from experiments.mixtures import alone, spike
from experiments.scores import scores
from experiments.study import Study

NUMBERS = {"iwae": 1, "kl": 2, "mutual_information": 2, "kl_to_prior": 3, "active": 1, "reconstruction_rmse": 4}
COLUMNS = ("decoder", "IWAE, nats", "KL, nats", "I(x; z), nats", "KL[q(z) ‖ p(z)]", "active", "RMSE", "least σ")
SIGMAS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)


@dataclasses.dataclass(frozen=True)
class Config(images.Config):
    latent_dim: int = 2
    k: int = 200
    part: int = 20_000
    """Training images."""
    floors: tuple[float, ...] = (0.1, 0.01, 0.001)

    @classmethod
    def smoke(cls) -> "Config":
        return dataclasses.replace(super().smoke(), floors=(0.1, 0.001), part=1000)


def main(config: Config) -> dict:
    study = Study(__name__, config)
    raw = images.load(config.data, config.part)
    data, shared = images.rows(raw), vj.heads.normal("shared")
    x, test, dim = data.train.x, data.test.x, data.train.x.shape[1]
    learned = {f"σ(z), floor {floor}": vj.heads.normal("per_pixel", floor=floor) for floor in config.floors}
    heads = {"σ = 1": vj.heads.normal(1.0), "σ shared": shared} | learned

    def fitted(name: str, seed: int) -> tuple:
        model = vj.zoo.vae(dim, config.latent_dim, hidden=config.hidden, likelihood=heads[name])
        return model, study.fit(model, data, seed=seed, epochs=config.epochs).best

    def cell(name: str, seed: int) -> dict:
        model, params = fitted(name, seed)
        whole = vj.evaluate.aggregate_posterior(model, params, jax.random.key(seed), test)
        more = {n: getattr(whole, n) for n in ("mutual_information", "kl_to_prior")}
        return scores(model, params, test, k=config.k, seed=seed) | more

    rows = x[:100]
    curves = {f"GMM, K = {k}, {len(rows)} data": lambda s, k=k: spike(rows, s, k) for k in (1, 2)}
    curves["VAE, one datum"] = lambda s: alone(rows[0], s)
    grid = study.grid(cell, {name: (name,) for name in heads})
    drawn = study.measure({name: lambda f=f: {"y": [f(s) for s in SIGMAS]} for name, f in curves.items()})
    study.table(f"M = {config.latent_dim}", COLUMNS, grid.rows({n: n for n in heads}, NUMBERS | {"least_sigma": 4}))
    low = 3 * min(min(cell["y"]) for name, cell in drawn.items() if "K = 1" not in name)
    study.lines(
        "singularity",
        {name: (SIGMAS, np.maximum(cell["y"], low) / 1000) for name, cell in drawn.items()},
        x_label="σ of the component on one datum",
        y_label="log-likelihood, 1000 nats",
        log_x=True,
        caption="Log-likelihood as one component shrinks on one datum (what is lower is drawn at the foot).",
        claim="Beaulac, section 3.3.1: the likelihood has singularities (for K >= 2).",
    )
    study.lines(
        "floors",
        {"σ(z)": grid.line({f"σ(z), floor {floor}": floor for floor in config.floors}, "iwae")},
        x_label="floor under σ(z)",
        y_label="test IWAE, nats an image",
        log_x=True,
        caption="The likelihood of a VAE with a sigma for each pixel follows the floor under it.",
        claim="Beaulac, section 3.3.1: singularities might be why a learned sigma makes bad samples.",
    )
    names, labels = (*list(heads)[:2], list(heads)[-1]), raw.test.y[:500]
    codes = {n: vj.evaluate.codes(*fitted(n, 0), jax.random.key(1), test[:500]) for n in names}
    parts = {n: (z, labels) for n, z in codes.items()} | {
        "p(z)": (np.random.default_rng(0).normal(size=(500, 2)), None)
    }
    caption = "A draw from q(z|x) of 500 test images, drawn as their digits, and as many draws from p(z)."
    claim = "Beaulac, section 3.3.1: q(z) close to p(z) is what sampling needs."
    study.figure("aggregate", vj.plots.panels(parts, columns=2), caption=caption, claim=claim)
    constant, most, least = int((x.var(0) == 0).sum()), max(config.floors), min(config.floors)
    rise = grid.mean(f"σ(z), floor {least}", "iwae") - grid.mean(f"σ(z), floor {most}", "iwae")
    slope = {name: (cell["y"][-1] - cell["y"][2]) / 2 for name, cell in drawn.items()}
    say = lambda number, digits: ", ".join(f"{n} {grid.say(n, number, digits)}" for n in names)  # noqa: E731
    return study.finish(
        f"IWAE: {say('iwae', 1)}; KL to p(z): {say('kl_to_prior', 2)}; RMSE: {say('reconstruction_rmse', 3)}. "
        f"For each tenth of the floor σ(z) gains {rise / np.log10(most / least):.0f} nats an image on test data; the "
        f"{constant} constant pixels alone would give {constant * np.log(10):.0f}. For each tenth of σ on one datum: "
        + ", ".join(f"{name} {value:+.4g}" for name, value in slope.items())
        + f" nats (D ln 10 = {dim * np.log(10):.0f}).",
        protocol=images.protocol(raw, config.k) + "; q(z): the mixture over the test images",
    )
