"""Singer messages on their way to stdout: whole lines, also when a signal ends the run."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.singerlib import StateMessage

from tap_asana_export.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

    from singer_sdk.singerlib import Message


class Terminated(SystemExit):
    """Ends the run after a signal with the exit code that shells expect: 128 + the signal's number."""

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signal = signal.Signals(signum).name


class MessageWriter(MsgSpecWriter):
    """Writes messages to stdout; a signal that comes while it does waits until they are out."""

    def __init__(self) -> None:
        super().__init__()
        self._busy = 0
        self._ending = False
        self._signal: int | None = None
        self._state: Callable[[], Mapping[str, Any]] = dict

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

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Let a signal wait until what is done here is done: whole lines written, and the state knowing of them."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
        if self._signal is not None and not self._busy and not self._ending:
            self._end(self._signal)

    def end_on_signals(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """From now on SIGTERM and SIGINT end the run between two messages, with the state as the last one.

        A second signal ends it at once. The SDK's own handler writes a STATE into the middle of a line and
        exits 0, which a scheduler takes for success (singer-sdk 0.54.9).
        """
        self._state = state
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._on_signal)
            signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        if self._signal is not None:
            os._exit(128 + signum)
        self._signal = signum
        if not self._busy:
            self._end(signum)

    def _end(self, signum: int) -> NoReturn:
        # Nothing is logged here: the signal may have come while a line of the log was being written, and then Python
        # refuses to write another one (RuntimeError: reentrant call).
        self._ending = True
        self.write_message(StateMessage(value=self._state()))
        raise Terminated(signum)


def _write(stdout: BinaryIO, data: bytes | bytearray) -> None:
    # With PYTHONUNBUFFERED=1 this is a raw file, whose write may take less than it is given.
    view = memoryview(data)
    while view:
        view = view[stdout.write(view) :]
    stdout.flush()
