"""Batch files into DuckDB, without a target: examples/duckdb."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.batches import exports_state, into
from tests.support.consumers import (
    PARTS,
    PROJECT,
    batch_settings,
    change,
    differences,
    plain,
    read_duckdb,
    rows_within,
    tables,
)
from tests.support.lists import LISTS, by_key, only
from tests.support.tap import TAP, WORKSPACE, Run, settings_for
from tests.support.targets import STREAMS, prefix

pytestmark = pytest.mark.external

duckdb = pytest.importorskip("duckdb", reason="duckdb 1.2.2 has no wheel for this Python")

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tap_asana_export.sandbox import Sandbox
    from tests.support.consumers import Exported, Table

ACTIVITY = ("deletions", "events", "audit_log_events")
LOAD_PY = PROJECT / "examples" / "duckdb" / "load.py"
LOAD = LOAD_PY.with_suffix(".sql").read_text()
TYPES = {
    "string": "VARCHAR",
    "boolean": "BOOLEAN",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "array": "JSON",
    "object": "JSON",
    "date-time": "TIMESTAMP",
    "date": "DATE",
}


def load(root: Path, database: Path, *before: str) -> dict[str, Table]:
    """Run the example on batch files, after other statements; its tables."""
    with duckdb.connect(str(database)) as connection:
        for statement in before:
            connection.execute(statement)
        connection.execute("set variable batches = ?", [f"{root}/"])
        connection.execute(LOAD)
    return read_duckdb(database)


def test_the_tables_hold_every_value_of_the_latest_state(exported: Exported, tmp_path: Path) -> None:
    assert differences(load(exported.root, tmp_path / "asana.duckdb"), exported.tables) == []


def test_files_may_be_gzipped_or_not_and_those_that_a_killed_run_left_are_none(
    exported: Exported, tmp_path: Path
) -> None:
    root = shutil.copytree(exported.root, tmp_path / "batches")
    for file in sorted(root.rglob("*.gz"))[::2]:
        file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
        file.rename(file.with_name(f".{file.name}.4711.part")).write_bytes(b"half")
    assert differences(load(root, tmp_path / "asana.duckdb"), exported.tables) == []


@pytest.mark.parametrize(
    "left", [("exports", "tasks", "teams"), ("tasks",), ("exports",), ("stories",), ("exports", "task_tags")]
)
def test_a_stream_without_files_is_an_empty_table(exported: Exported, tmp_path: Path, left: tuple[str, ...]) -> None:
    root = shutil.copytree(exported.root, tmp_path / "batches")
    for folder in root.iterdir():
        if folder.name not in left:
            shutil.rmtree(folder)
    for part in {*left} - {"exports", *STREAMS}:
        shutil.copytree(exported.root / "tasks", root / part)
    found = load(root, tmp_path / "asana.duckdb")

    if left == ("tasks",):  # nobody tells what was deleted
        assert {stream: len(found[stream]) for stream in STREAMS} == {
            "tasks": len(exported.tables["tasks"]) + 2,
            "messages": 0,
            "teams": 0,
        }
    else:
        wanted = {stream: exported.tables[stream] if stream in left else {} for stream in STREAMS}
        assert differences(found, wanted) == []
    with duckdb.connect() as whole, duckdb.connect(str(tmp_path / "asana.duckdb")) as partly:
        whole.execute("set variable batches = ?", [f"{exported.root}/"])
        whole.execute(LOAD)
        columns = "select table_name, column_name, data_type from information_schema.columns order by all"
        assert partly.sql(columns).fetchall() == whole.sql(columns).fetchall()


def test_one_workspace_may_have_files_that_another_has_not(exported: Exported, tmp_path: Path) -> None:
    root = shutil.copytree(exported.root, tmp_path / "batches")
    for stream in ("messages", "teams"):
        shutil.rmtree(root / stream / WORKSPACE)
    wanted = {
        stream: {gid: each for gid, each in table.items() if stream == "tasks" or each["workspace_gid"] != WORKSPACE}
        for stream, table in exported.tables.items()
    }
    assert differences(load(root, tmp_path / "asana.duckdb"), wanted) == []


@pytest.mark.parametrize("place", ["nowhere/", "batches", None])
def test_a_place_without_any_batch_file_is_an_error_and_the_tables_stay(
    exported: Exported, tmp_path: Path, place: str | None
) -> None:
    load(exported.root, tmp_path / "asana.duckdb")
    (tmp_path / "batches").symlink_to(exported.root)
    with duckdb.connect(str(tmp_path / "asana.duckdb")) as connection:
        connection.execute("set variable batches = ?", [place and f"{tmp_path}/{place}"])
        with pytest.raises(duckdb.Error, match=r"There is no batch file .*: set the variable batches"):
            connection.execute(LOAD)
    assert differences(read_duckdb(tmp_path / "asana.duckdb"), exported.tables) == []


def test_files_may_be_parquet(exported_as_parquet: Exported, tmp_path: Path) -> None:
    found = load(exported_as_parquet.root, tmp_path / "asana.duckdb")
    assert differences(found, exported_as_parquet.tables) == []


def test_parquet_and_json_lines_have_the_same_columns(
    exported: Exported, exported_as_parquet: Exported, tmp_path: Path
) -> None:
    columns = "select table_name, column_name, data_type from information_schema.columns order by all"
    found = []
    for number, root in enumerate((exported.root, exported_as_parquet.root)):
        load(root, tmp_path / f"{number}.duckdb")
        with duckdb.connect(str(tmp_path / f"{number}.duckdb")) as connection:
            found.append(connection.sql(columns).fetchall())
    assert found[0] == found[1]


def test_parquet_among_json_lines_is_an_error(
    exported: Exported, exported_as_parquet: Exported, tmp_path: Path
) -> None:
    root = shutil.copytree(exported.root, tmp_path / "batches")
    *_, last = sorted((root / "tasks" / WORKSPACE).iterdir())
    parquet = next((exported_as_parquet.root / "tasks" / WORKSPACE).iterdir())
    shutil.copy(parquet, last.with_name(f"{last.name}.parquet"))
    with pytest.raises(duckdb.Error, match="Files of JSON Lines and of Parquet are mixed"):
        load(root, tmp_path / "asana.duckdb")


def test_a_full_export_that_did_not_end_deletes_nothing(exported: Exported, tmp_path: Path) -> None:
    root = shutil.copytree(exported.root, tmp_path / "batches")
    *_, last = sorted((root / "exports" / WORKSPACE).iterdir())
    last.unlink()
    deleted = load(root, tmp_path / "asana.duckdb")["tasks"].keys() - exported.tables["tasks"].keys()
    assert len(deleted) == 2


def test_a_file_that_is_cut_off_is_an_error(exported: Exported, tmp_path: Path) -> None:
    root = shutil.copytree(exported.root, tmp_path / "batches")
    *_, last = sorted((root / "tasks" / WORKSPACE).iterdir())
    last.write_bytes(last.read_bytes()[:-100])
    with pytest.raises(duckdb.Error):
        load(root, tmp_path / "asana.duckdb")


def test_little_memory_suffices_for_many_threads_where_the_longest_line_is_known(
    exported: Exported, tmp_path: Path
) -> None:
    little = "set memory_limit = '500MB'; set threads = 8"
    zipped = load(exported.root, tmp_path / "zipped.duckdb", little, "set variable longest = 20_000_000")
    assert differences(zipped, exported.tables) == []

    root = shutil.copytree(exported.root, tmp_path / "batches")
    for file in root.rglob("*.gz"):
        file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
        file.unlink()
    assert differences(load(root, tmp_path / "asana.duckdb", little), exported.tables) == []


def test_a_session_may_load_again_and_keeps_its_settings(tmp_path: Path) -> None:
    first, second = tmp_path / "first" / "tasks" / WORKSPACE, tmp_path / "second" / "tasks" / WORKSPACE
    for folder, notes in ((first, "x"), (second, "x" * 40_000_000)):
        folder.mkdir(parents=True)
        (folder / "20260131T000000000Z-2-00001.jsonl").write_text(json.dumps({"gid": "1", "notes": notes}) + "\n")
    with duckdb.connect() as connection:
        for order in ("true", "false"):
            connection.execute(f"set preserve_insertion_order = {order}")
            for folder in (first, second):
                connection.execute("set variable batches = ?", [f"{folder.parents[1]}/"])
                connection.execute(LOAD)
                assert connection.execute("from tasks select gid, length(notes)").fetchall() == [
                    ("1", 1 if folder == first else 40_000_000)
                ]
            kept = connection.execute("select current_setting('preserve_insertion_order')::varchar").fetchall()
            assert kept == [(order,)]


def test_rows_within_objects_are_those_of_the_present_objects(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run], tmp_path: Path
) -> None:
    settings = settings_for(sandbox, overlap=0, **into(tmp_path / "batches", 7))
    selected = only(catalog, ["exports", *STREAMS, *(part.stream for part in PARTS)], opt_in=True)
    state = None
    for full in (True, False, True):
        run = run_tap(settings, catalog=selected, state=None if full else state)
        assert run.code == 0, run.stderr
        state = run.state
        objects = load(tmp_path / "batches" / "asana", tmp_path / "asana.duckdb")
        for part in PARTS:
            with duckdb.connect(str(tmp_path / "asana.duckdb"), read_only=True) as connection:
                texts = connection.sql(f"select to_json({part.stream}) from {part.stream}").fetchall()  # noqa: S608 - own names
            rows = by_key(part.stream, (json.loads(text) for (text,) in texts))
            wanted = rows_within(part, objects)
            assert wanted, part.stream
            found = {key: {name: row[name] for name in wanted[key]} for key, row in rows.items() if key in wanted}
            assert plain(found) == plain(wanted), part.stream
            assert rows.keys() == wanted.keys(), part.stream
        change(sandbox, WORKSPACE)


def test_the_columns_are_those_of_the_schemas() -> None:
    for stream in ("exports", *STREAMS, *(part.stream for part in PARTS), *LISTS, *ACTIVITY):
        schema = json.loads((PROJECT / "schemas" / f"{stream}.json").read_text())
        wanted = {name: column_type(each) for name, each in schema["properties"].items()}
        [columns] = re.findall(rf"create or replace table {stream} as.*?reading\({{(.*?)}}", LOAD, re.DOTALL)
        assert dict(re.findall(r"""^  "?(\w+)"?: '(\w+)',?$""", columns, re.MULTILINE)) == wanted


def column_type(schema: dict[str, Any]) -> str:
    """What a table has for what a JSON Schema describes."""
    kinds = {schema["type"]} if isinstance(schema["type"], str) else {*schema["type"]} - {"null"}
    kind = schema.get("format", *kinds) if len(kinds) == 1 else "object"
    return TYPES[kind]


# ── load.py ───────────────────────────────────────────────────────────────────────────────────────────────

DUMP = """
import duckdb, json, sys
with duckdb.connect(sys.argv[1], read_only=True) as database:
    texts = {table: database.sql(f"select to_json({table}) from {table}").fetchall() for table in sys.argv[2:]}
