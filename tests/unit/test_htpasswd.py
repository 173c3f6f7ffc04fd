"""htpasswd files that come out the same every time and tell nothing."""

from __future__ import annotations

import bcrypt
import pytest
from ansible_collections.hearth.llm.plugins.module_utils.htpasswd import htpasswd


def test_a_user_signs_in_with_the_password_and_with_no_other() -> None:
    name, _sep, hashed = htpasswd({"admin": "pa$$ word: é"}, "example.org").strip().partition(":")
    assert name == "admin"
    assert bcrypt.checkpw("pa$$ word: é".encode(), hashed.encode())
    assert not bcrypt.checkpw(b"pa$$ word", hashed.encode())


def test_rendering_twice_gives_the_same_file_in_order_of_names() -> None:
    first = htpasswd({"b": "one", "a": "two"}, "example.org")
    assert first == htpasswd({"a": "two", "b": "one"}, "example.org")
    assert [line.split(":")[0] for line in first.splitlines()] == ["a", "b"]


def test_equal_passwords_of_two_users_or_sites_do_not_show() -> None:
    hashes = {
        line.partition(":")[2]
        for site in ("example.org", "example.net")
        for line in htpasswd({"a": "same", "b": "same"}, site).splitlines()
    }
    assert len(hashes) == 4


def test_the_salt_does_not_follow_from_the_password() -> None:
    """Otherwise a fast hash would check guesses."""
    salts = {htpasswd({"a": password}, "example.org")[: len("a:$2b$10$") + 22] for password in ("x", "y")}
    assert len(salts) == 1


@pytest.mark.parametrize("name", ["", "a:b", "a\nb"])
def test_a_name_that_would_break_the_file_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="without `:` and line breaks"):
        htpasswd({name: "secret"}, "example.org")


@pytest.mark.parametrize("password", ["", "x" * 73, "hunter2\0"])
def test_a_password_that_bcrypt_would_cut_is_refused_without_showing_it(password: str) -> None:
    with pytest.raises(ValueError, match="expected 1 to 72") as refusal:
        htpasswd({"admin": password}, "example.org")
    assert not password or password not in str(refusal.value)


def test_no_users_make_no_file() -> None:
    assert htpasswd({}, "example.org") == ""
