"""Batch files into Delta tables: examples/delta."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.batches import into
from tests.support.consumers import PROJECT, change, differences, export, export_deletions, present_gids, tables
from tests.support.lists import by_key, only
from tests.support.tap import WORKSPACE, settings_for, sync
from tests.support.targets import STREAMS, prefix

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tap_asana_export.sandbox import Sandbox
    from tests.support.consumers import Exported

pytestmark = pytest.mark.external

DELTA = ("deltalake==1.6.6", "pyarrow")

READ = """
import json, sys
import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder
# Of to_pyarrow_table one run in some dozens ends with SIGABRT when Python does (1.6.6).
rows = pa.table(QueryBuilder().register("t", DeltaTable(sys.argv[1])).execute("select * from t")).to_pylist()
nested = set(sys.argv[2:])
for row in rows:
    del row["_exported_at"]
    print(json.dumps({name: json.loads(value) if name in nested and value else value for name, value in row.items()},
                     default=lambda at: at.isoformat()))
"""


@pytest.fixture
def merge(catalog: dict[str, Any], tmp_path: Path) -> Callable[..., Callable[[str], list[dict[str, Any]]]]:
    """Runs the example on batch files; returns what reads its tables."""
    (tmp_path / "catalog.json").write_text(json.dumps(catalog))
    python = prefix(*DELTA) / "bin" / "python"

    def run(batches: object, *streams: str) -> Callable[[str], list[dict[str, Any]]]:
        example: list[Any] = [python, PROJECT / "examples" / "delta" / "merge.py"]
        options = ["--catalog", f"{tmp_path}/catalog.json", f"{batches}", f"{tmp_path}/lake", *streams]
        done = subprocess.run([*example, *options], capture_output=True, check=False, text=True)
        assert done.returncode == 0, done.stderr
        return rows

    def rows(stream: str) -> list[dict[str, Any]]:
        schema = json.loads((PROJECT / "schemas" / f"{stream}.json").read_text())
        nested = [name for name, each in schema["properties"].items() if {"array", "object"} & {*each["type"]}]
        done = subprocess.run(
            [python, "-c", READ, f"{tmp_path}/lake/{stream}", *nested], capture_output=True, check=True, text=True
        )
        return [json.loads(line) for line in done.stdout.split("\n") if line]

    return run


def test_the_tables_hold_every_value_of_the_latest_state_again_and_again(
    exported_as_parquet: Exported, merge: Callable[..., Callable[[str], list[dict[str, Any]]]]
) -> None:
    for _ in range(2):
        rows = merge(f"{exported_as_parquet.root}/", *STREAMS)
        found = {stream: {row["gid"]: row for row in rows(stream)} for stream in STREAMS}
        assert differences(found, exported_as_parquet.tables) == []


def test_each_run_merges_what_has_come_since(
    sandbox: Sandbox, merge: Callable[..., Callable[[str], list[dict[str, Any]]]], tmp_path: Path
) -> None:
    state = None
    for is_full in (True, False, True):
        export(sandbox, WORKSPACE, tmp_path, None if is_full else state, format="parquet", compression="zstd")
        state = tmp_path / f"{WORKSPACE}.state.json"
        rows = merge(f"{tmp_path}/batches/asana/", *STREAMS)
        if is_full:
            found = {stream: {row["gid"]: row for row in rows(stream)} for stream in STREAMS}
            assert differences(found, tables(sandbox)) == []
        change(sandbox, WORKSPACE)


def test_who_follows_no_longer_is_no_row(
    sandbox: Sandbox,
    catalog: dict[str, Any],
    merge: Callable[..., Callable[[str], list[dict[str, Any]]]],
    tmp_path: Path,
) -> None:
    selected = only(catalog, ["exports", "tasks", "task_followers"])
    settings = settings_for(sandbox, overlap=0, **into(tmp_path / "batches", format="parquet", compression="zstd"))
    organization = sandbox.organizations[WORKSPACE]
    state = sync(settings, selected).state
    merge(f"{tmp_path}/batches/asana/", "tasks", "task_followers")
    task = next(each for each in sandbox.objects(WORKSPACE, "task") if len(each["followers"]) > 1)
    organization.touch(task["gid"], followers=task["followers"][1:])
    sync(settings, selected, state)
    rows = merge(f"{tmp_path}/batches/asana/", "tasks", "task_followers")
    wanted = {
        (each["gid"], follower["gid"]) for each in sandbox.objects(WORKSPACE, "task") for follower in each["followers"]
    }
    assert by_key("task_followers", rows("task_followers")).keys() == wanted


def test_what_was_deleted_is_in_no_table_and_what_was_undeleted_is(
    sandbox: Sandbox,
    catalog: dict[str, Any],
    merge: Callable[..., Callable[[str], list[dict[str, Any]]]],
    tmp_path: Path,
) -> None:
    streams = ("tasks", "messages", "stories", "attachments")
    selected = only(catalog, ["exports", *streams, "deletions"])
    settings = settings_for(sandbox, overlap=0, **into(tmp_path / "batches", format="parquet", compression="zstd"))
    batches = f"{tmp_path}/batches/asana/"
    export_deletions(sandbox, settings, selected, lambda: merge(batches, *streams))

    rows = merge(batches, *streams)
    assert {stream: sorted(row["gid"] for row in rows(stream)) for stream in streams} == present_gids(sandbox)


@pytest.mark.parametrize(
    ("batches", "stream", "content", "said"),
    [
        (
            "nowhere/",
            "tasks",
            None,
            "There is no file nowhere/<stream>/<workspace>/….parquet: give the batch_config's ",
        ),
        ("batches/", "tasks", None, "There are JSON Lines: write Parquet, "),
        ("nowhere/", "sprockets", None, "merge.py: error: the catalog has no sprockets"),
        ("nowhere/", "tasks", "{}", "merge.py: error: catalog.json is no catalog: 'streams'"),
        ("nowhere/", "tasks", "", "merge.py: error: catalog.json is no catalog: Expecting value"),
    ],
)
def test_what_cannot_be_merged_is_an_error_in_words(
    batches: str, stream: str, content: str | None, said: str, catalog: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "catalog.json").write_text(json.dumps(catalog) if content is None else content)
    (tmp_path / "batches" / "tasks" / "1").mkdir(parents=True)
    (tmp_path / "batches" / "tasks" / "1" / "20260101T000000000Z-1-0001.jsonl.gz").touch()
    example: list[Any] = [prefix(*DELTA) / "bin" / "python", PROJECT / "examples" / "delta" / "merge.py"]
    options = ["--catalog", f"{tmp_path}/catalog.json", f"{tmp_path}/{batches}", f"{tmp_path}/lake", stream]
    done = subprocess.run([*example, *options], capture_output=True, check=False, text=True)
    *usage, last = done.stderr.replace(f"{tmp_path}/", "").splitlines()
    wrong_usage = said.startswith("merge.py: error: ")
    assert (done.returncode, last.startswith(said), bool(usage)) == (2 if wrong_usage else 1, True, wrong_usage)
    assert "Traceback" not in done.stderr
