"""Run on a lab host by Python alone: `waiter.py QUESTIONS`; ends with its standard input, and prints JSON.

Asks each question again and again, as somebody does who asks anew at once when there is no good answer. QUESTIONS is
JSON: name -> a shell command that ends with 0 where the answer is good; printed is name -> the longest wait (s).
"""

import json
import subprocess
import sys
import threading
import time

PAUSE = 0.05


def wait(name, command, end, longest):
    """Ask until the end; one that is waiting then is answered first."""
    while not end.is_set():
        began = time.monotonic()
        while subprocess.run(["sh", "-c", command], capture_output=True, check=False).returncode:
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
