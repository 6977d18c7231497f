"""Singer messages on their way to stdout: whole lines, also when a signal ends the run."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol, TypeAlias

import msgspec
from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.singerlib import Message, RecordMessage, StateMessage
from typing_extensions import Self

from tap_asana_export.errors import OutputError
from tap_asana_export.output.buffers import TextBuffer
from tap_asana_export.signals import SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime

    from tap_asana_export.output.buffers import RecordBuffer
    from tap_asana_export.sources import ExportRoot


class MessageWriter(MsgSpecWriter):
    """Writes messages to stdout; a signal that comes while it does waits until they are out."""

    def write_message(self, message: Message) -> None:
        """Write a message.

        Raises:
            OutputError: the target has gone, or the disk is full.
            Terminated: a signal came meanwhile.
        """
        self.write(self.format_message(message))

    def write(self, lines: bytes | bytearray) -> None:
        """Write whole lines; raises as `write_message` does."""
        with self.undisturbed():
            try:
                _write(sys.stdout.buffer, lines)
            except OSError as error:
                raise OutputError(error.strerror or type(error).__name__) from None

    def undisturbed(self) -> AbstractContextManager[None]:
        """Let a signal wait until what is done here is done: whole lines written, and the state knowing of them."""
        return SIGNALS.undisturbed()

    def ending_on_signals(self, state: Callable[[], Mapping[str, Any]]) -> AbstractContextManager[None]:
        """While this lasts a signal ends the run between two messages, with the state as the last one."""

        def write_state() -> Mapping[str, Any]:
            with contextlib.suppress(OutputError):  # the same signal may have ended the target first
                self.write_message(StateMessage(value=state()))
            return state()

        return SIGNALS.ending(write_state)


def _write(stdout: BinaryIO, data: bytes | bytearray) -> None:
    # With PYTHONUNBUFFERED=1 this is a raw file, whose write may take less than it is given.
    # Views are released also when the target has gone: the SDK makes all messages in one buffer, which grows only then.
    written = 0
    with memoryview(data) as whole:
        while written < len(whole):
            with whole[written:] as rest:
                written += stdout.write(rest)
    stdout.flush()


Schemas: TypeAlias = "Mapping[str, Mapping[str, Any]]"
"""JSON Schema of the records, by the name that they go under."""


class ExportOrigin(NamedTuple):
    """The export that records are of."""

    root: ExportRoot
    export_gid: str
    created_at: datetime


class Sink(Protocol):
    """Takes the records of one export."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, *_: object) -> None:
        """Give up what is not finished."""

    def buffer(self, name: str, version: int | None) -> RecordBuffer:
        """Where records of this name go.

        Args:
            name: of a stream, or the one that a stream map gives it.
            version: of the table's rows; None if they have none.
        """

    def next_flush_line(self, lines: int) -> int:
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


class RecordMessages:
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

    def buffer(self, name: str, version: int | None) -> RecordBuffer:
        """The text of the message around a record."""
        message = RecordMessage(name, {}, version=version, time_extracted=self._time_extracted)
        before, after = msgspec.json.encode(message.to_dict()).split(b"{}")
        return TextBuffer(self.out, before, b"", after + b"\n")

    def next_flush_line(self, lines: int) -> int:  # noqa: ARG002 - a Sink's signature
        """Whenever a block of lines was read."""
        return sys.maxsize

    def flush(self, lines: int) -> int:
        """Write the messages; what is written counts, whatever the target makes of it before the next STATE."""
        self._writer.write(self.out)
        self.out.clear()
        return lines

    def finish(self) -> None:
        """Nothing: a message that is written is out."""
