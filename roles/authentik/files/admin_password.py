# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs inside authentik's server container: akadmin's password, tried and changed as akadmin would in a browser.

A line of standard input: the password to try; ends with 0 where it is accepted, with 10 where it is refused. Two lines,
the new password and the old one: changes it. Does nothing where the new one is in force already, and ends with 75 while
authentik cannot tell, as when its database has got another password and authentik has not.
"""

import http.cookiejar
import json
import os
import sys
import urllib.error
import urllib.request

API = "http://127.0.0.1:9000/api/v3"
FLOW = "/flows/executor/default-authentication-flow/?query="
NAME, PASSWORD, DONE = "ak-stage-identification", "ak-stage-password", "xak-flow-redirect"


class Browser:
    def __init__(self):
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def ask(self, path, body=None):
        csrf = [cookie.value for cookie in self.cookies if cookie.name == "authentik_csrf"]
        headers = {"Content-Type": "application/json", **({"X-authentik-CSRF": csrf[0]} if csrf else {})}
        data = None if body is None else json.dumps(body).encode()
        with self.opener.open(urllib.request.Request(API + path, data, headers), timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def sign_in(self, password):
        """What authentik asks next: PASSWORD where it refuses this one, DONE where that was all."""
        answers = {NAME: {"uid_field": "akadmin", "password": password}, PASSWORD: {"password": password}}
        asked = self.ask(FLOW)
        while asked["component"] in answers:
            answered = asked["component"]
            asked = self.ask(FLOW, answers[answered])
            if asked.get("response_errors") or asked["component"] == answered:
                return PASSWORD
        return asked["component"]


def change(new, old):
    if Browser().sign_in(new) != PASSWORD:
        return
    browser = Browser()
    asked = browser.sign_in(old)
    if asked != DONE:
        why = (
            "neither the new nor the old one signs in"
            if asked == PASSWORD
            else f"authentik asks for {asked} as well"
        )
        sys.exit(
            f"akadmin's password: {why}. Set it in authentik to vault_authentik_admin_password, and run this again"
        )
    account = browser.ask("/core/users/me/")["user"]["pk"]
    browser.ask(f"/core/users/{account}/set_password/", {"password": new})


passwords = sys.stdin.read().splitlines()
try:
    if len(passwords) == 1:
        sys.exit(10 if Browser().sign_in(passwords[0]) == PASSWORD else 0)
    change(*passwords)
except urllib.error.URLError as error:
    sys.stderr.write(f"authentik cannot tell: {error}\n")
    sys.exit(os.EX_TEMPFAIL)
