# All targets need Python 3.11 to 3.13 with venv. The environment is made from uv.lock if it is missing or older than the lock.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.synced

.DEFAULT_GOAL := help
.PHONY: help env demo up down ps logs images test coverage test-long test-spark test-compose smoke-compose \
    aws-local aws-plan aws-deploy aws-destroy bench check clean

# The compose command of Docker or podman, or empty. EMBEDDED=1 disables containers.
ENGINE = $(if $(EMBEDDED),,$(shell $(BIN)/python -m infra.compose engine))
PROFILES ?= demo observability
# The name of an environment in infra/terraform/envs.
ENV ?= sandbox
# Kernels are compiled once, before the three test processes start. Tests start some hundred processes, so bytecode is kept
# also where the environment says PYTHONDONTWRITEBYTECODE.
PYTEST = export PYTHONDONTWRITEBYTECODE= && $(BIN)/python -m cardwatch.warm_up && $(BIN)/pytest -n 3 --dist loadfile -m "not long and not spark and not compose"
COMPOSE = $(ENGINE) $(addprefix --profile ,$(PROFILES))

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: $(STAMP) ## make .venv from uv.lock, unless it is up to date
	@:

demo: $(STAMP) ## run the closed loop (train, stream, drift, retrain, promote, recover) and write a report
	@$(BIN)/cardwatch demo

up: $(STAMP) ## start the stack, in containers if there is an engine, else embedded (EMBEDDED=1: always embedded)
	@if [ -n "$(ENGINE)" ]; then \
	    echo "in containers, with $(ENGINE); profiles: core $(PROFILES)"; \
	    $(BIN)/python -m infra.compose secrets && $(BIN)/cardwatch tour --json-only && $(BIN)/python -m infra.compose images && $(COMPOSE) up -d && $(BIN)/python -m infra.compose addresses; \
	else \
	    echo "no container engine, or EMBEDDED is set: starting the embedded stack"; \
	    $(BIN)/cardwatch up; \
	fi

down: $(STAMP) ## stop the stack; data stay
	@if [ -n "$(ENGINE)" ]; then $(COMPOSE) down; else $(BIN)/cardwatch down; fi

ps: $(STAMP) ## list the stack's processes and their state
	@if [ -n "$(ENGINE)" ]; then $(COMPOSE) ps; else $(BIN)/cardwatch ps; fi

logs: $(STAMP) ## show the stack's logs; SERVICE="stream archive" for some
	@if [ -n "$(ENGINE)" ]; then $(COMPOSE) logs $(SERVICE); else $(BIN)/cardwatch logs $(SERVICE); fi

images: $(STAMP) ## build all images, and list their sizes
	@$(BIN)/cardwatch tour --json-only
	@$(BIN)/python -m infra.compose images

test: $(STAMP) ## run the test suite on real parts
	@$(PYTEST)

coverage: $(STAMP) ## run the same tests and list the lines that they do not reach (a quarter slower)
	@$(PYTEST) --cov --cov-report=term-missing:skip-covered

test-long: $(STAMP) ## run the long tests: kills and chaos under traffic, each alert, the demo at full scale eight times (two hours)
	@$(BIN)/pytest -m long

test-spark: $(STAMP) ## test the backfill on Spark against the local replay; installs Spark first (half a gigabyte)
	@$(BIN)/uv sync --frozen --inexact --quiet --group spark
	@$(BIN)/pytest -m spark

test-compose: $(STAMP) ## test the compose file: up, kill each part under 200 transactions a second, down
	@$(BIN)/pytest -m compose -k "not smoke"

smoke-compose: $(STAMP) ## test the compose file briefly: build images, up, a first decision by the champion, down
	@$(BIN)/pytest -m compose -k smoke

aws-local: $(STAMP) ## run the system on moto, a local AWS: apply, use, retrain, destroy (needs Terraform, no account, no Docker)
	@$(BIN)/cardwatch aws local

aws-plan: $(STAMP) ## show what Terraform would change in your AWS account; ENV=sandbox, IMAGE_TAG=... the first time
	@$(BIN)/cardwatch aws plan $(ENV) $(if $(IMAGE_TAG),--image-tag $(IMAGE_TAG))

aws-deploy: $(STAMP) ## check, price, deploy and test it in your AWS account; ENV=sandbox, IMAGE_TAG=... the first time
	@$(BIN)/cardwatch aws deploy $(ENV) $(if $(IMAGE_TAG),--image-tag $(IMAGE_TAG))

aws-destroy: $(STAMP) ## remove it from your AWS account, with its data; ENV=sandbox
	@$(BIN)/cardwatch aws destroy $(ENV)

bench: $(STAMP) ## run all benchmarks, write benchmarks/results/latest.json, print a table; SUITES="replay" for some, RECORD=1 to keep them (an hour)
	@$(BIN)/uv sync --frozen --inexact --quiet --group bench
	@$(BIN)/python -m benchmarks $(SUITES) $(if $(RECORD),--record)

check: $(STAMP) ## run what CI runs: lint, format, types, imports, tests, the backfill on Spark
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory test-spark

clean: ## stop the stack and delete all data: volumes, .cardwatch, tool caches; the environment and images stay
	@if [ -x $(BIN)/python ] && [ -n "$(ENGINE)" ]; then $(COMPOSE) down -v; fi
	@if [ -x $(BIN)/cardwatch ]; then $(BIN)/cardwatch down; fi
	@rm -rf .env .cardwatch .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage coverage.xml

$(STAMP): uv.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null || { \
	    echo "make: $(PYTHON) is not Python 3.11, 3.12 or 3.13 ($$($(PYTHON) --version 2>&1)); name one: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "make: $(PYTHON) has no venv; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/pip || { echo "making .venv with $$($(PYTHON) --version)"; $(PYTHON) -m venv .venv; }
	@$(BIN)/pip install --quiet --disable-pip-version-check "uv==$$(awk '/^name = "uv"$$/ { getline; gsub(/[^0-9.]/, ""); print }' uv.lock)"
	@$(BIN)/uv sync --frozen --quiet --compile-bytecode
	@touch $@
