"""A model registry for `ollama pull`: serves an Ollama models directory, read-only.

`python tests/lab/model/registry.py DIR [--host ADDRESS] [--port PORT]`, then on a host with Ollama and with
`"insecure": true`: `ollama pull http://HOST:PORT/library/tiny:latest`. DIR is what OLLAMA_MODELS names: it holds
`blobs/` and `manifests/`.
"""

import argparse
import contextlib
import re
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MANIFEST = re.compile(r"/v2/([\w.-]+/[\w.-]+)/manifests/([\w.-]+)")
BLOB = re.compile(r"/v2/[\w.-]+/[\w.-]+/blobs/sha256:([0-9a-f]{64})")
RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class Registry(BaseHTTPRequestHandler):
    """The part of the registry protocol that Ollama's client uses."""

    protocol_version = "HTTP/1.1"
    models: Path

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        if match := MANIFEST.fullmatch(self.path):
            self._send(self._manifest(*match.groups()), body)
        elif match := BLOB.fullmatch(self.path):
            self._send(self._blob(match[1]), body)
        else:
            self._send(None, body)

    def _manifest(self, name: str, tag: str) -> Path | None:
        found = sorted((self.models / "manifests").glob(f"*/{name}/{tag}"))
        return found[0] if found else None

    def _blob(self, digest: str) -> Path:
        return self.models / "blobs" / f"sha256-{digest}"

    def _send(self, path: Path | None, body: bool) -> None:
        if path is None or not path.is_file():
            self.send_response(HTTPStatus.NOT_FOUND)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content, size = path.read_bytes(), path.stat().st_size
        match = RANGE.fullmatch(self.headers.get("Range", ""))
        if match:
            start, end = int(match[1]), min(int(match[2] or size - 1), size - 1)
            content = content[start : end + 1]
            self.send_response(HTTPStatus.PARTIAL_CONTENT)
            self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
        else:
            self.send_response(HTTPStatus.OK)
        # Ollama asks once where the file is, then downloads in parts from the Location it is told; without the header
        # it gives up. A redirect to the same host would be followed and the header be lost, so this one names itself.
        self.send_header("Location", self.path)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            with contextlib.suppress(ConnectionError):
                # Ollama hangs up on the first answer: it only wants the header.
                self.wfile.write(content)


def serve(models: Path, host: str, port: int) -> ThreadingHTTPServer:
    """A server bound to the address; the caller runs and closes it."""
    handler = type("ModelRegistry", (Registry,), {"models": models})
    return ThreadingHTTPServer((host, port), handler)


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="Serve an Ollama models directory to `ollama pull`.")
    parser.add_argument("models", type=Path, metavar="DIR")
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=5050)
    options = parser.parse_args()
    with serve(options.models, options.host, options.port) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
