"""How good a fitted model is, on rows: scores with their errors and protocols.

Daily names stand here; the rest is in the modules `classifier`, `codes`, `disentanglement`, `draw`, `evidence`,
`imputation`, `interventions`, `latents` and `samples`. Rows are arrays (N, ...), checked once.
"""

from vaejax.evaluate import classifier as classifier
from vaejax.evaluate import codes as codes
from vaejax.evaluate import disentanglement as disentanglement
from vaejax.evaluate import draw as draw
from vaejax.evaluate import evidence as evidence
from vaejax.evaluate import imputation as imputation
from vaejax.evaluate import interventions as interventions
from vaejax.evaluate import latents as latents
from vaejax.evaluate import samples as samples
from vaejax.evaluate.ais import ais as ais
from vaejax.evaluate.ais import bdmc as bdmc
from vaejax.evaluate.anomaly import anomaly_scores as anomaly_scores
from vaejax.evaluate.anomaly import auroc as auroc
from vaejax.evaluate.codes import encode_rows as encode_rows
from vaejax.evaluate.diagnose import Diagnosis as Diagnosis
from vaejax.evaluate.diagnose import diagnose as diagnose
from vaejax.evaluate.draw import Sampler as Sampler
from vaejax.evaluate.draw import draw_rows as draw_rows
from vaejax.evaluate.draw import ex_post as ex_post
from vaejax.evaluate.draw import from_prior as from_prior
from vaejax.evaluate.evidence import Evidence as Evidence
from vaejax.evaluate.evidence import aic as aic
from vaejax.evaluate.evidence import bic as bic
from vaejax.evaluate.evidence import exact_log_evidence as exact_log_evidence
from vaejax.evaluate.evidence import labels as labels
from vaejax.evaluate.evidence import log_evidence_estimate as log_evidence_estimate
from vaejax.evaluate.evidence import responsibilities as responsibilities
from vaejax.evaluate.imputation import impute as impute
from vaejax.evaluate.latents import active_units as active_units
from vaejax.evaluate.latents import aggregate_posterior as aggregate_posterior
from vaejax.evaluate.rows import Score as Score
from vaejax.evaluate.run import Scores as Scores
from vaejax.evaluate.run import run as run
from vaejax.evaluate.samples import mmd as mmd
from vaejax.evaluate.samples import sample_quality as sample_quality
