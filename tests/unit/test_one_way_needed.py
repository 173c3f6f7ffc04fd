"""Which new images make an update one that changes data for good."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hearth.llm.plugins.module_utils._one_way import OneWay

IMAGES = {"app": "app:1", "proxy": "proxy:1", "db": "db:1"}


class Engine:
    """The images that a plan wants; each reference is its own id."""

    def image_ids(self, references: Any) -> dict[str, str]:
        return {reference: reference for reference in references}


def needed(tmp_path: Path, there: dict[str, str], **data: Any) -> bool:
    """Whether an update is one, from these images of the containers that are there."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("kept")
    item = {"name": "d", "place": str(tmp_path / "data"), "dump": [], "restore": [], "by_dump": False, **data}
    plan = {
        "project": "p",
        "stack_dir": str(tmp_path),
        "images": IMAGES,
        "update": {"copies": str(tmp_path / "copies"), "data": [item]},
    }
    folder: Any = SimpleNamespace(id="1", inside=str)
    engine: Any = Engine()
    one_way = OneWay(plan, engine, folder, print, str)
    return one_way.is_needed([{"service": name, "image_id": image} for name, image in there.items()], None)


@pytest.mark.parametrize(
    ("data", "changing"),
    [
        ({"container": "db"}, {"db"}),
        ({"container": None}, {"app", "proxy", "db"}),
        ({"container": "db", "changed_by": ["app", "db"]}, {"app", "db"}),
        ({"container": "db", "changed_by": []}, {"db"}),
    ],
)
@pytest.mark.parametrize("new", list(IMAGES))
def test_it_is_one_where_what_changes_the_data_is_new(
    tmp_path: Path, data: dict[str, Any], changing: set[str], new: str
) -> None:
    there = {name: "older" if name == new else image for name, image in IMAGES.items()}
    assert needed(tmp_path, there, **data) == (new in changing)
