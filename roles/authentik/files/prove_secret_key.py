# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs inside authentik's server container: does the running server sign its sessions with this key?

A line of standard input: the key. Ends with 0 where it does, with 10 where it signs with another one.
"""

import base64
import hashlib
import hmac
import http.cookiejar
import sys
import urllib.request

cookies = http.cookiejar.CookieJar()
opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
# Whoever begins to sign in gets a session.
opener.open(
    "http://127.0.0.1:9000/api/v3/flows/executor/default-authentication-flow/?query=", timeout=30
).close()
[session] = [cookie.value for cookie in cookies if cookie.name == "authentik_session"]
signed, _dot, signature = session.rpartition(".")

key = hashlib.sha512(sys.stdin.readline().rstrip("\n").encode()).hexdigest()
expected = base64.urlsafe_b64encode(hmac.digest(key.encode(), signed.encode(), "sha256")).decode().rstrip("=")
sys.exit(0 if hmac.compare_digest(signature, expected) else 10)
