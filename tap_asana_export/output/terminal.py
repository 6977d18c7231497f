"""A live block in the last lines of a terminal.

The lines above it become the terminal's scroll region (DECSTBM), as apt does it: whatever is written meanwhile, also
by the target, which has the same terminal, scrolls there and is not touched. Each drawing is one write, puts the cursor
back where it was, and leaves it visible.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tap_asana_export import words
from tap_asana_export.output.progress import HEADINGS, STDERR, Ticker, describe, remarks, rows_of
from tap_asana_export.signals import SIGNALS

if TYPE_CHECKING:
    from typing_extensions import Self

    from tap_asana_export.report import Part, Report

LOOK = 0.5
"""Seconds between two drawings."""

LEAST_COLUMNS, LEAST_ROWS = 40, 10
"""A terminal that is smaller has no block."""

BAR = 12
"""Columns of a bar."""

SHARE = 3
"""The block takes one of so many lines at the most."""

SAVE, RESTORE, ERASE, DOWN = "\x1b7", "\x1b8", "\x1b[2K", "\x1bD"
COLOURS = {"succeeded": "green", "failed": "red", "deferred": "yellow", "unfinished": "yellow"}


class Terminal:
    """The terminal that stderr is.

    Args:
        report: what to show.

    Attributes:
        say_every: never: the block shows what is waited for.
    """

    say_every = math.inf

    def __init__(self, report: Report) -> None:
        self._report = report
        self._console = Console(file=sys.stderr, highlight=False, emoji=False, markup=False)
        self._ticker = Ticker(LOOK, self._draw)
        self._size = os.terminal_size((0, 0))
        self._height = 0
        self._is_over = False

    def __enter__(self) -> Self:
        """Begin to draw."""
        SIGNALS.tidy = self._tidy
        self._ticker.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the block."""
        self._ticker.__exit__(*error)
        self._tidy()
        SIGNALS.tidy = None

    def show_table(self) -> None:
        """Print the table of the run, if the terminal is still there."""
        with contextlib.suppress(OSError):
            if self._report.parts:
                self._console.print(table_of(self._report))
            for line in remarks(self._report):
                self._console.print(Text(line), soft_wrap=True)

    def _draw(self) -> None:
        """Draw the block, if the terminal is large enough, and this process is in its foreground."""
        try:
            size = os.get_terminal_size(STDERR)
            in_foreground = os.tcgetpgrp(STDERR) == os.getpgrp()
        except OSError:
            return  # the terminal has gone
        if size.columns < LEAST_COLUMNS or size.lines < LEAST_ROWS or not in_foreground:
            self._write(self._free())
            return
        with self._console.capture() as captured:
            self._console.print(
                block_of(self._report, size.lines // SHARE - 1, size.columns), width=size.columns, end=""
            )
        lines = captured.get().splitlines()[: size.lines // SHARE]
        text = self._free() if size != self._size else ""
        if len(lines) > self._height:
            text += reserve(size.lines, self._height, len(lines))
            self._size, self._height = size, len(lines)
        drawn = dict(enumerate(lines, size.lines - self._height + 1))
        rows = range(size.lines - self._height + 1, size.lines + 1)
        text += SAVE + "".join(f"\x1b[{row};1H{ERASE}{drawn.get(row, '')}" for row in rows) + RESTORE
        self._write(text)

    def _free(self) -> str:
        """What gives the block's lines back to the terminal."""
        rows = range(self._size.lines - self._height + 1, self._size.lines + 1)
        text = f"{SAVE}\x1b[r{''.join(f'{chr(27)}[{row};1H{ERASE}' for row in rows)}{RESTORE}" if self._height else ""
        self._height = 0
        return text

    def _write(self, text: str) -> None:
        if text and not self._is_over:
            with contextlib.suppress(OSError):
                os.write(STDERR, text.encode())

    def _tidy(self) -> None:
        """Leave the terminal as it was; nothing is drawn any more."""
        self._write(self._free())
        self._is_over = True


def reserve(rows: int, before: int, height: int) -> str:
    """What keeps the last lines of a terminal for the block, and scrolls up what stands there.

    Args:
        rows: of the terminal.
        before: lines that the block has already.
        height: lines that it needs.
    """
    more = height - before
    return f"{DOWN * more}{SAVE}\x1b[1;{rows - height}r{RESTORE}\x1b[{more}A"


def block_of(report: Report, most: int, columns: int) -> Table:
    """The block: a line for the run, and one for each part that has begun and not ended.

    Args:
        report: the report.
        most: lines for parts.
        columns: of the terminal.
    """
    parts = [part for part in [*report.parts] if part.phase]
    ended = sum(part.outcome != "unfinished" for part in [*report.parts])
    requests = sum(each.count for each in [*report.requests.values()])
    longest = max(map(len, [report.tap, *(part.name for part in parts)]))
    so_far = words.seconds(report.seconds_so_far)
    more = f", {ended} ended" if ended else ""
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(no_wrap=True, overflow="ellipsis", width=min(longest, columns // 3))
    table.add_column(width=BAR)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    head = f"{words.count(len(parts), 'part')} under way{more}, {words.count(requests, 'request')}, {so_far}"
    table.add_row(Text(report.tap, "bold"), "", Text(head, "dim"))
    shown = parts if len(parts) <= most else parts[: most - 1]
    for part in shown:
        table.add_row(Text(part.name, "cyan"), bar_of(part), Text(describe(part)))
    if len(shown) < len(parts):
        table.add_row(Text(f"and {len(parts) - len(shown)} more", "dim"))
    return table


def bar_of(part: Part) -> ProgressBar | str:
    """How much of its file has been read; nothing if nobody knows."""
    if not part.total_bytes or not part.bytes:
        return ""
    return ProgressBar(total=part.total_bytes, completed=part.bytes, width=BAR)


def table_of(report: Report) -> Table:
    """The table of a run that has ended."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in HEADINGS:
        table.add_column(heading, overflow="fold")
    for row in rows_of(report):
        table.add_row(Text(row.part, "cyan"), Text(row.outcome, COLOURS.get(row.outcome, "")), *row[2:])
    return table
