# Every developer command. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
DATA_DIR ?= tron-data
# It takes one processor to itself, and would starve those that run beside it.
SHORT_TURNS := tests/unit/test_short_turns.py
# A file stays on one worker, which shares its servers.
PARALLEL := --dist loadfile --no-loadscope-reorder --durations=$${DURATIONS:-15}
# With this variable, which images of Python set, every program that the tests start compiles all of its modules.
unexport PYTHONDONTWRITEBYTECODE
# The tools of the set-up (buf, grpcurl) stand in front of whatever the machine has.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help up demo setup test gates tests fleets scenarios lint types fast check fix stubs e2e endurance chaos browser simulate fuzz conformance coverage bench curve clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(VENV)/.installed  ## install what it needs, and run the whole system here (Ctrl-C ends it)
	exec $(BIN)/tron up --data-dir $(DATA_DIR)

demo: $(VENV)/.installed  ## the same, with a fleet to play with
	exec $(BIN)/tron up --demo --data-dir $(DATA_DIR)

setup: $(VENV)/.installed-dev  ## install everything for developing

# Lint, types and the simulation have no deadlines: they run beside the tests, on what those leave of the processors.
BESIDE := $(shell command -v setsid) tools/in_background.sh
test: setup  ## everything that CI runs; sets itself up
	printed=$$(mktemp -d); status=0; \
	$(BESIDE) 19 $(MAKE) -k -j 2 $(if $(filter output-sync,$(.FEATURES)),-O) --no-print-directory lint types fleets scenarios \
		>$$printed/checks 2>&1 & checks=$$!; \
	trap 'kill -- -$$checks 2>/dev/null || kill $$checks 2>/dev/null || true; rm -rf $$printed' EXIT; \
	$(MAKE) --no-print-directory gates || status=$$?; \
	$(MAKE) --no-print-directory tests || status=$$?; \
	wait $$checks || status=$$?; \
	cat $$printed/checks; exit $$status

gates: setup
	$(BIN)/python -m pytest $(SHORT_TURNS)
	$(BIN)/python -m benchmarks.per_message --gate --rounds 3 --seconds 1

# Tests of whole programs wait for half of their time, so there are more workers than processors. Unit tests, which only compute, come
# last: nothing that waits beside them misses a deadline.
UNITS_LAST := $(filter-out tests/simulation/ tests/support/ tests/__pycache__/ tests/unit/,$(sort $(wildcard tests/*/))) tests/unit
tests: setup
	$(BIN)/python -m pytest -n 3 $(PARALLEL) --ignore $(SHORT_TURNS) $(UNITS_LAST)

FLEETS := tests/simulation/test_simulation.py
fleets: setup
	$(BIN)/python -m pytest --durations=5 $(FLEETS)

scenarios: setup
	$(BIN)/python -m pytest --durations=5 --ignore $(FLEETS) tests/simulation

check: setup lint types fast  ## lint, types, fast tests

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format -d --exit-code
	tools/check_breaking.sh $(BIN)/buf
	$(BIN)/python tools/check_language.py

types: setup
	$(BIN)/mypy

fast: setup
	SEEDS=$${SEEDS:-200} FAMILIES=$${FAMILIES:-100} $(BIN)/python -m pytest -q $(wildcard tests/unit tests/simulation) \
		--ignore=tests/simulation/test_mutants.py

fix: setup  ## repair what can be repaired: imports, format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/buf format -w

stubs: setup  ## generate the Python stubs from proto/, and the page's table of event types
	$(BIN)/python tools/make_stubs.py
	$(BIN)/python tools/make_event_types.py

e2e: setup  ## tests against real processes
	$(BIN)/python -m pytest tests/e2e

endurance: setup  ## the tests that take minutes: programs that freeze, machines that vanish
	$(BIN)/python -m pytest -m endurance -s tests/e2e

chaos: setup  ## faults on real processes, all scenarios; the table is left in benchmarks/results/chaos.json
	status=0; CHAOS_OUT=benchmarks/results/chaos.json CHAOS_TOLERANCE=0.25 $(BIN)/python -m pytest -m "not endurance" -s tests/chaos || status=$$?; \
	$(BIN)/python -m tools.make_chaos_table --print; exit $$status

browser: setup  ## tests of the dashboard in Chromium; they leave pictures in tests/browser/shots
	SHOTS=1 $(BIN)/python -m pytest tests/browser

simulate: setup  ## the simulation under many seeds: SEEDS=N, 50000 by default
	SEEDS=$${SEEDS:-50000} FAMILIES=$${FAMILIES:-10000} $(BIN)/python -m pytest -s tests/simulation/test_simulation.py

fuzz: setup  ## bytes from outside that no client should send, for FUZZ_SECONDS (600); see tests/fuzz/__init__.py
	$(BIN)/python -m tests.fuzz

conformance: setup  ## the transcripts of the heartbeat protocol, against the Python SDK
	$(BIN)/python -m clients.conformance.runner

coverage: setup  ## which lines the tests run, programs that they start included; a report, not a gate
	$(BIN)/python -m pytest -q -n 2 $(PARALLEL) --cov --cov-report=html --cov-report=term tests/unit tests/contract tests/sinks

bench: setup  ## run all benchmarks; one table at the end, and benchmarks/results/latest.json
	$(BIN)/python -m benchmarks.latest

curve: setup  ## simulate false alarms against detection time; writes the tables and the curve of docs/false-alarms.md
	$(BIN)/python -m benchmarks.false_alarms

clean:  ## remove the environment and all caches (not the data)
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	python=$$(tools/find_python.sh) && "$$python" -m venv $(VENV)

# The pip that comes with an older Python takes twice as long. A newer one prints the warnings of setuptools.
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# The stamps make a second call instant; a change of the requirements makes them stale.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --upgrade pip
	$(PIP) -e '.[server]'
	touch $@

# pip compiles one file after the other; all processors do it in a third of the time.
$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	tools/install_debian.sh $(BIN) & debian=$$!; \
	$(PIP) --upgrade pip; \
	$(PIP) --no-compile -e '.[dev]'; \
	$(BIN)/python -W ignore -m compileall -qq -j 0 $(VENV)/lib || true; \
	wait $$debian; \
	tools/install_chromium.sh
	touch $@ $(VENV)/.installed
