# Two commands do everything on a fresh machine (Linux x86-64, Python 3.11 or newer): `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
COMPARED := $(VENV)/.compared
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types architecture pytest browser servers chaos compose packages restore format reference \
	fuzz-hash fuzz-tenants sanitize-hash audit bench bench-guarantees bench-restarts soak lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

install: $(INSTALLED) ## Make the virtual environment, from the hash-pinned lock

# Source distributions (oss2 is one) are built with the pinned setuptools of build.txt, not with whatever is newest.
$(INSTALLED): requirements/build.txt requirements/dev.txt pyproject.toml worker/core/_fasthash.c
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Lookalike needs Python 3.11 or newer; this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements/build.txt
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps --no-build-isolation -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(INSTALLED) ## Start everything, ingest real pictures, search, show what was found, stop
	$(BIN)/lookalike demo

test: lint types architecture browser servers pytest ## Everything that must hold: lint, types, architecture, tests

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(INSTALLED)
	$(BIN)/mypy
	$(BIN)/mypy tests
	$(BIN)/mypy docs

architecture: $(INSTALLED)
	$(BIN)/lint-imports

# Four at once, however many cores there are: each has servers of its own, and mostly waits for them.
pytest: $(INSTALLED) ## Only the tests; ARGS="-k hashing" narrows them
	$(BIN)/pytest --numprocesses 4 --dist worksteal $(ARGS)

# Tests of pages need a browser. Who may not install one is told, and those tests are skipped.
browser: ## Install Debian's Chromium, for the tests of pages, where there is none and root may
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { \
		test "$$(id -u)" = 0 && command -v apt-get >/dev/null && { apt-get -qq update; \
		DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends chromium >/dev/null; }; } || \
		echo "No Chromium: the tests of pages are skipped. To have them: apt-get install chromium"

# Debian would start their daemons, which a policy-rc.d refuses for as long as they are installed. Add packages here as
# PACKAGE:COMMAND.
SERVERS := prometheus:prometheus rabbitmq-server:/usr/lib/rabbitmq/bin/rabbitmq-server redis-server:redis-server
POLICY := /usr/sbin/policy-rc.d
servers: ## Install Debian's servers that tests need, where they are missing and root may
	@missing=""; for server in $(SERVERS); do \
		command -v "$${server#*:}" >/dev/null || missing="$$missing $${server%%:*}"; done; \
	test -z "$$missing" || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && { \
		test -e $(POLICY) || { ours=yes; printf '#!/bin/sh\nexit 101\n' >$(POLICY) && chmod +x $(POLICY); }; \
		apt-get -qq update; \
		DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends $$missing >/dev/null; \
		failed=$$?; test -z "$$ours" || rm -f $(POLICY); test $$failed = 0; }; } || \
		echo "The tests of$$missing are skipped. To have them: apt-get install$$missing"

compose: $(INSTALLED) ## Run docker-compose.yml for real, with stand-in images (root; docker.io, docker-compose, debootstrap)
	$(BIN)/python -m tests.compose $(ARGS)

packages: $(INSTALLED) ## Build the packages and try them, clean, on Python 3.11 to 3.13; ARGS="--tests" runs the unit tests too
	$(BIN)/python -m tests.packages $(ARGS)

chaos: $(INSTALLED) ## Break the stack in every way under load, and check what became of each event; ARGS="--list"
	$(BIN)/python -m tests.chaos $(ARGS)

format: $(INSTALLED) ## Format, and mend what ruff can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

reference: $(INSTALLED) ## Make docs/reference.md of the docstrings
	$(BIN)/python -m docs.reference

fuzz-hash: $(INSTALLED) ## Compare the fast hash with the reference on JPEGs, whole and broken; ARGS="--count 100000"
	$(BIN)/python -W ignore -m tests.fuzz $(ARGS)

fuzz-tenants: $(INSTALLED) ## Ask hostile questions of many companies: no answer may tell of another's; ARGS="--queries 100000"
	$(BIN)/python -W ignore -m tests.fuzz_tenants $(ARGS)

# In an environment of its own. It needs a vulnerability service, and says what it could not look up.
AUDITED := requirements/client.txt requirements/worker.txt requirements/dev.txt
audit: ## Look up the locked dependencies among known vulnerabilities; ARGS="--vulnerability-service osv"
	test -x build/audit/bin/pip-audit || { $(PYTHON) -m venv build/audit && build/audit/bin/python -m pip install --quiet 'pip-audit>=2.10,<3'; }
	build/audit/bin/pip-audit --strict --disable-pip --require-hashes $(foreach file,$(AUDITED),--requirement $(file)) $(ARGS)

deploy/redis/users.acl: devstack/acl.py $(INSTALLED)
	$(BIN)/python -c 'from devstack import acl; print(acl.blank(), end="")' > $@

SANITIZED := build/sanitized/_fasthash.abi3.so
# The sanitizers have to be there before Python is.
UNDER_SANITIZERS = LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc
sanitize-hash: $(INSTALLED) ## Run the C of the fast hash with address and undefined behaviour sanitizers (needs gcc)
	mkdir -p $(dir $(SANITIZED))
	gcc -g -O1 -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all -ffp-contract=off \
		-DPy_LIMITED_API=0x030b0000 -I"$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')" \
		-shared -fPIC worker/core/_fasthash.c -o $(SANITIZED) -lm
	$(UNDER_SANITIZERS) $(BIN)/python -m tests.kernel $(SANITIZED)
	$(UNDER_SANITIZERS) $(BIN)/python -W ignore -m tests.fuzz --kernel $(SANITIZED) --count 1000 $(ARGS)

# What Lookalike is compared to comes into the same environment, with the same versions of all that dev.txt holds.
$(COMPARED): $(INSTALLED) requirements/bench.txt
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements/bench.txt
	@touch $@

bench: $(COMPARED) ## Measure everything, on a quiet machine; ARGS="--list", "--quick" or sections narrow it
	$(BIN)/python -m benchmarks $(ARGS)

bench-guarantees: $(INSTALLED) ## Measure what the guarantees cost, on a quiet machine; ARGS="--quick" only tries it
	$(BIN)/python -m benchmarks.guarantees $(ARGS)

bench-restarts: $(INSTALLED) ## Measure what a rolling restart of the workers costs
	$(BIN)/python -m benchmarks.restarts $(ARGS)

soak: $(INSTALLED) ## Ten minutes of mixed load, a worker killed in each: what callers notice; ARGS="--minutes 2" is shorter
	$(BIN)/python -m benchmarks.soak $(ARGS)

lock: $(INSTALLED) ## Choose the newest versions that fit, and write the hash-pinned requirements
	$(BIN)/$(LOCK) --upgrade requirements/build.in -o requirements/build.txt
	$(BIN)/$(LOCK) --upgrade pyproject.toml -o requirements/client.txt
	$(BIN)/$(LOCK) --upgrade --extra worker --extra listener --extra otel pyproject.toml requirements/worker.in -o requirements/worker.txt
	$(BIN)/$(LOCK) --upgrade --extra dev pyproject.toml requirements/worker.in -o requirements/dev.txt
	$(BIN)/$(LOCK) --upgrade --overrides requirements/bench-overrides.in requirements/bench.in -o requirements/bench.txt

restore: $(INSTALLED) ## Back a stack up, destroy it, restore it and mend it, and check every row and event on the way
	$(BIN)/python -m tests.restore $(ARGS)

clean: ## Remove what the other targets made
	rm -rf $(VENV) .devstack build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
