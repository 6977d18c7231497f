"""States that version 0.1 wrote (tests/states) go on working."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.organizations import expected, parameters
from tests.support.tap import Run, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_asana_export.sandbox import Sandbox

STATES: dict[str, Any] = json.loads((Path(__file__).parent / "states" / "0.1.json").read_text())
SETTINGS: dict[str, dict[str, Any]] = {
    "with versions": {"emit_activate_version_messages": True},
    "start date and filters": {
        "start_date": "2023-06-01",
        "filters": {"tasks": [{"created_at.after": "2022-01-01T00:00:00Z"}]},
    },
}


@pytest.mark.parametrize("name", ["full", "incremental", "with versions", "start date and filters"])
def test_a_state_goes_on_incrementally_and_is_full_only_where_the_schema_has_grown(
    name: str, sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    state = STATES[name]
    run = run_tap(settings_for(sandbox, **SETTINGS.get(name, {})), state=copy.deepcopy(state))

    assert (run.code, len(parameters(sandbox))) == (0, 1)
    why = [line.split(": ", 1)[1] for line in run.stderr.splitlines() if "is asked for: " in line]
    assert {each.rpartition(": ")[2] for each in why} <= {"its selection has changed"}
    bookmark = state["bookmarks"]["messages"]["partitions"][0]["replication_key_value"]
    assert run.state["bookmarks"]["messages"]["partitions"][0]["replication_key_value"] > bookmark
    assert run.state["bookmarks"]["messages"]["partitions"][0].keys() >= (
        state["bookmarks"]["messages"]["partitions"][0].keys()
    )


@pytest.mark.parametrize("name", ["waiting", "interrupted"])
def test_a_pending_job_is_gone_on_with(name: str, sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    sandbox.job_seconds = 3600
    begun = run_tap(settings_for(sandbox, wait_timeout=0.05, defer=True, checkpoint=False))
    [job] = [each["pending"]["job_gid"] for each in begun.state["bookmarks"]["exports"]["partitions"]]
    sandbox.job_seconds = 0
    state = copy.deepcopy(STATES[name])
    pending = state["bookmarks"]["exports"]["partitions"][0]["pending"]
    pending |= {"job_gid": job, "etag": None}
    run = run_tap(settings_for(sandbox, checkpoint=False), state=state)

    assert (run.code, len(parameters(sandbox)), run.by_gid("tasks")) == (0, 1, expected(sandbox, "tasks"))
    assert run.records("exports")[0]["job_gid"] == job


def test_a_pending_job_that_is_gone_is_asked_for_anew(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    run = run_tap(settings_for(sandbox, checkpoint=False), state=STATES["waiting"])

    assert (run.code, run.by_gid("tasks")) == (0, expected(sandbox, "tasks"))
    assert "it is gone (job: Unknown object: " in run.stderr
