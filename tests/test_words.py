"""What the log says: no more than counts, and in people's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export import words
from tests.support.tap import WORKSPACE, Run, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_asana_export.sandbox import Sandbox

HERE = f"Workspace {WORKSPACE}"


def said(run: Run) -> list[str]:
    """The log's lines, without time, level and logger."""
    return [line.split(" | ", 3)[-1] for line in run.stderr.strip().split("\n")]


def test_the_log_counts_in_the_words_of_people(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    run = run_tap(settings_for(sandbox))

    job_gid = run.records("exports")[0]["job_gid"]
    assert f"{HERE}: export job {job_gid}: it brought 40 tasks, 10 messages, 3 teams" in said(run)


def test_the_log_has_no_line_of_the_sdk_that_says_nothing(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    sandbox.organizations[WORKSPACE].delete(next(iter(sandbox.objects(WORKSPACE, "team")))["gid"])
    run = run_tap(settings_for(sandbox, filters={"messages": [{"created_at.before": "2001-01-01"}]}), catalog=catalog)

    metrics = [line for line in said(run) if "METRIC" in line]
    assert [("tasks" in each, "teams" in each) for each in metrics] == [(True, False), (False, True)]
    assert '"value":2,' in metrics[1]
    assert "Beginning sync" not in run.stderr
    assert "Skipping" not in run.stderr


@pytest.mark.parametrize(
    ("settings", "words_for_it"),
    [
        ({}, "a full export of tasks, messages and teams"),
        (
            {"start_date": "2026-01-31"},
            "an export of tasks and messages changed since 2026-01-31T00:00:00.000Z; all teams",
        ),
        (
            {"filters": {"tasks": [{"assignee.any": ["1"]}]}},
            "an export of tasks that match the filters; all messages and teams",
        ),
        (
            {"filters": {"tasks": [{"assignee.any": ["1"]}]}, "start_date": "2026-01-31"},
            "an export of tasks that match the filters and changed since 2026-01-31T00:00:00.000Z; messages changed "
            "since 2026-01-31T00:00:00.000Z; all teams",
        ),
    ],
)
def test_only_an_export_of_all_there_is_is_called_full(
    settings: dict[str, Any], words_for_it: str, sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    assert f"{HERE}: requesting {words_for_it}" in said(run_tap(settings_for(sandbox, **settings)))


def test_an_incremental_export_says_since_when(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    first = run_tap(settings_for(sandbox))
    second = run_tap(settings_for(sandbox, overlap=0), state=first.state)

    since = first.records("exports")[0]["created_at"]
    assert (f"{HERE}: requesting an incremental export of tasks and messages changed since {since}; all teams") in said(
        second
    )


def test_an_error_is_one_line_the_last_and_none_before_it_frightens(
    sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    sandbox.faults = {"forbidden": 1}
    run = run_tap(settings_for(sandbox))

    levels = [line.split(" | ")[1].strip() for line in run.stderr.strip().split("\n")]
    assert (run.code, levels[-1], {*levels[:-1]}) == (1, "CRITICAL", {"INFO"})
    before_the_table = [line for line in run.stderr.strip().split("\n") if "tap_asana_export.progress" not in line]
    assert not any("fail" in line for line in before_the_table[:-1])


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (5000, "task", "5,000 tasks"),
        (1, "task", "1 task"),
        (2, "story", "2 stories"),
        (0, "time_tracking_entry", "0 time tracking entries"),
        (1, "custom_field", "1 custom field"),
        (3, "project_to_portfolio", "3 projects in portfolios"),
        (2, "status", "2 statuses"),
    ],
)
def test_things_are_counted(number: int, noun: str, text: str) -> None:
    assert words.count(number, noun) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1:00 min"), (192, "3:12 min"), (3599.6, "1:00:00 h"), (90061, "25:01:01 h")],
)
def test_times_are_told(number: float, text: str) -> None:
    assert words.seconds(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1200, "1.2 kB"), (12_345, "12 kB"), (620e6, "620 MB"), (5.6e12, "5600 GB")],
)
def test_sizes_are_told(number: float, text: str) -> None:
    assert words.size(number) == text
