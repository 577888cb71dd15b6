import functools
import json
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from tests import zoo

KEY = jax.random.key(0)
FUNCTIONS = ("encode", "decode", "sample", "elbo")
# Every function of a model with a context and of a mixture without one; of the others the bound, which takes all of
# their networks.
CASES = [(name, function) for name in ("conditional", "gmm-full") for function in FUNCTIONS]
CASES += [(name, "elbo") for name in ("iaf", "conditional-ladder")]
SLOW = [
    (name, function)
    for name in ("ppca", "sigma", "convolutional", "iaf", "two-stage", "conditional-ladder", "biva")
    for function in FUNCTIONS
    if (name, function) not in CASES
]


@pytest.mark.parametrize("name, what", [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)])
def test_artefacts_equal_the_model(name, what):
    model = (zoo.EXACT | zoo.AMORTIZED)[name]
    params = jax.jit(model.init)(KEY)
    artefact = jax.export.deserialize(bytearray(vj.export(model, params, what)))
    assert set(artefact.platforms) == {"cpu", "cuda"}

    @jax.jit
    def expected(keys, x, context):
        z = jax.vmap(lambda key: model.prior(params, *(c[0] for c in context)).sample(key))(keys)
        inputs, function = {
            "encode": ([x], functools.partial(vj.encode, model, params)),
            "decode": ([z], functools.partial(vj.decode, model, params)),
            "sample": ([keys], functools.partial(vj.sample, model, params)),
            "elbo": ([keys, x], lambda key, x, *c: vj.elbo(model, params, key, x, *c).value),
        }[what]
        data = [jax.random.key_data(value) if value is keys else value for value in inputs]
        return data, jax.vmap(function)(*inputs, *context)

    for count in (1, 3) if name == "conditional" else (3,):  # the size of a batch is a symbol in the artefact
        x = np.random.default_rng(0).random((count, *model.event_shape), np.float32)
        context = [np.eye(3, dtype=np.float32)[np.arange(count) % 3]] if model.context_dim else []
        data, values = expected(jax.random.split(KEY, count), x, context)
        chex.assert_trees_all_close(artefact.call(*data, *context), values, rtol=1e-7, atol=1e-5)


def test_an_artefact_runs_without_vaejax(tmp_path):
    model = zoo.AMORTIZED["bernoulli"]
    params = model.init(KEY)
    (tmp_path / "encode.bin").write_bytes(vj.export(model, params, "encode"))
    script = """
import sys, jax, jax.export, numpy as np
out = jax.export.deserialize(bytearray(open(sys.argv[1], "rb").read())).call(np.ones((2, 5), np.float32))
assert not any(name.startswith(("vaejax", "flax")) for name in sys.modules)
print(np.asarray(out).tolist())
"""
    words = [sys.executable, "-c", script, str(tmp_path / "encode.bin")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path)
    wanted = vj.encode(model, params, jnp.ones(5))
    np.testing.assert_allclose(np.array(json.loads(done.stdout))[0], wanted, atol=1e-5)


def test_unknown_functions_are_named():
    model = vj.PPCA(5, 2)
    with pytest.raises(ValueError, match="what: expected one of encode, decode, sample, elbo, got 'train'"):
        vj.export(model, model.init(KEY), "train")
