"""A stand-in for a model server that thinks for a fixed time: `thinker.py PORT MODEL[,MODEL] SECONDS [PARALLEL]`.

What it promises: README.md.
Two processors that compute answers measure themselves; one that waits measures the way to it. Standard library only: it
runs on the lab's hosts as it is.
"""

import json
import sys
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

KNOWN = {
    *(
        "model",
        "messages",
        "max_tokens",
        "stream",
        "stream_options",
        "temperature",
        "top_p",
        "seed",
        "stop",
        "tools",
    ),
    *("frequency_penalty", "presence_penalty", "response_format", "reasoning_effort"),
}
WORDS = 8
# While this file is there, it answers as Ollama does when a model does not fit into memory.
FULL = Path("/run/thinker.full")
USAGE = {"prompt_tokens": 3, "completion_tokens": WORDS, "total_tokens": 3 + WORDS}


class Refusal(Exception):
    """An answer other than 200: status, text."""


class Thinker(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    models: tuple[str, ...] = ()
    seconds = 0.0
    turns: AbstractContextManager[Any] = nullcontext()

    def do_GET(self) -> None:
        if self.path != "/v1/models":
            return self._answer(404, {"error": {"message": "404 page not found", "type": "not_found_error"}})
        about = {"object": "model", "created": 1, "owned_by": "library"}
        listed = [{"id": model if ":" in model else f"{model}:latest", **about} for model in self.models]
        return self._answer(200, {"object": "list", "data": listed})

    def do_POST(self) -> None:
        try:
            asked = self._read()
        except Refusal as refusal:
            status, text = refusal.args
            return self._answer(status, {"error": {"message": text, "type": "invalid_request_error"}})
        with self.turns:
            time.sleep(self.seconds)
        if asked.get("stream"):
            return self._stream(
                asked["model"], bool((asked.get("stream_options") or {}).get("include_usage"))
            )
        message = {"role": "assistant", "content": "word " * WORDS}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        head = self._head("chat.completion", asked["model"])
        return self._answer(200, {**head, "choices": choices, "usage": USAGE})

    def _read(self) -> dict[str, Any]:
        """The request. Stricter than Ollama, which passes over what it does not know."""
        if self.path != "/v1/chat/completions":
            raise Refusal(404, f"{self.path} is not served here")
        try:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        except (TypeError, ValueError) as error:
            raise Refusal(400, f"no JSON: {error}") from error
        if FULL.exists():
            raise Refusal(500, "model requires more system memory than is available")
        unknown = sorted(set(asked) - KNOWN)
        if unknown:
            raise Refusal(400, f"unknown fields: {', '.join(unknown)}")
        if str(asked.get("model")).removesuffix(":latest") not in self.models:
            raise Refusal(404, f"model '{asked.get('model')}' not found")
        if not asked.get("messages"):
            raise Refusal(400, "messages is empty")
        return asked

    def _stream(self, model: str, usage: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        head = self._head("chat.completion.chunk", model)
        for number in range(WORDS + 1):
            delta = {"role": "assistant", "content": "word "} if number < WORDS else {}
            ended = "stop" if number == WORDS else None
            time.sleep(self.seconds / WORDS if number else 0)
            self._piece({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": ended}]})
        if usage:
            self._piece({**head, "choices": [], "usage": USAGE})
        self._piece("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _piece(self, piece: Any) -> None:
        data = f"data: {piece if isinstance(piece, str) else json.dumps(piece)}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _head(self, kind: str, model: str) -> dict[str, Any]:
        return {"id": "chatcmpl-1", "object": kind, "created": int(time.time()), "model": model}

    def _answer(self, status: int, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_arguments: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


if __name__ == "__main__":
    Thinker.models, Thinker.seconds = tuple(sys.argv[2].split(",")), float(sys.argv[3])
    if sys.argv[4:]:
        Thinker.turns = threading.Semaphore(int(sys.argv[4]))
    Server(("0.0.0.0", int(sys.argv[1])), Thinker).serve_forever()
