"""Who may see an application: the policy bindings on it."""

from . import models
from .expressions import evaluate
from .store import Objects, Row
from .users import all_groups


def allowed(objects: Objects, application: Row, user: Row) -> bool:
    """Everyone who is signed in, where nothing is bound; administrators are no exception where something is."""
    bindings = [row for row in objects.find(models.BINDING, target=application["pk"]) if row["enabled"]]
    results = [_passes(objects, binding, user) for binding in bindings]
    if not results:
        return True
    return all(results) if application["policy_engine_mode"] == "all" else any(results)


def _passes(objects: Objects, binding: Row, user: Row) -> bool:
    if binding.get("group"):
        result = binding["group"] in [group["pk"] for group in all_groups(objects, user)]
    elif binding.get("user"):
        result = binding["user"] == user["pk"]
    else:
        policy = objects.get(models.EXPRESSION, binding["policy"])
        try:
            result = bool(policy and evaluate(objects, policy["expression"], user))
        except Exception:
            return bool(binding["failure_result"])
    return not result if binding["negate"] else result
