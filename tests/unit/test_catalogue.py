"""The catalogue, on services that do not exist: what it resolves may not depend on the names we ship."""

import cProfile
import random

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import catalogue
from ansible_collections.hearth.llm.plugins.module_utils.inventory import Host
from ansible_collections.hearth.llm.plugins.module_utils.problems import report
from ansible_collections.hearth.llm.plugins.module_utils.service_file import SpecError, read
from ansible_collections.hearth.llm.plugins.module_utils.variables import known_names
from fleet import GATE, OPTIONS, host, one, resolved, specs, two_hosts

ACME = {"domain": "home.example.org", "acme_email": "me@example.org"}


def problems(hosts):
    return {(item.host, item.variable): item for item in catalogue.resolve(specs(), hosts).problems}


def test_a_service_on_another_host_is_reached_at_its_address_and_published_port():
    fleet = resolved(two_hosts())
    assert one(fleet, "model")["publish"] == "10.0.0.2:11434"
    assert one(fleet, "gate")["uses"]["model"][0]["url"] == "http://10.0.0.2:11434"


def test_a_service_on_the_same_host_is_reached_by_its_container_and_not_published():
    everything = ["door", "gate", "page", "model"]
    fleet = resolved([host("box", ["trusted", "compute"], "10.0.0.1", everything, model_models=["m"])])
    assert one(fleet, "model")["publish"] is None
    assert one(fleet, "gate")["uses"]["model"][0]["url"] == "http://model:11434"


def test_a_compute_host_publishes_even_without_a_consumer():
    fleet = resolved([host("gpu-1", ["compute"], "10.0.0.2", ["model"])])
    assert one(fleet, "model")["publish"] == "10.0.0.2:11434"


def test_a_second_compute_host_changes_only_those_who_use_it():
    before = resolved(two_hosts())
    after = resolved(
        [*two_hosts(), host("gpu-2", ["compute"], "10.0.0.3", ["model"], model_models=["small:1b"])]
    )
    changed = {
        (service["host"], service["name"])
        for service in before["services"]
        if service != one(after, service["name"], service["host"])
    }
    assert changed == {("edge", "gate")}
    urls = [item["url"] for item in one(after, "gate")["uses"]["model"]]
    assert urls == ["http://10.0.0.2:11434", "http://10.0.0.3:11434"]


def test_a_gateway_offers_the_models_behind_it_each_name_once():
    hosts = [
        *two_hosts(),
        host("gpu-2", ["compute"], "10.0.0.3", ["model"], model_models=["small:1b", "big:70b"]),
    ]
    assert [model["name"] for model in one(resolved(hosts), "gate")["models"]] == ["small:1b", "big:70b"]


def test_names_come_from_the_front_door_and_carry_an_unusual_port():
    fleet = resolved(two_hosts(door_https_port=8443))
    assert one(fleet, "page")["url"] == "https://page.lan:8443"
    assert one(fleet, "page")["front"] == "edge"
    assert one(fleet, "model")["url"] is None


def test_a_service_may_be_reached_otherwise_than_the_platform():
    fleet = resolved(two_hosts(page_access="public", **ACME))
    assert {name: one(fleet, name)["access"] for name in ("door", "gate", "page")} == {
        "door": "lan",
        "gate": "lan",
        "page": "public",
    }


def test_certificates_come_by_acme_for_public_services_only():
    fleet = resolved(two_hosts(page_access="public", **ACME))
    assert {name: one(fleet, name)["acme"] for name in ("gate", "page")} == {"gate": None, "page": "http-01"}
    assert one(fleet, "door")["authority"] == {
        "email": "me@example.org",
        "challenge": "http-01",
        "server": "https://acme-v02.api.letsencrypt.org/directory",
        "ca": None,
        "certificate_hours": 2160,
    }
    for without in ({}, {"access": "public", "door_certificate": {"cert": "x"}}):
        fleet = resolved(two_hosts(**{**ACME, **without}))
        assert {service["acme"] for service in fleet["services"]} == {None}
        assert one(fleet, "door")["authority"] is None


