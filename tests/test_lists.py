"""Asana's lists, through the tap's command line and the sandbox: records, requests, versions, state."""

from __future__ import annotations

import gzip
import json
import signal
import time
import tracemalloc
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import pytest

from tap_asana_export.records import activate_version_messages
from tap_asana_export.sandbox import Sandbox
from tap_asana_export.sandbox.faults import FAULTS
from tests.support.lists import LIST_MOMENTS, LISTS, by_key, listed, only
from tests.support.scripted_api import Answer, Asked, ScriptedApi, page, paged, refusal
from tests.support.tap import WORKSPACE, Run, select, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_asana_export.sandbox.wire import Request

OTHER = "1200000000000002"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(
        workspaces=2, tasks=40, messages=5, teams=3, users=20, projects=12, large=0, change_interval=0, job_seconds=0
    ) as sandbox:
        yield sandbox


def queries(sandbox: Sandbox, path: str) -> list[dict[str, str]]:
    """The queries of the requests for a list, from now on."""
    found: list[dict[str, str]] = []

    def note(request: Request) -> None:
        if request.path.endswith(path):
            found.append(request.query)

    sandbox.on_request = note
    return found


@pytest.mark.parametrize("stream", LISTS)
def test_the_records_of_a_list_are_asanas_objects(
    stream: str, sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    run = run_tap(settings_for(sandbox), catalog=only(catalog, [stream], opt_in=True))

    assert run.code == 0, run.stderr
    assert by_key(stream, run.records(stream)) == listed(sandbox, stream)
    assert run.warnings == []


@pytest.mark.parametrize("tags", [0, 1, 100, 101, 250])
def test_pages_are_of_a_hundred_objects(tags: int, catalog: dict[str, Any], run_tap: Callable[..., Run]) -> None:
    with Sandbox(tags=tags, users=1, tasks=0, messages=0, teams=0, projects=0, large=0, change_interval=0) as sandbox:
        asked = queries(sandbox, "/tags")
        run = run_tap(settings_for(sandbox), catalog=only(catalog, ["exports", "tags"]))

        assert run.code == 0, run.stderr
        assert by_key("tags", run.records("tags")) == listed(sandbox, "tags")
        assert len(asked) == max(1, -(-tags // 100))
    [record] = run.records("exports")
    assert (record["objects"], record["lines"]) == ({"tag": tags}, tags)


def test_what_the_catalog_selects_is_what_asana_is_asked_for_and_what_comes_out(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    users = next(each for each in catalog["streams"] if each["tap_stream_id"] == "users")
    wanted = {("properties", "email"), ("properties", "workspaces"), ("properties", "workspaces", "properties", "name")}
    breadcrumbs = [tuple(each["breadcrumb"]) for each in users["metadata"] if each["breadcrumb"]]
    selection = {("users", *each): each in wanted for each in breadcrumbs}
    asked = queries(sandbox, "/users")
    run = run_tap(settings_for(sandbox), catalog=select(only(catalog, ["users"]), selection))

    assert run.code == 0, run.stderr
    assert [each["opt_fields"] for each in asked] == ["resource_type,gid,email,workspaces.name"]
    assert by_key("users", run.records("users")) == {
        key: {
            "gid": each["gid"],
            "email": each["email"],
            "workspaces": [{"name": workspace["name"]} for workspace in each["workspaces"]],
            "workspace_gid": WORKSPACE,
        }
        for key, each in listed(sandbox, "users").items()
    }


def test_no_url_becomes_longer_than_servers_take(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    asked = queries(sandbox, "")
    run = run_tap(settings_for(sandbox), catalog=only(catalog, LISTS, opt_in=True))

    assert run.code == 0, run.stderr
    assert max(len(urlencode(each)) for each in asked) < 7900  # nginx takes a line of 8 kB


def test_several_workspaces_have_their_own_lists(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    settings = settings_for(sandbox, workspaces=[WORKSPACE, OTHER])
    run = run_tap(settings, catalog=only(catalog, ["users", "projects", "sections", "portfolio_items"]))

    assert run.code == 0, run.stderr
    for stream in ("users", "projects", "sections", "portfolio_items"):
        keys = listed(sandbox, stream).keys() | listed(sandbox, stream, OTHER).keys()
        assert by_key(stream, run.records(stream)).keys() == keys


def test_lists_are_read_while_the_export_is_waited_for(catalog: dict[str, Any], run_tap: Callable[..., Run]) -> None:
    with Sandbox(tasks=10, messages=2, users=150, large=0, change_interval=0, job_seconds=1.5) as sandbox:
        run = run_tap(
            settings_for(sandbox), catalog=only(catalog, ["tasks", "exports", "users", "projects", "sections"])
        )
        paths = [urlsplit(each.path).path.removeprefix("/api/1.0") for each in sandbox.requests]

    assert run.code == 0, run.stderr
    jobs = [place for place, path in enumerate(paths) if path.startswith(("/exports", "/jobs"))]
    lists = [place for place, path in enumerate(paths) if path.startswith(("/users", "/workspaces/", "/projects/"))]
    assert jobs[0] < lists[0]
    assert lists[-1] < jobs[-1]
    assert [record["kind"] for record in run.records("exports")] == ["list", "list", "list", "resource"]


def test_each_list_has_its_record_which_comes_after_its_objects(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    run = run_tap(settings_for(sandbox), catalog=only(catalog, ["exports", *LISTS]))

    assert run.code == 0, run.stderr
    records = {record["list"]: record for record in run.records("exports")}
    assert records.keys() == {*LISTS}
    for stream, record in records.items():
        count = len(run.records(stream))
        assert {name: value for name, value in record.items() if not name.endswith("_at")} == {
            "gid": record["gid"],
            "kind": "list",
            "list": stream,
            "workspace_gid": WORKSPACE,
            "parent_gid": None,
            "full": True,
            "objects": record["objects"],
            "lines": record["lines"],
            "bytes": record["bytes"],
            "unknown_fields": {},
        }
        assert sum(record["objects"].values()) == count
        assert record["lines"] >= count  # windows of months overlap
        place = [message.get("record", {}).get("gid") for message in run.messages].index(record["gid"])
        assert stream not in {message.get("stream") for message in run.messages[place:]}


def test_a_complete_list_activates_its_version(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    selected = only(catalog, ["users", "projects"])
    first = run_tap(settings_for(sandbox, emit_activate_version_messages=True), catalog=selected)
    second = run_tap(settings_for(sandbox, emit_activate_version_messages=True), catalog=selected, state=first.state)

    versions = []
    for run in (first, second):
        activated = {each["stream"]: each["version"] for each in run.of("ACTIVATE_VERSION")}
        assert activated.keys() == {"users", "projects"}
        for stream, version in activated.items():
            assert {each["version"] for each in run.of("RECORD") if each["stream"] == stream} == {version}
        versions.append(activated)
    assert all(versions[0][stream] < versions[1][stream] for stream in versions[0])


def test_without_the_setting_rows_have_no_version(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    run = run_tap(settings_for(sandbox), catalog=only(catalog, ["users"]))
    assert run.of("ACTIVATE_VERSION") == []
    assert not any("version" in each for each in run.of("RECORD"))


def test_several_workspaces_activate_the_lowest_version_and_only_when_all_are_complete(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    settings = settings_for(sandbox, emit_activate_version_messages=True, workspaces=[WORKSPACE, OTHER])
    run = run_tap(settings, catalog=only(catalog, ["users"]))
    versions = {each["version"] for each in run.of("RECORD")}
    assert [each["version"] for each in run.of("ACTIVATE_VERSION")] == [min(versions)]


def test_stream_maps_and_flattening_make_the_records_of_lists_too(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    settings = settings_for(
        sandbox,
        stream_maps={"users": {"email": "md5(email)", "photo": "__NULL__", "__alias__": "people"}},
        flattening_enabled=True,
        flattening_max_depth=1,
    )
    run = run_tap(settings, catalog=only(catalog, ["users", "sections", "portfolio_items"]))

    assert run.code == 0, run.stderr
    assert {record["gid"] for record in run.records("people")} == {gid for _, gid in listed(sandbox, "users")}
    assert all(len(record["email"]) == 32 and "photo" not in record for record in run.records("people"))
    sections = {key: each["project"]["gid"] for key, each in listed(sandbox, "sections").items()}
    assert {(each["gid"],): each["project__gid"] for each in run.records("sections")} == sections
    assert by_key("portfolio_items", run.records("portfolio_items")).keys() == listed(sandbox, "portfolio_items").keys()


def test_batch_files_of_lists_hold_the_same_records_under_the_same_naming(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run], tmp_path: Path
) -> None:
    storage = {"root": f"file://{tmp_path}/lake", "prefix": "asana/"}
    batch = {"encoding": {"format": "jsonl", "compression": "gzip"}, "storage": storage, "batch_size": 7}
    run = run_tap(settings_for(sandbox, batch_config=batch), catalog=only(catalog, ["users", "exports"]))

    assert run.code == 0, run.stderr
    files = [url.removeprefix("file://") for each in run.of("BATCH") for url in each["manifest"] if "/users/" in url]
    assert [f"{tmp_path}/lake/asana/users/{WORKSPACE}/" in path for path in files] == [True] * 3
    texts = [gzip.decompress(Path(path).read_bytes()) for path in files]
    lines = [json.loads(line) for text in texts for line in text.split(b"\n") if line]
    assert by_key("users", lines) == listed(sandbox, "users")
    exports = [url for each in run.of("BATCH") for url in each["manifest"] if "/exports/" in url]
    assert len(exports) == 1


def test_unknown_fields_of_a_list_are_told_and_can_be_kept(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    lacking = only(catalog, ["users", "exports"])
    [users] = [each for each in lacking["streams"] if each["tap_stream_id"] == "users"]
    assert users["schema"]["properties"].pop("email")
    users["metadata"] = [each for each in users["metadata"] if each["breadcrumb"][-1:] != ["email"]]
    run = run_tap(settings_for(sandbox, unknown_fields="keep"), catalog=lacking)
    assert run.code == 0, run.stderr
    assert all("email" not in record for record in run.records("users"))


def test_entries_of_time_are_asked_for_by_month_and_later_only_the_last_sixty_days(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    selected = only(catalog, ["exports", "time_tracking_entries"])
    settings = settings_for(sandbox, emit_activate_version_messages=True)
    asked = queries(sandbox, "/time_tracking_entries")
    first = run_tap(settings, catalog=selected)
    assert first.code == 0, first.stderr
    assert asked[0].keys() >= {"entered_on_end_date"}
    assert asked[0].get("entered_on_start_date") is None
    assert asked[-1].get("entered_on_end_date") is None
    assert [each["full"] for each in first.records("exports")] == [True]
    assert len(first.of("ACTIVATE_VERSION")) == 1

    asked = queries(sandbox, "/time_tracking_entries")
    second = run_tap(settings, catalog=selected, state=first.state)
    since = datetime.now(timezone.utc).date() - timedelta(days=60)
    starts = [each["entered_on_start_date"] for each in asked]
    assert starts[0] == str(since.replace(day=1) - timedelta(days=1))
    assert len(starts) <= 4
    kept = {key for key, each in listed(sandbox, "time_tracking_entries").items() if each["entered_on"] >= starts[0]}
    assert by_key("time_tracking_entries", second.records("time_tracking_entries")).keys() == kept
    assert second.of("ACTIVATE_VERSION") == []
    assert [each["full"] for each in second.records("exports")] == [False]
    versions = [{each.get("version") for each in run.of("RECORD")} - {None} for run in (first, second)]
    assert not second.records("time_tracking_entries") or versions[0] == versions[1]


def test_a_run_of_lists_alone_asks_for_no_export(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    run = run_tap(settings_for(sandbox), catalog=only(catalog, ["users"]))
    assert run.code == 0, run.stderr
    assert [each.method for each in sandbox.requests] == ["GET"]
    assert run.state["bookmarks"]["users"]["partitions"][0]["context"] == {"workspace_gid": WORKSPACE}


FAILING = {"no_data", "null_data", "object_data"}
"""Faults that end a list if they strike once."""


@pytest.mark.soak
@pytest.mark.parametrize("fault", [name for moment in LIST_MOMENTS for name in FAULTS[moment]])
def test_whatever_goes_wrong_once_with_a_list_costs_no_other_and_the_next_run_has_it(
    fault: str, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    streams = ["exports", "tasks", "projects", "tags"]
    with Sandbox(
        tasks=5, messages=0, projects=130, tags=130, large=0, change_interval=0, job_seconds=0, faults={fault: 1}
    ) as sandbox:
        settings = settings_for(sandbox, emit_activate_version_messages=True, request_timeout=1)
        selected = only(catalog, streams, opt_in=True)
        first = run_tap(settings, catalog=selected)
        assert (first.code == 1) == (fault in FAILING), first.stderr
        assert len(first.records("tasks")) == 5
        whole = []
        for name in ("projects", "tags"):
            records, wanted = by_key(name, first.records(name)), listed(sandbox, name)
            if fault == "vanished_object":  # it may have come before it was deleted
                records = {key: record for key, record in records.items() if key in wanted}
            whole += [name] if records == wanted else []
        assert len(whole) == (1 if fault in FAILING else 2), first.stderr
        activated = {message["stream"] for message in first.of("ACTIVATE_VERSION")} & {"projects", "tags"}
        assert activated == {*whole}

        second = run_tap(settings, catalog=selected, state=first.state)
        assert second.code == 0, second.stderr
        for name in ("projects", "tags"):
            assert by_key(name, second.records(name)) == listed(sandbox, name)


def test_projects_come_team_by_team_without_those_of_no_team(
    catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    with Sandbox(tasks=0, messages=0, projects=30, teamless_projects=2, large=0, change_interval=0) as sandbox:
        sandbox.faults["projects_timeout"] = True
        settings = settings_for(sandbox, emit_activate_version_messages=True)
        run = run_tap(settings, catalog=only(catalog, ["exports", "projects"], opt_in=True))
        assert run.code == 0, run.stderr
        of_teams = {key: each for key, each in listed(sandbox, "projects").items() if each["team"]}
        assert len(of_teams) == len(listed(sandbox, "projects")) - 2
        assert by_key("projects", run.records("projects")) == of_teams
    assert run.of("ACTIVATE_VERSION") == []
    assert [record["full"] for record in run.records("exports")] == [False]


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("owners", "lists"), [("projects", "sections"), ("portfolios", "portfolio_items")])
def test_a_list_that_needs_another_ends_when_that_one_cannot_even_begin(
    owners: str, lists: str, catalog: dict[str, Any], run_tap: Callable[..., Run], tmp_path: Path
) -> None:
    batch = {"encoding": {"format": "jsonl"}, "storage": {"root": f"file://{tmp_path}/lake"}}
    maps = {owners: {"__alias__": "'a/../b'"}}  # no folder may be called so
    with ScriptedApi({}) as api:
        run = run_tap(api.settings(batch_config=batch, stream_maps=maps), catalog=only(catalog, [owners, lists]))

    assert run.code == 1
    assert run.last_line.startswith(f"2 of 2 exports and lists failed. Workspace 1, {owners}: The batch file ")
    assert f" Workspace 1, {lists}: it needs the list of {owners}, which broke." in run.last_line
    assert api.paths() == []


ENTRIES = "/time_tracking_entries"
DAYS = {"1": "2025-03-01", "2": "2026-10-01"}
LATER = "2026-06-01T00:00:00Z"


def entries(asked: Asked) -> Answer:
    """The entries of time of the days that are asked for."""
    first, last = asked.query.get("entered_on_start_date", ""), asked.query.get("entered_on_end_date", "9")
    found = {gid: day for gid, day in DAYS.items() if first <= day <= last}
    return page([{"gid": gid, "resource_type": "time_tracking_entry", "entered_on": day} for gid, day in found.items()])


def gids(run: Run) -> list[str]:
    return [each["gid"] for each in run.records("time_tracking_entries")]


def versions(run: Run) -> set[int]:
    return {each["version"] for each in run.of("RECORD") if each["stream"] == "time_tracking_entries"}


def activated(run: Run) -> set[int]:
    return {each["version"] for each in run.of("ACTIVATE_VERSION")}


def long_ago(state: dict[str, Any]) -> dict[str, Any]:
    """The state as if the last time that all entries of time came were years ago."""
    state["bookmarks"]["time_tracking_entries"]["partitions"][0]["full_at"] = "2020-01-01T00:00:00Z"
    return state


def test_a_later_start_date_deletes_no_entries_of_time_that_are_merely_out_of_sight(
    catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    selected = only(catalog, ["exports", "time_tracking_entries"])
    with ScriptedApi({ENTRIES: entries}) as api:
        settings = api.settings(emit_activate_version_messages=True)
        whole = run_tap(settings, catalog=selected)
        later = run_tap(settings | {"start_date": LATER}, catalog=selected, state=whole.state)
        often = settings | {"start_date": LATER, "full_export_interval": 1}
        renewed = run_tap(often, catalog=selected, state=long_ago(later.state))
        earlier = run_tap(settings, catalog=selected, state=renewed.state)

    assert [gids(run) for run in (whole, later, renewed, earlier)] == [["1", "2"], ["2"], ["2"], ["1", "2"]]
    assert [[each["full"] for each in run.records("exports")] for run in (whole, later, renewed, earlier)] == [
        [True],
        [False],
        [False],
        [True],
    ]
    assert versions(whole) == versions(later) == versions(renewed) == activated(whole)
    assert activated(later) == activated(renewed) == set()
    assert versions(earlier) == activated(earlier) != activated(whole)


def test_a_start_date_from_the_first_run_on_bounds_the_table_and_deletions_too(
    catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    selected = only(catalog, ["exports", "time_tracking_entries"])
    with ScriptedApi({ENTRIES: entries}) as api:
        run = run_tap(api.settings(emit_activate_version_messages=True, start_date=LATER), catalog=selected)
    assert (gids(run), [each["full"] for each in run.records("exports")]) == (["2"], [True])
    assert versions(run) == activated(run)


def test_rows_that_a_failed_list_left_behind_are_not_deleted_as_out_of_sight(
    catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    selected = only(catalog, ["exports", "time_tracking_entries"])
    broken = False

    def until_it_breaks(asked: Asked) -> Answer:
        is_last = "entered_on_end_date" not in asked.query
        return refusal(402, "Payment Required") if broken and is_last else entries(asked)

    with ScriptedApi({ENTRIES: until_it_breaks}) as api:
        settings = api.settings(emit_activate_version_messages=True)
        first = run_tap(settings | {"start_date": LATER}, catalog=selected)
        broken = True
        failed = run_tap(settings, catalog=selected, state=first.state)
        broken = False
        often = settings | {"start_date": LATER, "full_export_interval": 1}
        third = run_tap(often, catalog=selected, state=long_ago(failed.state))

    assert (failed.code, gids(failed), activated(failed)) == (1, ["1", "2"], set())
    assert (third.code, gids(third), activated(third)) == (0, ["2"], set())
    assert [each["full"] for each in third.records("exports")] == [False]


def tables(state: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What a state says of the entries of time, by workspace."""
    partitions = state["bookmarks"]["time_tracking_entries"]["partitions"]
    return {each["context"]["workspace_gid"]: each for each in partitions}


def test_a_list_whose_own_record_cannot_be_written_has_not_come_through(
    catalog: dict[str, Any], run_tap: Callable[..., Run], tmp_path: Path
) -> None:
    """Another list, which ends later, sends the state of both."""
    selected = only(catalog, ["exports", "time_tracking_entries"])
    batch = {"encoding": {"format": "jsonl"}, "storage": {"root": f"file://{tmp_path}"}}
    in_the_way = tmp_path / "exports" / "1"  # where a folder should be
    in_the_way.parent.mkdir()
    in_the_way.touch()

    def first_of_workspace_1(asked: Asked) -> Answer:
        deadline = time.monotonic() + 10
        while asked.query["workspace"] == "2" and time.monotonic() < deadline:
            if [*tmp_path.glob("time_tracking_entries/1/*.jsonl.gz")]:
                break
            time.sleep(0.01)
        return entries(asked)

    with ScriptedApi({ENTRIES: first_of_workspace_1}) as api:
        settings = api.settings(
            workspaces=["1", "2"], batch_config=batch, emit_activate_version_messages=True, checkpoint=False
        )
        failed = run_tap(settings, catalog=selected)
        in_the_way.unlink()
        second = run_tap(settings, catalog=selected, state=failed.state)

    assert failed.code == 1
    assert f"Workspace 1, time_tracking_entries: The batch file {in_the_way}/" in failed.last_line
    states = tables(failed.state)
    assert states["1"].keys() == {"context", "scope"}
    assert states["2"].keys() > {"replication_key_value", "full_at", "version"}
    assert activated(failed) == set()

    assert second.code == 0, second.stderr
    assert activated(second) == {min(each["version"] for each in tables(second.state).values())}


def test_a_signal_at_the_end_of_a_list_waits_until_its_version_is_activated(
    catalog: dict[str, Any], run_tap: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    selected = only(catalog, ["exports", "time_tracking_entries"])

    def signal_comes(*args: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return activate_version_messages(*args)

    monkeypatch.setattr("tap_asana_export.lists.activate_version_messages", signal_comes)
    with ScriptedApi({ENTRIES: entries}) as api:
        run = run_tap(api.settings(emit_activate_version_messages=True), catalog=selected)

    assert run.code == 128 + signal.SIGTERM
    assert activated(run) == versions(run) == {tables(run.state)["1"]["version"]}
    assert [each["full"] for each in run.records("exports")] == [True]


def test_an_object_comes_once_of_each_owner(catalog: dict[str, Any], run_tap: Callable[..., Run]) -> None:
    one, two, three = ({"gid": gid, "resource_type": "project"} for gid in "123")
    expired = refusal(400, "offset: Your pagination token has expired.")
    answers = {
        "/portfolios": paged([{"gid": gid, "resource_type": "portfolio"} for gid in ("8", "9")]),
        "/portfolios/8/items": [page([one, two, one], "a"), expired, page([two, one], "b"), page([one, three])],
        "/portfolios/9/items": page([one]),
    }
    with ScriptedApi(answers) as api:
        run = run_tap(api.settings(), catalog=only(catalog, ["portfolio_items"]))
    assert run.code == 0, run.stderr
    assert by_key("portfolio_items", run.records("portfolio_items")).keys() == {
        ("8", "1"),
        ("8", "2"),
        ("8", "3"),
        ("9", "1"),
    }


def peak_of_items(portfolios: int, catalog: dict[str, Any], run_tap: Callable[..., Run], root: Path) -> int:
    """The most bytes that Python's objects take while so many portfolios of a hundred items are read."""
    owners = [{"gid": str(10**15 + number), "resource_type": "portfolio"} for number in range(portfolios)]

    def items(asked: Asked) -> Answer:
        api.asked.clear()
        owner = asked.path.split("/")[2]
        return page([{"gid": f"{owner}{number}", "resource_type": "project"} for number in range(100)])

    paths = {f"/portfolios/{each['gid']}/items": items for each in owners}
    batch = {"encoding": {"format": "jsonl"}, "storage": {"root": f"file://{root}"}, "batch_size": 500}
    with ScriptedApi({"/portfolios": paged(owners), **paths}) as api:
        tracemalloc.start()
        try:
            run = run_tap(api.settings(batch_config=batch), catalog=only(catalog, ["portfolio_items"]))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert run.code == 0, run.stderr
    return peak


def test_memory_does_not_depend_on_the_number_of_objects_of_owners(
    catalog: dict[str, Any], run_tap: Callable[..., Run], tmp_path: Path
) -> None:
    peak_of_items(20, catalog, run_tap, tmp_path)  # what is made once
    few, many = (peak_of_items(portfolios, catalog, run_tap, tmp_path) for portfolios in (20, 220))
    assert many - few < 20_000 * 100  # bytes for each further object
