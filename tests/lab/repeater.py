"""A stand-in for a provider on the Internet: `repeater.py PORT`, whose answers are what it was asked.

What it promises: README.md. Standard library only: it runs on the lab's hosts as it is.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}


class Repeater(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked["model"] == "broken":
            return self._answer(503, {"error": {"message": "overloaded", "type": "server_error"}})
        if self.path == "/v1/embeddings":
            data = [{"object": "embedding", "index": 0, "embedding": [0.5, float(len(asked["input"]))]}]
            return self._answer(
                200, {"object": "list", "model": asked["model"], "data": data, "usage": USAGE}
            )
        if self.path != "/v1/chat/completions":
            return self._answer(404, {"error": {"message": f"{self.path} is not served here"}})
        said = {"authorization": self.headers.get("Authorization"), "asked": asked}
        message: dict[str, Any] = {"role": "assistant", "content": json.dumps(said)}
        finish = "stop"
        if asked.get("tools"):
            name = asked["tools"][0]["function"]["name"]
            call = {
                "id": "call_1",
                "type": "function",
                "function": {"name": name, "arguments": '{"city": "Bern"}'},
            }
            message["tool_calls"], finish = [call], "tool_calls"
        choices = [{"index": 0, "message": message, "finish_reason": finish}]
        head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": asked["model"]}
        return self._answer(200, {**head, "choices": choices, "usage": USAGE})

    def _answer(self, status: int, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_arguments: Any) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Repeater).serve_forever()
