"""A catalog in; the request's fields and the records out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export.sandbox.organization import Organization
from tests.support.organizations import expected, parameters
from tests.support.selections import OFF, leaves, only
from tests.support.tap import WORKSPACE, Run, select, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_asana_export.sandbox import Sandbox


def test_the_default_selection_names_no_fields(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    assert run_tap(settings_for(sandbox), catalog=catalog).code == 0
    assert parameters(sandbox) == [[{"resource_type": "task"}, {"resource_type": "message"}, {"resource_type": "team"}]]


def test_a_few_properties_become_fields_with_what_is_always_wanted(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    selection = (
        OFF
        | only(catalog, "tasks", "name", "assignee.name", "memberships.project.name", "custom_fields.display_value")
        | only(catalog, "teams", "name", "description")
        | {("tasks",): True, ("teams",): True}
    )
    run = run_tap(settings_for(sandbox), catalog=select(catalog, selection))

    tasks = ["name", "memberships.project.name", "assignee.name", "custom_fields.display_value"]
    assert parameters(sandbox)[0] == [
        {"resource_type": "task", "fields": ["gid", "resource_type", "modified_at", *tasks]},
        {"resource_type": "team", "fields": ["gid", "resource_type", "name", "description"]},
    ]
    objects = {each["gid"]: each for each in sandbox.objects(WORKSPACE, "task")}
    assert run.by_gid("tasks") == {
        gid: {
            "gid": gid,
            "modified_at": each["modified_at"],
            "name": each["name"],
            "assignee": each["assignee"] and {"name": each["assignee"]["name"]},
            "memberships": [{"project": {"name": one["project"]["name"]}} for one in each["memberships"]],
            "custom_fields": [{"display_value": one["display_value"]} for one in each["custom_fields"]],
        }
        for gid, each in objects.items()
    }
    assert {message["stream"] for message in run.of("SCHEMA")} == {"tasks", "teams"}
    [schema] = [message["schema"] for message in run.of("SCHEMA") if message["stream"] == "tasks"]
    custom_fields = schema["properties"]["custom_fields"]["items"]["properties"]
    assert (schema["properties"].keys(), custom_fields.keys()) == (
        {"gid", "modified_at", "name", "assignee", "memberships", "custom_fields"},
        {"display_value"},
    )


def test_a_deselected_property_leaves_the_others(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    selection = {
        ("messages",): False,
        ("tasks", "properties", "notes"): False,
        ("tasks", "properties", "followers", "properties", "name"): False,
    }
    run = run_tap(settings_for(sandbox), catalog=select(catalog, selection))

    [[task, team]] = parameters(sandbox)
    assert (task.keys(), team) == ({"resource_type", "fields"}, {"resource_type": "team"})
    assert len(task["fields"]) == len(set(task["fields"]))
    assert set(task["fields"]) == leaves("tasks", opt_in=False) - {"notes", "followers.name"}
    objects = sandbox.objects(WORKSPACE, "task", task["fields"])
    wanted = {each["gid"]: each | {"workspace_gid": WORKSPACE} for each in json.loads(json.dumps(list(objects)))}
    assert run.by_gid("tasks") == wanted
    assert all(
        follower.keys() == {"gid", "resource_type"} for task in wanted.values() for follower in task["followers"]
    )


def test_a_selected_opt_in_field_comes_beside_the_others(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    selection: dict[tuple[str, ...], bool] = {
        ("tasks", "properties", "html_notes"): True,
        ("messages", "properties", "html_notes"): True,
    }
    run = run_tap(settings_for(sandbox), catalog=select(catalog, selection))

    asked = [(each["resource_type"], set(each.get("fields", ()))) for each in parameters(sandbox)[0]]
    assert asked == [
        ("task", leaves("tasks", opt_in=False) | {"html_notes"}),
        ("message", leaves("messages", opt_in=False) | {"html_notes"}),
        ("team", set()),
    ]
    assert all(task["html_notes"].startswith("<body>") for task in run.records("tasks"))


@pytest.mark.soak
def test_selecting_everything_as_meltano_does_asks_for_every_field(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    everything = {
        (stream["tap_stream_id"], *each["breadcrumb"]): True
        for stream in catalog["streams"]
        for each in stream["metadata"]
    }
    run = run_tap(settings_for(sandbox), catalog=select(catalog, everything))

    assert [set(each["fields"]) for each in parameters(sandbox)[0]] == [
        leaves("tasks", opt_in=True),
        leaves("messages", opt_in=True),
        leaves("teams", opt_in=True),
    ]
    assert {"html_notes", "dependencies", "num_subtasks"} < run.records("tasks")[0].keys()


def test_a_catalog_may_name_the_items_of_an_array(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    catalog = json.loads(json.dumps(catalog))
    [tasks] = [each for each in catalog["streams"] if each["tap_stream_id"] == "tasks"]
    breadcrumb = ["properties", "followers", "items", "properties", "name"]
    tasks["metadata"] = [each for each in tasks["metadata"] if each["breadcrumb"] != breadcrumb[:2] + breadcrumb[3:]]
    tasks["metadata"].append({"breadcrumb": breadcrumb, "metadata": {"selected": False}})
    run_tap(settings_for(sandbox), catalog=catalog)

    assert set(parameters(sandbox)[0][0]["fields"]) == leaves("tasks", opt_in=False) - {"followers.name"}


@pytest.fixture
def generous(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asana sends every field whatever it was asked for, and one that nobody knows."""
    build = Organization.build

    def everything(self: Organization, kind: str, index: int, now: int, **_: Any) -> Any:
        return build(self, kind, index, now, whole=True) | {"brand_new": {"name": "x"}}

    monkeypatch.setattr(Organization, "build", everything)
    monkeypatch.setattr("tap_asana_export.sandbox.export.project", lambda item, _: item)


