"""What one sees of a run while it goes on: a block on a terminal, and lines of the log elsewhere."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export.output.progress import Lines, describe
from tap_asana_export.report import READING, WAITING_FOR_JOB, WAITING_FOR_SLOT, Asked, Part, Phase, Report, now
from tap_asana_export.sandbox import Sandbox
from tests.support.tap import WORKSPACE, Run, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


if os.name == "posix":
    from tests.support.terminal import IN_FOREGROUND, PseudoTerminal

HERE = f"Workspace {WORKSPACE}"
SELDOM: dict[str, Any] = {"poll_interval": 0.2}
"""How often to look at a job that a test lets end."""

posix = pytest.mark.skipif(os.name != "posix", reason="only POSIX has pseudo-terminals")


@pytest.fixture
def slow_sandbox() -> Iterator[Sandbox]:
    """A sandbox whose jobs do not end before a test lets them."""
    with Sandbox(tasks=40, messages=10, teams=3, large=0, change_interval=0, job_seconds=3600) as sandbox:
        yield sandbox


def waits(lines: list[str]) -> bool:
    """Whether the screen shows a block that waits for a job."""
    return HERE in lines[-1] and "the job is not_started" in lines[-1]


@posix
def test_a_terminal_shows_a_block_while_the_run_goes_on_and_a_table_at_its_end(
    slow_sandbox: Sandbox, arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    with (
        (tmp_path / "out").open("wb") as out,
        PseudoTerminal(arguments(settings_for(slow_sandbox, **SELDOM)), stdout=out) as terminal,
    ):
        lines = terminal.wait_until(waits)
        assert "tap-asana-export" in lines[-2]
        assert "1 part under way" in lines[-2]
        slow_sandbox.job_seconds = 0
        assert terminal.wait() == 0
        lines, text = terminal.lines(), terminal.said()

    assert terminal.is_as_before
    assert not any("under way" in line for line in lines)
    assert "METRIC" not in text
    assert f"{HERE}: requesting a full export of tasks, messages and teams" in text
    assert "it brought 40 tasks, 10 messages, 3 teams" in text
    assert "The run succeeded after" in text
    kinds = [json.loads(line)["type"] for line in (tmp_path / "out").read_bytes().splitlines()]
    assert (kinds.count("RECORD"), kinds[-1]) == (54, "STATE")


@pytest.mark.soak
@posix
def test_what_the_target_writes_to_the_same_terminal_stays(
    slow_sandbox: Sandbox, arguments: Callable[..., list[str]]
) -> None:
    with PseudoTerminal(arguments(settings_for(slow_sandbox, **SELDOM)), stdout=subprocess.DEVNULL) as terminal:
        terminal.wait_until(waits)
        before = terminal.lines()
        for number in range(60):
            terminal.write_as_another(f"the target says {number}\n")
        terminal.wait_until(lambda lines: waits(lines) and lines[-1] != before[-1])
        slow_sandbox.job_seconds = 0
        assert terminal.wait() == 0

    said = [line for line in terminal.everything() if line.startswith("the target says")]
    assert said == [f"the target says {number}" for number in range(60)]


@pytest.mark.soak
@posix
@pytest.mark.parametrize(("columns", "rows"), [(60, 16), (140, 40), (100, 12)])
def test_a_terminal_may_be_resized(
    columns: int, rows: int, slow_sandbox: Sandbox, arguments: Callable[..., list[str]]
) -> None:
    with PseudoTerminal(arguments(settings_for(slow_sandbox, **SELDOM)), stdout=subprocess.DEVNULL) as terminal:
        terminal.wait_until(waits)
        terminal.resize(columns, rows)
        terminal.write_as_another("\n" * rows)
        lines = terminal.wait_until(lambda lines: len(lines) == rows and lines[-1].startswith("Workspace 12"))
        assert len(lines[-1]) <= columns
        slow_sandbox.job_seconds = 0
        assert terminal.wait() == 0

    assert terminal.is_as_before
    assert any("The run succeeded after" in line for line in terminal.lines())


@pytest.mark.soak
@posix
def test_a_terminal_that_is_too_small_has_no_block(slow_sandbox: Sandbox, arguments: Callable[..., list[str]]) -> None:
    with PseudoTerminal(arguments(settings_for(slow_sandbox, **SELDOM)), stdout=subprocess.DEVNULL, rows=6) as terminal:
        terminal.wait_until(lambda lines: any("is not_started" in line for line in lines))
        slow_sandbox.job_seconds = 0
        assert terminal.wait() == 0
    assert b"\x1b7" not in terminal.written


@posix
def test_ctrl_c_ends_the_run_and_leaves_the_terminal_as_it_was(
    slow_sandbox: Sandbox, arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    with (
        (tmp_path / "out").open("wb") as out,
        PseudoTerminal(arguments(settings_for(slow_sandbox, **SELDOM)), stdout=out) as terminal,
    ):
        terminal.wait_until(waits)
        terminal.press(b"\x03")
        assert terminal.wait() == 130

    assert terminal.is_as_before
    assert not any("under way" in line for line in terminal.lines())
    assert "Ended by SIGINT. The next run goes on" in terminal.said()
    assert json.loads((tmp_path / "out").read_bytes().splitlines()[-1])["type"] == "STATE"


@pytest.mark.soak
@posix
def test_a_second_ctrl_c_ends_at_once_and_leaves_the_terminal_as_it_was(arguments: Callable[..., list[str]]) -> None:
    with (
        Sandbox(tasks=40, messages=10, teams=3, large=9, change_interval=0, job_seconds=0) as sandbox,
        PseudoTerminal(arguments(settings_for(sandbox))) as terminal,  # nobody reads its stdout
    ):
        terminal.wait_until(lambda lines: any("succeeded" in line for line in lines))
        while terminal.program.poll() is None:
            terminal.press(b"\x03")
            with contextlib.suppress(subprocess.TimeoutExpired):
                terminal.program.wait(0.1)
        assert terminal.wait() in {
            130,
            -signal.SIGINT,
        }  # one more may come when Python is ending, which shells call 130

    assert terminal.is_as_before
    assert not any("under way" in line for line in terminal.lines())


@posix
def test_a_run_whose_terminal_is_closed_leaves_its_report(
    sandbox: Sandbox, arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    master, slave = os.openpty()
    command = [sys.executable, "-c", IN_FOREGROUND, *arguments(settings_for(sandbox, report=str(report)))]
    tap = subprocess.Popen(
        command, stdin=slave, stdout=subprocess.DEVNULL, stderr=slave, env=os.environ | {"TERM": "xterm"}
    )
    os.close(slave)
    said = b""
    while b"requesting a full export" not in said:
        said += os.read(master, 1 << 16)
    os.close(master)

    assert tap.wait(30) == 128 + signal.SIGHUP
    told = json.loads(report.read_text())
    assert (told["outcome"], told["exit_code"], told["signal"]) == ("ended", 129, "SIGHUP")


@pytest.mark.soak
@posix
def test_several_workspaces_stand_side_by_side(arguments: Callable[..., list[str]]) -> None:
    with (
        Sandbox(workspaces=3, tasks=5, messages=1, teams=1, large=0, job_seconds=3600, change_interval=0) as sandbox,
        PseudoTerminal(
            arguments(settings_for(sandbox, workspaces=[], **SELDOM)), stdout=subprocess.DEVNULL
        ) as terminal,
    ):
        gids = sorted(sandbox.organizations)
        lines = terminal.wait_until(lambda lines: all(gid in line for gid, line in zip(gids, lines[-3:], strict=True)))
        assert "3 parts under way" in lines[-4]
        sandbox.job_seconds = 0
        assert terminal.wait() == 0
    assert "The run succeeded after" in terminal.said()


@pytest.mark.soak
@posix
@pytest.mark.parametrize(
    "env",
    [
        {"NO_COLOR": "1"},
        {"TERM": "dumb"},
        {"MELTANO_EXTRACTOR_NAME": "tap-asana-export"},
        {"SINGER_SDK_LOG_CONFIG": "log.yml"},
    ],
    ids=lambda env: next(iter(env)),
)
def test_who_wants_plain_lines_gets_them_also_on_a_terminal(
    env: dict[str, str], sandbox: Sandbox, arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    (tmp_path / "log.yml").write_text(
        "version: 1\ndisable_existing_loggers: false\nroot: {level: INFO, handlers: [err]}\n"
        "handlers: {err: {class: logging.StreamHandler}}\n"
    )
    env = {name: value.replace("log.yml", str(tmp_path / "log.yml")) for name, value in env.items()}
    with PseudoTerminal(arguments(settings_for(sandbox)), stdout=subprocess.DEVNULL, env=env) as terminal:
        assert terminal.wait() == 0

    assert b"\x1b" not in terminal.written
    assert "The run succeeded after" in terminal.said()


def test_where_stderr_is_no_terminal_it_has_lines_alone(sandbox: Sandbox, run_command: Callable[..., Run]) -> None:
    run = run_command(settings_for(sandbox), env={"TERM": "xterm"})
    assert (run.code, "\x1b" in run.stderr) == (0, False)


def test_lines_of_the_log_say_now_and_then_how_far_reading_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    report = Report(asked=Asked([]))
    for name, phase in {"Workspace 1": READING, "Workspace 2": WAITING_FOR_JOB}.items():
        report.part(name, "resource").enter(phase)
    said = threading.Event()

    def note(_: logging.LogRecord) -> bool:
        said.set()
        return True

    caplog.handler.addFilter(note)
    with Lines(report, 0.001):
        assert said.wait(60)

    assert {record.getMessage().partition(":")[0] for record in caplog.records} == {"Workspace 1"}


def test_a_part_that_ends_while_it_is_looked_at_does_not_end_the_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    phases = itertools.cycle([Phase(READING, now()), None])

    class Ending(Part):
        @property
        def phase(self) -> Phase | None:
            return next(phases)

    report = Report(asked=Asked([]))
    report.parts.append(Ending("Workspace 1", "resource"))
    with Lines(report, 0.001):
        deadline = time.monotonic() + 10
        while not caplog.records and time.monotonic() < deadline:
            time.sleep(0.001)

    assert {record.getMessage() for record in caplog.records} == {"Workspace 1: unfinished"}


@pytest.mark.parametrize(
    ("phase", "size", "total", "objects", "text"),
    [
        (WAITING_FOR_SLOT, 0, None, {}, "waiting for the export slot, 16:40 min"),
        (WAITING_FOR_JOB, 0, None, {}, "the job is in_progress, 16:40 min"),
        (READING, 0, None, {}, "reading, 16:40 min"),
        (
            READING,
            310_000_000,
            620_000_000,
            {"task": 84000},
            "310 MB of 620 MB, 310 kB/s, 16:40 min left; 84,000 tasks",
        ),
        (READING, 310_000_000, None, {"task": 84000, "team": 1}, "310 MB, 310 kB/s; 84,000 tasks, 1 team"),
    ],
)
def test_a_part_is_described_in_words(
    phase: str, size: int, total: int | None, objects: dict[str, int], text: str
) -> None:
    part = Report(asked=Asked([])).part("Workspace 1", "resource")
    part.job_status = "in_progress"
    part.enter(phase)
    part.phases[-1].started_at = now() - timedelta(seconds=1000)
    part.read(0, objects, size, total)
    assert describe(part) == text


def test_a_list_is_described_by_its_pages() -> None:
    part = Report(asked=Asked([])).part("Workspace 1, users", "list")
    part.enter(READING)
    part.read(1200, {"user": 1200}, 5000)
    part.pages = 12
    assert describe(part) == "1,200 users, 12 pages"
