# Everything runs in .venv, which makes itself. `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
PYTEST_ARGS ?=
TEST_PROCESSES ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo up test check fix bench bench-routing results schema messages

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { \
	  echo "No virtual environment could be made; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[server,embedded,rt,dev]'
	@touch $@

demo: $(STAMP) ## the whole loop on the bundled sample, then a site to look at
	$(BIN)/python manage.py demo

up: $(STAMP) ## web, worker and scheduler on this machine
	$(BIN)/python manage.py up

test: $(STAMP) ## all tests (PYTEST_ARGS="-k lease -x" narrows them; TEST_PROCESSES=1 runs them one by one)
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile $(PYTEST_ARGS)

# Nothing here connects anywhere but `schema` and the migrations' check, so the embedded servers stay down for the rest.
check: $(STAMP) ## lint, types, imports, migrations, API schema, compose file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	TIEBREAK_EMBEDDED=0 $(BIN)/mypy
	PYTHONPATH=platform:. $(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	  TIEBREAK_EMBEDDED=0 $(BIN)/python manage.py spectacular --validate --fail-on-warn --file "$$scratch/openapi.yml" && \
	  { diff -u tests/contract/openapi.yml "$$scratch/openapi.yml" || \
	    { echo "The API's schema differs from tests/contract/openapi.yml; if that is meant: make schema" >&2; exit 1; }; }
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

fix: $(STAMP) ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schema: $(STAMP) ## take the API's schema as it is now for the snapshot
	TIEBREAK_EMBEDDED=0 $(BIN)/python manage.py spectacular --validate --fail-on-warn --file tests/contract/openapi.yml

messages: $(STAMP) ## collect the words to translate (needs gettext) and compile the translations
	TIEBREAK_EMBEDDED=0 $(BIN)/python manage.py makemessages --locale ar --locale ja --no-obsolete --add-location file \
	  --ignore '.venv/*' --ignore 'tests/*' --ignore 'benchmarks/*' --ignore 'models_rt/*'
	$(BIN)/pybabel compile --domain django --directory platform/tiebreak/locale

bench: $(STAMP) ## all benchmarks, into docs/performance.md
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python benchmarks/run.py performance

bench-routing: $(STAMP) ## quality against the share of people, by policy; QUICK=--quick for two seeds
	$(BIN)/python benchmarks/results_routing.py $(QUICK)

results: $(STAMP) ## the scientific figures, into docs/results.md
	$(BIN)/python benchmarks/run.py results
