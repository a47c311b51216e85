# The few commands one types every day. `make demo` and `make test` set up all they need in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BENCHMARKED := $(VENV)/.installed-bench
PEERS := .venv-peers

# Of bench-queue and bench-engine; the plots in docs/ are those of the last whole run.
ARGS ?= --plots docs

.DEFAULT_GOAL := help

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

# torch first and by its bounds: a later, wider wish for it is then met already.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lengthwise needs Python 3.11 or newer")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV), once: about two minutes"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "torch>=2.6,<2.14"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[local,dev]"
	@touch $@

install: $(INSTALLED) ## Make .venv and install everything into it

demo: $(INSTALLED) ## Two real bulk jobs through a whole installation on this machine
	@$(BIN)/python -m examples.demo

up: $(INSTALLED) ## The whole installation in the foreground, until Ctrl-C
	@$(BIN)/lengthwise up

lint: $(INSTALLED) ## Style, types and the import floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint ## Everything: lint, types, floors, and all tests on real PostgreSQL and Redis
	$(BIN)/pytest

SEEDS ?= 20
PARALLEL ?= 1

faults: $(INSTALLED) ## Every fault of the harness under SEEDS seeds (20), PARALLEL stacks at a time (1)
	@$(BIN)/python -m tests.faults --seeds $(SEEDS) --parallel $(PARALLEL)

test-servers: $(INSTALLED) ## The tests on servers of your own: LENGTHWISE_DATABASE_URL and LENGTHWISE_REDIS_URL
	@test -n "$$LENGTHWISE_DATABASE_URL" -a -n "$$LENGTHWISE_REDIS_URL" || \
	  { echo "set LENGTHWISE_DATABASE_URL and LENGTHWISE_REDIS_URL to servers that tests may use"; exit 2; }
	$(BIN)/pytest

test-install: $(INSTALLED) ## The wheel in clean environments, one for each extra: some minutes, and downloads
	$(BIN)/pytest -s -m slow tests/install

test-js: $(INSTALLED) ## The OpenAI surface with OpenAI's JavaScript SDK: needs node and npm
	$(BIN)/pytest -m js tests/js

test-compose: $(INSTALLED) ## docker compose up, a job through it, its result and its webhook
	$(BIN)/pytest -s tests/compose

format: $(INSTALLED) ## Format and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

evaluate: $(INSTALLED) ## Held-out accuracy of the shipped demo models
	$(BIN)/python -m training.evaluate

# celery-batches 0.11 asks for celery<5.7 and runs on 5.7 as well: without its bound all are measured on the same Celery.
$(BENCHMARKED): $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[bench]"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps "celery-batches==0.11"
	@touch $@

bench-queue: $(BENCHMARKED) ## What the queue costs, beside one Celery task an item (some 20 minutes; ARGS=--quick for two)
	@$(BIN)/python -m benchmarks.queue $(ARGS)

$(PEERS)/.installed: benchmarks/engine/peers.txt
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@echo "installing CTranslate2 and OpenVINO into $(PEERS), once: about three minutes"
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check "torch>=2.6,<2.14"
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/engine/peers.txt
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps "optimum-intel==2.2.0"
	@touch $@

bench-engine: $(BENCHMARKED) $(PEERS)/.installed ## The engine beside transformers, CTranslate2 and OpenVINO (an hour or two; ARGS=--quick for minutes)
	@$(BIN)/python -m benchmarks.engine $(ARGS)

bench-gpu: ARGS :=
bench-gpu: $(INSTALLED) ## The engine beside transformers on a GPU, in bf16 (ARGS="--size 7b"; ARGS=--tiny on a CPU)
	@$(BIN)/python -m benchmarks.gpu $(ARGS)

clean: ## Remove the environment, the local data and all caches
	rm -rf $(VENV) $(PEERS) .lengthwise .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

.PHONY: help install demo up lint test faults test-servers test-install test-js test-compose format evaluate bench-queue bench-engine bench-gpu clean
