"""How good a fitted model is."""

from vaejax.evaluate.criteria import aic as aic
from vaejax.evaluate.criteria import bic as bic
from vaejax.evaluate.criteria import labels as labels
from vaejax.evaluate.criteria import log_evidences as log_evidences
from vaejax.evaluate.criteria import responsibilities as responsibilities
from vaejax.evaluate.dci import DCI as DCI
from vaejax.evaluate.dci import dci as dci
from vaejax.evaluate.disentanglement import disentanglement as disentanglement
from vaejax.evaluate.evidence import importance_bounds as importance_bounds
from vaejax.evaluate.gaps import mig as mig
from vaejax.evaluate.gaps import sap as sap
from vaejax.evaluate.interventions import beta_vae_score as beta_vae_score
from vaejax.evaluate.interventions import factor_vae_score as factor_vae_score
from vaejax.evaluate.summary import Score as Score
from vaejax.evaluate.summary import run as run
