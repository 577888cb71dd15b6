"""Decoders by name: that they are what their names say, and what they are fitted to."""

import jax
import numpy as np
import pytest

import vaejax as vj
from experiments.harness.study import Study
from experiments.shared import decoders, pixels


@pytest.mark.parametrize(
    ("name", "sigma"),
    [("σ = 1", 1.0), ("σ = 1/2", 0.5), ("σ = 0.1", 0.1), ("σ(z), floor 0.001", 0.001), ("σ(z)", 0.001)],
)
def test_heads_have_the_sigma_of_their_names(name, sigma):
    head = decoders.HEADS[name]
    least = head.apply({}, np.full(head.output_shape((3,)), -30.0, np.float32)).stddev
    np.testing.assert_allclose(np.broadcast_to(least, 3), np.full(3, sigma), rtol=1e-5)


def test_sigmas_are_learned_where_the_names_say_so():
    sizes = {name: head.init(jax.random.key(0), (3,)) for name, head in decoders.GAUSSIAN.items()}
    learned = {name: params["log_scale"].shape for name, params in sizes.items() if params}
    assert learned == {"σ shared": (), "σ* optimal": (), "σ a pixel": (3,)}
    assert decoders.sigma({"likelihood": {"log_scale": np.float32(np.log(0.3))}}) == pytest.approx(0.3)


def test_only_a_bernoulli_decoder_learns_from_pixels_that_are_drawn(tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setattr(
        Study, "fit", lambda self, model, data, **how: asked.update(how) or type("Fit", (), {"best": 7})
    )
    study = Study("a.b", pixels.Config(out=tmp_path, work=tmp_path, hidden=(4,), epochs=3), "?")
    data = vj.data.Dataset(vj.data.Split(np.zeros((5, 6), np.float32)), None, None)
    model, best = decoders.fitted(study, data, "σ shared", 2, 1)
    assert asked == {"seed": 1, "epochs": 3} and best == 7
    assert model == vj.zoo.vae(6, 2, hidden=(4,), likelihood=vj.heads.normal("shared"))
    decoders.fitted(study, data, "Bernoulli", 2, 1)
    assert asked["transform"] is vj.transforms.binarize
