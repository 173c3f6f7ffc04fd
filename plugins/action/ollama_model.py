# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hearth.llm.ollama_model on the controller: reads the list and its files, and follows the host's job."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils.models import Model, read_models
from ..module_utils.ollama_modelfile import ModelfileError, definition
from ..module_utils.problems import Problem, report, show
from ..plugin_utils import platform_run
from ..plugin_utils.follow import amount
from ..plugin_utils.on_host import follow_module, run_module

_ROUNDS = 5
_CHUNK = 1 << 20


class ActionModule(ActionBase):
    """One call where nothing is to be done; else the job is started and followed."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        host = task_vars.get("inventory_hostname", "")
        folder = Path(task_vars.get("inventory_dir") or self._loader.get_basedir())
        prepared = prepare(self._task.args.get("models"), host, folder)
        options = {
            **self._task.args,
            "prepared": [{key: value for key, value in model.items() if key != "file"} for model in prepared],
        }
        files: dict[str, str] = {}
        answer = self._rounds(options, files, prepared, host, task_vars)
        if task_vars.get("hearth_compares"):
            name = options.get("container", "ollama")
            reasons = [f"model {step['model']} {step['why']}" for step in answer["planned"]]
            row = {"host": host, "name": name, "changed": bool(reasons), "reasons": reasons}
            platform_run.keep(f"compared/{host}-{name}-models", row)
        return {**result, **answer}

    def _rounds(
        self,
        options: dict[str, Any],
        files: dict[str, str],
        prepared: Sequence[Mapping[str, Any]],
        host: str,
        task_vars: dict[str, Any],
    ) -> dict[str, Any]:
        """Ask the host until nothing is missing: a round may end with files to send, or with another run's job."""
        changed = False
        for _round in range(_ROUNDS):
            answer = self._module({**options, "files": files}, task_vars)
            if answer.get("missing"):
                files = self._send(answer["missing"], prepared, host)
                continue
            if "job" not in answer:
                return {**answer, "changed": changed or answer["changed"]}
            ended = self._follow(options, answer, task_vars)
            changed = changed or bool(ended.get("changed"))
            if not answer.get("joined"):
                return {**_shown(answer), **outcome(ended), "changed": changed}
        raise AnsibleActionFail(
            f"other runs kept changing the models of {host}; try again when they are through"
        )

    def _follow(
        self, options: dict[str, Any], started: dict[str, Any], task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        name = str(options.get("container", "ollama"))
        return follow_module(self, "ollama_model", options, started, name, task_vars)

    def _send(
        self, missing: Sequence[str], prepared: Sequence[Mapping[str, Any]], host: str
    ) -> dict[str, str]:
        """Put GGUF files on the host; where each one is, by its sha256."""
        if not self._connection._shell.tmpdir:
            self._make_tmp_path()
        sent = {}
        for model in prepared:
            blob = model.get("blob")
            if blob not in missing or blob in sent:
                continue
            if model["digest"] and sha256(model["file"]) != model["digest"]:
                raise AnsibleActionFail(
                    f"{model['name']}: {model['file']} is not the file with sha256 {model['digest']}. "
                    "Fetch it again, or correct `digest`"
                )
            Display().display(f" {host:<7} sending {Path(model['file']).name}, {amount(model['size'])}")
            target = self._connection._shell.join_path(self._connection._shell.tmpdir, f"{blob}.gguf")
            sent[blob] = self._transfer_file(model["file"], target)
        self._fixup_perms2((self._connection._shell.tmpdir, *sent.values()))
        return sent

    def _module(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        answer = run_module(self, "ollama_model", options, task_vars)
        answer.pop("invocation", None)
        return answer


def prepare(value: Any, host: str, folder: Path) -> list[dict[str, Any]]:
    """The models as the host's module wants them. Raises AnsibleActionFail with every problem at once.

    folder: what relative paths start from. Adds `definition`, and for a GGUF `blob`, `size` (bytes) and `file`.
    """
    models, found = read_models(value)
    problems = [
        Problem(
            host,
            f"models{item['where']}",
            None if item["value"] is None else show(item["value"]),
            item["expected"],
            item["remedy"],
        )
        for item in found
    ]
    prepared = []
    for model in models:
        try:
            prepared.append(_prepare_one(model, folder))
        except (OSError, ModelfileError) as error:
            expected = f"a file that can be read ({error})" if isinstance(error, OSError) else str(error)
            remedy = f"relative paths start in {folder}" if isinstance(error, OSError) else "mend it"
            problems.append(Problem(host, f"models: {model.name}", model.path or None, expected, remedy))
    if problems:
        raise AnsibleActionFail(report(problems, "models"))
    return prepared


def _prepare_one(model: Model, folder: Path) -> dict[str, Any]:
    prepared: dict[str, Any] = {**model.as_dict(), "definition": {}}
    if model.state == "absent":
        return prepared
    text = model.modelfile
    if text and "\n" not in text:
        text = (folder / Path(text).expanduser()).read_text(encoding="utf-8")
    prepared["definition"] = definition(text, model.parameters)
    if model.source == "gguf":
        file = folder / Path(model.path).expanduser()
        size = file.stat().st_size
        prepared.update(file=str(file), size=size, blob=model.digest or sha256(str(file)))
    return prepared


def sha256(path: str) -> str:
    """The digest of a file of any size, in lower-case hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def outcome(ended: Mapping[str, Any]) -> dict[str, Any]:
    """The task's result from the job's."""
    if "error" in ended:
        return {
            "changed": True,
            "failed": True,
            "msg": f"{ended['error']}. Run again: what has arrived is kept.",
        }
    refused = ended["refused"]
    if not refused:
        return dict(ended)
    lines = [f"{item['model']}: {item['message']}\n  → {item['remedy']}" for item in refused]
    what = "a model" if len(refused) == 1 else f"{len(refused)} models"
    return {**ended, "failed": True, "msg": "\n".join([f"{what} could not be had:", *lines])}


def _shown(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {key: answer[key] for key in ("planned", "diff") if key in answer}
