# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program that carries out transactions on a host, and answers a controller that asks it.

It is this collection's transaction.py and look.py with the files that they import, as one executable zip: it
is replaced in one rename, so a host never holds a mixture of two releases.
"""

from __future__ import annotations

import io
import os
import secrets
import time
import types
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

# Used by MODULES, which no linter sees.
from . import (  # noqa: F401  # pylint: disable=unused-import
    _ask,
    _bring_up,
    _container,
    _copies,
    _docker,
    _durable,
    _health,
    _job,
    _journal,
    _masking,
    _nft,
    _one_way,
    _probe,
    _pull,
    _regain,
    _rolling,
    _sockets,
    _stack_files,
    _state,
    _steps,
    _submission,
    _unrouted,
    _waiting,
    look,
    nvidia_smi,
    nvidia_trouble,
    transaction,
)
from ._state import refuse_newer
from ._submission import follow

__all__ = ["MODULES", "follow", "install", "is_installed", "new_id", "pack", "program", "submit"]

# What is imported above of this collection: the program is these, and Ansible sends what it finds imported.
MODULES = tuple(
    item
    for item in list(globals().values())
    if isinstance(item, types.ModuleType) and item.__name__.startswith(f"{__package__}.")
)
_PACKAGE = "hearth_engine"
_MAIN = f"""import sys
if sys.argv[1:2] == ["ask"]:
    from {_PACKAGE}._ask import main
else:
    from {_PACKAGE}.transaction import main
sys.exit(main())
"""
# The oldest time that a zip can hold: the same sources always give the same bytes.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def program() -> bytes:
    """The bytes of engine.py."""
    return pack(_PACKAGE, MODULES, _MAIN)


def pack(package: str, modules: Iterable[types.ModuleType], main: str, first: bytes = b"") -> bytes:
    """A program in one file: a zip of these modules as `package` and of `main`, after `first` (a #! line)."""
    buffer = io.BytesIO()
    buffer.write(first)
    with zipfile.ZipFile(buffer, "w") as archive:
        files = {f"{package}/{module.__name__.rpartition('.')[2]}.py": source(module) for module in modules}
        for name, text in {**files, f"{package}/__init__.py": "", "__main__.py": main}.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), text)
    return buffer.getvalue()


def source(module: types.ModuleType) -> str:
    """A module's source, also where it was loaded from the zip that Ansible sends to hosts."""
    loader: Any = module.__spec__.loader if module.__spec__ else None
    text = loader.get_source(module.__name__)
    if text is None:
        raise RuntimeError(f"the source of {module.__name__} is not there")
    return text


def install(state_dir: str) -> str:
    """Put the program on this host where it differs; returns its path."""
    path = os.path.join(_journal.private_folders(state_dir), "engine.py")
    if not is_installed(state_dir):
        _durable.write_whole(path, program(), 0o644)
    return path


def is_installed(state_dir: str) -> bool:
    """Whether this host has the program of this release."""
    try:
        with open(os.path.join(state_dir, "engine.py"), "rb") as file:
            return file.read() == program()
    except OSError:
        return False


def new_id() -> str:
    """A name for a transaction: sorts by time, and two controllers never choose the same."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"


def submit(state_dir: str, service: str, plan: Mapping[str, Any], identity: str | None = None) -> str:
    """`_submission.submit` by the program of this release, which is put on the host first where it differs."""
    refuse_newer(state_dir)
    return _submission.submit(state_dir, service, plan, identity or new_id(), install(state_dir))
