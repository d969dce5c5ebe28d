# The two commands of the README are `make demo` and `make test`; both install first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install cpu-kernels demo test test-full check fmt lint types imports protos protos-check dashboards bench clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(STAMP) ## .venv with everything for development

$(STAMP): pyproject.toml constraints.txt requirements-dev.txt requirements-demo.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip==26.3
	$(BIN)/pip install --quiet --constraint constraints.txt --requirement requirements-dev.txt --editable '.[all]'
	$(BIN)/pip install --quiet --no-deps --requirement requirements-demo.txt
	@$(MAKE) --no-print-directory cpu-kernels
	touch $(STAMP)

cpu-kernels: ## compile the recurrent kernels for this CPU's family, where there is a C++ compiler
	@if ! test -x $(BIN)/pip; then \
		echo "there is no $(VENV) to install into: make install, which compiles the kernels too"; exit 1; \
	elif ! command -v $${CXX:-c++} >/dev/null; then \
		echo "no C++ compiler: recurrent layers run on ONNX Runtime (install g++, then: make cpu-kernels)"; \
	elif ! $(BIN)/pip install --quiet ./backend/cpu_kernels >$(VENV)/cpu_kernels.log 2>&1; then \
		echo "recurrent kernels did not compile, ONNX Runtime runs these layers; why: $(VENV)/cpu_kernels.log"; \
	fi

demo: install ## the street query on real frames, about a minute
	$(BIN)/nexus demo street --png street.png

test: install check ## what CI runs: static checks, then every test but the long ones
	$(BIN)/python -m pytest -m "not full"

test-full: install check ## the long checks too, with the real servers they need
	tools/install_test_servers.sh
	$(BIN)/python -m pytest

check: install lint types imports protos-check ## static checks only

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

fmt: install ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: install
	$(BIN)/mypy

imports: install
	$(BIN)/lint-imports

protos: install ## regenerate the committed protobuf code
	$(BIN)/python tools/generate_protos.py

protos-check: install
	$(BIN)/python tools/generate_protos.py --check

dashboards: install ## regenerate the committed Grafana dashboard and alert rules
	$(BIN)/python -m nexus.deploy.dashboard
	$(BIN)/python -m nexus.deploy.alerts

bench: install ## performance claims, ratios in one run; see benchmarks/README.md
	$(BIN)/python -m benchmarks

clean: ## remove what `make` made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build dist
