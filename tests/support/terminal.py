"""A terminal that a program under test takes for a real one: a pseudo-terminal, and what its user would see on it."""

from __future__ import annotations

import contextlib
import os
import pty
import struct
import subprocess
import sys
import threading
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pyte

if sys.platform != "win32":
    import fcntl
    import termios

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Self

NO_VARIABLES: Mapping[str, str] = MappingProxyType({})

OF_A_TERMINAL = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
"""Variables that tell of the terminal of this process, and that rich believes more than the terminal it is on."""

IN_FOREGROUND = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(2, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""Runs a command as a shell does, which gives it a process group, and to that the foreground of the terminal."""

PATIENCE = 60
"""Seconds after which a test gives up to wait for what should be seen."""


class PseudoTerminal:
    """A terminal with one program in its foreground, whose stderr it is.

    Args:
        command: the program.
        columns: of the terminal.
        rows: of the terminal.
        stdout: where the program's stdout goes.
        env: variables besides those of this process.
    """

    def __init__(
        self,
        command: list[str],
        *,
        columns: int = 100,
        rows: int = 24,
        stdout: Any = subprocess.PIPE,
        env: Mapping[str, str] = NO_VARIABLES,
    ) -> None:
        self.written = b""
        self.screen = pyte.HistoryScreen(columns, rows, history=10_000)
        self._stream = pyte.ByteStream(self.screen)
        self._changed = threading.Condition()
        self._is_over = False
        self._master, self._slave = pty.openpty()
        self._set_size(columns, rows)
        self.program = subprocess.Popen(
            [sys.executable, "-c", IN_FOREGROUND, *command],
            stdin=self._slave,
            stdout=stdout,
            stderr=self._slave,
            env={
                **{name: value for name, value in os.environ.items() if name not in OF_A_TERMINAL},
                "TERM": "xterm",
                **env,
            },
        )
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        """Begin to read what the program writes."""
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the program, if it has not ended."""
        self.program.kill()
        self.program.wait()
        if self.program.stdout:
            self.program.stdout.close()
        with contextlib.suppress(OSError):
            os.close(self._slave)
        self._reader.join(PATIENCE)
        os.close(self._master)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 1 << 16)
            except OSError:
                data = b""
            with self._changed:
                self.written += data
                self._stream.feed(data)
                self._is_over = not data
                self._changed.notify_all()
            if not data:
                return

    def wait_until(self, is_seen: Callable[[list[str]], bool]) -> list[str]:
        """Wait until the screen shows something; return its lines."""
        end = time.monotonic() + PATIENCE
        with self._changed:
            while not is_seen(lines := self.lines()):
                left = end - time.monotonic()
                assert left > 0 and not self._is_over, "\n".join(self.everything())  # noqa: PT018 - one reason
                self._changed.wait(left)
            return lines

    def wait(self) -> int:
        """Wait until the program has ended and all is read; return its exit code."""
        code = self.program.wait(PATIENCE)
        with contextlib.suppress(OSError):
            os.close(self._slave)
        self._reader.join(PATIENCE)
        return code

    def lines(self) -> list[str]:
        """What stands on the screen now."""
        return [line.rstrip() for line in self.screen.display]

    def everything(self) -> list[str]:
        """What has scrolled off the screen, and what stands on it."""
        before = ["".join(line[x].data for x in range(self.screen.columns)) for line in self.screen.history.top]
        return [line.rstrip() for line in before] + self.lines()

    def said(self) -> str:
        """All that was written, wherever it stood."""
        return self.written.decode()

    @property
    def is_as_before(self) -> bool:
        """Whether the whole screen scrolls, and the cursor can be seen."""
        return self.screen.margins in (None, (0, self.screen.lines - 1)) and not self.screen.cursor.hidden

    def press(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    def write_as_another(self, text: str) -> None:
        """Write to the terminal as another program of the pipe does, such as the target."""
        os.write(self._slave, text.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Make the terminal larger or smaller."""
        with self._changed:
            self._set_size(columns, rows)
            self.screen.resize(rows, columns)

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
