"""Where the text of records is gathered."""

from __future__ import annotations

from typing import NamedTuple


class RecordBuffer(NamedTuple):
    """Where records of one name go.

    Attributes:
        out: the text so far.
        before: stands before each record.
        more: properties that each record gets besides, as they stand behind others.
        after: stands behind each record.
    """

    out: bytearray
    before: bytes
    more: bytes
    after: bytes
