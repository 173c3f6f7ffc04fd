"""Older images go when asked; what runs and what there is to fall back to stays."""

from ansible_collections.hearth.llm.plugins.module_utils import _durable, _state
from ansible_collections.hearth.llm.plugins.modules.prune_images import to_fall_back_to, unused

PRESENT = {
    "ollama/ollama:1": "sha256:1",
    "ollama/ollama:2": "sha256:2",
    "ollama/ollama:3": "sha256:3",
    "ollama/ollama:4": "sha256:4",
    "traefik:v3": "sha256:5",
    "traefik:v2": "sha256:6",
    "somebody/else:1": "sha256:7",
}


def test_only_older_images_of_the_platforms_services_go():
    wanted = ["docker.io/ollama/ollama:4@sha256:ff", "docker.io/library/traefik:v3"]
    assert unused(PRESENT, wanted, {"sha256:3"}) == ["ollama/ollama:1", "ollama/ollama:2", "traefik:v2"]


def test_what_there_is_to_fall_back_to_is_kept(tmp_path):
    state = {
        "format": 2,
        "fallback": {"images": {"ollama": {"image": "ollama/ollama:3", "image_id": "sha256:3"}}},
    }
    (tmp_path / "stacks").mkdir()
    _durable.write_json(_state.state_path(str(tmp_path), "ollama"), state)
    _durable.write_json(_state.state_path(str(tmp_path), "fresh"), {"format": 1})
    assert to_fall_back_to(str(tmp_path)) == {"sha256:3"}
