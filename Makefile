# Two commands do all the set-up: `make run` and `make test`. `make help` lists the rest.
PYTHON ?= python3
PORT ?= 8400
DATA ?= data
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml constraints.txt hatch_build.py $(shell find web -type f -not -path '*/node_modules/*' 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help run test lint types bench eval gpu-check web api docs golden clean

help: ## list the tasks
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/installed ## install what is needed into .venv, then serve on http://127.0.0.1:8400
	$(BIN)/mezzotint serve --dev --port $(PORT) --data $(DATA)

test: $(VENV)/installed-dev ## install what is needed into .venv, then run every test
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/installed-dev ## ruff, ring contracts, formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/installed-dev ## mypy strict, and the page's types against the API
	$(BIN)/mypy
	$(BIN)/python -m hatch_build check

bench: $(VENV)/installed-dev ## run the benchmarks (minutes); results land in benchmarks/results
	$(BIN)/python benchmarks/serve.py
	$(BIN)/python benchmarks/engine_overhead.py --out benchmarks/results/engine_overhead.json
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev,bench]'
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/engine.py --out benchmarks/results/engine.json
	$(BIN)/python benchmarks/engine_endurance.py --out benchmarks/results/engine_endurance.json
	$(BIN)/python benchmarks/crash.py
	$(BIN)/python benchmarks/crash.py --every 10 --out benchmarks/results/crash_every_10.json
	$(BIN)/python benchmarks/queue.py --out benchmarks/results/queue.json
	$(BIN)/python benchmarks/gateway.py
	$(BIN)/python benchmarks/decoding.py

eval: $(VENV)/installed ## measure filters and pictures, hold the figures against the gates (ARGS='--extra FILE')
	$(BIN)/mezzotint eval all --data $(DATA) $(ARGS)

gpu-check: $(VENV)/installed-dev ## check a GPU in ten minutes (ARGS='--device cpu': what can be checked without one)
	$(BIN)/python benchmarks/gpu_check.py $(ARGS)

web: $(VENV)/installed-dev ## rebuild the page
	$(BIN)/python -m hatch_build build

api: $(VENV)/installed-dev ## write the OpenAPI contract that the page's types come from
	$(BIN)/mezzotint openapi --out web/openapi.json

golden: $(VENV)/installed-dev ## derive the disguised rows of the golden set again
	$(BIN)/python -m mezzotint.evals.golden_sets

docs: $(VENV)/installed-dev ## rewrite the pages that are made from the code
	$(BIN)/python docs/build.py

clean: ## remove what was built (keeps data)
	rm -rf $(VENV) build dist web/node_modules src/mezzotint/gateway/page

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Mezzotint needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python $(SOURCES)
	@echo "Installing Mezzotint into $(VENV): some minutes the first time, seconds later."
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/bin/python $(SOURCES)
	@echo "Installing Mezzotint and its test tools into $(VENV): some minutes the first time, seconds later."
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(VENV)/installed $@
