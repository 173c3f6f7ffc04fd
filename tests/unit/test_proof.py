"""Which question proves which run, and what the closing report says."""

from ansible_collections.hearth.llm.plugins.module_utils import catalogue, closing, proof
from fleet import host, resolved, two_hosts

FLEET = resolved(two_hosts())


def run(fleet, hosts, tags=None, up=("gate",)):
    return proof.questions(
        fleet,
        hosts,
        lambda service: service["host"] in hosts and (tags is None or service["name"] in tags),
        lambda service: service["name"] in up,
    )


def test_a_full_run_is_proven_through_the_public_route():
    [question] = run(FLEET, ["edge", "gpu-1"])
    assert question.host == "edge"
    assert question.url == "https://gate.lan/v1"
    assert question.address == "10.0.0.1"
    assert question.key == "gate_probe_key"
    assert question.model == "small:1b"


def test_a_compute_host_alone_is_proven_at_its_own_server():
    [question] = run(FLEET, ["gpu-1"])
    assert (question.host, question.url, question.key) == ("gpu-1", "http://10.0.0.2:11434/v1", None)


def test_a_run_that_touches_no_model_asks_none():
    assert run(FLEET, ["edge"], tags=["page"]) == []


def test_without_a_gateway_that_runs_each_server_is_asked():
    questions = run(FLEET, ["edge", "gpu-1"], tags=["model"], up=())
    assert [question.host for question in questions] == ["gpu-1"]


def test_an_embedding_model_is_not_asked_to_chat():
    models = [{"name": "words", "kind": "embedding"}]
    fleet = resolved([host("gpu-1", ["compute"], "10.0.0.2", ["model"], model_models=models)])
    assert run(fleet, ["gpu-1"]) == []


def row(name, on, **changes):
    same = {
        "changed": False,
        "failed": False,
        "exports_changed": False,
        "copy": None,
        "reasons": [],
        "outcome": None,
        "seconds": None,
    }
    return {"name": name, "host": on, "versions": {}, **same, **changes}


def test_a_limited_run_names_the_services_it_left_stale():
    done = [row("model", "gpu-1", changed=True, exports_changed=True)]
    left = closing.stale(FLEET, done, lambda service: service["host"] == "gpu-1", catalogue.dependents)
    assert left == [{"host": "edge", "name": "gate", "why": "uses model on gpu-1"}]


def test_a_change_that_nobody_else_sees_makes_nothing_stale():
    done = [row("model", "gpu-1", changed=True)]
    assert closing.stale(FLEET, done, lambda service: False, catalogue.dependents) == []


def test_a_stack_that_left_the_inventory_is_an_orphan():
    looks = {
        "edge": {"stacks": {"gate": {"state": {}}, "old": {"state": {"format": 1}}, "never": {"state": None}}}
    }
    assert closing.orphans(FLEET, looks, []) == [{"host": "edge", "name": "old"}]
    assert closing.orphans(FLEET, looks, [{"host": "edge", "name": "old"}]) == []


def test_the_report_tells_changes_count_and_table():
    rows = [row("gate", "edge", changed=True, reasons=["config/a changed"], seconds=6.2), row("page", "edge")]
    text = closing.text(FLEET, rows, {("edge", "gate"): "healthy"}, [], [], check=False)
    assert "edge   gate   changed   config/a changed   healthy after 6 s" in text
    assert "1 unchanged · 1 changed · 0 failed" in text
    assert "gate   edge   https://gate.lan   Gate 2   healthy" in text


def stopped(**changes):
    row = {"host": "edge", "name": "old", "data": ["/srv/docker/old/data"], "known_to": []}
    return {**row, **changes}


def test_the_report_tells_what_was_stopped_and_where_its_data_is():
    text = closing.text(FLEET, [row("gate", "edge")], {}, [], [], False, [stopped()])
    assert "edge   old   stopped   data kept in /srv/docker/old/data" in text
    assert "1 unchanged · 0 changed · 1 stopped · 0 failed" in text
    assert "edge   old   would stop" in closing.text(FLEET, [], {}, [], [], True, [stopped()])
    assert "it has no data" in closing.text(FLEET, [], {}, [], [], False, [stopped(data=[])])
    assert "service.yml" in closing.text(FLEET, [], {}, [], [], False, [stopped(data=None)])


def test_what_knew_a_stopped_stack_is_stale_where_the_run_did_not_cover_it():
    rows = [stopped(known_to=[{"host": "gpu-1", "name": "model"}, {"host": "edge", "name": "gate"}])]
    left = closing.stale_without(rows, lambda service: service["host"] == "edge")
    assert left == [{"host": "gpu-1", "name": "model", "why": "knew old on edge"}]


def test_a_rollback_is_not_counted_as_a_change():
    rows = [row("gate", "edge", changed=True, failed=True, outcome="undone", reasons=["x"])]
    text = closing.text(FLEET, rows, {}, [], [], check=False)
    assert "rolled back" in text
    assert "0 unchanged · 0 changed · 1 failed" in text


def test_the_words_of_a_random_model_are_labelled():
    assert "tiny (random weights) through" in proof.sentence("tiny", "random weights", "https://x/v1", 1.04)
