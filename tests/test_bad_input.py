"""What cannot work ends in one line that says what to do, exit code 1, and nothing half-written."""

from __future__ import annotations

import copy
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export.sandbox import Sandbox
from tap_asana_export.sandbox.faults import NAMES
from tap_asana_export.sources import SOURCES
from tests.support.tap import WORKSPACE, Run, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "a wrong token": (
        {"access_token": "wrong"},
        "POST /exports/resource: Asana answered 401: Not Authorized. The token is wrong, expired or revoked: "
        "set access_token, or the settings of OAuth, anew.",
    ),
    "no token": (
        {"access_token": None},
        "Settings: access_token is missing: give a service account's token, or client_id, client_secret and "
        "refresh_token of an OAuth app, or set sandbox to true to try the tap. "
        "`tap-asana-export --about` tells of every setting.",
    ),
    "a part of OAuth": (
        {"access_token": None, "client_secret": "987654321"},
        "Settings: OAuth needs client_id, client_secret and refresh_token; not given: client_id, refresh_token. "
        "`tap-asana-export --about` tells of every setting.",
    ),
    "OAuth, its refresh token empty": (
        {"access_token": None, "client_id": "987654321", "client_secret": "987654321", "refresh_token": ""},
        "Settings: OAuth needs client_id, client_secret and refresh_token; not given: refresh_token. "
        "`tap-asana-export --about` tells of every setting.",
    ),
    "a token and OAuth": (
        {"client_id": "987654321", "client_secret": "987654321", "refresh_token": "987654321"},
        "Settings: access_token and client_id, client_secret, refresh_token are given: give either access_token, or "
        "client_id, client_secret and refresh_token. `tap-asana-export --about` tells of every setting.",
    ),
    "a token and a part of OAuth": (
        {"client_id": "987654321"},
        "Settings: access_token and client_id are given: give either access_token, or client_id, client_secret and "
        "refresh_token. `tap-asana-export --about` tells of every setting.",
    ),
    "a client id that is no text": (
        {"access_token": None, "client_id": 987654321, "client_secret": "s", "refresh_token": "r"},
        "Settings: client_id must be of type string. `tap-asana-export --about` tells of every setting.",
    ),
    "a token that is no text": (
        {"access_token": 987654321},
        "Settings: access_token must be of type string. `tap-asana-export --about` tells of every setting.",
    ),
    "an unknown workspace": (
        {"workspaces": ["4711"]},
        "POST /exports/resource: Asana answered 404: workspace: Unknown object: 4711. Asana does not know it, or the "
        "token cannot see it: check the settings workspaces and graph_parents.",
    ),
    "a workspace that is no gid": (
        {"workspaces": ["My Company"]},
        "Settings: workspaces[0] must be a gid, that is a text of digits. "
        "`tap-asana-export --about` tells of every setting.",
    ),
    "settings of the wrong type": (
        {"overlap": "long", "poll_interval": "often"},
        "Settings: overlap must be of type integer; poll_interval must be of type number. "
        "`tap-asana-export --about` tells of every setting.",
    ),
    "a number out of range": (
        {"poll_interval": 0},
        "Settings: poll_interval must be more than 0. `tap-asana-export --about` tells of every setting.",
    ),
    "a date that is none": (
        {"start_date": "yesterday"},
        "Settings: start_date must be a date-time such as 2026-01-31T00:00:00Z. "
        "`tap-asana-export --about` tells of every setting.",
    ),
    "an unknown filter": (
        {"filters": {"tasks": [{"project.any": ["1"]}]}},
        "Settings: filters.tasks[0] knows no 'project.any', only assigned_by.any, assignee.any, commented_on_by.any, "
        "created_at.after, created_at.before, created_by.any, followers.any, liked_by.any, modified_at.after, "
        "modified_at.before. `tap-asana-export --about` tells of every setting.",
    ),
    "a filter for tasks on messages": (
        {"filters": {"messages": [{"assignee.any": ["1"]}]}},
        "Settings: filters.messages[0] knows no 'assignee.any', only commented_on_by.any, created_at.after, "
        "created_at.before, created_by.any, followers.any, liked_by.any, modified_at.after, modified_at.before. "
        "`tap-asana-export --about` tells of every setting.",
    ),
    "a workspace twice": (
        {"workspaces": ["1200000000000001", "1200000000000002", "1200000000000001"]},
        "Settings: workspaces must not name the same gid twice. `tap-asana-export --about` tells of every setting.",
    ),
    "no days between full exports": (
        {"full_export_interval": 0},
        "Settings: full_export_interval must be at least 1. `tap-asana-export --about` tells of every setting.",
    ),
    "a filter on teams": (
        {"filters": {"teams": [{"created_by.any": ["1"]}]}},
        "Settings: filters knows no 'teams', only messages, tasks. `tap-asana-export --about` tells of every setting.",
    ),
    "an unknown fault of the sandbox": (
        {"sandbox": {"faults": {"earthquake": 1}}},
        f"Settings: sandbox cannot be set up: Unknown faults: earthquake. There are {', '.join(NAMES)}.",
    ),
    "an unknown setting of the sandbox": (
        {"sandbox": {"planets": 9}},
        f"Settings: sandbox knows no 'planets', only {', '.join(sorted(Sandbox.settings()))}.",
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_cannot_work(name: str, sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    settings, line = SETTINGS[name]
    run = run_tap(settings_for(sandbox) | settings)

    assert (run.code, run.last_line) == (1, line)
    assert {message["type"] for message in run.messages} <= {"SCHEMA"}
    assert "Traceback" not in run.stderr
    assert "987654321" not in run.stderr


STATES: dict[str, tuple[Any, str]] = {
    "another tap's": (
        {"bookmarks": {"issues": {"since": "2026-01-01"}}},
        "it holds bookmarks of issues",
    ),
    "that of singer-io's tap-asana": (
        {"bookmarks": {"tasks": {"modified_at": "2021-12-17T07:11:38.629000"}}},
        "Object contains unknown field `modified_at`",
    ),
    "a bookmark that is no time": (
        {"bookmarks": {"tasks": {"partitions": [{"context": {"workspace_gid": "1"}, "replication_key_value": "x"}]}}},
        "Invalid RFC3339 encoded datetime - at `$.partitions[0].replication_key_value`",
    ),
    "a partition of nobody knows what": (
        {"bookmarks": {"tasks": {"partitions": [{}]}}},
        "Object missing required field `context` - at `$.partitions[0]`",
    ),
    "an export of nobody knows what": (
        {"bookmarks": {"exports": {"partitions": [{"pending": None}]}}},
        "Object missing required field `context` - at `$.partitions[0]`",
    ),
    "a list": ([1], "Expected `object`, got `array`"),
}


@pytest.mark.parametrize("name", STATES)
def test_a_state_from_elsewhere(name: str, sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    state, cause = STATES[name]
    run = run_tap(settings_for(sandbox), state=state)

    assert (run.code, run.stdout, run.last_line) == (
        1,
        b"",
        f"The state given with --state is not this tap's: {cause}. "
        "Give the state that this tap wrote, or none to begin with a full export.",
    )


def test_a_catalog_that_selects_nothing(sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]) -> None:
    nothing = {"streams": [copy.deepcopy(each) for each in catalog["streams"] if each["tap_stream_id"] == "exports"]}
    nothing["streams"][0]["metadata"][-1]["metadata"]["selected"] = True
    run = run_tap(settings_for(sandbox), catalog=nothing)

    streams = ", ".join(source.stream for source in SOURCES)
    assert (run.code, run.last_line) == (
        1,
        f"The catalog selects nothing to export: select at least one of {streams}.",
    )


def test_a_stream_map_that_cannot_be_evaluated(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    run = run_tap(settings_for(sandbox, stream_maps={"tasks": {"size": "len(notes)"}}))

    assert run.code == 1
    assert re.fullmatch(
        rf"Workspace {WORKSPACE}: stream tasks: the expression for size in stream_maps cannot be evaluated for the "
        r"object with gid \d+ \(FunctionNotDefined: Function 'len' not defined, for expression 'len\(notes\)'\.\)\. "
        r"Bookmarks stay where they were\. Any value may be null: correct the expression, .*, then run again\.",
        run.last_line,
    )


def test_a_target_that_has_gone(sandbox: Sandbox, arguments: Callable[..., list[str]]) -> None:
    tap = subprocess.Popen(arguments(settings_for(sandbox)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert tap.stdout is not None
    tap.stdout.readline()
    tap.stdout.close()
    assert tap.stderr is not None
    with tap.stderr:
        lines = tap.stderr.read().strip().split("\n")

    assert tap.wait() == 1
    assert lines[-1].split(" | ")[-1] == (
        "Cannot write to stdout (Broken pipe). See to what takes it, the target or the disk, then run again."
    )


def test_a_full_disk(sandbox: Sandbox, arguments: Callable[..., list[str]]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            arguments(settings_for(sandbox)), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert done.returncode == 1
    assert done.stderr.strip().split("\n")[-1].split(" | ")[-1] == (
        "Cannot write to stdout (No space left on device). See to what takes it, the target or the disk, "
        "then run again."
    )
