"""SIGTERM, SIGINT and SIGHUP end the process between two lines of output, with exit code 128 + n."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

AGAIN = 0.01
"""Seconds after which a signal comes again that a finalizer has swallowed."""

ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]


class Terminated(SystemExit):
    """A signal ended the run; the exit code is the one that shells expect, 128 + the signal's number.

    Attributes:
        number: of the signal.
        signal: its name.
        state: the run's last state.
    """

    def __init__(self, signum: int, state: Mapping[str, Any]) -> None:
        super().__init__(128 + signum)
        self.number = signum
        self.signal = signal.Signals(signum).name
        self.state = state


class Signals:
    """Handles signals: the first one ends the run, or the process outside of a run; a second one ends the process.

    Within `undisturbed` the first signal waits.

    Attributes:
        tidy: is called before the process ends at once, to leave the terminal as it was.
    """

    def __init__(self) -> None:
        self._busy = 0
        self._came: int | None = None
        self._end_run: Callable[[], Mapping[str, Any]] | None = None
        self.tidy: Callable[[], None] | None = None

    def handle(self) -> None:
        """Handle signals from now on; SIGHUP stays ignored if it was, as under nohup."""
        for signum in ENDING:
            if signum in {signal.SIGTERM, signal.SIGINT} or signal.getsignal(signum) != signal.SIG_IGN:
                signal.signal(signum, self._on_signal)

    @contextlib.contextmanager
    def ending(self, end_run: Callable[[], Mapping[str, Any]]) -> Iterator[None]:
        """Within this context a signal ends the run: it gets the state from `end_run`, and raises Terminated.

        Outside of the main thread this does nothing, as Python handles signals only there.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before, hook = _handlers(), sys.unraisablehook

        def unraisable(what: Any) -> None:
            if isinstance(what.exc_value, Terminated):
                self._come_again(what.exc_value.number)
            else:
                hook(what)

        self._end_run = end_run
        self.handle()
        sys.unraisablehook = unraisable
        try:
            yield
        finally:
            sys.unraisablehook = hook
            self._end_run, self._came, self._busy = None, None, 0
            _put_back(before)

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Let a signal wait until the end of this context.

        Outside of the main thread this does nothing, as the signal must not end the run from there.
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
            self._exit(signum)
        self._came = signum
        if not self._busy:
            self._end(signum)

    def _end(self, signum: int) -> NoReturn:
        # Nothing is logged here: the signal may have come while a line of the log was being written, and then Python
        # refuses to write another one (RuntimeError: reentrant call).
        if self._end_run is None:
            self._exit(signum)
        self._busy += 1  # `end_run` writes, and must not end the run once more
        raise Terminated(signum, self._end_run())

    def _come_again(self, signum: int) -> None:
        """Send a signal once more, which came within a finalizer: Python drops whatever is raised there."""
        self._came, self._busy = None, self._busy - 1
        again = threading.Timer(AGAIN, os.kill, (os.getpid(), signum))
        again.daemon = True
        again.start()

    def _exit(self, signum: int) -> NoReturn:
        if self.tidy is not None:
            self.tidy()
        os._exit(128 + signum)


SIGNALS = Signals()
"""The one handler: signals concern the process, not a run."""


@contextlib.contextmanager
def unchanged() -> Iterator[None]:
    """Restore the handlers of signals at the end of this context; until then, signals wait.

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
