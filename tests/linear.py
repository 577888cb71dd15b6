"""Linear VAEs with parameters in closed form, and their ELBO without sampling noise."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.stats as st

import vaejax as vj
from vaejax.distributions import TrilNormal, analytic_kl
from vaejax.models.vae import POSTERIORS
from vaejax.networks import Constant, Linear, Parallel

D = 5
EIGENVALUES = np.array([4.0, 2.0, 1.0, 0.5, 0.25])


def rows(count=64, eigenvalues=EIGENVALUES, seed=0):
    """Rows whose sample covariance has exactly these eigenvalues, in a rotated frame, mean zero."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, len(eigenvalues)))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(x.T @ x / count)).T
    rotation = np.linalg.qr(rng.normal(size=(len(eigenvalues),) * 2))[0]
    return (x * np.sqrt(eigenvalues)) @ rotation.T


def model(latent, posterior="diag", likelihood=None, dim=D, context_dim=0):
    head = likelihood or vj.heads.normal("shared", floor=0.0)
    (codes,) = POSTERIORS.get(posterior, posterior).output_shape((latent,))
    encoder = Parallel((Linear(dim + context_dim, latent), Constant(codes - latent)))
    out = head.output_shape((dim,))
    decoder = Linear(latent + context_dim, out[0], out)
    return vj.VAE(encoder, decoder, latent, posterior, head, context_dim=context_dim)


def _raw(scale):
    """What the posterior's softplus maps to this scale (its floor is 1e-6)."""
    return np.log(np.expm1(np.sqrt(scale**2 - 1e-12))) - np.log(np.e - 1)


def params(weight, sigma, mean=None, full=False, shift=None):
    """Decoder W z + mean + shift y, with the best encoder; `shift` (D, classes) belongs to a context."""
    weight, latent = np.asarray(weight), np.shape(weight)[1]
    mean = np.zeros(len(weight)) if mean is None else mean
    shift = np.zeros((len(weight), 0)) if shift is None else shift
    precision = weight.T @ weight + sigma**2 * np.eye(latent)
    project = np.linalg.solve(precision, weight.T)
    if full:
        tril = np.linalg.cholesky(sigma**2 * np.linalg.inv(precision))
        tril[np.diag_indices(latent)] = _raw(np.diag(tril))
        codes = tril[np.tril_indices(latent)]
    else:
        codes = _raw(sigma / np.sqrt(np.diag(precision)))
    tree = {
        "encoder": {
            "part0": {"layer0": {"kernel": np.vstack([project.T, -(project @ shift).T]), "bias": -project @ mean}},
            "part1": {"value": codes},
        },
        "decoder": {"layer0": {"kernel": np.hstack([weight, shift]).T, "bias": mean}},
        "likelihood": {"log_scale": np.log(sigma)},
    }
    return jax.tree.map(np.asarray, tree)


def maximum_likelihood(x, latent):
    """W with orthogonal columns and sigma of probabilistic PCA, in closed form (oracle 1)."""
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    values, vectors = values[::-1], vectors[:, ::-1]
    variance = values[latent:].mean()
    return vectors[:, :latent] * np.sqrt(values[:latent] - variance), np.sqrt(variance)


def rotated(latent):
    """Maximum likelihood whose columns are not orthogonal, and the gap that a diagonal posterior leaves (oracle 4)."""
    weight, sigma = maximum_likelihood(rows(), latent)
    weight = weight @ np.linalg.qr(np.random.default_rng(1).normal(size=(latent, latent)))[0]
    precision = weight.T @ weight + sigma**2 * np.eye(latent)
    gap = 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])
    assert gap > 0.05
    return weight, sigma, gap


def evidence(x, weight, sigma):
    return st.multivariate_normal(np.zeros(len(weight)), weight @ weight.T + sigma**2 * np.eye(len(weight))).logpdf(x)


def exact_elbo(model, params, x, context=None, beta=1.0):
    """Mean ELBO without sampling: a log-density that is quadratic in z is integrated by 2M points."""

    def one(x, context):
        q, p = model.posterior(params, x, context), model.prior(params, context)
        tril = q.scale_tril if isinstance(q, TrilNormal) else jnp.diag(q.scale)
        steps = jnp.sqrt(q.loc.size) * tril.T
        points = q.loc[None] + jnp.concatenate([steps, -steps])
        log_px = jax.vmap(lambda z: model.likelihood(params, z, context).log_prob(x))(points)
        return jnp.mean(log_px) - beta * analytic_kl(q, p)

    return jnp.mean(jax.vmap(one)(x, context))


@functools.partial(jax.jit, static_argnames=("model",))
def log_weights(model, params, x, context=None):
    """log p(x, z) - log q(z | x) on four draws: constant where q is exact."""
    one = lambda key, x, c: vj.elbo(model, params, key, x, c, analytic=False).value
    keys = jax.random.split(jax.random.key(0), 4)
    return jax.vmap(lambda key: jax.vmap(functools.partial(one, key))(x, context))(keys)


def assert_exact(model, params, x, evidence, context=None):
    """Every draw weighs the evidence."""
    weights = np.asarray(log_weights(model, params, x, context))
    np.testing.assert_allclose(weights, np.broadcast_to(evidence, weights.shape), atol=1e-9)


exact_elbo_and_gradient = jax.jit(jax.value_and_grad(exact_elbo, argnums=1), static_argnums=0)


def maximise(f, start, steps=400):
    """L-BFGS, to the precision of float64."""
    solver = optax.lbfgs()
    loss = lambda p: -f(p)

    def step(carry, _):
        params, state = carry
        value, grad = jax.value_and_grad(loss)(params)
        updates, state = solver.update(grad, state, params, value=value, grad=grad, value_fn=loss)
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, (start, solver.init(start)), None, length=steps)[0][0]
