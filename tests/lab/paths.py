"""Where the lab's things are: its sources beside this file, its state in `.lab/` at the repository's root."""

from pathlib import Path

HERE = Path(__file__).resolve().parent
IMAGES = HERE / "images"
STATE = HERE.parents[1] / ".lab"


def state(name: str) -> Path:
    """The path of a state file; makes `.lab/` on first use."""
    STATE.mkdir(mode=0o755, exist_ok=True)
    return STATE / name