def test_clients_are_the_operators_and_those_that_services_declare():
    fleet = resolved(two_hosts(gate_clients=[{"name": "team-a"}]))
    gate = one(fleet, "gate")
    assert [(client["name"], client["secret"]) for client in gate["clients"]] == [
        ("team-a", "gate_client_team_a"),
        ("hearth", "gate_probe_key"),
        ("page", "page_gate_key"),
    ]
    assert "page_gate_key" in gate["secrets"]
    assert "gate_client_team_a" not in one(fleet, "page")["secrets"]


def test_a_mirror_replaces_the_registry_and_keeps_the_path():
    fleet = resolved(two_hosts(image_mirror="mirror.lan:5000"))
    assert one(fleet, "gate")["images"]["gate"] == "mirror.lan:5000/some/gate:2"
    assert one(fleet, "door")["images"]["door"] == "mirror.lan:5000/library/door:1"


def test_data_is_kept_in_directories_or_in_volumes():
    [in_directories] = catalogue.instances(resolved([host("g", ["compute"], "10.0.0.2", ["model"])]))
    assert in_directories["mounts"] == {"store": "/srv/docker/model/store"}
    assert in_directories["directories"] == [
        {"path": "/srv/docker/model/store", "owner": "1:1", "mode": "0755"}
    ]
    [in_volumes] = catalogue.instances(
        resolved([host("g", ["compute"], "10.0.0.2", ["model"], data_in="volumes")])
    )
    assert in_volumes["mounts"] == {"store": "model_store"}
    assert in_volumes["volumes"] == ["model_store"]
    assert in_volumes["directories"] == []


def test_an_override_of_one_limit_keeps_the_others():
    fleet = resolved(two_hosts(gate_resources={"gate": {"memory": "4g"}}))
    assert one(fleet, "gate")["resources"]["gate"] == {"cpus": 1, "memory": "4g"}


def test_dependents_are_those_whose_files_contain_something_of_a_service():
    fleet = resolved(two_hosts())
    assert [s["name"] for s in catalogue.dependents(fleet, "gpu-1", "model")] == ["gate"]
    assert [s["name"] for s in catalogue.dependents(fleet, "edge", "page")] == ["gate"]


def test_exports_change_only_with_what_others_see():
    quiet = one(resolved(two_hosts(gate_resources={"gate": {"memory": "4g"}})), "gate")
    loud = one(resolved(two_hosts(gate_hostname="openai")), "gate")
    before = one(resolved(two_hosts()), "gate")
    assert quiet["exports"] == before["exports"]
    assert loud["exports"] != before["exports"]


