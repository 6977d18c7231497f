"""A signal at any moment of a run's first second, and of its last milliseconds.

Until the tap's own code runs, Python starts: then a signal ends the process as it ends any other Python program.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.tap import Run, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_asana_export.sandbox import Sandbox

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

pytestmark = pytest.mark.soak


def facts(state: dict[str, Any]) -> tuple[str, str]:
    """The bookmark of tasks, and the job that is pending or came through."""
    bookmarks = state["bookmarks"]
    [tasks], [exports] = bookmarks["tasks"]["partitions"], bookmarks["exports"]["partitions"]
    return tasks["replication_key_value"], (exports["pending"] or exports)["job_gid"]


def check(run: Run, signum: signal.Signals, given: tuple[str, str]) -> None:
    """Look at how a run ended that was sent a signal."""
    python_starts = not run.stdout and (run.code == -signum or run.stderr.endswith("KeyboardInterrupt\n"))
    # When Python ends it puts its own handlers back, and then a signal ends the process in its own way.
    python_ends = run.code == -signum and run.messages and facts_are_final(run.state)
    if not python_starts:
        assert python_ends or run.code in {0, 128 + signum}, run.stderr
        assert all(line.count(" | ") >= 3 for line in run.stderr.splitlines()), run.stderr
    for message in run.of("STATE")[-1:]:
        bookmark, job_gid = facts(message["value"])
        assert (bookmark >= given[0], job_gid) == (True, given[1])


def test_a_signal_at_any_moment_leaves_no_poorer_state_than_was_given(
    sandbox: Sandbox,
    arguments: Callable[..., list[str]],
    run_tap: Callable[..., Run],
    pytestconfig: pytest.Config,
) -> None:
    first = run_tap(settings_for(sandbox))
    given = run_tap(settings_for(sandbox, wait_timeout=0, defer=True), state=first.state)
    sandbox.job_seconds = 0.3
    command = arguments(settings_for(sandbox), state=given.state)
    moments, chance = pytestconfig.getoption("--moments"), random.Random(0)  # noqa: S311 - it shall be repeatable
    for number in range(moments):
        signum = SIGNALS[number % 3]
        tap = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep((number + chance.random()) / moments)
        tap.send_signal(signum)
        out, err = tap.communicate(timeout=30)
        check(Run(tap.returncode, out, err.decode()), signum, facts(given.state))


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_while_python_ends_says_nothing(
    signum: signal.Signals, sandbox: Sandbox, arguments: Callable[..., list[str]], pytestconfig: pytest.Config
) -> None:
    moments = max(2, pytestconfig.getoption("--moments") // 10)
    for number in range(moments):
        tap = subprocess.Popen(arguments(settings_for(sandbox)), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert tap.stdout is not None
        lines = []
        for line in tap.stdout:
            lines.append(line)
            if b'"STATE"' in line and facts_are_final(json.loads(line)["value"]):
                break
        time.sleep(0.03 * number / moments)
        tap.send_signal(signum)
        out, err = tap.communicate(timeout=30)
        run = Run(tap.returncode, b"".join(lines) + out, err.decode())
        check(run, signum, facts(run.state))
        assert facts_are_final(run.state)


def facts_are_final(state: dict[str, Any]) -> bool:
    """Whether the export came through."""
    return not state["bookmarks"]["exports"]["partitions"][0]["pending"]
