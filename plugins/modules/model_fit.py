#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hearth.llm.model_fit"""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_fit
short_description: Say whether models fit a host's cards
version_added: 0.1.0
description:
  - Weighs models for Ollama. Their weights, the key and value cache for a context and a number of parallel requests,
    and the memory that working on a batch takes. Tells whether all of it fits the cards, which part would run on the
    processor, and which context would fit.
  - Reads the header of the model's file. Where Ollama has the model, from its directory, else from the registry. Only
    the header is fetched (some MB), before anything of the weights is pulled.
  - Each model is weighed for itself. What runs beside it is not subtracted. What a model that sees needs to work on an
    image is not counted, and said so.
author: The Hearth authors (@hearth)
options:
  models:
    description:
      - Models as M(hearth.llm.ollama_model) takes them. C(num_ctx) and C(num_batch) among a model's C(parameters) or in
        its C(modelfile) replace O(context) and Ollama's batch of 512 tokens. So do those that the registry's model sets
        itself, where the list says nothing.
      - The C(path) of a GGUF or of a Modelfile is one on this host.
    type: list
    elements: raw
    required: true
  cards:
    description: Free memory of each card, for example V(16g) or V(15900m). Empty for none.
    type: list
    elements: str
    required: true
  context:
    description: Tokens of context for each request, as Ollama's C(OLLAMA_CONTEXT_LENGTH).
    type: int
    default: 8192
  parallel:
    description:
      - Requests at the same time, as Ollama's C(OLLAMA_NUM_PARALLEL). Models that take only one are weighed with one.
    type: int
    default: 1
  cache_type:
    description: How keys and values are kept, as Ollama's C(OLLAMA_KV_CACHE_TYPE).
    type: str
    choices: [f16, q8_0, q4_0]
    default: f16
  directory:
    description: Where Ollama keeps its models on this host, what its container has as C(/root/.ollama).
    type: path
attributes:
  check_mode:
    description: Never changes anything.
    support: full
  diff_mode:
    description: Has nothing to compare.
    support: none
notes:
  - The sums are those of Ollama 0.17.4. C(docs/models.md) says how near they are to loaded models.
"""

EXAMPLES = r"""
- name: Would it fit a 16 GB card?
  hearth.llm.model_fit:
    models: ["qwen2.5-coder:14b", {name: house, source: gguf, path: /srv/house.gguf, parameters: {num_ctx: 32768}}]
    cards: [15900m]
  register: weighed
"""

RETURN = r"""
fits:
  description: Whether every model fits. Null where that cannot be told of one, and the others do.
  returned: success
  type: bool
models:
  description:
    - One for each model. Sizes in bytes.
    - C(source) is where the knowledge is from, C(file), C(installed), C(registry), or C(manifest) where only the size
      of the weights is known.
    - C(needed) is what one card must have for all of it, C(spilled) what would be the processor's,
      C(fitting_context) the longest context with which all of it would be on the cards.
  returned: success
  type: list
  elements: dict
  sample: [{model: "qwen2.5-coder:14b", source: registry, fits: true, message: fits, remedy: "", needed: 11115393024,
            available: 16193159168, weights: 8544198656, cache: 1610612736, working: 960581632, on_cards: 11115393024,
            spilled: 0, host: 437944320, layers: 49, layers_on_cards: 49, cache_type: f16, context: 8192, parallel: 1,
            fitting_context: 24320}]
"""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hearth.llm.plugins.module_utils.model_fit import CACHE_TYPES
from ansible_collections.hearth.llm.plugins.module_utils.model_weighing import Settings, weigh
from ansible_collections.hearth.llm.plugins.module_utils.models import read_models

_MEMORY = re.compile(r"(\d+)\s*([mg])(?:i?b)?", re.IGNORECASE)


def main() -> None:
    """Weigh each model for itself."""
    module = AnsibleModule(
        argument_spec={
            "models": {"type": "list", "elements": "raw", "required": True},
            "cards": {"type": "list", "elements": "str", "required": True},
            "context": {"type": "int", "default": 8192},
            "parallel": {"type": "int", "default": 1},
            "cache_type": {"type": "str", "choices": list(CACHE_TYPES), "default": "f16"},
            "directory": {"type": "path"},
        },
        supports_check_mode=True,
    )
    options = module.params
    models, problems = read_models(options["models"])
    if problems:
        first = problems[0]
        module.fail_json(msg=f"models{first['where']}: expected {first['expected']}; {first['remedy']}")
    try:
        cards = [memory(card) for card in options["cards"]]
        settings = Settings(options["context"], options["parallel"], options["cache_type"])
        directory = Path(options["directory"]) if options["directory"] else None
        wanted = [model.as_dict() for model in models if model.state == "present"]
        with ThreadPoolExecutor(max_workers=4) as pool:  # mostly waiting for a registry
            rows = list(pool.map(lambda model: weigh(model, cards, settings, directory), wanted))
    except ValueError as error:
        module.fail_json(msg=str(error))
    answers = {row["fits"] for row in rows}
    fits = False if False in answers else None if None in answers else True
    module.exit_json(changed=False, fits=fits, models=rows)


def memory(text: str) -> int:
    """Bytes of what is written like 16g or 15900m, powers of 1024 as nvidia-smi counts. Raises ValueError."""
    match = _MEMORY.fullmatch(text.strip())
    if not match:
        raise ValueError(f"cards: {text!r} is no amount of memory; write it like 16g or 15900m")
    return int(match[1]) * 2 ** (20 if match[2].lower() == "m" else 30)


if __name__ == "__main__":
    main()
