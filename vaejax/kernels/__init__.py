"""Compiled kernels of one datum: array in, array out. Batch them with `batched` or `jax.vmap`."""

from vaejax.kernels.batching import batched as batched
from vaejax.kernels.bounds import algorithm_1 as algorithm_1
from vaejax.kernels.bounds import importance_weighted_bound as importance_weighted_bound
from vaejax.kernels.bounds import monte_carlo_elbo as monte_carlo_elbo
from vaejax.kernels.flows import affine_step as affine_step
from vaejax.kernels.flows import iaf_inverse as iaf_inverse
from vaejax.kernels.flows import iaf_step as iaf_step
from vaejax.kernels.flows import planar_step as planar_step
from vaejax.kernels.gaussian import kl_diag as kl_diag
from vaejax.kernels.gaussian import kl_tril as kl_tril
from vaejax.kernels.gaussian import low_rank_normal_log_prob as low_rank_normal_log_prob
from vaejax.kernels.gaussian import normal_log_prob as normal_log_prob
from vaejax.kernels.gaussian import precision_product as precision_product
from vaejax.kernels.gaussian import tril_normal_log_prob as tril_normal_log_prob
from vaejax.kernels.likelihoods import bernoulli_log_prob as bernoulli_log_prob
from vaejax.kernels.likelihoods import categorical_log_prob as categorical_log_prob
from vaejax.kernels.likelihoods import continuous_bernoulli_log_prob as continuous_bernoulli_log_prob
from vaejax.kernels.likelihoods import discretized_logistic_log_prob as discretized_logistic_log_prob
from vaejax.kernels.linalg import fill_tril as fill_tril
from vaejax.kernels.linalg import inverse_cholesky as inverse_cholesky
from vaejax.kernels.linalg import linear_gaussian_posterior as linear_gaussian_posterior
from vaejax.kernels.reparameterize import bernoulli_draw as bernoulli_draw
from vaejax.kernels.reparameterize import reparameterize_diag as reparameterize_diag
from vaejax.kernels.reparameterize import reparameterize_tril as reparameterize_tril
