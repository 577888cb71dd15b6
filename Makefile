# Two commands on a fresh machine with Python >= 3.11: `make demo` and `make test`.
# `make test PYTHON=python3.13` has an environment of its own, .venv-3.13.
PYTHON ?= python3
VERSION := $(if $(filter python3,$(PYTHON)),,-$(patsubst python%,%,$(notdir $(PYTHON))))
VENV ?= .venv$(VERSION)
BIN := $(VENV)/bin
# A pass over each part: the kernels, the laws of exact models, one fit and its folder, every command.
SHORT := tests/kernels tests/test_laws.py tests/train/test_saved.py tests/cli

.PHONY: demo test slow short lowest lint bench peers clean

demo: $(VENV)/installed
	$(BIN)/python -m experiments.tables.demo

test: $(VENV)/installed
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist worksteal

slow: $(VENV)/installed
	$(BIN)/python -m pytest -m slow -n 2 --dist worksteal tests

short: $(VENV)/installed
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist worksteal $(SHORT)

# The short pass with the lowest versions that pyproject.toml allows.
lowest:
	$(MAKE) short VENV=.venv-lowest CONSTRAINTS=.venv-lowest/constraints

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
	"$$(.ci/python $(PYTHON))" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(if $(CONSTRAINTS),$(BIN)/python .ci/lowest > $(CONSTRAINTS))
	$(BIN)/python -m pip install --quiet $(addprefix --constraint ,$(CONSTRAINTS)) --editable '.[dev]'
	touch $@

# The peers of the benchmarks, in an environment of their own.
peers:
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet torch pomegranate gmmx "pydantic>=2" imageio
	.venv-peers/bin/python -m pip install --quiet --no-deps pythae  # it asks for a backport that Python 3.11 has built in

clean:
	rm -rf .venv .venv-* out
