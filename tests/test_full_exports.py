"""When an incremental stream is exported whole."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export.replication.coverage import (
    MIXED,
    Coverage,
    TableState,
    Wanted,
    finished,
    full_reason,
    may_delete,
    starting,
)
from tap_asana_export.replication.state import read_partition
from tap_asana_export.times import format_time
from tests.support.organizations import parameters
from tests.support.tap import Run, select, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_asana_export.sandbox import Sandbox

NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
EARLY, LATE = (datetime(year, 1, 1, tzinfo=timezone.utc) for year in (2025, 2026))
WANTED = Wanted(LATE, None, "sha256:f")
COVERED = Coverage(LATE, None, "sha256:f", LATE)


def known(days_ago: float, coverage: Coverage | None = COVERED) -> TableState:
    """A table after a full export so many days ago."""
    return TableState(bookmark=NOW, full_at=NOW - timedelta(days=days_ago), coverage=coverage)


@pytest.mark.parametrize(
    ("table", "days", "reason"),
    [
        (TableState(), None, "nothing is known of an earlier export"),
        (TableState(bookmark=NOW), None, "nothing is known of an earlier export"),
        (known(400), None, None),
        (known(6.99), 7, None),
        (known(7), 7, "the last full export is of 2026-11-14T12:00:00.000Z"),
        (known(1, Coverage(EARLY, None, "sha256:f", LATE)), None, None),
        (known(1, Coverage(EARLY, None, "sha256:f", EARLY)), None, "start_date has changed"),
        (known(1, Coverage(LATE, None, "sha256:f", None)), None, "start_date has changed"),
        (known(1, Coverage(LATE, "sha256:x", "sha256:f", LATE)), None, "its filters have changed"),
        (known(1, Coverage(LATE, None, "sha256:x", LATE)), None, "its selection has changed"),
        (known(1, None), None, None),
    ],
)
def test_what_is_known_of_a_table_decides_whether_it_needs_every_object(
    table: TableState, days: int | None, reason: str | None
) -> None:
    assert full_reason(table, WANTED, timedelta(days=days) if days else None, NOW) == reason


@pytest.mark.parametrize(
    ("before", "wanted", "begun", "after", "deletes"),
    [
        # A first export, and one more of the same.
        (COVERED, WANTED, COVERED, COVERED, True),
        # A later start_date leaves older rows in the table, which it does not bring.
        (
            Coverage(EARLY, None, "sha256:f", EARLY),
            WANTED,
            Coverage(EARLY, None, MIXED, EARLY),
            Coverage(EARLY, None, "sha256:f", LATE),
            False,
        ),
        # An earlier one brings them all.
        (
            COVERED,
            Wanted(EARLY, None, "sha256:f"),
            Coverage(EARLY, None, MIXED, LATE),
            Coverage(EARLY, None, "sha256:f", EARLY),
            True,
        ),
        (
            COVERED,
            Wanted(None, None, "sha256:f"),
            Coverage(None, None, MIXED, LATE),
            Coverage(None, None, "sha256:f", None),
            True,
        ),
        # Filters hide objects.
        (
            COVERED,
            Wanted(LATE, "sha256:x", "sha256:f"),
            Coverage(LATE, None, MIXED, LATE),
            Coverage(LATE, "sha256:x", "sha256:f", LATE),
            False,
        ),
        # Without them again all come, and what is gone may go.
        (
            Coverage(LATE, "sha256:x", "sha256:f", LATE),
            Wanted(LATE, None, "sha256:g"),
            Coverage(LATE, "sha256:x", MIXED, LATE),
            Coverage(LATE, None, "sha256:g", LATE),
            True,
        ),
    ],
)
def test_a_full_export_changes_what_a_table_covers(
    before: Coverage, wanted: Wanted, begun: Coverage, after: Coverage, *, deletes: bool
) -> None:
    assert (starting(before, wanted), finished(before, wanted)) == (begun, after)
    assert finished(begun, wanted) == after
    assert may_delete(before, wanted) == deletes


def test_a_coverage_that_an_older_version_wrote_is_read() -> None:
    scope = {"start_date": "2026-01-01", "filters": None, "fields": "sha256:f", "renewed_from": "2026-01-01T00:00:00Z"}
    assert read_partition(TableState, {"scope": {**scope, "of a newer version": 1}}).coverage == COVERED


def test_a_full_export_is_due_after_the_interval(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    first = run_tap(settings_for(sandbox, full_export_interval=7))
    second = run_tap(settings_for(sandbox, full_export_interval=7), state=first.state)
    old = second.state
    for stream in ("tasks", "messages"):
        [partition] = old["bookmarks"][stream]["partitions"]
        partition["full_at"] = format_time(datetime.now(timezone.utc) - timedelta(days=7))
    third = run_tap(settings_for(sandbox, full_export_interval=7), state=old)

    assert [run.records("exports")[0]["full"] for run in (first, second, third)] == [True, False, True]
    assert [sorted(each[0]) for each in parameters(sandbox)] == [
        ["resource_type"],
        ["filters", "resource_type"],
        ["resource_type"],
    ]
    created_at = third.records("exports")[0]["created_at"]
    assert third.state["bookmarks"]["tasks"]["partitions"][0]["full_at"] == created_at
    assert "requesting a full export of tasks, messages and teams" in third.stderr
    assert "all of tasks is asked for: the last full export is of" in third.stderr


def test_a_newly_selected_field_fills_the_old_rows_of_its_stream_only(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    first = run_tap(settings_for(sandbox))
    more = select(catalog, {("tasks", "properties", "html_notes"): True})
    second = run_tap(settings_for(sandbox, overlap=0), catalog=more, state=first.state)
    third = run_tap(settings_for(sandbox, overlap=0), catalog=more, state=second.state)

    assert [(len(run.records("tasks")), len(run.records("messages"))) for run in (first, second, third)] == [
        (40, 10),
        (40, 0),
        (0, 0),
    ]
    assert all("html_notes" in task for task in second.records("tasks"))
    assert "all of tasks is asked for: its selection has changed" in second.stderr
    assert [run.records("exports")[0]["full"] for run in (first, second, third)] == [True, False, False]


def test_a_newly_selected_stream_is_exported_whole_beside_an_incremental_one(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    first = run_tap(settings_for(sandbox), catalog=select(catalog, {("messages",): False}))
    second = run_tap(settings_for(sandbox, overlap=0), state=first.state)

    assert [(len(run.records("tasks")), len(run.records("messages"))) for run in (first, second)] == [(40, 0), (0, 10)]


def test_a_stream_that_the_catalog_wants_whole_is_so_each_time(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    for stream in (catalog := select(catalog, {}))["streams"]:
        if stream["tap_stream_id"] == "tasks":
            stream["replication_method"] = "FULL_TABLE"
    first = run_tap(settings_for(sandbox, start_date="2026-01-01"), catalog=catalog)
    second = run_tap(settings_for(sandbox, start_date="2026-01-01"), catalog=catalog, state=first.state)

    assert [len(run.records("tasks")) for run in (first, second)] == [40, 40]
    assert [each[0] for each in parameters(sandbox)] == [{"resource_type": "task"}] * 2
