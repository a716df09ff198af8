# `make demo` shows what genrev does; `make test` checks it, `make docs` builds its documentation. Each makes
# .venv first if there is none.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow lint docs clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,docs]"
	touch $@

demo: $(VENV)/installed
	$(BIN)/genrev demo

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest -m "not slow"

test-slow: $(VENV)/installed
	$(BIN)/pytest -m slow

docs: $(VENV)/installed
	$(BIN)/sphinx-build -W --keep-going -E -q docs docs/_build
	@echo docs/_build/index.html

clean:
	rm -rf $(VENV) docs/_build build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
