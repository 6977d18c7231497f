"""Catalogs and stream maps as people write them: each brings what it selects, or one line that says what is wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export.errors import SettingError
from tap_asana_export.sources import SOURCES
from tap_asana_export.tap import TapAsanaExport
from tests.support.organizations import expected, parameters
from tests.support.tap import WORKSPACE, Run, select, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_asana_export.sandbox import Sandbox

ANEW = "Make it anew with --discover."
KEY = (
    "The catalog makes 'nr' a key of the stream tasks, which has no such property. "
    "Make the catalog anew with --discover."
)


def of_streams(*names: str, **more: Any) -> dict[str, Any]:
    """A catalog that is written by hand: it selects streams, and says nothing else."""
    metadata = [{"breadcrumb": [], "metadata": {"selected": True}}]
    return {"streams": [{"tap_stream_id": name, "metadata": metadata} | more for name in names]}


def refusal(catalog: Any, **settings: Any) -> str:
    with pytest.raises(SettingError) as refused:
        TapAsanaExport(config={"sandbox": True, **settings}, catalog=catalog)
    return str(refused.value)


# ── catalogs ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("more", [{}, {"schema": {}}, {"schema": {"type": "object"}, "key_properties": []}], ids=str)
def test_a_catalog_by_hand_brings_its_streams_whole_and_goes_on_incrementally(
    sandbox: Sandbox, run_tap: Callable[..., Run], more: dict[str, Any]
) -> None:
    catalog = of_streams("tasks", **more)
    first = run_tap(settings_for(sandbox), catalog=catalog)
    run_tap(settings_for(sandbox), catalog=catalog, state=first.state)

    assert first.by_gid("tasks") == expected(sandbox, "tasks")
    assert [(each["stream"], each["key_properties"]) for each in first.of("SCHEMA")] == [("tasks", ["gid"])]
    assert [[each["resource_type"] for each in request] for request in parameters(sandbox)] == [["task"], ["task"]]
    assert parameters(sandbox)[1][0]["filters"].keys() == {"modified_at.after"}


@pytest.mark.parametrize("left", [("tasks",), ("exports",), ("exports", "teams")])
def test_a_stream_that_the_catalog_does_not_hold_is_not_selected(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any], left: tuple[str, ...]
) -> None:
    partial = {"streams": [each for each in catalog["streams"] if each["tap_stream_id"] in {*left, "messages"}]}
    run = run_tap(settings_for(sandbox), catalog=partial)

    assert (run.code, {each["stream"] for each in run.of("SCHEMA")} | {"exports"}) == (
        0,
        {*left, "messages", "exports"},
    )
    assert bool(run.records("exports")) == ("exports" in left)


def test_a_catalog_without_streams_selects_nothing(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    run = run_tap(settings_for(sandbox), catalog={"streams": []})

    names = ", ".join(sorted(["exports", *(each.stream for each in SOURCES)]))
    assert (run.code, run.stdout, run.last_line) == (
        1,
        b"",
        f"The catalog selects nothing: select at least one of {names}.",
    )
    assert not sandbox.requests


@pytest.mark.parametrize(
    ("catalog", "cause"),
    [
        ([], f"The catalog cannot be used: Expected `object`, got `array`. {ANEW}"),
        ({}, f"The catalog cannot be used: Object missing required field `streams`. {ANEW}"),
        (
            {"streams": [{}]},
            "The catalog cannot be used: Object missing required field `tap_stream_id` - at `$.streams[0]`. " + ANEW,
        ),
        (of_streams("tasks", "teams", "tasks"), f"The catalog has the stream 'tasks' twice. {ANEW}"),
        (
            of_streams("tasks", schema=[]),
            "The catalog cannot be used: Expected `object | null`, got `array` - at `$.streams[0].schema`. " + ANEW,
        ),
        (
            of_streams("tasks", key_properties=["nr"]),
            KEY,
        ),
        (
            of_streams("tasks", replication_key="nr"),
            KEY,
        ),
        (
            of_streams("tasks", metadata=[{"breadcrumb": [], "metadata": {"selected": "yes"}}]),
            "The catalog cannot be used: Expected `bool | null`, got `str` - at "
            "`$.streams[0].metadata[0].metadata.selected`. " + ANEW,
        ),
    ],
    ids=lambda value: json.dumps(value)[:40],
)  # fmt: skip
def test_a_catalog_that_cannot_be_used(catalog: Any, cause: str) -> None:
    assert refusal(catalog) == cause


# ── stream maps ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_map_of_all_streams_applies_to_what_is_selected(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    maps = {"*": {"first": "gid[0]", "gid": "gid", "__else__": None}, "graph_tasks": {"gid": None}}
    run = run_tap(settings_for(sandbox, stream_maps=maps))

    assert run.code == 0
    assert {each["stream"]: each["schema"]["properties"].keys() for each in run.of("SCHEMA")} == dict.fromkeys(
        ("exports", "tasks", "messages", "teams"), {"first"} | {"gid"}
    )
    assert run.by_gid("tasks") == {gid: {"gid": gid, "first": gid[0]} for gid in expected(sandbox, "tasks")}


@pytest.mark.parametrize("schema", [{}, {"type": "object"}], ids=str)
def test_a_map_in_a_catalog_without_schema(
    sandbox: Sandbox, run_tap: Callable[..., Run], schema: dict[str, Any]
) -> None:
    catalog = of_streams("tasks", schema=schema)
    run = run_tap(settings_for(sandbox, stream_maps={"tasks": {"loud": "name.upper()"}}), catalog=catalog)

    assert {gid: task["loud"] for gid, task in run.by_gid("tasks").items()} == {
        gid: task["name"].upper() for gid, task in expected(sandbox, "tasks").items()
    }


def both(one: str, other: str, name: str) -> str:
    return f"records of {one} and of {other} would both be of a stream '{name}'. Give one of them another name."


@pytest.mark.parametrize(
    ("maps", "cause"),
    [
        ({"tasks": {"__alias__": "exports"}}, both("exports", "tasks", "exports")),
        ({"tasks": {"__alias__": "teams"}}, both("tasks", "teams", "teams")),
        ({"exports": {"__alias__": "tasks"}}, both("exports", "tasks", "tasks")),
        ({"messages": {"__source__": "tasks"}}, both("messages", "tasks", "messages")),
        ({"exports": {"__source__": "tasks"}}, both("exports", "tasks", "exports")),
        ({"m*": {"__alias__": "x"}, "t*": {"__alias__": "x"}}, both("messages", "tasks", "x")),
        ({"tasks": {"__alias__": "1 + 1"}}, "the name that it gives tasks is no text. Correct it."),
        ({"task": {"gid": "gid"}}, "it maps a stream 'task', which there is not; perhaps tasks?"),
        ({"todo": {"__source__": "taks"}}, "it maps a stream 'taks', which there is not; perhaps tasks?"),
        ({"tasks": {"x": "1 +"}}, "Failed to parse expression 1 +. Correct the map."),
        (
            {"tasks": {"__key_properties__": ["nr"]}},
            "Invalid key properties for 'tasks': [nr]. Property 'nr' was not detected in schema. Correct the map.",
        ),
    ],
    ids=lambda value: json.dumps(value)[:40],
)  # fmt: skip
def test_a_stream_map_that_cannot_be_used_is_refused_before_anything_is_asked(
    sandbox: Sandbox, maps: dict[str, Any], cause: str
) -> None:
    with pytest.raises(SettingError, match=r"^Setting stream_maps: ") as refused:
        TapAsanaExport(config=settings_for(sandbox, stream_maps=maps))

    assert str(refused.value) == f"Setting stream_maps: {cause}"
    assert not sandbox.requests


def test_names_of_streams_that_are_not_selected_or_removed_are_free(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    maps = {"tasks": {"__alias__": "exports"}, "exports": None, "teams": {"__alias__": "messages"}}
    run = run_tap(settings_for(sandbox, stream_maps=maps), catalog=select(catalog, {("messages",): False}))

    assert {each["stream"] for each in run.of("SCHEMA")} == {"exports", "messages"}
    assert (len(run.records("exports")), len(run.records("messages"))) == (40, 3)


# ── states ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_state_as_meltano_and_targets_have_it_is_unwrapped(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    state = run_tap(settings_for(sandbox)).state
    for given in ({"singer_state": state}, {"type": "STATE", "value": state}):
        run_tap(settings_for(sandbox), state=given)

    assert [set(request[0].get("filters", ())) for request in parameters(sandbox)] == [
        set(),
        *[{"modified_at.after"}] * 2,
    ]


@pytest.mark.parametrize(
    "state", ["", " \n", "null", "{}", '{"singer_state": {}}', '{"bookmarks": {}}', '{"type": "STATE", "value": {}}']
)
def test_an_empty_state_is_none(sandbox: Sandbox, run_tap: Callable[..., Run], state: str) -> None:
    run = run_tap(settings_for(sandbox), state=state)

    assert (run.code, run.by_gid("tasks")) == (0, expected(sandbox, "tasks"))


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        ({"completed": {"singer_state": {}}}, "Object missing required field `bookmarks`"),
        ({"tasks": "2026-01-01"}, "Object missing required field `bookmarks`"),
        ({"bookmarks": {"tasks": {}, "others": 5}}, "Expected `object`, got `int` - at `$.bookmarks[...]`"),
        ({"bookmarks": None}, "Expected `object`, got `null` - at `$.bookmarks`"),
        (
            {"bookmarks": {"tasks": {"partitions": [{"context": {"workspace_gid": "1200"}}] * 2}}},
            "it holds 1200 twice for the stream tasks",
        ),
        (
            {"bookmarks": {"tasks": {"partitions": [{"full_at": "2026-01-01T00:00:00Z"}]}}},
            "Object missing required field `context` - at `$.partitions[0]`",
        ),
        (
            {"bookmarks": {"exports": {"partitions": [{"job_gid": "1"}]}}},
            "Object missing required field `context` - at `$.partitions[0]`",
        ),
        (False, "Expected `object`, got `bool`"),
        ([], "Expected `object`, got `array`"),
    ],
    ids=str,
)
def test_a_state_of_another_shape_is_refused(state: Any, cause: str) -> None:
    with pytest.raises(SettingError) as refused:
        TapAsanaExport(config={"sandbox": True}, state=state)

    assert str(refused.value) == (
        f"The state given with --state is not this tap's: {cause}. "
        "Give the state that this tap wrote, or none to begin with a full export."
    )


def test_workspaces_are_asked_for_only_if_the_catalog_selects_something(
    sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    run = run_tap(settings_for(sandbox, workspaces=[]), catalog=of_streams("exports"))

    assert (run.code, [*sandbox.requests]) == (1, [])
    assert WORKSPACE not in run.stderr
