#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hearth.llm.ollama_model"""

from __future__ import annotations

DOCUMENTATION = r"""
module: ollama_model
short_description: Give an Ollama the models that it should have
version_added: 0.1.0
description:
  - Takes the whole list of models at once, and does only what is missing. Pulls from a registry, makes models of GGUF
    files that lie on the controller, makes models of other models with parameters of their own, and removes models.
  - The work is done by a job on the host that outlives the connection. Its progress is shown while it lasts. When the
    controller goes away, the job goes on, and the next run follows it to its end before it looks for more to do.
  - A model that cannot be had does not keep the others from coming, and what served before serves on.
author: The Hearth authors (@hearth)
options:
  models:
    description:
      - Names of models, or dictionaries with the keys below.
      - C(name), what clients ask for. The only key that every model needs.
      - C(kind), V(chat) or V(embedding). Told from the name when it is left out. This module does not use it.
      - C(source), V(registry), which is the default, or V(gguf).
      - C(from), the registry's reference when it differs from the name, for example V(qwen2.5:7b) or
        V(http://box:5050/library/tiny:latest). With V(http://) the registry is spoken to without TLS.
      - C(path), the GGUF file on the controller, absolute or relative to the inventory's directory.
      - C(modelfile), its text when it has more than one line, else a path like C(path). C(FROM) in it is ignored. With
        a registry's model it needs C(from).
      - C(parameters), a dictionary of Ollama's parameters, for example C(num_ctx). They win over the Modelfile's.
      - C(digest), the sha256 that is wanted. For a registry's model that of its manifest, 12 digits or more, as
        C(ollama list) shows it. For a GGUF that of the file. A big file with a digest is not read anew in every run.
      - C(about), free text for the operator.
      - C(spill), whether it may run on the processor in part where it does not fit the host's cards. Without it the
        preflight refuses such a model. This module does not use it.
      - C(state), V(present), which is the default, or V(absent).
      - A model that is not in the list is left alone.
    type: list
    elements: raw
    required: true
  url:
    description: Where this host reaches Ollama. Found out from the container when it is left out.
    type: str
  container:
    description: The container that Ollama runs in.
    type: str
    default: ollama
  port:
    description: Ollama's port in the container.
    type: int
    default: 11434
  state_dir:
    description: Where the job keeps its progress, in C(jobs/ollama_model-CONTAINER).
    type: path
    default: /var/lib/hearth
  timeout:
    description: Seconds to wait for Ollama to answer.
    type: int
    default: 60
  prepared:
    description: Set by the action plugin; the models as it has read them, their files' digests included.
    type: list
    elements: dict
  files:
    description: Set by the action plugin; where it has put GGUF files on this host, by their sha256.
    type: dict
    default: {}
  job:
    description: Set by the action plugin; the job to follow. Nothing else is done then.
    type: str
  offset:
    description: Set by the action plugin; up to where it has read the job's events.
    type: int
    default: 0
  wait:
    description: Set by the action plugin; seconds to wait for events.
    type: float
    default: 3
attributes:
  check_mode:
    description: Tells which models would be pulled, made or removed.
    support: full
  diff_mode:
    description: Shows the steps.
    support: full
notes:
  - Needs Docker on the host unless O(url) is given.
  - C(from) may name a model that the same list makes. That one is made first, never pulled, and what is made from it is
    made anew with it. A C(from) that names another model than before is noticed while that model is there.
  - What Ollama cannot tell is not noticed. A template that is taken out of a Modelfile, and a parameter that is no
    longer set for a model made of another one, stay until the model is removed and made again.
"""

EXAMPLES = r"""
- name: Have the models of this host
  hearth.llm.ollama_model:
    models: "{{ ollama_models }}"

- name: Every kind of source
  hearth.llm.ollama_model:
    models:
      - qwen2.5-coder:14b
      - {name: nomic-embed-text, kind: embedding}
      - {name: qwen2.5:0.5b, digest: a8b0c5157701}
      - {name: coder-long, from: qwen2.5-coder:14b, parameters: {num_ctx: 24320}}
      - {name: tiny, from: http://box.lan:5050/library/tiny:latest, about: "random weights: its words mean nothing"}
      - {name: house, source: gguf, path: models/house.gguf, modelfile: models/house.Modelfile}
      - {name: llama2, state: absent}
"""

