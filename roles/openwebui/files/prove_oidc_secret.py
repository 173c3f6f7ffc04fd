# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs inside Open WebUI's container: does the sign-on know this application by this secret?

A line of standard input: the secret. Ends with 0 where it does, with 10 where it does not. An authorization code that
nobody was given is refused after the application was recognised, and only then.
"""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

with urllib.request.urlopen(os.environ["OPENID_PROVIDER_URL"], timeout=30) as answer:
    endpoint = json.load(answer)["token_endpoint"]
form = {
    "grant_type": "authorization_code",
    "code": "nobody-was-given-this-one",
    "redirect_uri": os.environ["OPENID_REDIRECT_URI"],
    "client_id": os.environ["OAUTH_CLIENT_ID"],
    "client_secret": sys.stdin.readline().rstrip("\n"),
}
try:
    urllib.request.urlopen(endpoint, urllib.parse.urlencode(form).encode(), timeout=30).close()
except urllib.error.HTTPError as error:
    reason = json.loads(error.read()).get("error")
    if reason in ("invalid_grant", "invalid_client"):
        sys.exit(10 if reason == "invalid_client" else 0)
    sys.exit(f"{endpoint} answered {error.code} ({reason}), which says neither yes nor no")
sys.exit(f"{endpoint} took a code that nobody was given")
