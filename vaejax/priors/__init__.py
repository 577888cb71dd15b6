"""Priors p(z) of flat models: the standard normal, learned mixtures, and learned flows."""

from vaejax.priors.flow_priors import autoregressive as autoregressive
from vaejax.priors.flow_priors import coupling as coupling
from vaejax.priors.prior import Prior as Prior
from vaejax.priors.prior import mixture as mixture
from vaejax.priors.prior import standard_normal as standard_normal
from vaejax.priors.prior import vamp as vamp
