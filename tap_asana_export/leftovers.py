"""Temporary files and folders are named after their process, so that those of a killed process can be removed."""

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
"""Part of the name of every temporary file: host, process number, and a random text, as process numbers recur."""

_OWNER = re.compile(r"(?:^|[.-])([A-Za-z0-9_]+)-([0-9]+)-([0-9a-f]{8})(?=[.-]|$)")

MAX_AGE = 24 * 60 * 60
"""Seconds without a change after which a file of another host counts as left behind."""


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Remove files and folders whose process has ended; on another host, those that were unchanged for a day.

    Files that cannot be removed stay: they may belong to another user.
    """
    for path in paths:
        with contextlib.suppress(OSError):
            if _is_left_behind(path):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()


def _is_left_behind(path: Path) -> bool:
    owner = _OWNER.search(path.name)
    if not owner or owner[0].lstrip(".-") == OWNER:
        return False
    host, pid, _ = owner.groups()
    # A process with the number of this one has ended, or this one could not have it.
    has_ended = host == _HOST and (int(pid) == os.getpid() or not _is_running(int(pid)))
    return has_ended or path.lstat().st_mtime < time.time() - MAX_AGE


def _is_running(pid: int) -> bool:
    """Whether a process is running; True if that is unknown, as on Windows, where `os.kill` would end it."""
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
