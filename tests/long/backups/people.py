"""What people do on a platform of two hosts, and whether they find it again, by the ways in that people use."""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from ...e2e.conftest import BIN, EDGE, GPU_1, ROOT, Platform, lab_variables
from ...e2e.signed_in import cookie_headers
from ...lab import table
from ...lab.websocket import WebSocket
from ..load import at

DOMAIN = "hearth.lan"
STACKS = {
    "edge": ["bind9", "authentik", "litellm", "openwebui", "rustpad", "traefik"],
    "gpu-1": ["ollama", "qdrant"],
}
RECORD = {"name": "nas", "type": "A", "value": "192.168.1.9"}
MODEL = ROOT / "tests" / "lab" / "model"
REGISTRY = MODEL / "registry.py"
MODEL_PULLED = f"{table.hosts()['outsider'].address}:5055/library/tiny:latest"
MODEL_MADE = "heron:latest"
MODELS = {"tiny:latest", "embedding:latest", MODEL_PULLED, MODEL_MADE}


class People(Platform):
    """inventory: the platform's; ca: where its authority's certificate is kept once `trust` was called."""

    def __init__(self, inventory: Path, ca: Path) -> None:
        super().__init__(inventory)
        self.ca = ca

    def trust(self) -> None:
        """Have the certificate of the authority, as browsers were told to trust it on the first day."""
        self.ca.write_text(self.ssh("edge", "cat /srv/docker/traefik/certificates/ca.crt"))

    def lab(self, *arguments: str) -> None:
        subprocess.run([BIN / "python", "-m", "tests.lab", *arguments], cwd=ROOT, check=True)

    def lose(self, host: str) -> None:
        """A new, bare machine in place of a host; of the old one's disks only its engine's images are left."""
        self.lab("down", host, "--keep-images")
        self.lab("up", host)

    def vault(self, name: str) -> str:
        return self.secret(name)

    # Through the front door ---------------------------------------------------------------------------------------

    def ask(
        self, name: str, path: str, body: Any = None, method: str = "", **headers: str
    ) -> tuple[int, Any]:
        """(status, answer) through the front door, by a service's first label; the authority's word is checked."""
        context = ssl.create_default_context(cafile=str(self.ca))
        connection = http.client.HTTPSConnection(f"{name}.{DOMAIN}", timeout=60, context=context)
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body)
            if not isinstance(body, bytes):
                headers = {"Content-Type": "application/json", **headers}
            connection.request(method or ("GET" if data is None else "POST"), path, data, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def good(self, *arguments: Any, **headers: Any) -> Any:
        status, answer = self.ask(*arguments, **headers)
        assert status == 200, (arguments[:2], status, answer)
        return answer

    def signs_in(self) -> dict[str, str]:
        """The header of requests to the chat, of somebody who signs in now."""
        body = {"email": "admin@localhost", "password": self.vault("openwebui_admin_password")}
        return {"Authorization": f"Bearer {self.good('chat', '/api/v1/auths/signin', body)['token']}"}

    def writes_a_chat(self, me: dict[str, str], title: str) -> str:
        said = [{"id": "1", "role": "user", "content": f"what of {title}?"}]
        body = {"chat": {"title": title, "messages": said, "history": {"messages": {"1": said[0]}}}}
        return str(self.good("chat", "/api/v1/chats/new", body, **me)["id"])

    def reads_a_chat(self, me: dict[str, str], chat: str) -> tuple[str, str]:
        found = self.good("chat", f"/api/v1/chats/{chat}", **me)
        return found["title"], found["chat"]["messages"][0]["content"]

    def uploads(self, me: dict[str, str], name: str, words: str) -> str:
        """A document that is read and becomes vectors before this returns; its id."""
        mark = uuid.uuid4().hex
        part = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: text/plain'
        body = f"--{mark}\r\n{part}\r\n\r\n{words}\r\n--{mark}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        path = "/api/v1/files/?process=true&process_in_background=false"
        return str(self.good("chat", path, body, **me, **kind)["id"])

    def finds(self, me: dict[str, str], documents: list[str], question: str) -> str:
        """What is found first among documents, by what it means."""
        body = {"collection_names": [f"file-{one}" for one in documents], "query": question, "k": 1}
        return str(self.good("chat", "/api/v1/retrieval/query/collection", body, **me)["documents"][0][0])

    def completes(self, key: str) -> int:
        """The status of a question with a client's key."""
        question = {"model": "tiny", "max_tokens": 2, "messages": [{"role": "user", "content": "hello"}]}
        return self.ask("openai", "/v1/chat/completions", question, Authorization=f"Bearer {key}")[0]

    def pad_cookies(self) -> dict[str, str]:
        """What a browser sends to the pads once its user has signed in at authentik."""
        name = f"pad.{DOMAIN}"
        password = self.vault("authentik_admin_password")
        return cookie_headers(EDGE, f"auth.{DOMAIN}", password, [name])[name]

    def types(self, pad: str, text: str) -> None:
        """Type into a pad, and wait until it is stored."""
        context = ssl.create_default_context(cafile=str(self.ca))
        socket = WebSocket((EDGE, 443), f"pad.{DOMAIN}", f"/api/socket/{pad}", context, self.pad_cookies())
        try:
            socket.receive()
            socket.send({"Edit": {"revision": 0, "operation": [text]}})
            socket.receive()
            time.sleep(5)  # stored every three seconds
        finally:
            socket.close()

    def reads_a_pad(self, pad: str) -> str:
        return str(self.good("pad", f"/api/text/{pad}", **self.pad_cookies()).decode())

    # Beside it ----------------------------------------------------------------------------------------------------

    def resolves(self, name: str) -> str:
        """What the platform's own name server says, asked from the other host."""
        return self.ssh("gpu-1", f"dig +short +time=5 @{EDGE} {name}.{DOMAIN} A").strip()

    def vectors(self, path: str, body: Any = None, method: str = "") -> Any:
        """Qdrant's answer to a program on the trusted host, which alone may ask."""
        asked = json.dumps(
            [
                method or ("GET" if body is None else "POST"),
                path,
                None if body is None else json.dumps(body),
                {"Content-Type": "application/json", "api-key": self.vault("qdrant_api_key")},
            ]
        )
        program = (
            "import http.client, json, sys; c = http.client.HTTPConnection(sys.argv[1], 6333, timeout=60);"
            " c.request(*json.load(sys.stdin)); print(c.getresponse().read().decode())"
        )
        done = subprocess.run(
            [BIN / "python", "-m", "tests.lab", "ssh", "edge", f"python3 -c '{program}' {GPU_1}"],
            cwd=ROOT,
            input=asked,
            text=True,
            capture_output=True,
            check=True,
        )
        return json.loads(done.stdout)["result"]

    def models(self) -> set[str]:
        listed = self.ssh("gpu-1", "docker exec ollama ollama list")
        return {line.split()[0] for line in listed.splitlines()[1:]}

    def brings_models(self) -> None:
        """By hand: pull MODEL_PULLED from a registry on `outsider`, and make MODEL_MADE of a file."""
        self.lab("up", "outsider")
        self.ssh("outsider", "systemctl stop registry 2>/dev/null; rm -rf /root/models; mkdir /root/models")
        reach = f"{BIN / 'python'} -m tests.lab ssh"
        store = "/srv/docker/ollama/models/models"
        copy = f"{reach} gpu-1 'tar -C {store} -c .' | {reach} outsider 'tar -C /root/models -x'"
        subprocess.run(["bash", "-o", "pipefail", "-c", copy], cwd=ROOT, check=True)
        self.ssh("outsider", f"cat > /root/registry.py <<'END'\n{REGISTRY.read_text()}\nEND\n")
        serve = "python3 /root/registry.py /root/models --host 0.0.0.0 --port 5055"
        self.ssh("outsider", f"systemd-run --quiet --unit=registry {serve}")
        pull = f"docker exec ollama ollama pull --insecure http://{MODEL_PULLED}"
        self.ssh("gpu-1", f"for i in 1 2 3 4 5; do {pull} && exit; sleep 1; done; exit 1")
        made = "FROM embedding\nSYSTEM You are a heron."
        self.ssh(
            "gpu-1",
            f"docker exec -i ollama sh -c 'cat >/tmp/M; ollama create heron -f /tmp/M' <<'END'\n{made}\nEND",
        )

    def status(self, host: str) -> Any:
        return json.loads(self.ssh(host, "hearth-backup status --json"))

    def snapshots(self, host: str) -> list[dict[str, Any]]:
        return list(json.loads(self.ssh(host, "hearth-backup list --json")))


def inventory() -> dict[str, object]:
    models = [
        {
            "name": name,
            "source": "gguf",
            "path": str(MODEL / file),
            "modelfile": str(MODEL / modelfile),
            **more,
        }
        for name, file, modelfile, more in (
            ("tiny", "tiny.gguf", "Modelfile", {}),
            ("embedding", "embedding.gguf", "embedding.Modelfile", {"kind": "embedding"}),
        )
    ]
    edge = {
        "ansible_host": EDGE,
        "stacks": STACKS["edge"],
        "bind9_records": [RECORD],
        "litellm_clients": [{"name": "team"}],
    }
    gpu_1 = {"ansible_host": GPU_1, "stacks": STACKS["gpu-1"], "ollama_models": models}
    return {"trusted": {"hosts": {"edge": edge}}, "compute": {"hosts": {"gpu-1": gpu_1}}}


@contextmanager
def platform_of_two(folder: Path) -> Iterator[People]:
    """The platform, deployed from an inventory in a folder; its names resolve in this process while it is there."""
    subprocess.run([BIN / "python", "-m", "tests.lab", "up", *STACKS], cwd=ROOT, check=True)
    subprocess.run(["make", "--silent", ".lab/vault_pass"], cwd=ROOT, check=True)
    shutil.rmtree(folder, ignore_errors=True)
    lab_variables(folder)
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory()))
    found = People(folder, folder / "ca.crt")
    for host in STACKS:
        found.clear(host)
    found.play("secrets").succeeded()
    found.deploy().succeeded()
    found.trust()
    try:
        with at(EDGE):
            yield found
    finally:
        for host in STACKS:
            found.clear(host)
