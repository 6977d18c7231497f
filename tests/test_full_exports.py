"""When an incremental stream is exported whole."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export.replication.coverage import Coverage, full_reason, plan_table
from tap_asana_export.times import format_time
from tests.conftest import Run, select, settings_for
from tests.test_run import parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_asana_export.sandbox import Sandbox

NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
SCOPE = Coverage(start_date="2026-01-01", filters=None, fields="sha256:f")


def known(days_ago: float, **scope: Any) -> dict[str, Any]:
    """A stream's state after a full export so many days ago."""
    full_at = format_time(NOW - timedelta(days=days_ago))
    return {
        "replication_key_value": format_time(NOW),
        "full_at": full_at,
        "scope": {"start_date": "2026-01-01", "filters": None, "fields": "sha256:f", **scope},
    }


@pytest.mark.parametrize(
    ("partition", "days", "why_whole", "complete"),
    [
        ({}, None, "nothing is known of an earlier export", True),
        (known(400), None, None, False),
        (known(6.99), 7, None, False),
        (known(7), 7, "the last full export is of 2026-11-14T12:00:00.000Z", True),
        (known(1, start_date="2026-02-01"), None, "start_date is earlier than before", True),
        (known(1, start_date=None), None, None, False),
        (known(8, start_date=None), 7, "the last full export is of 2026-11-13T12:00:00.000Z", False),
        (known(1, start_date="2025-12-31T23:00:00Z"), None, None, False),
        (known(1, filters="sha256:x"), None, "its filters have changed", True),
        (known(1, fields="sha256:x"), None, "its selection has changed", True),
        ({key: value for key, value in known(1).items() if key != "scope"}, None, None, False),
    ],
)
def test_what_is_known_of_a_table_decides_whether_it_needs_every_object(
    partition: dict[str, Any], days: int | None, why_whole: str | None, *, complete: bool
) -> None:
    full_every = timedelta(days=days) if days else None
    assert full_reason(partition, SCOPE, full_every=full_every, now=NOW) == why_whole
    assert plan_table(partition, SCOPE, why_whole).complete == complete


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
    assert "requesting a full export of tasks, messages, teams" in third.stderr
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
