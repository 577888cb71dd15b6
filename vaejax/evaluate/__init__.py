"""How good a fitted model is."""

from vaejax.evaluate.criteria import aic as aic
from vaejax.evaluate.criteria import bic as bic
from vaejax.evaluate.criteria import labels as labels
from vaejax.evaluate.criteria import log_evidences as log_evidences
from vaejax.evaluate.criteria import responsibilities as responsibilities
from vaejax.evaluate.evidence import importance_bounds as importance_bounds
from vaejax.evaluate.summary import Score as Score
from vaejax.evaluate.summary import run as run
