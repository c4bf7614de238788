# `make` alone says what there is. Whatever is made in the checkout is in .gitignore; the real parts of the tests lie in
# ${XDG_CACHE_HOME:-~/.cache}/pinsync. Works with GNU make 3.81 (macOS) and any POSIX shell.
#
# PYTHON=…    the Python (3.11 or newer) that .venv is made with; by default the first one found
# WORKERS=…   processes that run tests side by side (default 2; 0 for none)
# PYTEST=…    more arguments for pytest: make test PYTEST='-k ledger -x'
# SEED=…      repeats the chances of a `make test-faults` or `make soak`, which print theirs
# MINUTES=…   how long `make soak` and `make fuzz` last (default 60)
# N=…, SEED=…, FILE=…   how many histories `make simulate` plays, or which one it tells step by step

PYTHON ?=
WORKERS ?= 2
PYTEST ?=
MINUTES ?= 60
SEED ?=

PYTHONS := $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
RUN_TESTS = $(BIN)/python -m pytest -n $(WORKERS)

# A checkout that was moved, a Python that was uninstalled, another PYTHON: the old .venv is of no use.
KEEP := $(shell test -x $(BIN)/python && test "$$(cat .venv/.made-in 2>/dev/null)" = "$$(pwd -P)" && \
	{ test -z "$(PYTHON)" || test "$$(cat .venv/.made-with)" = "$(PYTHON)"; } && echo yes)
NEW_VENV := $(if $(KEEP),,new-venv)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-unit test-services test-faults test-systemd test-container soak fuzz simulate simulate-planted \
	lint monitoring bench wheel deb man docs clean new-venv

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

demo: .venv/.installed ## see pinsync work, in 20 s, with nothing of yours changed
	@$(BIN)/pinsync demo

test: .venv/.dev ## all tests that CI runs, on a real Kubo 0.42 (from PATH, or built once with Go)
	@kubo=$$($(BIN)/python -m tests.real.parts kubo) && npm=$$($(BIN)/python -m tests.real.parts npm) && \
	PINSYNC_TEST_KUBO="$$kubo" PINSYNC_TEST_NPM="$$npm" $(RUN_TESTS) \
	-m 'not services and not slow and not faults and not systemd and not container' $(PYTEST)

test-unit: .venv/.dev ## the tests that need neither Kubo nor Node.js
	@$(RUN_TESTS) -m 'not real and not services and not slow and not faults and not systemd and not container' $(PYTEST)

test-services: .venv/.dev ## tests on real pinning services: IPFS Cluster (built once with Go), Helia and a mock (npm)
	@kubo=$$($(BIN)/python -m tests.real.parts kubo) && npm=$$($(BIN)/python -m tests.real.parts npm) && \
	cluster=$$($(BIN)/python -m tests.real.parts cluster) && helia=$$($(BIN)/python -m tests.real.parts helia) && \
	PINSYNC_TEST_KUBO="$$kubo" PINSYNC_TEST_NPM="$$npm" PINSYNC_TEST_CLUSTER="$$cluster" PINSYNC_TEST_HELIA="$$helia" \
	$(RUN_TESTS) -m services --durations=5 $(PYTEST)

test-faults: .venv/.dev ## kill -9, cut answers, full disks, wrong clocks… on real processes; as root; prints a table
	@kubo=$$($(BIN)/python -m tests.real.parts kubo) && \
	PINSYNC_TEST_KUBO="$$kubo" PINSYNC_TEST_SEED="$(SEED)" $(RUN_TESTS) --dist worksteal tests/faults -m 'faults' $(PYTEST)

soak: .venv/.dev ## a daemon's month in an hour (MINUTES=…), and a year behind it: fails where something grows
	@kubo=$$($(BIN)/python -m tests.real.parts kubo) && \
	PINSYNC_TEST_KUBO="$$kubo" PINSYNC_TEST_SEED="$(SEED)" PYTHONPATH=daemon:. $(BIN)/python -m tests.faults.soak $(MINUTES)

fuzz: .venv/.dev ## try inputs that nobody would write, for an hour (MINUTES=60), on two cores
	@$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

