"""Sentences about the numbers of a grid."""

from experiments.harness.grid import Grid
from experiments.shared import phrases

GRID = Grid(
    {f"{name}, seed {seed}": {"x": 10.0 * at + 2 * seed} for at, name in enumerate("abc") for seed in (0, 1)}, 2
)


def test_a_change_is_from_the_first_to_the_last():
    assert phrases.change(GRID, ["a", "b", "c"], "x", 1) == "1.0 ± 1.0 to 21.0 ± 1.0"
    assert phrases.change(GRID, ["b"], "x", 0, by=" and ") == "11 ± 1 and 11 ± 1"


def test_a_list_has_the_names_or_others():
    assert phrases.listed(GRID, ("c", "a"), "x", 0) == "c 21 ± 1, a 1 ± 1"
    assert phrases.listed(GRID, {"the last": "c"}, "x") == "the last 21.00 ± 1.00"
    assert phrases.listed(GRID, (), "x") == "" and phrases.listed(GRID, ["a"], "y") == "a -"


def test_differences_that_are_beyond_their_noise():
    assert phrases.beyond_noise([1.0, 1.1, 0.9]) and phrases.beyond_noise([-1.0, -1.1, -0.9])
    assert not phrases.beyond_noise([1.0, -1.0, 0.5]) and not phrases.beyond_noise([1.0])
    assert phrases.failing(True) == "" and phrases.failing(False) == ", which fails"


def test_the_best_of_a_row_is_named():
    over = {"1": "a", "5": "b", "9": "c"}
    assert phrases.row_with_best(GRID, over, "x", 0) == "1 ± 1, 11 ± 1, 21 ± 1 (best: 1)"
    assert phrases.row_with_best(GRID, over, "x", 0, highest=True).endswith("(best: 9)")


def test_entries_of_lists_are_counted():
    lists = Grid({"a, seed 0": {"kl": [3.0, 0.2, 0.1]}, "a, seed 1": {"kl": [0.3, 0.0, 0.0]}}, 2)
    assert phrases.counted_above(lists, "a", "kl", 0.1) == "1.5 ± 0.5"
    assert phrases.counted_above(Grid({"a, seed 0": {"kl": [3.0]}}, 1), "a", "kl", 0.1, 0) == "1"


def test_predictions_hold_or_not():
    assert phrases.verdict(True) == "as predicted" and phrases.verdict(False) == "not as predicted"
