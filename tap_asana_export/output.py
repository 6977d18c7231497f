"""Singer messages on their way to stdout: whole lines, also when a signal ends the run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, BinaryIO

from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.singerlib import StateMessage

from tap_asana_export.errors import OutputError
from tap_asana_export.signals import SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from singer_sdk.singerlib import Message


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
            self.write_message(StateMessage(value=state()))
            return state()

        return SIGNALS.ending(write_state)


def _write(stdout: BinaryIO, data: bytes | bytearray) -> None:
    # With PYTHONUNBUFFERED=1 this is a raw file, whose write may take less than it is given.
    view = memoryview(data)
    while view:
        view = view[stdout.write(view) :]
    stdout.flush()
