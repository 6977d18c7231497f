"""How much the tap takes at a time, as one value: a test makes a tap with smaller limits than those below."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Limits:
    """How much of what the tap takes at a time, and for how long Asana keeps things.

    Attributes:
        file_block: bytes of an export file to read at a time.
        text: bytes of text to decompress at a time, twice as many in a thread of its own: bounds the memory that well
            compressed data takes.
        document_text: bytes of a JSON document's objects to pass on at a time.
        line: longest line, or object in a JSON document, in bytes; several copies of it are in memory at once.
        utf8_slice: bytes to check for UTF-8 at a time. They become a `str` of up to four times the size. With 128 kB
            at a time glibc's memory is in such pieces that a run takes 20 to 50 MB more.
        unknown_names: unknown fields of one stream that the log names.
        state_lines: lines between two STATEs, as the SDK has it for records.
        batch_file: bytes of a batch file at most, before compression.
        batch_block: bytes of records to hand at a time to the thread that compresses. Each time the reading thread and
            that one wait for each other.
        uploads: batch files that are uploaded at a time.
        kept: how long Asana keeps the file of an export after its completion (reference of createResourceExport).
        cached_tasks: Asana gives a graph's result again if it has more tasks than this (reference of
            createGraphExport).
        say_every: seconds between two lines of the log about the same thing.
    """

    file_block: int = 1 << 18
    text: int = 1 << 18
    document_text: int = 1 << 18
    line: int = 1 << 28
    utf8_slice: int = 1 << 14
    unknown_names: int = 10_000
    state_lines: int = 10_000
    batch_file: int = 1 << 29
    batch_block: int = 1 << 20
    uploads: int = 4
    kept: timedelta = timedelta(days=30)
    cached_tasks: int = 1000
    say_every: float = 30


USUAL = Limits()
