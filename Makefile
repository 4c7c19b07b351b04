# Sluice: `make demo` shows it, `make test` proves it. Everything is installed into .venv by these targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# URL of PyTorch's CPU wheel index (its install page names it): on Linux without a GPU it saves gigabytes of CUDA.
TORCH_INDEX ?=
DEMO_ARGS ?=
FUZZ_SECONDS ?= 60
# One worker per core; the tests of a file stay on one worker, so that what they share is made once. In their own order
# the long ones come first, and no worker waits at the end.
TEST_ARGS ?= --numprocesses auto --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL = $(PIP) install --quiet --constraint constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
PACKAGES := pyproject.toml schemas/pyproject.toml constraints.txt

.PHONY: help demo test chaos check bench fuzz format clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

demo: $(VENV)/.demo ## Moderate a few thousand drawn images on a local broker (DEMO_ARGS="--events 5000")
	$(BIN)/sluice demo $(DEMO_ARGS)

test: $(VENV)/.dev ## Run the tests (KAFKA_HOME and SLUICE_TEST_REGISTRY widen them; see CONTRIBUTING.md)
	$(BIN)/python -m pytest $(TEST_ARGS)

chaos: $(VENV)/.dev ## Kill workers 26 times over 20,000 events on three brokers (needs KAFKA_HOME; tests/chaos/README.md)
	$(BIN)/python -m tests.chaos --plan quick

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
	$(INSTALL) --editable ./schemas --editable '.[bench]'
	$(BIN)/python -m tests.bench all

fuzz: $(VENV)/.dev ## Fuzz every parser with coverage, FUZZ_SECONDS each (Linux on x86-64)
	$(INSTALL) --editable ./schemas --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

format: $(VENV)/.dev ## Format the code and mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove the virtual environment and what tools left behind
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

$(VENV)/.venv:
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 14), f"Sluice needs Python 3.11 to 3.13, this is {sys.version}"'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.venv $(PACKAGES)
	@echo "Installing (a few minutes the first time)."
	@[ -n "$(TORCH_INDEX)" ] || [ "$$(uname)" != Linux ] || command -v nvidia-smi >/dev/null || \
	  echo "No GPU found. With TORCH_INDEX=<PyTorch's CPU wheel index> the download is much smaller."
	$(INSTALL) --editable ./schemas --editable '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(INSTALL) --editable ./schemas --editable '.[dev]'
	@touch $@
