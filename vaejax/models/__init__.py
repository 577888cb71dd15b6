"""Latent-variable models, one generative story a file, and the functions that are derived from them."""

from vaejax.models.autoencoder import Autoencoder as Autoencoder
from vaejax.models.biva import BIVA as BIVA
from vaejax.models.derived import Elbo as Elbo
from vaejax.models.derived import Inference as Inference
from vaejax.models.derived import Terms as Terms
from vaejax.models.derived import decode as decode
from vaejax.models.derived import elbo as elbo
from vaejax.models.derived import encode as encode
from vaejax.models.derived import importance_bound as importance_bound
from vaejax.models.derived import infer as infer
from vaejax.models.derived import log_evidence as log_evidence
from vaejax.models.derived import log_joint as log_joint
from vaejax.models.derived import reconstruct as reconstruct
from vaejax.models.derived import sample as sample
from vaejax.models.derived import terms as terms
from vaejax.models.gmm import GMM as GMM
from vaejax.models.hierarchical import HierarchicalVAE as HierarchicalVAE
from vaejax.models.ladder import Ladder as Ladder
from vaejax.models.model import LatentModel as LatentModel
from vaejax.models.nvae import NVAE as NVAE
from vaejax.models.ppca import PPCA as PPCA
from vaejax.models.ppca import FactorAnalysis as FactorAnalysis
from vaejax.models.ppca_mixture import PPCAMixture as PPCAMixture
from vaejax.models.two_stage import TwoStage as TwoStage
from vaejax.models.vae import VAE as VAE