print(json.dumps({table: [json.loads(text) for text, in found] for table, found in texts.items()}))
"""


def run_load(
    *arguments: object, python: Path | str = sys.executable, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    command = [python, LOAD_PY, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False, text=True)


@pytest.mark.parametrize("version", ["1.3.2", "1.4.5", "1.5.6", "2.0.1"])
@pytest.mark.parametrize("form", ["exported", "exported_as_parquet"])
def test_newer_versions_of_duckdb_make_the_same_tables(
    version: str, form: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    files: Exported = request.getfixturevalue(form)
    python = prefix(f"duckdb=={version}") / "bin" / "python"
    done = run_load(files.root, tmp_path / "it's.duckdb", python=python)
    assert (done.returncode, done.stdout) == (0, "")

    dump = [str(python), "-c", DUMP, str(tmp_path / "it's.duckdb"), *STREAMS]
    tables = json.loads(subprocess.run(dump, capture_output=True, check=True).stdout)
    assert all(f" {stream} {len(rows)}" in done.stderr for stream, rows in tables.items())
    found = {stream: {row["gid"]: row for row in rows} for stream, rows in tables.items()}
    assert differences(found, files.tables) == []


def test_load_takes_the_name_within_a_prefix_and_what_looks_like_a_pattern_as_they_are(
    exported: Exported, tmp_path: Path
) -> None:
    root = tmp_path / "da*[1]"
    for folder in exported.root.iterdir():
        shutil.copytree(folder, root / f"asana-{folder.name}")
    for other in ("das[1]", "data1"):  # what it is as a pattern, half or whole
        for file in shutil.copytree(root, tmp_path / other).glob("asana-tasks/*/*"):
            file.write_bytes(gzip.compress(b'{"gid": "of another folder"}\n'))
    database = tmp_path / "asana.duckdb"
    whole, half, none = (run_load(f"{root}/{name}", database) for name in ("asana-", "asa", ""))

    assert (whole.returncode, half.returncode, none.returncode) == (0, 1, 1)
    for done in (half, none):
        assert done.stderr.startswith("Invalid Input Error: There is no batch file ")
    assert differences(read_duckdb(database), exported.tables) == []


def test_load_knows_the_streams_that_it_makes_tables_of() -> None:
    [streams] = re.findall(r"set variable streams = \[(.*?)\]", LOAD, re.DOTALL)
    tables = re.findall(r"create or replace table (\w+) as$", LOAD, re.MULTILINE)
    assert re.findall(r"'(\w+)'", streams) == tables


def test_load_says_which_workspace_has_no_full_export_among_its_files(exported: Exported, tmp_path: Path) -> None:
    root = shutil.copytree(exported.root, tmp_path / "batches")
    first, _, last = sorted({file.name.split("-")[0] for file in (root / "exports" / WORKSPACE).iterdir()})
    for file in root.glob(f"*/{WORKSPACE}/*"):
        if file.name.startswith((first, last)):  # the full ones
            file.unlink()
    done = run_load(root, tmp_path / "asana.duckdb")

    assert done.returncode == 0
    assert done.stderr.splitlines()[1:] == [
        f"Workspace {WORKSPACE}: no file is of a full export, so objects that have not changed may be missing. "
        "If the files of earlier exports are gone, begin without the tap's state."
    ]


def test_a_database_that_cannot_be_made_is_told_of_before_the_tap_runs(tmp_path: Path) -> None:
    database = tmp_path / "nowhere" / "asana.duckdb"
    done = run_load(tmp_path, database, sys.executable, "-c", "print('the tap ran')")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"No file can be made in {database.parent}.\n{AS_THEY_WERE}"


def test_load_that_fails_says_why_in_words_and_leaves_no_new_file(exported: Exported, tmp_path: Path) -> None:
    database = tmp_path / "asana.duckdb"
    (tmp_path / "text").write_text("no database")
    for arguments, said in {
        (): "Usage: python load.py BATCHES DATABASE.duckdb",
        (exported.root, ":memory:"): "Usage: python load.py",
        (tmp_path, database): "There is no batch file",
        ("", database): "There is no batch file <stream>/<workspace>/",
        (tmp_path / "nowhere", database): "with the slash if there is one",
        (exported.root, tmp_path / "nowhere" / "asana.duckdb"): "No such file or directory",
        (exported.root, tmp_path): "Is a directory",
        (exported.root, tmp_path / "text"): "not a valid DuckDB database file",
    }.items():
        done = run_load(*arguments, folder=tmp_path)
        assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (1, True, False), done.stderr
    assert sorted(each.name for each in tmp_path.iterdir()) == ["text"]

    with duckdb.connect(str(database)):
        done = run_load(exported.root, database)
    assert (done.returncode, "Could not set lock" in done.stderr, "Traceback" in done.stderr) == (1, True, False)


# ── load.py, which runs the tap ────────────────────────────────────────────────────────────────────────────


def batch_config(sandbox: Sandbox, folder: Path) -> Path:
    """A config file with which the tap writes JSON Lines below `batches`."""
    config = folder / "config.json"
    config.write_text(json.dumps(batch_settings(sandbox, folder, compression="none") | {"overlap": 0}))
    return config


@pytest.mark.parametrize("batches", ["batches/asana/", "batches/asana", "{folder}/batches/asana/"])
def test_load_runs_the_tap_again_and_again(sandbox: Sandbox, tmp_path: Path, batches: str) -> None:
    tap = [*TAP, "--config", batch_config(sandbox, tmp_path)]
    load = [batches.format(folder=tmp_path), "asana.duckdb", *tap]
    first = run_load(*load, folder=tmp_path)
    assert first.returncode == 0, first.stderr
    assert differences(read_duckdb(tmp_path / "asana.duckdb"), tables(sandbox)) == []

    change(sandbox, WORKSPACE)
    (tmp_path / "state.json").write_text(first.stdout.splitlines()[-1])
    second = run_load(*load, "--state", tmp_path / "state.json", folder=tmp_path)
    assert (second.returncode, "Traceback" in second.stderr) == (0, False)
    [before, after] = [exports_state(json.loads(each.stdout.splitlines()[-1])) for each in (first, second)]
    assert after["completed_at"] > before["completed_at"]

    third = run_load(*load, folder=tmp_path)  # a full export: what was deleted and moved is known
    assert third.returncode == 0, third.stderr
    assert differences(read_duckdb(tmp_path / "asana.duckdb"), tables(sandbox)) == []


FAKE_TAP = """
import json, pathlib, sys, time

