# Hearth's commands; `make help` lists them. Each is a few lines around a playbook or a script in scripts/.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
PLAY := $(BIN)/ansible-playbook -i inventories/local
# What `make up` was once told about this machine (its ports); later commands go by it.
LOCAL := .hearth/local.yml

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ This machine

up: runtime $(LOCAL) ## Install what is missing, deploy to this machine, prove that it answers [HTTP_PORT= HTTPS_PORT=]
	@$(BIN)/python -m tests.lab engine
	@$(BIN)/python -m tests.lab images
	@$(PLAY) playbooks/secrets.yml
	@$(PLAY) -e @$(LOCAL) -e @.lab/images.yml playbooks/deploy-stacks.yml

down: runtime $(LOCAL) ## Stop and remove what `make up` started; the data stays
	@$(PLAY) -e @$(LOCAL) playbooks/stop-stacks.yml

ask: runtime $(LOCAL) ## Ask the platform a question: make ask Q="…"
	@test -n "$(Q)" || { echo 'usage: make ask Q="your question"'; exit 2; }
	@QUESTION="$$Q" $(PLAY) -e @$(LOCAL) playbooks/ask.yml

show-password: runtime ## Print the password of Open WebUI's first account
	@$(BIN)/python scripts/show.py vault_openwebui_admin_password

show-key: runtime ## Print a client key of the gateway
	@$(BIN)/python scripts/show.py

# Written anew when ports are given, else kept: `make down` and `make ask` must find the same platform.
$(LOCAL): $(if $(HTTP_PORT)$(HTTPS_PORT),FORCE)
	@mkdir -p $(@D)
	@printf '%s\n' '---' '# From `make up HTTP_PORT=… HTTPS_PORT=…`.' \
	  'traefik_http_port: $(or $(HTTP_PORT),80)' 'traefik_https_port: $(or $(HTTPS_PORT),443)' >$@

##@ Tests

test: dev ## Everything: lint, unit, sanity, molecule, quick start, two-host end to end (about 40 minutes)
	@$(BIN)/python scripts/test.py

test-fast: lint unit ## Under a minute: lint and the unit tests that need no Docker

lint: dev ## ruff, mypy, yamllint, ansible-lint (production), shellcheck, changelog fragments
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/yamllint --strict .
	@$(BIN)/shellcheck scripts/*.sh .ci/run
	@$(BIN)/antsibull-changelog lint
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/ansible-lint --offline --profile production

unit: dev ## Unit tests without Docker
	@$(BIN)/pytest -q -m "not docker and not lab" tests/unit

sanity: dev ## ansible-test sanity on the built collection
	@scripts/sanity.sh

molecule: dev ## A scenario per role on a lab host [ONLY=traefik]
	@scripts/molecule.sh $(ONLY)

e2e: dev ## The two-host end-to-end test
	@$(BIN)/pytest tests/e2e

##@ The lab

lab: dev ## Bring up the two-host lab on this machine and deploy inventories/lab
	@$(BIN)/python -m tests.lab up
	@$(BIN)/ansible-playbook -i inventories/lab playbooks/secrets.yml
	@$(BIN)/ansible-playbook -i inventories/lab -e @.lab/images.yml playbooks/deploy-stacks.yml

lab-down: dev ## Remove every trace of the lab
	@$(BIN)/python -m tests.lab down

##@ Upkeep

docs: dev ## Write the variable tables of the READMEs from the argument_specs
	@$(BIN)/python scripts/docs.py

hooks: dev ## Run the linters before every commit
	@$(BIN)/pre-commit install

clean: ## Remove what the tools made here: environment, caches (not the lab: make lab-down)
	@rm -rf .venv .cache .ansible .ruff_cache .mypy_cache .pytest_cache hearth-llm-*.tar.gz

runtime:
	@scripts/bootstrap.sh runtime

dev:
	@scripts/bootstrap.sh dev

FORCE:
.PHONY: help up down ask show-password show-key test test-fast lint unit sanity molecule e2e lab lab-down docs hooks clean runtime dev FORCE
