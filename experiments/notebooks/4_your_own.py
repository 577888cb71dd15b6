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
# # Your own data and network, and how good the model is
#
# A table in a file, a network of your own, a run that survives, and an answer to "how good is it" with error bars and advice.

# %%
# The package is not published yet: this notebook lies in a checkout of the repository, and installs it from there.
import importlib.util

if importlib.util.find_spec("vaejax") is None:
    get_ipython().run_line_magic("pip", "install -q ../..[experiments]")
get_ipython().run_line_magic("matplotlib", "inline")

# %%
import tempfile
from pathlib import Path

import jax
import numpy as np
from flax import nnx

import vaejax as vj

folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## Data
#
# Any `.npy`, `.npz`, `.csv` or folder of images. Here: a table of three groups in eight columns of very different units.

# %%
rng = np.random.default_rng(0)
group = rng.integers(0, 3, 1500)
hidden = rng.normal(size=(1500, 2)) + 3 * np.eye(3)[group][:, :2]
columns = np.tanh(hidden @ rng.normal(size=(2, 8))) + 0.1 * rng.normal(size=(1500, 8))
table = columns * 10.0 ** np.arange(-3, 5) + 100
header = ",".join([f"x{i}" for i in range(8)] + ["group"])
np.savetxt(folder / "table.csv", np.column_stack([table, group]), delimiter=",", header=header, comments="")

read = vj.data.from_file(folder / "table.csv", labels="group", validation=0.1)
train, test = vj.data.hold_out(read.train, 0.2, seed=1)
data = vj.data.standardize(vj.data.Dataset(train, read.validation, test))
print(len(data.train), len(data.validation), len(data.test), data.train.x.shape, data.notes)

# %% [markdown]
# Log-likelihoods of standardised rows are turned back into the units of the data by `data.scaling.log_jacobian`.
#
# ## A network of your own
#
# Any Flax NNX module will do; it sees one datum, and vaejax batches it.


# %%
def encoder(rngs):
    return nnx.Sequential(
        nnx.Linear(8, 64, rngs=rngs), nnx.gelu, nnx.Linear(64, 4, rngs=rngs)
    )  # mean and scale of 2 latents


model = vj.VAE(
    vj.networks.from_nnx(encoder),
    vj.networks.MLP((2, 64, 8), "gelu"),
    latent_dim=2,
    likelihood=vj.heads.normal("shared"),
)

# %% [markdown]
# ## A run that survives
#
# Killed at any moment, the same call goes on where it was and ends with the same bits.

# %%
options = {"epochs": 40, "batch_size": 64, "checkpoint": folder / "run", "progress": False}
result = vj.fit(model, jax.random.key(0), data, **options)
again = vj.fit(model, jax.random.key(0), data, **options)  # finished: read, not computed again
print(
    "the same:",
    all(np.array_equal(*pair) for pair in zip(*map(jax.tree.leaves, (result.best, again.best)), strict=True)),
)
series = {"training": result.history["value"], "validation": result.history["validation_elbo"]}
vj.plots.curves(series, x_label="epoch", y_label="ELBO, nats a row")

# %% [markdown]
# ## How good is it?

# %%
test, scale = data.test.x, data.scaling.log_jacobian
for name, score in vj.evaluate.run(
    model, result.best, jax.random.key(1), test, k=200, log_jacobian=scale, quick=True, progress=False
).items():
    print(f"{name:20s} {score.value:9.3f} ± {score.standard_error:.3f} {score.unit:15s} {score.protocol}")

# %% [markdown]
# Beside it what an exact model says of the same rows, in the same units:

# %%
for name, exact in {"one Gaussian": vj.GMM(1, 8), "three Gaussians": vj.GMM(3, 8), "pPCA": vj.PPCA(8, 2)}.items():
    params, _ = vj.em.fit(exact, jax.random.key(0), data.train.x, num_steps=200, num_restarts=3)
    values = np.asarray(vj.evaluate.exact_log_evidence(exact, params, test)) + scale
    print(f"{name:20s} {values.mean():9.3f} ± {values.std() / np.sqrt(len(values)):.3f} nats")

# %% [markdown]
# ## What is wrong with it?

# %%
found = vj.evaluate.diagnose(model, result.best, jax.random.key(2), test, train=data.train.x, k=200, progress=False)
for name, value in found.numbers.items():
    print(f"{name:32s} {value:.4g}")
print(*found.advice or ["no rule applies"], sep="\n")

# %% [markdown]
# ## What is it good for?
#
# The codes, coloured by the group that the model was never told; rows that do not belong; entries that are missing.

# %%
z = vj.evaluate.encode_rows(model, result.best, jax.random.key(3), test, temperature=0.0)
vj.plots.scatter(z, data.test.y, title="Codes of the test rows", names=("$z_1$", "$z_2$"))

# %%
strange = rng.normal(size=test.shape).astype(np.float32)
normal, odd = (
    vj.evaluate.log_evidence_estimate(model, result.best, jax.random.key(4), x, k=200, progress=False).log_evidence
    for x in (test, strange)
)
print(f"AUROC of telling noise from rows by -log p(x): {vj.evaluate.auroc(-normal, -odd):.3f}")

# %%
vj.save(folder / "model-of-the-table", vj.zoo.vae(8, 2), vj.zoo.vae(8, 2).init(jax.random.key(0)))
loaded, params = vj.load(folder / "model-of-the-table")  # a recipe as JSON beside arrays: no pickle
print(loaded)
