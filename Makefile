# make run     set up what the harness needs and replay the reference pipeline
# make test    set up what the tests need and run them all
# make check   format, lint, types, layers
# make bench   the benchmarks (see benchmarks/README.md)
# make lock    resolve the dependencies anew
# make clean   remove what the above made in this folder

.DEFAULT_GOAL := help
.PHONY: help run test check bench lock clean

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
ARGS   ?=

help:
	@sed -n 's/^# //p' $(MAKEFILE_LIST)

run: $(VENV)/.run
	@$(BIN)/harness run scenarios/happy.yaml $(ARGS)

test: $(VENV)/.test
	@$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(VENV)/.test
	$(BIN)/python -m benchmarks $(ARGS)

lock:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-annotate --no-header -o requirements.txt pyproject.toml --group build
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-annotate --no-header -o requirements-dev.txt pyproject.toml --group build --group dev
	for lock in tests/clients/locks/*.in tests/clients/toolkit/requirements.in; do \
	    uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	        --no-annotate --no-header -o $${lock%.in}.txt $$lock; \
	done

clean:
	rm -rf $(VENV) .harness .tox .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# A stamp is newer than what it was made from, or it is made again. Everything is installed from locks with
# hashes; the harness itself in place, so that an edit needs no installation.
$(BIN)/python:
	@echo "Making a virtual environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml requirements.txt | $(BIN)/python
	@echo "Installing what the harness needs (once)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.test: pyproject.toml requirements-dev.txt $(VENV)/.run
	@echo "Installing what the tests need (once)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@
