# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How old each secret is, and whether it should have been replaced by now. Names and dates, never values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from .closing import columns

Row = Mapping[str, Any]


def ages(
    secrets: Mapping[str, Mapping[str, Any]],
    metadata: Mapping[str, Any],
    rotating: Collection[str],
    today: date,
) -> list[dict[str, Any]]:
    """A row for each secret: {name, service, rotate, made, days, limit, overdue, rotating}.

    secrets: the fleet's; metadata: the inventory's `hearth_secrets`; rotating: names that have an old value beside the
    new one. `days` is None where nobody wrote down when the secret was made, `limit` where it is never rotated.
    """
    rows = []
    for name, secret in secrets.items():
        made = made_on(metadata.get(name))
        days = (today - made).days if made else None
        limit = None if secret["rotate"] == "never" else secret["days"]
        rows.append(
            {
                "name": name,
                "service": secret["service"] or "hearth",
                "rotate": secret["rotate"],
                "made": made.isoformat() if made else None,
                "days": days,
                "limit": limit,
                "overdue": days is not None and limit is not None and days > limit,
                "rotating": name in rotating,
            }
        )
    return rows


def made_on(note: Any) -> date | None:
    """The day in an entry of `hearth_secrets`; None where it says none."""
    try:
        return date.fromisoformat(str(note["made"]))
    except (KeyError, TypeError, ValueError):
        return None


def generation(note: Any) -> int:
    """How often a secret was replaced, from its entry of `hearth_secrets`; 0 where nobody counted."""
    try:
        return int(note["generation"])
    except (KeyError, TypeError, ValueError):
        return 0


def text(rows: Sequence[Row]) -> str:
    """The table of all secrets, then what to do about those that are too old or half replaced."""
    table = columns((f"vault_{row['name']}", row["service"], _age(row), _policy(row)) for row in rows)
    return "\n".join([table, *warnings(rows)]) + "\n"


def warnings(rows: Iterable[Row]) -> list[str]:
    """What needs somebody's attention."""
    found = []
    for row in rows:
        command = f"ansible-playbook … playbooks/rotate-secrets.yml -e secret={row['name']}"
        if row["rotating"]:
            found.append(f" vault_{row['name']}: its old value is still there\n → {command}")
        elif row["overdue"]:
            found.append(
                f" vault_{row['name']}: {row['days']} days old, wanted at most {row['limit']}\n → {command}"
            )
    return found


def _age(row: Row) -> str:
    if row["days"] is None:
        return "age unknown"
    return f"made {row['made']}, {row['days']} days ago"


def _policy(row: Row) -> str:
    if row["limit"] is None:
        return "never rotated"
    return f"rotated by {row['rotate']}, after {row['limit']} days" + (", OVERDUE" if row["overdue"] else "")
