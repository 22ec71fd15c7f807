# Everything a person types. `make help` lists it.
CONFIG ?= configs/cpu.yaml
T ?=
CHAOS ?=
UV ?= uv
VENV := .venv/bin
INSTALL := configs/requirements/install.py
SETUP = $(if $(PROFILE),--profile $(PROFILE),--config $(CONFIG)) $(if $(DEV),--dev)

# A pyenv shim exists for versions that do not run: only trying tells.
USABLE := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	if $$p -c '$(USABLE)' >/dev/null 2>&1; then echo $$p; break; fi; done)

.DEFAULT_GOAL := help
.PHONY: help run test test-nightly chaos k8s k8s-check docs setup models lint lock clean python

run: setup ## Install what CONFIG needs, fetch its models, serve: make run CONFIG=configs/cpu.yaml
	@$(VENV)/pointsman models fetch --config $(CONFIG)
	@exec $(VENV)/pointsman up --config $(CONFIG)

test: python ## Lint, type-check and run all tests, or some: make test T=tests/unit
	@$(PYTHON) $(INSTALL) --profile cpu --dev
	@$(VENV)/ruff check .
	@$(VENV)/mypy
	@$(VENV)/pointsman models fetch
	@exec $(VENV)/python -m pytest -q $(T)

test-nightly: export POINTSMAN_NIGHTLY=1
test-nightly: test ## The tests with their long loops: POINTSMAN_NIGHTLY=1

chaos: python ## Break a real Pointsman under load, count what clients notice: make chaos CHAOS="--only lane-killed"
	@$(PYTHON) $(INSTALL) --profile cpu --dev
	@$(VENV)/pointsman models fetch
	@exec $(VENV)/python -m bench.chaos --out bench/results/chaos.json --plot bench/results/chaos.svg $(CHAOS)

k8s: python ## Write what stands in k8s/ from the configurations: serve-config.yaml and rendered/
	@$(PYTHON) $(INSTALL) --profile cpu
	@set -e; kubectl=$$(k8s/kubectl.sh); for env in cpu gpu-single gpu-prod; do \
		$(VENV)/pointsman render --env $$env --out k8s/overlays/$$env; \
		$$kubectl kustomize k8s/overlays/$$env > k8s/rendered/$$env.yaml; done

k8s-check: python ## Render every overlay with kubectl and check all of it against its schemas
	@$(PYTHON) $(INSTALL) --profile cpu --dev
	@set -e; POINTSMAN_KUBECTL=$$(k8s/kubectl.sh); export POINTSMAN_KUBECTL; \
		exec $(VENV)/python -m pytest -q tests/unit/test_k8s*.py

docs: python .venv-docs/made ## Build the site of docs/ into build/site; every warning is an error
	@NO_MKDOCS_2_WARNING=1 exec .venv-docs/bin/mkdocs --quiet build --strict --clean --config-file docs/site/mkdocs.yml

.venv-docs/made: docs/site/requirements.txt
	@$(PYTHON) -m venv --clear .venv-docs
	@.venv-docs/bin/python -m pip install --quiet --require-hashes --requirement $<
	@touch $@

setup: python ## Only install: by CONFIG, or PROFILE=core|cpu|gpu; DEV=1 adds the test tools
	@$(PYTHON) $(INSTALL) $(SETUP)

models: setup ## Only fetch and convert the models that CONFIG names
	@exec $(VENV)/pointsman models fetch --config $(CONFIG)

lint: python ## ruff and mypy --strict
	@$(PYTHON) $(INSTALL) --profile cpu --dev
	@$(VENV)/ruff check .
	@exec $(VENV)/mypy

lock: python ## Rewrite configs/requirements/*.txt from pyproject.toml with uv; UPGRADE=1 takes the newest
	@$(PYTHON) $(INSTALL) --profile core
	@UV=$(UV) exec $(VENV)/python configs/requirements/lock.py $(if $(UPGRADE),--upgrade)

clean: ## Remove .venv and tool caches; the model cache stays
	rm -rf .venv .venv-docs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "Pointsman needs Python 3.11, 3.12 or 3.13 with venv (on Debian: the package python3-venv)." >&2; \
		echo "Looked for python3.11, python3.12, python3.13 and python3. Or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; \
		exit 1; fi
