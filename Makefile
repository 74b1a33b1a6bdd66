# One virtual environment, made by whichever target is asked for first; a second call installs nothing.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PINS := .ci/constraints.txt
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c $(PINS)
OFFLINE := HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

.PHONY: demo test check faults format browser clean

demo: $(VENV)/.run
	$(BIN)/lmc demo

test: $(VENV)/.dev
	$(OFFLINE) $(BIN)/pytest -m "not full"

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(OFFLINE) $(BIN)/pytest -m "not slow and not full and not browser"

faults: $(VENV)/.dev
	$(OFFLINE) $(BIN)/pytest tests/faults -vv

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The report's page is tested in Chromium: Debian's, where apt-get may install it; else the tests say that they skip.
browser: $(VENV)/.dev
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq chromium; }

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "lmcompare needs Python 3.11 or newer; none was found (set PYTHON=...)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: pyproject.toml $(PINS) | $(VENV)/.python
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: pyproject.toml $(PINS) | $(VENV)/.python
	$(PIP) -e ".[dev]"
	@touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
