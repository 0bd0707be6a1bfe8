# make demo     install into .venv, compare the three formulations on an example round, print its plan
# make test     install the development extra, run the whole suite
# make lint | types | bench | schemas | docs | gallery | clean
#
# PYTHON is the interpreter that makes the virtual environment: any Python 3.11 or newer.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ROUND ?= data/rounds/prover-market.json
SCHEMAS ?= data/schema
PYTEST_ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint types bench schemas docs gallery clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -n 5

# --- the virtual environment: made once, installed into again only when pyproject.toml changed --------------

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "$(PYTHON) is not there. Install Python 3.11 or newer, or name it: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is `$(PYTHON) -V`, 3.11 or newer is needed. Name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments: its ensurepip is missing. On Debian and Ubuntu:" >&2; \
		echo "    apt install `$(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'`" >&2; \
		echo "or name another interpreter: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.installed

# --- what one does with it ----------------------------------------------------------------------------------

demo: $(VENV)/.installed
	$(BIN)/bondwork compare $(ROUND) --strategy extensive \
		--formulation highs --formulation cvxpy --formulation pyomo --mip-rel-gap 0
	$(BIN)/bondwork solve $(ROUND) --mip-rel-gap 0

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.installed-dev
	$(BIN)/mypy
	$(BIN)/mypy docs/conf.py docs/pages.py

bench: $(VENV)/.installed-dev
	@for each in benchmarks/*.py; do \
		case "$$each" in */peers.py|*/growth.py) args=--quick;; *) args=;; esac; \
		echo "$$each $$args"; $(BIN)/python "$$each" $$args || exit 1; done

schemas: $(VENV)/.installed
	@mkdir -p $(SCHEMAS)
	for each in $$($(BIN)/bondwork schema); do $(BIN)/bondwork schema $$each -o $(SCHEMAS)/$$each.json || exit 1; done

# The site, in build/docs. Every warning is an error: a link that leads nowhere, a docstring that is no markup.
docs: $(VENV)/.installed-dev
	$(BIN)/sphinx-build -q -W --keep-going -j 2 -b html docs build/docs
	@echo "build/docs/index.html"

# Runs the notebooks again and keeps their outputs, which tests/docs compares.
gallery: $(VENV)/.installed-dev
	cd docs/gallery && for each in *.ipynb; do ../../$(BIN)/jupyter execute --inplace $$each || exit 1; done

clean:
	rm -rf $(VENV) build dist docs/_generated .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
