"""playbooks/rekey-vault.yml: another password for everything, and not another byte."""

from __future__ import annotations

import pytest
from ansible.parsing.vault import VaultSecret
from ansible_collections.hearth.llm.plugins.plugin_utils.vault_rekey import Rekey
from ansible_collections.hearth.llm.plugins.plugin_utils.vault_text import vault_block
from vault_inventory import PASSWORD, Inventory, vault

NEW = "the password of tomorrow"
WORDS = """\
# My own words stay.
before: 1   # as they are
{block}nested:
  deep:
    - !vault |
        {inner}
after: [1,  2]
"""


@pytest.fixture
def inventory(tmp_path):
    found = Inventory(tmp_path)
    inner = vault().encrypt("inner value").decode().strip().replace("\n", "\n        ")
    block = vault_block("vault_outer", vault().encrypt("outer value").decode())
    found.vault.write_text(WORDS.format(block=block, inner=inner))
    (found.all / "whole.yml").write_bytes(vault().encrypt("whole: a whole file\n", vault_id="prod"))
    (found.all / "other.yml").write_text(vault_block("vault_other", vault("another").encrypt("x").decode()))
    (tmp_path / "new").write_text(NEW)
    return found


def bare(text):
    """The lines that are not encrypted."""
    return [line for line in text.splitlines() if not set(line.strip()) <= set("0123456789abcdef")]


def test_inline_and_whole_values_get_the_new_password_and_the_rest_stays(inventory):
    before = inventory.vault.read_text()
    other = (inventory.all / "other.yml").read_text()
    done = inventory.play("rekey-vault", "-e", f"new_password_file={inventory.folder / 'new'}")
    assert done.returncode == 0, done.stdout
    assert "3 values in 2 files are now under the new password" in done.stdout
    assert "left under other passwords: 1" in done.stdout
    assert bare(inventory.vault.read_text()) == bare(before)
    assert (inventory.all / "other.yml").read_text() == other
    assert (inventory.all / "whole.yml").read_text().startswith("$ANSIBLE_VAULT;1.2;AES256;prod\n")
    inventory.password.write_text(NEW)
    (inventory.all / "other.yml").unlink()
    assert inventory.value("vault_outer") == "outer value"
    assert inventory.value("nested") == {"deep": ["inner value"]}
    assert inventory.value("whole") == "a whole file"


def test_half_re_keyed_it_goes_on(inventory):
    rekey = Rekey(vault(), VaultSecret(NEW.encode()))
    first = rekey.look(inventory.folder / "inventory")
    inventory.vault.write_bytes(first.contents[inventory.vault])
    again = rekey.look(inventory.folder / "inventory")
    assert (again.turned, again.already) == (1, 2)
    assert set(again.contents) == {inventory.all / "whole.yml"}


def test_one_environment_of_several(inventory):
    vaults = vault()
    vaults.secrets = [("prod", VaultSecret(PASSWORD.encode()))]
    found = Rekey(vaults, VaultSecret(NEW.encode()), "prod").look(inventory.folder / "inventory")
    assert set(found.contents) == {inventory.all / "whole.yml"}


@pytest.mark.parametrize("present", ["wrong", NEW])
def test_a_wrong_or_the_same_password_changes_nothing(inventory, present):
    (inventory.all / "whole.yml").unlink()
    inventory.password.write_text(present)
    before = inventory.vault.read_bytes()
    done = inventory.play("rekey-vault", "-e", f"new_password_file={inventory.folder / 'new'}")
    assert done.returncode != 0
    assert "nothing was changed" in " ".join(done.stdout.split())
    assert inventory.vault.read_bytes() == before
