# `make run` and `make test` set everything up by themselves: they need Python 3.11 to 3.13,
# pip and make.
PYTHON ?= $(firstword $(foreach p,python3.13 python3.12 python3.11 python3 python,$(shell \
  $(p) -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
  >/dev/null 2>&1 && echo $(p))))
VENV := .venv
BIN := $(VENV)/bin
SOURCES := flows tasks expectations deployments tests
PIP := $(BIN)/python -m pip install --quiet --no-deps --disable-pip-version-check

.PHONY: run year test lint bench audit setup lock clean
.DEFAULT_GOAL := run

run: $(VENV)/.installed
	@$(BIN)/resegment run

year: $(VENV)/.installed
	@$(BIN)/resegment demo

test: $(VENV)/.installed-dev lint
	@$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/mypy
	@$(BIN)/deptry .

bench: $(VENV)/.installed-dev
	@$(BIN)/python tests/benchmarks/bench.py
	@$(BIN)/python -m tests.benchmarks.publishing

# The counts that need many draws; their results stand in the README. CCDATA_CSV names the table.
audit: $(VENV)/.installed
	@$(BIN)/python -m tests.audits

setup: $(VENV)/.installed

# pip compiles what it installs to bytecode; the lock is complete, so nothing is resolved.
$(VENV)/.installed: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 with ensurepip is needed"; exit 2; }
	@echo "setting up $(VENV), once (a minute or two)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) -r requirements.lock
	@$(PIP) --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q $(SOURCES)
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	@$(PIP) -r requirements-dev.lock
	@touch $@

# The locks name versions and hashes, and no address.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --no-annotate --no-strip-extras pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --no-annotate --no-strip-extras --group dev --all-extras -c requirements.lock \
	  pyproject.toml -o requirements-dev.lock

clean:
	rm -rf $(VENV) build *.egg-info
