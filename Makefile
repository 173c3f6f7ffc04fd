# Hearth's commands; `make help` lists them. Each is a few lines around a playbook or a script in scripts/.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
# What `make up` found out about this machine (ports, images, model); down and ask go by it.
LOCAL := .hearth/local.yml
PLAY := $(BIN)/ansible-playbook -i inventories/local -e @$(LOCAL)

help: ## List the commands
	@awk -F ':.*## ' '/^##@ / {print "\n" substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ This machine

up: runtime .vault_pass ## Install what is missing, deploy to this machine, prove that it answers [HTTP_PORT= HTTPS_PORT=]
	@$(BIN)/python -m tests.lab engine
	@$(BIN)/python -m tests.lab images
	@$(BIN)/python scripts/local.py
	@$(PLAY) playbooks/secrets.yml
	@$(PLAY) playbooks/deploy-stacks.yml

down: runtime .vault_pass $(LOCAL) ## Stop and remove what `make up` started; the data stays
	@$(PLAY) playbooks/stop-stacks.yml

# As typed: make itself would expand a `$` in it.
unexport Q
ask: export QUESTION = $(value Q)
ask: runtime .vault_pass $(LOCAL) ## Ask the platform a question: make ask Q="…"; in single quotes a $ stays as it is
	@test -n "$${QUESTION:-}" || { echo 'usage: make ask Q="your question"'; exit 2; }
	@$(PLAY) playbooks/ask.yml

show-password: $(LOCAL) ## Print the password of Open WebUI's first account
	@$(BIN)/python scripts/show.py password

show-key: $(LOCAL) ## Print a client key of the gateway
	@$(BIN)/python scripts/show.py key

$(LOCAL):
	@echo 'Nothing was deployed here yet: make up' >&2; exit 2

# The passwords of this machine's and of the lab's vault. Your own inventories have passwords of your own.
.vault_pass .lab/vault_pass:
	@mkdir -p $(@D); umask 077; head -c 32 /dev/urandom | base64 >$@

up down ask show-password show-key: export ANSIBLE_VAULT_PASSWORD_FILE := $(CURDIR)/.vault_pass
lab: export ANSIBLE_VAULT_PASSWORD_FILE := $(CURDIR)/.lab/vault_pass

##@ Tests

test: dev ## What every change has to pass: lint, unit, sanity, molecule, quick start, end to end (about 40 minutes)
	@$(BIN)/python scripts/test.py

test-fast: lint unit ## About two minutes: lint and the unit tests that need nothing else

lint: dev ## ruff, mypy, yamllint, ansible-lint (production), shellcheck, changelog fragments
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/yamllint --strict .
	@$(BIN)/shellcheck scripts/*.sh .ci/run
	@$(BIN)/antsibull-changelog lint
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/ansible-lint --offline --profile production

unit: dev ## Unit tests without Docker and restic
	@$(BIN)/pytest -q -m "not docker and not lab and not restic" tests/unit

sanity: dev ## ansible-test sanity on the built collection
	@scripts/sanity.sh

molecule: dev ## A scenario per role on a lab host [ONLY=traefik]
	@scripts/molecule.sh $(ONLY)

e2e: dev ## The quick start on this machine, and two hosts from the inventory to the answer
	@$(BIN)/pytest -m "not long" tests/e2e

test-long: dev .lab/vault_pass ## Fault and property tests on two lab hosts; not part of `make test` [HEARTH_SEED=]
	@$(BIN)/pytest -s -m long tests/e2e
	@$(BIN)/pytest -s tests/long
	@$(BIN)/python -m tests.lab up solo
	@$(BIN)/python -m tests.lab reboot solo  # what `host` did to its rules has cut off its resolver
	@scripts/molecule.sh backups migrate

bench: dev ## Measure speed and memory against their limits, on two lab hosts [ONLY=deploy]
	@PYTHONPATH=.:collections $(BIN)/python -m tests.bench $(ONLY)

##@ The lab

lab: dev .lab/vault_pass ## Bring up the two-host lab on this machine and deploy inventories/lab
	@$(BIN)/python -m tests.lab up edge gpu-1
	@$(BIN)/ansible-playbook -i inventories/lab playbooks/secrets.yml
	@$(BIN)/ansible-playbook -i inventories/lab -e @.lab/images.yml playbooks/deploy-stacks.yml

lab-down: dev ## Remove every trace of the lab
	@$(BIN)/python -m tests.lab down --all
	@rm -rf .lab inventories/lab/group_vars/all/vault.yml molecule/shared/group_vars/all/vault.yml

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

.PHONY: help up down ask show-password show-key test test-fast lint unit sanity molecule e2e test-long bench lab lab-down docs hooks clean runtime dev
