"""How good a fitted model is."""

from vaejax.evaluate.activity import ActiveUnits as ActiveUnits
from vaejax.evaluate.activity import active_units as active_units
from vaejax.evaluate.criteria import aic as aic
from vaejax.evaluate.criteria import bic as bic
from vaejax.evaluate.criteria import labels as labels
from vaejax.evaluate.criteria import log_evidences as log_evidences
from vaejax.evaluate.criteria import responsibilities as responsibilities
from vaejax.evaluate.evidence import importance_bounds as importance_bounds
from vaejax.evaluate.mmd import mmd as mmd
