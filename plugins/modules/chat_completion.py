#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask a model one question from a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: chat_completion
short_description: Ask an OpenAI-compatible API one question
version_added: 0.1.0
description:
  - Sends one chat completion and fails unless a model really answered.
  - The address to connect to can differ from the name in the URL, so that the public route can be tried from a host
    that does not resolve the platform's names.
author: The Hearth authors (@hearth)
options:
  url:
    description: The root of the API, for example C(https://openai.localhost/v1).
    type: str
    required: true
  address:
    description: IP address to connect to instead of resolving the URL's name.
    type: str
  model:
    description: The model's public name.
    type: str
    required: true
  question:
    description: What to ask.
    type: str
    default: Say hello.
  key:
    description: Bearer key.
    type: str
  ca_file:
    description: A CA certificate on the host that signed the server's certificate. Default, the system's.
    type: path
  max_tokens:
    description: Longest answer, in tokens.
    type: int
    default: 64
  timeout:
    description: Seconds without a byte after which to give up. Loading a model from disk can take minutes.
    type: int
    default: 300
attributes:
  check_mode:
    description: Asks in check mode as well; a question changes nothing.
    support: full
"""

EXAMPLES = r"""
- name: Ask through the public route
  hearth.llm.chat_completion:
    url: https://openai.localhost/v1
    address: 127.0.0.1
    ca_file: /srv/docker/traefik/certificates/ca.crt
    key: "{{ vault_litellm_probe_key }}"
    model: qwen2.5:0.5b
"""

RETURN = r"""
answer:
  description: The model's words.
  returned: success
  type: str
model:
  description: The model's name as the API reports it.
  returned: success
  type: str
backend:
  description: The model server that answered, where the gateway names it.
  returned: when a LiteLLM gateway answered
  type: str
request_id:
  description: The completion's id, as it stands in logs.
  returned: success
  type: str
seconds:
  description: From the first byte sent to the whole answer.
  returned: success
  type: float
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hearth.llm.plugins.module_utils.chat import ChatError, ask


def main() -> None:
    """Arguments in, answer out."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "address": {"type": "str"},
            "model": {"type": "str", "required": True},
            "question": {"type": "str", "default": "Say hello."},
            "key": {"type": "str", "no_log": True},
            "ca_file": {"type": "path"},
            "max_tokens": {"type": "int", "default": 64, "no_log": False},
            "timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    options = module.params
    try:
        answer = ask(
            options["url"],
            options["model"],
            options["question"],
            key=options["key"],
            address=options["address"],
            ca_file=options["ca_file"],
            timeout=options["timeout"],
            max_tokens=options["max_tokens"],
        )
    except ChatError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False,
        answer=answer.text,
        model=answer.model,
        backend=answer.backend,
        request_id=answer.request_id,
        seconds=answer.seconds,
    )


if __name__ == "__main__":
    main()
