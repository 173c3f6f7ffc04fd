"""A variable changes, and every other byte of the file stays as its owner wrote it."""

import pytest
from ansible_collections.hearth.llm.plugins.plugin_utils.vault_text import (
    TextError,
    drop,
    entries,
    put,
    vault_block,
)

TEXT = """\
---
# Mine: do not lose this.
vault_a: !vault |
  $ANSIBLE_VAULT;1.1;AES256
  3031

# between
vault_b:   'quoted'   # behind
other:
  - {deep: [1, 2]}   # in a list
  # at the end of the list
vault_c: "{{ lookup('env', 'C') }}"
# the end
"""


def test_replacing_touches_the_variables_own_lines_only():
    changed = put(TEXT, "vault_a", vault_block("vault_a", "$ANSIBLE_VAULT;1.1;AES256\n4142\n"))
    assert changed == TEXT.replace("3031", "4142")


def test_a_new_variable_goes_to_the_end_or_behind_another():
    assert put(TEXT, "vault_d", "vault_d: 1\n") == TEXT + "vault_d: 1\n"
    assert put(TEXT, "vault_d", "vault_d: 1\n", after="vault_a") == TEXT.replace(
        "3031\n", "3031\nvault_d: 1\n"
    )


def test_adding_and_dropping_gives_the_file_back():
    assert drop(put(TEXT, "vault_d", "vault_d: 1\n", after="vault_b"), "vault_d") == TEXT
    assert drop(TEXT, "no_such") == TEXT


def test_a_last_line_without_an_end_is_ended():
    assert put("a: 1", "b", "b: 2\n") == "a: 1\nb: 2\n"
    assert put("", "b", "b: 2\n") == "b: 2\n"


@pytest.mark.parametrize("text", ["- a\n", "{a: 1}\n", "a: [1\n", "a: 1\na: 2\n", "just words\n"])
def test_what_is_no_list_of_variables_is_refused_without_quoting_it(text):
    with pytest.raises(TextError):
        entries(text)


def test_a_scalar_keeps_its_text_and_tag():
    found = entries(TEXT)
    assert found["vault_a"].tag == "!vault"
    assert found["vault_a"].value.startswith("$ANSIBLE_VAULT")
    assert found["vault_b"].value == "quoted"
