# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs inside authentik's server container: changes the database's password for the account that authentik uses.

Two lines of standard input: the new password, the old one. Does nothing where the new one is in force already.
"""

import os
import sys

import psycopg
from psycopg import sql

PREFIX = "AUTHENTIK_POSTGRESQL__"
ACCOUNT = os.environ[f"{PREFIX}USER"]


def connect(password):
    place = {"host": os.environ[f"{PREFIX}HOST"], "dbname": os.environ[f"{PREFIX}NAME"]}
    return psycopg.connect(user=ACCOUNT, password=password, connect_timeout=10, **place)


new, old = sys.stdin.read().split("\n")[:2]
try:
    connect(new).close()
except psycopg.OperationalError:
    try:
        with connect(old) as connection:
            change = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(ACCOUNT), sql.Literal(new))
            connection.execute(change)
    except psycopg.OperationalError as error:
        sys.exit(f"the database takes neither the new nor the old password, or does not answer: {error}")
