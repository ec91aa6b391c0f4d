# make run    train the default job into my_results/ and print its accuracy table    (ARGS="dataset=OSULeaf" for another)
# make test   run all tests                                         (ARGS="tests/unit -k padding" for some)
# make test-cluster  run the tests on a Slurm cluster of one node, which this installs (as root)
# make test-lowest  run a part of the tests with the oldest supported versions of the dependencies, on Python 3.11
# make lint   ruff, mypy and import-linter
# make sanitize  the tests of the C kernels with gcc's address and undefined behaviour sanitizers
# make bench  tsfcn's engines beside other libraries, under 15 minutes; bench-quick: a part of it, under 2
# make clean  remove the environment and every cache; results stay
#
# Everything is installed into .venv, at the versions of constraints.txt (test-lowest: into .venv-lowest, at those of
# constraints-lowest.txt). Another interpreter: make run PYTHON=python3.12

BIN := .venv/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
INSTALL := $(BIN)/python $(PIP_INSTALL) -c constraints.txt
FITS := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
# A name on the PATH may be a shim without an interpreter behind it, so each is started. 3.11 first: the pins were made there.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	"$$p" -c '$(FITS)' >/dev/null 2>&1 && echo "$$p" && break; done)

.PHONY: run test test-cluster test-lowest lint sanitize bench bench-quick clean
.DELETE_ON_ERROR:

run: .venv/.run
	$(BIN)/python -m tsfcn.run results=my_results $(ARGS)

test: .venv/.test
	$(BIN)/python -m pytest -n auto --dist loadfile --ignore tests/cluster $(ARGS)

# A Slurm cluster of one node and a Ray cluster of two on this machine, which takes root and a quarter of an hour.
test-cluster: .venv/.test
	command -v slurmctld munged > /dev/null || { apt-get update && apt-get install -y slurm-wlm munge; }
	ldconfig -p | grep -q libfuse || apt-get install -y libfuse2
	$(BIN)/python $(PIP_INSTALL) -c constraints.txt 'ray>=2.60,<3' mfusepy
	$(BIN)/python -m pytest tests/cluster $(ARGS)

# What depends on numpy, pandas, scipy, rich and sktime, and the golden numbers.
LOWEST_TESTS := tests/golden tests/parity/test_models.py \
  $(addprefix tests/unit/,analysis data models report jobs/test_run_job.py test_estimators.py test_load_classifier.py \
  test_sktime.py)

test-lowest: .venv-lowest/.test
	.venv-lowest/bin/python -m pytest -n auto --dist loadfile -m "not slow and not gpu" $(or $(ARGS),$(LOWEST_TESTS))

lint: .venv/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# The interpreter was not linked with the sanitizers, so they are loaded before it, and libstdc++ for their sake before torch.
# Leaks are not looked for: the interpreter leaves memory behind. pytest must not capture what a sanitizer says as it ends the
# process.
sanitize: .venv/.test
	CC=gcc TSFCN_CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all" \
	  LD_PRELOAD="$$(for name in asan ubsan stdc++; do gcc -print-file-name=lib$$name.so; done | tr '\n' ' ')" \
	  ASAN_OPTIONS=detect_leaks=0 \
	  $(BIN)/python -m pytest -p no:cacheprovider --capture=sys --timeout 900 \
	  tests/parity/test_kernels.py tests/parity/test_c_internals.py tests/parity/test_threads.py $(ARGS)

bench bench-quick: .venv/.run
	$(BIN)/python benchmarks/peers.py $(if $(findstring quick,$@),--quick) $(ARGS)

clean:
	rm -rf .venv .venv-lowest .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
	find tsfcn tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps say what is installed: a change of the dependencies, and nothing else, installs again.
.venv/.made:
	@$(if $(strip $(PYTHON)),:,echo "Python is missing: install 3.11 or newer with its venv module (Debian: python3-venv), or make PYTHON=/path/to/python" >&2; exit 2)
	@"$(PYTHON)" -c '$(FITS)' 2>/dev/null || { echo "PYTHON=$(PYTHON) is $$("$(PYTHON)" --version 2>&1 | tail -n 1): give Python 3.11 or newer with its venv module" >&2; exit 2; }
	"$(PYTHON)" -m venv --clear .venv
	@touch $@

.venv/.run: .venv/.made pyproject.toml constraints.txt
	@echo "installing tsfcn into .venv (minutes the first time: torch is large)"
	@$(INSTALL) -e .
	@touch $@

.venv/.test: .venv/.run
	@echo "installing what the tests need"
	@$(INSTALL) -e '.[test,onnx,tensorboard]'
	@touch $@

.venv/.dev: .venv/.test
	@echo "installing ruff, mypy and import-linter"
	@$(INSTALL) -e '.[dev]'
	@touch $@

# The oldest numpy has wheels for Python 3.11, and for nothing newer.
.venv-lowest/.test: pyproject.toml constraints-lowest.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || { echo "PYTHON=$(PYTHON) is not Python 3.11, for which the oldest versions exist: install it, or make test-lowest PYTHON=/path/to/python3.11" >&2; exit 2; }
	"$(PYTHON)" -m venv --clear .venv-lowest
	@echo "installing tsfcn and what the tests need into .venv-lowest, at the oldest versions"
	@.venv-lowest/bin/python $(PIP_INSTALL) -c constraints-lowest.txt -e '.[test]'
	@touch $@