def say(**message):
    print(json.dumps(message), flush=True)

def wait(number):
    say(type="STATE", value={"number": number})
    while f'{{"number": {number}}}' not in pathlib.Path("states").read_text():
        time.sleep(0.01)

for number in range(1, 3):
    file = pathlib.Path(f"batches/tasks/1200/20260131T000000000Z-2-0000{number}.jsonl")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"gid": str(number), "name": "first"}) + "\\n")
    say(type="BATCH", stream="tasks", manifest=[file.absolute().as_uri()])
    wait(number)  # it takes the message
    wait(-number)  # and the next one, so it has read the file
    file.write_text(json.dumps({"gid": str(number), "name": "second"}) + "\\n")
exec(sys.argv[1])
"""
"""A tap that changes each file when it has been read, and then does what it is given."""


def run_fake_tap(folder: Path, last: str = "") -> subprocess.CompletedProcess[str]:
    """Run load.py with it; nothing is announced of files beyond the first two."""
    load = [sys.executable, str(LOAD_PY), "batches", "asana.duckdb"]
    with (folder / "states").open("w") as states:
        tap = [sys.executable, "-c", FAKE_TAP, last]
        return subprocess.run([*load, *tap], cwd=folder, stderr=subprocess.PIPE, stdout=states, text=True, check=False)


def names_of_tasks(folder: Path) -> list[str]:
    with duckdb.connect(str(folder / "asana.duckdb")) as connection:
        names = connection.execute("select name from tasks order by gid").fetchall()
        assert connection.execute("from duckdb_tables() where table_name = 'tasks_read'").fetchall() == []
    return [name for (name,) in names]


def test_load_reads_files_while_the_tap_writes_the_next_ones_and_not_again(tmp_path: Path) -> None:
    done = run_fake_tap(tmp_path)
    assert (done.returncode, done.stderr) == (0, "asana.duckdb: tasks 2\n")
    assert names_of_tasks(tmp_path) == ["first", "first"]
    assert (tmp_path / "states").read_text() == "".join(f'{{"number": {number}}}\n' for number in (1, -1, 2, -2))


@pytest.mark.parametrize(
    ("last", "names"),
    [
        # A file that another run has left, and one of another export of the same workspace.
        ("file.with_name('20260131T000000000Z-2-00003.jsonl').write_text('{\"gid\": \"3\"}\\n')", [*"ss", None]),
        ("file.with_name('20250131T000000000Z-1-00001.jsonl').write_text('{\"gid\": \"3\"}\\n')", [*"ss", None]),
        ("say(type='BATCH', stream='tasks', manifest=[file.absolute().as_uri()])", [*"ss"]),  # once more
    ],
)
def test_load_reads_all_files_anew_if_they_are_not_those_that_were_read(
    last: str, names: list[str | None], tmp_path: Path
) -> None:
    assert run_fake_tap(tmp_path, last).returncode == 0
    assert names_of_tasks(tmp_path) == [name and "second" for name in names]


def test_load_leaves_the_tables_as_they_are_if_the_tap_fails(tmp_path: Path) -> None:
    done = run_fake_tap(tmp_path, "sys.exit('It breaks.')")
    assert (done.returncode, done.stderr) == (1, "It breaks.\n")
    assert not (tmp_path / "asana.duckdb").exists()

    assert run_fake_tap(tmp_path).returncode == 0
    done = run_fake_tap(tmp_path, "file.with_name('20260131T000000000Z-2-00003.jsonl').write_text('{}'); sys.exit(3)")
    assert (done.returncode, done.stderr, names_of_tasks(tmp_path)) == (3, "", ["first", "first"])


AS_THEY_WERE = "The tables are as they were.\n"


def test_load_leaves_all_tables_as_they_are_if_a_file_is_damaged(tmp_path: Path) -> None:
    assert run_fake_tap(tmp_path).returncode == 0
    (tmp_path / "batches" / "teams" / WORKSPACE).mkdir(parents=True)
    (tmp_path / "batches" / "teams" / WORKSPACE / "20260131T000000000Z-2-00001.jsonl").write_text('{"gid"')
    for done in (run_fake_tap(tmp_path), run_load("batches", "asana.duckdb", folder=tmp_path)):
        assert (done.returncode, done.stderr.endswith(AS_THEY_WERE)) == (1, True), done.stderr
        assert names_of_tasks(tmp_path) == ["first", "first"]


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ("file.write_text('{\"gid'); say(type='BATCH', stream='tasks', manifest=[file.absolute().as_uri()])", "JSON"),
        ("say(type='RECORD', stream='tasks', record={})", "There are records beside the files: set batch_config."),
        ("print('hello')", "This is no message of a tap: b'hello'"),
        ("print('hello', end='')", "This is no message of a tap: b'hello'"),
        ("print('[1]')", "This is no message of a tap: b'[1]'"),
        ("print('[' * 200_000)", f"This is no message of a tap: b'{'[' * 80}'"),
        ("say(type='STATE')", "This is no message of a tap"),
        ("say(type='BATCH', stream='tasks')", "This is no message of a tap"),
        ("say(type='BATCH', stream='tasks', manifest=[1])", "This is no message of a tap"),
        (
            "say(type='BATCH', stream='teams', manifest=['file:///asana/teams/1200/1.jsonl'])",
            "The tap has written teams/1200/1.jsonl, but not below 'batches'",
        ),
    ],
)
def test_load_says_what_is_wrong_with_a_file_or_a_message(last: str, said: str, tmp_path: Path) -> None:
    done = run_fake_tap(tmp_path, last)
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (1, True, False), done.stderr
    assert done.stderr.endswith(AS_THEY_WERE)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["batches", "states"]


def test_load_says_that_there_is_no_such_tap(tmp_path: Path) -> None:
    done = run_load("batches/", tmp_path / "asana.duckdb", "no-such-tap")
    assert done.returncode == 1
    assert done.stderr == f"[Errno 2] No such file or directory: 'no-such-tap'\n{AS_THEY_WERE}"
    assert not [*tmp_path.iterdir()]


def test_load_says_before_the_tap_runs_that_the_database_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "asana.duckdb").write_text("no database")
    done = run_fake_tap(tmp_path)
    assert (done.returncode, "not a valid DuckDB database file" in done.stderr) == (1, True), done.stderr
    assert sorted(each.name for each in tmp_path.iterdir()) == ["asana.duckdb", "states"]


def test_load_that_fails_keeps_a_database_that_somebody_else_has_made_meanwhile(tmp_path: Path) -> None:
    # When this tap writes the file, load.py has made and opened it: its own is removed.
    done = run_fake_tap(tmp_path, "pathlib.Path('asana.duckdb').write_text('of somebody else'); sys.exit(3)")
    assert done.returncode == 3
    assert not (tmp_path / "asana.duckdb").exists()
    shutil.rmtree(tmp_path / "batches")
    tap = ["-c", "import pathlib; pathlib.Path('asana.duckdb').write_text('of somebody else')"]
    done = run_load("batches", "asana.duckdb", sys.executable, *tap, folder=tmp_path)
    assert (done.returncode, "not a valid DuckDB database file" in done.stderr) == (1, True), done.stderr
    assert (tmp_path / "asana.duckdb").read_text() == "of somebody else"


@pytest.mark.parametrize(
    ("signal", "code", "kill"),
    [
        ("SIGINT", 130, "os.killpg(0, signal.SIGINT)"),  # as a terminal does
        ("SIGTERM", 143, "os.kill(os.getppid(), signal.SIGTERM)"),
    ],
)
def test_a_signal_while_the_tap_runs_lets_it_say_how_far_it_came(
    signal: str, code: int, kill: str, tmp_path: Path
) -> None:
    last = f"""