@pytest.mark.parametrize(
    ("changes", "where", "words"),
    [
        ({"stacks": ["door", "gaet"]}, "stacks", "did you mean gate?"),
        ({"stacks": ["model"]}, "stacks", "not in the group compute"),
        ({"stacks": ["gate", "gate"]}, "stacks", "listed twice"),
        ({"address": "10.0.0.256"}, "address", "not an IP address"),
        ({"address": "10.0.0.2"}, "address", "also the address of edge"),
        ({"page_hostname": "gate"}, "page_hostname", "also the hostname of gate on edge"),
        ({"page_hostname": "no_good"}, "page_hostname", "not one label"),
        ({"door_http_port": 443}, "door_https_port", "also door_http_port of door"),
        ({"gate_hostnam": "x"}, "gate_hostnam", "did you mean gate_hostname?"),
        ({"image_miror": "x"}, "image_miror", "rename it to image_mirror"),
        ({"gate_clients": [{"name": "a", "modles": []}]}, "gate_clients", "modles"),
        ({"gate_resources": {"gate": {"mem": "1g"}}}, "gate_resources.gate", "unknown keys mem"),
        ({"gate_resources": {"gate": {"memory": "lots"}}}, "gate_resources.gate.memory", "like 512m or 2g"),
        ({"gate_version": "latest"}, "gate_version", "leave it out for 2"),
        ({"gate_clients": ["a"]}, "gate_clients", "known keys: name"),
        ({"gate_clients": [7]}, "gate_clients", "known keys: name"),
        ({"data_dir": "srv"}, "data_dir", "not an absolute path"),
        ({"image_mirror": "https://mirror.lan"}, "image_mirror", "no scheme"),
        ({"image_mirror": "mirror.lan\n"}, "image_mirror", "no scheme"),
        ({"domain": "home.lan\n"}, "domain", "labels of a-z"),
        ({"gate_hostname": "gate\n"}, "gate_hostname", "not one label"),
        ({"gate_version": "2\n"}, "gate_version", "leave it out for 2"),
        ({"gate_resources": {"gate": {"memory": "1g\n"}}}, "gate_resources.gate.memory", "like 512m or 2g"),
        (
            {**ACME, "access": "public", "acme_email": "me@home.org\n"},
            "acme_email",
            "is not an e-mail address",
        ),
        ({"gate_guard": "sso"}, "gate_guard", "needs a single sign-on service"),
        ({"door_guard": "open"}, "door_guard", "would let in everybody"),
        ({"gate_guard": "nobody"}, "gate_guard", "one of open"),
        ({"page_access": "local"}, "page_access", "one of lan, public"),
        ({"door_access": "public"}, "door_access", "takes the requests of all services"),
        ({"access": "local", "page_access": "lan"}, "page_access", "nobody outside this machine"),
        ({"access": "publik"}, "access", "one of local, lan, public"),
        ({"access": "public"}, "domain", "is required where access is public"),
        ({"access": "public", "domain": "org"}, "domain", "a domain of your own"),
        ({"page_access": "public"}, "domain", "vouch for page, whose access is public"),
        ({"page_access": "public"}, "acme_email", "page on edge has public access"),
        ({"page_access": "public"}, "acme_email", "or a certificate of your own as door_certificate"),
        ({**ACME, "access": "public", "acme_email": "me"}, "acme_email", "is not an e-mail address"),
        ({**ACME, "access": "public", "acme_server": "ca.lan"}, "acme_server", "begins with https://"),
        ({**ACME, "access": "public", "acme_challenge": "dns"}, "acme_challenge", "one of http-01, dns-01"),
        (
            {**ACME, "access": "public", "acme_challenge": "dns-01"},
            "acme_challenge",
            "add names to the stacks",
        ),
        ({**ACME, "access": "public", "acme_certificate_hours": 0}, "acme_certificate_hours", "90 days"),
        ({**ACME, "access": "public", "data_in": "volumes"}, "data_in", "use directories"),
        ({"domain": "no domain"}, "domain", "not a domain name"),
    ],
)
def test_a_mistake_is_reported_with_variable_and_remedy(changes, where, words):
    hosts = two_hosts()
    values = {**hosts[0].variables, **changes}
    found = problems([Host("edge", ("trusted",), values, tuple(values)), hosts[1]])
    matching = [item for (place, variable), item in found.items() if variable.startswith(where)]
    assert any(words in f"{item.expected} {item.remedy}" for item in matching), found


def test_an_unknown_model_source_is_reported_at_its_place():
    found = problems(
        [host("gpu-1", ["compute"], "10.0.0.2", ["model"], model_models=[{"name": "m", "source": "cd"}])]
    )
    assert ("gpu-1", "model_models[0].source") in found


def test_values_from_the_command_line_get_their_types():
    fleet = resolved([host("gpu-1", ["compute"], "10.0.0.2", "model", model_port="11435")])
    assert one(fleet, "model")["publish"] == "10.0.0.2:11435"
    assert one(fleet, "model")["variables"]["model_port"] == 11435


