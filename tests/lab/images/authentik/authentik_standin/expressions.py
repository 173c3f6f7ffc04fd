"""Expression policies and scope mappings: Python bodies with `return`, as authentik evaluates them."""

import textwrap
from types import CodeType, SimpleNamespace
from typing import Any

from .store import Objects, Row
from .users import all_groups, is_superuser, uid


def compiled(expression: str) -> CodeType:
    """The body of a function of no arguments; SyntaxError where it is none."""
    body = textwrap.indent(expression.strip() or "pass", "    ")
    return compile(f"def expression():\n{body}\nresult = expression()\n", "expression", "exec")


def evaluate(objects: Objects, expression: str, user: Row, **context: Any) -> Any:
    """The expression's value for a user; whatever it raises is the caller's to handle."""
    person = _person(objects, user)
    names = [group["name"] for group in all_groups(objects, user)]

    def ak_is_group_member(_user: Any, name: str = "", **_more: Any) -> bool:
        return name in names

    variables: dict[str, Any] = {
        "user": person,
        "request": SimpleNamespace(user=person, context=context),
        "context": context,
        "ak_is_group_member": ak_is_group_member,
        "ak_message": lambda _message: None,
        **context,
    }
    exec(compiled(expression), variables)
    return variables["result"]


def _person(objects: Objects, user: Row) -> SimpleNamespace:
    groups = [SimpleNamespace(**group) for group in all_groups(objects, user)]
    attributes: Row = {}
    for group in groups:
        attributes |= group.attributes
    attributes |= user["attributes"]

    def every() -> list[SimpleNamespace]:
        return groups

    return SimpleNamespace(
        **user
        | {
            "uid": uid(user),
            "is_superuser": is_superuser(objects, user),
            "groups": SimpleNamespace(all=every),
            "ak_groups": SimpleNamespace(all=every),
            "all_groups": every,
            "group_attributes": lambda _request=None: attributes,
            "app_entitlements": lambda _application: [],
        }
    )
