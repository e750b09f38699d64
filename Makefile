# Both `make bench` and `make test` set up everything they need in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
# Tests run in several processes, but for those that measure time; PYTEST_ARGS='-n 0' is one.
PARALLEL = $(shell $(BIN)/python -c 'import xdist; print("-n auto --dist worksteal")' 2> /dev/null)

.PHONY: bench test stress kills fuzz selftest free-threaded record-gpu lint format types imports wheel clean

bench: $(STAMP)
	$(BIN)/slotbench run quickstart

test: $(STAMP)
	$(BIN)/python -m pytest $(PARALLEL) $(PYTEST_ARGS)

# Ten million checked replies over all our transports, with faults; at most ten minutes.
stress: $(STAMP)
	$(BIN)/python -m tests.stress $(STRESS_ARGS)

# The core installed, the transports' tests and five million checked replies, where Python has no GIL.
# TorchRL, Ray and EnvPool have no wheels for it; torch has, with CUDA: 3 GB. Triton, which that brings and a CPU
# has no use for, would turn the GIL on.
FREE_THREADED ?= python3.14t
FREE_VENV := build/free-threaded
free-threaded:
	$(FREE_THREADED) -c 'import sys, sysconfig; sys.exit(None if sysconfig.get_config_var("Py_GIL_DISABLED") and sys.version_info >= (3, 14) else "no free-threaded Python of 3.14 or newer: make free-threaded FREE_THREADED=…")'
	$(FREE_THREADED) -m venv $(FREE_VENV)
	$(FREE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . pytest pytest-timeout pytest-xdist hypothesis
	$(FREE_VENV)/bin/python -m pip uninstall --quiet --yes triton
	$(FREE_VENV)/bin/python -W error -c 'import sys, slotbench.measure.preload; sys.exit("the GIL is on" if sys._is_gil_enabled() else None)'
	$(FREE_VENV)/bin/python -m pytest tests/transports tests/stress -n auto --dist worksteal
	$(FREE_VENV)/bin/python -m tests.stress $(or $(STRESS_ARGS),--replies 5000000)

# Fifty runs, and fifty programs that only record, killed at random moments and resumed; 20 minutes.
kills: $(STAMP)
	SLOTBENCH_KILLS=50 $(BIN)/python -m pytest tests/slotbench/test_resume.py $(PYTEST_ARGS)

# 10 000 scenario files and 1 000 damaged results folders, through every command; 20 minutes.
fuzz: $(STAMP)
	SLOTBENCH_FUZZ=1 $(BIN)/python -m pytest tests/fuzz --timeout 3600 $(PYTEST_ARGS)

# The harness judges what is known: 4 000 simulated comparisons a setting, and real runs; an hour on
# 2 cores. To record it: make selftest SELFTEST_ARGS='-o results/reference/selftest.json --force'
selftest: $(STAMP)
	$(BIN)/slotbench selftest --full --machine $(SELFTEST_ARGS)

# Runs with the policy on a GPU, reduced to some nine minutes: limits, grid, and one of pixels with a real network.
# Nothing is installed: where there is no .venv, make record-gpu GPU_PYTHON=python3
GPU_PYTHON ?= $(BIN)/python
GPU_DEVICE ?= cuda
GPU_RESULTS ?= results
# Trials are forked from a process that looks for slotbench along Python's path, not in this folder.
GPU_PATH = PYTHONPATH="$(CURDIR)$${PYTHONPATH:+:$$PYTHONPATH}"
GPU_RUN = $(GPU_PATH) $(GPU_PYTHON) -m slotbench run --set device=$(GPU_DEVICE) --attempts 1 --results $(GPU_RESULTS)
record-gpu:
	$(GPU_PYTHON) -m pytest -q -p no:cacheprovider -k a_gpu tests/slotbench/measure/test_on_device.py tests/transports/test_pinned.py
	$(GPU_RUN) rl_pixels_8 --rounds 4 --contender slot --contender 'slot[pin_memory]' --contender 'torchrl.slot[collate=lazy_stack]'
	$(GPU_RUN) grid --rounds 3 --set num_slots=16,256 --set model.latency_ms=0,1 --contender slot --contender 'slot[pin_memory]'
	$(GPU_RUN) limits --rounds 3 --set num_slots=64 --set observation.reuse_request=true --contender 'slot[pin_memory]'

# One install of everything: the package in place, TorchRL to race against, real environments, the tools.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("slotbench needs Python 3.11 or newer: make PYTHON=python3.11 …") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[torchrl,envs,dev]'
	touch $(STAMP)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

# The wheel alone, in an empty environment, outside the checkout.
wheel: $(STAMP)
	rm -rf dist build/wheel-venv
	$(BIN)/python -m build --wheel --outdir dist .
	$(PYTHON) -m venv build/wheel-venv
	build/wheel-venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt dist/slotbench-*.whl
	cd / && $(CURDIR)/build/wheel-venv/bin/slotbench run quickstart --dry-run
	cd / && $(CURDIR)/build/wheel-venv/bin/slotbench list
	cd / && $(CURDIR)/build/wheel-venv/bin/slotbench advise --num-envs 8 --policy-ms 1 --no-measure
	cd / && $(CURDIR)/build/wheel-venv/bin/slotbench report $(CURDIR)/results/reference/quickstart -o $(CURDIR)/build/report.html --force

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