def test_two_clients_may_not_share_a_secret():
    found = problems(two_hosts(gate_clients=[{"name": "team-a"}, {"name": "team_a"}]))
    assert (
        "would share vault_gate_client_team_a with team-a" in found["edge", "gate_clients[1].name"].expected
    )


def test_a_missing_provider_is_reported():
    found = problems([host("edge", ["trusted"], "10.0.0.1", ["page"])])
    assert "needs gate, and no host runs it" in found["edge", "stacks"].expected


def test_a_variable_of_ones_own_can_be_declared():
    assert problems(two_hosts(domains=["a"])) != {}
    assert problems(two_hosts(domains=["a"], own_variables=["domains"])) == {}


def test_an_empty_value_means_not_set():
    assert one(resolved(two_hosts(gate_hostname=None, domain=None)), "gate")["fqdn"] == "gate.lan"


JUNK = [
    None,
    "",
    0,
    -1,
    70000,
    3.5,
    True,
    "a b",
    "../up",
    [],
    [None],
    [1, "a"],
    [{}],
    [{"name": None}],
    {"a": 1},
]
JUNK += [{"gate": None}, {"gate": {"memory": "lots"}}, "fd00::1", "https://x", ["gate", "model"], "model"]


def test_whatever_an_operator_writes_ends_in_a_report_and_never_in_a_crash():
    described = specs()
    names = list(known_names(described.values(), []))
    for seed in range(1500):
        chance = random.Random(seed)
        hosts = [
            Host(
                old.name,
                old.groups,
                values := {**old.variables, **chance_values(chance, names)},
                tuple(values),
            )
            for old in two_hosts()
        ]
        platform = catalogue.resolve(described, hosts)
        catalogue.check_secrets(platform, hosts)
        report(platform.problems, f"in seed {seed}")


def chance_values(chance, names):
    return {name: chance.choice(JUNK) for name in chance.sample(names, chance.randint(1, 4))}


def test_all_problems_are_found_at_once():
    found = problems([host("edge", ["trusted"], "nowhere", ["door", "nothing"], gate_hostnam="x")])
    assert {variable for place, variable in found} >= {"gate_hostnam", "address", "stacks"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "is missing"),
        ("sk-1234", "placeholder"),
        ("changeme-changeme-changeme", "placeholder"),
        ("sk-abc", "too short"),
        ("pk-0123456789abcdefghijkl", "must begin with sk-"),
    ],
)
def test_a_bad_secret_is_refused_without_being_shown(value, words):
    good = {
        "vault_gate_probe_key": "sk-0123456789abcdefghijkl",
        "vault_page_gate_key": "sk-mnopqrstuvwxyz0123456789",
    }
    hosts = two_hosts(**{**good, "vault_gate_probe_key": value})
    platform = catalogue.resolve(specs(), hosts)
    [problem] = catalogue.check_secrets(platform, hosts)
    assert problem.variable == "vault_gate_probe_key"
    assert words in problem.expected
    assert value is None or value not in str(problem.as_dict())


def test_the_fleet_holds_no_secrets_value():
    value = "sk-0123456789abcdefghijkl"
    platform = catalogue.resolve(specs(), two_hosts(vault_gate_probe_key=value))
    assert value not in str(platform.fleet)


def test_an_unknown_key_in_a_service_description_is_an_error():
    with pytest.raises(SpecError, match="unknown keys in service.yml: portz"):
        read("gate", "test.gate", {**GATE, "portz": 1}, {})
    with pytest.raises(SpecError, match="must begin with gate_"):
        read("gate", "test.gate", {**GATE, "variables": {**GATE["variables"], "other": 1}}, {})


