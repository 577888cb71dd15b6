"""Every model once, with data and a fit: a new model gets every law by one entry here."""

import jax
import numpy as np

import vaejax as vj

D = 5


def rows(count=60, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(count, 2))
    x = z @ rng.normal(size=(2, D)) + 0.3 * rng.normal(size=(count, D))
    x[: count // 2] += 2.0
    return x


EXACT = {
    "gmm-full": vj.GMM(3, D),
    "gmm-tied": vj.GMM(3, D, "tied"),
    "gmm-diag": vj.GMM(3, D, "diag"),
    "gmm-spherical": vj.GMM(3, D, "spherical"),
    "ppca": vj.PPCA(D, 2),
    "factor-analysis": vj.FactorAnalysis(D, 2),
    "ppca-mixture": vj.PPCAMixture(2, D, 2),
}


def fitted(name, num_steps=5):
    """Parameters after a few steps of EM: generic ones, far from any symmetry."""
    key = jax.random.key(8)  # one whose posteriors are in doubt of the class
    return vj.em.fit(EXACT[name], key, rows(), num_steps=num_steps)[0]


def levels(count=40, seed=0):
    """Values on a grid of 17 steps over [0, 1], which every likelihood takes, with structure to learn."""
    rng = np.random.default_rng(seed)
    raw = np.tanh(rng.normal(size=(count, 2)) @ rng.normal(size=(2, D)) + 0.3 * rng.normal(size=(count, D)))
    return (np.round(8 * (raw + 1)) / 16).astype(np.float32)


def dense_nvae(size=D, width=6, latents=(3, 2), **options):
    """The residual posterior without convolutions, which take long to compile."""
    MLP, (top, low) = vj.networks.MLP, latents
    ups = MLP((size, width, width)), MLP((width, width))
    residuals = MLP((2 * width, width, 2 * top)), MLP((2 * width, width, 2 * low))
    downs = MLP((width + top, width)), MLP((width + low, width))
    priors, decoder = (MLP((width, 2 * low)),), MLP((width, size))
    return vj.NVAE(ups, residuals, priors, downs, decoder, (width,), latents, **options)


def plain(model):
    """The bound that trains the model, without a schedule of its terms."""
    if model.stages:
        return vj.objectives.two_stage()
    return vj.objectives.optimal_sigma() if model.scale == "optimal" else vj.objectives.elbo()


SMALL = {"hidden": (8,)}
AMORTIZED = {
    "bernoulli": vj.zoo.vae(D, 2, **SMALL),
    "continuous-bernoulli": vj.zoo.vae(D, 2, likelihood=vj.heads.continuous_bernoulli(), **SMALL),
    "discretized-logistic": vj.zoo.vae(D, 2, likelihood=vj.heads.discretized_logistic(levels=17), **SMALL),
    "per-pixel": vj.zoo.vae(D, 2, likelihood=vj.heads.normal("per_pixel"), **SMALL),
    "constant-scales": vj.zoo.vae(D, 2, likelihood=vj.heads.normal("per_pixel_constant"), **SMALL),
    "low-rank": vj.zoo.vae(D, 2, likelihood=vj.heads.low_rank_normal(2), **SMALL),
    "full-likelihood": vj.zoo.vae(D, 2, likelihood=vj.heads.full_normal(), **SMALL),
    "full-posterior": vj.zoo.full_covariance_vae(D, 2, **SMALL),
    "planar": vj.zoo.planar_vae(D, 2, depth=2, **SMALL),
    "linear-iaf": vj.zoo.linear_iaf_vae(D, 2, **SMALL),
    "iaf": vj.zoo.iaf_vae(D, 2, depth=2, flow_hidden=6, **SMALL),
    "sigma": vj.zoo.sigma_vae(D, 2, **SMALL),
    "beta": vj.zoo.beta_vae(D, 2, **SMALL),
    "mixture-prior": vj.zoo.vae(D, 2, prior=vj.priors.mixture(3), **SMALL),
    "vamp-prior": vj.zoo.vae(D, 2, prior=vj.priors.vamp(3), **SMALL),
    "autoregressive-prior": vj.zoo.vae(D, 2, prior=vj.priors.autoregressive(2, 6), **SMALL),
    "coupling-prior": vj.zoo.vae(D, 2, prior=vj.priors.coupling(2, 6), **SMALL),
    "conditional": vj.zoo.conditional_vae(D, 2, 3, **SMALL),
    "linear": vj.zoo.linear_vae(D, 2),
    "convolutional": vj.zoo.conv_vae((D, 1, 1), 2, channels=(3,)),
    "two-stage": vj.zoo.two_stage(D, 2, **SMALL),
    "autoencoder": vj.zoo.autoencoder(D, 2, **SMALL),
    "ladder": vj.zoo.ladder(D, (2, 3), hidden=(8, 8), likelihood=vj.heads.normal("optimal")),
    "conditional-ladder": vj.zoo.ladder((D, 1, 1), (2, 3), hidden=(4, 4), channels=(3,), context_dim=3),
    "hierarchical": vj.zoo.hierarchical_vae(D, (2, 3), hidden=(8, 8)),
    "biva": vj.zoo.biva(D, (2, 3), width=8),
    "nvae": dense_nvae(),
}


def context(model, count):
    """A label for each row, where the model has a context."""
    return np.arange(count) % model.context_dim if model.context_dim else None
