"""Batch files into PostgreSQL, without a target: examples/postgres."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.batches import into
from tests.support.consumers import (
    PARTS,
    PROJECT,
    change,
    differences,
    export_deletions,
    plain,
    present_gids,
    rows_within,
)
from tests.support.graphs import in_graph
from tests.support.lists import LISTS, by_key, listed, only
from tests.support.tap import WORKSPACE, Run, settings_for, sync
from tests.support.targets import STREAMS

pytestmark = pytest.mark.external

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tap_asana_export.sandbox import Sandbox
    from tests.support.consumers import Exported, Table
    from tests.support.postgres import Postgres


@pytest.fixture
def load(postgres: Postgres, tmp_path: Path, catalog: dict[str, Any]) -> Callable[..., str]:
    """Runs the example on batch files, into the schema `asana`; returns what it said on stderr, if it failed."""
    (tmp_path / "catalog.json").write_text(json.dumps(catalog))

    def run(batches: object) -> str:
        psql: list[Any] = [postgres.programs / "psql", "-h", postgres.socket, "-U", "postgres", "-X"]
        psql += ["-v", f"batches={batches}", "-v", f"catalog={tmp_path}/catalog.json"]
        psql += ["-f", PROJECT / "examples" / "postgres" / "load.sql"]
        done = subprocess.run(psql, capture_output=True, check=False, text=True)
        assert (done.stdout, bool(done.stderr)) == ("", done.returncode != 0), done.stderr
        return done.stderr

    return run


def rows(postgres: Postgres, stream: str) -> list[dict[str, Any]]:
    found = postgres.query(f"select to_json(row) from asana.{stream} row")  # noqa: S608 - its own names
    for row in found:
        del row["_exported_at"]
    return found


def tables(postgres: Postgres) -> dict[str, Table]:
    """The tables by gid."""
    found: dict[str, Table] = {}
    for stream in STREAMS:
        of_it = rows(postgres, stream)
        found[stream] = {row["gid"]: row for row in of_it}
        assert len(found[stream]) == len(of_it), f"{stream}: rows with the same gid"
    return found


def test_the_tables_hold_every_value_of_the_latest_state_again_and_again(
    exported: Exported, postgres: Postgres, load: Callable[..., str]
) -> None:
    for _ in range(2):
        assert load(f"{exported.root}/") == ""
        assert differences(tables(postgres), exported.tables) == []


def test_files_may_be_gzipped_or_not_and_those_that_a_killed_run_left_are_none(
    exported: Exported, postgres: Postgres, load: Callable[..., str], tmp_path: Path
) -> None:
    root = shutil.copytree(exported.root, tmp_path / "it's a $HOME; \"\\ of batches")
    for file in sorted(root.rglob("*.gz"))[::2]:
        file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
        file.rename(file.with_name(f".{file.name}.4711.part")).write_bytes(b"half")
    assert load(f"{root}/") == ""
    assert differences(tables(postgres), exported.tables) == []


def test_a_stream_without_files_has_an_empty_table(
    exported: Exported, postgres: Postgres, load: Callable[..., str], tmp_path: Path
) -> None:
    for left in ("exports", "messages"):
        shutil.copytree(exported.root / left, tmp_path / f"asana-{left}")
    assert load(tmp_path / "asana-") == ""
    wanted = {"tasks": {}, "messages": exported.tables["messages"], "teams": {}}
    assert differences(tables(postgres), wanted) == []


def test_views_stay_and_a_new_property_gets_a_column(
    exported: Exported, postgres: Postgres, load: Callable[..., str]
) -> None:
    assert load(f"{exported.root}/") == ""
    postgres.query("alter table asana.tasks drop column notes; create view asana.mine as select name from asana.tasks")
    assert load(f"{exported.root}/") == ""
    assert differences(tables(postgres), exported.tables) == []
    assert len(postgres.query("select to_json(name) from asana.mine")) == len(exported.tables["tasks"])


@pytest.mark.parametrize("damage", ["nowhere", "cut off", "no JSON", "parquet"])
def test_what_cannot_be_loaded_is_an_error_and_the_tables_stay(
    damage: str, exported: Exported, postgres: Postgres, load: Callable[..., str], tmp_path: Path
) -> None:
    assert load(f"{exported.root}/") == ""
    root = shutil.copytree(exported.root, tmp_path / "batches")
    *_, last = sorted((root / "tasks" / WORKSPACE).iterdir())
    if damage == "cut off":
        last.write_bytes(last.read_bytes()[:-100])
    elif damage == "no JSON":
        last.write_bytes(gzip.compress(b'{"gid": "1", "name"\n'))
    elif damage == "parquet":
        last.rename(last.with_name("20260101T000000000Z-1-0001.parquet"))
    said = load(tmp_path / "nowhere" if damage == "nowhere" else f"{root}/")
    wanted = {
        "nowhere": "There is no batch file",
        "parquet": "There are Parquet files, of which psql reads none",
        "cut off": "child process exited with exit code 1",
        "no JSON": "invalid input syntax for type json",
    }
    assert wanted[damage] in said
    assert differences(tables(postgres), exported.tables) == []


def test_text_that_postgresql_cannot_hold_loses_nul_alone(
    postgres: Postgres, load: Callable[..., str], tmp_path: Path
) -> None:
    folder = tmp_path / "batches" / "teams" / "1"
    folder.mkdir(parents=True)
    text = (
        r"""{"gid": "7", "name": "a\u0000b\\u0000c\\\u0000d", "members": [{"name": "\u0000"}], "workspace_gid": "1"}"""
    )
    (folder / "20260101T000000000Z-1-0001.jsonl").write_text(text)
    assert load(f"{tmp_path}/batches/") == ""
    [team] = rows(postgres, "teams")
    assert plain(team) == {
        "gid": "7",
        "name": "ab\\u0000c\\d",
        "members": [{"name": ""}],
        "workspace_gid": "1",
    }


def test_rows_within_objects_are_those_of_the_present_objects(
    sandbox: Sandbox,
    catalog: dict[str, Any],
    postgres: Postgres,
    load: Callable[..., str],
    run_tap: Callable[..., Run],
    tmp_path: Path,
) -> None:
    settings = settings_for(sandbox, overlap=0, **into(tmp_path / "batches", 7))
    selected = only(catalog, ["exports", *STREAMS, *(part.stream for part in PARTS)], opt_in=True)
    state = None
    for full in (True, False, True):
        run = run_tap(settings, catalog=selected, state=None if full else state)
        assert run.code == 0, run.stderr
        state = run.state
        assert load(f"{tmp_path}/batches/asana/") == ""
        objects = tables(postgres)
        for part in PARTS:
            wanted = rows_within(part, objects).keys()
            assert wanted, part.stream
            assert by_key(part.stream, rows(postgres, part.stream)).keys() == wanted, part.stream
        change(sandbox, WORKSPACE)


def test_what_was_deleted_is_in_no_table_and_what_was_undeleted_is(
    sandbox: Sandbox, catalog: dict[str, Any], postgres: Postgres, load: Callable[..., str], tmp_path: Path
) -> None:
    streams = ("tasks", "messages", "stories", "attachments")
    selected = only(catalog, ["exports", *streams, "deletions"])
    settings = settings_for(sandbox, overlap=0, **into(tmp_path / "batches", 50))
    export_deletions(sandbox, settings, selected)

    assert load(f"{tmp_path}/batches/asana/") == ""
    assert {stream: sorted(row["gid"] for row in rows(postgres, stream)) for stream in streams} == present_gids(sandbox)


def test_of_a_list_and_of_a_graph_the_last_complete_one_counts(
    sandbox: Sandbox, catalog: dict[str, Any], postgres: Postgres, load: Callable[..., str], tmp_path: Path
) -> None:
    selected = only(catalog, ["exports", *LISTS, "graph_tasks"])
    organization = sandbox.organizations[WORKSPACE]
    # A deleted task's entries of time are no longer asked for once their month is over.
    timed = {entry["task"]["gid"] for entry in sandbox.listed(WORKSPACE, "time_tracking_entries")}
    task = next(each for each in sandbox.objects(WORKSPACE, "task") if each["projects"] and each["gid"] not in timed)
    project = task["projects"][0]["gid"]
    settings = settings_for(sandbox, graph_parents=[project], **into(tmp_path / "batches", 50))
    state = sync(settings, selected).state
    organization.delete(next(iter(sandbox.listed(WORKSPACE, "tags")))["gid"])
    organization.delete(task["gid"])
    sync(settings, selected, state)

    assert load(f"{tmp_path}/batches/asana/") == ""
    for stream in LISTS:
        assert by_key(stream, rows(postgres, stream)).keys() == listed(sandbox, stream).keys(), stream
    wanted = by_key("graph_tasks", in_graph(sandbox, project)["graph_tasks"]).keys()
    assert by_key("graph_tasks", rows(postgres, "graph_tasks")).keys() == wanted
