"""Two replicas of the gateway count a client's requests together, in Valkey, and go on without it."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from collections import Counter

import pytest

from .gateway import Solo
from .test_no_request_is_lost import REPLICAS, asked_replicas, replicas

pytestmark = pytest.mark.lab

LIMIT = 4
SHARED = {**REPLICAS, "litellm_valkey": True, "litellm_clients": [{"name": "hurried", "rpm": LIMIT}]}


@pytest.fixture(scope="module")
def shared(solo: Solo) -> Solo:
    """The platform with two replicas that share what they count."""
    solo.write(**SHARED)
    solo.play("secrets").succeeded()
    solo.deploy("--tags", "litellm").succeeded()
    assert len(replicas(solo)) == 2
    return solo


def asked(solo: Solo, key: str, count: int) -> Counter[int]:
    """The statuses of so many completions, each over a connection of its own."""
    context = ssl.create_default_context(cafile=str(solo.ca))
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 2}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {solo.secret(key)}"}
    found: Counter[int] = Counter()
    for _request in range(count):
        request = urllib.request.Request(
            "https://openai.hearth.lan/v1/chat/completions",
            json.dumps(body).encode(),
            headers,
        )
        try:
            with urllib.request.urlopen(request, context=context, timeout=60) as response:
                found[response.status] += 1
        except urllib.error.HTTPError as error:
            found[error.code] += 1
    return found


def counted(solo: Solo) -> str:
    """The names under which Valkey counts."""
    password = solo.secret("litellm_valkey_password")
    return solo.host(f"printf 'AUTH {password}\\nKEYS *\\n' | docker exec -i litellm-valkey valkey-cli")


def test_a_limit_is_one_limit_however_many_replicas_there_are(shared: Solo) -> None:
    since = shared.host("date +%s").strip()
    statuses = asked(shared, "litellm_client_hurried", 3 * LIMIT)
    assert len(asked_replicas(shared, since)) == 2, "both have to be asked"
    assert statuses == {200: LIMIT, 429: 2 * LIMIT}
    assert "hurried" in counted(shared)


def test_nobody_counts_there_without_the_password(shared: Solo) -> None:
    assert "NOAUTH" in shared.host("docker exec litellm-valkey valkey-cli keys '*'")
    networks = shared.host("docker inspect litellm-valkey --format '{{json .NetworkSettings.Networks}}'")
    assert list(json.loads(networks)) == ["litellm_private"]


def test_a_new_password_reaches_all_of_them(shared: Solo) -> None:
    old = shared.secret("litellm_valkey_password")
    shared.play("rotate-secrets", "-e", "secret=litellm_valkey_password").succeeded()
    assert shared.secret("litellm_valkey_password") != old
    assert asked(shared, "litellm_client_hurried", 3 * LIMIT) == {200: LIMIT, 429: 2 * LIMIT}
    assert "hurried" in counted(shared)


def test_without_it_everybody_is_answered_and_its_return_is_noticed(shared: Solo) -> None:
    shared.host("docker stop litellm-valkey")
    try:
        assert asked(shared, "litellm_probe_key", 6) == {200: 6}
        assert asked(shared, "litellm_client_hurried", 1) in ({200: 1}, {429: 1})
    finally:
        shared.host("docker start litellm-valkey")
    healthy = "docker inspect litellm-valkey --format '{{.State.Health.Status}}'"
    shared.host(f"until [ $({healthy}) = healthy ]; do sleep 1; done")
    # LiteLLM tries it again after a minute.
    until = time.monotonic() + 150
    while "hurried" not in counted(shared):
        assert time.monotonic() < until, "nobody counts there any more"
        asked(shared, "litellm_client_hurried", 2)
        time.sleep(5)


def test_it_goes_when_it_is_not_wanted_any_more(shared: Solo) -> None:
    """Comes last."""
    shared.write(**{**SHARED, "litellm_valkey": False})
    shared.deploy("--tags", "litellm").succeeded()
    assert "litellm-valkey" not in shared.host("docker ps --all --format '{{.Names}}'")
    assert not shared.host("find /opt/stacks/litellm/secrets -type f")
    assert "VALKEY" not in shared.host("cat /opt/stacks/litellm/.env.litellm")
    assert asked(shared, "litellm_probe_key", 2) == {200: 2}
