"""Which secrets a rotation takes, what it does to the platform, and what a host refuses to be given."""

from __future__ import annotations

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import (
    fingerprint,
    rotation,
    secret_ages,
    secret_work,
)
from ansible_collections.hearth.llm.plugins.module_utils.rotation import Wish
from ansible_collections.hearth.llm.plugins.module_utils.secret_work import _masked
from fleet import resolved, two_hosts

KEY = "0123456789abcdef" * 4


def described(**more):
    base = {
        "rotate": "restart",
        "service": "gate",
        "provider": None,
        "reloads": False,
        "why": "",
        "apply": {},
    }
    return {**base, "days": 90, "ends": "", "prove": {}, **more}


SECRETS = {
    "gate_master": described(),
    "gate_salt": described(rotate="never", why="stored credentials are lost"),
    "gate_account": described(rotate="in-place"),
    "page_key": described(rotate="overlap", service="page", provider="gate", reloads=True),
}


def chosen(wish=None, ages=None, under_way=(), unmovable=None):
    return rotation.choose(SECRETS, ages or {}, under_way, unmovable or {}, wish or Wish())


class TestChoice:
    def test_all_but_those_that_cannot_be_and_it_says_why(self):
        names, skipped, problems = chosen()
        assert (names, problems) == (["gate_master", "page_key"], [])
        assert [name for name, _why in skipped] == ["gate_salt", "gate_account"]
        assert "stored credentials are lost" in skipped[0][1]

    def test_a_service_by_its_tag(self):
        assert chosen(Wish(services=frozenset({"page"})))[0] == ["page_key"]

    def test_those_older_than_some_days_and_of_unknown_age(self):
        ages = {"gate_master": 90, "page_key": 91}
        assert chosen(Wish(days=90), ages)[0] == ["page_key"]
        assert chosen(Wish(days=90), {"gate_master": 1})[0] == ["page_key"]

    def test_one_that_was_interrupted_goes_on_however_young_it_is(self):
        assert chosen(Wish(days=90), {"gate_master": 0, "page_key": 0}, ["page_key"])[0] == ["page_key"]

    @pytest.mark.parametrize(
        ("secret", "word"),
        [
            ("gate_salt", "is never rotated: stored credentials are lost"),
            ("gate_account", "does not say how"),
            ("gate_mister", "is not a secret of this inventory"),
        ],
    )
    def test_asked_for_by_name_it_is_a_problem(self, secret, word):
        names, _skipped, [problem] = chosen(Wish(secret=secret))
        assert names == []
        assert word in problem.expected

    def test_a_slip_of_the_fingers_gets_a_hint_and_the_variables_name_does_too(self):
        assert "did you mean gate_master?" in chosen(Wish(secret="gate_mister"))[2][0].remedy
        assert chosen(Wish(secret="vault_gate_master"))[0] == ["gate_master"]

    def test_a_value_from_elsewhere_is_left_alone(self):
        assert chosen(unmovable={"gate_master": "comes from elsewhere"})[0] == ["page_key"]


class TestPlan:
    @pytest.fixture
    def fleet(self):
        fleet = resolved(two_hosts())
        fleet["secrets"]["page_gate_key"].update(rotate="overlap", reloads=True)
        return fleet

    def plan(self, fleet, names, under_way=(), wish=None):
        return rotation.plan(fleet, names, under_way, [], wish or Wish())

    def test_a_clients_key_reaches_its_provider_first_and_is_taken_from_it_last(self, fleet):
        found = self.plan(fleet, ["page_gate_key"])
        assert found.first == [("edge", "gate"), ("edge", "page")]
        assert found.second == found.reloads == [("edge", "gate")]
        assert found.twice == []

    def test_a_provider_that_needs_a_restart_for_it_restarts_twice_and_the_plan_says_so(self, fleet):
        fleet["secrets"]["page_gate_key"]["reloads"] = False
        found = self.plan(fleet, ["page_gate_key"])
        assert found.twice == [("edge", "gate")]
        assert "restarts twice" in rotation.text(fleet, found, Wish())

    def test_a_plain_restart_touches_its_readers_once(self, fleet):
        found = self.plan(fleet, ["gate_probe_key"])
        assert (found.first, found.second) == ([("edge", "gate")], [])

    def test_kept_old_values_end_after_the_first_round(self, fleet):
        assert self.plan(fleet, ["page_gate_key"], wish=Wish(keep_old=True)).second == []

    def test_what_is_under_way_gets_no_second_new_value(self, fleet):
        found = self.plan(fleet, ["page_gate_key", "gate_probe_key"], ["page_gate_key"])
        assert found.fresh == ["gate_probe_key"]
        assert " resume   vault_page_gate_key" in rotation.text(fleet, found, Wish())

    def test_the_order_is_that_of_a_deploy(self, fleet):
        rows = rotation.stages(fleet, [("edge", "page"), ("edge", "gate")])
        assert [row["name"] for row in rows["trusted"]["edge"]] == ["gate", "page"]

    def test_what_cannot_be_proven_is_said(self, fleet):
        text = rotation.text(fleet, self.plan(fleet, ["gate_probe_key"]), Wish())
        assert "cannot be proven, because service.yml does not say how: vault_gate_probe_key" in text


