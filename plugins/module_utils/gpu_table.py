# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts, cards, models and their speed as one table that a person reads at a glance, and below it what is wrong."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

_GIB = 2**30
_HEADING = ("host", "card", "memory used", "model", "runs on", "context", "tokens/s")


def text(hosts: Sequence[Mapping[str, Any]]) -> str:
    """The table of hosts: {host, cards (of gpu_info), services: [{name, models (of model_speed), checks, error}]}."""
    rows: list[tuple[str, ...]] = [_HEADING]
    for host in hosts:
        left = _cards(host)
        right = [cells for service in host["services"] for cells in _models(service)] or [("", "", "", "")]
        for line in range(max(len(left), len(right))):
            name = host["host"] if line == 0 else ""
            rows.append((name, *_at(left, line, 2), *_at(right, line, 4)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADING))]
    lines = [
        " " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, *_wrong(hosts)])


def _at(cells: Sequence[tuple[str, ...]], line: int, width: int) -> tuple[str, ...]:
    return cells[line] if line < len(cells) else ("",) * width


def _cards(host: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for card in host["cards"]:
        used = "?" if card["used"] is None else f"{card['used'] / _GIB:.1f}"
        whole = "?" if card["usable"] is None else f"{card['usable'] / _GIB:.1f} GiB"
        found.append((f"{card['index']} {card['name']}", f"{used} of {whole}"))
    return found or [("none", "")]


def _models(service: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    if service["error"]:
        return [(f"{service['name']} does not answer", "", "", "")]
    return [
        (
            row["model"],
            _place(row["on_card"]) if "on_card" in row else "",
            str(row["context"] or ""),
            _speed(row),
        )
        for row in service["models"]
    ] or [(f"{service['name']} has no models", "", "", "")]


def _place(share: float | None) -> str:
    if share is None:
        return "not loaded"
    return "card" if share == 1 else "processor" if share == 0 else f"card {share:.0%}"


def _speed(row: Mapping[str, Any]) -> str:
    if row["error"]:
        return "failed"
    return f"{row['tokens_per_second']:.1f}" if row["tokens_per_second"] is not None else ""


def _wrong(hosts: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"\n {host}  {service}: {name}\n     {found}\n     → {remedy}"
        for host, service, name, found, remedy in problems(hosts)
    ]


def problems(
    hosts: Sequence[Mapping[str, Any]], verdicts: Collection[str] = ("wrong", "risk")
) -> list[tuple[str, str, str, str, str]]:
    """(host, service, what, found, remedy) of everything that is wrong or a risk, or only of these verdicts."""
    found = []
    for host in hosts:
        for service in host["services"]:
            logs = f"docker logs {service['name']}"
            told = [("server", service["error"], f"docker ps -a; {logs}")] if service["error"] else []
            told += [(row["model"], row["error"], logs) for row in service["models"] if row["error"]]
            told += [
                (
                    check["name"] + (" (a risk)" if check["verdict"] == "risk" else ""),
                    check["found"],
                    check["remedy"],
                )
                for check in service["checks"]
                if check["verdict"] in verdicts
            ]
            found += [(host["host"], service["name"], *item) for item in told]
    return found
