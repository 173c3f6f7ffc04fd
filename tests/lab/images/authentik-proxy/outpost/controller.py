"""What the outpost knows from its server: its own configuration, and the providers that it serves."""

import ssl
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import httpx

from .application import Application
from .log import log
from .settings import Settings

RETRY_SECONDS = 3
# authentik pushes changes over a WebSocket; here they are asked for.
REFRESH_SECONDS = 5


class Controller:
    """Applications by the host of their external address, kept up to date by a thread."""

    def __init__(self, settings: Settings, version: str) -> None:
        self.settings = settings
        self.version = version
        self.name = ""
        self.applications: dict[str, Application] = {}
        self.last_update = 0.0
        verify: bool | ssl.SSLContext = False if settings.insecure else ssl.create_default_context()
        self.client = httpx.Client(
            base_url=settings.get("HOST").rstrip("/"),
            verify=verify,
            timeout=10,
            headers={"User-Agent": f"goauthentik.io/outpost/{version}"},
        )

    def start(self) -> None:
        """Return with the first configuration; until then nothing listens. Goes on asking for ever after."""
        while not self.refresh():
            time.sleep(RETRY_SECONDS)
        threading.Thread(target=self._keep_fresh, daemon=True).start()

    def _keep_fresh(self) -> None:
        while True:
            time.sleep(REFRESH_SECONDS)
            self.refresh()

    def refresh(self) -> bool:
        """Ask once. What was known stays in use while the server does not answer."""
        try:
            outposts = self._list("outposts/instances")
            if not outposts:
                log("error", "no outposts found with the given token")
                return False
            # The first one: a token that sees several is the wrong token.
            configuration = outposts[0]
            providers = self._list("outposts/proxy")
        except (httpx.HTTPError, ValueError) as error:
            log("error", "failed to fetch outpost configuration", error=str(error) or repr(error))
            return False
        self.name = configuration["name"]
        host = self.settings.get("HOST_BROWSER") or configuration["config"].get("authentik_host", "")
        found = {}
        for provider in providers:
            key = urlsplit(provider["external_host"]).netloc
            application = Application(provider, self, host)
            if old := self.applications.get(key):
                application.sessions = old.sessions
            found[key] = application
        if sorted(found) != sorted(self.applications):
            log("info", "loaded applications", outpost=self.name, hosts=sorted(found))
        self.applications = found
        self.last_update = time.time()
        return True

    def _list(self, path: str) -> list[dict[str, Any]]:
        token = {"Authorization": f"Bearer {self.settings.get('TOKEN')}"}
        answer = self.client.get(f"/api/v3/{path}/", headers=token)
        if answer.is_error:
            raise ValueError(f"{path}: {answer.status_code} {answer.text[:200]}")
        return answer.json()["results"]

    def lookup(self, host: str) -> Application | None:
        """By host, or else the provider of a whole domain with the longest match. Nothing: not ours.

        The original gives every unknown host to the one application when there is only one; this does not.
        """
        if exact := self.applications.get(host):
            return exact
        name = host.rsplit(":", 1)[0]
        domains = [
            application
            for application in self.applications.values()
            if application.mode == "forward_domain" and name.endswith(application.domain)
        ]
        return max(domains, key=lambda application: len(application.domain), default=None)
