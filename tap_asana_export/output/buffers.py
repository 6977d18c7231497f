"""Buffers for the text of records."""

from __future__ import annotations

from typing import NamedTuple


class RecordBuffer(NamedTuple):
    """A buffer for the records of one stream name, and the text around each of them.

    Attributes:
        out: the text so far.
        before: text before each record, such as the beginning of a RECORD message.
        appended: JSON text of properties appended to each record, starting with a comma; may be empty.
        after: text after each record, ending with a line break.
    """

    out: bytearray
    before: bytes
    appended: bytes
    after: bytes
