# make help lists what there is. Everything runs in .venv, which the first target that needs it creates.
# INTERP_JOBS=1 in the environment keeps book and tests to one notebook, or one test, at a time.

PYTHON ?= python3
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
PORT ?= 8000
ifdef INTERP_DATA_DIR
ifeq ($(filter /%,$(INTERP_DATA_DIR)),)
# notebooks run in their own folder
export INTERP_DATA_DIR := $(CURDIR)/$(INTERP_DATA_DIR)
endif
endif

.DEFAULT_GOAL := help
.PHONY: help book test bench serve lab slides checkpoints results oracles outputs links lock clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

book: .venv/ready  ## execute the chapters and build the book (HTML); the last line says where it is
	@$(BIN)/python book/tools/build_book.py

test: .venv/ready  ## lint, the book, unit tests, every notebook, and every page
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . || { echo "test: ruff found something to mend (ruff check --fix; ruff format)"; exit 1; }
	@$(BIN)/codespell || { echo "test: codespell found a misspelt word"; exit 1; }
	@$(BIN)/python book/tools/build_book.py
	@$(BIN)/python -m pytest -n auto --dist loadfile

bench: .venv/ready  ## time what has to be fast (ACE); not a test, as times depend on the machine
	@$(BIN)/python -m pytest benchmarks

serve: book  ## build the book and open it on localhost
	@echo "The book is at http://localhost:$(PORT)  (Ctrl-C ends)"
	@(sleep 1; $(BIN)/python -m webbrowser http://localhost:$(PORT)) >/dev/null 2>&1 &
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

lab: .venv/ready  ## open the chapters in JupyterLab
	@$(BIN)/jupyter lab notebooks

slides: book  ## make the slides of every chapter
	@ls _build/html/slides/*.html

checkpoints: .venv/ready  ## train again the networks that ship (needs the full MNIST and CIFAR-10)
	@for network in $$($(BIN)/python -m interp_helpers.train --list); do \
		$(BIN)/python -m interp_helpers.train $$network || exit 1; done

results: .venv/ready  ## make the stored runs again (needs the full MNIST, CIFAR-10 and Imagenette)
	@for script in book/results/*.py; do $(BIN)/python $$script || exit 1; done

oracles: .venv/ready  ## make again what keras-vis, tf-keras-vis, xplique, PyTorch and acepack compute (Python 3.11; R for acepack)
	@$(BIN)/python tests/oracles/build.py

outputs: book  ## store again the small outputs that every machine must reproduce
	@$(BIN)/python book/tools/outputs.py

links: .venv/ready  ## write the address in _config.yml into every badge and setup cell
	@$(BIN)/python book/tools/links.py

lock: .venv/ready  ## pin again what builds and tests the book
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile pyproject.toml --extra book --universal --python-version 3.11 --upgrade --no-header --no-annotate --quiet --output-file requirements.txt

clean:  ## remove the built book and the environment
	@rm -rf _build .venv .oracles build interp_helpers.egg-info

.venv/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { echo "needs Python 3.11 to 3.13: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@echo "Creating .venv and installing requirements.txt (a minute or two) ..."
	@$(PYTHON) -m venv .venv || { echo "could not create .venv: is the venv module of $(PYTHON) installed?"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt || { echo "could not install requirements.txt: see the lines above"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . || { echo "could not install interp_helpers: see the lines above"; exit 1; }
	@touch $@
