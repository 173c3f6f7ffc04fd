"""Objects by model and primary key: in PostgreSQL, or in memory for tests without one.

A row is a JSON object with its primary key under `pk`: an integer for users and providers, a UUID otherwise.
"""

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

Row = dict[str, Any]

SCHEMA = """
CREATE TABLE IF NOT EXISTS standin_release (version text NOT NULL);
CREATE SEQUENCE IF NOT EXISTS standin_number;
CREATE TABLE IF NOT EXISTS standin_object (
    model text NOT NULL, pk text NOT NULL, data jsonb NOT NULL, PRIMARY KEY (model, pk)
);
"""
# Server and worker may migrate at the same time; the second waits for the first.
MIGRATION_LOCK = 2026


class Objects(Protocol):
    """What one transaction can do."""

    def get(self, model: str, pk: Any) -> Row | None: ...
    def find(self, model: str, **fields: Any) -> list[Row]: ...
    def save(self, model: str, row: Row) -> None: ...
    def delete(self, model: str, pk: Any) -> bool: ...
    def next_number(self) -> int: ...


class Database(Protocol):
    def transaction(self) -> AbstractContextManager[Objects]:
        """All or nothing: an exception inside undoes what was saved."""


class MemoryObjects:
    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = {}
        self.number = 0

    def get(self, model: str, pk: Any) -> Row | None:
        return copy.deepcopy(self.rows.get((model, str(pk))))

    def find(self, model: str, **fields: Any) -> list[Row]:
        return [
            copy.deepcopy(row)
            for (kind, _pk), row in self.rows.items()
            if kind == model and all(row.get(name) == value for name, value in fields.items())
        ]

    def save(self, model: str, row: Row) -> None:
        self.rows[model, str(row["pk"])] = copy.deepcopy(row)

    def delete(self, model: str, pk: Any) -> bool:
        return self.rows.pop((model, str(pk)), None) is not None

    def next_number(self) -> int:
        self.number += 1
        return self.number


class MemoryDatabase:
    def __init__(self) -> None:
        self.objects = MemoryObjects()

    @contextmanager
    def transaction(self) -> Iterator[MemoryObjects]:
        before = dict(self.objects.rows)
        try:
            yield self.objects
        except BaseException:
            self.objects.rows = before
            raise


class PostgresObjects:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def get(self, model: str, pk: Any) -> Row | None:
        query = "SELECT data FROM standin_object WHERE model = %s AND pk = %s"
        found = self._connection.execute(query, (model, str(pk))).fetchone()
        return found[0] if found else None

    def find(self, model: str, **fields: Any) -> list[Row]:
        query = "SELECT data FROM standin_object WHERE model = %s AND data @> %s::jsonb ORDER BY pk"
        return [row[0] for row in self._connection.execute(query, (model, json.dumps(fields)))]

    def save(self, model: str, row: Row) -> None:
        query = (
            "INSERT INTO standin_object VALUES (%s, %s, %s::jsonb)"
            " ON CONFLICT (model, pk) DO UPDATE SET data = EXCLUDED.data"
        )
        self._connection.execute(query, (model, str(row["pk"]), json.dumps(row, default=str)))

    def delete(self, model: str, pk: Any) -> bool:
        query = "DELETE FROM standin_object WHERE model = %s AND pk = %s"
        return bool(self._connection.execute(query, (model, str(pk))).rowcount)

    def next_number(self) -> int:
        return int(self._connection.execute("SELECT nextval('standin_number')").fetchone()[0])


class PostgresDatabase:
    """One connection per transaction, as authentik by default: a changed password is read again each time."""

    def __init__(self, connection_settings: Callable[[], dict[str, Any]]) -> None:
        self._settings = connection_settings

    @contextmanager
    def transaction(self) -> Iterator[PostgresObjects]:
        import psycopg

        with psycopg.connect(**self._settings(), connect_timeout=5) as connection:
            yield PostgresObjects(connection)

    def migrate(self, version: str) -> None:
        """Make the tables. A database that a newer release has written is refused: there is no downgrade."""
        import psycopg

        with psycopg.connect(**self._settings(), connect_timeout=5) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
            connection.execute(SCHEMA)
            found = connection.execute("SELECT version FROM standin_release").fetchone()
            if found and _numbers(found[0]) > _numbers(version):
                raise RuntimeError(
                    f"the database was migrated by {found[0]}; {version} cannot go back behind it"
                )
            connection.execute("DELETE FROM standin_release")
            connection.execute("INSERT INTO standin_release VALUES (%s)", (version,))


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
