"""Distributions of one event as frozen pytrees, and the walk that takes expectations under them."""

from vaejax.distributions.base import Distribution as Distribution
from vaejax.distributions.categorical import Categorical as Categorical
from vaejax.distributions.chain import After as After
from vaejax.distributions.chain import Chain as Chain
from vaejax.distributions.chain import Guide as Guide
from vaejax.distributions.expect import Bound as Bound
from vaejax.distributions.expect import Draw as Draw
from vaejax.distributions.expect import analytic_kl as analytic_kl
from vaejax.distributions.expect import bind as bind
from vaejax.distributions.expect import draw as draw
from vaejax.distributions.expect import expect as expect
from vaejax.distributions.expect import kl_per_dimension as kl_per_dimension
from vaejax.distributions.expect import sample_and_kl as sample_and_kl
from vaejax.distributions.flowed import Drawn as Drawn
from vaejax.distributions.flowed import Flat as Flat
from vaejax.distributions.flowed import Flowed as Flowed
from vaejax.distributions.mixture import Mixture as Mixture
from vaejax.distributions.normal import LowRankNormal as LowRankNormal
from vaejax.distributions.normal import Normal as Normal
from vaejax.distributions.normal import TrilNormal as TrilNormal
from vaejax.distributions.pixels import Bernoulli as Bernoulli
from vaejax.distributions.pixels import ContinuousBernoulli as ContinuousBernoulli
from vaejax.distributions.pixels import DiscretizedLogistic as DiscretizedLogistic
