PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help demo docs test test-qgis test-slow bench bench-all build/src

help:
	@echo "make demo       map a synthetic scene, into demo/"
	@echo "make docs       the page of the Python API, from the docstrings"
	@echo "make test       lint, types and tests, as CI runs them"
	@echo "make test-qgis  the tests in a real QGIS, which make test skips where there is none"
	@echo "make test-slow  the long forms of the tests"
	@echo "make bench      speed of the networks and of predict, a quarter of an hour"
	@echo "make bench-all  that, and memory, polygons, batches and training, two hours and a half"

demo: $(VENV)/installed
	$(BIN)/glnet-geo demo -o demo --overwrite

docs: $(VENV)/installed-dev
	$(BIN)/python docs/make_api.py

test: $(VENV)/installed-dev build/src
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p glnet_geo
	$(BIN)/python -m pytest -m "not slow and not alone" -n logical --maxprocesses 4 --dist worksteal
	$(BIN)/python -m pytest -m "alone and not slow"

test-qgis: $(VENV)/installed-dev
	@$${QGIS_PYTHON:-/usr/bin/python3} -I -c "import qgis.core" || { echo "No QGIS here. Install one:" \
	    "apt-get install --no-install-recommends python3-qgis qgis-providers" >&2; exit 1; }
	$(BIN)/python -m pytest tests/test_qgis.py tests/test_qgis_algorithms.py

test-slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m slow

bench: $(VENV)/installed-dev
	mkdir -p build
	$(BIN)/python benchmarks/performance.py --json build/performance.json

bench-all: bench
	$(BIN)/python benchmarks/sums.py
	$(BIN)/python benchmarks/device_memory.py
	$(BIN)/python benchmarks/prediction.py
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/plans.py
	$(BIN)/python benchmarks/vectorizing.py
	$(BIN)/python benchmarks/changes.py
	$(BIN)/python benchmarks/listing.py
	$(BIN)/python benchmarks/remote.py
	$(BIN)/python benchmarks/batching.py
	$(BIN)/python benchmarks/training.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python setup.cfg constraints.txt
	$(BIN)/pip install -q -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/bin/python setup.cfg constraints.txt
	$(BIN)/pip install -q -c constraints.txt -e ".[dev]"
	touch $@ $(VENV)/installed

# The package as it is installed: type checkers don't follow setup.cfg's package_dir.
build/src:
	rm -rf $@
	mkdir -p $@/glnet_geo
	cd $@/glnet_geo && ln -s ../../../glnet_geo/*.py ../../../glnet_geo/py.typed .
	cd $@/glnet_geo && ln -s ../../../cli ../../../models .
