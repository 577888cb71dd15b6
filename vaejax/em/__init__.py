"""Expectation-maximisation as `lax.scan` loops."""

from vaejax.em.diagnostics import HalfSteps as HalfSteps
from vaejax.em.diagnostics import ascent as ascent
from vaejax.em.diagnostics import expected_log_joint as expected_log_joint
from vaejax.em.diagnostics import half_steps as half_steps
from vaejax.em.diagnostics import kl_gap as kl_gap
from vaejax.em.diagnostics import lower_bound as lower_bound
from vaejax.em.fit import fit as fit
from vaejax.em.fit import ppca_exact as ppca_exact
from vaejax.em.loop import EMTrace as EMTrace
from vaejax.em.one_step import em_step as em_step
from vaejax.em.step import Step as Step
