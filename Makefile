# Everything runs in .venv, which the first target that needs it sets up.
PYTHON ?= python3
BIN = .venv/bin
# one thread a test process: OpenMP threads that wait spin, and two test workers would starve each other
TEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

.PHONY: demo test test-all check format docs clean

demo: .venv/core
	$(BIN)/mulligan demo

test: .venv/dev
	$(TEST) -m "not slow"

test-all: .venv/dev
	$(TEST)

check: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python docs/generate.py --check

format: .venv/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/dev
	$(BIN)/python docs/generate.py

# the stamps are younger than pyproject.toml as long as what it asks for is installed
.venv/core: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/dev: .venv/core
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

clean:
	rm -rf .venv build dist src/*.egg-info