RETURN = r"""
planned:
  description: What was to be done when the run began.
  returned: success
  type: list
  elements: dict
  sample: [{model: "qwen2.5:0.5b", do: [pull], why: missing}]
pulled:
  description: Models that came from a registry.
  returned: when something was to be done, and not in check mode
  type: list
  elements: str
created:
  description: Models that were made of a file or of another model.
  returned: when something was to be done, and not in check mode
  type: list
  elements: str
removed:
  description: Models that were removed.
  returned: when something was to be done, and not in check mode
  type: list
  elements: str
refused:
  description: Models that could not be had, with Ollama's message and what to do about it.
  returned: when something was to be done, and not in check mode
  type: list
  elements: dict
  sample: [{model: "qwen2.5:99b", message: "pull model manifest: file does not exist", remedy: "…"}]
seconds:
  description: How long the job worked.
  returned: when something was to be done, and not in check mode
  type: float
"""

import json
import shutil
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hearth.llm.plugins.module_utils import jobs, ollama
from ansible_collections.hearth.llm.plugins.module_utils._docker import Docker
from ansible_collections.hearth.llm.plugins.module_utils.models import canonical
from ansible_collections.hearth.llm.plugins.module_utils.ollama_work import Work


def main() -> None:
    """Follow a job, or look what is missing and start one."""
    module = AnsibleModule(
        argument_spec={
            "models": {"type": "list", "elements": "raw", "required": True},
            "url": {"type": "str"},
            "container": {"type": "str", "default": "ollama"},
            "port": {"type": "int", "default": 11434},
            "state_dir": {"type": "path", "default": "/var/lib/hearth"},
            "timeout": {"type": "int", "default": 60},
            "prepared": {"type": "list", "elements": "dict"},
            "files": {"type": "dict", "default": {}},
            "job": {"type": "str"},
            "offset": {"type": "int", "default": 0},
            "wait": {"type": "float", "default": 3},
        },
        supports_check_mode=True,
    )
    options = module.params
    directory = Path(options["state_dir"]) / "jobs" / f"ollama_model-{options['container']}"
    if options["job"]:
        module.exit_json(changed=False, **_followed(directory, options["job"], options))
    if options["prepared"] is None:
        module.fail_json(msg="models are read on the controller: call hearth.llm.ollama_model as an action")
    try:
        module.exit_json(**_present(module, directory))
    except ollama.OllamaError as error:
        module.fail_json(msg=f"{error}. {ollama.remedy(str(error))}".replace("..", "."))


def _present(module: AnsibleModule, directory: Path) -> dict[str, Any]:
    """{planned, changed}, and either the files that are missing here, or a job and its first events."""
    options = module.params
    running = jobs.running(directory)
    if running and not module.check_mode:
        return {"changed": False, "planned": [], "joined": True, **_followed(directory, running, options)}
    url, models_dir = _find(module)
    wanted = {model["name"]: model for model in options["prepared"]}
    if url is None:  # only in check mode: there is no Ollama yet, so it has nothing yet
        return _planned(ollama.steps(list(wanted.values()), {}, {}))
    client = ollama.Client(url)
    steps = _look(client, wanted, options["timeout"])
    if not steps or module.check_mode:
        return _planned(steps)
    missing = _missing(client, wanted, steps, options["files"])
    # With removals to come nobody knows yet how much room there will be.
    if all(step["do"] != ["delete"] for step in steps):
        missing = _with_room(missing, wanted, models_dir, directory)
    if missing:
        return {**_planned(steps), "missing": missing}
    files = _take_in(directory, options["files"])

    def run(journal: jobs.Journal) -> dict[str, Any]:
        return Work(client, wanted, files, models_dir, journal).run(steps)

    try:
        job = jobs.start(directory, run)
    except jobs.JobRunning as other:
        return {"changed": False, "planned": [], "joined": True, **_followed(directory, other.id, options)}
    return {**_planned(steps), **_followed(directory, job, options)}


