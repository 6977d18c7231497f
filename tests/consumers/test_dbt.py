"""The models of dbt/: every row of every table is what the sandbox's objects give, whatever loaded them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tap_asana_export.sandbox import Sandbox
from tests.support import fivetran
from tests.support.answers import KEYS, marts, workspaces
from tests.support.batches import into
from tests.support.consumers import PROJECT
from tests.support.dbt import differences, in_duckdb, in_postgres
from tests.support.lists import LISTS, only
from tests.support.organizations import expected
from tests.support.tap import Run, settings_for
from tests.support.targets import STREAMS, load, target_duckdb, target_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.answers import Row, Workspace
    from tests.support.dbt import Warehouse
    from tests.support.postgres import Postgres

pytestmark = [pytest.mark.external, pytest.mark.timeout(900)]

duckdb = pytest.importorskip("duckdb", reason="duckdb 1.2.2 has no wheel for this Python")

DEFAULT = ["exports", *STREAMS]
FLATTENED = {"flattening_enabled": True, "flattening_max_depth": 1}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Two organizations in which nothing changes by itself."""
    with Sandbox(
        workspaces=2, tasks=40, messages=20, teams=3, users=12, projects=9, large=0, change_interval=0, job_seconds=0
    ) as sandbox:
        yield sandbox


@pytest.fixture
def everything(catalog: dict[str, Any]) -> dict[str, Any]:
    """A catalog that selects all streams but those of graphs."""
    names = [each["tap_stream_id"] for each in catalog["streams"]]
    return only(catalog, [name for name in names if not name.startswith("graph_")])


def of_all(sandbox: Sandbox, **settings: Any) -> dict[str, Any]:
    """Settings for all workspaces."""
    return settings_for(sandbox, workspaces=list(sandbox.organizations), overlap=0, **settings)


def change(sandbox: Sandbox) -> None:
    """Change, add, delete and move tasks, change messages and lists, in all workspaces."""
    for workspace, organization in sandbox.organizations.items():
        gids = list(expected(sandbox, "tasks", workspace))
        organization.touch(gids[1])
        organization.touch(gids[2], name='It\'s "quoted", \\ and {{ braces }}')
        organization.touch(gids[3], completed=True, completed_at="2026-01-02T03:04:05.678Z")
        organization.add("task")
        organization.delete(gids[4])
        organization.move(gids[6])
        organization.touch(next(iter(expected(sandbox, "messages", workspace))))
        for stream in ("users", "projects", "tags"):
            organization.touch(next(str(each["gid"]) for each in sandbox.listed(workspace, stream)))


def exported(sandbox: Sandbox, exports: list[Row], lists: list[str]) -> list[Workspace]:
    """The workspaces as they are now, and these exports brought them."""
    as_of: dict[str, str] = {}
    for each in exports:
        if each["kind"] == "resource":
            as_of[each["workspace_gid"]] = max(as_of.get(each["workspace_gid"], ""), str(each["created_at"]))
    return workspaces(sandbox, as_of, lists=lists)


def compare(warehouse: Warehouse, of: list[Workspace]) -> None:
    """Every row of every mart, and of the tables for fivetran/asana, is what the workspaces have."""
    for mart, rows in marts(of).items():
        assert rows, mart
        assert differences(warehouse.rows(mart), rows, KEYS[mart]) == [], mart
    schema = warehouse.variables.get("asana_fivetran_schema", "asana")
    for table, rows in fivetran.tables(of).items():
        assert rows, table
        found = warehouse.rows(table, schema)
        assert {row.pop("_fivetran_synced") is not None for row in found} == {True}, table
        assert differences(found, rows, fivetran.KEYS[table]) == [], table


def questions() -> list[str]:
    """The queries of the documentation."""
    text = (PROJECT / "docs" / "dbt.md").read_text()
    return re.findall(r"<!-- dbt -->\n```sql\n(.*?)```", text, re.DOTALL)


