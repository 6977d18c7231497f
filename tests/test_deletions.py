"""Deletions: what ACTIVATE_VERSION says and when, and what a real PostgreSQL makes of it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export.sandbox import Sandbox
from tap_asana_export.times import parse_time
from tests.support.organizations import expected
from tests.support.tap import WORKSPACE, Run, settings_for
from tests.support.targets import STREAMS, Loaded, change, feed, load, target_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.clock import Clock
    from tests.support.postgres import Postgres

OTHER = "1200000000000002"


@pytest.fixture
def clock(clock: Clock) -> Clock:
    """Ten days ago, so that what is exported now is old enough for a full export, or not, as the test wants."""
    clock.now = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=10)
    return clock


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(
        workspaces=2, tasks=30, messages=8, teams=3, large=0, change_interval=0, job_seconds=0, clock=clock
    ) as sandbox:
        yield sandbox


def settings(sandbox: Sandbox, **others: Any) -> dict[str, Any]:
    return settings_for(sandbox, emit_activate_version_messages=True, overlap=0, **others)


def versions(run: Run) -> dict[str, list[int]]:
    """By stream, the versions of ACTIVATE_VERSION messages."""
    found: dict[str, list[int]] = {}
    for message in run.of("ACTIVATE_VERSION"):
        found.setdefault(message["stream"], []).append(message["version"])
    return found


def record_versions(run: Run) -> dict[str, set[int | None]]:
    """By stream, the versions that its records carry."""
    found: dict[str, set[int | None]] = {}
    for message in run.of("RECORD"):
        found.setdefault(message["stream"], set()).add(message.get("version"))
    return found


def epoch(run: Run) -> int:
    """When the run's one export was created."""
    return int(parse_time(run.records("exports")[0]["created_at"]).timestamp())


@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
def test_a_table_equals_the_organization_after_every_full_export(
    sandbox: Sandbox,
    arguments: Callable[..., list[str]],
    clock: Clock,
    postgres: Postgres,
    tmp_path: Path,
    *,
    hard: bool,
) -> None:
    loaded = Loaded(postgres, tmp_path, sandbox, arguments, hard=hard)
    state, gone = loaded.begin(clock)

    clock.sleep(3600)
    sandbox.faults["truncated"] = True
    code, log, _ = feed(loaded.tap(state, full_export_interval=7), loaded.target)
    assert (code, "ends too early" in log) == (1, True)
    loaded.compare_after_incremental(gone)
    sandbox.faults.clear()

    state = loaded.run(state, full_export_interval=7)
    loaded.compare({}, gone)

    later = change(sandbox, clock)
    state = loaded.run(state, full_export_interval=30)
    loaded.run(state, full_export_interval=7)
    loaded.compare({}, {stream: gone[stream] + later[stream] for stream in STREAMS})


