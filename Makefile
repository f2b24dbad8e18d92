# All of it needs only Python 3.11 or later with venv; the environment is made from uv.lock when it is missing or older.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.synced

.DEFAULT_GOAL := help
.PHONY: help env demo up down ps logs images test coverage test-long test-spark test-compose smoke-compose \
    aws-local aws-plan aws-deploy aws-destroy bench check clean

# Docker's compose, or podman's, or nothing. EMBEDDED=1 says that containers are not wanted.
ENGINE = $(if $(EMBEDDED),,$(shell $(BIN)/python -m infra.compose engine))
PROFILES ?= demo observability
# An environment of infra/terraform/envs.
ENV ?= sandbox
PYTEST = $(BIN)/pytest -n 2 --dist loadfile -m "not long and not spark and not compose"
COMPOSE = $(ENGINE) $(addprefix --profile ,$(PROFILES))

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: $(STAMP) ## make .venv from uv.lock (nothing to do when it is up to date)
	@:

demo: $(STAMP) ## from nothing to the closed loop: train, stream, drift, retrain, promote, recover; ends with a report
	@$(BIN)/cardwatch demo

up: $(STAMP) ## the stack until you stop it: in containers where an engine is, else embedded (EMBEDDED=1: embedded anyway)
	@if [ -n "$(ENGINE)" ]; then \
	    echo "in containers, with $(ENGINE); profiles: core $(PROFILES)"; \
	    test -f .env || (umask 077; echo "CARDWATCH_API_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(24))')" > .env); \
	    $(BIN)/python -m infra.compose images && $(COMPOSE) up -d && $(BIN)/python -m infra.compose addresses; \
	else \
	    echo "there is no container engine here, or none is wanted: the embedded stack"; \
	    $(BIN)/cardwatch up; \
	fi

down: $(STAMP) ## stop it; data stay
	@if [ -n "$(ENGINE)" ]; then $(COMPOSE) down; else $(BIN)/cardwatch down; fi

ps: $(STAMP) ## what runs, and how it is
	@if [ -n "$(ENGINE)" ]; then $(COMPOSE) ps; else $(BIN)/cardwatch ps; fi

logs: $(STAMP) ## what it says; SERVICE="stream archive" for some
	@if [ -n "$(ENGINE)" ]; then $(COMPOSE) logs $(SERVICE); else $(BIN)/cardwatch logs $(SERVICE); fi

images: $(STAMP) ## build all images, and list their sizes
	@$(BIN)/python -m infra.compose images

test: $(STAMP) ## run the test suite on real parts, in at most 15 minutes on two cores
	@$(PYTEST)

coverage: $(STAMP) ## run the same tests and list the lines that they do not reach (a quarter slower)
	@$(PYTEST) --cov --cov-report=term-missing:skip-covered

test-long: $(STAMP) ## what takes longer: kills under traffic, each alert tried, the demo at full scale eight times (an hour)
	@$(BIN)/pytest -m long

test-spark: $(STAMP) ## the backfill on Spark against the local replay; installs Spark first (half a gigabyte)
	@$(BIN)/uv sync --frozen --inexact --quiet --group spark
	@$(BIN)/pytest -m spark

test-compose: $(STAMP) ## the compose file for real: up, used, each part killed under 200 transactions a second, down
	@$(BIN)/pytest -m compose -k "not smoke"

smoke-compose: $(STAMP) ## the compose file in short: images built, up, a first decision by the champion, down
	@$(BIN)/pytest -m compose -k smoke

aws-local: $(STAMP) ## the system on AWS, played by moto on this machine: apply, use, retrain, destroy (Terraform, no account, no Docker)
	@$(BIN)/cardwatch aws local

aws-plan: $(STAMP) ## what Terraform would change in your AWS account; ENV=sandbox, IMAGE_TAG=... the first time
	@$(BIN)/cardwatch aws plan $(ENV) $(if $(IMAGE_TAG),--image-tag $(IMAGE_TAG))

aws-deploy: $(STAMP) ## check, price, apply and try it in your AWS account; ENV=sandbox, IMAGE_TAG=... the first time
	@$(BIN)/cardwatch aws deploy $(ENV) $(if $(IMAGE_TAG),--image-tag $(IMAGE_TAG))

aws-destroy: $(STAMP) ## remove it from your AWS account, with its data; ENV=sandbox
	@$(BIN)/cardwatch aws destroy $(ENV)

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

clean: ## down, and delete all data: volumes, .cardwatch, the tools' caches; the environment and images stay
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
	@$(BIN)/uv sync --frozen --quiet
	@touch $@
