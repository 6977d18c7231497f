"""The text of an export file whose bytes are at hand."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tap_asana_export.limits import USUAL, Limits
from tap_asana_export.records.reader import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator


def text_of(*pieces: bytes, limits: Limits = USUAL) -> Iterator[bytes]:
    """Blocks of the text of a file that comes in pieces."""
    return blocks(pieces, threading.Event(), limits)