test-systemd: .venv/.dev ## the service in a booted systemd, a Debian 12 in a container: root, systemd-container, mmdebstrap
	@kubo=$$($(BIN)/python -m tests.real.parts kubo) && $(BIN)/python -m tests.systemd.machine && \
	PINSYNC_TEST_KUBO="$$kubo" $(BIN)/python -m pytest -m systemd tests/systemd $(PYTEST)

test-container: .venv/.dev ## the image of the Containerfile, built and run without an engine: root, buildah, mmdebstrap
	@$(BIN)/python -m tests.container.image && $(BIN)/python -m pytest -m container tests/container $(PYTEST)

simulate: .venv/.dev ## histories on simulated time, N=100000 of them, or one: SEED=… or FILE=…
	@PYTHONHASHSEED=0 PYTHONPATH=daemon $(BIN)/python -m tests.simulation --histories $(or $(N),3000) \
	--workers $(or $(WORKERS),2) $(if $(FIRST),--first $(FIRST)) $(if $(SEED),--seed $(SEED)) \
	$(if $(BRIEF),--brief $(BRIEF)) $(if $(FILE),--file '$(FILE)')

simulate-planted: .venv/.dev ## how many histories it takes to find each bug that was planted
	@PYTHONHASHSEED=0 PYTHONPATH=daemon $(BIN)/python -m tests.simulation --planted --histories $(or $(N),3000)

lint: .venv/.dev ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

monitoring: .venv/.dev ## the alert rules and a daemon's metrics, by promtool (of Prometheus)
	@command -v promtool >/dev/null || { \
	    echo 'promtool is not there: it comes with Prometheus (Debian, Ubuntu: the package prometheus)' >&2; exit 1; }
	@promtool check rules monitoring/pinsync.rules.yml
	@promtool test rules monitoring/pinsync.rules.test.yml
	@text=$$($(BIN)/python -m tests.real.metrics) && printf '%s\n' "$$text" | promtool check metrics && \
	    echo 'metrics of a daemon: SUCCESS'

bench: .venv/.dev ## measure, and print a table
	@kubo=$$($(BIN)/python -m tests.real.parts kubo) && PINSYNC_TEST_KUBO="$$kubo" $(BIN)/python -m benchmarks

wheel: .venv/.installed ## dist/pinsync-….whl
	@rm -rf dist
	@$(PIP) wheel --no-deps --wheel-dir dist .
	@ls dist/*.whl

deb: wheel ## dist/pinsync_….deb, on Debian and for its Python
	@$(BIN)/python -m tools.deb dist/pinsync-*.whl dist

man: .venv/.installed ## the man pages, in build/man
	@rm -rf build/man
	@$(BIN)/python -m tools.manpages build/man

docs: .venv/.installed ## the tables of docs/configuration.md, from the settings' own descriptions
	@$(BIN)/python -m tools.configuration

clean: ## remove what was made in the checkout, .venv included
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The virtual environment: made when there is none that will do, filled when pyproject.toml has changed since.

.venv/.made-in: $(NEW_VENV)
	@for python in $(PYTHONS); do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	    python=; \
	done; \
	if [ -z "$$python" ]; then \
	    echo 'pinsync needs Python 3.11 or newer, and none of these is: $(subst ",,$(PYTHONS))' >&2; \
	    echo 'Install one (Debian 12, Ubuntu 24.04: python3 and python3-venv), or name it: make $(or $(MAKECMDGOALS),demo) PYTHON=/path/to/python3' >&2; \
	    exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "$$python cannot make virtual environments: its venv or ensurepip module is missing." >&2; \
	    echo "Install it (Debian, Ubuntu: python3-venv), or name another Python: make $(or $(MAKECMDGOALS),demo) PYTHON=/path/to/python3" >&2; \
	    exit 1; \
	fi; \
	echo "making .venv with $$("$$python" --version)" >&2; \
	rm -rf .venv && "$$python" -m venv .venv && echo '$(PYTHON)' >.venv/.made-with && pwd -P >$@

.venv/.installed: .venv/.made-in pyproject.toml
	@echo 'installing pinsync into .venv' >&2
	@$(PIP) install --editable . || { echo 'pip could not install pinsync (see above): is the package index in reach?' >&2; exit 1; }
	@touch $@

.venv/.dev: .venv/.installed
	@echo 'installing the tools for tests into .venv' >&2
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install --group dev
	@touch $@
