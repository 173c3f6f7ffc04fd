"""`make docs`: writes the variable tables into README.md and roles/*/README.md.

Everything in the tables comes from service.yml, meta/argument_specs.yml and the platform's own options; what stands
between the markers is replaced, the rest of each file is left alone. `--check` writes nothing and fails when a file
would change.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- (?P<name>[a-z]+) -->\n).*?(<!-- /(?P=name) -->)", re.DOTALL)


def cell(text: Any) -> str:
    """Text as it may stand in a table's cell: one line, no bars."""
    return " ".join(str(text).split()).replace("|", "\\|")


def description(option: Mapping[str, Any]) -> str:
    """An option's description, and what it may be."""
    text = option.get("description", "")
    text = " ".join(text) if isinstance(text, list) else text
    if option.get("choices"):
        text += f" One of {', '.join(f'`{choice}`' for choice in option['choices'])}."
    return cell(text)


def default(option: Mapping[str, Any]) -> str:
    """An option's default as YAML in one line."""
    if option.get("required"):
        return "**required**"
    if option.get("default") is None:
        return ""
    text = yaml.safe_dump(option["default"], default_flow_style=True, width=10**6)
    return f"`{cell(text.removesuffix(chr(10)).removesuffix('...').strip())}`"


def option_rows(options: Mapping[str, Any], prefix: str = "") -> list[str]:
    """A row for each option; the keys of a dictionary or of a list's items follow it."""
    rows = []
    for name, option in options.items():
        kind = option.get("type", "str")
        kind = f"{kind} of {option['elements']}" if option.get("elements") else kind
        rows.append(f"| `{prefix}{name}` | {kind} | {default(option)} | {description(option)} |")
        inner = option.get("options")
        if inner:
            mark = "[]." if option.get("elements") else "."
            rows.extend(option_rows(inner, f"{prefix}{name}{mark}"))
    return rows


def option_table(options: Mapping[str, Any]) -> str:
    """A table of variables."""
    head = ["| variable | type | default | what it is |", "|---|---|---|---|"]
    return "\n".join(head + option_rows(options)) + "\n"


def load(path: Path) -> dict[str, Any]:
    """A YAML file, or nothing where there is none."""
    return (yaml.safe_load(path.read_text()) or {}) if path.is_file() else {}


def options_of(role: Path) -> dict[str, Any]:
    """A role's variables as its argument_specs describe them."""
    specs = load(role / "meta" / "argument_specs.yml").get("argument_specs", {})
    return specs.get("main", {}).get("options", {})


def services_table(roles: list[Path]) -> str:
    """Every service, in deploy order."""
    services = [(role, load(role / "service.yml")) for role in roles]
    services = sorted((item for item in services if item[1]), key=lambda item: item[1].get("order", 50))
    rows = ["| service | what it is | runs on | name | version |", "|---|---|---|---|---|"]
    for role, service in services:
        variables = service.get("variables", {})
        routes = service.get("http", {}).get("routes", [{"guard": "internal"}])
        # Only what people reach has a name for them.
        name = variables.get(f"{role.name}_hostname") if routes[0]["guard"] != "internal" else None
        image: dict[str, str] = next(iter(service.get("images", {}).values()), {})
        version = re.sub(r"(@sha256:.{12}).*", r"\1…", str(variables.get(image.get("version"), "")))
        cells = [
            f"[{service['title']}](roles/{role.name}/README.md) `{role.name}`",
            cell(service.get("description", "")),
            f"{service['tier']} hosts",
            f"`{name}`" if name else "internal",
            f"`{version}`" if version else "",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def blocks(path: Path) -> dict[str, str]:
    """The text for each marker of one README."""
    if path.parent != ROOT:
        return {"variables": option_table(options_of(path.parent))}
    sys.path.insert(0, str(ROOT / "collections"))
    from ansible_collections.hearth.llm.plugins.module_utils import platform

    per_service = {f"<service>_{name}": option for name, option in platform.PER_SERVICE.items()}
    per_service["<service>_replicas"] = platform.REPLICAS
    roles = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
    return {
        "services": services_table(roles),
        "variables": option_table({**platform.OPTIONS, **per_service}),
    }


def fill(path: Path) -> str:
    """The text of a README with its blocks brought up to date."""
    made = blocks(path)
    return BLOCK.sub(
        lambda match: match[1] + made[match["name"]] + match[3] if match["name"] in made else match[0],
        path.read_text(),
    )


def readmes() -> list[Path]:
    """The files that may have tables."""
    return [ROOT / "README.md", *sorted(ROOT.glob("roles/*/README.md"))]


def main() -> int:
    """Write, or with --check compare; returns the exit status."""
    stale = [path for path in readmes() if fill(path) != path.read_text()]
    names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
    if "--check" in sys.argv:
        if stale:
            print(f"not up to date: {names}; run make docs")
        return bool(stale)
    for path in stale:
        path.write_text(fill(path))
    print(f"written: {names}" if stale else "the tables are up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
