# Sugar over ./marketplace and the virtual environment that it makes (.venv).
PY := .venv/bin/python
UV := .venv/bin/uv
# `s=billing` or `s=kong-sync`: the folder; its import name has an underscore.
pkg = $(subst -,_,$(s))
PORT_accounts := 8106
PORT_catalog := 8101
PORT_subscriptions := 8102
PORT_billing := 8103
PORT_metering := 8104
PORT_kong-sync := 8105

.PHONY: setup up down demo test test-fast check fmt migrate revision run worker docs e2e lock

setup: ; ./marketplace --help > /dev/null
up: ; ./marketplace up
down: ; ./marketplace down
demo: ; ./marketplace demo
test: ; ./marketplace test
test-fast: ; $(PY) -m pytest tests/*/domain tests/architecture tests/contracts/test_events.py
check: ; @$(PY) -m tests.architecture
fmt: ; $(PY) -m ruff check --fix-only --quiet . marketplace && $(PY) -m ruff format . marketplace
# These four want the service's environment, DATABASE_OWNER_URL and so on (see its README).
migrate: ; $(PY) -m alembic -c services/$(s)/alembic.ini upgrade head
revision: ; $(PY) -m alembic -c services/$(s)/alembic.ini revision -m "$(m)"
run: ; $(PY) -m common.serve $(pkg) --port $(PORT_$(s))
worker: ; $(PY) -m $(pkg).worker
docs: ; $(PY) docs/generate.py
e2e: ; ./marketplace test -m e2e
lock: ; $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --no-emit-package marketplace-common --group pyproject.toml:dev libs/common/pyproject.toml services/*/pyproject.toml devstack/pyproject.toml -o requirements.lock
