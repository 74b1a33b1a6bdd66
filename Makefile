# One virtual environment, made by whichever target is asked for first; a second call installs nothing.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PINS := .ci/constraints.txt
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c $(PINS)
OFFLINE := HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

.PHONY: demo test test-browser test-cluster check faults format browser allennlp goldens clean

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

# The pages' tests alone.
test-browser: $(VENV)/.dev
	@command -v chromium >/dev/null || test -n "$$CHROMIUM" || $(MAKE) --no-print-directory browser \
	  || echo "no Chromium could be installed: the tests below skip"
	$(OFFLINE) $(BIN)/pytest -m browser -rs

# Runs on several machines: Ray and submitit are installed, and their tests run, which skip elsewhere.
test-cluster: $(VENV)/.cluster
	$(OFFLINE) $(BIN)/pytest tests/unit/test_executors.py tests/unit/test_executors_elsewhere.py -rs

# The authors' own ELMo, which the backend `elmo-allennlp` and the goldens ask: allennlp 2.10.1 on current libraries, in
# an environment of its own, because its own pins meet nothing of today. It says what it built.
REFERENCE := .venv-allennlp
REFERENCE_PINS := .ci/allennlp.txt
REFERENCE_PIP := $(REFERENCE)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile

allennlp: $(REFERENCE)/.built
	$(REFERENCE)/bin/python -I lmcompare/backends/allennlp_worker.py

goldens: $(REFERENCE)/.built
	OMP_NUM_THREADS=1 $(REFERENCE)/bin/python tests/oracles/make_goldens.py

$(REFERENCE)/.built: $(REFERENCE_PINS)
	@test -n "$(PYTHON)" || { echo "a Python is needed; none was found (set PYTHON=...)"; exit 2; }
	$(PYTHON) -m venv --clear $(REFERENCE)
	$(REFERENCE_PIP) -r $(REFERENCE_PINS)
	$(REFERENCE_PIP) --no-deps allennlp==2.10.1 allennlp-models==2.10.1
	@touch $@

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

$(VENV)/.cluster: pyproject.toml $(PINS) | $(VENV)/.python
	$(PIP) -e ".[dev,ray,slurm]"
	@touch $@ $(VENV)/.run $(VENV)/.dev

clean:
	rm -rf $(VENV) $(REFERENCE) .mypy_cache .ruff_cache .pytest_cache
