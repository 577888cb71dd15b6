"""How good a fitted model is."""

from vaejax.evaluate.ais import Bracket as Bracket
from vaejax.evaluate.ais import ais as ais
from vaejax.evaluate.ais import bdmc as bdmc
from vaejax.evaluate.criteria import aic as aic
from vaejax.evaluate.criteria import bic as bic
from vaejax.evaluate.criteria import labels as labels
from vaejax.evaluate.criteria import log_evidences as log_evidences
from vaejax.evaluate.criteria import responsibilities as responsibilities
from vaejax.evaluate.evidence import Evidence as Evidence
from vaejax.evaluate.evidence import has_exact_evidence as has_exact_evidence
from vaejax.evaluate.evidence import importance_bounds as importance_bounds
from vaejax.evaluate.evidence import log_evidence_estimate as log_evidence_estimate
from vaejax.evaluate.summary import Score as Score
from vaejax.evaluate.summary import run as run
