"""Distributions of one event as frozen pytrees, and the walk that takes expectations under them."""

from vaejax.distributions.categorical import Categorical as Categorical
from vaejax.distributions.chain import After as After
from vaejax.distributions.chain import Chain as Chain
from vaejax.distributions.chain import Guide as Guide
from vaejax.distributions.chain import fixed as fixed
from vaejax.distributions.chain import given as given
from vaejax.distributions.chain import same as same
from vaejax.distributions.distribution import Distribution as Distribution
from vaejax.distributions.distribution import Heat as Heat
from vaejax.distributions.expect import GuidedChain as GuidedChain
from vaejax.distributions.expect import Latents as Latents
from vaejax.distributions.expect import analytic_kl as analytic_kl
from vaejax.distributions.expect import bind as bind
from vaejax.distributions.expect import expect as expect
from vaejax.distributions.expect import kl_per_dimension as kl_per_dimension
from vaejax.distributions.expect import sample_and_kl as sample_and_kl
from vaejax.distributions.expect import sample_latents as sample_latents
from vaejax.distributions.flowed import Flat as Flat
from vaejax.distributions.flowed import Flowed as Flowed
from vaejax.distributions.flowed import Known as Known
from vaejax.distributions.mixture import Mixture as Mixture
from vaejax.distributions.normal import LowRankNormal as LowRankNormal
from vaejax.distributions.normal import Normal as Normal
from vaejax.distributions.normal import TrilNormal as TrilNormal
from vaejax.distributions.pixels import Bernoulli as Bernoulli
from vaejax.distributions.pixels import ContinuousBernoulli as ContinuousBernoulli
from vaejax.distributions.pixels import DiscretizedLogistic as DiscretizedLogistic
from vaejax.distributions.steps import Autoregressive as Autoregressive
from vaejax.distributions.steps import Coupling as Coupling
from vaejax.distributions.steps import Inverted as Inverted
from vaejax.distributions.steps import PlanarStep as PlanarStep
from vaejax.distributions.steps import Reverse as Reverse
from vaejax.distributions.steps import Step as Step

draw = sample_latents  # TODO(evaluate): goes with the last caller
