"""Parts: streams whose records are cut out of the arrays of tasks, messages and teams."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft7Validator

from tap_asana_export.output.messages import MessageWriter, RecordMessages
from tap_asana_export.records.router import RecordRouter
from tap_asana_export.sandbox import Sandbox
from tap_asana_export.sandbox.organization import Organization
from tap_asana_export.sources import SOURCES, ExportRoot
from tap_asana_export.streams import ObjectStream
from tap_asana_export.tap import TapAsanaExport
from tap_asana_export.transfer import SelectedStream, build_handlers, streams_by_type
from tests.support.organizations import expected, overlapping, parameters
from tests.support.selections import OFF, PARTS, SCHEMAS, leaves, on, only
from tests.support.tap import WORKSPACE, Run, select, settings_for
from tests.support.targets import STREAMS, load, target_duckdb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tests.support.clock import Clock

    Key = tuple[str, ...]
    Rows = dict[Key, dict[str, Any]]

OF_TASKS = [part for part, (kinds, _, _) in PARTS.items() if "task" in kinds and part != "task_dependencies"]
OF_TEAMS = ["team_members"]
STREAM_OF = {"task": "tasks", "message": "messages", "team": "teams"}
OWN = {"parent_type", "workspace_gid", "project_gid"} | {
    f"{kind}_{name}" for kind in STREAM_OF for name in ("gid", "modified_at")
}

# Asana sends dependencies only when asked for, and sends a bit less of all the others then.
BY_ITSELF = [part for part in PARTS if part != "task_dependencies"]


def columns(kind: str, kinds: str, obj: dict[str, Any]) -> dict[str, Any]:
    """What a part's row tells of the object that it was cut out of."""
    found = {f"{kind}_gid": obj["gid"], "workspace_gid": WORKSPACE}
    if kind != "team":
        found[f"{kind}_modified_at"] = obj["modified_at"]
    if kinds != kind:
        found["parent_type"] = kind
    return found


def wanted(sandbox: Sandbox, part: str, asked: Iterable[dict[str, Any]] = ()) -> Rows:
    """The rows that a whole export of the organization brings to a part now.

    Args:
        sandbox: has the organization.
        part: the stream.
        asked: the request's parameters, if they name fields.
    """
    fields = {each["resource_type"]: each.get("fields") for each in asked}
    kinds, array, key = PARTS[part]
    rows = []
    for kind in kinds.split():
        for each in json.loads(json.dumps(list(sandbox.objects(WORKSPACE, kind, fields.get(kind))))):
            for item in each[array]:
                project = {"project_gid": item["project"]["gid"]} if array == "memberships" else {}
                rows.append({**item, **columns(kind, kinds, each), **project})
    return by_key(rows, key)


def by_key(rows: Iterable[dict[str, Any]], key: str) -> Rows:
    rows = list(rows)
    found = {tuple(row[name] for name in key.split()): row for row in rows}
    assert len(found) == len(rows), "rows with the same key"
    assert all(isinstance(value, str) and value for each in found for value in each)
    return found


def came(run: Run, part: str) -> Rows:
    return by_key(run.records(part), PARTS[part][2])


