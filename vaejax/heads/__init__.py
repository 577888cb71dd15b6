"""From a network's output to a distribution: the likelihoods p(x | z), and the posteriors q(z | x) too.

A head reads the parameters of an event from the last axis of the output: k parameters an entry make
`(d,)` out of `(k d,)`, and an image `(H, W, C)` out of `(H, W, k C)`.
"""

from vaejax.heads.correlated import LinearIAF as LinearIAF
from vaejax.heads.correlated import full_normal as full_normal
from vaejax.heads.correlated import low_rank_normal as low_rank_normal
from vaejax.heads.flow_posteriors import IAF as IAF
from vaejax.heads.flow_posteriors import Planar as Planar
from vaejax.heads.head import Head as Head
from vaejax.heads.independent import bernoulli as bernoulli
from vaejax.heads.independent import continuous_bernoulli as continuous_bernoulli
from vaejax.heads.independent import discretized_logistic as discretized_logistic
from vaejax.heads.independent import normal as normal
