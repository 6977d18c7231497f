"""Through a real target into DuckDB, where every value is compared with the organization."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import WORKSPACE, expected, settings_for
from tests.targets import Target, differences, target_duckdb

pytest.importorskip("duckdb", reason="duckdb 1.2.2 has no wheel for this Python")

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tap_asana_export.sandbox import Sandbox


def feed(tap: list[str], target: Target) -> tuple[int, str, dict[str, Any]]:
    """Pipe the tap into the target: the tap's exit code and log, and the state that the target confirmed last."""
    source = subprocess.Popen(tap, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    done = subprocess.run(target.command, stdin=source.stdout, capture_output=True, check=False)
    assert source.stdout is not None
    source.stdout.close()
    _, log = source.communicate()
    assert done.returncode == 0, done.stderr.decode()
    state: dict[str, Any] = json.loads(done.stdout.strip().split(b"\n")[-1])
    return source.returncode, log.decode(), state


def load(tap: list[str], target: Target) -> dict[str, Any]:
    """Pipe the tap into the target, which must end well; the state that the target confirmed last."""
    code, log, state = feed(tap, target)
    assert code == 0, log
    return state


def test_every_value_arrives_in_duckdb_after_a_full_and_an_incremental_run(
    sandbox: Sandbox, arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    target = target_duckdb(tmp_path)
    state = load(arguments(settings_for(sandbox)), target)
    assert differences(target, sandbox) == []

    organization = sandbox.organizations[WORKSPACE]
    gids = list(expected(sandbox, "tasks"))
    for gid in gids[:7]:
        organization.touch(gid)
    organization.touch(gids[8], name='Line\u2028separator, \U0001f469\u200d\U0001f680 and "quotes" \\ \t\n end')
    for kind in ("task", "task", "message"):
        organization.add(kind)
    state = load(arguments(settings_for(sandbox, overlap=0), state=state), target)
    assert differences(target, sandbox) == []

    assert [row["objects"] for row in sorted(target.rows("exports"), key=lambda row: row["created_at"])] == [
        {"message": 10, "task": 40, "team": 3},
        {"message": 1, "task": 10, "team": 3},
    ]
    assert state["bookmarks"]["exports"]["partitions"][0]["pending"] is None