def test_the_rows_of_a_part_are_the_items_of_its_array(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    run = run_tap(settings_for(sandbox), catalog=select(catalog, on(*BY_ITSELF)))

    assert run.code == 0
    for part in BY_ITSELF:
        assert came(run, part) == wanted(sandbox, part) != {}
    assert {row["parent_type"] for row in run.records("stories")} == {"task", "message"}


def test_every_row_fits_its_schema_and_has_the_key_that_the_catalog_tells(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    run = run_tap(settings_for(sandbox), catalog=select(catalog, on(*PARTS)))

    told = {
        stream["tap_stream_id"]: metadata["metadata"]["table-key-properties"]
        for stream in catalog["streams"]
        for metadata in stream["metadata"]
        if not metadata["breadcrumb"]
    }
    schemas = {message["stream"]: message for message in run.of("SCHEMA")}
    for part, (_, _, key) in PARTS.items():
        assert key.split() == told[part] == schemas[part]["key_properties"]
        validator = Draft7Validator(
            {**schemas[part]["schema"], "additionalProperties": False, "required": key.split()},
            format_checker=Draft7Validator.FORMAT_CHECKER,
        )
        assert [error.message for row in run.records(part) for error in validator.iter_errors(row)] == []


def test_the_rows_of_an_object_follow_its_record(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    run = run_tap(settings_for(sandbox), catalog=select(catalog, on(*PARTS)))

    of = {"tasks": "task_gid", "messages": "message_gid", "teams": "team_gid"}
    rows = [message for message in run.of("RECORD") if message["stream"] != "exports"]
    parent: dict[str, Any] = {}
    for message in rows:
        if message["stream"] in of:
            parent = message
        else:
            assert message["record"][of[parent["stream"]]] == parent["record"]["gid"]
    assert {message["time_extracted"] for message in rows} == {rows[0]["time_extracted"]}
    assert len(rows) == 53 + sum(len(wanted(sandbox, part, parameters(sandbox)[0])) for part in PARTS)


def test_parts_are_off_by_default(sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]) -> None:
    run = run_tap(settings_for(sandbox))

    by_default = {
        stream["tap_stream_id"]: metadata["metadata"]["selected-by-default"]
        for stream in catalog["streams"]
        for metadata in stream["metadata"]
        if not metadata["breadcrumb"] and not stream["tap_stream_id"].startswith("graph_")
    }
    others = {source.stream for source in SOURCES if source.kind in {"list", "activity"}}
    assert by_default == dict.fromkeys([*PARTS, *others], False) | dict.fromkeys(["exports", *STREAMS], True)
    assert {message.get("stream") for message in run.messages} == {None, "exports", *STREAMS}
    assert run.state["bookmarks"].keys() == {"exports", *STREAMS}
    assert parameters(sandbox) == [[{"resource_type": "task"}, {"resource_type": "message"}, {"resource_type": "team"}]]


def test_parts_of_arrays_that_come_by_themselves_ask_for_nothing_more(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    run = run_tap(settings_for(sandbox), catalog=select(catalog, on(*BY_ITSELF)))

    assert (run.code, {*BY_ITSELF} - {message["stream"] for message in run.of("RECORD")}) == (0, set())
    assert parameters(sandbox) == [[{"resource_type": "task"}, {"resource_type": "message"}, {"resource_type": "team"}]]


def test_dependencies_are_asked_for_beside_all_the_others(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    run = run_tap(settings_for(sandbox), catalog=select(catalog, on("task_dependencies")))

    [[task, *others]] = parameters(sandbox)
    assert set(task["fields"]) == leaves("tasks", opt_in=False) | {"dependencies.gid", "dependencies.resource_type"}
    assert others == [{"resource_type": "message"}, {"resource_type": "team"}]
    assert came(run, "task_dependencies") == wanted(sandbox, "task_dependencies", parameters(sandbox)[0]) != {}
    assert not any("dependencies" in task for task in run.records("tasks"))


@pytest.mark.parametrize("part", ["stories", "task_memberships", "task_dependencies", "team_members"])
def test_a_part_alone_asks_for_its_array_only(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any], part: str
) -> None:
    run = run_tap(settings_for(sandbox), catalog=select(catalog, OFF | on(part)))

    kinds, array, _ = PARTS[part]
    paths = {f"{array}.{path}" for path in leaves(part, opt_in=True) - OWN}
    assert [(each["resource_type"], set(each["fields"])) for each in parameters(sandbox)[0]] == [
        (kind, {"gid", "resource_type", *(["modified_at"] if kind != "team" else []), *paths}) for kind in kinds.split()
    ]
    assert came(run, part) == wanted(sandbox, part, parameters(sandbox)[0]) != {}
    assert {message["stream"] for message in run.of("RECORD") + run.of("SCHEMA")} == {part}


def test_the_array_comes_for_the_part_though_the_objects_do_not_want_it(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    selection = {
        ("tasks", "properties", "followers"): False,
        ("tasks", "properties", "tags"): False,
        ("task_followers",): True,
        ("task_followers", "properties", "resource_type"): False,
    }
    run = run_tap(settings_for(sandbox), catalog=select(catalog, selection))

    arrays = ("followers.", "tags.")
    others = {path for path in leaves("tasks", opt_in=False) if not path.startswith(arrays)}
    assert set(parameters(sandbox)[0][0]["fields"]) == others | {"followers.gid", "followers.name"}
    assert not any({"followers", "tags"} & task.keys() for task in run.records("tasks"))
    assert run.by_gid("tasks").keys() == expected(sandbox, "tasks").keys()
    rows = wanted(sandbox, "task_followers")
    for row in rows.values():
        del row["resource_type"]
    assert came(run, "task_followers") == rows


def test_stories_are_those_of_tasks_and_messages_though_messages_are_deselected(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    run = run_tap(settings_for(sandbox), catalog=select(catalog, {("stories",): True, ("messages",): False}))

    stories = [f"stories.{path}" for path in leaves("stories", opt_in=True) - OWN]
    [[task, team, message]] = parameters(sandbox)
    assert (task, team) == ({"resource_type": "task"}, {"resource_type": "team"})
    assert (message["resource_type"], sorted(message["fields"])) == (
        "message",
        sorted(["gid", "resource_type", "modified_at", *stories]),
    )
    assert came(run, "stories") == wanted(sandbox, "stories", parameters(sandbox)[0])
    assert (run.by_gid("tasks"), run.records("messages")) == (expected(sandbox, "tasks"), [])


def test_a_membership_has_its_project_gid_though_the_project_is_deselected(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    selection = OFF | only(catalog, "task_memberships", "section.name") | on("task_memberships")
    run = run_tap(settings_for(sandbox), catalog=select(catalog, selection))

    assert came(run, "task_memberships") == {
        key: {
            "task_gid": row["task_gid"],
            "project_gid": row["project_gid"],
            "section": {"name": row["section"]["name"]},
        }
        for key, row in wanted(sandbox, "task_memberships").items()
    }


@pytest.fixture
def generous(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asana sends every field whatever it was asked for, and one of each item that nobody knows."""
    build = Organization.build

    def everything(self: Organization, kind: str, index: int, now: int, **_: Any) -> Any:
        built = build(self, kind, index, now, whole=True)
        arrays = {array for _, array, _ in PARTS.values()} & built.keys()
        return built | {name: [item | {"brand_new": {"name": "x"}} for item in built[name]] for name in arrays}

    monkeypatch.setattr(Organization, "build", everything)
    monkeypatch.setattr("tap_asana_export.sandbox.export.project", lambda item, _: item)


@pytest.mark.usefixtures("generous")
@pytest.mark.parametrize("mapped", [False, True], ids=["verbatim", "mapped"])
def test_what_is_deselected_or_unknown_of_a_part_does_not_come_out_though_asana_sends_it(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any], *, mapped: bool
) -> None:
    selection = on(*PARTS) | {
        ("stories", "properties", "text"): False,
        ("stories", "properties", "created_by", "properties", "name"): False,
        ("stories", "properties", "task_modified_at"): False,
        ("task_memberships", "properties", "project"): False,
        ("task_memberships", "properties", "section", "properties", "name"): False,
        ("task_custom_fields", "properties", "enum_options", "properties", "color"): False,
    }
    maps = {part: {"loud": "workspace_gid"} for part in PARTS} if mapped else {}
    run = run_tap(settings_for(sandbox, stream_maps=maps), catalog=select(catalog, selection))

    rows = {part: wanted(sandbox, part) for part in PARTS}
    for part in PARTS:
        known = json.loads((SCHEMAS / f"{part}.json").read_text())["properties"].keys()
        for row in rows[part].values():
            for name in row.keys() - known:
                del row[name]
            row.update({"loud": WORKSPACE} if mapped else {})
    for row in rows["stories"].values():
        del row["text"], row["created_by"]["name"]
        row.pop("task_modified_at", None)
    for row in rows["task_memberships"].values():
        del row["project"], row["section"]["name"]
    for row in rows["task_custom_fields"].values():
        for option in row.get("enum_options") or ():
            del option["color"]
    for part in PARTS:
        assert came(run, part) == rows[part] != {}
        assert run.stderr.count(f"Stream {part}: Asana sends the field 'brand_new', which the schema does not") == 1


def test_a_part_is_mapped_and_its_objects_are_not(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    maps = {
        "task_followers": {"__alias__": "watchers", "loud": "name.upper()", "name": None},
        "task_memberships": {"__filter__": "section['name'] == 'Doing'"},
        "task_tags": None,
    }
    run = run_tap(settings_for(sandbox, stream_maps=maps), catalog=select(catalog, on(*BY_ITSELF)))

    watchers = wanted(sandbox, "task_followers")
    for row in watchers.values():
        row["loud"] = row.pop("name").upper()
    memberships = wanted(sandbox, "task_memberships")
    doing = {key: row for key, row in memberships.items() if row["section"]["name"] == "Doing"}
    assert by_key(run.records("watchers"), "task_gid gid") == watchers
    assert came(run, "task_memberships") == doing
    assert 0 < len(doing) < len(memberships)
    assert run.records("task_followers") == run.records("task_tags") == []
    assert run.by_gid("tasks").keys() == expected(sandbox, "tasks").keys()
    assert came(run, "task_likes") == wanted(sandbox, "task_likes")
    by_stream = {message["stream"]: message["key_properties"] for message in run.of("SCHEMA")}
    assert by_stream["watchers"] == ["task_gid", "gid"]
    assert not {"task_followers", "task_tags"} & by_stream.keys()


def test_a_part_is_flattened(sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]) -> None:
    flat = {"flattening_enabled": True, "flattening_max_depth": 1}
    run = run_tap(settings_for(sandbox, **flat), catalog=select(catalog, on(*BY_ITSELF)))

    assert came(run, "task_memberships") == {
        key: {name: row[name] for name in ("task_gid", "task_modified_at", "project_gid", "workspace_gid")}
        | {f"{of}__{name}": row[of][name] for of in ("project", "section") for name in row[of]}
        for key, row in wanted(sandbox, "task_memberships").items()
    }
    assert came(run, "task_tags") == wanted(sandbox, "task_tags")


def test_objects_that_are_mapped_have_all_their_parts(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    maps = {"tasks": {"gid": "gid", "followers": None, "__else__": None}, "teams": {"__filter__": "False"}}
    run = run_tap(settings_for(sandbox, stream_maps=maps), catalog=select(catalog, on(*BY_ITSELF)))

    assert {tuple(task) for task in run.records("tasks")} == {("gid",)}
    assert run.records("teams") == []
    for part in BY_ITSELF:
        assert came(run, part) == wanted(sandbox, part)


def test_a_run_that_goes_on_brings_every_row_once(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    catalog = select(catalog, on(*BY_ITSELF))
    sandbox.faults["truncated"] = True
    first = run_tap(settings_for(sandbox), catalog=catalog)
    sandbox.faults.clear()
    second = run_tap(settings_for(sandbox), catalog=catalog, state=first.state)

    assert (first.code, second.code, len(parameters(sandbox))) == (1, 0, 1)
    for part in BY_ITSELF:
        rows = by_key(first.records(part) + second.records(part), PARTS[part][2])
        assert rows == wanted(sandbox, part)
    assert 0 < len(first.records("stories")) < len(wanted(sandbox, "stories"))


def test_an_object_that_several_filters_match_has_its_rows_once(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    run = run_tap(settings_for(sandbox, filters=overlapping(sandbox)), catalog=select(catalog, on(*BY_ITSELF)))

    tasks = run.by_gid("tasks")
    assert 30 < len(tasks) < 40 < run.records("exports")[0]["lines"] - 13
    for part in BY_ITSELF:
        rows = wanted(sandbox, part)
        assert came(run, part) == {
            key: row for key, row in rows.items() if row.get("task_gid", next(iter(tasks))) in tasks
        }


def test_an_incremental_run_brings_the_parts_of_what_changed(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    catalog = select(catalog, on(*BY_ITSELF))
    first = run_tap(settings_for(sandbox, overlap=0), catalog=catalog)
    organization = sandbox.organizations[WORKSPACE]
    changed = [*list(expected(sandbox, "tasks"))[:5], *list(expected(sandbox, "messages"))[:2]]
    for gid in changed:
        organization.touch(gid)
    second = run_tap(settings_for(sandbox, overlap=0), catalog=catalog, state=first.state)

    bookmark = first.state["bookmarks"]["stories"]["partitions"][0]["replication_key_value"]
    assert [each.get("filters") for each in parameters(sandbox)[1]] == [{"modified_at.after": bookmark}] * 2 + [None]
    for part in BY_ITSELF:
        rows = wanted(sandbox, part)
        if part not in OF_TEAMS:
            rows = {key: row for key, row in rows.items() if {row.get("task_gid"), row.get("message_gid")} & {*changed}}
        assert came(second, part) == rows


def test_a_part_that_is_selected_later_asks_for_all_of_its_objects(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    first = run_tap(settings_for(sandbox, overlap=0))
    second = run_tap(settings_for(sandbox, overlap=0), catalog=select(catalog, on("task_tags")), state=first.state)

    message = {"modified_at.after": first.state["bookmarks"]["messages"]["partitions"][0]["replication_key_value"]}
    assert parameters(sandbox)[1] == [
        {"resource_type": "task"},
        {"resource_type": "message", "filters": message},
        {"resource_type": "team"},
    ]
    assert "all of tasks, task_tags is asked for: nothing is known of an earlier export" in second.stderr
    assert came(second, "task_tags") == wanted(sandbox, "task_tags")
    assert (second.by_gid("tasks"), second.records("messages")) == (expected(sandbox, "tasks"), [])


# ── deletions ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def yesterday(clock: Clock) -> Iterator[Sandbox]:
    """An organization whose clock stands still, as the versions of two runs are the same within a second."""
    clock.now = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=1)
    with Sandbox(tasks=40, messages=10, teams=3, large=0, change_interval=0, job_seconds=0, clock=clock) as sandbox:
        yield sandbox


def activated(run: Run) -> dict[str, int]:
    """The versions of ACTIVATE_VERSION messages, each of which is the only one of its stream."""
    messages = run.of("ACTIVATE_VERSION")
    assert len({message["stream"] for message in messages}) == len(messages)
    return {message["stream"]: message["version"] for message in messages}


def versions(run: Run) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for message in run.of("RECORD"):
        if message["stream"] != "exports":
            found.setdefault(message["stream"], set()).add(message["version"])
    return found


def test_every_part_of_whole_tables_activates_the_version_of_its_rows(
    yesterday: Sandbox, clock: Clock, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    settings = settings_for(yesterday, emit_activate_version_messages=True, overlap=0)
    first = run_tap(settings, catalog=select(catalog, on(*BY_ITSELF)))
    [version] = set(activated(first).values())
    clock.sleep(3600)
    tagged = next(task for task, _ in wanted(yesterday, "task_tags"))
    yesterday.organizations[WORKSPACE].touch(tagged)
    clock.sleep(3600)
    second = run_tap(settings, catalog=select(catalog, on(*BY_ITSELF)), state=first.state)

    assert activated(first) == dict.fromkeys([*STREAMS, *BY_ITSELF], version)
    assert versions(first) == {stream: {version} for stream in (*STREAMS, *BY_ITSELF)}
    assert activated(second) == dict.fromkeys(["teams", "team_members"], version + 7200)
    assert {"tasks": {version}, "stories": {version}, "task_tags": {version}}.items() <= versions(second).items()
    assert versions(second)["team_members"] == {version + 7200}


@pytest.mark.parametrize(
    ("kind", "incomplete"),
    [
        ("messages", {"messages", "stories", "attachments", "message_parents", "message_followers"}),
        ("tasks", {"tasks", *OF_TASKS}),
    ],
)
def test_stories_activate_only_if_neither_tasks_nor_messages_are_filtered(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any], kind: str, incomplete: set[str]
) -> None:
    filters = {kind: [{"modified_at.after": "2000-01-01T00:00:00Z"}]}
    settings = settings_for(sandbox, emit_activate_version_messages=True, filters=filters)
    run = run_tap(settings, catalog=select(catalog, on(*BY_ITSELF)))

    assert activated(run).keys() == {*STREAMS, *BY_ITSELF} - incomplete
    assert came(run, "stories") == wanted(sandbox, "stories")


def test_stories_are_not_complete_if_only_the_tasks_come_whole(
    yesterday: Sandbox, clock: Clock, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    for stream in (catalog := select(catalog, on(*BY_ITSELF)))["streams"]:
        if stream["tap_stream_id"] == "tasks":
            stream["replication_method"] = "FULL_TABLE"
    settings = settings_for(yesterday, emit_activate_version_messages=True, overlap=0)
    first = run_tap(settings, catalog=catalog)
    clock.sleep(3600)
    second = run_tap(settings, catalog=catalog, state=first.state)

    assert activated(first).keys() == {*STREAMS, *BY_ITSELF}
    assert activated(second).keys() == {"tasks", *OF_TASKS, "teams", *OF_TEAMS} - {"stories", "attachments"}
    assert versions(second)["stories"] == versions(first)["stories"]


# ── what a warehouse makes of them ────────────────────────────────────────────────────────────────────────


@pytest.mark.external
def test_joined_on_the_modified_time_the_rows_are_the_current_ones(
    sandbox: Sandbox, arguments: Callable[..., list[str]], catalog: dict[str, Any], tmp_path: Path
) -> None:
    duckdb = pytest.importorskip("duckdb", reason="duckdb 1.2.2 has no wheel for this Python")
    target = target_duckdb(tmp_path)

    def run(state: Any) -> Any:
        return load(
            arguments(
                settings_for(sandbox, overlap=0),
                catalog=select(catalog, on("task_followers", "task_tags")),
                state=state,
            ),
            target,
        )

    def keys(part: str, join: str) -> set[Key]:
        with duckdb.connect(str(tmp_path / "asana.duckdb"), read_only=True) as connection:
            rows = connection.sql(f"select {part}.task_gid, {part}.gid from {part} {join}").fetchall()  # noqa: S608
        assert len(set(rows)) == len(rows)
        return set(rows)

    state = run(None)
    parts = ("task_followers", "task_tags")
    before = {part: wanted(sandbox, part).keys() for part in parts}
    tasks = expected(sandbox, "tasks")
    crowded = next(gid for gid, task in tasks.items() if len(task["followers"]) > 1)
    tagged = next(gid for gid, task in tasks.items() if len(task["tags"]) == 1)
    organization = sandbox.organizations[WORKSPACE]
    organization.touch(crowded, followers=tasks[crowded]["followers"][1:])
    organization.touch(tagged, tags=[])
    run(state)

    gone = {
        "task_followers": {(crowded, tasks[crowded]["followers"][0]["gid"])},
        "task_tags": {(tagged, tasks[tagged]["tags"][0]["gid"])},
    }
    for part in parts:
        now = wanted(sandbox, part).keys()
        assert before[part] - now == gone[part]
        assert keys(part, "") == before[part]
        join = f"join tasks on {part}.task_gid = tasks.gid and {part}.task_modified_at = tasks.modified_at"
        assert keys(part, join) == now


# ── lines that are not as Asana documents ─────────────────────────────────────────────────────────────────


TIME = datetime(2026, 3, 4, 5, 6, 7, tzinfo=timezone.utc)
MODIFIED = "2026-03-04T05:06:07.000Z"


@pytest.fixture(params=[False, True], ids=["verbatim", "mapped"])
def rows_of(request: pytest.FixtureRequest, catalog: dict[str, Any]) -> Callable[..., list[dict[str, Any]]]:
    """Make a part's rows of the objects of one file; with and without a map, which changes nothing."""

    def make(part: str, *objects: dict[str, Any] | str, beside: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        maps = {"stream_maps": {part: {"__filter__": "True"}}} if request.param else {}
        config = {"sandbox": True, **maps}
        tap = TapAsanaExport(config=config, catalog=select(catalog, on(part)))
        streams = [tap.streams[name] for name in (part, *beside)]
        kinds = streams_by_type(SelectedStream(each.source, each) for each in streams if isinstance(each, ObjectStream))
        sink = RecordMessages(MessageWriter(), TIME)
        out = sink.out
        reading = RecordRouter(build_handlers(kinds, ExportRoot(WORKSPACE), sink, dict.fromkeys((part, *beside))))
        for each in objects:
            reading.read((each if isinstance(each, str) else json.dumps(each)).encode())
        messages = [json.loads(line) for line in out.split(b"\n") if line]
        return [message["record"] for message in messages if message["stream"] == part]

    return make


def task(gid: str, /, **properties: Any) -> dict[str, Any]:
    return {"gid": gid, "resource_type": "task", "modified_at": MODIFIED, **properties}


def row(gid: str, /, **properties: Any) -> dict[str, Any]:
    return {**properties, "task_gid": gid, "task_modified_at": MODIFIED, "workspace_gid": WORKSPACE}


def test_an_array_that_is_null_absent_or_empty_makes_no_rows(
    rows_of: Callable[..., list[dict[str, Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    assert rows_of("task_followers", task("1", followers=None), task("2"), task("3", followers=[])) == []
    assert rows_of("task_memberships", task("1", memberships=None), task("2"), task("3", memberships=[])) == []
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("array", "kind"), [({"gid": "9"}, "an object"), ("9", "a text"), (9, "a number"), (True, "true")]
)
@pytest.mark.parametrize("beside", [(), ("tasks",)], ids=["alone", "beside tasks"])
def test_what_is_no_array_makes_no_rows_and_is_told_once(
    rows_of: Callable[..., list[dict[str, Any]]],
    caplog: pytest.LogCaptureFixture,
    array: Any,
    kind: str,
    beside: tuple[str, ...],
) -> None:
    good = [{"gid": "8", "name": "x"}]
    objects = [
        task("1", followers=good),
        task("2", followers=array),
        task("3", followers=array),
        task("4", followers=good),
    ]

    assert rows_of("task_followers", *objects, beside=beside) == [row(gid, gid="8", name="x") for gid in ("1", "4")]
    assert caplog.messages == [
        f"Stream task_followers: task 2: followers is {kind}, not an array, which makes no record."
    ]


@pytest.mark.parametrize(
    ("item", "what"),
    [
        (None, "is null, not an object"),
        ("9", "is a text, not an object"),
        (-9, "is a number, not an object"),
        (False, "is false, not an object"),
        ([{"gid": "9"}], "is an array, not an object"),
        ({"name": "x"}, "has no gid"),
        ({"gid": None}, "has no gid"),
        ({"gid": 9}, "has no gid"),
        ({}, "has no gid"),
    ],
)
@pytest.mark.parametrize("beside", [(), ("tasks",)], ids=["alone", "beside tasks"])
def test_an_odd_item_costs_no_other_its_row_and_is_told_once(
    rows_of: Callable[..., list[dict[str, Any]]],
    caplog: pytest.LogCaptureFixture,
    item: Any,
    what: str,
    beside: tuple[str, ...],
) -> None:
    objects = [
        task("1", followers=[{"gid": "5"}, item, {"gid": "6", "name": "x"}]),
        task("2", followers=[item]),
        task("3", followers=[item, {"gid": "7"}]),
    ]

    assert rows_of("task_followers", *objects, beside=beside) == [
        row("1", gid="5"),
        row("1", gid="6", name="x"),
        row("3", gid="7"),
    ]
    assert caplog.messages == [f"Stream task_followers: task 1: an item of followers {what}, which makes no record."]


def test_each_kind_of_odd_item_is_told(
    rows_of: Callable[..., list[dict[str, Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    stories = [None, {"gid": "8"}, 1, {"text": "x"}, None]

    assert rows_of("stories", task("1", stories=stories), task("2", stories=None), task("3", stories="x")) == [
        row("1", gid="8", parent_type="task")
    ]
    assert [message.removeprefix("Stream stories: task ") for message in caplog.messages] == [
        "1: an item of stories is null, not an object, which makes no record.",
        "1: an item of stories is a number, not an object, which makes no record.",
        "1: an item of stories has no gid, which makes no record.",
        "3: stories is a text, not an array, which makes no record.",
    ]


@pytest.mark.parametrize("project", [{}, {"project": None}, {"project": {"name": "x"}}, {"project": "9"}])
def test_a_membership_without_project_makes_no_row_and_is_told_once(
    rows_of: Callable[..., list[dict[str, Any]]], caplog: pytest.LogCaptureFixture, project: dict[str, Any]
) -> None:
    section = {"section": {"gid": "7"}}
    memberships = [{**project, **section}, {"project": {"gid": "8"}, **section}, {**project, **section}]

    assert rows_of("task_memberships", task("1", memberships=memberships)) == [
        row("1", project={"gid": "8"}, section={"gid": "7"}, project_gid="8")
    ]
    assert caplog.messages == [
        "Stream task_memberships: task 1: an item of memberships has no project, which makes no record."
    ]


def test_unknown_properties_of_items_are_dropped_and_each_told_once(
    rows_of: Callable[..., list[dict[str, Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    odd = [{"gid": "8", "new": {"deep": [1]}, 'to "know"': 1, "class": True, "name": None}, {"new": 2, "gid": "9"}]
    objects = [task("1", followers=odd, brand_new=1), task("2", followers=[{"gid": "7"}]), task("3", followers=odd)]

    assert rows_of("task_followers", *objects) == [
        row("1", gid="8", name=None),
        row("1", gid="9"),
        row("2", gid="7"),
        row("3", gid="8", name=None),
        row("3", gid="9"),
    ]
    assert sorted(message.split("'")[1] for message in caplog.messages) == ["class", "new", 'to "know"']


def test_what_an_item_has_under_the_taps_own_names_does_not_come_out(
    rows_of: Callable[..., list[dict[str, Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    odd = {"gid": "8", "task_gid": "0", "message_gid": "0", "workspace_gid": "0", "parent_type": "0"}
    message = {"gid": "2", "resource_type": "message", "modified_at": MODIFIED, "stories": [odd]}

    assert rows_of("stories", task("1", stories=[odd]), message) == [
        row("1", gid="8", parent_type="task"),
        {
            "gid": "8",
            "message_gid": "2",
            "message_modified_at": MODIFIED,
            "parent_type": "message",
            "workspace_gid": WORKSPACE,
        },
    ]
    assert caplog.messages == []


def test_the_modified_time_is_what_the_object_has(rows_of: Callable[..., list[dict[str, Any]]]) -> None:
    tags = '"tags":[{"gid":"8"}]'
    lines = [
        f'{{"gid":"1","resource_type":"task","modified_at":null,{tags}}}',
        f'{{{tags},"resource_type":"task","gid":"2"}}',
        f' {{ "modified_at" : "{MODIFIED}" , {tags} ,"gid":"\\u0033","resource_type":"task"}} \r',
    ]

    assert rows_of("task_tags", *lines) == [
        {"gid": "8", "task_gid": "1", "task_modified_at": None, "workspace_gid": WORKSPACE},
        {"gid": "8", "task_gid": "2", "task_modified_at": None, "workspace_gid": WORKSPACE},
        row("3", gid="8"),
    ]


@pytest.mark.parametrize("beside", [(), ("tasks",)], ids=["alone", "beside tasks"])
def test_texts_and_numbers_of_rows_are_kept(
    rows_of: Callable[..., list[dict[str, Any]]], beside: tuple[str, ...]
) -> None:
    items: list[dict[str, Any]] = [
        {"gid": "7", "text_value": '}\n{"gid":"0"}\n', "number_value": 1e-7, "enum_value": {"name": "}"}},
        {"gid": "8", "text_value": "\u2028 \x85 \U0001f600 \\", "number_value": 123456789012345678901234567890},
        {"gid": "9", "text_value": "", "people_value": [], "date_value": None},
    ]
    pretty = json.dumps(items, ensure_ascii=False, separators=(" ,\t", " : ")).replace("[{", " [ { ")
    line = f'{{"gid":"1","resource_type":"task","modified_at":"{MODIFIED}","custom_fields":{pretty}}}'

    assert rows_of("task_custom_fields", line, beside=beside) == [row("1", **item) for item in items]
