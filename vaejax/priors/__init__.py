"""Priors p(z) of flat models: the standard normal, learned mixtures, and learned flows."""

from vaejax.priors.base import Prior as Prior
from vaejax.priors.base import standard_normal as standard_normal
from vaejax.priors.flows import autoregressive as autoregressive
from vaejax.priors.flows import coupling as coupling
from vaejax.priors.mixtures import mixture as mixture
from vaejax.priors.mixtures import vamp as vamp
