# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hearth-backup as one file: backup.py with all that it imports, the engine of deploys among it."""

from __future__ import annotations

from . import (
    _backup_content,
    _backup_drill,
    _backup_line,
    _backup_putting,
    _backup_refill,
    _backup_restore,
    _backup_save,
    _backup_snapshot,
    _backup_stage,
    _backup_status,
    _backup_work,
    _restic,
    backup,
)
from .engine_program import MODULES, pack

PATH = "/usr/local/sbin/hearth-backup"

_BACKUPS = (
    _backup_content,
    _backup_drill,
    _backup_line,
    _backup_putting,
    _backup_refill,
    _backup_restore,
    _backup_save,
    _backup_snapshot,
    _backup_stage,
    _backup_status,
    _backup_work,
)
_PACKAGE = "hearth_backup"
_MAIN = f"""import sys
from {_PACKAGE} import backup
sys.exit(backup.main())
"""


def program() -> bytes:
    """The bytes of hearth-backup."""
    modules = (*MODULES, *_BACKUPS, _restic, backup)
    return pack(_PACKAGE, modules, _MAIN, b"#!/usr/bin/python3\n")
