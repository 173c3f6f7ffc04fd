# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may call this gateway: LiteLLM asks `authenticate` before every request that is not a liveness probe.

LiteLLM keeps its own keys in a database. This gateway's clients stand in clients.yaml beside this file: each with the
SHA-256 of its key, the models it may use and its limits. A key cannot be read back from the file. Where there is a
database as well, for keys made in LiteLLM's web page, LiteLLM itself looks there for a key that is not here.

Two kinds of callers:
- a client calls models: the routes in CLIENT_ROUTES and nothing else, whatever LiteLLM adds to its API;
- the master key manages the gateway and calls no model, so that no application can live on it unnoticed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

Client = Mapping[str, Any]

CLIENTS = Path(__file__).parent / "clients.yaml"
CLIENT_ROUTES = tuple(
    (method, re.compile(pattern))
    for method, pattern in (
        ("POST", r"(/v1)?/chat/completions"),
        ("POST", r"(/v1)?/completions"),
        ("POST", r"(/v1)?/embeddings"),
        ("POST", r"(/v1)?/responses"),
        ("POST", r"/v1/messages(/count_tokens)?"),
        ("GET", r"(/v1)?/models"),
    )
)


def is_client_route(method: str, path: str) -> bool:
    """Whether a client may ask for `path`: one trailing slash more or less makes no difference."""
    path = path.removesuffix("/")
    return any(method == allowed and pattern.fullmatch(path) for allowed, pattern in CLIENT_ROUTES)


def digest(key: str) -> str:
    """The form in which keys are kept and compared."""
    return hashlib.sha256(key.encode()).hexdigest()


def find_client(key: str, clients: Sequence[Client]) -> Client | None:
    """The client whose key this is, or was until it is rotated away.

    Compares with every client in constant time: the time taken tells nothing.
    """
    mine = digest(key)
    found = None
    for client in clients:
        for kept in (client["key_sha256"], client.get("previous_key_sha256", "")):
            if hmac.compare_digest(mine, str(kept)):
                found = client
    return found


def is_master_key(key: str, master_key: str) -> bool:
    """Whether this is the master key; an unset one matches nothing."""
    return bool(master_key) and hmac.compare_digest(digest(key), digest(master_key))


def client_token(client: Client) -> dict[str, Any]:
    """A client as the fields of LiteLLM's UserAPIKeyAuth.

    LiteLLM counts requests and tokens by `api_key` and shows it in the answer to one request too many: the client's
    name serves both. No `models` means every model. An empty list means none, where LiteLLM would read it as every.
    """
    models = client.get("models")
    return {
        "api_key": client["name"],
        "key_alias": client["name"],
        "user_role": "internal_user",
        "models": [] if models is None else list(models) or ["no-default-models"],
        "rpm_limit": client.get("rpm"),
        "tpm_limit": client.get("tpm"),
        "max_parallel_requests": client.get("parallel"),
    }


class Unknown(LookupError):
    """The key is none of ours; LiteLLM goes on with its own (`general_settings.custom_auth_settings`)."""


def decide(
    key: str, method: str, path: str, clients: Sequence[Client], master_key: str, database: bool = False
) -> tuple[int, str] | dict[str, Any]:
    """Either the fields of a UserAPIKeyAuth, or a status and a sentence for the caller that never holds the key.

    database: whether a key that is not known here may be known there. Raises Unknown for it then.
    """
    if not key:
        if database:
            raise Unknown("no key")
        return 401, "No API key was given. Send it as 'Authorization: Bearer <key>'."
    if is_master_key(key, master_key):
        if is_client_route(method, path):
            return 403, "The master key manages this gateway and calls no model. Use a client key."
        return {"api_key": "master", "key_alias": "master", "user_role": "proxy_admin"}
    client = find_client(key, clients)
    if client is None:
        if database:
            raise Unknown("not in clients.yaml")
        return 401, "This API key is not known here."
    if not is_client_route(method, path):
        return 403, "A client key calls models and lists them, as at /v1/chat/completions and /v1/models."
    return client_token(client)


class ClientsFile:
    """clients.yaml, read anew when it was replaced: a client comes, goes or gets another key without a restart."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._clients: tuple[Client, ...] = ()

    def read(self) -> tuple[Client, ...]:
        info = self._path.stat()
        seen = (info.st_ino, info.st_mtime_ns)
        if seen != self._seen:
            self._clients = tuple(yaml.safe_load(self._path.read_text())["clients"])
            self._seen = seen
        return self._clients


clients_file = ClientsFile(CLIENTS)


async def authenticate(request: Any, api_key: str) -> Any:
    """LiteLLM's hook (`general_settings.custom_auth`): a UserAPIKeyAuth, or a ProxyException in OpenAI's form.

    Any other exception makes LiteLLM look for the key itself.
    """
    from litellm.proxy._types import ProxyException, UserAPIKeyAuth

    verdict = decide(
        key=(api_key or "").removeprefix("Bearer ").strip(),
        # Not request.url: Starlette builds it from the Host header, which the caller writes. A WebSocket has no method.
        method=request.scope.get("method", ""),
        path=request.scope.get("path", ""),
        clients=clients_file.read(),
        master_key=os.environ.get("LITELLM_MASTER_KEY", ""),
        database=bool(os.environ.get("DATABASE_URL")),
    )
    if isinstance(verdict, dict):
        return UserAPIKeyAuth(**verdict)
    status, message = verdict
    raise ProxyException(
        message=message,
        type="authentication_error" if status == 401 else "permission_error",
        param=None,
        code=status,
        openai_code="invalid_api_key" if status == 401 else "insufficient_permissions",
    )
