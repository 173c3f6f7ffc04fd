"""Runs on a host of the lab, or in the network of one of its containers: tries what it is told, all at once.

Standard input: JSON, a list of {address, port, protocol, source?, timeout, host?, path?, headers?}; with `host` it is
HTTPS. Standard output: for each {reached, status?, location?, error?}. Standard library only.
"""

import json
import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# A question for the root's name servers, which any name server has an answer to, be it a refusal.
DNS_QUESTION = bytes.fromhex("1234 0100 0001 0000 0000 0000 00 0002 0001".replace(" ", ""))


def attempt(cell: dict[str, Any]) -> dict[str, Any]:
    try:
        if cell["protocol"] == "udp":
            return _ask_udp(cell)
        source = (cell["source"], 0) if cell.get("source") else None
        with socket.create_connection((cell["address"], cell["port"]), cell["timeout"], source) as connection:
            if cell.get("host"):
                return _ask_https(connection, cell)
            return {"reached": True}
    except OSError as error:
        return {"reached": False, "error": str(error)}


def _ask_udp(cell: dict[str, Any]) -> dict[str, Any]:
    with socket.socket(
        socket.AF_INET6 if ":" in cell["address"] else socket.AF_INET, socket.SOCK_DGRAM
    ) as asking:
        asking.settimeout(cell["timeout"])
        if cell.get("source"):
            asking.bind((cell["source"], 0))
        asking.connect((cell["address"], cell["port"]))
        asking.send(DNS_QUESTION)
        asking.recv(512)
        return {"reached": True}


def _ask_https(connection: socket.socket, cell: dict[str, Any]) -> dict[str, Any]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection.settimeout(cell["timeout"] * 5)  # whoever lets it in may think about it
    with context.wrap_socket(connection, server_hostname=cell["host"]) as secured:
        headers = {"Host": cell["host"], "Connection": "close", **cell.get("headers", {})}
        lines = [f"GET {cell['path']} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        secured.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        with secured.makefile("rb") as answer:
            status = int(answer.readline().split()[1])
            found = dict(
                line.decode("latin-1").partition(":")[::2] for line in iter(answer.readline, b"\r\n") if line
            )
    location = next((value.strip() for name, value in found.items() if name.lower() == "location"), "")
    return {"reached": True, "status": status, "location": location}


if __name__ == "__main__":
    with ThreadPoolExecutor(16) as pool:
        json.dump(list(pool.map(attempt, json.load(sys.stdin))), sys.stdout)
