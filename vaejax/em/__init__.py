"""Expectation-maximisation as `lax.scan` loops, for every model that has an `EMStep`."""

from vaejax.em.closed_form import ppca_exact as ppca_exact
from vaejax.em.diagnostics import HalfSteps as HalfSteps
from vaejax.em.diagnostics import ascent as ascent
from vaejax.em.diagnostics import expected_log_joint as expected_log_joint
from vaejax.em.diagnostics import half_steps as half_steps
from vaejax.em.diagnostics import kl_gap as kl_gap
from vaejax.em.diagnostics import lower_bound as lower_bound
from vaejax.em.fit import DegenerateFit as DegenerateFit
from vaejax.em.fit import em_step as em_step
from vaejax.em.fit import fit as fit
from vaejax.em.loop import EMTrace as EMTrace
from vaejax.em.mixtures import kmeans as kmeans
from vaejax.em.mixtures import kmeans_plus_plus as kmeans_plus_plus
from vaejax.em.mixtures import reseed as reseed
from vaejax.em.mixtures import responsibilities as responsibilities
from vaejax.em.step import Chunks as Chunks
from vaejax.em.step import EMStep as EMStep
from vaejax.em.step import Hyper as Hyper
from vaejax.em.step import Update as Update
