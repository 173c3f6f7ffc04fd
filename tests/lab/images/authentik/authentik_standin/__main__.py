"""`ak server`, `ak worker`, `ak healthcheck` and `ak apply_blueprint PATH…`."""

import os
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from .errors import BlueprintError, SettingsError
from .log import log
from .settings import Settings
from .store import PostgresDatabase

TEMPORARY = Path(tempfile.gettempdir())
MODE = TEMPORARY / "authentik-mode"
HEARTBEAT = TEMPORARY / "authentik-worker"
HEARTBEAT_SECONDS = 30
VERSION_FILE = Path(__file__).with_name("VERSION")


def main(arguments: list[str]) -> int:
    if arguments == ["healthcheck"]:
        return healthcheck()
    if arguments[:1] == ["apply_blueprint"] and arguments[1:]:
        return apply_blueprints(arguments[1:])
    if arguments not in (["server"], ["worker"]):
        print("usage: ak server | worker | healthcheck | apply_blueprint PATH…", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    try:
        settings = Settings(dict(os.environ))
    except SettingsError as error:
        log("error", "configuration error", error=str(error))
        return 1
    version = VERSION_FILE.read_text().strip()
    database = PostgresDatabase(settings.database)
    if not wait_for_database(database, version):
        return 1
    MODE.write_text(arguments[0])
    if arguments == ["server"]:
        from .server import serve

        log("info", "server started", version=version)
        serve(settings, database, version)
    else:
        from .worker import work

        work(settings, database, HEARTBEAT)
    return 0


def wait_for_database(database: PostgresDatabase, version: str) -> bool:
    """Migrate as soon as the database lets us in; false where it holds the data of a newer release."""
    import psycopg

    while True:
        try:
            database.migrate(version)
            return True
        except (psycopg.OperationalError, SettingsError) as error:
            log("error", "PostgreSQL connection failed, retrying", error=str(error).strip())
            time.sleep(1)
        except RuntimeError as error:
            log("error", "migration refused", error=str(error))
            return False


def apply_blueprints(paths: list[str]) -> int:
    """Each file below the blueprints' folder at once, in this process; 1 for the first that is refused."""
    from .blueprints import Discovery

    try:
        settings = Settings(dict(os.environ))
        root = Path(settings.get("BLUEPRINTS_DIR", "/blueprints"))
        for path in paths:
            Discovery(PostgresDatabase(settings.database), root, log).apply_now(path)
    except (BlueprintError, SettingsError, OSError) as error:
        print(f"Blueprint invalid\n\t{error}", file=sys.stderr)
        return 1
    return 0


def healthcheck() -> int:
    try:
        mode = MODE.read_text()
        if mode == "worker":
            return 0 if time.time() - HEARTBEAT.stat().st_mtime < HEARTBEAT_SECONDS else 1
        port = os.environ.get("AUTHENTIK_LISTEN__HTTP", ":9000").split(",")[0].rpartition(":")[2]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/health/live/", timeout=5) as answer:
            return 0 if answer.status == 200 else 1
    except (OSError, urllib.error.URLError):
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
