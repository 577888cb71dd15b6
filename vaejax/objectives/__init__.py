r"""Objectives of training: bounds on the log-likelihood of a batch and their variations.

An objective is called as `objective(model, params, key, x, context, step, hparams) -> (value, info)`
for a batch; `value` is maximised and `info` is a dict of averages to record. The ones here compose:
`warm_up(1000, beta(4.0, elbo()))` weights the divergence by 4 after a linear rise. A plain function of the
same signature is an objective too.
"""

from vaejax.objectives.beta_tc import beta_tc as beta_tc
from vaejax.objectives.bounds import dreg as dreg
from vaejax.objectives.bounds import elbo as elbo
from vaejax.objectives.bounds import iwae as iwae
from vaejax.objectives.bounds import stl as stl
from vaejax.objectives.modifiers import beta as beta
from vaejax.objectives.modifiers import for_model as for_model
from vaejax.objectives.modifiers import free_bits as free_bits
from vaejax.objectives.modifiers import free_share as free_share
from vaejax.objectives.modifiers import kl_balance as kl_balance
from vaejax.objectives.modifiers import warm_up as warm_up
from vaejax.objectives.objective import Calibration as Calibration
from vaejax.objectives.objective import Objective as Objective
from vaejax.objectives.sigma import optimal_sigma as optimal_sigma
from vaejax.objectives.two_stage import two_stage as two_stage
