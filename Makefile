# make demo          install what the lock names into .venv, compare the three formulations on a round, print its plan
# make test          install the locked development tools, run the whole suite
# make test-lowest   the suite on the lowest versions that pyproject.toml allows, in .venv-lowest
# make test-newest   the suite on the newest of everything, in .venv-newest
# make soak          attack all strategies with rounds as people write them, half an hour (MINUTES=5 SEED=0 JOBS=1)
# make lock          choose versions anew and write locks/, then look for the wheels of every platform
# make lint | types | bench | schemas | docs | gallery | clean
#
# PYTHON is the interpreter that makes the virtual environments: any Python 3.11 or newer. Without it, the first
# on the path that the locks cover (3.11 to 3.13) is taken.

PYTHON ?=
VENV ?= .venv
BIN := $(VENV)/bin
ROUND ?= data/rounds/prover-market.json
SCHEMAS ?= data/schema
PYTEST_ARGS ?=
MINUTES ?= 30
SEED ?= new
JOBS ?= 2

# What the lowest and the newest versions are tried on by .ci/run: the door to HiGHS, the command line, what is
# printed as JSON, and every command of the documentation. `make test-lowest FAST=1` runs just this.
FAST_TESTS := tests/solver tests/cli tests/test_schemas.py tests/test_docs.py tests/plan/test_plan.py

# Other people's deprecations are no faults of ours where versions are not those of the lock.
FOREIGN_WARNINGS := -W default::DeprecationWarning -W default::PendingDeprecationWarning -W default::FutureWarning

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

# The suite starts hundreds of processes: where compiled modules may not be kept, each compiles the package again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-lowest test-newest soak lock lint types bench schemas docs gallery clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -n 10

# --- virtual environments: made once, installed into again only when a lock or pyproject.toml changed -------

%/bin/python:
	@python=$$(locks/python.sh $(PYTHON)) && "$$python" -m venv $* || { rm -rf $*; exit 1; }

$(VENV)/.installed: pyproject.toml locks/demo.txt | $(BIN)/python
	@locks/install.sh $(BIN) demo.txt ""
	@touch $@

$(VENV)/.installed-dev: pyproject.toml locks/dev.txt | $(BIN)/python
	@locks/install.sh $(BIN) dev.txt dev
	@touch $@ $(VENV)/.installed

# The lowest versions are those that Python 3.11 has wheels of.
.venv-lowest/bin/python:
	@python=$$(locks/python.sh $(or $(PYTHON),python3.11)) && "$$python" -m venv .venv-lowest || { rm -rf .venv-lowest; exit 1; }

.venv-lowest/.installed: pyproject.toml locks/lowest.txt | .venv-lowest/bin/python
	@locks/install.sh .venv-lowest/bin lowest.txt test
	@touch $@

# --- what one does with it ----------------------------------------------------------------------------------

demo: $(VENV)/.installed
	$(BIN)/bondwork compare $(ROUND) --strategy extensive \
		--formulation highs --formulation cvxpy --formulation pyomo --mip-rel-gap 0
	$(BIN)/bondwork solve $(ROUND) --mip-rel-gap 0

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

test-lowest: .venv-lowest/.installed
	@.venv-lowest/bin/python -m pip list 2>/dev/null
	.venv-lowest/bin/python -m pytest -n 2 $(FOREIGN_WARNINGS) $(if $(FAST),$(FAST_TESTS)) $(PYTEST_ARGS)

# Never up to date: the newest of yesterday is not that of today.
test-newest: | .venv-newest/bin/python
	locks/install.sh .venv-newest/bin - test
	@.venv-newest/bin/python -m pip list 2>/dev/null
	.venv-newest/bin/python -m pytest -n 2 $(FOREIGN_WARNINGS) $(if $(FAST),$(FAST_TESTS)) $(PYTEST_ARGS)

soak: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/whole_numbers.py --seconds $$(($(MINUTES) * 60)) --from $(SEED) --jobs $(JOBS)

lock: .venv-lock/.installed
	$(COMPILE) --universal --constraints locks/constraints.in -o locks/demo.txt
	$(COMPILE) --universal --constraints locks/constraints.in --extra dev -o locks/dev.txt
	$(COMPILE) --resolution lowest-direct --extra test -o locks/lowest.txt
	@locks/platforms.sh .venv-lock/bin/uv locks/demo.txt locks/dev.txt

COMPILE := .venv-lock/bin/uv pip compile pyproject.toml locks/build.in \
	--quiet --upgrade --python-version 3.11 --only-binary :all: --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command "make lock"

.venv-lock/.installed: locks/lock.txt | .venv-lock/bin/python
	@.venv-lock/bin/python -m pip install --quiet --require-hashes --requirement locks/lock.txt
	@touch $@

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
	rm -rf $(VENV) .venv-lowest .venv-newest .venv-lock build dist docs/_generated .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
