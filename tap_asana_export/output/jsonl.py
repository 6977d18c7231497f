"""Writes JSON Lines files."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tap_asana_export.deflate import compressor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class JsonLinesFile:
    """A JSON Lines file.

    Args:
        path: path of the file.
        compression: `gzip` or `none`.
    """

    def __init__(self, path: Path, compression: str) -> None:
        self._file = path.open("wb")
        self._gzip = compressor() if compression == "gzip" else None

    def add(self, text: bytes) -> Callable[[], None]:
        """Return what appends whole lines."""
        return partial(self._append, text)

    def _append(self, text: bytes) -> None:
        self._file.write(self._gzip.compress(text) if self._gzip else text)

    def close(self) -> None:
        """Write what is buffered, and close the file."""
        with self._file:
            if self._gzip:
                self._file.write(self._gzip.flush())