class TestFingerprints:
    def stamps(self, value="one", generation=1):
        return fingerprint.stamps(KEY, {"x": value}, {"x": {"generation": generation}})

    def problems(self, there, now, previous=None, rotate="in-place", rotates=False):
        secrets = {"x": described(rotate=rotate, why="all is lost")}
        return fingerprint.problems("edge", "Gate", there, now, previous or {}, secrets, rotates)

    def test_a_fingerprint_says_nothing_without_the_key_and_differs_by_name(self):
        assert fingerprint.fingerprint(KEY, "x", "v") != fingerprint.fingerprint(KEY[:-1] + "0", "x", "v")
        assert fingerprint.fingerprint(KEY, "x", "v") != fingerprint.fingerprint(KEY, "y", "v")
        assert fingerprint.stamps(None, {"x": "v"}, {}) == {}

    def test_of_another_vault_nothing_is_said(self):
        other = fingerprint.stamps(KEY[::-1], {"x": "one"}, {"x": {"generation": 9}})
        assert self.problems(other, self.stamps("two")) == []

    def test_the_same_value_is_fine_whatever_its_count(self):
        assert self.problems(self.stamps(generation=3), self.stamps(generation=1)) == []

    @pytest.mark.parametrize("rotate", ["restart", "overlap", "in-place"])
    def test_an_older_vault_than_the_hosts_is_refused_with_the_way_out(self, rotate):
        [problem] = self.problems(self.stamps("new", 2), self.stamps("old", 1), rotate=rotate)
        assert "generation 1 here, 2 there" in problem.expected
        assert "git pull" in problem.remedy

    @pytest.mark.parametrize("rotate", ["in-place", "migrate"])
    def test_a_value_changed_by_hand_that_a_restart_would_break_is_refused(self, rotate):
        [problem] = self.problems(self.stamps("old"), self.stamps("hand"), rotate=rotate)
        assert "changed by hand" in problem.expected
        assert "vault_x_previous" in problem.remedy

    @pytest.mark.parametrize("rotate", ["restart", "overlap"])
    def test_one_that_a_restart_takes_may_be_changed_by_hand(self, rotate):
        assert self.problems(self.stamps("old"), self.stamps("hand"), rotate=rotate) == []

    def test_one_that_is_never_rotated_is_put_back(self):
        [problem] = self.problems(self.stamps("old"), self.stamps("hand"), rotate="never", rotates=True)
        assert "all is lost" in problem.expected

    def test_half_a_rotation_is_finished_by_the_rotation_and_refused_to_a_deploy(self):
        there, now = self.stamps("old"), self.stamps("new", 2)
        [problem] = self.problems(there, now, previous=there)
        assert "finishes it" in problem.remedy
        assert self.problems(there, now, previous=there, rotates=True) == []

    def test_a_rotation_does_not_take_a_value_whose_old_one_nobody_has(self):
        assert self.problems(self.stamps("old"), self.stamps("hand"), rotates=True)


def test_a_generation_that_is_no_number_counts_as_none():
    assert secret_ages.generation({"generation": "many"}) == 0


def test_what_a_program_says_is_shown_without_the_values():
    assert _masked("refused s3cret and 0ld", "s3cret", "0ld") == "refused *** and ***"


@pytest.mark.parametrize(("code", "waits"), [(1, False), (75, True)])
def test_a_program_says_whether_it_failed_or_has_to_wait(monkeypatch, code, waits):
    monkeypatch.setattr(secret_work, "_in_container", lambda step, given: (code, "the-new-one is not taken"))
    with pytest.raises(secret_work.WorkError, match="is not taken") as failure:
        secret_work.apply({"new": "the-new-one", "old": "the-old-one"})
    assert isinstance(failure.value, secret_work.NotNow) == waits
    assert "the-new-one" not in str(failure.value)
