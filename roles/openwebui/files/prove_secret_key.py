# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs inside Open WebUI's container: is a session accepted that is signed with this key?

A line of standard input: the key. Ends with 0 where such a session is accepted, with 10 where it is refused.
"""

import datetime
import sqlite3
import sys
import urllib.error
import urllib.request
import uuid

import jwt

database = sqlite3.connect("file:/app/backend/data/webui.db?mode=ro", uri=True)
# The stamp changes with an account's password; a session of the kind `automation` is not asked for a second factor.
account, stamp = database.execute(
    "select user.id, auth.session_stamp from user join auth using (id) where role = 'admin' limit 1"
).fetchone()
now = datetime.datetime.now(datetime.timezone.utc)
claims = {
    "id": account,
    "typ": "automation",
    "session_stamp": stamp,
    "jti": str(uuid.uuid4()),
    "iat": now,
    "exp": now + datetime.timedelta(minutes=1),
}
token = jwt.encode(claims, sys.stdin.readline().rstrip("\n"), algorithm="HS256")
request = urllib.request.Request(
    "http://127.0.0.1:8080/api/v1/users/user/settings", headers={"Authorization": f"Bearer {token}"}
)
try:
    urllib.request.urlopen(request, timeout=30).close()
except urllib.error.HTTPError as error:
    if error.code != 401:
        sys.exit(f"Open WebUI answered {error.code}, which says neither yes nor no")
    sys.exit(10)
