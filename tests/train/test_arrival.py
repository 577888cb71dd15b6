"""What `vj.fit` reaches without settings: never below what it did before, and hierarchies whose layers are in use."""

import functools

import jax
import numpy as np
import optax
import pytest

import vaejax as vj

KEY = jax.random.key(0)
BEFORE = {"optimizer": optax.adam(1e-3), "batch_size": 128, "objective": vj.objectives.elbo()}


def nats(model, params, x, k=100):
    return float(vj.evaluate.log_evidence_estimate(model, params, KEY, x, k=k, progress=False).mean[0])


@functools.cache
def rows(name):
    """Train and held-out rows, the transform of a batch, epochs, and how much a score may be lower by chance."""
    rng = np.random.default_rng(0)
    if name == "digits":
        data = vj.data.digits()
        test = (rng.random(data.test.x.shape) * 255 < data.test.x).astype(np.float32)
        return data.train, test, vj.transforms.binarize, 20, 0.2
    if name == "plane":
        data = vj.data.figure_eight(2000, noise_variance=0.02)
        return data.train, data.test.x[:500], None, 20, 0.05
    x = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 8)) + 0.3 * rng.normal(size=(500, 8)) + [5.0, *(7 * [0.0])]
    return x[:400].astype(np.float32), x[400:].astype(np.float32), None, 100, 0.2


@pytest.mark.parametrize("name, posterior", [("digits", "full"), ("plane", "diag"), ("table", "diag")])
def test_the_defaults_are_no_worse_than_those_of_before(name, posterior):
    train, test, transform, epochs, chance = rows(name)
    head = vj.heads.bernoulli() if name == "digits" else vj.heads.normal("shared")
    shape = test.shape[1:]
    now = vj.zoo.vae(shape, 3, hidden=(64,), posterior=posterior, likelihood=head)
    full = vj.heads.full_normal(reach=1.0) if posterior == "full" else "diag"
    old = vj.zoo.vae(shape, 3, hidden=(64,), posterior=full, likelihood=head, objective=None)
    options = {"epochs": epochs, "transform": transform}
    after = nats(now, vj.fit(now, KEY, train, **options).params, test)
    before = nats(old, vj.fit(old, KEY, train, **options, **BEFORE).params, test)
    assert after > before - chance


@pytest.mark.slow
def test_members_trained_alike_come_in_the_order_of_theory_and_no_group_is_dead(mnist):
    """Five epochs of 10 000 images: posteriors that correlate beat the diagonal one, layers of latents hold nats."""
    shape, deep, small = (28, 28, 1), (8, 16, 32), {"hidden": (256, 256)}
    models = {
        "diagonal": vj.zoo.vae(shape, 32, **small),
        "full": vj.zoo.vae(shape, 32, posterior="full", **small),
        "hierarchy": vj.zoo.hierarchical_vae(shape, deep, hidden=(64, 128, 256)),
        "ladder": vj.zoo.ladder(shape, deep, hidden=(64, 128, 256)),
        "biva": vj.zoo.biva(shape, (16, 16, 32), width=128),
    }
    grey = np.asarray(mnist.test.x[:200]).reshape(-1, *shape)
    test = (np.random.default_rng(0).random(grey.shape) * 255 < grey).astype(np.float32)
    data, score, layers = vj.data.Split(np.asarray(mnist.train.x[:10_000])), {}, {}
    for name, model in models.items():
        fit = vj.fit(model, KEY, data, epochs=5, transform=vj.transforms.binarize)
        score[name] = nats(model, fit.params, test, k=50)
        keys = jax.random.split(KEY, len(test))
        kl = jax.jit(jax.vmap(lambda key, x, m=model, p=fit.params: vj.elbo(m, p, key, x).kl))(keys, test)
        layers[name] = np.asarray(kl).reshape(len(test), -1).mean(0)
    assert score["full"] > score["diagonal"]
    assert score["hierarchy"] > score["diagonal"] and score["ladder"] > score["diagonal"]
    assert all(np.all(layers[name] > 0.5) for name in ("hierarchy", "ladder")) and np.all(layers["biva"] > 0.1)
