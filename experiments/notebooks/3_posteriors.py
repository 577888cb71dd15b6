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
# # Posteriors: diagonal to IAF
#
# A bound is loose by $\mathrm{KL}(q(z|x) \| p(z|x))$. A richer $q$ tightens it. Each posterior here is a plug: the model
# around it stays the same.

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

# %% [markdown]
# ## Four points and a plane
#
# Four data points, a prior on the plane: the four posteriors should tile the prior, in pieces that no Gaussian has.

# %%
points = np.eye(4, dtype=np.float32)
rows = np.repeat(points, 640, axis=0)
fits = {}
for name, posterior in {"diagonal": "diag", "full covariance": "full", "IAF": vj.heads.IAF(3, 32)}.items():
    model = vj.zoo.vae(4, 2, hidden=(32,), posterior=posterior)
    options = {"epochs": 150, "batch_size": 256, "optimizer": optax.adam(3e-3), "progress": False}
    params = vj.fit(model, jax.random.key(0), rows, **options).params
    fits[name] = model, params
    value = jax.vmap(lambda key, m=model, p=params: jax.vmap(lambda x: vj.elbo(m, p, key, x).value)(points))(
        jax.random.split(jax.random.key(1), 2000)
    ).mean()
    print(f"{name:16s} ELBO {value:.3f} (at best -ln 4 = {-np.log(4):.3f})")

# %%
from matplotlib.figure import Figure

figure = Figure(figsize=(9, 3), layout="constrained")
panels = figure.subplots(1, len(fits), sharex=True, sharey=True)
for axes, (name, (model, params)) in zip(panels, fits.items(), strict=True):
    for i, (x, marker) in enumerate(zip(points, "o^sx", strict=True)):
        q = model.posterior(params, jnp.asarray(x))
        z = jax.vmap(q.sample)(jax.random.split(jax.random.key(i), 400))
        axes.scatter(*np.asarray(z).T, s=5, marker=marker, label=f"q(z | x{i + 1})")
    axes.set_title(name)
    axes.set_xlabel("$z_1$")
panels[0].set_ylabel("$z_2$")
panels[0].legend(fontsize=7)
figure

# %% [markdown]
# ## Which direction is fast
#
# An inverse autoregressive flow samples in one pass and needs one pass a dimension to evaluate a density at a point that it
# did not draw itself; as a prior the same step runs the other way round. `vj.priors.autoregressive` does.

# %%
digits = vj.data.digits()
options = {"transform": vj.transforms.binarize, "epochs": 30, "batch_size": 100, "progress": False}
test = (np.random.default_rng(0).random(digits.test.x.shape) * 255 < digits.test.x).astype(np.float32)
for name, more in {"N(0, I)": {}, "autoregressive flow": {"prior": vj.priors.autoregressive(2, 32)}}.items():
    model = vj.zoo.vae((8, 8, 1), 8, hidden=(128,), **more)
    params = vj.fit(model, jax.random.key(0), digits, **options).best
    score = vj.evaluate.run(model, params, jax.random.key(1), test, k=50, quick=True, progress=False)["iwae"]
    print(f"prior {name:20s} IWAE-50 {score.value:.2f} ± {score.standard_error:.2f} nats")
