"""A run goes on where the last one stood: with its job, and after the lines that its target has."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export.limits import USUAL, Limits
from tap_asana_export.sandbox import Sandbox
from tests.support.batches import exports_state
from tests.support.lists import only
from tests.support.organizations import expected, export_file, parameters
from tests.support.tap import WORKSPACE, Run, settings_for, sync
from tests.support.walks import present

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tap_asana_export.sandbox.wire import Request
    from tests.support.clock import Clock


def interrupted(command: list[str], records: int) -> Run:
    """A run that gets a SIGTERM when so many records have been read from it."""
    tap = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    assert tap.stdout is not None
    out = b""
    while out.count(b'"RECORD"') < records:
        out += os.read(tap.stdout.fileno(), 1 << 16)
    tap.send_signal(signal.SIGTERM)
    rest, err = tap.communicate(timeout=30)
    return Run(tap.returncode, out + rest, err.decode())


def gids(run: Run) -> list[str]:
    return [each["record"]["gid"] for each in run.of("RECORD") if each["stream"] != "exports"]


@pytest.mark.soak
def test_the_next_run_writes_the_rest_of_the_file_and_nothing_twice(
    arguments: Callable[..., list[str]], run_tap: Callable[..., Run]
) -> None:
    with Sandbox(tasks=2000, large=0, change_interval=0, job_seconds=0) as sandbox:
        first = interrupted(arguments(settings_for(sandbox)), records=900)
        second = run_tap(settings_for(sandbox), state=first.state)
        export, _ = export_file(sandbox, exports_state(first.state)["pending"]["job_gid"])
        everything = {stream: expected(sandbox, stream) for stream in ("tasks", "messages", "teams")}

    lines = exports_state(first.state)["pending"]["lines"]
    assert (first.code, second.code) == (128 + signal.SIGTERM, 0)
    assert 900 <= lines == len(gids(first)) < 2000
    assert len(set(gids(first)) | set(gids(second))) == len(gids(first)) + len(gids(second))
    assert {stream: first.by_gid(stream) | second.by_gid(stream) for stream in everything} == everything
    assert len(parameters(sandbox)) == 1
    assert second.records("exports")[0]["objects"] == {"message": 200, "task": 2000, "team": 8}
    assert second.records("exports")[0]["created_at"] == export["created_at"]
    assert exports_state(second.state)["pending"] is None


def test_a_state_goes_out_every_ten_thousand_lines(run_tap: Callable[..., Run]) -> None:
    assert USUAL.state_lines == 10_000
    limits = Limits(text=1 << 10, state_lines=100)
    with Sandbox(tasks=1, messages=210, large=0, change_interval=0, job_seconds=0) as sandbox:
        run = run_tap(settings_for(sandbox), limits=limits)

    told = [exports_state(each["value"])["pending"] for each in run.of("STATE")]
    assert [each and each["lines"] // 100 for each in told] == [0, 1, 2, None]
    before: dict[int, int] = {}
    records = 0
    for message in run.messages:
        records += message["type"] == "RECORD"
        if message["type"] == "STATE" and (pending := exports_state(message["value"])["pending"]):
            before[pending["lines"]] = records
    assert all(lines == count for lines, count in before.items())


@pytest.mark.soak
def test_records_of_another_shape_are_written_from_the_first_line(
    arguments: Callable[..., list[str]], run_tap: Callable[..., Run]
) -> None:
    with Sandbox(tasks=2000, large=0, change_interval=0, job_seconds=0) as sandbox:
        first = interrupted(arguments(settings_for(sandbox)), records=900)
        maps = {"tasks": {"loud": "name.upper()"}}
        second = run_tap(settings_for(sandbox, stream_maps=maps), state=first.state)

    assert len(parameters(sandbox)) == 1
    assert len(second.records("tasks")) == 2000
    assert all("loud" in task for task in second.records("tasks"))


def test_a_deferred_run_ends_well_and_the_next_one_collects(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    sandbox.job_seconds = 3600
    first = run_tap(settings_for(sandbox, wait_timeout=0.05, defer=True))
    sandbox.job_seconds = 0
    second = run_tap(settings_for(sandbox, wait_timeout=0.05, defer=True), state=first.state)

    assert (first.code, first.records("tasks"), second.code) == (0, [], 0)
    assert "Deferred, as the setting defer wants it." in first.stderr
    assert second.by_gid("tasks") == expected(sandbox, "tasks")
    assert len(parameters(sandbox)) == 1


@pytest.mark.parametrize("job", ["succeeds", "fails"])
def test_what_was_undeleted_comes_though_a_job_was_pending_that_was_not_asked_for_it(
    job: str, catalog: dict[str, Any], clock: Clock
) -> None:
    clock.now = datetime.now(timezone.utc) - timedelta(days=19)
    selected = only(catalog, ["exports", "tasks", "messages", "deletions"])
    with Sandbox(
        tasks=12, messages=3, teams=1, large=0, change_interval=0, job_seconds=0, sync_seconds=864_000, clock=clock
    ) as sandbox:

        def run(before: Run | None, **settings: Any) -> Run:
            clock.sleep(3600)
            with present(clock):
                done = sync(settings_for(sandbox, overlap=0, **settings), selected, before and before.state)
            assert done.code == 0, done.stderr
            return done

        organization = sandbox.organizations[WORKSPACE]
        gid = next(iter(expected(sandbox, "tasks")))
        last = run(None)
        clock.sleep(3600)
        organization.touch(gid, name="changed")
        clock.sleep(1)
        organization.delete(gid)
        last = run(last)

        def undelete(request: Request) -> None:
            if request.method == "POST":  # the activity has been read, and the job is not yet made
                sandbox.on_request = None
                organization.undelete(gid)
                clock.sleep(1)

        sandbox.on_request, sandbox.job_seconds = undelete, 60
        sandbox.faults = {"failed_job": 1} if job == "fails" else {}
        last = run(last, wait_timeout=0, defer=True)
        sandbox.job_seconds = 0
        names = []
        for _ in range(3):
            last = run(last)
            names += [each["name"] for each in last.records("tasks") if each["gid"] == gid]

    assert names == ["changed"]


def test_a_full_export_that_is_due_is_asked_for_when_the_pending_job_has_failed(
    catalog: dict[str, Any], clock: Clock
) -> None:
    clock.now = datetime.now(timezone.utc) - timedelta(days=19)
    selected = only(catalog, ["exports", "tasks"])
    with Sandbox(tasks=12, large=0, change_interval=0, job_seconds=0, clock=clock) as sandbox, present(clock):
        settings = settings_for(sandbox, full_export_interval=1)
        first = sync(settings, selected)
        clock.sleep(3600)
        sandbox.job_seconds, sandbox.faults = 60, {"failed_job": 1}
        deferred = sync({**settings, "wait_timeout": 0, "defer": True}, selected, first.state)
        clock.sleep(2 * 86_400)
        sandbox.job_seconds = 0
        last = sync(settings, selected, deferred.state)

    assert (last.code, [each["full"] for each in last.records("exports")]) == (0, [True]), last.stderr


def test_a_job_can_be_picked_up_by_its_gid_and_is_read_once_only(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    job = run_tap(settings_for(sandbox)).state
    job_gid = exports_state(job)["job_gid"]
    settings = settings_for(sandbox, job_gids={WORKSPACE: job_gid}, overlap=0)
    picked_up = run_tap(settings)
    afterwards = run_tap(settings, state=picked_up.state)

    kinds = [message["type"] for message in picked_up.messages]
    assert kinds.index("STATE") < kinds.index("RECORD")
    assert exports_state(picked_up.of("STATE")[0]["value"])["pending"]["lines"] == 0
    assert picked_up.records("exports")[0]["job_gid"] == job_gid
    assert picked_up.by_gid("tasks") == expected(sandbox, "tasks")
    assert len(parameters(sandbox)) == 2
    assert afterwards.records("exports")[0]["job_gid"] != job_gid
    # Nobody knows what the job was asked for, so that no bookmark has moved.
    assert afterwards.by_gid("tasks") == expected(sandbox, "tasks")


def test_a_job_that_was_picked_up_goes_on_after_its_lines_with_a_start_date_too(
    arguments: Callable[..., list[str]], run_tap: Callable[..., Run], tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    with Sandbox(tasks=2000, messages=0, teams=0, large=0, change_interval=0, job_seconds=0) as sandbox:
        job_gid = exports_state(run_tap(settings_for(sandbox)).state)["job_gid"]
        settings = settings_for(sandbox, job_gids={WORKSPACE: job_gid}, start_date="2020-01-01T00:00:00Z")
        settings["report"] = str(report)
        first = interrupted(arguments(settings), records=900)
        second = run_tap(settings, state=first.state)

    assert (first.code, second.code) == (128 + signal.SIGTERM, 0)
    assert len(gids(second)) == 2000 - exports_state(first.state)["pending"]["lines"] < 2000
    assert json.loads(report.read_text())["records"]["tasks"] == len(gids(second))


def test_a_job_that_cannot_be_picked_up_is_an_error(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    run = run_tap(settings_for(sandbox, job_gids={WORKSPACE: "4711"}))

    assert (run.code, parameters(sandbox)) == (1, [])
    assert run.last_line.startswith("GET /jobs/4711: Asana answered 404: ")


def test_a_file_that_storage_has_no_more_is_exported_anew(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    finished = run_tap(settings_for(sandbox))
    sandbox.faults = {"no_such_key": 1}
    run = run_tap(settings_for(sandbox), state=finished.of("STATE")[0]["value"])

    assert run.code == 0
    assert len(parameters(sandbox)) == 2
    assert "storage answered 404" in run.stderr
    assert run.by_gid("tasks") == expected(sandbox, "tasks")


def test_a_file_that_has_expired_is_exported_anew(run_tap: Callable[..., Run]) -> None:
    long_ago = datetime.now(timezone.utc) - timedelta(days=31)
    with Sandbox(tasks=3, large=0, change_interval=0, job_seconds=0, clock=lambda: long_ago) as sandbox:
        finished = run_tap(settings_for(sandbox))
        run = run_tap(settings_for(sandbox), state=finished.of("STATE")[0]["value"])

    assert (run.code, len(run.records("tasks")), len(parameters(sandbox))) == (0, 3, 2)
    assert "its file has expired; a new one is needed" in run.stderr


def test_a_download_that_breaks_goes_on_at_its_byte_with_a_fresh_url(
    sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    sandbox.faults = {"drop_download": 2}
    run = run_tap(settings_for(sandbox))

    storage = [each for each in sandbox.requests if each.path.startswith("/object_export")]
    ranges = [each.headers.get("range", "") for each in storage]
    assert (run.code, run.by_gid("tasks")) == (0, expected(sandbox, "tasks"))
    assert [each.status for each in storage] == [200, 206, 206]
    assert [bool(each.headers.get("if-match")) for each in storage] == [False, True, True]
    starts = [int(each.removeprefix("bytes=").removesuffix("-") or 0) for each in ranges]
    assert starts == sorted(set(starts))
    assert len(gids(run)) == len(set(gids(run)))
    asked = ["job" if "/jobs/" in each.path else "storage" for each in sandbox.requests]
    assert asked[-5:] == ["storage", "job", "storage", "job", "storage"]


@pytest.mark.soak
def test_the_lines_of_another_file_are_not_skipped(
    arguments: Callable[..., list[str]], run_tap: Callable[..., Run]
) -> None:
    with Sandbox(tasks=2000, large=0, change_interval=0, job_seconds=0) as sandbox:
        first = interrupted(arguments(settings_for(sandbox)), records=900)
        changed = json.loads(json.dumps(first.state).replace(json.dumps(etag_of(first)), json.dumps('"another"')))
        second = run_tap(settings_for(sandbox), state=changed)

    assert (second.code, len(parameters(sandbox)), len(second.records("tasks"))) == (0, 1, 2000)
    assert "storage has another file than the one whose lines went out" in second.stderr


def etag_of(run: Run) -> str:
    etag: str = exports_state(run.state)["pending"]["etag"]
    assert etag
    return etag


def test_a_state_with_more_lines_than_the_file_has_loses_nothing(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    finished = run_tap(settings_for(sandbox))
    state = finished.of("STATE")[0]["value"]
    exports_state(state)["pending"]["lines"] = 1000
    run = run_tap(settings_for(sandbox), state=state)

    assert "the file has 53 lines, but an earlier run read 1000" in run.stderr
    assert (run.code, len(parameters(sandbox))) == (0, 1)
    assert run.by_gid("tasks") == expected(sandbox, "tasks")
