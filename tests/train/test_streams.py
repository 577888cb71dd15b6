"""Data that come piece by piece: the bits of the run in memory, whatever the pieces, however it is stopped."""

import threading

import chex
import grain
import jax
import numpy as np
import optax
import pytest

import vaejax as vj
from tests import zoo
from vaejax.train import step

KEY = jax.random.key(0)
X = zoo.levels(47)
Y = np.arange(47) % 3
MODEL = vj.zoo.vae(zoo.D, 2, hidden=(8,), objective=None)
OPTIONS = {"batch_size": 9, "validation": X[:7], "progress": False, "optimizer": optax.adam(1e-3)}

pytestmark = pytest.mark.usefixtures("short_scans")


@pytest.fixture(scope="module")
def whole(short_scans):
    """Three epochs of rows in memory."""
    return vj.fit(MODEL, KEY, X, epochs=3, **OPTIONS)


def order_of(epoch):
    """The rows of an epoch in the order in which `fit(MODEL, KEY, X)` takes them."""
    return np.asarray(step.shuffle(jax.random.split(KEY)[1], epoch, count=len(X)))


def pieces(sizes, labelled=False):
    """A factory of streams that cut the rows into pieces of these sizes, over and over."""

    def open_epoch(epoch):
        order, at, i = order_of(epoch), 0, 0
        while at < len(order):
            index = order[at : at + sizes[i % len(sizes)]]
            yield (X[index], Y[index]) if labelled else X[index]
            at, i = at + len(index), i + 1

    return open_epoch


@pytest.mark.parametrize("sizes", [(47,), (9,), (1,), (5, 13, 2)])
def test_a_stream_in_the_same_order_gives_the_same_bits(whole, sizes):
    streamed = vj.fit(MODEL, KEY, vj.data.Stream(pieces(sizes)), epochs=3, **OPTIONS)
    chex.assert_trees_all_equal((whole.params, whole.best), (streamed.params, streamed.best))
    np.testing.assert_array_equal(whole.history.batches, streamed.history.batches)


def test_labels_of_a_stream_and_single_rows():
    model = vj.zoo.conditional_vae(zoo.D, 2, 3, hidden=(8,), objective=None)
    options = OPTIONS | {"validation": vj.data.Split(X[:7], Y[:7]), "context": "labels"}
    whole = vj.fit(model, KEY, vj.data.Split(X, Y), epochs=2, **options)
    streamed = vj.fit(model, KEY, pieces((9, 4), labelled=True), epochs=2, **options)
    chex.assert_trees_all_equal(whole.params, streamed.params)
    one_by_one = lambda epoch: ({"x": X[i], "label": Y[i]} for i in order_of(epoch))
    chex.assert_trees_all_equal(whole.params, vj.fit(model, KEY, one_by_one, epochs=2, **options).params)
    with pytest.raises(ValueError, match="have no labels; give pairs"):
        vj.fit(model, KEY, pieces((9,)), epochs=1, **options)


def test_a_list_of_two_rows_is_no_pair(whole):
    pairs = lambda epoch: [list(X[order_of(epoch)][i : i + 2]) for i in range(0, 46, 2)]
    chex.assert_trees_all_equal(whole.params, vj.fit(MODEL, KEY, pairs, epochs=3, **OPTIONS).params)


def test_a_stream_goes_on_where_it_was_stopped(whole, tmp_path, insist):
    options = OPTIONS | {"checkpoint": tmp_path, "checkpoint_every": 0.0}
    resumed, calls = insist(lambda: vj.fit(MODEL, KEY, pieces((5, 13, 2)), epochs=3, **options))
    assert calls > 9
    chex.assert_trees_all_equal(whole.params, resumed.params)
    np.testing.assert_array_equal(whole.history.batches, resumed.history.batches)


