# Every target sets up what it needs in .venv/; the second call finds the stamp and is instant.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
# Tests at a time: one more than there are cores, for some wait for a process or for time to pass.
WORKERS = $(shell $(PYTHON) -c 'import os; print(min(4, 1 + (os.cpu_count() or 1)))')

export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.DEFAULT_GOAL := help
.PHONY: help demo serve test test-slow lint audit bench bench-load docs clean

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

serve: $(STAMP)  ## Serve the memory of the demo: GraphQL, Cypher, MCP at port 8080
	@test -e demo-memory/graphsvc.json || $(BIN)/graphsvc demo
	$(BIN)/graphsvc serve demo-memory

test: lint  ## Set up, check the code, run all tests in their short form
	$(BIN)/python -m compileall -q graphsvc  # once, for the many processes that tests start
	$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-slow: $(STAMP)  ## The long form of the slow tests: fifty kills on each engine, and the like
	$(BIN)/python -m pytest -m slow

lint: $(STAMP)  ## Formatting rules, strict types, a look for weaknesses, documentation up to date
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/bandit -q -c pyproject.toml -r graphsvc
	$(BIN)/python docs/generate.py --check

audit: $(STAMP)  ## Ask for known weaknesses of what is installed (takes the network)
	$(BIN)/pip-audit --local --skip-editable

bench: $(STAMP)  ## Measure against the peers in one run, and write the tables into README and docs/quality.md
	$(BIN)/python -m benchmarks --write

bench-load: $(STAMP)  ## Crowds of up to 10,000 clients at the service, the long form; into docs/operations.md
	$(BIN)/python -m benchmarks --only ours.crowds --write

docs: $(STAMP)  ## Write the reference from the code
	$(BIN)/python docs/generate.py

clean:  ## Remove what the targets made
	rm -rf $(VENV) .cache demo-memory demo-calls.svg demo-calls.png .mypy_cache .ruff_cache .pytest_cache .hypothesis
