"""SIGTERM, SIGINT and SIGHUP: they end the process between two lines of output, with exit code 128 + n."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]


class Terminated(SystemExit):
    """Ends the run after a signal with the exit code that shells expect: 128 + the signal's number.

    Attributes:
        signal: name of the signal.
        state: the run's last state.
    """

    def __init__(self, signum: int, state: Mapping[str, Any]) -> None:
        super().__init__(128 + signum)
        self.signal = signal.Signals(signum).name
        self.state = state


class Signals:
    """What a signal does: at once it ends the process, or a run; not while something must not be disturbed.

    A second signal ends the process at once.
    """

    def __init__(self) -> None:
        self._busy = 0
        self._came: int | None = None
        self._end_run: Callable[[], Mapping[str, Any]] | None = None

    def handle(self) -> None:
        """From now on a signal ends the process; SIGHUP does not where it is ignored, as under nohup."""
        for signum in ENDING:
            if signum in {signal.SIGTERM, signal.SIGINT} or signal.getsignal(signum) != signal.SIG_IGN:
                signal.signal(signum, self._on_signal)

    @contextlib.contextmanager
    def ending(self, end_run: Callable[[], Mapping[str, Any]]) -> Iterator[None]:
        """While this lasts a signal ends the run: it calls `end_run`, which returns the state, then raises Terminated.

        In a thread other than the main one Python takes no signals, and nothing changes.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = _handlers()
        self._end_run = end_run
        self.handle()
        try:
            yield
        finally:
            self._end_run, self._came, self._busy = None, None, 0
            _put_back(before)

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Let a signal wait until what is done here is done, or has failed.

        In a thread other than the main one it waits for nothing: it must not end the run from there.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            if self._came is not None and not self._busy:
                self._end(self._came)

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        if self._came is not None:
            os._exit(128 + signum)
        self._came = signum
        if not self._busy:
            self._end(signum)

    def _end(self, signum: int) -> NoReturn:
        # Nothing is logged here: the signal may have come while a line of the log was being written, and then Python
        # refuses to write another one (RuntimeError: reentrant call).
        if self._end_run is None:
            os._exit(128 + signum)
        self._busy += 1  # what ends the run writes, and is not to end it once more
        raise Terminated(signum, self._end_run())


SIGNALS = Signals()
"""Of this process: signals are of a process, not of a run."""


@contextlib.contextmanager
def unchanged() -> Iterator[None]:
    """Keep the handlers of signals as they are, whatever is done here; signals wait until it is done.

    The SDK's own handler, which it puts in place when a tap is made, writes a STATE into the middle of a line and exits
    0, which a scheduler takes for success (singer-sdk 0.54.9).
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = _handlers()
    mask = getattr(signal, "pthread_sigmask", None)  # Windows has none
    blocked = mask(signal.SIG_BLOCK, ENDING) if mask else None
    try:
        yield
    finally:
        _put_back(before)
        if mask:
            mask(signal.SIG_SETMASK, blocked)


def _handlers() -> dict[int, Any]:
    return {signum: signal.getsignal(signum) for signum in ENDING}


def _put_back(handlers: Mapping[int, Any]) -> None:
    for signum, handler in handlers.items():
        if handler is not None:  # one that was not put in place by Python cannot be put back by it
            signal.signal(signum, handler)
