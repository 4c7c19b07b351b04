# Sluice: `make demo` shows it, `make test` proves it. Everything is installed into .venv by these targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# URL of PyTorch's CPU wheel index (its install page names it): on Linux without a GPU it saves gigabytes of CUDA. Nothing
# but torch, and what only torch needs, is taken from it.
TORCH_INDEX ?=
DEMO_ARGS ?=
FUZZ_SECONDS ?= 60
# One worker per core; the tests of a file stay on one worker, so that what they share is made once. In their own order
# the long ones come first, and no worker waits at the end.
TEST_ARGS ?= --numprocesses auto --dist loadfile --no-loadscope-reorder
# A run that takes longer has hung. It is stopped, shows what it was doing, and fails.
TEST_LIMIT_S ?= 3600
WITHIN = $(BIN)/python -m tests.support.limit $(TEST_LIMIT_S)
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Wheels alone, each held to the hashes of its list in requirements/, which `make lock` writes. What is not listed is not
# installed, and no code runs at an install but our own build.
LOCKED := $(PIP) install --quiet --no-deps --only-binary :all: --require-hashes --requirement
# torch comes after all others, by its version alone: a machine's own configuration of pip, or TORCH_INDEX, may bring the
# build for its hardware, whose hash no list can know. The image holds it to hashes, too, unless it is given an index.
TORCH = $(PIP) install --quiet --constraint constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
OURS := $(PIP) install --quiet --no-deps --no-build-isolation --editable ./schemas --editable ./producer_sim --editable .
PACKAGES := pyproject.toml schemas/pyproject.toml producer_sim/pyproject.toml constraints.txt

UV := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
  --constraint constraints.txt
# The contract and the simulator are our own, and no index is asked for them; of the contract's extras those are taken
# that the consumer names.
BASE := --excludes requirements/ours.in pyproject.toml schemas/pyproject.toml --extra registry --extra signing
PROJECT := $(BASE) producer_sim/pyproject.toml

.PHONY: help demo test chaos check bench fuzz format lock clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

demo: $(VENV)/.demo ## Moderate a few thousand drawn images on a local broker (DEMO_ARGS="--events 5000")
	$(BIN)/sluice demo $(DEMO_ARGS)

test: $(VENV)/.dev ## Run the tests (KAFKA_HOME and SLUICE_TEST_REGISTRY widen them; see CONTRIBUTING.md)
	$(WITHIN) $(BIN)/python -m pytest $(TEST_ARGS)

chaos: $(VENV)/.dev ## Kill workers 26 times over 20,000 events on three brokers (needs KAFKA_HOME; tests/chaos/README.md)
	$(WITHIN) $(BIN)/python -m tests.chaos --plan quick

check: $(VENV)/.dev ## Lint, types, layers, schema compatibility, docs in step
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy consumer schemas/sluice_schemas producer_sim helm tests
	$(BIN)/lint-imports
	$(BIN)/sluice config docs --check docs/settings.md
	$(BIN)/sluice config metrics --check docs/metrics.md
	$(BIN)/sluice config logs --check docs/logs.md
	$(BIN)/python -m helm.dashboards --check
	$(BIN)/sluice topics asyncapi --check docs/asyncapi.yaml
	$(BIN)/python -m pytest --quiet tests/architecture tests/contract/test_schema_compatibility.py

bench: $(VENV)/.dev ## Measure what is claimed to be fast, in short (KAFKA_HOME widens it; tests/bench/README.md)
	$(LOCKED) requirements/bench.txt
	$(BIN)/python -m tests.bench all

fuzz: $(VENV)/.dev ## Fuzz every parser with coverage, FUZZ_SECONDS each (Linux on x86-64)
	$(LOCKED) requirements/fuzz.txt
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

format: $(VENV)/.dev ## Format the code and mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/.venv ## Write requirements/ anew, from pyproject.toml and constraints.txt (asks the package index)
	$(LOCKED) requirements/lock.txt
	echo uv | $(UV) - --output-file requirements/lock.txt
	echo hatchling | $(UV) - --output-file requirements/build.txt
	echo torch | $(UV) - --output-file requirements/torch.txt
	$(UV) $(BASE) --output-file requirements/base.txt
	own=$$(sed -nE 's/^((torch|triton|(cuda|nvidia)-[a-z0-9-]+)==).*/--no-emit-package \1/p' requirements/torch.txt | tr -d =); \
	for list in run:moderator,s3 gpu:moderator,s3,gpu demo dev:dev,train bench fuzz; do \
	  $(UV) $(PROJECT) $$own $$(printf ' --extra %s' $$(tr , ' ' <<<$${list#*:})) --output-file requirements/$${list%:*}.txt || exit; \
	done

clean: ## Remove the virtual environment and what tools left behind
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

$(VENV)/.venv:
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 14), f"Sluice needs Python 3.11 to 3.13, this is {sys.version}"'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.venv $(PACKAGES) requirements/build.txt requirements/demo.txt
	@echo "Installing (a few minutes the first time)."
	@[ -n "$(TORCH_INDEX)" ] || [ "$$(uname)" != Linux ] || command -v nvidia-smi >/dev/null || \
	  echo "No GPU found. With TORCH_INDEX=<PyTorch's CPU wheel index> the download is much smaller."
	$(LOCKED) requirements/build.txt --requirement requirements/demo.txt
	$(TORCH)
	$(OURS)
	@touch $@

$(VENV)/.dev: $(VENV)/.demo requirements/dev.txt
	$(LOCKED) requirements/dev.txt
	$(PIP) check
	@touch $@
