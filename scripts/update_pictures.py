"""Make the pictures of the documentation: what a terminal shows during a run, and the table at its end.

    uv run -m scripts.update_pictures

Each is the screen of a pseudo-terminal in which the tap really runs against the sandbox, as rich exports it to SVG.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.style import Style
from rich.text import Text

from tap_asana_export.sandbox import Sandbox
from tests.support.terminal import PseudoTerminal

if TYPE_CHECKING:
    import pyte
    from pyte.screens import Char

FOLDER = Path(__file__).parents[1] / "docs" / "images"
COLUMNS, ROWS = 156, 14
COLOURS = {"brown": "yellow"}
"""Colours that rich calls otherwise than pyte."""

HALF_WAY = re.compile(r"[0-9.]+ MB of .* left; [0-9,]+ tasks")

TAP = (sys.executable, "-m", "tap_asana_export")
TOKEN_OF_ASANA = "sandbox"  # noqa: S105 - the sandbox's


def make_pictures(folder: Path, *, tasks: int = 6000) -> None:
    """Run the tap, and write the pictures.

    Args:
        folder: where to.
        tasks: how many tasks each of the two workspaces has.
    """
    with (
        tempfile.TemporaryDirectory() as name,
        Sandbox(workspaces=2, tasks=tasks, messages=tasks // 10, change_interval=0, job_seconds=2) as sandbox,
    ):
        config = Path(name) / "config.json"
        settings = {"api_url": sandbox.api_url, "access_token": TOKEN_OF_ASANA, "poll_interval": 0.5}
        config.write_text(json.dumps(settings), encoding="utf-8")
        command = [*TAP, "--config", str(config)]
        with PseudoTerminal(command, columns=COLUMNS, rows=ROWS) as terminal:
            stdout = terminal.program.stdout
            assert stdout is not None  # noqa: S101 - it is a pipe
            read = 0
            while read < tasks * 1200:
                read += len(os.read(stdout.fileno(), 1 << 16))
            # The target, which is this program, now takes a rest, so that the tap is half-way.
            terminal.wait_until(lambda lines: any(HALF_WAY.search(line) for line in lines[-3:]))
            save(terminal.screen, folder / "run.svg")
            rest = threading.Thread(target=stdout.read)
            rest.start()
            terminal.wait()
            rest.join()
            save(terminal.screen, folder / "table.svg", last=5)


def save(screen: pyte.Screen, file: Path, last: int = ROWS) -> None:
    """Write what stands on the screen to a file.

    Args:
        screen: the screen.
        file: the file.
        last: lines to show, from the last one that is not empty.
    """
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    lines = [text_of([screen.buffer[row][column] for column in range(COLUMNS)]) for row in range(ROWS)]
    while lines and not lines[-1].plain.strip():
        lines.pop()
    for line in lines[-last:]:
        line.rstrip()
        console.print(line, soft_wrap=True, highlight=False)
    file.parent.mkdir(exist_ok=True)
    # A name of its own, so that the file changes only with what it shows.
    text = console.export_svg(title="tap-asana-export | target", unique_id=file.stem)
    file.write_text(text, encoding="utf-8")


def text_of(chars: list[Char]) -> Text:
    """A line of the screen."""
    text = Text()
    for style, alike in itertools.groupby(chars, style_of):
        text.append("".join(char.data for char in alike), style)
    return text


def style_of(char: Char) -> Style:
    """The style of a character."""
    colour = COLOURS.get(char.fg, char.fg).replace("bright", "bright_")
    colour = f"#{colour}" if re.fullmatch("[0-9a-f]{6}", colour) else colour
    return Style(color=None if char.fg == "default" else colour, bold=char.bold)


if __name__ == "__main__":
    make_pictures(FOLDER)
