# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From mixtures to VAEs in one interface
#
# Every latent-variable model is three functions of its parameters: a prior $p(z)$, a likelihood $p(x|z)$ and a
# posterior, $p(z|x)$ where it is known and $q(z|x)$ where it is not. What one does with such a model is the same for all:
# `elbo`, `log_evidence`, `sample`, `reconstruct`. We climb from a mixture of Gaussians to a variational autoencoder.

# %%
# The package is not published yet: this notebook lies in a checkout of the repository, and installs it from there.
import importlib.util

if importlib.util.find_spec("vaejax") is None:
    get_ipython().run_line_magic("pip", "install -q ../..[experiments]")
get_ipython().run_line_magic("matplotlib", "inline")

# %%
import jax
import numpy as np
import optax

import vaejax as vj

key = jax.random.key(0)

# %% [markdown]
# ## A mixture, by EM
#
# The synthetic mixture has a known entropy: no model can score above −3.9365 nats a point on average. EM is one compiled
# scan over steps; three restarts run side by side and the best is kept.

# %%
data = vj.data.gaussian_mixture(4000, seed=0)
gmm = vj.GMM(num_components=3, dim=2)
params, trace = vj.em.fit(gmm, key, data.train.x, num_steps=200, num_restarts=3, tol=1e-5)
print(
    f"held-out log-likelihood {vj.evaluate.exact_log_evidence(gmm, params, data.test.x).mean():.4f}, {int(trace.steps)} steps"
)
vj.plots.ellipses(data.train.x[:1000], gmm, params, title="One and two standard deviations of each component")

# %% [markdown]
# ## The bound is tight where the posterior is exact
#
# $\log p(x) = \mathrm{ELBO}(q) + \mathrm{KL}(q \| p(z|x))$. A mixture knows its posterior, so its bound is its evidence:

# %%
x = data.test.x[0]
bound = vj.elbo(gmm, params, jax.random.key(1), x)
print(f"ELBO {bound.value:.5f} = {bound.log_likelihood:.5f} - {bound.kl:.5f}")
print(f"evidence {vj.log_evidence(gmm, params, x):.5f}")

# %% [markdown]
# ## Continuous latents: probabilistic PCA
#
# The digits have 64 pixels of 17 grey levels. A density needs dequantised pixels, $(k + u)/17$, or it could grow without
# end on the pixels that never change.

# %%
digits = vj.data.digits()
train, test = (vj.data.dequantize(part.x, levels=17).reshape(-1, 64) for part in (digits.train, digits.test))
scores = {}
ppca = vj.PPCA(dim=64, latent_dim=8)
linear = vj.em.ppca_exact(ppca, train)
scores["pPCA, 8 latents (exact)"] = vj.evaluate.exact_log_evidence(ppca, linear, test)

mixture = vj.GMM(num_components=10, dim=64)
found, _ = vj.em.fit(mixture, key, train, num_steps=50, prior_count=50.0)
scores["mixture of 10 Gaussians (exact)"] = vj.evaluate.exact_log_evidence(mixture, found, test)

# %% [markdown]
# ## The same by gradients: a linear VAE, then networks
#
# A linear VAE has pPCA's likelihood and learns the posterior that pPCA knows. Networks in its place make it a VAE. Its
# evidence has no closed form: `log_evidence_estimate` estimates it by importance sampling, with standard errors.

# %%
grey = vj.data.Split(digits.train.x.reshape(-1, 64), digits.train.y)
held = vj.data.Split(digits.validation.x.reshape(-1, 64))
options = {
    "validation": held.x,
    "transform": vj.transforms.dequantize(17),
    "progress": False,
    "optimizer": optax.adam(3e-3),
}
zoo = {
    "linear VAE, 8 latents": (vj.zoo.linear_vae(64, 8), 150),
    "VAE, one sigma": (vj.zoo.vae(64, 8, hidden=(128,), likelihood=vj.heads.normal("shared")), 100),
    "VAE, sigma(z)": (vj.zoo.vae(64, 8, hidden=(128,), likelihood=vj.heads.normal("per_pixel", floor=0.02)), 100),
}
fits = {}
for name, (model, epochs) in zoo.items():
    fits[name] = vj.fit(model, key, grey, epochs=epochs, batch_size=100, **options)
    estimate = vj.evaluate.log_evidence_estimate(model, fits[name].best, jax.random.key(2), test, k=100, progress=False)
    scores[name] = estimate.log_evidence

for name, values in sorted(scores.items(), key=lambda item: np.mean(item[1])):
    values = np.asarray(values)
    print(f"{name:35s} {values.mean():7.2f} ± {values.std() / np.sqrt(len(values)):.2f} nats an image")

# %% [markdown]
# ## Samples
#
# A sample of $x$ has the decoder's noise in it; what papers show is mostly $\mu(z)$, the mean of $x$ given a sampled
# $z$, which is another process (experiment `question_3_mean_process` measures what it is).

# %%
model, params = zoo["VAE, one sigma"][0], fits["VAE, one sigma"].best
keys = jax.random.split(jax.random.key(3), 10)
draw = lambda mode: jax.vmap(lambda key: vj.sample(model, params, key, mode=mode))(keys)
images = np.concatenate([draw("mean"), draw("ancestral")]).reshape(-1, 8, 8)
vj.plots.image_grid(images, limits=(0, 1), title="Above: means given a sampled z. Below: samples of x")

# %% [markdown]
# Next: *What sigma and beta do*, *Posteriors: diagonal to IAF*, *Your own data and network, and how good the model is*.
