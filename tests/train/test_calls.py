"""The callback of a run: what it sees, that it changes nothing, and that no call is made twice."""

import chex
import jax
import numpy as np
import pytest

import vaejax as vj
from tests import zoo

KEY = jax.random.key(0)
X = zoo.levels(40)
MODEL = vj.zoo.vae(zoo.D, 2, hidden=(8,))
OPTIONS = {"epochs": 4, "batch_size": 10, "validation": X[:8]}


def test_a_callback_sees_the_run_and_changes_no_bit():
    seen = []
    plain = vj.fit(MODEL, KEY, X, **OPTIONS)
    result = vj.fit(MODEL, KEY, X, callback=lambda report: seen.append((report, report.params)), **OPTIONS)
    chex.assert_trees_all_equal(plain.params, result.params)
    reports = [report for report, _ in seen]
    assert [(report.epoch, report.step) for report in reports] == [(1, 4), (2, 8), (3, 12), (4, 16)]
    assert [report.averages["validation_elbo"] for report in reports] == result.history["validation_elbo"].tolist()
    assert isinstance(reports[0].averages["value"], float)
    chex.assert_trees_all_equal(seen[-1][1], jax.tree.map(np.asarray, result.params))


def test_calls_after_each_scan(short_scans):
    steps = []
    result = vj.fit(MODEL, KEY, X, callback=lambda report: steps.append(report.step), callback_every="scan", **OPTIONS)
    assert steps == list(range(2, 17, 2)) and result.state.step == 16
    stopped = vj.fit(MODEL, KEY, X, callback=lambda report: report.step == 6, callback_every="scan", **OPTIONS)
    assert stopped.state.step == 6 and len(stopped.history["value"]) == 1


def test_a_run_that_is_stopped_again_and_again_repeats_no_call(tmp_path, short_scans, insist):
    steps, options = [], OPTIONS | {"checkpoint": tmp_path, "checkpoint_every": 1e9}  # much is computed again
    call = lambda report: steps.append(report.step)
    result, _ = insist(lambda: vj.fit(MODEL, KEY, X, callback=call, **options | {"checkpoint_every": 0.0}))
    assert steps == [4, 8, 12, 16]
    chex.assert_trees_all_equal(result.params, vj.fit(MODEL, KEY, X, **OPTIONS).params)


def test_epochs_that_are_computed_again_are_not_reported_again(tmp_path):
    """The checkpoint is older than the last call: the process was killed between them."""
    steps, options = [], OPTIONS | {"checkpoint": tmp_path, "checkpoint_every": 1e9}

    def breaks(report):
        steps.append(report.step)
        if report.step == 12 and len(steps) == 3:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        vj.fit(MODEL, KEY, X, callback=breaks, **options)
    vj.fit(MODEL, KEY, X, callback=breaks, **options)
    assert steps == [4, 8, 12, 16]


def test_a_callback_stops_a_run_for_good(tmp_path):
    calls = []

    def stop(report):
        calls.append(report.epoch)
        return report.epoch == 2

    run = lambda: vj.fit(MODEL, KEY, X, callback=stop, checkpoint=tmp_path, **OPTIONS)
    first, again = run(), run()
    assert calls == [1, 2] and first.state.step == again.state.step == 8
    assert "the callback stopped the run at step 8" in first.history.notes[-1]
    chex.assert_trees_all_equal(first.params, again.params)
    members = vj.fit_ensemble(MODEL, jax.random.split(KEY, 2), X, callback=stop, **OPTIONS)
    assert members.history["value"].shape == (2, 2)


def test_what_is_no_callback_is_refused():
    with pytest.raises(TypeError, match="callback: expected a function, got str"):
        vj.fit(MODEL, KEY, X, callback="print", **OPTIONS)
    with pytest.raises(ValueError, match="callback_every: expected one of epoch, scan, got 'step'"):
        vj.fit(MODEL, KEY, X, callback_every="step", **OPTIONS)