def test_the_work_grows_with_the_number_of_hosts_and_not_with_its_square():
    def calls(count):
        hosts = [
            host(f"gpu-{i}", ["compute"], f"10.1.{i // 200}.{i % 200 + 1}", ["model"], model_models=["m"])
            for i in range(count)
        ]
        profile = cProfile.Profile()
        profile.runcall(catalogue.resolve, specs(), [two_hosts()[0], *hosts])
        return sum(entry.callcount for entry in profile.getstats())

    assert calls(400) < 9 * calls(50)


# Updates, replicas, names that changed --------------------------------------------------------------------------


def gate(**more):
    return read("gate", "test.gate", {**GATE, **more}, OPTIONS["gate"])


def resolved_with(spec, hosts):
    return catalogue.resolve({**specs(), "gate": spec}, hosts)


def test_replicas_are_a_variable_of_services_that_say_so():
    platform = resolved_with(gate(replicas=2), two_hosts())
    assert platform.problems == []
    assert one(platform.fleet, "gate")["replicas"] == 2
    platform = resolved_with(gate(replicas=2), two_hosts(gate_replicas=3))
    assert one(platform.fleet, "gate")["replicas"] == 3
    assert one(platform.fleet, "page")["replicas"] == 1
    [problem] = fleet_problems(page_replicas=2)
    assert problem.variable == "page_replicas"
    [problem] = resolved_with(gate(replicas=1), two_hosts(gate_replicas=0)).problems
    assert (problem.variable, problem.value) == ("gate_replicas", "0")


def fleet_problems(**edge):
    return catalogue.resolve(specs(), two_hosts(**edge)).problems


def test_replicas_that_would_publish_one_port_are_refused():
    hosts = [
        host("edge", ["trusted"], "10.0.0.1", ["gate"], gate_replicas=2),
        host("other", ["trusted"], "10.0.0.3", ["door", "page"]),
        host("gpu-1", ["compute"], "10.0.0.2", ["model"], model_models=["small:1b"]),
    ]
    [problem] = resolved_with(gate(replicas=1), hosts).problems
    assert "10.0.0.1:4000" in problem.expected


def test_a_variable_that_was_renamed_is_reported_with_its_new_name():
    [problem] = resolved_with(gate(renamed={"gate_tag": "gate_version"}), two_hosts(gate_tag="1")).problems
    assert (problem.host, problem.variable) == ("edge", "gate_tag")
    assert problem.remedy == "rename it to gate_version"


def test_data_say_where_they_are_and_how_they_are_dumped():
    pump = {"container": "gate", "dump": ["dump"], "restore": ["load"]}
    found = resolved_with(gate(data={"db": pump}), two_hosts()).fleet
    assert one(found, "gate")["data"] == {
        "db": {
            "place": "/srv/docker/gate/db",
            "replaceable": False,
            "regain": None,
            "save": "dump",
            "databases": [],
            "changed_by": [],
            **pump,
        }
    }
    volumes = resolved_with(gate(data={"db": pump}), two_hosts(data_in="volumes")).fleet
    service = one(volumes, "gate")
    assert service["data"]["db"]["place"] == "gate_db"
    assert service["update"]["copies"] == "/var/lib/hearth/before/gate"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"data": {"db": {"dump": ["x"]}}}, "takes both"),
        ({"data": {"db": {"dump": ["x"], "restore": ["y"]}}}, "needs data.db.container"),
        ({"data": {"db": {"container": "gate", "regain": "db.py"}}}, "regain is for replaceable files"),
        ({"data": {"db": {"container": "none"}}}, "not in images"),
        ({"update": {"reversible": False, "why": "x"}}, "data that it is about"),
        ({"update": {"versions": {"gate_version": {"path": "leap"}}}}, "path is none of"),
        ({"update": {"versions": {"gate_clients": {}}}}, "the version of no image"),
        ({"drain": ["x"]}, "drain is for"),
    ],
)
def test_a_service_yml_that_says_half_is_refused(more, reason):
    with pytest.raises(SpecError, match=reason):
        gate(**more)
