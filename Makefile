# On a fresh machine: `make demo` to see it work, `make test` to see that it does.
# Needs Python >= 3.11 and the package registries of Python and npm, nothing else.

PYTHON ?= python3
BIN := .venv/bin
RUNTIME := .venv/runtime.installed
DEVELOPMENT := .venv/development.installed
OPENAPI := .venv/openapi
WITH_NODE := PATH="$(CURDIR)/$(OPENAPI)/bin:$$PATH"
NPM_FLAGS := --ignore-scripts --no-audit --no-fund --loglevel=error
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_ROOT_USER_ACTION = ignore

FAULT_TESTS := $(addprefix tests/, chaos sabotage integration/smtp integration/outbox integration/notification unit/outbox \
  acceptance/test_schemathesis.py)

.PHONY: demo test coverage chaos check docs format typescript generate-java generate-go generate-php generate-csharp \
  lock vendor bench clean

# The virtual environment with what the service needs, pinned, and this checkout installed editable. An interrupted
# installation leaves no stamp, so the next one begins anew.
$(RUNTIME): requirements.lock requirements-build.lock
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock -r requirements-build.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# The tools of tests and checks, added to it.
$(DEVELOPMENT): requirements-dev.lock $(RUNTIME)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	touch $@

# What checks openapi.json and generates clients from it, all pinned: Python packages, Node among them, and npm packages.
$(OPENAPI)/installed: requirements-openapi.lock tests/generated/package-lock.json | $(RUNTIME)
	$(PYTHON) -m venv --clear --without-pip $(OPENAPI)
	$(BIN)/python -m pip --python $(OPENAPI) install --quiet --no-compile --require-hashes -r requirements-openapi.lock
	cp tests/generated/package.json tests/generated/package-lock.json $(OPENAPI)
	$(WITH_NODE) npm ci --prefix $(OPENAPI) $(NPM_FLAGS)
	touch $@

# API, sender and inbox in one process on SQLite; prints URLs, keys and a curl line. DEMO="--port 9000" to pass flags.
demo: $(RUNTIME)
	$(BIN)/notifier demo $(DEMO)

# Everything that must hold, on real SQLite and PostgreSQL. TESTS=tests/unit for a part.
# Three at once on two cores, because many tests wait for a deadline.
test: $(DEVELOPMENT) $(OPENAPI)/installed
	$(BIN)/python -m pytest -n 4 --dist worksteal $(TESTS)

# Each value in every setting, with branch coverage of the package: half as long again.
coverage: $(DEVELOPMENT) $(OPENAPI)/installed
	NOTIFIER_TEST_EVERYTHING=1 $(BIN)/python -m pytest -n 3 --dist worksteal --cov --cov-report=term --cov-fail-under=95

# The fault tests in their long form, one after the other; the oracle's reports are printed at the end.
chaos: $(DEVELOPMENT)
	NOTIFIER_CHAOS=long $(BIN)/python -m pytest -rP --timeout=1800 $(if $(TESTS),$(TESTS),$(wildcard $(FAULT_TESTS)))

# Throughput and latency, printed; never pass or fail. BENCH="--quick" for a short form.
bench: $(DEVELOPMENT)
	$(BIN)/python -m bench $(BENCH)

# Style, types, layers, and that openapi.json is what its standard and its readers demand.
check: $(DEVELOPMENT) $(OPENAPI)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(OPENAPI)/bin/openapi-spec-validator openapi.json
	REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true $(OPENAPI)/bin/node \
	  $(OPENAPI)/node_modules/@redocly/cli/bin/cli.js lint --config tests/generated/redocly.yaml openapi.json

# The documents as a site in var/site; a link that leads nowhere, or a page that the navigation forgets, fails.
var/docs-venv: requirements-docs.lock
	$(PYTHON) -m venv --clear var/docs-venv
	var/docs-venv/bin/python -m pip install --quiet --require-hashes -r requirements-docs.lock
	touch var/docs-venv

