"""Graph exports: what hangs below a goal, a team, a portfolio or a project, whole each time."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

import jsonschema
import pytest

from tap_asana_export.asana.client import Asana
from tap_asana_export.limits import Limits
from tap_asana_export.sandbox import Sandbox
from tap_asana_export.sandbox.export import FORMS
from tap_asana_export.sandbox.faults import FAULTS
from tap_asana_export.sandbox.graph import KINDS
from tap_asana_export.tap import TapAsanaExport
from tap_asana_export.times import format_time, parse_time
from tap_asana_export.waiting import finish
from tests.support.activity import ACTIVITY_MOMENTS
from tests.support.graphs import RESOURCES, STREAMS, in_graph, parents, selecting
from tests.support.lists import LIST_MOMENTS
from tests.support.organizations import expected
from tests.support.tap import WORKSPACE, Run, select, settings_for, sync
from tests.support.targets import load, target_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.clock import Clock
    from tests.support.postgres import Postgres


IN_SMALL_BLOCKS = Limits(text=1 << 13, state_lines=5)
WITH_A_SMALL_CACHE = Limits(cached_tasks=5)
UNKNOWN = (
    "POST /exports/graph: Asana answered 404: parent: Unknown object: 4711. Asana does not know it, or the token "
    "cannot see it: check the settings workspaces and graph_parents."
)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A small organization in which nothing changes by itself."""
    with Sandbox(
        tasks=60, messages=3, teams=3, projects=14, large=0, change_interval=0, job_seconds=0, graph_cache_tasks=1000
    ) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def graph_catalog(catalog: dict[str, Any]) -> dict[str, Any]:
    """The streams of graphs, and no others."""
    return selecting(catalog, STREAMS.values())


def graph_settings(sandbox: Sandbox, *parents: str, **settings: Any) -> dict[str, Any]:
    return settings_for(sandbox, workspaces=[], graph_parents=list(parents), **settings)


def patched(command: list[str], limits: Limits) -> list[str]:
    """The tap's command, with the limits that it has for large exports made small."""
    imports = "from tap_asana_export.limits import Limits; from tap_asana_export.tap import TapAsanaExport"
    given = ", ".join(f"{name}={getattr(limits, name)}" for name in ("text", "state_lines"))
    code = f"{imports}; TapAsanaExport.limits = Limits({given}); from tap_asana_export.__main__ import main; main()"
    return [sys.executable, "-c", code, *command[3:]]


def brought(*runs: Run) -> dict[str, list[dict[str, Any]]]:
    """By stream, the records that runs brought, in their order."""
    return {stream: [each for run in runs for each in run.records(stream)] for stream in STREAMS.values()}


