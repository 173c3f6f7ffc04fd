# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two hosts that pulled one tag before and after it moved are found out."""

from __future__ import annotations

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import look, model_digests
from ansible_collections.hearth.llm.plugins.module_utils.models import parse_models

OLD, NEW = "a" * 64, "b" * 64
PLACE = "/data/models/manifests/registry.ollama.ai/library/qwen2.5/7b"


def fleet(*models, place="/data"):
    """Two hosts that serve these models, each host one of them."""
    services = []
    for host, item in zip(("gpu-1", "gpu-2"), models, strict=True):
        found, wrong = parse_models([item])
        assert not wrong
        services.append({"host": host, "name": "ollama", "mounts": {"models": place}, "models": found})
    return {"services": services}


def problems(platform, *digests, place=PLACE):
    looks = {
        host: {"digests": {place: digest}} for host, digest in zip(("gpu-1", "gpu-2"), digests, strict=False)
    }
    return model_digests.problems(platform, looks)


SAME = fleet("qwen2.5:7b", "qwen2.5:7b")


def test_different_models_of_one_name_are_refused_with_the_way_out():
    (problem,) = problems(SAME, OLD, NEW)
    assert (problem.host, problem.variable) == ("gpu-2", "ollama: qwen2.5:7b")
    assert problem.expected.startswith("is bbbbbbbbbbbb here and aaaaaaaaaaaa on gpu-1")
    assert problem.remedy.startswith("give it `digest: aaaaaaaaaaaa`")


@pytest.mark.parametrize("digests", [(OLD, OLD), (OLD, None), (None, None), (OLD,)])
def test_the_same_one_and_one_that_is_not_there_yet_are_fine(digests):
    assert problems(SAME, *digests) == []


def test_only_what_several_hosts_serve_without_a_digest_is_looked_at():
    assert model_digests.places(SAME, "gpu-1") == [PLACE]
    assert model_digests.places(SAME, "edge") == []
    pinned = {"name": "qwen2.5:7b", "digest": OLD}
    for platform in (
        fleet("qwen2.5:7b", "llama3.1:8b"),
        fleet(pinned, pinned),
        fleet("qwen2.5:7b", "qwen2.5:7b", place="ollama_models"),
    ):
        assert model_digests.places(platform, "gpu-1") == []


def test_one_name_may_come_from_different_places_on_the_hosts():
    mirrored = {"name": "qwen2.5:7b", "from": "http://box:5050/library/qwen2.5:7b"}
    assert model_digests.places(fleet("qwen2.5:7b", mirrored), "gpu-2") == [
        "/data/models/manifests/box:5050/library/qwen2.5/7b"
    ]


def test_the_look_takes_a_files_digest(tmp_path):
    (tmp_path / "7b").write_bytes(b"{}")
    assert look.digest(str(tmp_path / "7b")).startswith("44136fa355b3678a")
    assert look.digest(str(tmp_path / "none")) is None
