# `make demo` and `make test` set everything up first: a virtual environment, llama.cpp, the default models.
# What is finished leaves a stamp, so that the next call begins where it matters.

SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PY := $(VENV)/bin/python
STAMPS := $(VENV)/.stamps
PIP := $(PY) -m pip --disable-pip-version-check install --retries 10 --timeout 60 --constraint constraints.txt
export EDGEPERSO_MODELS ?= $(CURDIR)/models
MODELS := smollm2-135m minilm-int8

.DEFAULT_GOAL := help
.PHONY: help demo test train federated lint format models setup bench clean distclean

help:
	@echo "make demo    set up, then answer questions from a sample life (about 6 minutes the first time)"
	@echo "make test    set up, then lint, type-check and test"
	@echo "make train   add what training adapters needs (torch, 1 GB): tests of it run from then on"
	@echo "make federated  add Flower, for federations (1 GB)"
	@echo "make models  fetch the default models into $(EDGEPERSO_MODELS)"
	@echo "make lint | format | bench | clean | distclean"

demo: setup
	@$(PY) scripts/demo.py

test: setup lint
	$(PY) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --cov --cov-report=term

lint: $(STAMPS)/package
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m mypy scripts benchmarks
	$(VENV)/bin/lint-imports

format: $(STAMPS)/package
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: setup
	$(PY) -m benchmarks.store --json
	$(PY) -m benchmarks.generation --json

models: $(STAMPS)/models

# The compiler and the network work at the same time.
setup: $(STAMPS)/package
	@$(MAKE) --no-print-directory -j2 $(STAMPS)/llama $(STAMPS)/models

$(STAMPS)/venv:
	@scripts/system-packages.sh $(PYTHON)
	@echo "environment: $(VENV), with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/packages: $(STAMPS)/venv pyproject.toml constraints.txt scripts/requirements.py
	@echo "packages: fetching about 100 of them (a minute)"
	@$(PY) scripts/requirements.py --without llama-cpp-python dev eval > $(STAMPS)/requirements.txt
	@$(PIP) -q --requirement $(STAMPS)/requirements.txt
	@touch $@

$(STAMPS)/package: $(STAMPS)/packages CMakeLists.txt $(wildcard native/*)
	@echo "edgeperso: building its extension (20 s)"
	@$(PIP) -q --no-deps --no-build-isolation --editable .
	@touch $@

# These extras are large and optional: what needs one says so, and its tests skip without it.
train federated: %: $(STAMPS)/%

$(STAMPS)/train $(STAMPS)/federated: $(STAMPS)/%: $(STAMPS)/packages
	@echo "extra [$*]: fetching what it needs (a minute)"
	@$(PY) scripts/requirements.py --only $* > $(STAMPS)/$*.txt
	@$(PIP) -q --requirement $(STAMPS)/$*.txt
	@touch $@

# llama-cpp-python has no wheel on the package index: it is compiled here, for this very processor. Without pip's cache,
# which keeps what it built under the package's name alone: another processor's build, or one with other flags.
$(STAMPS)/llama: $(STAMPS)/packages scripts/llama-build.cmake
	@$(PY) -m pip --disable-pip-version-check -q uninstall -y llama-cpp-python 2>/dev/null
	@CMAKE_ARGS="-DLLAVA_BUILD=OFF -DCMAKE_PROJECT_llama.cpp_INCLUDE=$(CURDIR)/scripts/llama-build.cmake $(CMAKE_ARGS)" \
	    $(PY) scripts/quiet_build.py llama.cpp build/llama.log \
	    $(PIP) -v --no-cache-dir --no-build-isolation "$$($(PY) scripts/requirements.py | grep '^llama-cpp-python')"
	@touch $@

$(STAMPS)/models: $(STAMPS)/package
	@for model in $(MODELS); do $(PY) -m edgeperso model pull $$model || exit; done
	@touch $@

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage*
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) models
