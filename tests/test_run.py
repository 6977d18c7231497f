"""Whole runs of the tap: what it asks of Asana, what it writes, and what it remembers."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

import pytest

from tap_asana_export.sandbox import Sandbox
from tap_asana_export.times import format_time, parse_time
from tests.support.organizations import expected, export_file, parameters
from tests.support.tap import UVX, WORKSPACE, Run, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMAS = Path(__file__).parents[1] / "schemas"
CONTEXT = {"workspace_gid": WORKSPACE}


def test_a_run_writes_schemas_then_all_records_then_the_export_then_the_state(
    sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    run = run_tap(settings_for(sandbox))

    pending = run.of("STATE")[0]["value"]["bookmarks"]["exports"]["partitions"][0]["pending"]
    export, file = export_file(sandbox, pending["job_gid"])
    lines = [json.loads(line) for line in gzip.decompress(file).split(b"\n") if line]
    stream_of = {"task": "tasks", "message": "messages", "team": "teams"}
    time_extracted = export["created_at"].replace("Z", "000Z")
    bookmark = {
        "replication_key": "modified_at",
        "replication_key_value": export["created_at"],
        "completed_at": export["completed_at"],
        "full_at": export["created_at"],
        "scope": {"start_date": None, "filters": None, "fields": ANY, "renewed_from": None},
    }
    whole = {name: bookmark[name] for name in ("completed_at", "full_at", "scope")}
    begun = {"scope": bookmark["scope"]}

    def state(exports: dict[str, Any], tasks: Any, messages: Any, teams: Any) -> dict[str, Any]:
        by_stream = {"exports": exports, "tasks": tasks, "messages": messages, "teams": teams}
        bookmarks = {name: {"partitions": [{"context": CONTEXT, **rest}]} for name, rest in by_stream.items()}
        return {"type": "STATE", "value": {"bookmarks": bookmarks}}

    assert (run.code, run.messages) == (
        0,
        [
            *(schema(name) for name in ("exports", "tasks", "messages", "teams")),
            state({"pending": pending}, begun, begun, begun),
            *(
                {
                    "type": "RECORD",
                    "stream": stream_of[line["resource_type"]],
                    "record": {**line, "workspace_gid": WORKSPACE},
                    "time_extracted": time_extracted,
                }
                for line in lines
            ),
            {
                "type": "RECORD",
                "stream": "exports",
                "record": {
                    "gid": export["gid"],
                    "job_gid": pending["job_gid"],
                    "kind": "resource",
                    "workspace_gid": WORKSPACE,
                    "parent_gid": None,
                    "created_at": export["created_at"],
                    "completed_at": export["completed_at"],
                    "full": True,
                    "objects": {"message": 10, "task": 40, "team": 3},
                    "lines": 53,
                    "bytes": len(file),
                    "unknown_fields": {},
                },
                "time_extracted": time_extracted,
            },
            state(
                {"pending": None, "completed_at": export["completed_at"], "job_gid": pending["job_gid"]},
                bookmark,
                bookmark,
                whole,
            ),
        ],
    )


def schema(stream: str) -> dict[str, Any]:
    """A stream's SCHEMA with the default selection."""
    content = json.loads((SCHEMAS / f"{stream}.json").read_text())
    incremental = stream in {"tasks", "messages"}
    return {
        "type": "SCHEMA",
        "stream": stream,
        "schema": without_opt_in(content),
        "key_properties": ["gid"],
        **({"bookmark_properties": ["modified_at"]} if incremental else {}),
    }


def without_opt_in(content: dict[str, Any], *, in_array: bool = False) -> dict[str, Any]:
    """A schema less what is not selected by default: opt-in fields, but not those of objects in arrays."""
    content = {key: value for key, value in content.items() if key not in {"x-asana-opt-in", "$schema"}}
    if "properties" in content:
        content["properties"] = {
            name: without_opt_in(child, in_array=in_array)
            for name, child in content["properties"].items()
            if in_array or "x-asana-opt-in" not in child
        }
    if "items" in content:
        content["items"] = without_opt_in(content["items"], in_array=True)
    return content


