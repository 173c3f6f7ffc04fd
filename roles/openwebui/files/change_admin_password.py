# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs inside Open WebUI's container: changes the first account's password, as its owner would in the page.

Two lines of standard input: the new password, the old one. Does nothing where the new one is in force already.
"""

import json
import os
import sys
import urllib.error
import urllib.request

API = "http://127.0.0.1:8080/api/v1/auths"


def post(path, body, token=None):
    """(status, answer); a refusal is an answer too."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(API + path, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, None


def sign_in(password):
    status, answer = post("/signin", {"email": os.environ["WEBUI_ADMIN_EMAIL"], "password": password})
    return answer["token"] if status == 200 else None


new, old = sys.stdin.read().split("\n")[:2]
if not sign_in(new):
    token = sign_in(old)
    if not token:
        sys.exit(
            "neither the new nor the old password signs in: somebody changed it in the page. Set it there to the "
            "value of vault_openwebui_admin_password, or of vault_openwebui_admin_password_previous, and run this again"
        )
    status, _answer = post("/update/password", {"password": old, "new_password": new}, token)
    if status != 200:
        sys.exit(f"Open WebUI refused the new password with {status}")
