# All of it needs only Python 3.11 or later with venv; the environment is made from uv.lock when it is missing or older.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.synced

.DEFAULT_GOAL := help
.PHONY: help env demo test test-long test-spark bench check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: $(STAMP) ## make .venv from uv.lock (nothing to do when it is up to date)
	@:

demo: $(STAMP) ## from nothing to the closed loop: train, stream, drift, retrain, promote, recover; ends with a report
	@$(BIN)/cardwatch demo

test: $(STAMP) ## the test suite on real parts, with coverage
	@$(BIN)/pytest -m "not long and not spark and not compose" --cov --cov-report=term:skip-covered

test-long: $(STAMP) ## what takes longer: the demo at full scale, eight times (half an hour)
	@$(BIN)/pytest -m long

test-spark: $(STAMP) ## the backfill on Spark against the local replay; installs Spark first (half a gigabyte)
	@$(BIN)/uv sync --frozen --inexact --quiet --group spark
	@$(BIN)/pytest -m spark

bench: $(STAMP) ## all benchmarks -> benchmarks/results/latest.json and a table; SUITES="replay" for some (a quarter of an hour)
	@$(BIN)/uv sync --frozen --inexact --quiet --group bench
	@$(BIN)/python -m benchmarks $(SUITES)

check: $(STAMP) ## what CI runs: lint, format, types, imports, test, the backfill on Spark
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory test-spark

clean: ## delete .cardwatch (data, logs, reports) and the tools' caches; the environment stays
	@rm -rf .cardwatch .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage coverage.xml

$(STAMP): uv.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null || { \
	    echo "make: $(PYTHON) is not Python 3.11, 3.12 or 3.13 ($$($(PYTHON) --version 2>&1)); name one: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "make: $(PYTHON) has no venv; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/pip || { echo "making .venv with $$($(PYTHON) --version)"; $(PYTHON) -m venv .venv; }
	@$(BIN)/pip install --quiet --disable-pip-version-check "uv==$$(awk '/^name = "uv"$$/ { getline; gsub(/[^0-9.]/, ""); print }' uv.lock)"
	@$(BIN)/uv sync --frozen --quiet
	@touch $@
