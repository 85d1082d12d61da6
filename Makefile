# On a fresh machine: `make demo` to see it work, `make test` to see that it does.
# Needs Python >= 3.11 and a package registry, nothing else.

PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_ROOT_USER_ACTION = ignore

FAULT_TESTS := $(addprefix tests/, chaos sabotage integration/smtp integration/outbox integration/notification unit/outbox \
  acceptance/test_schemathesis.py)

.PHONY: demo test coverage chaos check format lock bench clean

# The virtual environment from the pinned lock, with this checkout installed editable.
.venv: requirements.lock requirements-dev.lock
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch .venv

# API, sender and inbox in one process on SQLite; prints URLs, a key and a curl line. DEMO="--port 9000" to pass flags.
demo: .venv
	$(BIN)/notifier demo $(DEMO)

# Everything that must hold, on real SQLite and PostgreSQL. TESTS=tests/unit for a part.
# Three at once on two cores, because many tests wait for a deadline.
test: .venv
	$(BIN)/python -m pytest -n 3 --dist worksteal $(TESTS)

# Each value in every setting, with branch coverage of the package: half as long again.
coverage: .venv
	NOTIFIER_TEST_EVERYTHING=1 $(BIN)/python -m pytest -n 3 --dist worksteal --cov --cov-report=term --cov-fail-under=95

# The fault tests in their long form, one after the other; the oracle's reports are printed at the end.
chaos: .venv
	NOTIFIER_CHAOS=long $(BIN)/python -m pytest -rP --timeout=1800 $(if $(TESTS),$(TESTS),$(wildcard $(FAULT_TESTS)))

# Throughput and latency, printed; never pass or fail. BENCH="--quick" for a short form.
bench: .venv
	$(BIN)/python -m bench $(BENCH)

# Style, types and layers.
check: .venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Needs uv; run after changing dependencies in pyproject.toml.
lock:
	uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-header --python-version 3.11 pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-header --python-version 3.11 --extra dev \
	  -c requirements.lock pyproject.toml -o requirements-dev.lock
	uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-header --python-version 3.11 --group peers \
	  -o requirements-bench.lock

clean:
	rm -rf .venv var .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage*
