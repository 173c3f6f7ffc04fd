# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role's compose file asks of Docker."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.hearth.llm.plugins.module_utils import _catalogue_cards, service_file
from role_template import compose

ROLE = Path(__file__).parents[2] / "roles" / "ollama"
SPEC = yaml.safe_load((ROLE / "service.yml").read_text())
DEFAULTS = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
OPTIONS = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]


def render(publish=None, volumes=(), **variables):
    """The compose file of a host, as Compose reads it."""
    service = {
        **{key: SPEC[key] for key in ("title", "description")},
        "name": "ollama",
        "host": "gpu-1",
        "publish": publish,
        "variables": SPEC["variables"],
        "images": {"ollama": "docker.io/ollama/ollama:0.32.15"},
        "mounts": {"models": volumes[0] if volumes else "/srv/docker/ollama/models"},
        "volumes": list(volumes),
        "dns": [],
        "extra_hosts": {},
        "network": "frontend",
        "replicas": 1,
        "replicated": None,
        "resources": {"ollama": {**SPEC["resources"]["ollama"], **variables.pop("resources", {})}},
    }
    spec = service_file.read("ollama", "hearth.llm.ollama", SPEC, OPTIONS)
    service["cards"] = _catalogue_cards.cards(spec, {**SPEC["variables"], **variables}, "gpu-1", [])
    return compose(ROLE, service=service, **{**DEFAULTS, **SPEC["variables"], **variables})


def ollama(**more):
    return render(**more)["services"]["ollama"]


def test_service_yml_is_read():
    spec = service_file.read("ollama", "hearth.llm.ollama", SPEC, OPTIONS)
    assert (spec.tier, spec.stage, spec.serves.models) == ("compute", "compute", "ollama_models")


def test_no_port_is_published_where_nobody_needs_it():
    assert "ports" not in ollama()
    assert ollama(publish="10.77.0.21:11434")["ports"] == ["10.77.0.21:11434:11434"]


@pytest.mark.parametrize(
    ("gpus", "asked"),
    [
        ("all", {"count": "all"}),
        (["GPU-8c1f", 1], {"device_ids": ["GPU-8c1f", "1"]}),
        ("GPU-8c1f", {"device_ids": ["GPU-8c1f"]}),
    ],
)
def test_declared_cards_are_asked_for(gpus, asked):
    service = ollama(ollama_gpus=gpus)
    assert service["deploy"]["resources"]["reservations"]["devices"] == [
        {"driver": "nvidia", "capabilities": ["gpu"], **asked}
    ]
    assert "NVIDIA_VISIBLE_DEVICES" not in service["environment"]


def test_without_a_declared_card_none_is_taken_whatever_the_default_runtime():
    service = ollama()
    assert "devices" not in service["deploy"]["resources"]["reservations"]
    assert service["environment"]["NVIDIA_VISIBLE_DEVICES"] == "void"


def test_the_context_is_pinned():
    assert ollama(ollama_context_length=16384)["environment"]["OLLAMA_CONTEXT_LENGTH"] == "16384"


def test_a_quantised_cache_comes_with_flash_attention():
    assert "OLLAMA_FLASH_ATTENTION" not in ollama()["environment"]
    assert ollama(ollama_kv_cache_type="q8_0")["environment"]["OLLAMA_FLASH_ATTENTION"] == "1"


def test_it_runs_with_the_least_privileges_that_work():
    service = ollama()
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_cores_are_limited_only_when_asked_for():
    assert float(ollama()["deploy"]["resources"]["limits"]["cpus"]) == 0, "0 is no limit for Docker"
    assert ollama(resources={"cpus": 6})["deploy"]["resources"]["limits"]["cpus"] == "6"


def test_models_lie_in_a_directory_or_a_named_volume():
    assert ollama()["volumes"] == ["/srv/docker/ollama/models:/root/.ollama"]
    assert "volumes" not in render()
    assert render(volumes=["ollama_models"])["volumes"] == {"ollama_models": {"name": "ollama_models"}}


def test_prompts_stay_in_the_house():
    assert ollama()["environment"]["OLLAMA_NO_CLOUD"] == "1"