docs: var/docs-venv
	NO_MKDOCS_2_WARNING=1 var/docs-venv/bin/mkdocs build --strict
	@echo "The site is in var/site: $(PYTHON) -m http.server --directory var/site"

format: $(DEVELOPMENT)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The generated types of the TypeScript client, after a change of openapi.json.
typescript: $(OPENAPI)/installed
	$(WITH_NODE) $(OPENAPI)/node_modules/.bin/openapi-typescript openapi.json --default-non-nullable=false \
	  --output clients/typescript/src/api-types.ts

# A client in var/clients by OpenAPI Generator, which needs Java 11 or later: to look at before a release.
generate-java: GENERATOR_FLAGS := --library native --additional-properties=openApiNullable=false,containerDefaultToNull=true
generate-go: GENERATOR_FLAGS := --additional-properties=enumClassPrefix=true,packageName=notifier,withGoMod=false
generate-php: GENERATOR_FLAGS := --additional-properties=invokerPackage=Notifier
generate-csharp: GENERATOR_FLAGS := --additional-properties=packageName=Notifier.Client
generate-java generate-go generate-php generate-csharp: generate-%:
	$(PYTHON) -m venv var/openapi-generator
	var/openapi-generator/bin/python -m pip install --quiet openapi-generator-cli==7.26.0
	rm -rf var/clients/$*
	var/openapi-generator/bin/openapi-generator-cli generate --input-spec openapi.json --generator-name $* \
	  --output var/clients/$* $(GENERATOR_FLAGS) >var/$*.log 2>&1 || { cat var/$*.log; exit 1; }
	@echo "The client is in var/clients/$*, the generator's log in var/$*.log."

# Needs uv; run after changing dependencies in pyproject.toml or tests/generated/package.json.
lock: $(OPENAPI)/installed
	uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-header --python-version 3.11 --extra server \
	  --extra producer --extra oidc pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-header --python-version 3.11 --extra server \
	  --extra producer --extra oidc --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	printf 'hatchling\neditables\n' | uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
	  -c requirements-dev.lock - -o requirements-build.lock
	printf 'celery[redis]\nflower\n' | uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-header \
	  --python-version 3.11 -c requirements-dev.lock - -o requirements-celery.lock
	uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-header --python-version 3.11 --group peers \
	  -o requirements-bench.lock
	uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-header --python-version 3.11 --group openapi \
	  -o requirements-openapi.lock
	echo 'mkdocs-material' | uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
	  - -o requirements-docs.lock
	$(WITH_NODE) npm install --prefix tests/generated --package-lock-only --omit-lockfile-registry-resolved $(NPM_FLAGS)

# The scripts that the console loads. htmx comes from the npm registry; the editor is bundled from the versions in
# editor/package-lock.json. To change a version, change it here or there, and in the README of the folder with its sum,
# which a test compares.
HTMX := 4.0.1
VENDOR := notifier/console/static/vendor
vendor: $(OPENAPI)/installed
	rm -rf var/vendor && mkdir -p var/vendor
	cd var/vendor && $(WITH_NODE) npm pack --silent htmx.org@$(HTMX) && tar -xzf htmx.org-$(HTMX).tgz
	cp var/vendor/package/dist/htmx.min.js $(VENDOR)
	cp var/vendor/package/LICENSE $(VENDOR)/htmx.LICENSE.txt
	$(WITH_NODE) npm ci --prefix editor $(NPM_FLAGS)
	cd editor && $(WITH_NODE) node_modules/.bin/esbuild editor-setup.js --bundle --format=esm --minify \
	  --legal-comments=none --target=es2022 --log-level=warning --outfile=../$(VENDOR)/editor.js
	rm -rf editor/node_modules
	cd $(VENDOR) && sha256sum *.js

clean:
	rm -rf .venv var .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage*