import os, signal
def end(*_):
    say(type="STATE", value={{"ended": True}})
    sys.exit({code})
signal.signal(signal.{signal}, end)
{kill}
time.sleep(60)
"""
    load = [sys.executable, str(LOAD_PY), "batches", "asana.duckdb"]
    tap = [sys.executable, "-c", FAKE_TAP, last]
    with (tmp_path / "states").open("w") as states:
        done = subprocess.run([*load, *tap], cwd=tmp_path, stdout=states, check=False, start_new_session=True)
    assert (done.returncode, (tmp_path / "states").read_text().splitlines()[-1]) == (code, '{"ended": true}')
    assert not (tmp_path / "asana.duckdb").exists()


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ('{"type": "STATE", "value": {"a": 1}}', 0, ""),
        ('{"type": "SCHEMA", "stream": "tasks"}', 0, ""),
        ('{"type": "RECORD", "stream": "tasks"}', 1, "There are records beside the files: set batch_config.\n"),
        ("hello", 1, "This is no message of a tap: 'hello\\n'\n"),
        ('{"a": 1}', 1, "This is no message of a tap: '{\"a\": 1}\\n'\n"),
        ("[" * 200_000, 1, f"This is no message of a tap: '{'[' * 80}'\n"),
        ("", 1, "This is no message of a tap: '\\n'\n"),
    ],
)
def test_the_target_of_files_confirms_states(line: str, code: int, said: str) -> None:
    program = PROJECT / "examples" / "target_files.py"
    done = subprocess.run([sys.executable, program], input=f"{line}\n", capture_output=True, check=False, text=True)

    assert (done.returncode, done.stderr) == (code, said)
    assert done.stdout == ('{"a": 1}\n' if "STATE" in line else "")


def test_a_state_without_a_value_is_no_message_to_the_target_of_files() -> None:
    program = PROJECT / "examples" / "target_files.py"
    line = '{"type": "STATE"}'
    done = subprocess.run([sys.executable, program], input=f"{line}\n", capture_output=True, check=False, text=True)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"This is no message of a tap: '{line}\\n'\n"
