"""playbooks/secrets.yml on an operator's files of every form, good and bad."""

from __future__ import annotations

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible_collections.hearth.llm.plugins.plugin_utils.vault_store import Store
from ansible_collections.hearth.llm.plugins.plugin_utils.vault_text import vault_block
from vault_inventory import PASSWORD, SERVICE, Inventory, vault

MINE = """\
# The operator's own words.
vault_mine:   'one of mine'   # kept
"""


@pytest.fixture
def inventory(tmp_path):
    return Inventory(tmp_path)


def snapshot(inventory):
    return {path: path.read_bytes() for path in inventory.folder.rglob("*") if path.is_file()}


def inline(variable, value):
    return vault_block(variable, vault().encrypt(value).decode())


def refused(inventory, word, *arguments, **more):
    """The playbook fails with this word and changes no file. Returns its output."""
    before = snapshot(inventory)
    done = inventory.play("secrets", *arguments, **more)
    assert done.returncode != 0
    assert word in " ".join(done.stdout.split())
    assert snapshot(inventory) == before
    return done.stdout


def test_it_makes_what_is_missing_lists_ages_and_shows_no_value_and_twice_changes_nothing(inventory):
    inventory.vault.write_text(MINE)
    first = inventory.play("secrets")
    assert first.returncode == 0, first.stdout
    text = inventory.vault.read_text()
    assert text.startswith(MINE)
    assert inventory.vault.stat().st_mode & 0o777 == 0o600
    again = inventory.play("secrets", "-vvv")
    assert "changed=0" in again.stdout
    assert inventory.vault.read_text() == text
    assert "0 days ago" in again.stdout
    assert "never rotated" in again.stdout
    ciphers = [value.value for _key, value in yaml.compose(text).value if value.tag == "!vault"]
    values = [vault().decrypt(cipher.strip()).decode() for cipher in ciphers]
    assert len(values) == 3
    assert not [value for value in values if value in first.stdout + again.stdout + text]


def test_check_makes_nothing(inventory):
    before = snapshot(inventory)
    done = inventory.play("secrets", "--check")
    assert "would make vault_" in done.stdout
    assert snapshot(inventory) == before


def test_a_file_that_is_encrypted_as_a_whole_is_read_and_not_touched(inventory):
    own = f"{MINE}vault_echo_word: this-one-is-my-own-word-1\n"
    inventory.vault.write_bytes(vault().encrypt(own))
    before = inventory.vault.read_bytes()
    done = inventory.play("secrets")
    assert done.returncode == 0, done.stdout
    assert inventory.vault.read_bytes() == before
    beside = (inventory.all / "vault_hearth.yml").read_text()
    assert "vault_echo_seal" in beside
    assert "vault_echo_word" not in beside
    assert inventory.value("vault_echo_word") == "this-one-is-my-own-word-1"


def test_new_values_go_under_the_vault_id_that_the_file_uses(inventory):
    (inventory.folder / "other").write_text("the password of another environment")
    ids = ["--vault-id", f"lab@{inventory.folder / 'other'}", "--vault-id", f"prod@{inventory.password}"]
    cipher = vault().encrypt("a-word-of-the-environment", vault_id="prod").decode()
    inventory.vault.write_text("vault_mine: !vault |\n" + "".join(f"  {x}\n" for x in cipher.splitlines()))
    done = inventory.play("secrets", *ids, password=False)
    assert done.returncode == 0, done.stdout
    headers = [line.strip() for line in inventory.vault.read_text().splitlines() if "ANSIBLE_VAULT" in line]
    assert set(headers) == {"$ANSIBLE_VAULT;1.2;AES256;prod"}
    assert inventory.value("vault_echo_word", "--vault-id", f"prod@{inventory.password}")


def test_a_script_may_give_the_password(inventory):
    inventory.password.write_text(f"#!/bin/sh\necho '{PASSWORD}'\n")
    inventory.password.chmod(0o700)
    assert inventory.play("secrets").returncode == 0
    assert inventory.vault.read_text().count("!vault |") == 3


@pytest.mark.parametrize(
    ("value", "word"),
    [("changeme-changeme-changeme", "placeholder"), ("aaaaaaaaaaaaaaaaaaaaaa", "too regular")],
)
def test_a_weak_value_is_refused_and_not_shown(inventory, value, word):
    inventory.vault.write_text(f"vault_echo_word: {value}\n")
    assert value not in refused(inventory, word)


def test_without_a_password_nothing_is_written(inventory):
    refused(inventory, "no vault password", password=False)


def test_a_wrong_password_is_told_and_nothing_is_written(inventory):
    inventory.vault.write_text(inline("vault_echo_word", "a-word-of-the-vault-1"))
    inventory.password.write_text("another one")
    refused(inventory, "cannot be decrypted")


def test_a_value_that_was_cut_off_is_named_and_nothing_is_written(inventory):
    inventory.vault.write_text(inline("vault_echo_word", "a-word-of-the-vault-1")[:200])
    refused(inventory, "vault_echo_word cannot be decrypted")


def test_a_file_that_was_cut_off_in_the_middle_of_yaml_is_an_error(inventory):
    inventory.vault.write_text('vault_mine: "half a')
    refused(inventory, "YAML")


def test_a_file_that_says_a_thing_twice_is_not_guessed_about(inventory):
    inventory.vault.write_text("vault_mine: 1\nvault_mine: 2\n")
    refused(inventory, "has vault_mine twice")


def test_one_name_for_two_kinds_is_refused_first(tmp_path):
    inventory = Inventory(tmp_path)
    role = tmp_path / "services" / "other"
    role.mkdir()
    (role / "service.yml").write_text(
        SERVICE.replace("Echo", "Other")
        .replace("echo_version", "other_version")
        .replace("word: {kind: password", "word: {kind: key")
    )
    hosts = tmp_path / "inventory" / "hosts.yml"
    hosts.write_text(hosts.read_text().replace("- echo", "- echo\n      - other"))
    refused(inventory, "is a password of echo and a key of other")


def test_two_runs_at_once_lose_nothing_of_each_other(inventory):
    inventory.vault.write_text(MINE)
    first, second = (Store(inventory.folder / "inventory", vault()) for _run in range(2))
    first.write({"vault_echo_word": "of the first run"}, {})
    first.write({"vault_echo_seal": "of the first run, too"}, {})
    with pytest.raises(AnsibleActionFail, match="was changed while this run used it"):
        second.write({"vault_echo_word": "of the second run"}, {})
    now = Store(inventory.folder / "inventory", vault())
    assert now.value("vault_echo_word") == "of the first run"
    assert now.value("vault_echo_seal") == "of the first run, too"
