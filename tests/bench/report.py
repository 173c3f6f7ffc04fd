"""results.json, the table and the plot in docs/performance.md."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .farm import ROOT
from .figures import Figure

RESULTS = Path(__file__).resolve().parent / "results.json"
PAGE = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "catalogue.svg"
_BEGIN, _END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"


def save(figures: Sequence[Figure], versions: Mapping[str, str]) -> list[dict[str, Any]]:
    """Put new figures in the place of older ones of the same name; figures of parts that did not run stay.

    `load` is the machine's load average over five minutes: ours is bound by the CPU, the bare loops mostly wait.
    """
    old = json.loads(RESULTS.read_text())["figures"] if RESULTS.is_file() else []
    rows = {row["name"]: row for row in old}
    for figure in figures:
        rows[figure.name] = _rounded({**figure.row(), "commit": commit(), "load": os.getloadavg()[1]})
    kept = list(rows.values())
    RESULTS.write_text(
        json.dumps({"versions": versions, "figures": kept}, indent=2, ensure_ascii=False) + "\n"
    )
    return kept


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    def short(value: Any) -> Any:
        if isinstance(value, float):
            return round(value, 4)
        return [short(item) for item in value] if isinstance(value, (list, tuple)) else value

    return {key: short(value) for key, value in row.items()}


def write_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """The table between its markers in the page."""
    head = "| what | against | figure (spread) | limit | ours | theirs | |\n|---|---|---|---|---|---|---|\n"
    text = PAGE.read_text()
    before, _begin, rest = text.partition(_BEGIN)
    after = rest.partition(_END)[2]
    PAGE.write_text(f"{before}{_BEGIN}\n{head}{''.join(map(line, rows))}{_END}{after}")


def line(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return f"| {row['what']} | {row['against']} | not run: {row['note']} | | | | |\n"
    unit = " ×" if row["unit"] == "×" else f" {row['unit']}"
    low, high = row["spread"]
    limit = "" if row["limit"] is None else f"{row['limit']:.3g}{unit}"
    word = "" if row["limit"] is None else "kept" if row["kept"] else "**missed**"
    ours, base = (
        "" if value is None else f"{value:.3g} {row['absolute']}" for value in (row["ours"], row["base"])
    )
    figure = f"{row['value']:.3g}{unit} ({low:.3g} to {high:.3g})"
    return f"| {row['what']} | {row['against']} | {figure} | {limit} | {ours} | {base} | {word} |\n"


def plot(points: Mapping[int, float], limit: float) -> None:
    """CPU seconds over hosts as an SVG, with a straight line through the largest size and the limit at 200 hosts."""
    width, height, left, bottom = 560, 300, 60, 40
    most_hosts = max(points)
    most_seconds = max(*points.values(), limit) * 1.1

    def place(hosts: float, seconds: float) -> tuple[float, float]:
        x = left + hosts / most_hosts * (width - left - 20)
        return round(x, 1), round(height - bottom - seconds / most_seconds * (height - bottom - 20), 1)

    parts = []
    zero, end = place(0, 0), place(most_hosts, points[most_hosts])
    parts.append(
        f'<line x1="{zero[0]}" y1="{zero[1]}" x2="{end[0]}" y2="{end[1]}" stroke="#bbb" stroke-dasharray="4"/>'
    )
    x, y = place(200, limit)
    parts.append(f'<line x1="{x - 14}" y1="{y}" x2="{x + 14}" y2="{y}" stroke="#c33" stroke-width="2"/>')
    parts.append(f'<text x="{x}" y="{y - 6}" text-anchor="middle" fill="#c33">limit {limit:g} s</text>')
    for hosts, seconds in sorted(points.items()):
        x, y = place(hosts, seconds)
        parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="#26a"/>')
        parts.append(f'<text x="{x}" y="{y - 9}" text-anchor="middle">{seconds:.2f}</text>')
        parts.append(f'<text x="{x}" y="{height - bottom + 16}" text-anchor="middle">{hosts}</text>')
    parts.append(f'<path d="M{left} 20V{height - bottom}H{width - 20}" fill="none" stroke="#333"/>')
    parts.append(
        f'<text x="{(width + left) / 2}" y="{height - 6}" text-anchor="middle">hosts, 15 services each</text>'
    )
    parts.append(
        f'<text x="16" y="{height / 2}" transform="rotate(-90 16 {height / 2})" text-anchor="middle">CPU seconds</text>'
    )
    body, font = "\n".join(parts), 'font-family="sans-serif" font-size="12"'
    PLOT.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {font}>\n'
        f'<rect width="{width}" height="{height}" fill="#fff"/>\n{body}\n</svg>\n'
    )


def commit() -> str:
    """The commit measured, with a + where the product differs from it."""
    head = _git("rev-parse", "--short", "HEAD")
    return head + (
        "+" if _git("status", "--porcelain", "--", "plugins", "playbooks", "roles", "ansible.cfg") else ""
    )


def versions(more: Mapping[str, str]) -> dict[str, str]:
    """What was measured with."""
    found = {name: version(name) for name in ("ansible-core", "jinja2", "netaddr")}
    return {"python": platform.python_version(), **found, **more}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
