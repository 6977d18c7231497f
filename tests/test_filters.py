"""Filters: what is asked for, and that an object which several of them match comes once."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export.records.gids import Gids
from tap_asana_export.replication.request import changed_after
from tap_asana_export.times import parse_time
from tests.support.organizations import expected, export_file, overlapping, parameters
from tests.support.tap import Run, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_asana_export.sandbox import Sandbox

EVERY_FILTER: dict[str, list[dict[str, Any]]] = {
    "tasks": [
        {name: ["1"]}
        for name in (
            "assigned_by.any",
            "assignee.any",
            "commented_on_by.any",
            "created_by.any",
            "followers.any",
            "liked_by.any",
        )
    ]
    + [{f"{time}.{side}": "2026-01-31"} for time in ("created_at", "modified_at") for side in ("after", "before")],
    "messages": [{name: ["1"]} for name in ("commented_on_by.any", "created_by.any", "followers.any", "liked_by.any")],
}


def test_all_of_asanas_filters_are_taken(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    run = run_tap(settings_for(sandbox, filters=EVERY_FILTER))

    assert (run.code, parameters(sandbox)) == (
        0,
        [
            [
                *({"resource_type": "task", "filters": filters} for filters in EVERY_FILTER["tasks"]),
                *({"resource_type": "message", "filters": filters} for filters in EVERY_FILTER["messages"]),
                {"resource_type": "team"},
            ]
        ],
    )


def test_the_bookmark_goes_into_each_filter(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    filters = {"tasks": [{"assignee.any": ["1"]}, {"created_by.any": ["2"]}]}
    first = run_tap(settings_for(sandbox, filters=filters, overlap=0))
    run_tap(settings_for(sandbox, filters=filters, overlap=0), state=first.state)

    after = {"modified_at.after": first.state["bookmarks"]["tasks"]["partitions"][0]["replication_key_value"]}
    assert [each.get("filters") for each in parameters(sandbox)[1]] == [
        {"assignee.any": ["1"]} | after,
        {"created_by.any": ["2"]} | after,
        after,
        None,
    ]


@pytest.mark.parametrize("maps", [{}, {"tasks": {"loud": "gid"}}], ids=["verbatim", "mapped"])
def test_an_object_that_several_filters_match_comes_once(
    sandbox: Sandbox, run_tap: Callable[..., Run], maps: dict[str, Any]
) -> None:
    run = run_tap(settings_for(sandbox, filters=overlapping(sandbox), stream_maps=maps))

    [export] = run.records("exports")
    _, file = export_file(sandbox, export["job_gid"])
    lines = [json.loads(line) for line in gzip.decompress(file).split(b"\n") if line]
    gids = [line["gid"] for line in lines if line["resource_type"] == "task"]
    assert 30 < len(set(gids)) < 40 < len(gids) == export["lines"] - 13
    assert [task["gid"] for task in run.records("tasks")] == list(dict.fromkeys(gids))
    assert export["objects"] == {"message": 10, "task": len(set(gids)), "team": 3}
    every = expected(sandbox, "tasks")
    assert run.by_gid("tasks") == {gid: every[gid] | ({"loud": gid} if maps else {}) for gid in gids}


def test_an_object_that_came_before_the_run_broke_does_not_come_again(
    sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    settings = settings_for(sandbox, filters=overlapping(sandbox))
    whole = [task["gid"] for task in run_tap(settings).records("tasks")]
    sandbox.faults["truncated"] = True
    first = run_tap(settings)
    assert (first.code, 0 < len(first.records("tasks")) < len(whole)) == (1, True)
    sandbox.faults.clear()
    second = run_tap(settings, state=first.state)

    came = [task["gid"] for run in (first, second) for task in run.records("tasks")]
    assert (second.code, sorted(came)) == (0, sorted(whole))


def test_a_set_of_gids_tells_the_first_time_from_the_others() -> None:
    gids = Gids()
    numbers = [str(1_200_000_000_000_000 + 7919 * number % 5000) for number in range(5000)]

    assert [gids.add(gid) for gid in numbers] == [True] * 5000
    assert [gids.add(gid) for gid in reversed(numbers)] == [False] * 5000
    assert [gids.add(gid) for gid in ("0", "65536", "0", str(2**64 - 1), str(2**64 - 1))] == [
        True,
        True,
        False,
        True,
        False,
    ]
    # what is no gid of Asana's is let through, always
    assert [gids.add(gid) for gid in (str(2**64), str(2**64), "-1", "-1", "legacy", "legacy")] == [True] * 6


@pytest.mark.parametrize(
    ("own", "asked"),
    [
        ("2026-01-31", "2026-02-01T00:00:00.000Z"),
        ("2026-02-01T01:00:00+02:00", "2026-02-01T00:00:00.000Z"),
        ("2026-02-02", "2026-02-02"),
    ],
)
def test_of_a_filters_own_bound_and_the_bookmark_the_later_one_is_asked_for(own: str, asked: str) -> None:
    assert changed_after({"modified_at.after": own, "assignee.any": ["1"]}, parse_time("2026-02-01")) == {
        "modified_at.after": asked,
        "assignee.any": ["1"],
    }