def test_activate_version_follows_the_records_and_precedes_the_export_and_the_state(
    sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    run = run_tap(settings(sandbox))

    version = epoch(run)
    assert [message.get("stream") or message["type"] for message in run.messages[-5:]] == [
        "tasks",
        "messages",
        "teams",
        "exports",
        "STATE",
    ]
    assert [message["type"] for message in run.messages[-5:-1]] == ["ACTIVATE_VERSION"] * 3 + ["RECORD"]
    assert versions(run) == {"tasks": [version], "messages": [version], "teams": [version]}
    assert record_versions(run) == {
        "tasks": {version},
        "messages": {version},
        "teams": {version},
        "exports": {None},
    }
    for stream in STREAMS:
        assert run.state["bookmarks"][stream]["partitions"][0]["version"] == version


def test_incremental_records_carry_the_version_of_the_table_and_activate_nothing(
    sandbox: Sandbox, run_tap: Callable[..., Run], clock: Clock
) -> None:
    first = run_tap(settings(sandbox))
    change(sandbox, clock)
    second = run_tap(settings(sandbox), state=first.state)

    assert (epoch(second) - epoch(first), versions(second)) == (7200, {"teams": [epoch(second)]})
    assert record_versions(second) == {"tasks": {epoch(first)}, "teams": {epoch(second)}, "exports": {None}}


def test_without_the_setting_nothing_has_a_version(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    run = run_tap(settings_for(sandbox))

    assert (versions(run), record_versions(run)) == ({}, {stream: {None} for stream in (*STREAMS, "exports")})
    assert "version" not in run.state["bookmarks"]["tasks"]["partitions"][0]


def test_after_rows_without_a_version_nothing_is_deleted_until_the_next_full_export(
    sandbox: Sandbox, run_tap: Callable[..., Run], clock: Clock
) -> None:
    first = run_tap(settings(sandbox))
    change(sandbox, clock)
    second = run_tap(settings_for(sandbox, overlap=0), state=first.state)
    third = run_tap(settings(sandbox), state=second.state)
    fourth = run_tap(settings(sandbox, full_export_interval=7), state=third.state)

    before_records = [message["type"] for message in second.messages].index("RECORD")
    [state, *_] = [message for message in reversed(second.messages[:before_records]) if message["type"] == "STATE"]
    assert state["value"]["bookmarks"]["tasks"]["partitions"][0]["version"] is None
    assert record_versions(second)["tasks"] == {None}
    assert [run.state["bookmarks"]["tasks"]["partitions"][0]["version"] for run in (second, third, fourth)] == [
        None,
        None,
        epoch(fourth),
    ]
    assert [versions(run).get("tasks") for run in (second, third, fourth)] == [None, None, [epoch(fourth)]]


def test_a_filtered_export_deletes_nothing_and_an_unfiltered_one_does_again(
    sandbox: Sandbox, run_tap: Callable[..., Run], clock: Clock
) -> None:
    filters = {"tasks": [{"modified_at.after": "2000-01-01T00:00:00Z"}]}
    whole = run_tap(settings(sandbox))
    clock.sleep(3600)
    filtered = run_tap(settings(sandbox, filters=filters), state=whole.state)
    clock.sleep(3600)
    again = run_tap(settings(sandbox), state=filtered.state)

    assert len(filtered.records("tasks")) == len(again.records("tasks")) == 30
    assert "all of tasks is asked for: its filters have changed" in filtered.stderr
    assert [record_versions(run)["tasks"] for run in (whole, filtered, again)] == [
        {epoch(whole)},
        {epoch(whole)},
        {epoch(again)},
    ]
    assert [versions(run).get("tasks") for run in (whole, filtered, again)] == [[epoch(whole)], None, [epoch(again)]]


def test_a_later_start_date_deletes_nothing_and_an_earlier_one_fills_the_table_and_does(
    sandbox: Sandbox, run_tap: Callable[..., Run], clock: Clock
) -> None:
    times = sorted(task["modified_at"] for task in sandbox.objects(WORKSPACE, "task"))
    whole = run_tap(settings(sandbox, start_date=times[10]))
    clock.sleep(3600)
    later = run_tap(settings(sandbox, start_date=times[20], full_export_interval=7), state=whole.state)
    clock.sleep(3600)
    earlier = run_tap(settings(sandbox, start_date=times[5]), state=later.state)

    assert [len(run.records("tasks")) for run in (whole, later, earlier)] == [19, 9, 24]
    assert "all of tasks is asked for: start_date has changed" in earlier.stderr
    assert [record_versions(run)["tasks"] for run in (whole, later, earlier)] == [
        {epoch(whole)},
        {epoch(whole)},
        {epoch(earlier)},
    ]
    assert [versions(run).get("tasks") for run in (whole, later, earlier)] == [
        [epoch(whole)],
        None,
        [epoch(earlier)],
    ]
    assert [run.state["bookmarks"]["tasks"]["partitions"][0]["scope"]["start_date"] for run in (later, earlier)] == [
        times[10],
        times[5],
    ]


def test_a_job_that_job_gids_names_deletes_nothing(sandbox: Sandbox, run_tap: Callable[..., Run], clock: Clock) -> None:
    first = run_tap(settings(sandbox))
    clock.sleep(3600)
    job = run_tap(settings_for(sandbox)).records("exports")[0]["job_gid"]
    run = run_tap(settings(sandbox, job_gids={WORKSPACE: job}, full_export_interval=7), state=first.state)

    assert (len(run.records("tasks")), versions(run), record_versions(run)["tasks"]) == (30, {}, {epoch(first)})


def test_workspaces_in_one_table_delete_only_what_is_gone_in_each(
    sandbox: Sandbox, arguments: Callable[..., list[str]], clock: Clock, postgres: Postgres, tmp_path: Path
) -> None:
    target = target_postgres(postgres, tmp_path, hard_delete=True)
    both = {"workspaces": [WORKSPACE, OTHER]}

    def objects() -> dict[str, Any]:
        return expected(sandbox, "tasks", WORKSPACE) | expected(sandbox, "tasks", OTHER)

    state = load(arguments(settings(sandbox, **both)), target)
    assert target.differences("tasks", objects()) == []

    gone = [*change(sandbox, clock)["tasks"], *change(sandbox, clock, OTHER)["tasks"]]
    before = target.table("tasks")
    as_before = {gid: row for gid, row in before.items() if row["workspace_gid"] == WORKSPACE}

    sandbox.faults["busy"] = 1  # the first one to ask
    tap = arguments(settings(sandbox, full_export_interval=7, busy_timeout=0, **both), state=state)
    code, log, state = feed(tap, target)
    assert code == 1
    assert f"1 of 2 exports failed. Workspace {WORKSPACE}: Asana refuses an export since 0 s" in log
    assert log.rstrip().endswith("The other 1 came through.")
    kept = {gid: before[gid] for gid in gone} | as_before
    assert target.differences("tasks", expected(sandbox, "tasks", OTHER) | kept) == []

    clock.sleep(3600)
    load(arguments(settings(sandbox, full_export_interval=7, **both), state=state), target)
    assert target.differences("tasks", objects()) == []


def test_a_workspace_that_only_the_state_knows_keeps_all_rows(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    first = run_tap(settings(sandbox, workspaces=[WORKSPACE, OTHER]))
    second = run_tap(settings(sandbox, full_export_interval=7), state=first.state)

    assert versions(second) == {}
    assert f"The state knows of workspace {OTHER} too, which this run does not export." in second.stderr
