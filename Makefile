# `make demo` shows what genrev does; `make test` checks it, `make docs` builds its documentation. Each makes
# .venv first if there is none.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install demo test test-slow lint docs checkpoints clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,docs]"
	touch $@

install: $(VENV)/installed
	@echo "genrev is installed. Have a network draw eight Xs, into x.png:"
	@echo "  $(BIN)/genrev invert checkpoints/xo.safetensors --inverter checkpoints/xo-cvae.safetensors \\"
	@echo "      --target 0.99 0.01 --samples 8 --out x.png"
	@echo "Or see all methods at it, in a few minutes: make demo. Your own data: $(BIN)/genrev --help"

demo: $(VENV)/installed
	$(BIN)/genrev demo

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest -m "not slow" -n auto --maxprocesses 4 --dist loadfile

test-slow: $(VENV)/installed
	$(BIN)/pytest -m slow -n auto --maxprocesses 4

# The networks and inverters that ship: the same weights again on the same machine, in about six minutes.
checkpoints: $(VENV)/installed
	$(BIN)/genrev train classifier --data xo --layers 1024 8 8 2 --activation sigmoid --out checkpoints/xo.safetensors
	$(BIN)/genrev train cvae --network checkpoints/xo.safetensors --data xo --set arch=conv hidden=96 \
		--out checkpoints/xo-cvae.safetensors
	$(BIN)/genrev train classifier --data digits --out checkpoints/digits.safetensors
	$(BIN)/genrev train cvae --network checkpoints/digits.safetensors --data digits \
		--out checkpoints/digits-cvae.safetensors
	$(BIN)/genrev train dbn --network checkpoints/digits.safetensors --data digits --out checkpoints/digits-dbn.safetensors

docs: $(VENV)/installed
	$(BIN)/sphinx-build -W --keep-going -E -q docs docs/_build
	@echo docs/_build/index.html

clean:
	rm -rf $(VENV) docs/_build build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
