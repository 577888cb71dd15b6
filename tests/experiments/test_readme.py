"""What experiments/README.md says of results is what the results say."""

from pathlib import Path

import pytest

from experiments.__main__ import NAMES
from experiments.harness import page
from experiments.harness.study import Base, Study

ROOT = Path(__file__).parents[2]


@pytest.fixture
def results(tmp_path):
    config = Base(out=tmp_path / "results", work=tmp_path / "work", seeds=1)
    study = Study(f"experiments.{NAMES[0]}", config, "Why?\n\nPrediction: So.")
    study.measure({"cell": lambda: {"x": 1.5}})
    study.lines("curve", {"a": ([1, 2], [3.0, 4.0])}, x_label="x", y_label="y", caption="A curve.")
    study.finish("It is 1.5.", protocol="none")
    return config.out


def test_an_answer_has_its_question_prediction_picture_and_command(results):
    text = readme.answers(results)
    for said in ("### One interface", "*Why?*", "**Predicted.** So.", "**Measured.** It is 1.5.", "1 seed,"):
        assert said in text
    assert f"![A curve.](../results/{NAMES[0]}/curve.png)" in text and f"| {NAMES[0]} | 1 |" in text
    assert f"Not run yet: {NAMES[1]}" in text and f"python -m experiments {NAMES[0]} --full" in text


def test_only_what_is_between_the_marks_changes(results, tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"Above.\n\n{readme.START}\nWhat was.\n{readme.END}\n\nBelow.\n")
    for _ in range(2):
        readme.update(results, path)
        text = path.read_text()
        assert text.startswith("Above.\n\n<!--") and text.endswith("-->\n\nBelow.\n")
        assert "What was." not in text and text.count("It is 1.5.") == 1


def test_the_committed_answers_are_those_of_the_committed_results():
    """`python -m experiments report` was called after the last run."""
    assert readme.answers(ROOT / "results") in readme.README.read_text("utf-8")


def test_pictures_of_the_committed_answers_exist():
    for line in readme.README.read_text("utf-8").splitlines():
        if line.startswith("!["):
            assert (readme.README.parent / line.rpartition("](")[2].rstrip(")")).is_file(), line
