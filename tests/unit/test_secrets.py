"""What a secret is: its kinds, what is refused, how it is declared."""

from __future__ import annotations

import base64

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import catalogue, secret_ages, secrets
from ansible_collections.hearth.llm.plugins.module_utils.service_file import SpecError, read
from ansible_collections.hearth.llm.plugins.module_utils.service_spec import KINDS, Secret
from fleet import host, one, resolved, specs, two_hosts

GOOD = "sk-0123456789abcdefghijkl"


def declared(**secret):
    text = {"title": "X", "tier": "every", "secrets": {"x_word": secret}}
    return read("x", "test.x", text, {}).secrets[0]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_made_of_each_kind_is_good_and_never_the_same(kind):
    secret = Secret("x", kind)
    one_value, other = secrets.generate(secret), secrets.generate(secret)
    assert one_value != other
    assert secrets.check("h", secret, one_value) == []


def test_lengths_count_what_the_description_says():
    assert len(secrets.generate(Secret("x", "key", prefix="sk-", length=30))) == 30
    assert len(base64.b64decode(secrets.generate(Secret("x", "base64", length=32)))) == 32
    assert len(base64.b64decode(secrets.generate(Secret("x", "tsig")))) == 32


@pytest.mark.parametrize(
    ("kind", "value", "word"),
    [
        ("key", "sk-1234", "placeholder"),
        ("password", "please-change-me-now", "placeholder"),
        ("password", "Qz7.k", "too short"),
        ("password", "abababababababababab", "too regular"),
        ("hex", "0123456789abcdefghij", "hexadecimal"),
        ("base64", "not base64 at all, no!", "base64"),
        ("password", "two lines\nof a password", "one line"),
        ("ed25519", "0123456789abcdefghij", "private key"),
        ("bcrypt", "0123456789" * 8, "72 bytes"),
    ],
)
def test_what_is_weak_or_of_another_kind_is_refused_and_not_shown(kind, value, word):
    [problem] = secrets.check("all", Secret("x", kind), value)
    assert word in problem.expected
    assert value not in repr(problem)


def test_a_key_pair_of_another_kind_is_refused():
    [problem] = secrets.check("all", Secret("x", "rsa"), secrets.generate(Secret("x", "ed25519")))
    assert "kind rsa" in problem.expected


@pytest.mark.parametrize(("kind", "start"), [("bcrypt", "$2b$10$"), ("sha512", "$6$")])
def test_a_hashed_kind_gives_templates_its_hash_the_same_every_time(kind, start):
    first, again = (secrets.presented({"kind": kind, "name": "x"}, GOOD, "home.lan") for _time in range(2))
    assert first == again
    assert first.startswith(start)
    assert GOOD not in first
    assert secrets.presented({"kind": "key", "name": "x"}, GOOD, "home.lan") == GOOD


@pytest.mark.parametrize(
    ("secret", "word"),
    [
        ({"kind": "rot13"}, "expected one of password"),
        ({"kind": "key", "rotate": "often"}, "rotate is none of"),
        ({"kind": "key", "rotate": "never"}, "needs `why`"),
        ({"kind": "key", "prove": {"path": "/", "pasword": 1}}, "known: "),
        ({"kind": "key", "prove": {"body": {}}}, "needs one of path, program, guard"),
        ({"kind": "key", "apply": {"container": "x"}}, "known: container, program"),
    ],
)
def test_a_description_that_cannot_be_meant_is_refused(secret, word):
    with pytest.raises(SpecError, match=word):
        declared(**secret)


def test_one_name_for_two_kinds_of_secret_is_a_problem():
    found = specs()
    second = {"title": "Other", "tier": "trusted", "secrets": {"gate_probe_key": {"kind": "hex"}}}
    found["other"] = read("other", "test.other", second, {})
    [edge, gpu] = two_hosts()
    edge = host("edge", ["trusted"], "10.0.0.1", ["door", "gate", "page", "other"])
    problems = catalogue.resolve(found, [edge, gpu]).problems
    assert [p.expected for p in problems] == ["is a key of gate and a hex of other"]


def test_a_consumer_on_another_host_may_read_a_secret_and_others_may_not():
    found = specs()
    text = {
        "title": "Store",
        "tier": "compute",
        "secrets": {"store_key": {"kind": "key", "consumers": ["page"]}},
    }
    found["store"] = read("store", "test.store", text, {})
    [edge, gpu] = two_hosts()
    gpu = host("gpu-1", ["compute"], "10.0.0.2", ["model", "store"], model_models=["small:1b"])
    fleet = catalogue.resolve(found, [edge, gpu]).fleet
    assert "store_key" in one(fleet, "page")["secrets"]
    assert "store_key" not in one(fleet, "gate")["secrets"]


def test_a_clients_key_rotates_as_its_provider_takes_it():
    found = specs()
    gate = found["gate"]
    object.__setattr__(
        gate, "client_keys", {"overlap": True, "restart": False, "prove": {"path": "/v1/models"}}
    )
    described = catalogue.resolve(found, two_hosts()).fleet["secrets"]["page_gate_key"]
    assert (described["rotate"], described["reloads"]) == ("overlap", True)
    assert described["prove"] == {"path": "/v1/models"}
    assert resolved(two_hosts())["secrets"]["page_gate_key"]["rotate"] == "restart"


class TestAges:
    FLEET = {
        "a_key": {"rotate": "restart", "days": 90, "service": "a"},
        "b_key": {"rotate": "never", "days": 365, "service": "b"},
    }

    def rows(self, made="2026-01-01", rotating=()):
        metadata = {name: {"made": made, "generation": 1} for name in self.FLEET}
        return secret_ages.ages(self.FLEET, metadata, rotating, secret_ages.date(2026, 4, 2))

    def test_a_secret_past_its_policy_is_warned_of_with_the_command(self):
        text = secret_ages.text(self.rows())
        assert "vault_a_key: 91 days old, wanted at most 90" in text
        assert "rotate-secrets.yml -e secret=a_key" in text

    def test_a_secret_that_is_never_rotated_is_never_overdue(self):
        assert [row["overdue"] for row in self.rows()] == [True, False]

    def test_within_the_policy_nothing_is_warned_of(self):
        assert secret_ages.warnings(self.rows(made="2026-01-02")) == []

    def test_a_date_that_nobody_wrote_is_unknown(self):
        assert "age unknown" in secret_ages.text(self.rows(made="some day"))

    def test_an_old_value_that_is_still_there_is_told(self):
        assert "its old value is still there" in secret_ages.text(self.rows("2026-04-01", {"a_key"}))
