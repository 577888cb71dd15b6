"""Programs that are run by their own names: the demo, the table of the zoo, the table of evidence."""

import dataclasses
import re
from pathlib import Path

import pytest

import vaejax as vj
from experiments.tables import demo, evidence_table, zoo_table


@pytest.mark.slow
def test_demo_writes_a_page_with_pictures(tmp_path, capsys):
    path = demo.main(dataclasses.replace(demo.Config.smoke(), out=tmp_path))
    text = path.read_text()
    assert str(path.resolve()) in capsys.readouterr().out
    assert len(re.findall(r'src="data:image/png;base64,', text)) == 15
    words = re.sub(r"base64,[^\"]*", "", text)
    assert words.count("<table>") == 3 and "nan" not in words and "http" not in words


def test_the_table_of_the_zoo_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    models = {
        "A": ("binary", vj.zoo.vae((8, 8, 1), 2, hidden=(4,))),
        "B": ("grey", vj.zoo.sigma_vae((8, 8, 1), 2, hidden=(4,), context_dim=10)),
    }
    monkeypatch.setattr(zoo_table, "members", lambda: models)
    config, real, fitted = zoo_table.Config(epochs=1, k=5, test=20, out=tmp_path), zoo_table.scored, []
    made_up = {"iwae": -1.0, "standard_error": 0.0, "parameters": 1, "epochs": 1, "best_epoch": 1, "seconds": 0.0}

    def scored(config, kind, *rest):
        fitted.append(kind)
        if fitted == ["binary", "grey"]:
            raise KeyboardInterrupt
        return real(config, kind, *rest) if len(fitted) <= 3 else made_up

    monkeypatch.setattr(zoo_table, "scored", scored)
    with pytest.raises(KeyboardInterrupt):
        zoo_table.main(config)
    first = zoo_table.main(config)
    assert fitted == ["binary", "grey", "grey"] and set(first) == {"A", "B"}
    assert zoo_table.main(config) == first and len(fitted) == 3
    words = (tmp_path / "index.html").read_text()
    assert words.count("<table>") == 2 and all(f"{first[name]['fits']['0']['iwae']:.2f} ±" in words for name in "AB")
    more = zoo_table.main(dataclasses.replace(config, seeds=2, only=("A",)))
    assert fitted[3:] == ["binary"] and list(more["A"]["fits"]) == ["0", "1"] and more["B"] == first["B"]
    other = zoo_table.main(dataclasses.replace(config, k=6, only=("A",)))
    assert fitted[4:] == ["binary"] and other["A"]["fits"]["0"] != first["A"]["fits"]["0"] and other["B"] == first["B"]
    with pytest.raises(ValueError, match="only: expected names among A, B, got C"):
        zoo_table.main(dataclasses.replace(config, only=("C",)))


def test_every_density_of_the_zoo_has_a_row():
    names = set(vj.zoo.__all__) - {"autoencoder"}
    source = Path(zoo_table.__file__).read_text()
    assert {name for name in names if f"zoo.{name}(" in source or f"zoo.{name}," in source} == names


def test_the_table_of_evidence_holds_the_truth_and_its_estimates(tmp_path):
    found = evidence_table.main(dataclasses.replace(evidence_table.Config.smoke(), out=tmp_path))["digits"]
    assert list(found)[0] == "exact" and len(found) == 6 and found["exact"]["minus_exact"] == 0.0
    assert found["IWAE-10 from the prior"]["minus_exact"] < found["IWAE-10 from diagonal q"]["minus_exact"] < 1.0
    assert (tmp_path / "metrics.json").is_file() and "5 temperatures" in (tmp_path / "index.html").read_text()
