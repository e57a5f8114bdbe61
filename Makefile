# Chores, the same on a desk and in CI. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
# Hashes are checked for every package; the project itself is built with the locked setuptools.
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help install run demo test fuzz soak check format bench lock schemas image clean

help: ## list the chores
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("imbridge needs Python 3.11 or newer, this is %s: set PYTHON=/path/to/python3" % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): $(BIN)/python requirements.lock pyproject.toml
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(DEV): $(RUNTIME) requirements-dev.lock
	$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

install: $(DEV) ## everything needed to run, test and check, into .venv

run: $(RUNTIME) ## start the bridge in embedded mode on 127.0.0.1:8080 (data in ./data)
	@exec $(BIN)/imbridge run

demo: $(RUNTIME) ## five callbacks, a rule, two decisions, shown and checked
	@exec $(BIN)/imbridge demo

test: $(DEV) ## all tests, those against a real Kafka and a real PostgreSQL included
	$(BIN)/python -m pytest -n 2

fuzz: $(DEV) ## a hundred thousand hostile callbacks, over every row of the catalog (some minutes)
	IMBRIDGE_FUZZ_BODIES=100000 $(BIN)/python -m pytest -q tests/contract/test_rows_fuzz.py

soak: $(DEV) ## the faults' long form, some hours: IMBRIDGE_SEED meets a failure again
	IMBRIDGE_SOAK=1 $(BIN)/python -m pytest tests/faults

check: $(DEV) ## format, lint, types, imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV) ## rewrite the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(DEV) ## the speed tables, as ratios in one run (kept in tests/bench/results)
	$(BIN)/python -m tests.bench

schemas: $(DEV) ## regenerate what is generated from the catalog
	$(BIN)/python -m schemas
	$(BIN)/python -m consumers.rules

lock: ## renew both lock files within the ranges of pyproject.toml (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --upgrade -q \
	  --all-extras --group build pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --upgrade -q \
	  --all-extras --group build --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock

image: ## build the container image imbridge:local
	docker build -f deploy/Dockerfile -t imbridge:local .

clean: ## remove the environment and caches, never data
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
