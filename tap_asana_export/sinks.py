"""Where the records of an export go: into messages on stdout. `batch` has the other way, files."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from singer_sdk.singerlib import RecordMessage

from tap_asana_export.records import Outlet, encode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from typing_extensions import Self

    from tap_asana_export.output import MessageWriter
    from tap_asana_export.plan import Subject


Schemas: TypeAlias = "Mapping[str, Mapping[str, Any]]"
"""JSON Schema of the records, by the name that they go under."""


class Origin(NamedTuple):
    """The export that records are of."""

    subject: Subject
    export_gid: str
    created_at: datetime


class Sink(Protocol):
    """Takes the records of one export."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, *_: object) -> None:
        """Give up what is not finished."""

    def outlet(self, name: str, version: int | None) -> Outlet:
        """Where records of this name go.

        Args:
            name: of a stream, or the one that a stream map gives it.
            version: of the table's rows; None if they have none.
        """

    def until(self, lines: int) -> int:
        """After which line to flush at the latest, when so many were read."""

    def flush(self, lines: int) -> int:
        """Take what has come of so many lines.

        Returns:
            Of how many lines all records are out for good, so that a STATE may say so.

        Raises:
            OutputError: the target, or the place of the files, takes no more.
        """

    def finish(self) -> None:
        """See that all records are out for good; raises as `flush` does."""


class Messages:
    """Records as RECORD messages.

    Attributes:
        out: the messages that are not yet written.
    """

    def __init__(self, writer: MessageWriter, time_extracted: datetime) -> None:
        self._writer = writer
        self._time_extracted = time_extracted
        self.out = bytearray()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left over."""

    def outlet(self, name: str, version: int | None) -> Outlet:
        """The text of the message around a record."""
        message = RecordMessage(name, {}, version=version, time_extracted=self._time_extracted)
        before, after = encode(message.to_dict()).split(b"{}")
        return Outlet(self.out, before, b"", after + b"\n")

    def until(self, lines: int) -> int:  # noqa: ARG002 - a Sink's signature
        """Whenever a block of lines was read."""
        return sys.maxsize

    def flush(self, lines: int) -> int:
        """Write the messages; what is written counts, whatever the target makes of it before the next STATE."""
        self._writer.write(self.out)
        self.out.clear()
        return lines

    def finish(self) -> None:
        """Nothing: a message that is written is out."""
