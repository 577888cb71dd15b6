"""Numbers that are right, or that say what they are."""

import warnings

import jax
import numpy as np
import optax
import pytest

import vaejax as vj

KEY = jax.random.key(0)


@pytest.mark.parametrize("offset", [1e8, 1.7e9])
def test_values_that_float32_cannot_tell_apart_are_refused(offset):
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(size=500), offset + rng.normal(size=500) * 1e4 * (offset > 1e9) + rng.normal(size=500)], 1)
    model, em = vj.zoo.vae(2, 1, hidden=(8,), likelihood=vj.heads.normal()), vj.GMM(1, 2)
    with pytest.raises(ValueError, match="data: column 1 lies between .* where float32 cannot tell its values apart"):
        vj.fit(model, KEY, x, epochs=1)
    with pytest.warns(UserWarning, match="x: column 1 has mean 1.* float32 rounds the parameters"):
        params, trace = vj.em.fit(em, KEY, x, num_steps=3)
    with pytest.raises(ValueError, match="column 1 lies between"):
        vj.evaluate.exact_log_evidence(em, params, x)
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("error")
        params, trace = vj.em.fit(em, KEY, x, num_steps=3)
        score = vj.evaluate.exact_log_evidence(em, params, x).mean()
    np.testing.assert_allclose(score, trace.log_likelihood[-1], atol=1e-6)


def test_counts_that_were_taken_for_pixels_are_named():
    x = np.random.default_rng(0).poisson(3.0, (60, 3)).astype(np.uint8)
    model = vj.zoo.vae(3, 1, hidden=(8,))
    note = "uint8 values were taken for pixels and divided by 255"
    assert any(note in said for said in vj.fit(model, KEY, x, epochs=1).history.notes)
    assert not any(note in said for said in vj.fit(model, KEY, x / 255.0, epochs=1).history.notes)
    with pytest.raises(FloatingPointError, match=f"larger floor; .*{note}"):
        vj.fit(model, KEY, x, epochs=9, batch_size=9, optimizer=optax.sgd(1e30), max_skipped=3)
    with pytest.warns(UserWarning, match=f"x: {note}"):
        params, _ = vj.em.fit(vj.GMM(1, 3), KEY, x, num_steps=1)
    found = vj.evaluate.log_evidence_estimate(vj.GMM(1, 3), params, KEY, x)
    assert note in found.protocol
