"""Deletions, undeletions and moves between exports, in tables: of batch files, and of targets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.batches import into
from tests.support.consumers import PROJECT
from tests.support.lists import only
from tests.support.tap import WORKSPACE, settings_for, sync
from tests.support.targets import Target, load, prefix, target_duckdb, target_postgres

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tap_asana_export.sandbox import Sandbox
    from tests.support.postgres import Postgres

pytestmark = pytest.mark.external

duckdb = pytest.importorskip("duckdb", reason="duckdb 1.2.2 has no wheel for this Python")

OBJECTS = ("tasks", "messages", "stories", "attachments")
SELECTED = ("exports", *OBJECTS, "task_memberships", "sections", "deletions", "events")

Gids = dict[str, set[tuple[str, ...]]]
"""By table, the gids of its rows."""


def there_is(sandbox: Sandbox) -> Gids:
    """What there is in the organization."""
    objects = {stream: list(sandbox.objects(WORKSPACE, stream.removesuffix("s"))) for stream in ("tasks", "messages")}
    whole = [*objects["tasks"], *objects["messages"]]
    return {
        **{stream: {(each["gid"],) for each in found} for stream, found in objects.items()},
        **{part: {(item["gid"],) for each in whole for item in each[part]} for part in ("stories", "attachments")},
        "memberships": {
            (task["gid"], each["project"]["gid"], each["section"]["gid"])
            for task in objects["tasks"]
            for each in task["memberships"]
        },
    }


def happen(sandbox: Sandbox) -> None:
    """Delete a task with its subtasks, a message, parts and a project, and move tasks."""
    organization = sandbox.organizations[WORKSPACE]
    tasks = [task for task in sandbox.objects(WORKSPACE, "task") if not task["parent"]]
    parents = {task["parent"]["gid"] for task in sandbox.objects(WORKSPACE, "task") if task["parent"]}
    first, second, third = [task for task in tasks if task["gid"] not in parents and len(task["memberships"]) == 1][:3]
    organization.delete(min(parents))
    organization.delete(next(iter(sandbox.objects(WORKSPACE, "message")))["gid"])
    organization.delete(organization.comment(first["gid"]))
    organization.delete(first["stories"][0]["gid"])
    organization.delete(next(task for task in tasks if task["attachments"])["attachments"][0]["gid"])
    organization.move(second["gid"])
    organization.put(third["gid"], second["projects"][0]["gid"])


@pytest.fixture
def selected(catalog: dict[str, Any]) -> dict[str, Any]:
    """A catalog with all that is looked at."""
    return only(catalog, SELECTED)


def load_sql(root: Path) -> Any:
    """The tables of examples/duckdb."""
    database = duckdb.connect()
    database.execute("set variable batches = ?", [f"{root}/asana/"])
    database.execute((PROJECT / "examples" / "duckdb" / "load.sql").read_text())
    return database


FORMATS = {"JSON Lines": {}, "Parquet": {"format": "parquet", "compression": "zstd"}}


@pytest.mark.parametrize("encoding", FORMATS.values(), ids=FORMATS)
def test_a_full_export_tells_of_the_deletions_that_nothing_told_of(
    encoding: dict[str, str], sandbox: Sandbox, selected: dict[str, Any], tmp_path: Path
) -> None:
    settings = settings_for(sandbox, **into(tmp_path / "batches", 15, **encoding))
    organization = sandbox.organizations[WORKSPACE]
    gids = [task["gid"] for task in sandbox.objects(WORKSPACE, "task") if not task["parent"]]
    state = sync(settings, selected).state
    organization.delete(gids[1])
    sync(settings, selected, state)
    with load_sql(tmp_path / "batches") as database:
        assert database.sql("from missed_deletions").fetchall() == []

    before = there_is(sandbox)
    for gid in (gids[2], gids[10]):
        organization.delete(gid)
    missed = before["tasks"] - there_is(sandbox)["tasks"]
    sync(settings, only(selected, ["exports", "tasks", "messages"]))
    path = tmp_path / "asana.duckdb"
    with load_sql(tmp_path / "batches") as database:
        found = database.sql("select gid, resource_type, workspace_gid from missed_deletions").fetchall()
        assert {*found} == {(gid, "task", WORKSPACE) for (gid,) in missed}
        database.execute(f"attach '{path}' as file; create table file.missed_deletions as from missed_deletions")
    said = subprocess.run([sys.executable, PROJECT / "demo" / "arrived.py", path], capture_output=True, check=True)
    assert f"{len(missed)} deletions that no event told of" in said.stdout.decode()


def test_a_subtask_that_was_undeleted_by_itself_stays_when_its_parent_is_deleted_for_good(
    sandbox: Sandbox, selected: dict[str, Any], tmp_path: Path
) -> None:
    settings = settings_for(sandbox, overlap=0, **into(tmp_path / "batches", 15))
    organization = sandbox.organizations[WORKSPACE]
    subtask = next(task for task in sandbox.objects(WORKSPACE, "task") if task["parent"])
    state = sync(settings, selected).state
    organization.delete(subtask["parent"]["gid"])
    state = sync(settings, selected, state).state
    organization.undelete(subtask["gid"])
    organization.delete_for_good(subtask["parent"]["gid"])
    sync(settings, selected, state)
    with load_sql(tmp_path / "batches") as database:
        assert {*database.sql("select gid from tasks").fetchall()} == there_is(sandbox)["tasks"]
    assert (subtask["gid"],) in there_is(sandbox)["tasks"]


def test_the_views_of_the_docs_show_what_there_is_when_target_duckdb_has_taken_the_records(
    sandbox: Sandbox, selected: dict[str, Any], arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    target = target_duckdb(tmp_path, add_metadata_columns=True, flush_all_streams=True)
    fill(sandbox, selected, arguments, target)
    with duckdb.connect(str(tmp_path / "asana.duckdb")) as database:
        database.execute(views("duckdb"))
        found = {name: {*database.sql(query).fetchall()} for name, query in CURRENT.items()}
    assert found == there_is(sandbox)


def test_the_views_of_the_docs_show_what_there_is_when_target_postgres_has_taken_the_records(
    sandbox: Sandbox,
    selected: dict[str, Any],
    arguments: Callable[..., list[str]],
    postgres: Postgres,
    tmp_path: Path,
) -> None:
    fill(sandbox, selected, arguments, target_postgres(postgres, tmp_path))
    path = f"set search_path to {tmp_path.name};"
    postgres.query(path + views("postgres"))
    row = "to_json(array(select value from json_each_text(to_json(found))))"
    found = {
        name: {tuple(each) for each in postgres.query(f"{path} select {row} from ({query}) found")}  # noqa: S608 - own names
        for name, query in CURRENT.items()
    }
    assert found == there_is(sandbox)


CURRENT = {
    **{stream: f"select gid from current_{stream}" for stream in OBJECTS},  # noqa: S608 - own names
    "memberships": "select task_gid, project_gid, section_gid from current_memberships",
}


def views(database: str) -> str:
    """The views of docs/deletions.md."""
    page = (PROJECT / "docs" / "deletions.md").read_text()
    [found] = re.findall(rf"<!-- {database}-activity -->\n```sql\n(.*?)```", page, re.DOTALL)
    return str(found)


def fill(sandbox: Sandbox, selected: dict[str, Any], arguments: Callable[..., list[str]], target: Target) -> None:
    """Load all, let something happen, and load what is told of it; likewise what is taken back."""
    organization = sandbox.organizations[WORKSPACE]
    settings = settings_for(sandbox, overlap=0)
    state = load(arguments(settings, catalog=selected), target)
    happen(sandbox)
    state = load(arguments(settings, catalog=selected, state=state), target)
    for gid in [gid for gid, each in organization.trash.items() if each.by == gid][:2]:
        organization.undelete(gid)
    load(arguments(settings, catalog=selected, state=state), target)


# ── a record with a key and _sdc_deleted_at alone ─────────────────────────────────────────────────────────

SCHEMA = {
    "type": "object",
    "properties": {"gid": {"type": "string"}, "name": {"type": ["string", "null"]}},
}
PIPELINEWISE = "pipelinewise-target-postgres==2.1.2"


def fed(target: Target) -> list[dict[str, Any]]:
    """The rows when two records came, and later, of the first, only its key and when it was deleted."""
    schema = {"type": "SCHEMA", "stream": "tasks", "schema": SCHEMA, "key_properties": ["gid"]}
    records = [
        [{"gid": "1", "name": "One"}, {"gid": "2", "name": "Two"}],
        [{"gid": "1", "_sdc_deleted_at": "2026-01-02T00:00:00.000Z"}],
    ]
    for run in records:
        messages = [schema, *({"type": "RECORD", "stream": "tasks", "record": each} for each in run)]
        lines = "".join(f"{json.dumps(each)}\n" for each in messages)
        done = subprocess.run(target.command, input=lines.encode(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
    rows = ({name: row.get(name) for name in ("gid", "name")} for row in target.rows("tasks"))
    return sorted(rows, key=lambda row: str(row["gid"]))


def pipelinewise(server: Postgres, folder: Path, **settings: Any) -> Target:
    """pipelinewise-target-postgres with a schema of the folder's name."""
    config = {"host": str(server.socket), "port": 5432, "user": "postgres", "password": "x", "dbname": "postgres"}
    config |= {"default_target_schema": folder.name, "add_metadata_columns": True, **settings}
    (folder / "target.json").write_text(json.dumps(config))
    program = str(prefix(PIPELINEWISE) / "bin" / "target-postgres")
    query = f'select to_json(row) from "{folder.name}".'  # noqa: S608 - own names
    return Target(
        [program, "--config", str(folder / "target.json")], lambda stream: server.query(f'{query}"{stream}" row')
    )


MARKED = [{"gid": "1", "name": None}, {"gid": "2", "name": "Two"}]
"""The row is there, and has lost all but its key."""
GONE = [{"gid": "2", "name": "Two"}]


@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
def test_what_targets_do_with_a_record_that_has_a_key_and_a_time_of_deletion_is_as_the_docs_say(
    postgres: Postgres, tmp_path: Path, *, hard: bool
) -> None:
    folders = [tmp_path / name for name in ("duck", "melt", "pipe")]
    for folder in folders:
        folder.mkdir()
    duck = target_duckdb(folders[0], add_metadata_columns=True, hard_delete=hard)
    melt = target_postgres(postgres, folders[1], hard_delete=hard)
    pipe = pipelinewise(postgres, folders[2], hard_delete=hard)
    assert fed(duck) == (GONE if hard else MARKED)
    assert fed(melt) == MARKED
    assert fed(pipe) == (GONE if hard else MARKED)
