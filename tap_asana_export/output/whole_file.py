"""Writes a small file that appears all at once: whoever reads it finds the earlier one, or the new one whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from tap_asana_export.leftovers import OWNER


def write_whole(place: Any, path: str, content: bytes) -> None:
    """Write a file in place of an earlier one.

    Args:
        place: the fsspec file system.
        path: path on it; missing folders are made.
        content: what the file is to hold.

    Raises:
        Exception: whatever the file system raises.
    """
    if not isinstance(place, LocalFileSystem):
        place.pipe_file(path, content)  # object stores show a file only when it is whole
        return
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{OWNER}.part")
    try:
        part.write_bytes(content)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
