"""Certificates of a service with public access: Pebble issues them over HTTP-01, and they are renewed every minute.

Named so that it comes last: a renewal is due by then.
"""

from __future__ import annotations

from collections.abc import Callable

from testinfra.host import Host

NAME = "shop.hearth.lan"
PRIVATE_NAME = "wiki.hearth.lan"
ACME = "/srv/docker/traefik/acme"
STARTED = "docker inspect -f '{{.State.StartedAt}}' traefik"

Served = Callable[[str], dict[str, str]]
WaitFor = Callable[[Callable[[], bool], int], None]


def test_a_public_service_has_a_certificate_that_its_authority_vouches_for(host: Host) -> None:
    host.check_output("curl -sk https://127.0.0.1:15000/roots/0 > /run/pebble-root.pem")
    ask = (
        "curl -s -o /dev/null -w '%%{http_code}' --cacert /run/pebble-root.pem --resolve %s:443:127.0.0.1 %s"
    )
    assert host.check_output(ask, NAME, f"https://{NAME}/ping") == "200"


def test_a_private_name_is_none_of_the_authoritys_business(host: Host, served: Served) -> None:
    assert "Hearth CA" in served(PRIVATE_NAME)["issuer"]
    assert PRIVATE_NAME not in host.check_output("docker logs pebble 2>&1")


def test_the_keys_are_traefiks_alone(host: Host) -> None:
    file = host.file(f"{ACME}/acme.json")
    assert (file.mode, file.uid) == (0o600, 65532)
    assert host.file(ACME).mode == 0o700


def test_people_are_sent_to_https_and_the_authority_is_not(host: Host) -> None:
    ask = "curl -s -o /dev/null -w '%%{http_code}' --resolve %s:80:127.0.0.1 http://%s%s"
    assert host.check_output(ask, NAME, NAME, "/page") == "301"
    assert host.check_output(ask, NAME, NAME, "/.well-known/acme-challenge/unknown") == "404"


def test_a_certificate_is_renewed_while_traefik_runs(
    host: Host, first_certificate: dict[str, str], served: Served, wait_for: WaitFor
) -> None:
    wait_for(lambda: served(NAME)["serial"] != first_certificate["serial"], 150)
    renewed = served(NAME)
    assert "Pebble" in renewed["issuer"]
    assert renewed["notBefore"].replace(" ", "T") > host.check_output(STARTED)


def test_a_new_container_serves_what_was_issued_before(host: Host, served: Served, wait_for: WaitFor) -> None:
    host.check_output("docker pause pebble")
    try:
        before = served(NAME)
        host.check_output(
            "docker compose --project-directory /opt/stacks/traefik up -d --force-recreate --wait traefik"
        )
        wait_for(lambda: "Pebble" in served(NAME)["issuer"], 30)
        assert served(NAME) == before
        assert host.file(f"{ACME}/acme.json").mode == 0o600
    finally:
        host.check_output("docker unpause pebble")
