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


@pytest.mark.parametrize(
    "name",
    ["ppca", "gmm-full", "sigma", "conditional", "convolutional", "iaf", "two-stage", "conditional-ladder", "biva"],
)
@pytest.mark.parametrize("what", ["encode", "decode", "sample", "elbo"])
def test_artefacts_equal_the_model(name, what):
    model = (zoo.EXACT | zoo.AMORTIZED)[name]
    params = jax.jit(model.init)(KEY)
    shape = getattr(model, "event_shape", None) or (zoo.D,)
    for count in (1, 3):
        keys = jax.random.split(KEY, count)
        x = jax.random.uniform(KEY, (count, *shape))
        context = [jax.nn.one_hot(jnp.arange(count) % 3, 3)] if model.context_dim else []
        first = [c[0] for c in context]
        z = jax.vmap(model.prior(params, *first).sample)(keys)
        inputs, function = {
            "encode": ([x], functools.partial(vj.encode, model, params)),
            "decode": ([z], functools.partial(vj.decode, model, params)),
            "sample": ([keys], functools.partial(vj.sample, model, params)),
            "elbo": ([keys, x], lambda key, x, *c: vj.elbo(model, params, key, x, *c).value),
        }[what]
        data = [jax.random.key_data(each) if each is keys else each for each in inputs]
        if count == 1:
            artefact = jax.export.deserialize(bytearray(vj.export(model, params, what)))
        wanted = jax.vmap(function)(*inputs, *context)
        chex.assert_trees_all_close(artefact.call(*data, *context), wanted, rtol=1e-7, atol=1e-5)
        assert set(artefact.platforms) == {"cpu", "cuda"}


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
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "encode.bin")],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    wanted = vj.encode(model, params, jnp.ones(5))
    np.testing.assert_allclose(np.array(json.loads(done.stdout))[0], wanted, atol=1e-5)


def test_unknown_functions_are_named():
    model = vj.PPCA(5, 2)
    with pytest.raises(ValueError, match="what: expected one of encode, decode, sample, elbo, got 'train'"):
        vj.export(model, model.init(KEY), "train")
