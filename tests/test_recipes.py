import json

import pytest

import vaejax as vj
from tests import zoo
from vaejax import recipes


@pytest.mark.parametrize("name", [*zoo.EXACT, *zoo.AMORTIZED])
def test_recipes_come_back_equal(name):
    model = (zoo.EXACT | zoo.AMORTIZED)[name]
    text = recipes.to_json(model)
    again = recipes.from_json(text)
    assert again == model and hash(again) == hash(model) and json.loads(text)["type"].startswith("vaejax.")


def test_what_json_cannot_say_is_named():
    own = vj.networks.from_functions(lambda key: {}, lambda w, x: x)
    with pytest.raises(TypeError, match="model.encoder.init_function: function cannot be written as JSON; pass model="):
        recipes.to_json(vj.VAE(own, vj.networks.MLP((2, 4)), 2))


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "recipe: expected JSON, got '{'"),
        ("[" * 100_000, "recipe: expected JSON"),
        ('{"type": "os.system", "command": "true"}', "model has the unknown type 'os.system'"),
        ('{"dim": 3}', "model has the unknown type None"),
        ('{"type": ["a"]}', "model has the unknown type \\['a'\\]"),
        ('{"type": "vaejax.models.PPCA", "dim": 5}', "model, a vaejax.models.PPCA: .*latent_dim"),
        ('{"type": "vaejax.models.PPCA", "dim": 5, "latent_dim": 2, "x": 1}', "unexpected keyword argument 'x'"),
        ('{"type": "vaejax.models.PPCA", "dim": 5, "latent_dim": 7}', "latent_dim: expected less than dim = 5"),
        ('{"type": "vaejax.models.PPCA", "dim": NaN, "latent_dim": 2}', "expected finite numbers, got NaN"),
        (" " * 2_000_000, "expected at most 1000000 characters, got 2000000"),
    ],
)
def test_hostile_recipes_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        recipes.from_json(text)
