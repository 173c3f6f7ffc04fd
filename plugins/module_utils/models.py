# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The list of models that an operator writes, as typed data or as problems.

An item is a name, or a dictionary when more is to be said:

    ollama_models:
      - qwen2.5-coder:14b
      - {name: house, source: gguf, path: models/house.gguf, modelfile: models/Modelfile, parameters: {num_ctx: 8192}}

What is wrong is returned as plain dictionaries whose `where` is only the suffix after the list's own name
(`[1].source`), so that the caller can put the name of the variable and the host before it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

KINDS = ("chat", "embedding")
SOURCES = ("registry", "gguf")
STATES = ("present", "absent")

_HOST = r"(?:https?://)?[A-Za-z0-9_][A-Za-z0-9_.:-]*"
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"
_REFERENCE = re.compile(rf"(?:(?:{_HOST}/)?[A-Za-z0-9_][A-Za-z0-9_-]{{0,79}}/)?{_PART}(?::{_PART})?")
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{12,64})")
_EMBEDDING = re.compile(
    r"(?:^|[/_.-])(?:embed|embedding|embeddinggemma|minilm|bge|e5|gte|paraphrase)(?:[/_.:-]|\d|$)"
)
_DEFAULT_HOST = "registry.ollama.ai"
_DEFAULT_NAMESPACE = "library"


@dataclass(frozen=True)
class Model:
    """One model that a host shall have.

    name: what clients ask for. reference: what is pulled (`from`), the name itself where nothing else is given.
    path: a GGUF file on the controller. modelfile: its text, or a path. parameters: Ollama's options, lists for those
    that repeat (`stop`). digest: sha256 in lower-case hex, of the manifest for a registry's model (12 digits or more,
    as `ollama list` shows it), of the file for a GGUF (all 64). spill: may run on the processor in part where
    it does not fit its host's cards.
    """

    name: str
    kind: str = "chat"
    source: str = "registry"
    reference: str = ""
    path: str = ""
    modelfile: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""
    about: str = ""
    state: str = "present"
    spill: bool = False

    @property
    def insecure(self) -> bool:
        """Whether its registry is spoken to without TLS."""
        return self.reference.startswith("http://")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


_KEYS = tuple("from" if item.name == "reference" else item.name for item in fields(Model))


def parse_models(value: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The models that shall be there, as plain data for the catalogue (Model(**item) is the way back); the problems.

    What is listed to be removed (`state: absent`) is checked too, but is nothing that a host serves.
    """
    models, problems = read_models(value)
    return [model.as_dict() for model in models if model.state == "present"], problems


def read_models(value: Any) -> tuple[list[Model], list[dict[str, Any]]]:
    """The models that a list describes, and what is wrong with it.

    A problem is {where: '[0].source', value: as written, expected, remedy}. Models with a problem are left out of the
    first list; a list without problems is complete.
    """
    if value is None:
        return [], []
    if not isinstance(value, (list, tuple)):
        return [], [_problem("", value, "a list of models", "write one model a line, each after a dash")]
    models: list[Model] = []
    problems: list[dict[str, Any]] = []
    first: dict[str, int] = {}
    for index, item in enumerate(value):
        model, wrong = _parse_one(f"[{index}]", item)
        problems += wrong
        if model is None:
            continue
        known = canonical(model.name).lower()
        if known in first:
            problems.append(
                _problem(
                    f"[{index}].name",
                    model.name,
                    f"a name of its own; [{first[known]}] has it too",
                    "remove one of them",
                )
            )
            continue
        first[known] = index
        models.append(model)
    return models, problems


def canonical(name: str) -> str:
    """A model's name as Ollama lists it: with its tag, without the default registry, namespace and scheme."""
    rest = re.sub(r"^https?://", "", name)
    head, slash, last = rest.rpartition("/")
    if ":" not in last:
        last += ":latest"
    parts = head.split("/") if slash else []
    if parts and parts[0] == _DEFAULT_HOST:
        parts = parts[1:]
    if parts == [_DEFAULT_NAMESPACE]:
        parts = []
    return "/".join([*parts, last])


def guess_kind(name: str) -> str:
    """`embedding` for names that say so (nomic-embed-text, bge-m3, all-minilm), else `chat`."""
    return "embedding" if _EMBEDDING.search(name.lower()) else "chat"


def _parse_one(where: str, item: Any) -> tuple[Model | None, list[dict[str, Any]]]:
    if isinstance(item, str):
        item = {"name": item}
        suffix_of_name = where
    else:
        suffix_of_name = f"{where}.name"
    if not isinstance(item, Mapping):
        return None, [
            _problem(where, item, "a model's name, or a dictionary with `name`", "write it as text: '…'")
        ]
    problems = _unknown_keys(where, item)
    name = item.get("name")
    if not isinstance(name, str) or not _REFERENCE.fullmatch(name) or "://" in name:
        problems.append(
            _problem(
                suffix_of_name,
                name,
                "a model's name such as qwen2.5:0.5b",
                "letters, digits, . _ - and at most one tag after a colon; a registry's address goes into `from`",
            )
        )
        return None, problems
    problems += _wrong_choices(where, item) + _wrong_values(where, item) + _wrong_together(where, item)
    if problems:
        return None, problems
    source = item.get("source", "registry")
    return Model(
        name=name,
        kind=item.get("kind", guess_kind(name)),
        source=source,
        reference=item.get("from") or (name if source == "registry" else ""),
        path=item.get("path") or "",
        modelfile=item.get("modelfile") or "",
        parameters=dict(item.get("parameters") or {}),
        digest=_digits(item.get("digest") or ""),
        about=item.get("about") or "",
        state=item.get("state", "present"),
        spill=item.get("spill") or False,
    ), []


def _unknown_keys(where: str, item: Mapping[str, Any]) -> list[dict[str, Any]]:
    problems = []
    for key in item:
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, n=1)
            remedy = f"did you mean {near[0]}?" if near else "remove it"
            problems.append(_problem(f"{where}.{key}", item[key], f"one of {', '.join(_KEYS)}", remedy))
    return problems


