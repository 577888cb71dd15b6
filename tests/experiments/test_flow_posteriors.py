"""Four points in two latents, where a decoder and a posterior of zeros are known in closed form."""

import jax
import numpy as np
import pytest

import vaejax as vj
from experiments.harness.grid import Grid
from experiments.plane import flow_posteriors
from tests.untrained import Untrained


@pytest.fixture(scope="module")
def zero():
    """Every logit is zero whatever z is, and q is one Gaussian for all x."""
    model = vj.zoo.vae(4, 2, hidden=(3,), posterior="diag")
    return model, jax.tree.map(np.zeros_like, model.init(jax.random.key(0)))


def test_quadrature_of_a_decoder_that_does_not_look(zero):
    evidence, likely = flow_posteriors.posteriors(*zero)
    np.testing.assert_allclose(evidence, -4 * np.log(2), atol=1e-5)
    assert likely.shape == (flow_posteriors.SIDE**2,) and set(np.unique(likely)) <= {0, 1, 2, 3}


def test_the_gap_is_the_divergence_from_the_prior(zero):
    """The posterior of such a decoder is the prior."""
    found = flow_posteriors.scored(*zero)
    divergence = vj.distributions.analytic_kl(
        zero[0].posterior(zero[1], np.zeros(4, np.float32)), zero[0].prior(zero[1])
    )
    assert found["gap"] == pytest.approx(found["evidence"] - found["elbo"])
    assert found["gap"] == pytest.approx(float(divergence), abs=1e-3)


def test_regions_are_where_a_point_is_most_probable():
    """Logits (5 z1, -5 z1, 0, 0): the first point on the right, the second one on the left."""
    model = vj.zoo.linear_vae(4, 2, likelihood=vj.heads.bernoulli())
    params = jax.tree.map(np.zeros_like, model.init(jax.random.key(0)))
    params["decoder"]["layer0"]["kernel"] = np.array([[5.0, -5.0, 0.0, 0.0], [0.0] * 4], np.float32)
    likely = np.asarray(flow_posteriors.posteriors(model, params)[1]).reshape(flow_posteriors.SIDE, -1)
    middle = flow_posteriors.SIDE // 2
    assert (likely[:, middle + 1 :] == 0).all() and (likely[:, :middle] == 1).all()


def test_times_are_in_milliseconds(monkeypatch):
    monkeypatch.setattr(flow_posteriors, "both_ways", lambda dim, calls: (0.002 * calls, 0.004 * dim))
    assert flow_posteriors.timed(3, 2) == pytest.approx({"parallel": 4.0, "sequential": 12.0, "ratio": 3.0})


def test_pictures(zero):
    study = Untrained()
    times = Grid({f"{d} latents, seed 0": {"parallel": 1.0, "sequential": float(d)} for d in (2, 4)}, 1)
    flow_posteriors.draw_directions(study, times, {"2 latents": 2, "4 latents": 4})
    assert study.drawn["directions"]["sequential: z to noise"][:2] == ([2, 4], [2.0, 4.0])
    flow_posteriors.draw_posteriors(study, {"q": zero})
    first, second = study.drawn["posteriors"].axes
    assert (first.get_title(), second.get_title()) == ("prior N(0, I)", "q")
    clouds = [[len(cloud.get_offsets()) for cloud in axes.collections][:4] for axes in (first, second)]
    assert clouds[0] == [1600] and clouds[1] == [400] * 4


def test_bounds_beside_those_that_were_measured_before():
    values = {"diagonal": (-1.79, -1.81), "IAF, 4 steps": (-1.5, -1.51), "another": (0.0, 0.0)}
    grid = Grid(
        {f"{name}, seed {i}": {"elbo": value} for name, two in values.items() for i, value in enumerate(two)}, 2
    )
    said = flow_posteriors.against(grid, values)
    assert said == "-1.79 (diagonal), -1.65 (IAF, 4 steps); more than two standard errors off: IAF, 4 steps"


def test_how_the_times_grow():
    cell = lambda parallel, sequential: {"parallel": parallel, "sequential": sequential, "ratio": sequential / parallel}  # noqa: E731
    times = Grid({"2 latents, seed 0": cell(1.0, 2.0), "8 latents, seed 0": cell(3.0, 12.0)}, 1)
    said = flow_posteriors.of_times(times, (2, 4, 8))
    assert "4 times as many, the parallel direction takes 3.0 times as long (predicted: nearly as long, which" in said
    assert "sequential one 6 times (predicted: 4 at least), and then 4 times the parallel one." in said
