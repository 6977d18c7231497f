"""Through a real target into DuckDB, where every value is compared with the organization."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.organizations import expected
from tests.support.tap import WORKSPACE, settings_for
from tests.support.targets import differences, load, target_duckdb

pytest.importorskip("duckdb", reason="duckdb 1.2.2 has no wheel for this Python")

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tap_asana_export.sandbox import Sandbox

pytestmark = pytest.mark.external


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
