# Two commands: `make demo` runs the main job, `make test` passes the tests.
# Both set up all they need; HEADLESS=1 keeps the demo from opening a window.

export PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= demo-out
# a screen for the tests and for a demo without one: napari needs OpenGL, which Qt's
# own offscreen platform lacks
SCREEN := xvfb-run -a -s "-screen 0 1600x1000x24"

.PHONY: demo test test-all lint setup system clean

demo: setup
	$(BIN)/napari-mhim demo $(OUT) $(if $(HEADLESS),--headless)

test: setup lint
	$(SCREEN) $(BIN)/python -m pytest

test-all: setup lint
	$(SCREEN) $(BIN)/python -m pytest -m "slow or not slow"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/npe2 validate napari-mhim

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt | system
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e ".[all,test]"
	touch $@

system:
	sh .ci/system

clean:
	rm -rf $(VENV) $(OUT) .pytest_cache .mypy_cache .ruff_cache
