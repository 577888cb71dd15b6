import json
import os
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from tests import zoo

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    "name", ["gmm-full", "vamp-prior", "conditional", "two-stage", "ladder", "hierarchical", "biva", "nvae"]
)
def test_models_come_back_with_the_same_numbers(name, tmp_path):
    model = (zoo.EXACT | zoo.AMORTIZED)[name]
    params = jax.jit(model.init)(KEY)
    vj.save(tmp_path / "run" / "model", model, params)
    again, loaded = vj.load(tmp_path / "run" / "model")
    assert again == model
    chex.assert_trees_all_equal(params, loaded)
    context = jnp.asarray(1) if model.context_dim else None
    sample = vj.sample(model, params, KEY, context)
    assert jnp.array_equal(sample, vj.sample(again, loaded, KEY, context))
    with pytest.raises(FileExistsError, match="model exists already"):
        vj.save(tmp_path / "run" / "model", model, params)
    assert os.listdir(tmp_path / "run") == ["model"]  # nothing half-written beside it


@pytest.fixture
def saved(tmp_path):
    model = vj.PPCA(5, 2)
    vj.save(tmp_path / "model", model, model.init(KEY))
    return tmp_path / "model"


def test_a_model_that_json_cannot_say_is_given_again(tmp_path):
    own = vj.networks.from_functions(lambda key: {"w": jax.random.normal(key, (4, 5))}, lambda w, x: w["w"] @ x)
    model = vj.VAE(own, vj.networks.MLP((2, 5)), 2)
    params = model.init(KEY)
    vj.save(tmp_path / "own", model, params)
    with pytest.raises(ValueError, match="parameters without a recipe: pass model="):
        vj.load(tmp_path / "own")
    chex.assert_trees_all_equal(vj.load(tmp_path / "own", model)[1], params)
    with pytest.raises(ValueError, match="parameter .*: expected shape"):
        vj.load(tmp_path / "own", vj.PPCA(5, 2))


def test_another_model_is_refused(saved):
    with pytest.raises(ValueError, match="holds another model: expected PPCA\\(dim=5, latent_dim=1\\)"):
        vj.load(saved, vj.PPCA(5, 1))


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"sha256": "0" * 64}, "checksum is not the one"),
        ({"format": 4}, "expected format 3, got 4; a newer vaejax wrote it"),
        ({"format": 1, "model": {"type": "os.system"}}, "unknown type 'os.system'"),
        ({"model": {"type": "vaejax.networks.MLP", "sizes": [2, 2]}}, "expected a model, got a recipe of MLP"),
        (None, "expected what vaejax.save writes"),
    ],
)
def test_damaged_recipes_are_refused(saved, fields, words):
    path = saved / "recipe.json"
    path.write_text("not json" if fields is None else json.dumps(json.loads(path.read_text()) | fields))
    with pytest.raises(ValueError, match=words):
        vj.load(saved)
    with pytest.raises(FileNotFoundError, match="holds no saved model"):
        vj.load(saved / "nothing")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Orbax leaves futures behind
def test_truncated_and_flipped_arrays_are_refused(saved):
    files = [file for file in saved.rglob("*") if file.is_file() and file.name != "recipe.json"]
    whole_params, refused = vj.load(saved)[1], 0
    for file in files:
        whole = file.read_bytes()
        for broken in (whole[: len(whole) // 2], whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:], b""):
            file.write_bytes(broken)
            try:  # either it is refused, or that file holds nothing of the numbers
                chex.assert_trees_all_equal(vj.load(saved)[1], whole_params)
            except ValueError as problem:
                assert any(words in str(problem) for words in ("cannot be read", "checksum", "parameter"))
                refused += 1
        file.write_bytes(whole)
    assert refused >= 6


def test_what_version_0_1_wrote_is_read():
    """The folder was written by `vj.save` of 0.1.0 and must load for ever; its model takes every kind of recipe."""
    folder = Path(__file__).parents[1] / "fixtures" / "saved-0.1"
    model, params = vj.load(folder)
    assert model == vj.zoo.sigma_vae(
        (4, 3, 1),
        2,
        hidden=(3,),
        context_dim=2,
        prior=vj.priors.mixture(2),
        objective=vj.objectives.warm_up(10, vj.objectives.beta(2.0, vj.objectives.optimal_sigma())),
    )
    expected = json.loads((folder / "expected.json").read_text())
    x = jnp.linspace(0.0, 1.0, 12).reshape(4, 3, 1)
    np.testing.assert_allclose(vj.encode(model, params, x, jnp.asarray(1)), expected, rtol=1e-5)
