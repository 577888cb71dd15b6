"""Training by stochastic gradients: an epoch is one compiled scan."""

from vaejax.train.calls import Report as Report
from vaejax.train.fit import fit as fit
from vaejax.train.fit import fit_ensemble as fit_ensemble
from vaejax.train.options import Options as Options
from vaejax.train.saved import load as load
from vaejax.train.saved import save as save
from vaejax.train.schedule import cosine_adam as cosine_adam
from vaejax.train.schedule import rows_of_a_step as rows_of_a_step
from vaejax.train.state import Fit as Fit
from vaejax.train.state import History as History
from vaejax.train.state import TrainState as TrainState
