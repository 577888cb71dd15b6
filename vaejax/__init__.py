"""vaejax: latent-variable models as pure functions, on one interface."""

from vaejax import data as data
from vaejax import distributions as distributions
from vaejax import em as em
from vaejax import evaluate as evaluate
from vaejax import heads as heads
from vaejax import kde as kde
from vaejax import kernels as kernels
from vaejax import networks as networks
from vaejax import objectives as objectives
from vaejax import plots as plots
from vaejax import priors as priors
from vaejax import train as train
from vaejax import zoo as zoo
from vaejax.data import transforms as transforms
from vaejax.export import export as export
from vaejax.models import BIVA as BIVA
from vaejax.models import GMM as GMM
from vaejax.models import NVAE as NVAE
from vaejax.models import PPCA as PPCA
from vaejax.models import VAE as VAE
from vaejax.models import Autoencoder as Autoencoder
from vaejax.models import Elbo as Elbo
from vaejax.models import FactorAnalysis as FactorAnalysis
from vaejax.models import HierarchicalVAE as HierarchicalVAE
from vaejax.models import Ladder as Ladder
from vaejax.models import LatentModel as LatentModel
from vaejax.models import PPCAMixture as PPCAMixture
from vaejax.models import TwoStage as TwoStage
from vaejax.models import decode as decode
from vaejax.models import elbo as elbo
from vaejax.models import encode as encode
from vaejax.models import importance_bound as importance_bound
from vaejax.models import log_evidence as log_evidence
from vaejax.models import log_joint as log_joint
from vaejax.models import reconstruct as reconstruct
from vaejax.models import sample as sample
from vaejax.train import Fit as Fit
from vaejax.train import fit as fit
from vaejax.train import fit_ensemble as fit_ensemble
from vaejax.train import load as load
from vaejax.train import save as save

__version__ = "0.1.0"
