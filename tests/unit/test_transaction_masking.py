# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No secret of a stack is shown, in whatever form a container logs it; the rest stays readable."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from ansible_collections.hearth.llm.plugins.module_utils._masking import mask, secret_values


def masked(text, **files):
    names = {
        name.replace("env_", ".env.").replace("secrets_", "secrets/"): text for name, text in files.items()
    }
    return mask(text, secret_values({name: content.encode() for name, content in names.items()}))


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("MASTER_KEY=sk-abcdef", "sk-abcdef"),
        ("MASTER_KEY='sk-a b$c#d'", "sk-a b$c#d"),
        (r"MASTER_KEY='it\'s'", "it's"),
        ('MASTER_KEY="two\\"words"', 'two"words'),
        ("export PASSWORD=123456", "123456"),
        ("X='its name does not tell, the value does'", "its name does not tell, the value does"),
        ("DATABASE_URL=postgresql://llm:p%40ss!word@db:5432/llm", "p%40ss!word"),
        ("DATABASE_URL=postgresql://llm:p%40ssword@db:5432/llm", "p@ssword"),
    ],
)
def test_a_value_of_an_environment_file_is_hidden(line, value):
    assert masked(f"refused: {value}!", env_svc=line + "\n") == "refused: ***!"


@pytest.mark.parametrize(
    "form", [lambda v: v, lambda v: json.dumps(v)[1:-1], lambda v: quote(v, safe=""), repr]
)
def test_a_secret_is_hidden_in_every_form_it_is_logged_in(form):
    secret = 'ü"b\\c/d e'
    assert masked(f"got {form(secret)}", secrets_key=secret + "\n").replace("'", "") == "got ***"


def test_what_is_plainly_no_secret_stays_readable():
    text = "LOG_LEVEL=debug\nPORT=4000\nOLLAMA=http://ollama:11434/api\nHOME=/app/data\nHOST=db.internal\n"
    line = "debug: port 4000, http://ollama:11434/api, /app/data, db.internal"
    assert masked(line, env_svc=text) == line


def test_a_file_of_users_is_hidden_line_by_line():
    content = "ada:$2y$05$abcdefgh\nbob:$2y$05$ijklmnop\n"
    assert masked("no match for bob:$2y$05$ijklmnop", secrets_users=content) == "no match for ***"
    assert "$2y$05$abcdefgh" not in masked("hash $2y$05$abcdefgh", secrets_users=content)


def test_a_secret_inside_another_does_not_leave_the_rest_of_it():
    assert masked("abcdefgh-ijkl", env_a="A_KEY=abcdefgh\nB_KEY=abcdefgh-ijkl\n") == "***"