def _planned(steps: list[dict[str, Any]]) -> dict[str, Any]:
    lines = [f"{step['model']}: {', '.join(step['do'])} ({step['why']})\n" for step in steps]
    return {"changed": bool(steps), "planned": steps, "diff": {"before": "", "after": "".join(lines)}}


def _followed(directory: Path, job: str, options: dict[str, Any]) -> dict[str, Any]:
    return {"job": job, **jobs.read(directory, job, options["offset"], options["wait"])}


def _look(client: ollama.Client, wanted: dict[str, dict[str, Any]], timeout: int) -> list[dict[str, Any]]:
    """What is to be done. A container that has just become healthy may take a moment to answer."""
    until = time.monotonic() + timeout
    while True:
        try:
            installed = client.installed()
            break
        except ollama.OllamaError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.5)
    made = {
        name: model for name, model in wanted.items() if model["state"] == "present" and ollama.is_made(model)
    }
    shown = {}
    for name in {*made, *map(ollama.base_of, made.values())}:
        if name and canonical(name).lower() in installed:
            try:
                shown[name] = client.show(name)
            except ollama.OllamaError as error:
                if not error.status:
                    raise
                # Damaged, as a file of its that is not there: the others can still be had.
    return ollama.steps(list(wanted.values()), installed, shown)


def _missing(
    client: ollama.Client,
    wanted: dict[str, dict[str, Any]],
    steps: list[dict[str, Any]],
    files: dict[str, str],
) -> list[str]:
    """sha256 of the GGUF files that must come from the controller."""
    blobs = {wanted[step["model"]].get("blob") for step in steps if step["do"] == ["create"]} - {None, *files}
    return sorted(blob for blob in blobs if not client.has_blob(blob))


def _with_room(
    missing: list[str], wanted: dict[str, dict[str, Any]], models_dir: str | None, directory: Path
) -> list[str]:
    """Those of the files that this host has room for; the job says of the others that they could not be had."""
    sizes = {model["blob"]: model["size"] for model in wanted.values() if model.get("blob")}
    free, found = ollama.free_bytes(models_dir), []
    if free is None or models_dir is None:
        return missing
    # Where the job's files lie on the same disk, each is there twice while Ollama takes it in.
    there = next(path for path in (directory, *directory.parents) if path.exists())
    times = 2 if there.stat().st_dev == Path(models_dir).stat().st_dev else 1
    for blob in missing:
        if times * sizes[blob] <= free:
            free -= times * sizes[blob]
            found.append(blob)
    return found


def _take_in(directory: Path, files: dict[str, str]) -> dict[str, str]:
    """Move files out of Ansible's temporary directory, which is removed when the controller goes."""
    taken = {}
    for blob, path in files.items():
        target = directory / "files" / blob
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        taken[blob] = str(shutil.move(path, target))
    return taken


def _find(module: AnsibleModule) -> tuple[str | None, str | None]:
    """Ollama's address on this host and the directory of its models; both None where it is not there yet."""
    options = module.params
    answer = Docker().call("container", "inspect", options["container"])
    if answer.code == 127 and options["url"]:
        return options["url"], None
    try:
        found = json.loads(answer.out or "[]")
    except ValueError:
        found = []
    inspected = found[0] if found else {}
    url = options["url"] or ollama.address(inspected, options["port"])
    if url or module.check_mode:
        return url, ollama.models_dir(inspected)
    state = (inspected.get("State") or {}).get("Status")
    seen = f"is {state}" if state else f"is not there ({answer.reason})"
    module.fail_json(
        msg=f"container {options['container']} {seen}. "
        "Deploy it first, or name another one with `container`, or give Ollama's address as `url`."
    )
    raise AssertionError("unreachable")


if __name__ == "__main__":
    main()
