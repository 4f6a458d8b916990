# Bare `make` lists the targets. Each installs what it needs (.ci/install).
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON := .venv/bin/python
PYTEST := .venv/bin/pytest
KEEP ?=

.PHONY: help demo test test-quick test-all test-lowest lint bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: ## watch a virtual rack boot by its own firmware (KEEP=1 stays up)
	@.ci/install vm
	@KEEP=$(KEEP) $(PYTHON) vm-tests/demo.py

test: lint ## all but the long stories: lint, types, tests, one VM story a firmware
	@.ci/install vm
	$(PYTEST) tests -n auto
	$(PYTEST) vm-tests -m "firmware or not vm"

test-quick: lint ## what needs no VM
	@.ci/install test
	$(PYTEST) tests -n auto
	$(PYTEST) vm-tests -m "not vm"

test-all: lint ## everything: tests, every VM story, the lowest versions of the dependencies
	@.ci/install vm
	$(PYTEST) tests -n auto
	BOOTSTRAPD_KILLS=200 $(PYTEST) tests/daemon/test_killed.py -s
	$(MAKE) --no-print-directory test-lowest
	$(PYTEST) vm-tests

test-lowest: ## the tests with the lowest versions that pyproject.toml allows
	@.ci/install test
	@.ci/lowest

lint: ## ruff and mypy
	@.ci/install
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy bootstrapd tests/bench
	MYPYPATH=tests .venv/bin/mypy tests --exclude ^tests/bench/
	MYPYPATH=vm-tests .venv/bin/mypy vm-tests --exclude ^vm-tests/nixos/

bench: ## ours beside the peers, in one run: build/bench.json
	@.ci/install bench
	$(PYTHON) -m tests.bench

clean: ## remove what was built
	rm -rf build .venv