@pytest.mark.parametrize("size", [4, 40])  # pieces shorter than a chunk, and longer than two
def test_a_grain_pipeline_is_moved_to_its_place(tmp_path, insist, size):
    read = []

    class Source:
        def __len__(self):
            return len(X)

        def __getitem__(self, index):
            read.append(int(index))
            return X[index]

    data = lambda epoch: grain.MapDataset.source(Source()).shuffle(seed=epoch).batch(size)
    rows = [np.concatenate(list(data(epoch))) for epoch in range(3)]
    in_order = vj.fit(MODEL, KEY, lambda epoch: [rows[epoch]], epochs=3, **OPTIONS)
    options = OPTIONS | {"checkpoint": tmp_path, "checkpoint_every": 0.0}
    resumed, _ = insist(lambda: vj.fit(MODEL, KEY, data, epochs=3, **options))
    chex.assert_trees_all_equal(in_order.params, resumed.params)
    read.clear()
    vj.fit(MODEL, KEY, data, epochs=3, checkpoint=tmp_path, **OPTIONS)
    assert len(read) <= 60  # a finished run reads a piece to know the data (Grain reads ahead)


def test_the_optimal_scale_of_a_stream_is_that_of_its_batches():
    model = vj.zoo.sigma_vae(zoo.D, 2, hidden=(8,), objective=vj.objectives.optimal_sigma())
    even = X[:45]
    options = OPTIONS | {"validation": None}
    streamed = vj.fit(model, KEY, lambda epoch: np.array_split(even, 4), epochs=30, **options)
    in_memory = vj.fit(model, KEY, even, epochs=30, **options)
    a, b = (float(result.params["likelihood"]["log_scale"]) for result in (streamed, in_memory))
    assert a == pytest.approx(b, abs=0.15) and a < -0.5


def test_an_ensemble_of_a_stream():
    keys = jax.random.split(KEY, 2)
    members = vj.fit_ensemble(MODEL, keys, pieces((9,)), epochs=3, **OPTIONS)
    solo = vj.fit(MODEL, keys[1], pieces((9,)), epochs=3, **OPTIONS)
    chex.assert_trees_all_close(members.member(1)[0], solo.params, atol=1e-5)


def test_a_stream_on_several_devices(whole):
    mesh = jax.make_mesh((3,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split = vj.fit(MODEL, KEY, pieces((9,)), epochs=3, mesh=mesh, **OPTIONS)
    chex.assert_trees_all_close(split.params, whole.params, atol=1e-5)


BAD = np.where(np.arange(47)[:, None] == 30, np.nan, X)
WRONG = {
    "a generator can be read once": (piece for piece in [X]),
    "at least a batch of 9 rows in an epoch, the stream gave 5": lambda epoch: [X[:5]],
    "it gave none": lambda epoch: [],
    r"data, epoch 1 from row 18: expected finite values, got nan in row 12": lambda epoch: [X[:18], BAD[18:]],
    r"expected values in \[0, 1\] for this likelihood": lambda epoch: [X + 1],
    "from_columns": type("Columns", (), {"column_names": ["image"]})(),
    "pieces of float32 rows of shape .5,., as the first one, got uint8": lambda epoch: [X, X.astype(np.uint8)],
    r"got float64 of shape \(\)": lambda epoch: [np.float64(3.0)],
}


@pytest.mark.parametrize("words", WRONG)
def test_what_is_wrong_with_a_stream_is_said(words):
    with pytest.raises(ValueError, match=words):
        vj.fit(MODEL, KEY, WRONG[words], epochs=2, **OPTIONS)


def test_contexts_of_a_stream_and_what_it_raises_itself():
    with pytest.raises(ValueError, match="its pieces bring their contexts"):
        vj.fit(MODEL, KEY, lambda epoch: [X], epochs=2, context=np.zeros(47), **OPTIONS)
    model, options = vj.zoo.conditional_vae(zoo.D, 2, 3, hidden=(8,), objective=None), OPTIONS | {"validation": None}
    with pytest.raises(ValueError, match=r"a label for each of 4 rows of a piece, got shape \(3,\)"):
        vj.fit(model, KEY, lambda epoch: [(X[:4], Y[:3])], epochs=1, context="labels", **options)

    def breaks(epoch):
        yield X
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        vj.fit(MODEL, KEY, breaks, epochs=2, **OPTIONS)


def test_reading_happens_beside_training_and_ends_with_it():
    before, seen = threading.active_count(), set()

    def open_epoch(epoch):
        for piece in pieces((9,))(epoch):
            seen.add(threading.current_thread().name)
            yield piece

    vj.fit(MODEL, KEY, open_epoch, epochs=1, **OPTIONS)
    assert any(name != threading.main_thread().name for name in seen) and threading.active_count() <= before + 1
