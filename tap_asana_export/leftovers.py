"""Temporary files and folders that tell whose they are, so that those of a killed process can be removed."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_HOST = re.sub(r"[^A-Za-z0-9]+", "_", socket.gethostname()) or "_"

OWNER = f"{_HOST}-{os.getpid()}-{secrets.token_hex(4)}"
"""Part of the names of all that is temporary: host, process, and what tells processes of the same number apart."""

_OWNER = re.compile(r"(?:^|[.-])([A-Za-z0-9_]+)-([0-9]+)-([0-9a-f]{8})(?=[.-]|$)")

OLD = 24 * 60 * 60
"""Seconds after which nobody writes any more into what is of another host."""


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Remove files and folders whose process has gone, or is of another host and has not touched them for a day.

    What cannot be removed stays: it may be somebody else's.
    """
    for path in paths:
        with contextlib.suppress(OSError):
            if _is_left_over(path):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()


def _is_left_over(path: Path) -> bool:
    owner = _OWNER.search(path.name)
    if not owner or owner[0].lstrip(".-") == OWNER:
        return False
    host, pid, _ = owner.groups()
    # Another process of our number on our host has gone, else we would not have it.
    has_gone = host == _HOST and (int(pid) == os.getpid() or not _is_running(int(pid)))
    return has_gone or path.lstat().st_mtime < time.time() - OLD


def _is_running(pid: int) -> bool:
    """Whether there is such a process, as far as can be found out: on Windows `os.kill` would end it."""
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
