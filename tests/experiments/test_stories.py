"""Stories are found where they lie; the command line and the folders say which there are."""

import ast
import collections

import pytest

from experiments import __main__ as command
from experiments.harness import stories as harness
from experiments.harness.stories import EXPERIMENTS, question_and_prediction, stories, title

FILES = [path for path in EXPERIMENTS.glob("*/*.py") if not path.stem.startswith("__")]


def test_a_story_is_a_module_with_config_and_main_in_its_place(tmp_path, monkeypatch):
    about = '"""Why?\\n\\nPrediction: So\\nand so."""\nraise RuntimeError("imported")\n'
    for name, text in {
        "b/late": "class Config: ...\ndef main(config): ...",
        "b/second": "Config = 1\nORDER = 20\ndef main(config): ...",
        "a/third": "class Config: ...\nORDER = 30\ndef main(config): ...",
        "a/first": "ORDER = 10.5\nclass Config: ...\ndef main(config): ...",
        "a/helper": "class Config: ...",
        "tables/demo": "class Config: ...\ndef main(config): ...",
    }.items():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(about + text)
    monkeypatch.setattr(harness, "EXPERIMENTS", tmp_path)
    found = harness.stories.__wrapped__()
    assert list(found) == ["first", "second", "third", "late"] and found["second"].module == "experiments.b.second"
    assert question_and_prediction(found["late"].about) == ("Why?", "So and so.")


def test_every_story_states_its_place_question_and_prediction():
    orders = [story.order for story in stories().values()]
    assert len(orders) >= 24 and len(set(orders)) == len(orders) and max(orders) < float("inf")
    for story in stories().values():
        question, prediction = question_and_prediction(story.about)
        assert question.endswith("?") and prediction and title(story.name)


def test_the_command_names_what_there_is(capsys):
    assert command.main(["nothing"]) == 2
    assert "expected list, report, all, or one of one_interface" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="one of --smoke and --full"):
        command.run("question_1_fixed_sigma", ["--smoke", "--full"])


def test_shared_modules_serve_at_least_three_stories():
    uses = {}
    for path in FILES:
        used = uses[f"experiments.{path.parent.name}.{path.stem}"] = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("experiments."):
                used |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}

    def reached(module):
        return {module}.union(*(reached(used) for used in uses.get(module, ())))

    served = collections.Counter(module for story in stories().values() for module in reached(story.module))
    for path in EXPERIMENTS.glob("shared/[a-z]*.py"):
        assert served[f"experiments.shared.{path.stem}"] >= 3, path
