# Driftline. `make help` lists what there is; all of it works from a fresh clone.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate pyproject.toml

# Two at once, each with an Elasticsearch of its own; the tests of a file share what is slow to make, so they stay together.
# Files are handed out in the order of tests/conftest.py, not by their number of tests: the longest have few.
TWO := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help
help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|' 2>/dev/null \
		|| grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST)

.PHONY: env
env: ## Make the environment .venv, with .venv/bin/driftline
	@tools/make-env requirements.txt

.PHONY: dev-env
dev-env:
	@tools/make-env requirements-dev.txt

.PHONY: up
up: env ## Start Elasticsearch and Airflow, and mend what is broken
	@$(BIN)/driftline up

.PHONY: down
down: env ## Stop both; all data stays
	@$(BIN)/driftline down

.PHONY: status
status: env ## Tell what runs, and where
	@$(BIN)/driftline status || true

.PHONY: demo
demo: env ## Run the whole main job on generated traffic, and print what it found
	@$(BIN)/driftline demo

.PHONY: lint
lint: dev-env ## Check style, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: dev-env ## Put the code in shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: test
test: lint ## Pass all tests but the long ones
	$(BIN)/pytest -m "not full" $(TWO)

.PHONY: test-full
test-full: lint ## Pass all tests
	$(BIN)/pytest $(TWO)

.PHONY: requirements
requirements: dev-env ## Pin the dependencies of pyproject.toml anew
	PATH="$(CURDIR)/$(BIN):$$PATH" $(COMPILE) -o requirements.txt
	PATH="$(CURDIR)/$(BIN):$$PATH" $(COMPILE) --extra production -c requirements.txt -o requirements-production.txt
	PATH="$(CURDIR)/$(BIN):$$PATH" $(COMPILE) --extra production --extra dev -c requirements.txt -c requirements-production.txt -o requirements-dev.txt
