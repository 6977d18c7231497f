"""Through a real target into DuckDB, where every value is compared with the organization."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import UVX, WORKSPACE, expected, settings_for

duckdb = pytest.importorskip("duckdb", reason="duckdb 1.2.2 has no wheel for this Python")

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tap_asana_export.sandbox import Sandbox

# With duckdb >= 1.3 this target loses the first row of every flush.
TARGET = [*UVX, "--from", "target-duckdb==0.8.0", "--with", "duckdb==1.2.2", "target-duckdb"]


def load(tap: list[str], target_config: Path) -> dict[str, Any]:
    """Pipe the tap into the target; the state that the target confirmed last."""
    source = subprocess.Popen(tap, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    target = subprocess.run(
        [*TARGET, "--config", str(target_config)], stdin=source.stdout, capture_output=True, check=False
    )
    assert source.stdout is not None
    source.stdout.close()
    _, log = source.communicate()
    assert (source.returncode, target.returncode) == (0, 0), (log.decode(), target.stderr.decode())
    state: dict[str, Any] = json.loads(target.stdout.strip().split(b"\n")[-1])
    return state


def table(path: Path, stream: str) -> dict[str, dict[str, Any]]:
    """The rows of a table by gid: JSON columns as values, times as Asana writes them."""
    with duckdb.connect(str(path), read_only=True) as database:
        result = database.sql(f"select * from {stream}")  # noqa: S608 - the test's own names
        types = dict(zip(result.columns, map(str, result.types), strict=True))
        rows = [dict(zip(result.columns, row, strict=True)) for row in result.fetchall()]
    read: dict[str, Callable[[Any], Any]] = {
        "JSON": json.loads,
        "TIMESTAMP": lambda at: f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z",
    }
    return {
        row["gid"]: {
            name: read[types[name]](value) if value is not None and types[name] in read else value
            for name, value in row.items()
        }
        for row in rows
    }


def as_the_target_stores(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What target-duckdb makes of rows: an empty text becomes NULL, as does what is absent."""
    columns = set().union(*rows.values())
    return {
        gid: {name: None if row.get(name) == "" else row.get(name) for name in columns} for gid, row in rows.items()
    }


def test_every_value_arrives_in_duckdb_after_a_full_and_an_incremental_run(
    sandbox: Sandbox, arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    database = tmp_path / "asana.duckdb"
    target_config = tmp_path / "target.json"
    target_config.write_text(json.dumps({"path": str(database), "default_target_schema": "main"}))

    def compare() -> None:
        for stream in ("tasks", "messages", "teams"):
            stored = as_the_target_stores(expected(sandbox, stream))
            rows = table(database, stream)
            columns = next(iter(stored.values())).keys()
            assert {gid: {name: row[name] for name in columns} for gid, row in rows.items()} == stored
            unasked = {name for row in rows.values() for name in row.keys() - columns if row[name] is not None}
            assert unasked == set()

    state = load(arguments(settings_for(sandbox)), target_config)
    compare()

    organization = sandbox.organizations[WORKSPACE]
    gids = list(expected(sandbox, "tasks"))
    for gid in gids[:7]:
        organization.touch(gid)
    organization.touch(gids[8], name='Line\u2028separator, \U0001f469\u200d\U0001f680 and "quotes" \\ \t\n end')
    for kind in ("task", "task", "message"):
        organization.add(kind)
    state = load(arguments(settings_for(sandbox, overlap=0), state=state), target_config)
    compare()

    assert [
        row["objects"] for row in sorted(table(database, "exports").values(), key=lambda row: row["created_at"])
    ] == [
        {"message": 10, "task": 40, "team": 3},
        {"message": 1, "task": 10, "team": 3},
    ]
    assert state["bookmarks"]["exports"]["partitions"][0]["pending"] is None
