"""One call that scores how well a fitted model's latents correspond to known factors."""

from typing import Any

import jax
from jax.flatten_util import ravel_pytree

from vaejax.data import Sprites
from vaejax.data.inputs import checked_rows
from vaejax.evaluate.dci import dci
from vaejax.evaluate.gaps import mig, sap
from vaejax.evaluate.interventions import beta_vae_score, encode_factors, factor_vae_score
from vaejax.models import LatentModel, encode

__all__ = ["disentanglement"]


@jax.jit
def _codes(model: LatentModel, params: Any, images: jax.Array) -> jax.Array:
    return jax.vmap(lambda x: ravel_pytree(encode(model, params, x))[0])(images)


def disentanglement(
    model: LatentModel,
    params: Any,
    key: jax.Array,
    sprites: Sprites,
    *,
    count: int = 5_000,
    num_train: int = 800,
    num_test: int = 400,
    rows: int = 64,
) -> dict[str, float]:
    """Score the posterior means of a model, all layers side by side, against the factors of sprites.

    Images are drawn anew, uniformly over the factors that vary; those that `sprites` holds are not needed. The shape
    is a categorical factor in SAP and DCI, the orientation a number. Compare with a model of fresh parameters: even an
    untrained encoder knows something of x and y.

    Args:
      model: any model without a context.
      params: its parameters.
      key: a PRNG key.
      sprites: what `data.sprites` returns, of the images' size.
      count: images for MIG, SAP and DCI.
      num_train: rows and votes of the interventions to fit on.
      num_test: to score on.
      rows: pairs and images of each.

    Returns:
      `beta_vae`, `factor_vae`, `mig`, `sap`, `dci_disentanglement`, `dci_completeness`, `dci_informativeness`: each
      from 0 to 1, the higher the better, as the function of its name documents.

    Raises:
      ImportError: without scikit-learn, which DCI needs.

    Reference: Locatello et al., *Challenging common assumptions in the unsupervised learning of disentangled
    representations*, 2019.

    >>> import vaejax as vj
    >>> some = vj.data.sprites(1, size=8, fixed={"shape": 0, "orientation": 0})
    >>> model = vj.PPCA(dim=64, latent_dim=2)
    >>> params, key = model.init(jax.random.key(0)), jax.random.key(1)
    >>> scores = disentanglement(model, params, key, some, count=500, num_train=20, num_test=20, rows=4)
    >>> len(scores), all(0.0 <= score <= 1.0 for score in scores.values())
    (7, True)
    """
    checked_rows(model, sprites.render(sprites.draw(key, 1)), None, "sprites")
    key_rows, key_beta, key_factor = jax.random.split(key, 3)
    code = lambda images: _codes(model, params, images)  # noqa: E731
    factors = sprites.draw(key_rows, count)
    codes = encode_factors(code, sprites, factors)
    votes = {"num_train": num_train, "num_test": num_test}
    parts = dci(codes, factors, categorical=sprites.categorical)
    return {
        "beta_vae": beta_vae_score(code, sprites, key_beta, pairs=rows, **votes),
        "factor_vae": factor_vae_score(code, sprites, key_factor, rows=rows, **votes),
        "mig": mig(codes, factors),
        "sap": sap(codes, factors, categorical=sprites.categorical),
        **{f"dci_{name}": value for name, value in parts._asdict().items()},
    }
