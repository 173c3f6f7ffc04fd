# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ollama's HTTP API, and what is to be done so that a host has the models that it should.

Standard library only: this runs on the hosts, in the module and in the job that outlives it. API and messages are those
of ollama v0.17.4 (server/routes.go, server/images.go).

A wanted model is a mapping: models.py's Model as plain data, plus `definition` (ollama_modelfile.py) and, for a GGUF,
`blob` (sha256 of the file) and `size` (bytes).
"""

from __future__ import annotations

import http.client
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from .model_registry import Unknown, blobs
from .models import canonical
from .ollama_modelfile import differences, shown_blob

_QUICK = 20.0
# Between two words of a running job: verifying a 40 GB file on a slow disk is silent for minutes.
_SILENCE = 1800.0
# Loading 40 GB from a slow disk and a sentence by a slow processor.
_GENERATION = 600.0
_LEAST_TOKENS = 8
_CHUNK = 1 << 20
_TRANSIENT = re.compile(
    r"max retries exceeded|connection re(?:set|fused)|timeout|timed out|\beof\b|broke off|broken pipe|unreachable|"
    r"temporary failure|server misbehaving|(?:^|[\s(])(?:429|5\d\d)(?![\w.,])"
)


class OllamaError(Exception):
    """Ollama (or the registry behind it) said no; the text is what it said."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """Ollama at a base URL. Every method raises OllamaError; proxies are not used, it is this host's own container."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise OllamaError(f"{url} is no address of Ollama; expected http://HOST:PORT")
        self.url = url.rstrip("/")
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path.rstrip("/")

    def version(self) -> str:
        return str(self._json("GET", "/api/version").get("version", ""))

    def installed(self) -> dict[str, str]:
        """Every model's name as listed, in lower case, and its manifest's sha256."""
        models = self._models("/api/tags")
        return {canonical(str(item["name"])).lower(): str(item.get("digest", "")) for item in models}

    def loaded(self) -> list[dict[str, Any]]:
        """The models in memory: {name, size, size_vram (both bytes), context_length, …}."""
        return self._models("/api/ps")

    def speed(self, name: str, question: str, tokens: int) -> float | None:
        """Tokens a second of a short generation, which loads the model; None where too few came to be timed."""
        body = {"model": name, "prompt": question, "stream": False, "options": {"num_predict": tokens}}
        try:
            answer = self._json("POST", "/api/generate", body, _GENERATION)
        except OllamaError as error:
            if "does not support generate" in str(error):
                return None
            raise
        count, seconds = int(answer.get("eval_count") or 0), int(answer.get("eval_duration") or 0) / 1e9
        return round(count / seconds, 1) if count >= _LEAST_TOKENS and seconds else None

    def show(self, name: str) -> dict[str, Any]:
        return self._json("POST", "/api/show", {"model": name})

    def copy(self, name: str, to: str) -> None:
        self._json("POST", "/api/copy", {"source": name, "destination": to})

    def delete(self, name: str) -> None:
        self._json("DELETE", "/api/delete", {"model": name})

    def has_blob(self, sha256: str) -> bool:
        try:
            self._json("HEAD", f"/api/blobs/sha256:{sha256}")
        except OllamaError as error:
            if error.status == 404:
                return False
            raise
        return True

    def upload(self, sha256: str, path: str, progress: Callable[[int], None]) -> None:
        """Hand a file to Ollama, which checks its digest; `progress` hears how many bytes are there."""
        try:
            with open(path, "rb") as file:
                headers = {"Content-Length": str(os.fstat(file.fileno()).st_size)}
                chunks = _counted(file, progress)
                self._checked(self._send("POST", f"/api/blobs/sha256:{sha256}", chunks, headers, _SILENCE))
        except OSError as error:
            raise OllamaError(f"the file for Ollama cannot be read ({error})") from error

    def pull(self, name: str, insecure: bool) -> Iterator[dict[str, Any]]:
        """Pull a model; yields Ollama's own progress: {status, digest?, total?, completed?}."""
        return self._stream("/api/pull", {"model": name, "insecure": insecure})

    def create(
        self, name: str, source: Mapping[str, Any], definition: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """Create a model from {files: {name: 'sha256:…'}} or {from: model}; yields Ollama's progress."""
        return self._stream("/api/create", {"model": name, **source, **definition})

    def _json(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, timeout: float = _QUICK
    ) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        response = self._send(method, path, data, {"Content-Type": "application/json"}, timeout)
        text = self._checked(response)
        try:
            found = json.loads(text) if text.strip() else {}
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise OllamaError(f"{self.url}{path}: Ollama has no such answer: {text[:80]!r}", response.status)
        return found

    def _models(self, path: str) -> list[dict[str, Any]]:
        found = self._json("GET", path).get("models") or []
        if not isinstance(found, list) or not all(
            isinstance(item, dict) and "name" in item for item in found
        ):
            raise OllamaError(f"{self.url}{path}: Ollama has no such answer: {str(found)[:80]!r}")
        return found

    def _stream(self, path: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        headers = {"Content-Type": "application/json"}
        response = self._send("POST", path, json.dumps(body).encode(), headers, _SILENCE)
        if response.status >= 400:
            self._checked(response)
        last = ""
        try:
            for line in response:
                item = json.loads(line) if line.strip() else {}
                if not isinstance(item, dict):
                    raise ValueError(f"it said {line[:80]!r}")
                if "error" in item:
                    raise OllamaError(str(item["error"]), response.status)
                last = str(item.get("status", last))
                yield item
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise OllamaError(f"Ollama broke off ({error or type(error).__name__})") from error
        if last != "success":
            raise OllamaError(f"Ollama broke off after {last!r}")

    def _send(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], timeout: float
    ) -> http.client.HTTPResponse:
        connection = self._kind(self._host, self._port, timeout=timeout, blocksize=_CHUNK)
        try:
            connection.request(method, self._path + path, body=body, headers=dict(headers))
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise OllamaError(f"Ollama does not answer at {self.url} ({error})") from error

    @staticmethod
    def _checked(response: http.client.HTTPResponse) -> str:
        try:
            text = response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise OllamaError(f"Ollama broke off ({error or type(error).__name__})") from error
        if response.status < 400:
            return text
        try:
            message = json.loads(text)["error"]
        except (ValueError, KeyError, TypeError):
            message = text.strip() or response.reason
        raise OllamaError(str(message), response.status)


def _counted(file: Any, progress: Callable[[int], None]) -> Iterator[bytes]:
    done = 0
    while chunk := file.read(_CHUNK):
        yield chunk
        done += len(chunk)
        progress(done)


def is_made(model: Mapping[str, Any]) -> bool:
    """Whether a model is made here (from a file, or of another model) and not just pulled."""
    return model["source"] == "gguf" or bool(model.get("definition"))


def steps(
    wanted: Sequence[Mapping[str, Any]], installed: Mapping[str, str], shown: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """What is to be done, in order: removals first (they make room), then the wanted models.

    A model comes after the one of the list that it is made from, and is made anew with it.
    installed: Client.installed(). shown: /api/show of the installed models that are made here, by name as wanted, and
    of their bases, as installed() has them; one that Ollama cannot show is damaged.
    A step is {model: name, do: [verbs out of 'delete', 'pull', 'copy', 'create'], why: text}.
    """
    listed = {canonical(model["name"]).lower(): model for model in wanted if model["state"] == "present"}
    found: dict[str, dict[str, Any]] = {}
    for model in sorted(wanted, key=lambda model: _depth(model, listed)):
        verbs, why = _verbs(model, installed, shown)
        base = listed.get(base_of(model))
        if base and not verbs and base["name"] in found:
            verbs, why = ["create" if model["definition"] else "copy"], f"{base['name']} comes anew"
        if base and (is_made(base) or base_of(base)):
            # No registry has it, or it has something else under this name.
            verbs = [verb for verb in verbs if verb != "pull"]
        if verbs:
            found[model["name"]] = {"model": model["name"], "do": verbs, "why": why}
    return sorted(found.values(), key=lambda step: step["do"] != ["delete"])


def base_of(model: Mapping[str, Any]) -> str:
    """The model that another one is made or copied from, as Ollama lists it in lower case; empty for all others."""
    base = canonical(model["reference"]).lower() if model["state"] == "present" and model["reference"] else ""
    return "" if base == canonical(model["name"]).lower() else base


def _depth(model: Mapping[str, Any], listed: Mapping[str, Mapping[str, Any]]) -> int:
    """How many models of the list must be there before this one."""
    depth = 0
    while depth < len(listed) and (base := listed.get(base_of(model))):
        model, depth = base, depth + 1
    return depth


def _verbs(
    model: Mapping[str, Any], installed: Mapping[str, str], shown: Mapping[str, Mapping[str, Any]]
) -> tuple[list[str], str]:
    has, show = installed.get(canonical(model["name"]).lower()), shown.get(model["name"])
    if model["state"] == "absent":
        return (["delete"], "not wanted") if has is not None else ([], "")
    if model["source"] == "gguf":
        why = _why_make(model, has, show)
        return (["create"], why) if why else ([], "")
    base = base_of(model)
    base_has = installed.get(base) if base else has
    wrong_base = _why_pull(model, base_has)
    pull = bool(wrong_base or (model["definition"] and has is not None and show is None))
    if not base:
        why = wrong_base or (_why_make(model, has, show) if model["definition"] else "")
        verbs = ["pull"] * bool(why and pull) + ["create"] * bool(why and model["definition"])
        return verbs, why
    if model["definition"]:
        why = (wrong_base if model["digest"] else "") or _why_make(model, has, show, shown.get(base))
        return (["pull"] * pull + ["create"], why) if why else ([], "")
    # A base that is not there any more was taken away on purpose.
    other = "another base" if base_has is not None and not wrong_base and has != base_has else ""
    why = _why_pull(model, has) or other
    return (["pull"] * pull + ["copy"], why) if why else ([], "")


def _why_pull(model: Mapping[str, Any], has: str | None) -> str:
    if has is None:
        return "missing"
    if not has.startswith(model["digest"]):
        return f"is {has[:12]}, wanted {model['digest'][:12]}"
    return ""


def _why_make(
    model: Mapping[str, Any],
    has: str | None,
    show: Mapping[str, Any] | None,
    base: Mapping[str, Any] | None = None,
) -> str:
    if has is None:
        return "missing"
    if show is None:
        return "damaged"
    if model["source"] == "gguf" and shown_blob(show) != model["blob"]:
        return "another file"
    weights, of_base = shown_blob(show), shown_blob(base or {})
    if weights and of_base and weights != of_base:
        return "another base"
    changed = differences(model["definition"], show, whole=model["source"] == "gguf")
    return f"other {', '.join(changed)}" if changed else ""


def is_transient(message: str) -> bool:
    """Whether trying again may help without anybody doing something."""
    return bool(_TRANSIENT.search(message.lower()))


def remedy(message: str) -> str:
    """What an operator does about a message of Ollama's or of the registry's."""
    text = message.lower()
    for pattern, advice in _REMEDIES:
        if re.search(pattern, text):
            return advice
    return "docker logs ollama on the host says more; run again to take it up where it stopped"


_REMEDIES = (
    (r"its base .* is not there", "mend that model first; nothing else has this one's weights"),
    (r"no such answer", "see that it is Ollama that listens there, and nothing before it"),
    (
        r"no space left|bytes? free|gb free",
        "make room on the host (ollama rm, or state: absent), or move data_dir",
    ),
    (r"requires a newer version|\b412\b", "this model needs a newer Ollama: raise ollama_version"),
    (
        r"file does not exist|not found|manifest unknown|invalid model name",
        "the registry has no such model or tag; compare with its page, https://ollama.com/library for the default one",
    ),
    (r"unauthorized|access denied|\b401\b|\b403\b", "the registry wants a login, or the name is misspelt"),
    (r"insecure protocol", "write the registry's address in `from` with http://"),
    (
        r"digest mismatch",
        "what arrived is not what was announced: run again; if it persists the registry or a proxy is broken",
    ),
    (
        r"wanted [0-9a-f]{12}",
        "the registry offers other content under this name now: check it, then correct `digest`",
    ),
    (
        r"no such host|name resolution|server misbehaving|lookup ",
        "the container cannot resolve the registry's name: check the host's DNS",
    ),
    (
        r"max retries|connection re|timeout|timed out|\beof\b|broke off|broken pipe|does not answer|unreachable",
        "check that the host reaches the registry and that Ollama runs; run again, what has arrived is kept",
    ),
    (r"unsupported|gguf|unknown type|invalid file magic", "the file is no GGUF that this Ollama reads"),
    (r"template", "mend TEMPLATE in the Modelfile"),
)


def registry_layers(reference: str, timeout: float = 5.0) -> dict[str, int] | None:
    """sha256 and size in bytes of what a registry's model consists of; None where that cannot be had: only a hint."""
    try:
        return {blob.digest: blob.size for blob in blobs(reference, timeout)}
    except Unknown:
        return None


def missing_bytes(layers: Mapping[str, int], has_blob: Callable[[str], bool], models_dir: str | None) -> int:
    """How much of a model is still to come; what Ollama has already fetched of a part counts as there."""
    missing = 0
    for sha256, size in layers.items():
        if not has_blob(sha256):
            missing += max(0, size - _partial(models_dir, sha256))
    return missing


def _partial(models_dir: str | None, sha256: str) -> int:
    """Bytes of a broken-off download on the disk; Ollama makes the whole file at once, with holes."""
    if not models_dir:
        return 0
    try:
        return (
            os.stat(os.path.join(models_dir, "models", "blobs", f"sha256-{sha256}-partial")).st_blocks * 512
        )
    except OSError:
        return 0


def free_bytes(path: str | None) -> int | None:
    """Free space where Ollama keeps its models; None where that cannot be told."""
    if not path:
        return None
    try:
        stat = os.statvfs(path)
    except OSError:
        return None
    return stat.f_bavail * stat.f_frsize


def address(inspected: Mapping[str, Any], port: int) -> str | None:
    """Where this host reaches a container's port, from `docker inspect`: as published, else at the container's address.

    None for a container without an address, for example a stopped one.
    """
    network = inspected.get("NetworkSettings") or {}
    for binding in (network.get("Ports") or {}).get(f"{port}/tcp") or []:
        host = binding.get("HostIp") or ""
        host = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host
        return f"http://{f'[{host}]' if ':' in host else host}:{binding['HostPort']}"
    if (inspected.get("HostConfig") or {}).get("NetworkMode") == "host":
        return f"http://127.0.0.1:{port}"
    for item in (network.get("Networks") or {}).values():
        if item.get("IPAddress"):
            return f"http://{item['IPAddress']}:{port}"
    return None


def models_dir(inspected: Mapping[str, Any]) -> str | None:
    """The host's directory behind the container's /root/.ollama."""
    for mount in inspected.get("Mounts") or []:
        if mount.get("Destination") == "/root/.ollama":
            return mount.get("Source") or None
    return None
