# Two commands on a fresh machine with Python >= 3.11: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test slow lint bench peers clean

demo: $(VENV)/installed
	$(BIN)/python -m experiments.tables.demo

test: $(VENV)/installed
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

slow: $(VENV)/installed
	$(BIN)/python -m pytest -m slow -n 2 tests

lint: $(VENV)/installed
	$(BIN)/ruff check vaejax experiments tests
	$(BIN)/ruff format --check vaejax experiments tests
	$(BIN)/pyright

bench: $(VENV)/installed
	$(BIN)/python -m experiments.benchmarks.em
	$(BIN)/python -m experiments.benchmarks.vae
	$(BIN)/python -m experiments.benchmarks.flows
	$(BIN)/python -m experiments.benchmarks.deep
	$(BIN)/python -m experiments.benchmarks.evidence

# The set-up runs again only where what is installed has changed.
$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

# The peers of the benchmarks, in an environment of their own.
peers:
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet torch pomegranate gmmx "pydantic>=2" imageio
	.venv-peers/bin/python -m pip install --quiet --no-deps pythae  # it asks for a backport that Python 3.11 has built in

clean:
	rm -rf $(VENV) .venv-peers out