def test_out_of_batch_files_of_all_streams_after_changes_and_another_full_export(
    sandbox: Sandbox, everything: dict[str, Any], run_tap: Callable[..., Run], tmp_path: Path
) -> None:
    warehouse = in_duckdb(tmp_path, tmp_path / "asana.duckdb")
    settings = of_all(sandbox, **into(tmp_path / "batches", 15))
    for _ in range(2):
        run = run_tap(settings, catalog=everything)
        assert run.code == 0, run.stderr
        with duckdb.connect(str(tmp_path / "asana.duckdb")) as connection:
            connection.execute("set variable batches = ?", [f"{tmp_path}/batches/asana/"])
            connection.execute((PROJECT / "examples" / "duckdb" / "load.sql").read_text())
            exports = connection.sql("select to_json(row) from exports as row").fetchall()
        warehouse.build()
        compare(warehouse, exported(sandbox, [json.loads(text) for (text,) in exports], LISTS))
        change(sandbox)
    answers = [warehouse.read(f"select to_json(row) from ({query}) as row") for query in questions()]  # noqa: S608 - the docs' own
    assert (len(answers), all(answers)) == (10, True)


def test_out_of_target_duckdb_with_the_default_streams_after_full_and_incremental_exports(
    sandbox: Sandbox, catalog: dict[str, Any], arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    target = target_duckdb(tmp_path, add_metadata_columns=True, flush_all_streams=True)
    warehouse = in_duckdb(tmp_path, tmp_path / "asana.duckdb")
    catalog = only(catalog, DEFAULT)
    load(arguments(of_all(sandbox), catalog=catalog), target)
    warehouse.build()
    compare(warehouse, exported(sandbox, target.rows("exports"), []))

    change(sandbox)
    state = load(arguments(of_all(sandbox), catalog=catalog), target)
    for workspace, organization in sandbox.organizations.items():
        for gid in list(expected(sandbox, "tasks", workspace))[:5]:
            organization.touch(gid)
    load(arguments(of_all(sandbox), catalog=catalog, state=state), target)
    warehouse.build()
    compare(warehouse, exported(sandbox, target.rows("exports"), []))


def act(sandbox: Sandbox) -> None:
    """Delete and move what no incremental export tells of, in all workspaces."""
    for workspace, organization in sandbox.organizations.items():
        tasks = list(sandbox.objects(workspace, "task"))
        roots = [task for task in tasks if task["memberships"]]
        parents = {task["parent"]["gid"] for task in tasks if task["parent"]}
        projects = [str(each["gid"]) for each in sandbox.listed(workspace, "projects")]
        organization.delete(min(parents))  # its subtasks go with it
        organization.delete(roots[2]["stories"][0]["gid"])
        organization.delete(next(str(each["gid"]) for each in sandbox.objects(workspace, "message")))
        organization.move(roots[4]["gid"])
        organization.take_out(roots[5]["gid"], roots[5]["memberships"][0]["project"]["gid"])
        places = {each["project"]["gid"] for each in roots[6]["memberships"]}
        organization.put(roots[6]["gid"], next(project for project in projects if project not in places))
        organization.delete(roots[7]["gid"])
        organization.undelete(roots[7]["gid"])


def test_out_of_target_duckdb_with_activity_what_is_deleted_goes_and_what_is_moved_has_moved(
    sandbox: Sandbox, catalog: dict[str, Any], arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    target = target_duckdb(tmp_path, add_metadata_columns=True, flush_all_streams=True)
    warehouse = in_duckdb(tmp_path, tmp_path / "asana.duckdb")
    catalog = only(catalog, [*DEFAULT, "deletions", "events", "sections"])  # an event names a section, not its project
    state = load(arguments(of_all(sandbox), catalog=catalog), target)
    act(sandbox)
    load(arguments(of_all(sandbox), catalog=catalog, state=state), target)
    assert {row["full"] for row in target.rows("exports") if row["kind"] == "resource"} == {True, False}
    warehouse.build()
    compare(warehouse, exported(sandbox, target.rows("exports"), ["sections"]))


def test_out_of_target_duckdb_with_all_streams_flattened(
    sandbox: Sandbox, everything: dict[str, Any], arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    target = target_duckdb(tmp_path, add_metadata_columns=True, flush_all_streams=True)
    warehouse = in_duckdb(tmp_path, tmp_path / "asana.duckdb")
    load(arguments(of_all(sandbox, **FLATTENED), catalog=everything), target)
    warehouse.build()
    compare(warehouse, exported(sandbox, target.rows("exports"), LISTS))


@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
def test_out_of_postgresql_with_all_streams_after_changes_and_another_full_export(
    sandbox: Sandbox,
    everything: dict[str, Any],
    arguments: Callable[..., list[str]],
    postgres: Postgres,
    tmp_path: Path,
    *,
    hard: bool,
) -> None:
    target, warehouse = target_postgres(postgres, tmp_path, hard_delete=hard), in_postgres(tmp_path, postgres)
    settings = of_all(sandbox, emit_activate_version_messages=True)
    load(arguments(settings, catalog=everything), target)
    change(sandbox)
    load(arguments(settings, catalog=everything), target)
    warehouse.build()
    compare(warehouse, exported(sandbox, target.rows("exports"), LISTS))
    path = f"set search_path to {warehouse.environment['ASANA_POSTGRES_SCHEMA']}"
    answers = [postgres.query(f"{path}; select to_json(row) from ({query}) as row") for query in questions()]  # noqa: S608 - the docs' own
    assert (len(answers), all(answers)) == (10, True)


def test_out_of_postgresql_with_activity_flattened(
    sandbox: Sandbox,
    catalog: dict[str, Any],
    arguments: Callable[..., list[str]],
    postgres: Postgres,
    tmp_path: Path,
) -> None:
    target, warehouse = target_postgres(postgres, tmp_path), in_postgres(tmp_path, postgres)
    catalog = only(catalog, [*DEFAULT, "deletions", "events", "sections"])
    state = load(arguments(of_all(sandbox, **FLATTENED), catalog=catalog), target)
    act(sandbox)
    load(arguments(of_all(sandbox, **FLATTENED), catalog=catalog, state=state), target)
    warehouse.build()
    compare(warehouse, exported(sandbox, target.rows("exports"), ["sections"]))


def test_a_database_without_any_table_makes_empty_models(tmp_path: Path) -> None:
    duckdb.connect(str(tmp_path / "asana.duckdb")).close()
    warehouse = in_duckdb(tmp_path, tmp_path / "asana.duckdb")
    warehouse.build()
    assert {mart: warehouse.rows(mart) for mart in KEYS} == {mart: [] for mart in KEYS}
    assert {table: warehouse.rows(table, "asana") for table in fivetran.KEYS} == {table: [] for table in fivetran.KEYS}


def test_every_column_of_the_marts_is_documented(tmp_path: Path) -> None:
    duckdb.connect(str(tmp_path / "asana.duckdb")).close()
    warehouse = in_duckdb(tmp_path, tmp_path / "asana.duckdb")
    warehouse.dbt("run")
    described = yaml.safe_load((PROJECT / "dbt" / "models" / "marts" / "marts.yml").read_text())["models"]
    told = {
        model["name"]: [column["name"] for column in model["columns"] if column["description"]] for model in described
    }
    assert told == {mart: warehouse.columns(mart) for mart in KEYS}


NAMELESS: Row = {"gid": "31", "resource_type": "user"}
PRIORITY = {"resource_type": "custom_field", "name": "Priority", "type": "text"}
OLD_TASKS: list[Row] = [
    {
        "gid": "1",
        "name": "Of two projects, whose custom fields have one name",
        "completed": True,
        "created_at": "2026-01-01T00:00:00.000Z",
        "completed_at": "2026-01-03T12:00:00.000Z",
        "modified_at": "2026-01-03T12:00:00.000Z",
        "assignee": NAMELESS,
        "memberships": [
            {"project": {"gid": "41", "name": "One"}, "section": None},
            {"project": {"gid": "42"}, "section": {"gid": "51", "name": "To do"}},
        ],
        "custom_fields": [
            PRIORITY | {"gid": "61", "display_value": "high"},
            PRIORITY | {"gid": "62", "display_value": "It's low"},
            None,
        ],
    },
    {"gid": "2", "name": "Of no project", "completed": False, "created_at": "2026-01-02T00:00:00.000Z"},
    {"gid": "3", "name": "Deleted since", "modified_at": "2026-01-02T00:00:00.000Z"},
    {"gid": "4", "name": "Changed after it was deleted", "modified_at": "2026-01-04T00:00:00.000Z"},
    {"gid": "5", "name": "Restored", "modified_at": "2026-01-02T00:00:00.000Z"},
    {"gid": "6", "name": "New", "modified_at": "2026-01-03T00:00:00.000Z"},
    {"gid": "6", "name": "Old", "modified_at": "2026-01-02T00:00:00.000Z"},
]
DELETIONS: list[Row] = [
    {"gid": "3", "is_deleted": True, "changed_at": "2026-01-03T00:00:00.000Z"},
    {"gid": "4", "is_deleted": True, "changed_at": "2026-01-03T00:00:00.000Z"},
    {"gid": "5", "is_deleted": False, "changed_at": "2026-01-03T00:00:00.000Z"},
    {"gid": "71", "is_deleted": True, "changed_at": "2026-01-03T00:00:00.000Z"},
]
STORIES: list[Row] = [
    {"gid": gid, "type": "comment", "parent_type": "task", "task_gid": "6", "task_modified_at": modified}
    for gid, modified in [
        ("71", "2026-01-03T00:00:00.000Z"),  # deleted
        ("72", "2026-01-03T00:00:00.000Z"),
        ("73", "2026-01-02T00:00:00.000Z"),  # of an earlier version
    ]
]


def column_type(name: str, value: Any) -> str:
    """The type of a column, by its name and one of its values."""
    if name.endswith("_at"):
        return "TIMESTAMP"
    return {bool: "BOOLEAN", str: "VARCHAR"}.get(type(value), "JSON")


def test_odd_tables_and_what_was_deleted(tmp_path: Path) -> None:
    tables: dict[str, list[Row]] = {"tasks": OLD_TASKS, "deletions": DELETIONS, "stories": STORIES}
    for stream, rows in tables.items():
        file = tmp_path / f"{stream}.jsonl"
        file.write_text("".join(json.dumps(row | {"workspace_gid": "9"}) + "\n" for row in rows))
        values = {"workspace_gid": "9"} | {name: value for row in rows for name, value in row.items()}
        columns = {name: column_type(name, value) for name, value in values.items()}
        with duckdb.connect(str(tmp_path / "asana.duckdb")) as connection:
            connection.execute(f"create table {stream} as from read_json('{file}', columns = {columns})")
    warehouse = in_duckdb(tmp_path, tmp_path / "asana.duckdb")
    warehouse.build()

    found = {row["task_gid"]: row for row in warehouse.rows("asana_tasks")}
    assert {gid: row["name"] for gid, row in found.items()} == {
        "1": "Of two projects, whose custom fields have one name",
        "2": "Of no project",
        "4": "Changed after it was deleted",
        "5": "Restored",
        "6": "New",
    }
    shown = ("project_count", "project_names", "assignee_gid", "assignee_name", "cycle_days", "comment_count")
    assert [found["1"][name] for name in shown] == [2, "One", "31", None, 2.5, 0]
    assert [found["2"][name] for name in shown] == [0, None, None, None, None, 0]
    assert found["6"]["comment_count"] == 1
    projects = {row["project_gid"]: row["name"] for row in warehouse.rows("asana_projects")}
    assert projects == {"41": "One", "42": None}
    query = warehouse.dbt(
        "compile", "--quiet", "--inline", "{{ asana_export.custom_fields_as_columns(['Priority', '61', \"It's\"]) }}"
    )
    fields = warehouse.read(f"select to_json(row) from ({query}) as row where task_gid = '1'")  # noqa: S608 - dbt's
    assert fields == [{"task_gid": "1", "Priority": "high", "61": "high", "It's": None}]
