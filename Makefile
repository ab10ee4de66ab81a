# Every target sets up what it needs in .venv/; the second call finds the stamp and is instant.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint bench docs clean

help:  ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("graphsvc needs Python 3.11 or newer; this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@$(PYTHON) -c 'import platform, sys; sys.exit("graphsvc runs on Linux and macOS, not on " + platform.system()) if platform.system() not in ("Linux", "Darwin") else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP)  ## Take in real episodes and skills, answer, survive a kill
	$(BIN)/graphsvc demo
	$(BIN)/graphsvc demo calls --picture demo-calls

test: lint  ## Set up, check the code, run all tests in their short form
	$(BIN)/python -m pytest -m "not slow" -n auto --maxprocesses 4 --dist loadfile

test-slow: $(STAMP)  ## The long form of the slow tests: fifty kills on each engine, and the like
	$(BIN)/python -m pytest -m slow

lint: $(STAMP)  ## Formatting rules, strict types, documentation up to date
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python docs/generate.py --check

bench: $(STAMP)  ## Measure against the peers in one run, and write the tables into README and docs/quality.md
	$(BIN)/python -m benchmarks --write

docs: $(STAMP)  ## Write the reference from the code
	$(BIN)/python docs/generate.py

clean:  ## Remove what the targets made
	rm -rf $(VENV) .cache demo-memory demo-calls.svg demo-calls.png .mypy_cache .ruff_cache .pytest_cache .hypothesis