def by_key(records: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    found = {(each["parent_gid"], each["gid"]): each for each in records}
    assert len(found) == len(records)
    return found


def posts(sandbox: Sandbox) -> list[str]:
    """The parents whose graph was asked for, or the workspaces."""
    bodies = [json.loads(each.body)["data"] for each in sandbox.requests if each.method == "POST"]
    return [body.get("parent") or body["workspace"] for body in bodies]


def partitions(run: Run, stream: str = "exports") -> dict[str, dict[str, Any]]:
    """A stream's state by parent."""
    return {each["context"]["parent_gid"]: each for each in run.state["bookmarks"][stream]["partitions"]}


def pending(run: Run, parent: str) -> dict[str, Any]:
    found: dict[str, Any] = partitions(run)[parent]["pending"]
    return found


# ── records ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_object_of_a_graph_comes_once_whatever_the_file_looks_like(
    kind: str, form: str, sandbox: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    sandbox.graph_format = form
    parent = parents(sandbox)[kind]
    run = run_tap(graph_settings(sandbox, parent), catalog=graph_catalog)

    assert (run.code, brought(run)) == (0, in_graph(sandbox, parent))
    assert len([by_key(records) for records in brought(run).values() if records]) >= 4


def test_every_type_of_object_is_met(sandbox: Sandbox) -> None:
    assert all(in_graph(sandbox, *parents(sandbox).values()).values())


def test_every_row_is_valid_by_its_schema(
    sandbox: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    run = run_tap(graph_settings(sandbox, *parents(sandbox).values()), catalog=graph_catalog)

    schemas = {message["stream"]: message for message in run.of("SCHEMA")}
    assert {name: message["key_properties"] for name, message in schemas.items()} == {
        "exports": ["gid"],
        **{stream: ["parent_gid", "gid"] for stream in STREAMS.values()},
    }
    for stream in schemas:
        validator = jsonschema.Draft202012Validator(schemas[stream]["schema"])
        for record in run.records(stream):
            validator.validate(record)
    assert "does not know" not in run.stderr


@pytest.mark.parametrize("form", FORMS)
def test_a_relation_without_a_gid_gets_one_that_stays_the_same(
    form: str, sandbox: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    sandbox.graph_relation_gids = False
    sandbox.graph_format = form
    parent = parents(sandbox)["portfolio"]
    first, second = (run_tap(graph_settings(sandbox, parent), catalog=graph_catalog) for _ in range(2))
    sandbox.graph_format = "lines"
    third = run_tap(graph_settings(sandbox, parent), catalog=graph_catalog)

    assert (first.code, brought(first), brought(second)) == (0, brought(third), brought(third))
    for stream in ("graph_portfolio_to_portfolio", "graph_project_to_portfolio"):
        records = first.records(stream)
        assert len(records) == len({each["gid"] for each in records}) > 1
        assert all(len(each["gid"]) == 32 for each in records)
        without = [{name: value for name, value in each.items() if name != "gid"} for each in records]
        assert without == in_graph(sandbox, parent)[stream]


def test_a_stream_map_meets_the_gid_of_a_relation_without_one(
    sandbox: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    sandbox.graph_relation_gids = False
    parent = parents(sandbox)["portfolio"]
    plain = run_tap(graph_settings(sandbox, parent), catalog=graph_catalog)
    maps = {"graph_project_to_portfolio": {"key": "gid"}}
    mapped = run_tap(graph_settings(sandbox, parent, stream_maps=maps), catalog=graph_catalog)

    records = plain.records("graph_project_to_portfolio")
    assert mapped.records("graph_project_to_portfolio") == [{**each, "key": each["gid"]} for each in records]


def test_what_is_deselected_does_not_come_out(
    sandbox: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    parent = parents(sandbox)["team"]
    catalog = select(
        graph_catalog,
        {
            ("graph_tasks", "properties", "assignee"): False,
            ("graph_tasks", "properties", "projects", "properties", "name"): False,
            ("graph_sections", "properties", "project", "properties", "name"): False,
            ("graph_allocations",): False,
        },
    )
    run = run_tap(graph_settings(sandbox, parent), catalog=catalog)

    wanted = in_graph(sandbox, parent)
    allocations = len(wanted["graph_allocations"])
    wanted["graph_allocations"] = []
    for task in wanted["graph_tasks"]:
        del task["assignee"]
        for project in task["projects"]:
            del project["name"]
    for section in wanted["graph_sections"]:
        del section["project"]["name"]
    assert (run.code, brought(run)) == (0, wanted)
    assert run.records("exports")[0]["objects"]["allocation"] == allocations > 0
    schemas = {message["stream"]: message["schema"]["properties"] for message in run.of("SCHEMA")}
    assert "graph_allocations" not in schemas
    assert "assignee" not in schemas["graph_tasks"]
    assert "name" not in schemas["graph_tasks"]["projects"]["items"]["properties"]
    assert "name" not in schemas["graph_sections"]["project"]["properties"]
    assert "no stream takes" not in run.stderr


def test_a_line_of_an_unknown_type_is_counted_and_named_once(
    sandbox: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    sandbox.faults = {"unknown_type": 1}
    parent = parents(sandbox)["team"]
    run = run_tap(graph_settings(sandbox, parent), catalog=graph_catalog)

    [export] = run.records("exports")
    assert (run.code, brought(run), export["objects"]["sprocket"]) == (0, in_graph(sandbox, parent), 1)
    assert run.warnings == [
        f"Graph of {parent}: export job {export['job_gid']}: it brought 1 object of type 'sprocket', which no stream "
        "takes."
    ]


# ── what is asked of Asana ────────────────────────────────────────────────────────────────────────────────


def test_graphs_alone_need_nothing_of_workspaces(
    sandbox: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    parent = parents(sandbox)["goal"]
    run = run_tap(graph_settings(sandbox, parent), catalog=graph_catalog)

    job = f"/api/1.0/jobs/{run.records('exports')[0]['job_gid']}"
    asked = [(each.method, each.path) for each in sandbox.requests]
    assert asked == [("POST", "/api/1.0/exports/graph"), ("GET", job), ("GET", ANY)]
    assert asked[2][1].startswith("/graph_export/")
    assert [json.loads(each.body) for each in sandbox.requests if each.body] == [{"data": {"parent": parent}}]


def test_a_workspace_and_a_graph_come_side_by_side(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    parent = parents(sandbox)["team"]
    both = selecting(catalog, [*RESOURCES, *STREAMS.values()])
    run = run_tap(settings_for(sandbox, graph_parents=[parent]), catalog=both)

    assert (run.code, brought(run)) == (0, in_graph(sandbox, parent))
    assert {stream: run.by_gid(stream) for stream in RESOURCES} == {
        stream: expected(sandbox, stream) for stream in RESOURCES
    }
    assert (posts(sandbox), [each.method for each in sandbox.requests][:3]) == (
        [WORKSPACE, parent],
        ["POST", "POST", "GET"],
    )
    assert [(each["kind"], each["workspace_gid"], each["parent_gid"]) for each in run.records("exports")] == [
        ("resource", WORKSPACE, None),
        ("graph", None, parent),
    ]
    assert [each["context"] for each in run.state["bookmarks"]["tasks"]["partitions"]] == [{"workspace_gid": WORKSPACE}]
    assert list(partitions(run, "graph_tasks")) == [parent]


def test_parents_without_a_stream_of_graphs_are_an_error(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    run = run_tap(graph_settings(sandbox, parents(sandbox)["team"]))

    assert ([each.get("stream") for each in run.messages], posts(sandbox)) == (["exports"], [])
    assert (run.code, run.last_line) == (
        1,
        "The setting graph_parents wants graphs, but the catalog selects no stream graph_….",
    )


def test_streams_of_graphs_without_parents_are_an_error(
    sandbox: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    run = run_tap(graph_settings(sandbox), catalog=graph_catalog)

    assert ([each.get("stream") for each in run.messages], posts(sandbox)) == (["exports"], [])
    assert (run.code, run.last_line) == (
        1,
        "The catalog selects nothing to export: set graph_parents, or select other streams.",
    )


def test_an_unknown_parent_does_not_lose_the_others_and_the_run_names_it(
    sandbox: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    first, second = parents(sandbox)["goal"], parents(sandbox)["project"]
    run = run_tap(graph_settings(sandbox, first, "4711", second), catalog=graph_catalog)

    assert (run.code, run.last_line) == (
        1,
        f"1 of 3 exports failed. Graph of 4711: {UNKNOWN} The other 2 came through.",
    )
    assert brought(run) == in_graph(sandbox, first, second)
    assert [bool(partitions(run)[gid].get("completed_at")) for gid in (first, "4711", second)] == [True, False, True]


def test_the_only_parent_is_unknown(
    sandbox: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    run = run_tap(graph_settings(sandbox, "4711"), catalog=graph_catalog)

    assert (run.code, run.last_line, posts(sandbox)) == (1, UNKNOWN, ["4711"])


def test_a_job_that_runs_already_is_waited_for(
    sandbox: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    sandbox.job_seconds = 3600
    sandbox.on_request = lambda request: setattr(sandbox, "job_seconds", 0 if request.method == "GET" else 3600)
    parent = parents(sandbox)["team"]
    job = finish(Asana(sandbox.api_url, sandbox.access_token, user_agent="test", timeout=5).request_graph(parent))
    run = run_tap(graph_settings(sandbox, parent), catalog=graph_catalog)

    assert (run.code, run.records("exports")[0]["job_gid"], brought(run)) == (0, job.gid, in_graph(sandbox, parent))
    assert posts(sandbox) == [parent, parent]


# ── what a run leaves behind ──────────────────────────────────────────────────────────────────────────────


def test_the_record_of_the_export_and_the_state_by_parent(
    sandbox: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    gids = [parents(sandbox)["team"], parents(sandbox)["project"]]
    run = run_tap(graph_settings(sandbox, *gids), catalog=graph_catalog)

    exports = {each["parent_gid"]: each for each in run.records("exports")}
    for gid in gids:
        objects = {kind: len(in_graph(sandbox, gid)[stream]) for kind, stream in STREAMS.items()}
        assert exports[gid] == {
            "gid": ANY,
            "job_gid": ANY,
            "kind": "graph",
            "workspace_gid": None,
            "parent_gid": gid,
            "created_at": ANY,
            "completed_at": ANY,
            "full": True,
            "objects": dict(sorted(objects.items())),
            "lines": sum(objects.values()),
            "bytes": ANY,
            "unknown_fields": {},
        }
    assert [each["type"] for each in run.messages[-2:]] == ["RECORD", "STATE"]
    assert run.state == {
        "bookmarks": {
            "exports": {
                "partitions": [
                    {
                        "context": {"parent_gid": gid},
                        "pending": None,
                        "completed_at": exports[gid]["completed_at"],
                        "job_gid": exports[gid]["job_gid"],
                    }
                    for gid in gids
                ]
            },
            **{
                stream: {
                    "partitions": [
                        {
                            "context": {"parent_gid": gid},
                            "completed_at": exports[gid]["completed_at"],
                            "full_at": exports[gid]["created_at"],
                            "scope": {"start_date": None, "filters": None, "fields": ANY, "renewed_from": None},
                        }
                        for gid in gids
                    ]
                }
                for stream in STREAMS.values()
            },
        }
    }
    times = {(each["record"].get("parent_gid"), each["time_extracted"]) for each in run.of("RECORD")}
    assert times == {(gid, exports[gid]["created_at"].replace("Z", "000Z")) for gid in gids}


def test_a_graph_is_whole_each_time(
    sandbox: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    parent = parents(sandbox)["team"]
    first = run_tap(graph_settings(sandbox, parent), catalog=graph_catalog)
    task = first.records("graph_tasks")[0]["gid"]
    sandbox.organizations[WORKSPACE].touch(task, name="Changed")
    second = run_tap(graph_settings(sandbox, parent), catalog=graph_catalog, state=first.state)

    assert (second.code, brought(second)) == (0, in_graph(sandbox, parent))
    assert (posts(sandbox), by_key(second.records("graph_tasks"))[parent, task]["name"]) == ([parent] * 2, "Changed")
    assert "cached" not in second.stderr


# ── going on ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("form", ["lines", "array", "object"])
def test_after_a_file_that_ended_too_early_each_row_comes_exactly_once(
    form: str, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    with Sandbox(
        tasks=400, messages=0, teams=1, large=0, change_interval=0, job_seconds=0, graph_format=form
    ) as sandbox:
        sandbox.faults = {"truncated": 1}
        parent = parents(sandbox)["team"]
        first = run_tap(graph_settings(sandbox, parent), catalog=graph_catalog, limits=IN_SMALL_BLOCKS)
        job_gid, lines = pending(first, parent)["job_gid"], pending(first, parent)["lines"]
        second = run_tap(
            graph_settings(sandbox, parent), catalog=graph_catalog, state=first.state, limits=IN_SMALL_BLOCKS
        )
        wanted = in_graph(sandbox, parent)

    assert (first.code, first.last_line) == (
        1,
        f"Graph of {parent}: the file of export job {job_gid} breaks at line {lines + 1}: the gzip data ends too early."
        " Bookmarks stay where they were. Run again. If this repeats, another export is asked for.",
    )
    assert 10 < lines == sum(map(len, brought(first).values())) < sum(map(len, wanted.values()))
    assert (second.code, brought(first, second), posts(sandbox)) == (0, wanted, [parent])
    assert second.records("exports")[0]["lines"] == sum(map(len, wanted.values()))


@pytest.mark.soak
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_while_it_waits_leaves_the_job_to_the_next_one(
    signum: signal.Signals,
    sandbox: Sandbox,
    arguments: Callable[..., list[str]],
    run_tap: Callable[..., Run],
    graph_catalog: dict[str, Any],
) -> None:
    sandbox.job_seconds = 3600
    polled = threading.Semaphore(0)
    sandbox.on_request = lambda request: polled.release() if request.method == "GET" else None
    parent = parents(sandbox)["portfolio"]
    command = arguments(graph_settings(sandbox, parent), catalog=graph_catalog)
    tap = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    polled.acquire()
    tap.send_signal(signum)
    stdout, stderr = tap.communicate(timeout=30)
    first = Run(tap.returncode, stdout, stderr.decode())
    sandbox.job_seconds = 0
    second = run_tap(graph_settings(sandbox, parent), catalog=graph_catalog, state=first.state)

    assert first.code == (128 + signum if signum == signal.SIGTERM else -signum)
    assert (second.code, brought(second), posts(sandbox)) == (0, in_graph(sandbox, parent), [parent])
    assert second.records("exports")[0]["job_gid"] == pending(first, parent)["job_gid"]


def test_a_deferred_graph_is_collected_by_the_next_run(
    sandbox: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    parent = parents(sandbox)["goal"]
    impatient = graph_settings(sandbox, parent, wait_timeout=0.05, defer=True)
    sandbox.job_seconds = 3600
    first = run_tap(impatient, catalog=graph_catalog)
    sandbox.job_seconds = 0
    second = run_tap(impatient, catalog=graph_catalog, state=first.state)

    assert (first.code, first.of("RECORD"), second.code) == (0, [], 0)
    assert "Deferred, as the setting defer wants it." in first.stderr
    assert (brought(second), posts(sandbox)) == (in_graph(sandbox, parent), [parent])


def test_a_job_of_a_parent_can_be_picked_up_by_its_gid(
    sandbox: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    parent = parents(sandbox)["team"]
    job = finish(Asana(sandbox.api_url, sandbox.access_token, user_agent="test", timeout=5).request_graph(parent))
    run = run_tap(graph_settings(sandbox, parent, job_gids={parent: job.gid}), catalog=graph_catalog)

    assert (run.code, brought(run), posts(sandbox)) == (0, in_graph(sandbox, parent), [parent])
    assert run.records("exports")[0]["job_gid"] == job.gid


def test_a_failed_job_is_asked_for_once_more(
    sandbox: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    parent = parents(sandbox)["team"]
    sandbox.faults = {"failed_job": 1}
    once = run_tap(graph_settings(sandbox, parent), catalog=graph_catalog)
    asked = posts(sandbox)
    sandbox.faults = {"failed_job": 2}
    twice = run_tap(graph_settings(sandbox, parent), catalog=graph_catalog)

    job = next(each.path.split("/")[-1] for each in reversed(sandbox.requests) if "/jobs/" in each.path)
    assert (once.code, brought(once), asked) == (0, in_graph(sandbox, parent), [parent] * 2)
    assert (twice.code, twice.last_line) == (
        1,
        f"Graph of {parent}: no export came through. The last cause: export job {job} is 'failed'."
        " Asana tells no reason. Run again; if it repeats, ask Asana's support with the job's gid.",
    )
    assert partitions(twice)[parent]["pending"] is None


def test_a_url_that_has_expired_is_signed_anew(
    sandbox: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    sandbox.faults = {"expired_url": 1}
    parent = parents(sandbox)["team"]
    run = run_tap(graph_settings(sandbox, parent), catalog=graph_catalog)

    storage = [each.status for each in sandbox.requests if each.path.startswith("/graph_export")]
    assert (run.code, brought(run), storage, posts(sandbox)) == (0, in_graph(sandbox, parent), [403, 200], [parent])


# ── faults ────────────────────────────────────────────────────────────────────────────────────────────────


OF_GRAPHS = [
    name
    for moment, faults in FAULTS.items()
    for name in faults
    if name not in {"busy", "ignore_range"} and moment not in LIST_MOMENTS + ACTIVITY_MOMENTS
]
"""Faults that a graph export can meet."""

FAILING = {"forbidden", "bad_line", "unknown_status", "truncated", "corrupt", "html_page"}
"""Faults that end the run if they strike once."""


@pytest.mark.soak
@pytest.mark.parametrize(("fault", "form"), [*itertools.product(OF_GRAPHS, FORMS)])
def test_whatever_goes_wrong_once_the_next_run_brings_the_rest(
    fault: str, form: str, clock: Clock, graph_catalog: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    monkeypatch.setattr(TapAsanaExport, "limits", Limits(kept=timedelta.max, file_block=1000))
    with Sandbox(tasks=30, teams=2, large=0, change_interval=0, job_seconds=2, clock=clock) as sandbox:
        sandbox.graph_format = form
        settings = graph_settings(sandbox, parent := parents(sandbox)["team"], poll_interval=1)
        sandbox.faults = {fault: 1}
        first = sync(settings, graph_catalog)
        assert sandbox.faults == {fault: 0}
        assert (first.code, bool(first.last_line)) == ((1, True) if fault in FAILING else (0, False)), first.last_line
        wanted = {stream: by_key(records) for stream, records in in_graph(sandbox, parent).items()}
        if first.code:
            state: Any = first.state if first.of("STATE") else None
            second = sync(settings, graph_catalog, state)
            rows = {stream: rows_of(first, second, stream=stream) for stream in wanted}
            assert (second.code, second.last_line, rows) == (0, "", wanted)
        else:
            assert {stream: by_key(records) for stream, records in brought(first).items()} == wanted
        again = {"failed_job", "no_such_key", "forbidden", "bad_line", "lost_answer", "rate_limited"}
        again |= {"rate_limited_without_hint", "rate_limited_until", "server_error", "unavailable"}
        again |= {"too_many_jobs", "too_many_jobs_without_hint"}
        assert posts(sandbox) == [parent] * (2 if fault in again else 1)


def rows_of(*runs: Run, stream: str) -> dict[tuple[str, str], dict[str, Any]]:
    """What a target makes of records: the last one of each key."""
    return {(each["parent_gid"], each["gid"]): each for run in runs for each in run.records(stream)}


@pytest.mark.soak
@pytest.mark.parametrize("form", FORMS)
def test_killed_again_and_again_every_row_before_a_state_comes_exactly_once(
    form: str, arguments: Callable[..., list[str]], graph_catalog: dict[str, Any]
) -> None:
    chance = random.Random(form)  # noqa: S311 - the same each time
    with Sandbox(tasks=400, messages=0, teams=1, large=0, change_interval=0, job_seconds=0) as sandbox:
        sandbox.graph_format = form
        settings = graph_settings(sandbox, parent := parents(sandbox)["team"])
        state: Any = None
        kept: list[tuple[str, dict[str, Any]]] = []
        for kill in (True, True, True, False):
            tap = subprocess.Popen(
                patched(arguments(settings, catalog=graph_catalog, state=state), IN_SMALL_BLOCKS),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            assert tap.stdout is not None
            out, end = b"", chance.randrange(1, 120) if kill else 1 << 30
            while out.count(b'"RECORD"') < end and (text := os.read(tap.stdout.fileno(), 1 << 16)):
                out += text
            tap.kill()
            out += tap.stdout.read()
            tap.stdout.close()
            assert tap.wait() == (-signal.SIGKILL if kill else 0)
            messages = [json.loads(line) for line in out.split(b"\n")[:-1]]
            said = max(number for number, message in enumerate(messages) if message["type"] == "STATE")
            state = messages[said]["value"]
            kept += [(each["stream"], each["record"]) for each in messages[:said] if each["type"] == "RECORD"]
        wanted = in_graph(sandbox, parent)

    assert {stream: [record for name, record in kept if name == stream] for stream in wanted} == wanted
    assert posts(sandbox) == [parent]


# ── Asana gives the same graph again for four hours ───────────────────────────────────────────────────────


@pytest.fixture
def caching(sandbox: Sandbox) -> Sandbox:
    sandbox.graph_cache_tasks = 5
    return sandbox


def test_a_graph_that_would_only_come_again_is_not_asked_for(
    caching: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    settings = graph_settings(caching, parent := parents(caching)["team"])
    first = run_tap(settings, catalog=graph_catalog, limits=WITH_A_SMALL_CACHE)
    caching.requests.clear()
    second = run_tap(settings, catalog=graph_catalog, state=first.state, limits=WITH_A_SMALL_CACHE)

    [export] = first.records("exports")
    until = format_time(parse_time(export["completed_at"]) + timedelta(hours=4))
    assert partitions(first)[parent]["cached_until"] == until
    assert (second.code, second.of("RECORD"), list(caching.requests)) == (0, [], [])
    assert (
        f"Graph of {parent}: export job {export['job_gid']}: Asana keeps its result, and would give it again, until "
        f"{until}" in second.stderr
    )
    assert all(each["value"] == first.state for each in second.of("STATE"))


def test_a_graph_of_few_tasks_is_made_anew_each_time(
    caching: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    parent = parents(caching)["team"]
    tasks = len(in_graph(caching, parent)["graph_tasks"])
    limits = [Limits(cached_tasks=tasks - more) for more in (0, 1)]
    runs = [run_tap(graph_settings(caching, parent), catalog=graph_catalog, limits=limit) for limit in limits]

    assert [bool(partitions(run)[parent].get("cached_until")) for run in runs] == [False, True]


def test_a_new_stream_is_filled_from_the_job_that_asana_would_give_again(
    caching: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    settings = graph_settings(caching, parent := parents(caching)["team"])
    fewer = select(graph_catalog, {("graph_sections",): False})
    first = run_tap(settings, catalog=fewer, limits=WITH_A_SMALL_CACHE)
    second = run_tap(settings, catalog=graph_catalog, state=first.state, limits=WITH_A_SMALL_CACHE)
    third = run_tap(settings, catalog=graph_catalog, state=second.state, limits=WITH_A_SMALL_CACHE)

    assert (second.code, brought(second), posts(caching)) == (0, in_graph(caching, parent), [parent])
    assert [run.records("exports")[0]["job_gid"] for run in (first, second)] == [
        partitions(first)[parent]["job_gid"]
    ] * 2
    assert (third.code, third.of("RECORD")) == (0, [])


def test_a_newly_selected_property_is_filled_from_the_job_that_asana_would_give_again(
    caching: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    settings = graph_settings(caching, parent := parents(caching)["team"])
    fewer = select(graph_catalog, {("graph_tasks", "properties", "assignee"): False})
    first = run_tap(settings, catalog=fewer, limits=WITH_A_SMALL_CACHE)
    second = run_tap(settings, catalog=graph_catalog, state=first.state, limits=WITH_A_SMALL_CACHE)

    assert (second.code, brought(second), posts(caching)) == (0, in_graph(caching, parent), [parent])


def test_after_four_hours_a_graph_is_asked_for_anew(
    clock: Clock, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    clock.now = datetime.now(timezone.utc) - timedelta(hours=4, minutes=1)
    with Sandbox(
        tasks=60, teams=3, large=0, change_interval=0, job_seconds=0, graph_cache_tasks=5, clock=clock
    ) as sandbox:
        settings = graph_settings(sandbox, parent := parents(sandbox)["team"])
        first = run_tap(settings, catalog=graph_catalog, limits=WITH_A_SMALL_CACHE)
        clock.now = datetime.now(timezone.utc)
        second = run_tap(settings, catalog=graph_catalog, state=first.state, limits=WITH_A_SMALL_CACHE)

        exports = [run.records("exports")[0]["gid"] for run in (first, second)]
        assert (second.code, brought(second), posts(sandbox)) == (0, in_graph(sandbox, parent), [parent] * 2)
        assert exports[0] != exports[1]
        assert "cached" not in second.stderr


def test_a_result_that_comes_again_is_told_of_with_its_time(
    caching: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    settings = graph_settings(caching, parent := parents(caching)["team"])
    first = run_tap(settings, catalog=graph_catalog)
    second = run_tap(settings, catalog=graph_catalog)

    [before], [after] = first.records("exports"), second.records("exports")
    assert (second.code, brought(second), posts(caching)) == (0, brought(first), [parent] * 2)
    assert (before["job_gid"] != after["job_gid"], before | {"job_gid": after["job_gid"]}) == (True, after)
    assert "its result is a cached one" not in first.stderr
    assert (
        f"Graph of {parent}: export job {after['job_gid']}: its result is a cached one, of {before['created_at']}"
        in second.stderr
    )


def test_a_job_that_the_settings_name_is_read_although_asana_would_give_another_again(
    caching: Sandbox, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    parent = parents(caching)["team"]
    first = run_tap(graph_settings(caching, parent), catalog=graph_catalog, limits=WITH_A_SMALL_CACHE)
    job = finish(Asana(caching.api_url, caching.access_token, user_agent="test", timeout=5).request_graph(parent))
    settings = graph_settings(caching, parent, job_gids={parent: job.gid})
    second = run_tap(settings, catalog=graph_catalog, state=first.state, limits=WITH_A_SMALL_CACHE)

    assert (second.code, brought(second)) == (0, in_graph(caching, parent))
    assert second.records("exports")[0]["job_gid"] == job.gid


# ── deletions ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_graph_activates_the_oldest_version_of_all_parents(
    clock: Clock, run_tap: Callable[..., Run], graph_catalog: dict[str, Any]
) -> None:
    clock.now = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=1)
    with Sandbox(tasks=30, teams=3, large=0, change_interval=0, job_seconds=0, clock=clock) as sandbox:
        gids = [parents(sandbox)["team"], parents(sandbox)["project"]]

        def run(*parents: str, state: Any = None) -> Run:
            settings = graph_settings(sandbox, *parents, emit_activate_version_messages=True)
            return run_tap(settings, catalog=graph_catalog, state=state)

        first = run(*gids)
        epoch = int(clock.now.timestamp())
        clock.sleep(3600)
        one = run(gids[0], state=first.state)
        clock.sleep(3600)
        both = run(*gids, state=one.state)

    def activated(run: Run) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for message in run.of("ACTIVATE_VERSION"):
            found.setdefault(message["stream"], []).append(message["version"])
        return found

    assert activated(first) == {stream: [epoch] for stream in STREAMS.values()}
    assert (activated(one), f"The state knows of parent {gids[1]} too" in one.stderr) == ({}, True)
    # The first parent's rows are of the hour before until the second one's have come.
    assert activated(both) == {stream: [epoch + 7200] for stream in STREAMS.values()}
    assert {each.get("version") for each in both.of("RECORD") if each["stream"] != "exports"} == {epoch + 7200}


def test_a_task_that_is_no_more_leaves_the_table_of_every_parent(
    clock: Clock,
    arguments: Callable[..., list[str]],
    graph_catalog: dict[str, Any],
    postgres: Postgres,
    tmp_path: Path,
) -> None:
    clock.now = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=1)
    target = target_postgres(postgres, tmp_path, hard_delete=True)
    with Sandbox(tasks=60, teams=3, projects=14, large=0, change_interval=0, job_seconds=0, clock=clock) as sandbox:
        gids = [parents(sandbox)["team"], parents(sandbox)["project"]]
        settings = graph_settings(sandbox, *gids, emit_activate_version_messages=True)

        def table() -> dict[str, dict[tuple[str, str], Any]]:
            return {
                stream: {key: row.get("name") for key, row in by_key(target.rows(stream)).items()}
                for stream in ("graph_tasks", "graph_sections")
            }

        def wanted() -> dict[str, dict[tuple[str, str], Any]]:
            objects = in_graph(sandbox, *gids)
            return {
                stream: {key: row.get("name") for key, row in by_key(objects[stream]).items()}
                for stream in ("graph_tasks", "graph_sections")
            }

        state = load(arguments(settings, catalog=graph_catalog), target)
        before = wanted()
        assert table() == before

        clock.sleep(3600)
        doomed = next(gid for parent, gid in before["graph_tasks"] if parent == gids[1])
        sandbox.organizations[WORKSPACE].delete(doomed)
        load(arguments(settings, catalog=graph_catalog, state=state), target)
        assert (gids[0], doomed) in before["graph_tasks"]
        assert len(wanted()["graph_tasks"]) < len(before["graph_tasks"])
        assert table() == wanted()