@pytest.mark.usefixtures("generous")
@pytest.mark.parametrize("settings", [{}, {"stream_maps": {"tasks": {"loud": "gid"}}}], ids=["verbatim", "mapped"])
def test_what_is_deselected_does_not_come_out_though_asana_sends_it(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any], settings: dict[str, Any]
) -> None:
    selection = {
        ("tasks", "properties", "notes"): False,
        ("tasks", "properties", "assignee", "properties", "name"): False,
        ("tasks", "properties", "custom_fields", "properties", "enum_options", "properties", "name"): False,
        ("tasks", "properties", "stories"): False,
    }
    run = run_tap(settings_for(sandbox, **settings), catalog=select(catalog, selection))

    wanted = {gid: task | ({"loud": gid} if settings else {}) for gid, task in expected(sandbox, "tasks").items()}
    for task in wanted.values():
        by_default_not = ("assigned_by", "created_by", "dependencies", "dependents", "external", "html_notes")
        for name in (*by_default_not, "is_rendered_as_separator", "num_subtasks", "notes", "stories", "brand_new"):
            task.pop(name, None)
        (task["assignee"] or {}).pop("name", None)
        (task["parent"] or {}).pop("created_by", None)
        for field in task["custom_fields"]:
            for option in field.get("enum_options") or ():
                del option["name"]
    assert any(field.get("enum_options") for task in wanted.values() for field in task["custom_fields"])
    assert run.by_gid("tasks") == wanted


@pytest.mark.usefixtures("generous")
def test_a_field_that_the_schema_does_not_know_is_dropped_with_one_warning(
    sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    run = run_tap(settings_for(sandbox))

    assert run.stderr.count("Stream tasks: Asana sends the field 'brand_new'") == 1
    assert len(run.records("tasks")) == 40
    assert not any("brand_new" in task for task in run.records("tasks"))


def test_keys_and_the_replication_key_cannot_be_deselected(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    catalog = select(catalog, OFF | only(catalog, "tasks", "name") | {("tasks",): True})
    for stream in catalog["streams"]:
        for each in stream["metadata"]:
            each["metadata"].pop("inclusion", None)
    run = run_tap(settings_for(sandbox), catalog=catalog)

    [[task]] = parameters(sandbox)
    assert task == {"resource_type": "task", "fields": ["gid", "resource_type", "modified_at", "name"]}
    assert {tuple(sorted(record)) for record in run.records("tasks")} == {("gid", "modified_at", "name")}


def test_opt_in_fields_are_not_selected_by_default(catalog: dict[str, Any]) -> None:
    not_selected = {
        (stream["tap_stream_id"], *each["breadcrumb"][1::2])
        for stream in catalog["streams"]
        for each in stream["metadata"]
        if each["breadcrumb"] and each["metadata"].get("selected-by-default") is False
    }
    assert not_selected == {
        ("custom_fields", "description"),
        ("messages", "html_notes"),
        ("portfolio_items", "created_from_template"),
        ("portfolio_items", "current_status", "html_text"),
        ("portfolio_items", "html_notes"),
        ("portfolio_items", "project_brief"),
        ("portfolios", "archived"),
        ("projects", "created_from_template"),
        ("projects", "current_status", "html_text"),
        ("projects", "html_notes"),
        ("projects", "project_brief"),
        ("tasks", "assigned_by"),
        ("tasks", "created_by"),
        ("tasks", "dependencies"),
        ("tasks", "dependents"),
        ("tasks", "external"),
        ("tasks", "html_notes"),
        ("tasks", "is_rendered_as_separator"),
        ("tasks", "num_subtasks"),
        ("tasks", "parent", "created_by"),
        ("teams", "description"),
        ("teams", "html_description"),
        ("time_tracking_entries", "task", "created_by"),
    }


@pytest.mark.parametrize(
    ("stream", "breadcrumb", "last_line"),
    [
        (
            "boards",
            [],
            "The catalog selects a stream 'boards', which there is not; there are {streams}. Correct the catalog, or "
            "make it anew with --discover.",
        ),
        (
            "tasks",
            ["properties", "asignee"],
            "The catalog selects 'asignee' of the stream tasks, which there is not; perhaps assignee? Make the catalog "
            "anew with --discover.",
        ),
        (
            "tasks",
            ["properties", "assignee", "properties", "nam"],
            "The catalog selects 'assignee.nam' of the stream tasks, which there is not; perhaps assignee.name? "
            "Make the catalog anew with --discover.",
        ),
    ],
)
def test_selecting_what_there_is_not_fails_before_anything_is_asked(
    sandbox: Sandbox,
    run_tap: Callable[..., Run],
    catalog: dict[str, Any],
    stream: str,
    breadcrumb: list[str],
    last_line: str,
) -> None:
    catalog = json.loads(json.dumps(catalog))
    [tasks] = [each for each in catalog["streams"] if each["tap_stream_id"] == "tasks"]
    selected = {"breadcrumb": breadcrumb, "metadata": {"selected": True}}
    if stream == "tasks":
        tasks["metadata"].append(selected)
    else:
        schema = {"type": "object", "properties": {"gid": {"type": "string"}}}
        catalog["streams"].append({"tap_stream_id": stream, "stream": stream, "schema": schema, "metadata": [selected]})
    run = run_tap(settings_for(sandbox), catalog=catalog)

    streams = ", ".join(each["tap_stream_id"] for each in catalog["streams"][:-1])
    assert (run.code, run.stdout, run.last_line) == (1, b"", last_line.format(streams=streams))
    assert not sandbox.requests
