#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hearth.llm.model_speed"""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_speed
short_description: Measure how fast a model server answers, and where its models run
version_added: 0.1.0
description:
  - Has each model that is in memory write a sentence, and tells tokens a second by Ollama's own clock, the model's
    memory, and which share of it is on cards. Where no model is in memory the first of O(models) is loaded for it.
  - Of a vLLM the one model is asked, and tokens a second are by the clock, from the question to the last word.
  - A server that does not answer is an answer, in RV(error).
author: The Hearth authors (@hearth)
options:
  container:
    description: The container that the server runs in.
    type: str
    default: ollama
  port:
    description: The server's port in the container.
    type: int
    default: 11434
  api:
    description: Whether it is asked by Ollama's own API, or by OpenAI's, which vLLM has.
    type: str
    choices: [ollama, openai]
    default: ollama
  models:
    description: Names of chat models that an Ollama has.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Changes nothing but which model is in memory.
    support: full
  diff_mode:
    description: Has nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: How fast is it?
  hearth.llm.model_speed:
    models: ["qwen2.5-coder:14b"]
"""

RETURN = r"""
models:
  description:
    - The models that were measured. C(size) in bytes; C(on_card) is the share of it on cards, 0 to 1; both are null
      where the model is not in memory after all. C(tokens_per_second) is null for a model that only makes vectors.
    - A vLLM says neither, so that C(on_card) is missing and C(size) is null.
  returned: success
  type: list
  elements: dict
  sample: [{model: "qwen2.5-coder:14b", tokens_per_second: 48.2, size: 10870587392, on_card: 1.0, context: 8192,
            error: null}]
error:
  description: Why the server could not be asked, or null.
  returned: success
  type: str
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hearth.llm.plugins.module_utils import ollama
from ansible_collections.hearth.llm.plugins.module_utils._docker import Docker
from ansible_collections.hearth.llm.plugins.module_utils.chat import ChatError
from ansible_collections.hearth.llm.plugins.module_utils.model_speed import measure, measure_openai


def main() -> None:
    """Find the container's address, then ask."""
    module = AnsibleModule(
        argument_spec={
            "container": {"type": "str", "default": "ollama"},
            "port": {"type": "int", "default": 11434},
            "api": {"type": "str", "choices": ["ollama", "openai"], "default": "ollama"},
            "models": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    options = module.params
    answer = Docker().call("container", "inspect", options["container"])
    try:
        url = ollama.address((json.loads(answer.out or "[]") or [{}])[0], options["port"])
    except ValueError:
        url = None
    if url is None:
        module.exit_json(changed=False, models=[], error=f"container {options['container']} does not run")
    try:
        found = (
            measure_openai(f"{url}/v1")
            if options["api"] == "openai"
            else measure(ollama.Client(url), options["models"])
        )
        module.exit_json(changed=False, models=found, error=None)
    except (ollama.OllamaError, ChatError) as error:
        module.exit_json(changed=False, models=[], error=str(error))


if __name__ == "__main__":
    main()
