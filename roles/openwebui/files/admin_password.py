# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs inside Open WebUI's container: the first account's password, tried and changed.

A line of standard input: the password to try; ends with 0 where it is accepted, with 10 where it is refused. Two lines,
the new password and the old one: changes it. Does nothing where the new one is in force already.

It asks Open WebUI, as the account's owner would in the page. Where the single sign-on says who somebody is, Open WebUI
takes no password; the account keeps one for the day when the sign-on is broken, and it is in the database.
"""

import json
import os
import sqlite3
import sys
import urllib.error
import urllib.request
import uuid

import bcrypt

EMAIL = os.environ["WEBUI_ADMIN_EMAIL"]
BY_SIGN_ON = (
    os.environ.get("ENABLE_PASSWORD_AUTH", "True").lower() != "true"
    or "WEBUI_AUTH_TRUSTED_EMAIL_HEADER" in os.environ
)


class Page:
    """The account by Open WebUI's own interface."""

    def accepts(self, password):
        """A session, which is true, where the password signs in."""
        status, answer = self._post("/signin", {"email": EMAIL, "password": password})
        if status not in (200, 400):
            sys.exit(f"Open WebUI answered {status}, which says neither yes nor no")
        return answer["token"] if status == 200 else None

    def change(self, token, old, new):
        status, _answer = self._post("/update/password", {"password": old, "new_password": new}, token)
        if status != 200:
            sys.exit(f"Open WebUI refused the new password with {status}")

    def _post(self, path, body, token=None):
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        address = f"http://127.0.0.1:8080/api/v1/auths{path}"
        request = urllib.request.Request(address, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, None


class Database:
    """The account as it is stored."""

    def __init__(self):
        self._database = sqlite3.connect("/app/backend/data/webui.db", timeout=30)

    def accepts(self, password):
        row = self._database.execute("select password from auth where email = ?", (EMAIL,)).fetchone()
        if row is None:
            sys.exit(f"there is no account {EMAIL}")
        return bcrypt.checkpw(password.encode(), row[0].encode())

    def change(self, _accepted, _old, new):
        """Another stamp ends the sessions that the old password began."""
        hashed = bcrypt.hashpw(new.encode(), bcrypt.gensalt()).decode()
        with self._database:
            self._database.execute(
                "update auth set password = ?, session_stamp = ? where email = ?",
                (hashed, str(uuid.uuid4()), EMAIL),
            )


account = Database() if BY_SIGN_ON else Page()
new, *others = sys.stdin.read().splitlines()
accepted = account.accepts(new)
if not others:
    sys.exit(0 if accepted else 10)
if not accepted:
    accepted = account.accepts(others[0])
    if not accepted:
        sys.exit(
            "neither the new nor the old password signs in: somebody changed it in the page. Set it there to the "
            "value of vault_openwebui_admin_password, or of vault_openwebui_admin_password_previous, and run this again"
        )
    account.change(accepted, others[0], new)
