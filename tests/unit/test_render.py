"""From templates to files: the conventions of docs/architecture.md."""

import pytest
from ansible_collections.hearth.llm.plugins.plugin_utils.render import File, config_hash, render_stack

SERVICE = {"name": "gate", "secrets_owner": "65532:65532", "reload": {"paths": ["config/dynamic/"]}}


def plain(text, more):
    """A renderer that replaces the two names the tests' templates use."""
    return text.replace("{{ hash }}", more["service"].get("config_hash", "")).replace("{{ none }}", "")


def make(tmp_path, **files):
    for name, text in {"compose.yaml.j2": "label: {{ hash }}\n", **files}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {file.path: file for file in render_stack(tmp_path, SERVICE, plain)[0]}


def test_each_kind_of_file_has_its_place_and_mode(tmp_path):
    files = make(
        tmp_path,
        **{
            "env.gate.j2": "A=1\n",
            "config/a/b.yaml.j2": "x\n",
            "config/code.py": "y = '{{ none }}'\n",
            "secrets/key": "k",
        },
    )
    assert {path: file.mode for path, file in files.items()} == {
        "compose.yaml": "0644",
        ".env.gate": "0600",
        "config/a/b.yaml": "0644",
        "config/code.py": "0644",
        "secrets/key": "0400",
    }
    assert files["secrets/key"].owner == "65532:65532"
    assert files["config/code.py"].content == b"y = '{{ none }}'\n"


def test_a_template_that_renders_to_nothing_makes_no_file(tmp_path):
    assert "config/a.yaml" not in make(tmp_path, **{"config/a.yaml.j2": " {{ none }}\n"})


def test_the_hash_in_compose_follows_what_is_read_at_start_only(tmp_path):
    before = make(tmp_path, **{"config/a": "1", "config/dynamic/r": "1"})["compose.yaml"].content
    reloaded = make(tmp_path, **{"config/a": "1", "config/dynamic/r": "2"})["compose.yaml"].content
    restarted = make(tmp_path, **{"config/a": "2", "config/dynamic/r": "2"})["compose.yaml"].content
    assert before == reloaded != restarted


def test_the_hash_tells_a_renamed_file_from_a_changed_one():
    assert config_hash([File("config/a", b"1", "0644")], ()) != config_hash(
        [File("config/b", b"1", "0644")], ()
    )


def test_a_template_may_make_several_files(tmp_path):
    several = "=== zones/a\none\n=== zones/b\ntwo\n"
    files = make(tmp_path, **{"config/zones.files.j2": several, "secrets/keys.files.j2": "=== a.key\nk\n"})
    contents = {path: file.content for path, file in files.items() if path != "compose.yaml"}
    assert contents == {"config/zones/a": b"one\n", "config/zones/b": b"two\n", "secrets/a.key": b"k\n"}
    assert files["secrets/a.key"].mode == "0400"


def test_text_that_belongs_to_no_file_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="before the first line"):
        make(tmp_path, **{"config/zones.files.j2": "lost\n=== a\nx\n"})
