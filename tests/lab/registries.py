"""Whether the upstream registries can be reached, told apart from registries that are merely down."""

import ssl
import urllib.error
import urllib.request

from .output import LabError

TIMEOUT_SECONDS = 5
# Docker Hub's API has another name than its images.
API_HOSTS = {"docker.io": "registry-1.docker.io"}


def reachable(registry: str) -> bool:
    """One short HTTPS attempt at the registry's API.

    False: nothing answers there (no such name, refused, blocked, silent), so images are built from packages.
    A LabError: something answers, but wrongly. That is a registry that is down, not a machine without one, and
    falling back would hide it.
    """
    host = API_HOSTS.get(registry, registry)
    try:
        with urllib.request.urlopen(f"https://{host}/v2/", timeout=TIMEOUT_SECONDS):
            return True
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            raise LabError(
                f"registry {registry} answers with an error: HTTP {error.code}. Try again later."
            ) from error
        return True
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLError):
            raise LabError(
                f"registry {registry} answers, but not with a valid certificate: {error.reason}"
            ) from error
        return False
    except OSError:
        return False