def _wrong_choices(where: str, item: Mapping[str, Any]) -> list[dict[str, Any]]:
    problems = []
    for key, allowed in (("kind", KINDS), ("source", SOURCES), ("state", STATES)):
        if key in item and item[key] not in allowed:
            near = difflib.get_close_matches(str(item[key]), allowed, n=1)
            remedy = f"did you mean {near[0]}?" if near else f"leave it out for {allowed[0]}"
            problems.append(_problem(f"{where}.{key}", item[key], f"one of {', '.join(allowed)}", remedy))
    return problems


def _wrong_values(where: str, item: Mapping[str, Any]) -> list[dict[str, Any]]:
    problems = []
    for key in ("path", "modelfile", "about", "from", "digest"):
        if item.get(key) is not None and not isinstance(item[key], str):
            problems.append(_problem(f"{where}.{key}", item[key], "text", "put it into quotes"))
    if item.get("spill") is not None and not isinstance(item["spill"], bool):
        problems.append(_problem(f"{where}.spill", item["spill"], "true or false", "write it without quotes"))
    reference = item.get("from")
    if isinstance(reference, str) and reference and not _REFERENCE.fullmatch(reference):
        problems.append(
            _problem(
                f"{where}.from",
                reference,
                "[http://HOST:PORT/NAMESPACE/]NAME[:TAG]",
                "write it as `ollama pull` takes it",
            )
        )
    digest = item.get("digest")
    if isinstance(digest, str) and digest and not _digits(digest):
        problems.append(
            _problem(
                f"{where}.digest",
                digest,
                "12 to 64 lower-case hexadecimal digits",
                "copy it from `ollama list`",
            )
        )
    parameters = item.get("parameters")
    if parameters is not None and not (
        isinstance(parameters, Mapping) and all(_is_parameter(value) for value in parameters.values())
    ):
        problems.append(
            _problem(
                f"{where}.parameters",
                parameters,
                "a dictionary of numbers, texts, booleans, or lists of texts",
                "for example {num_ctx: 8192, stop: ['<|end|>']}",
            )
        )
    return problems


def _wrong_together(where: str, item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Keys that are missing beside others, or stand where they have no meaning."""
    if item.get("state") == "absent":
        return []
    problems = []
    digest = _digits(item["digest"]) if isinstance(item.get("digest"), str) else ""
    if item.get("source") == "gguf":
        if not item.get("path"):
            problems.append(_problem(f"{where}.path", None, "the GGUF file on the controller", "add `path`"))
        if item.get("from"):
            problems.append(
                _problem(
                    f"{where}.from", item["from"], "nothing: this model comes from a file", "remove `from`"
                )
            )
        if digest and len(digest) != 64:
            problems.append(
                _problem(
                    f"{where}.digest",
                    digest,
                    "all 64 digits of the file's sha256",
                    "take them from `sha256sum`",
                )
            )
        return problems
    if item.get("path"):
        problems.append(
            _problem(
                f"{where}.path",
                item["path"],
                "nothing: this model comes from a registry",
                "add `source: gguf`",
            )
        )
    changed = [key for key in ("modelfile", "parameters") if item.get(key)]
    base = item.get("from")
    own = not base or canonical(str(base)) == canonical(str(item.get("name", "")))
    if own and ("modelfile" in changed or (changed and digest)):
        problems.append(
            _problem(
                f"{where}.from",
                base,
                "the registry's model that this one is made from, under another name than its own",
                "add `from`, so that what was pulled can still be told from what was made of it",
            )
        )
    return problems


def _is_parameter(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return bool(value) and all(isinstance(item, str) for item in value)
    return isinstance(value, (str, int, float, bool))


def _digits(text: str) -> str:
    match = _DIGEST.fullmatch(text)
    return match.group(1) if match else ""


def _problem(where: str, value: Any, expected: str, remedy: str) -> dict[str, Any]:
    return {"where": where, "value": value, "expected": expected, "remedy": remedy}