def test_a_run_brings_every_object_of_the_organization(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    run = run_tap(settings_for(sandbox))

    streams = ("tasks", "messages", "teams")
    assert "Stream maps or flattening make the records" not in run.stderr
    assert {stream: run.by_gid(stream) for stream in streams} == {
        stream: expected(sandbox, stream) for stream in streams
    }


def test_one_export_serves_all_streams_and_its_request_names_no_fields(
    sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    run_tap(settings_for(sandbox))

    assert parameters(sandbox) == [[{"resource_type": "task"}, {"resource_type": "message"}, {"resource_type": "team"}]]


def test_the_next_run_asks_for_what_changed_since_the_export_was_created_less_the_overlap(
    sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    first = run_tap(settings_for(sandbox))
    touched, deleted, *_ = first.by_gid("tasks")
    organization = sandbox.organizations[WORKSPACE]
    organization.touch(touched, name="Changed")
    organization.delete(deleted)
    added = organization.add("task")

    second = run_tap(settings_for(sandbox, overlap=0), state=first.state)

    created_at = first.records("exports")[0]["created_at"]
    since = {"filters": {"modified_at.after": created_at}}
    assert parameters(sandbox)[1] == [
        {"resource_type": "task", **since},
        {"resource_type": "message", **since},
        {"resource_type": "team"},
    ]
    current = expected(sandbox, "tasks")
    assert second.by_gid("tasks") == {gid: current[gid] for gid in (touched, added)}
    assert second.records("exports")[0]["full"] is False

    run_tap(settings_for(sandbox, overlap=90), state=first.state)

    reaching_back = parse_time(created_at) - timedelta(seconds=90)
    assert parameters(sandbox)[2][0]["filters"] == {"modified_at.after": format_time(reaching_back)}


def test_an_object_that_changes_while_its_export_runs_comes_with_the_next_run(
    sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    organization = sandbox.organizations[WORKSPACE]
    gid = next(iter(expected(sandbox, "tasks")))
    old = expected(sandbox, "tasks")[gid]

    def touch_after_the_file_is_written(request: Any) -> None:
        if request.path.startswith("/object_export") or "/download/" in request.path:
            organization.touch(gid, name="Changed while the export ran")

    sandbox.on_request = touch_after_the_file_is_written
    first = run_tap(settings_for(sandbox))
    sandbox.on_request = None
    second = run_tap(settings_for(sandbox, overlap=0), state=first.state)

    assert first.by_gid("tasks")[gid] == old
    assert second.by_gid("tasks") == {gid: expected(sandbox, "tasks")[gid]}
    assert second.by_gid("tasks")[gid]["name"] == "Changed while the export ran"


def test_an_empty_export_moves_the_bookmarks_too(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    first = run_tap(settings_for(sandbox))
    second = run_tap(settings_for(sandbox, overlap=0), state=first.state)

    assert second.records("tasks") == []
    bookmark = second.state["bookmarks"]["tasks"]["partitions"][0]["replication_key_value"]
    assert bookmark == second.records("exports")[0]["created_at"]
    assert bookmark > first.records("exports")[0]["created_at"]


def test_a_start_date_bounds_the_first_export_only(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    settings = settings_for(sandbox, start_date="2026-01-31", overlap=0)
    first = run_tap(settings)
    run_tap(settings, state=first.state)

    created_at = first.records("exports")[0]["created_at"]
    assert [each[0]["filters"] for each in parameters(sandbox)] == [
        {"modified_at.after": "2026-01-31T00:00:00.000Z"},
        {"modified_at.after": created_at},
    ]


def test_filters_become_one_request_parameter_each_and_bound_the_time_each(
    sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    filters = {
        "tasks": [
            {"assignee.any": ["1", "2"]},
            {"created_by.any": ["3"], "modified_at.after": "2020-01-01T00:00:00Z"},
            {"modified_at.after": "2026-02-01T00:00:00+01:00"},
        ]
    }
    run_tap(settings_for(sandbox, filters=filters, start_date="2026-01-31T00:00:00Z"))

    start = "2026-01-31T00:00:00.000Z"
    assert parameters(sandbox) == [
        [
            {"resource_type": "task", "filters": {"assignee.any": ["1", "2"], "modified_at.after": start}},
            {"resource_type": "task", "filters": {"created_by.any": ["3"], "modified_at.after": start}},
            {"resource_type": "task", "filters": {"modified_at.after": "2026-02-01T00:00:00+01:00"}},
            {"resource_type": "message", "filters": {"modified_at.after": start}},
            {"resource_type": "team"},
        ]
    ]


def test_stream_maps_and_flattening_apply(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    maps = {
        "tasks": {
            "__alias__": "to_do",
            "__filter__": "not completed",
            "__else__": None,
            "gid": "gid",
            "loud": "name.upper()",
        },
        "messages": None,
        "exports": None,
    }
    run = run_tap(settings_for(sandbox, stream_maps=maps, flattening_enabled=True, flattening_max_depth=1))

    assert run.by_gid("to_do") == {
        gid: {"gid": gid, "loud": task["name"].upper()}
        for gid, task in expected(sandbox, "tasks").items()
        if not task["completed"]
    }
    assert {message["stream"] for message in run.of("SCHEMA")} == {"to_do", "teams"}
    assert "Stream maps or flattening make the records of tasks, messages and teams, which takes" in run.stderr
    assert run.records("teams")[0]["organization__gid"] == WORKSPACE


def test_objects_of_a_type_that_no_stream_takes_are_counted_and_named(
    sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    sandbox.faults = {"unknown_type": 1}
    run = run_tap(settings_for(sandbox))

    assert run.records("exports")[0]["objects"] == {"message": 10, "sprocket": 1, "task": 40, "team": 3}
    assert run.stderr.count(": it brought 1 object of type 'sprocket', which no stream takes") == 1


def test_workspaces_are_found_through_the_token_and_keep_a_state_each(run_tap: Callable[..., Run]) -> None:
    with Sandbox(workspaces=3, tasks=5, messages=1, teams=1, large=0, job_seconds=0, change_interval=0) as sandbox:
        run = run_tap(settings_for(sandbox, workspaces=[]))

    gids = sorted(sandbox.organizations)
    assert [export["workspace_gid"] for export in run.records("exports")] == gids
    assert [each["context"] for each in run.state["bookmarks"]["tasks"]["partitions"]] == [
        {"workspace_gid": gid} for gid in gids
    ]
    assert {task["workspace_gid"] for task in run.records("tasks")} == set(gids)


def test_a_run_goes_on_with_the_job_that_an_earlier_run_left_pending(
    sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    sandbox.job_seconds = 2
    first = run_tap(settings_for(sandbox, wait_timeout=0.1))
    sandbox.job_seconds = 0
    second = run_tap(settings_for(sandbox), state=first.state)

    assert (first.code, second.code) == (1, 0)
    assert len(parameters(sandbox)) == 1
    assert second.by_gid("tasks") == expected(sandbox, "tasks")


def test_a_pending_job_of_another_request_or_one_that_is_gone_is_not_used(
    sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    finished = run_tap(settings_for(sandbox))
    pending = finished.of("STATE")[0]["value"]["bookmarks"]["exports"]["partitions"][0]["pending"]

    def state(**changes: str) -> dict[str, Any]:
        partition = {"context": CONTEXT, "pending": pending | changes}
        return {"bookmarks": {"exports": {"partitions": [partition]}}}

    same = run_tap(settings_for(sandbox), state=state())
    assert len(parameters(sandbox)) == 1
    another = run_tap(settings_for(sandbox), state=state(request="sha256:0"))
    assert len(parameters(sandbox)) == 2
    gone = run_tap(settings_for(sandbox), state=state(job_gid="404"))
    assert len(parameters(sandbox)) == 3
    assert [run.code for run in (same, another, gone)] == [0, 0, 0]
    assert same.by_gid("tasks") == another.by_gid("tasks") == gone.by_gid("tasks")


@pytest.mark.external
def test_the_output_satisfies_singer_check_tap(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    run = run_tap(settings_for(sandbox))

    # singer-tools pins an attrs that the SDK cannot live with, so it gets an environment of its own.
    check = subprocess.run(
        [*UVX, "--from", "singer-tools==0.4.1", "singer-check-tap"],
        input=run.stdout,
        capture_output=True,
        check=False,
    )
    assert check.returncode == 0, check.stderr.decode()
    assert "The output is valid." in check.stdout.decode()
    counts = dict(re.findall(r"\|\s*(tasks|teams|messages|exports)\s*\|\s*(\d+)", check.stdout.decode()))
    assert counts == {"tasks": "40", "teams": "3", "messages": "10", "exports": "1"}
