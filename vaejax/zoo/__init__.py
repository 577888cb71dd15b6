"""The usual members in one line each, for data of any shape.

Every constructor returns a model with its objective, so that `vaejax.fit(model, key, data, epochs=...)`
trains it as its source does. Further keywords go to the model: `likelihood=`, `prior=`, `posterior=`, ...
"""

from vaejax.zoo.deep import biva as biva
from vaejax.zoo.deep import hierarchical_vae as hierarchical_vae
from vaejax.zoo.deep import ladder as ladder
from vaejax.zoo.deep import nvae as nvae
from vaejax.zoo.flat import autoencoder as autoencoder
from vaejax.zoo.flat import beta_vae as beta_vae
from vaejax.zoo.flat import conditional_vae as conditional_vae
from vaejax.zoo.flat import conv_vae as conv_vae
from vaejax.zoo.flat import full_covariance_vae as full_covariance_vae
from vaejax.zoo.flat import iaf_vae as iaf_vae
from vaejax.zoo.flat import linear_iaf_vae as linear_iaf_vae
from vaejax.zoo.flat import linear_vae as linear_vae
from vaejax.zoo.flat import planar_vae as planar_vae
from vaejax.zoo.flat import sigma_vae as sigma_vae
from vaejax.zoo.flat import two_stage as two_stage
from vaejax.zoo.flat import vae as vae

__all__ = [
    "autoencoder",
    "beta_vae",
    "biva",
    "conditional_vae",
    "conv_vae",
    "full_covariance_vae",
    "hierarchical_vae",
    "iaf_vae",
    "ladder",
    "linear_iaf_vae",
    "linear_vae",
    "nvae",
    "planar_vae",
    "sigma_vae",
    "two_stage",
    "vae",
]
