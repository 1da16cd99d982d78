# A machine needs make and python >= 3.11; everything else is installed into .venv at the versions of constraints.txt.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# What the notebook looks at: that of the first comparison of README, unless DB=... names another
DATABASE := $(or $(DB),gnomon.duckdb)
# The first interpreter on the path that is new enough; PYTHON=... chooses another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)

.PHONY: help demo test test-fast lint format bench bench-judge soak docs notebook clean

help:  ## what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/make \1	\2/' | expand -t 16

$(STAMP): pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ]; then echo "no python >= 3.11 on the path; install one, or name it: make PYTHON=..." >&2; exit 2; fi
	@echo "Installing into $(VENV), at the versions of constraints.txt: a minute or two, once" >&2
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt hatchling editables
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	@touch $@

demo: $(STAMP)  ## the whole system on this machine, until Ctrl-C (SECONDS=30: that long after the first table)
	$(BIN)/gnomon demo $(if $(SECONDS),--seconds $(SECONDS))

test: $(STAMP)  ## every test, with coverage
	$(BIN)/python -m pytest --cov

test-fast: $(STAMP)  ## the tests that need no broker, without coverage
	$(BIN)/python -m pytest -m "not kafka"

lint: $(STAMP)  ## style, types, layers, and whether generated files are fresh
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m gnomon.reference --check

format: $(STAMP)  ## let ruff lay out and repair the code
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

bench: $(STAMP)  ## measure; prints ratios, never fails on a time
	@for benchmark in tests/benchmarks/bench_*.py; do $(BIN)/python "$$benchmark" || exit $$?; done

bench-judge: $(STAMP)  ## simulate the judge: false alarms and power beside its rivals
	$(BIN)/python tests/benchmarks/bench_judge.py

soak: $(STAMP)  ## a worker at full speed for ten minutes: is its memory flat, and every pair there once
	$(BIN)/python tests/benchmarks/soak_worker.py

docs: $(STAMP)  ## write schemas/ and docs/{cli,configuration,operations,tables}.md anew from the code
	$(BIN)/python -m gnomon.reference

notebook: $(STAMP) $(DATABASE)  ## run the notebook on the database DB, into notebooks/first_look-run.ipynb
	GNOMON_DB=$(abspath $(DATABASE)) $(BIN)/jupyter execute --output=first_look-run notebooks/first_look.ipynb

gnomon.duckdb: | $(STAMP)
	$(BIN)/gnomon compare --live docs/httpbin/live.ndjson.zst --shadow docs/httpbin/shadow.ndjson.zst \
		--rules docs/httpbin/rules.toml --db $@

clean:  ## remove what the other targets made
	rm -rf $(VENV) .coverage htmlcov .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
