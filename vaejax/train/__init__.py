"""Training by stochastic gradients: an epoch is one compiled scan."""

from vaejax.train.checkpoint import load as load
from vaejax.train.checkpoint import save as save
from vaejax.train.fit import fit as fit
from vaejax.train.fit import fit_ensemble as fit_ensemble
from vaejax.train.state import Fit as Fit
from vaejax.train.state import History as History
from vaejax.train.state import TrainState as TrainState
