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
# # What σ and β do
#
# A Gaussian decoder has a noise σ. Fixing it at 1 (a squared error with weight ½) is a choice about the model, and so is
# the weight β of the divergence: with a fixed σ they are the same choice. We measure what each does to the digits.

# %%
# The package is not published yet: this notebook lies in a checkout of the repository, and installs it from there.
import importlib.util

if importlib.util.find_spec("vaejax") is None:
    get_ipython().run_line_magic("pip", "install -q ../..[experiments]")
get_ipython().run_line_magic("matplotlib", "inline")

# %%
import jax
import jax.numpy as jnp
import numpy as np
import optax

import vaejax as vj

digits = vj.data.digits()
train, held, test = (
    vj.data.dequantize(part.x, levels=17, seed=i).reshape(-1, 64) for i, part in enumerate(digits.parts)
)


options = {"batch_size": 100, "optimizer": optax.adam(3e-3), "progress": False}


def fit(head, objective=None):
    model = vj.zoo.vae(64, 8, hidden=(128,), likelihood=head, objective=objective)
    return model, vj.fit(model, jax.random.key(0), train, validation=held, epochs=60, **options).best


def scores(model, params):
    value = vj.evaluate.run(model, params, jax.random.key(1), test, k=50, quick=True, progress=False)
    active = vj.evaluate.active_units(model, params, test).count
    return value["iwae"].value, value["kl"].value, value["reconstruction_rmse"].value, int(active)


# %% [markdown]
# ## σ decides how many latents are used
#
# Probabilistic PCA with a fixed σ keeps exactly the directions whose variance is above σ². For the digits:

# %%
spectrum = np.linalg.eigvalsh(np.cov(train.T))[::-1]
for sigma in (1.0, 0.5, 0.25, 0.1):
    print(f"sigma {sigma:4}: {np.sum(spectrum > sigma**2)} of 64 directions have a variance above sigma^2")

# %% [markdown]
# A VAE does the same: at σ = 1 nothing is worth a latent, and the model collapses.

# %%
print(f"{'decoder':22s} {'IWAE-50':>8s} {'KL':>6s} {'RMSE':>6s} active")
for name, head in {
    "sigma = 1": vj.heads.normal(1.0),
    "sigma = 0.1": vj.heads.normal(0.1),
    "sigma learned": vj.heads.normal("shared"),
}.items():
    value, kl, error, active = scores(*fit(head))
    print(f"{name:22s} {value:8.2f} {kl:6.2f} {error:6.3f} {active}")
model, params = fit(vj.heads.normal("optimal"), vj.objectives.optimal_sigma())
value, kl, error, active = scores(model, params)
print(f"{'sigma optimal':22s} {value:8.2f} {kl:6.2f} {error:6.3f} {active}")

# %% [markdown]
# ## β is σ in other clothes
#
# $-\mathrm{SSE}/(2\sigma^2) - \beta\,\mathrm{KL}$ is, up to its scale, the bound at noise $\beta\sigma^2$. So β = 16
# at σ = 0.125 trains what β = 1 trains at σ = 0.5:

# %%
for beta, sigma in ((1.0, 0.5), (16.0, 0.125)):
    model, params = fit(vj.heads.normal(sigma), vj.objectives.beta(beta))
    _, kl, error, active = scores(model, params)
    print(f"beta {beta:4}, sigma {sigma:5}: KL {kl:5.2f}, RMSE {error:.4f}, {active} active")

# %% [markdown]
# What differs is what the model says about its noise: with β it claims σ and has $\sqrt\beta\sigma$. The diagnosis sees it.

# %%
found = vj.evaluate.diagnose(model, params, jax.random.key(2), test, beta=16.0, k=50, num_rows=200, progress=False)
for sentence in found.advice:
    print("-", sentence)

# %% [markdown]
# ## Rate and distortion
#
# All the weights at once, side by side in one program:

# %%
betas = jnp.array([0.1, 0.5, 2.0, 5.0])
model = vj.zoo.vae(64, 8, hidden=(128,), likelihood=vj.heads.normal(0.25))
keys = jnp.broadcast_to(jax.random.key(0), betas.shape)
fits = vj.fit_ensemble(
    model, keys, train, hparams={"beta": betas}, objective=vj.objectives.beta(1.0), epochs=20, **options
)
curve = vj.evaluate.evidence.rate_distortion(model, fits.params, jax.random.key(3), test)
for beta, rate, distortion in zip(betas, curve.rate, curve.distortion, strict=True):
    print(f"beta {float(beta):4.1f}: rate {rate:6.2f} nats, distortion {distortion:7.2f} nats")
series = {"test digits": (curve.rate, curve.distortion)}
vj.plots.lines(series, x_label="rate KL, nats", y_label="distortion -E log p(x|z), nats", title="beta from 0.1 to 5")
