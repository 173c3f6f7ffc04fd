"""Run on a lab host by Python alone: `waiter.py QUESTIONS`; ends with its standard input, and prints JSON.

Asks each question again and again, as somebody does who asks anew at once when there is no good answer. QUESTIONS is
JSON: name -> {url, at: address, headers, ca} or {dns: name, at: address}; printed is name -> the longest wait (s).
"""

import http.client
import json
import ssl
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

PAUSE = 0.05
PATIENCE = 60


class Named(http.client.HTTPSConnection):
    """Connects to an address, and asks there for a name."""

    def __init__(self, name, address, context):
        super().__init__(name, timeout=PATIENCE, context=context)
        self._create_connection = lambda place, *rest: _connect((address, place[1]), *rest)


_connect = http.client.HTTPConnection("unused")._create_connection


def answered(question):
    if "dns" in question:
        command = ["dig", "+short", "+time=1", "+tries=1", f"@{question['at']}", question["dns"], "A"]
        return subprocess.run(command, capture_output=True, check=False).stdout.strip() != b""
    parts = urlsplit(question["url"])
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=question["ca"])
        connection = Named(parts.hostname, question["at"], context)
    else:
        connection = http.client.HTTPConnection(question["at"], parts.port, timeout=PATIENCE)
    try:
        body = question.get("body")
        method = "POST" if body else "GET"
        connection.request(method, parts.path, body and json.dumps(body), question["headers"])
        answer = connection.getresponse()
        answer.read()
        return answer.status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def wait(name, question, end, longest):
    """Ask until the end; one that is waiting then is answered first."""
    while not end.is_set():
        began = time.monotonic()
        while not answered(question):
            time.sleep(PAUSE)
        longest[name] = max(longest[name], time.monotonic() - began)
        time.sleep(PAUSE)


def main():
    questions = json.loads(sys.argv[1])
    end, longest = threading.Event(), dict.fromkeys(questions, 0.0)
    threads = [threading.Thread(target=wait, args=(*item, end, longest)) for item in questions.items()]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    end.set()
    for thread in threads:
        thread.join()
    json.dump(longest, sys.stdout)


main()
