"""BATCH: files that hold what RECORD messages would, each announced when it is complete, and before the state is."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import date, datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from tap_asana_export.errors import BatchError, UnfitError
from tap_asana_export.limits import Limits
from tap_asana_export.output import batch
from tap_asana_export.output.buffers import RowBuffer
from tap_asana_export.output.messages import ExportOrigin, MessageWriter
from tap_asana_export.sandbox import Sandbox
from tap_asana_export.sources import ExportRoot
from tests.support.batches import announced, exports_state, files, held, in_folder, into, lines_of, read, written
from tests.support.graphs import STREAMS as GRAPHS
from tests.support.graphs import in_graph, parents, selecting
from tests.support.organizations import expected, export_file, parameters
from tests.support.selections import PARTS
from tests.support.tap import WORKSPACE, Run, select, settings_for
from tests.support.targets import STREAMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_asana_export.settings import Settings

OTHER = "1200000000000002"
SCHEMAS = Path(__file__).parents[1] / "schemas"
EVERYTHING: dict[tuple[str, ...], bool] = {(part,): True for part in PARTS}
SMALL_BLOCKS = "TapAsanaExport.limits = Limits(text=1 << 15, batch_block=1)"


def patched(command: list[str], changes: str) -> list[str]:
    """The tap's command, with other limits."""
    code = (
        "from tap_asana_export.limits import Limits; from tap_asana_export.output import batch; "
        f"from tap_asana_export.tap import TapAsanaExport; {changes}; "
    )
    return [sys.executable, "-c", f"{code}from tap_asana_export.__main__ import main; main()", *command[3:]]


def watch(command: list[str], signum: int | None = None, after: int = 0, **options: Any) -> Run:
    """A run whose files are read the moment that they are announced; perhaps it gets a signal after so many BATCHes."""
    tap = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    assert tap.stdout is not None
    out = b""
    batches = 0
    for line in tap.stdout:
        out += line
        if b'"BATCH"' in line:
            assert all(read(file) for file in files(json.loads(line)))
            batches += 1
            if signum and batches == after:
                tap.send_signal(signum)
    _, err = tap.communicate(timeout=60)
    return Run(tap.returncode, out, err.decode())


def check_states(run: Run, before: int = 0) -> None:
    """Every STATE tells of the lines whose records were announced, one a line, and of no other."""
    count = before
    for message in run.messages:
        if message["type"] == "BATCH" and message["stream"] != "exports":
            count += sum(len(read(file)) for file in files(message))
        if message["type"] == "STATE" and exports_state(message["value"])["pending"]:
            assert lines_of(message["value"]) == count


@pytest.fixture(scope="session")
def everything(catalog: dict[str, Any]) -> dict[str, Any]:
    """A catalog with all parts."""
    return select(catalog, EVERYTHING)


@pytest.fixture
def large() -> Iterator[Sandbox]:
    """An organization whose file takes many blocks."""
    with Sandbox(tasks=600, messages=60, teams=8, large=0, change_interval=0, job_seconds=0) as sandbox:
        yield sandbox


# ── what is in the files ─────────────────────────────────────────────────────────────────────────────────────


def test_the_files_hold_the_records_of_all_streams_and_no_more_than_batch_size(
    sandbox: Sandbox, run_tap: Callable[..., Run], everything: dict[str, Any], tmp_path: Path
) -> None:
    messages = run_tap(settings_for(sandbox), catalog=everything)
    job = messages.of("STATE")[0]["value"]
    batches = run_tap(settings_for(sandbox, **into(tmp_path / "out")), catalog=everything, state=job)

    assert (batches.code, batches.of("RECORD"), len(parameters(sandbox))) == (0, [], 1)
    assert batches.of("SCHEMA") == messages.of("SCHEMA")
    assert held(batches) == written(messages)
    assert written(messages).keys() == {*STREAMS, *PARTS, "exports"}
    sizes = Counter(len(read(file)) for of_it in announced(batches).values() for file in of_it)
    assert max(sizes) == 7
    assert {message["encoding"]["compression"] for message in batches.of("BATCH")} == {"gzip"}
    assert in_folder(tmp_path / "out") == sorted(file for of_it in announced(batches).values() for file in of_it)


def test_a_file_is_named_after_stream_workspace_export_and_lines(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any], tmp_path: Path
) -> None:
    run = run_tap(settings_for(sandbox, **into(tmp_path, 20)), catalog=select(catalog, {("task_followers",): True}))

    [export] = held(run)["exports"]
    time = export["created_at"].translate(dict.fromkeys(map(ord, "-:.")))
    kinds = [
        json.loads(line)["resource_type"]
        for line in gzip.decompress(export_file(sandbox, export["job_gid"])[1]).splitlines()
    ]
    groups = [kinds[begin : begin + 20] for begin in range(0, len(kinds), 20)]

    def names(stream: str, kind: str) -> list[str]:
        stem = f"asana/{stream}/{WORKSPACE}/{time}-{export['gid']}"
        return [f"{stem}-{number:05}.jsonl.gz" for number, group in enumerate(groups, 1) if kind in group]

    found = {name: [str(file.relative_to(tmp_path)) for file in of_it] for name, of_it in announced(run).items()}
    followers = found.pop("task_followers")
    assert found == {
        "tasks": names("tasks", "task"),
        "messages": names("messages", "message"),
        "teams": names("teams", "team"),
        "exports": [f"asana/exports/{WORKSPACE}/{time}-{export['gid']}-00001.jsonl.gz"],
    }
    first = names("task_followers", "task")[0]
    assert followers[:2] == [first, first.replace(".jsonl", "-2.jsonl")]
    assert run.of("BATCH")[0]["manifest"][0].startswith(tmp_path.as_uri())


@pytest.mark.parametrize("versions", [False, True])
@pytest.mark.parametrize("flattening", [False, True])
def test_stream_maps_and_flattening_make_the_same_records(
    sandbox: Sandbox,
    run_tap: Callable[..., Run],
    everything: dict[str, Any],
    tmp_path: Path,
    *,
    flattening: bool,
    versions: bool,
) -> None:
    settings = settings_for(
        sandbox,
        emit_activate_version_messages=versions,
        stream_maps={
            "tasks": {"loud": "name.upper()", "notes": None, "__filter__": "'a' in name"},
            "messages": {"__alias__": "statuses"},
            "teams": None,
            "stories": {"__key_properties__": ["gid"], "__else__": None, "gid": "gid", "hash": "md5(text or '')"},
        },
        flattening_enabled=flattening,
        flattening_max_depth=1 if flattening else None,
    )
    messages = run_tap(settings, catalog=everything)
    batches = run_tap(settings | into(tmp_path), catalog=everything, state=messages.of("STATE")[0]["value"])

    assert batches.code == 0
    assert held(batches).keys() == {"tasks", "statuses", *PARTS, "exports"}
    wanted: dict[str, list[dict[str, Any]]] = {}
    for message in messages.of("RECORD"):
        more = {}
        if "version" in message:
            at = message["time_extracted"].replace("000Z", "Z")
            more = {"_sdc_table_version": message["version"], "_sdc_extracted_at": at}
        assert bool(more) == (versions and message["stream"] != "exports")
        wanted.setdefault(message["stream"], []).append(message["record"] | more)
    assert held(batches) == wanted


def test_what_is_deselected_is_in_no_file(
    sandbox: Sandbox, run_tap: Callable[..., Run], everything: dict[str, Any], tmp_path: Path
) -> None:
    off = {
        ("tasks", "properties", "notes"): False,
        ("tasks", "properties", "assignee", "properties", "name"): False,
        ("tasks", "properties", "followers", "properties", "name"): False,
        ("stories", "properties", "text"): False,
        ("stories", "properties", "created_by", "properties", "name"): False,
        ("messages",): False,
    }
    run = run_tap(settings_for(sandbox, **into(tmp_path)), catalog=select(everything, off))

    assert run.code == 0
    records = held(run)
    assert {"messages"} == {*STREAMS} - records.keys()
    of_tasks = {name for task in records["tasks"] for name in task}
    assert "notes" not in of_tasks
    assert of_tasks >= {"name", "assignee", "followers"}
    assert {name for task in records["tasks"] for name in task["assignee"] or {}} == {"gid", "resource_type"}
    assert {name for task in records["tasks"] for each in task["followers"] for name in each} == {
        "gid",
        "resource_type",
    }
    of_stories = {name for story in records["stories"] for name in story}
    assert ("text" in of_stories, "created_by" in of_stories) == (False, True)
    assert not any("name" in (story["created_by"] or {}) for story in records["stories"])
    assert {name for each in records["task_followers"] for name in each} >= {"name", "gid"}


@pytest.mark.parametrize(("compression", "suffix"), [("gzip", ".jsonl.gz"), ("none", ".jsonl")])
def test_files_are_compressed_or_not(
    sandbox: Sandbox, run_tap: Callable[..., Run], tmp_path: Path, compression: str, suffix: str
) -> None:
    run = run_tap(settings_for(sandbox, **into(tmp_path, compression=compression)))

    names = [file.name for of_it in announced(run).values() for file in of_it]
    assert {name[name.index(".") :] for name in names} == {suffix}
    assert {json.dumps(message["encoding"]) for message in run.of("BATCH")} == {
        json.dumps({"format": "jsonl", "compression": compression})
    }
    assert {each["gid"]: each for each in held(run)["tasks"]} == expected(sandbox, "tasks")
    for file in in_folder(tmp_path / "asana"):
        assert file.read_bytes().startswith(b"\x1f\x8b" if compression == "gzip" else b"{")


@pytest.mark.parametrize("compression", ["zstd", "snappy", "gzip", "none"])
def test_parquet_holds_the_same_values(
    sandbox: Sandbox, run_tap: Callable[..., Run], everything: dict[str, Any], tmp_path: Path, compression: str
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    settings = settings_for(sandbox, emit_activate_version_messages=True)
    lines = run_tap(settings | into(tmp_path / "lines"), catalog=everything)
    tables = run_tap(
        settings | into(tmp_path / "tables", format="parquet", compression=compression),
        catalog=everything,
        state=lines.of("STATE")[0]["value"],
    )

    assert (lines.code, tables.code, tables.stderr.count("ERROR")) == (0, 0, 0)
    wanted = held(lines)
    schemas = {message["stream"]: message["schema"]["properties"] for message in lines.of("SCHEMA")}
    assert announced(tables).keys() == wanted.keys() == schemas.keys()
    for stream, of_it in announced(tables).items():
        table = pyarrow.concat_tables([parquet.read_table(file) for file in of_it])
        codec = {parquet.ParquetFile(file).metadata.row_group(0).column(0).compression for file in of_it}
        assert codec == {"UNCOMPRESSED" if compression == "none" else compression.upper()}
        assert {file.suffix for file in of_it} == {".parquet"}
        more = [] if stream == "exports" else ["_sdc_table_version", "_sdc_extracted_at"]
        assert table.column_names == [*schemas[stream], *more]
        assert {name: str(table.schema.field(name).type) for name in schemas[stream]} == {
            name: column_type(schema) for name, schema in schemas[stream].items()
        }
        assert [as_json(row, schemas[stream]) for row in table.to_pylist()] == [
            {name: each.get(name) for name in table.column_names} for each in wanted[stream]
        ]


def column_type(schema: dict[str, Any]) -> str:
    """The type of Parquet for what a JSON Schema describes."""
    kinds = {schema["type"]} if isinstance(schema["type"], str) else {*schema["type"]} - {"null"}
    kind = schema.get("format", *kinds) if len(kinds) == 1 else "object"
    types = {"boolean": "bool", "integer": "int64", "number": "double", "date": "date32[day]"}
    return types.get(kind, "timestamp[us, tz=UTC]" if kind == "date-time" else "string")


def as_json(row: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """A row with the values of JSON."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        kind = column_type(schemas[name]) if name in schemas else ""
        nested = kind == "string" and {"object", "array"} & {*schemas[name]["type"]}
        if hasattr(value, "hour"):
            found[name] = f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03}Z"
        elif hasattr(value, "isoformat"):
            found[name] = value.isoformat()
        else:
            found[name] = json.loads(value) if nested and value is not None else value
    return found


UNFIT: dict[str, tuple[str, str, str, str]] = {
    "a fraction among integers": ("num_likes", "1.5", "a number", "integer"),
    "an integer of more than 64 bits": ("num_likes", "9223372036854775808", "a number", "integer"),
    "an integer below -2^63": ("num_likes", "-9223372036854775809", "a number", "integer"),
    "a fraction that a double hides": ("num_likes", "1.00000000000000000001", "a number", "integer"),
    "true among integers": ("num_likes", "true", "true", "integer"),
    "text among integers": ("num_likes", '"7"', "text", "integer"),
    "an integer that no double is": ("actual_time_minutes", "9007199254740993", "a number", "number"),
    "an integer as long as a line": ("actual_time_minutes", "1" * 5000, "a number", "number"),
    "more digits than a double has": ("actual_time_minutes", "0.12345678901234567890", "a number", "number"),
    "a number too small for a double": ("actual_time_minutes", "1e-400", "a number", "number"),
    "a number too large for a double": ("actual_time_minutes", "1e400", "a number", "number"),
    "false among numbers": ("actual_time_minutes", "false", "false", "number"),
    "an object among numbers": ("actual_time_minutes", '{"a":1}', "an object", "number"),
    "text for true": ("completed", '"perhaps"', "text", "boolean"),
    "1 for true": ("completed", "1", "a number", "boolean"),
    "a year of five digits": ("due_on", '"20222-02-02"', "text", "date"),
    "the 30th of February": ("due_on", '"2026-02-30"', "text", "date"),
    "a time for a date": ("due_on", '"2026-02-03T00:00:00Z"', "text", "date"),
    "a number for a date": ("due_on", "20260203", "a number", "date"),
    "an empty date": ("due_on", '""', "text", "date"),
    "a time without a zone": ("due_at", '"2026-02-03T00:00:00"', "text", "date-time"),
    "a time in a year of five digits": ("due_at", '"20222-02-02T00:00:00Z"', "text", "date-time"),
    "nanoseconds": ("due_at", '"2026-02-03T00:00:00.123456789Z"', "text", "date-time"),
    "an array for a time": ("due_at", "[]", "an array", "date-time"),
}


def tasks_file(folder: Path, *properties: str) -> Path:
    """An export file of tasks, each with more properties as JSON."""
    file = folder / "export.jsonl"
    rest = f'"resource_type":"task","stories":[],"workspace":{{"gid":"{WORKSPACE}"}}'
    lines = [f'{{"gid":"{gid}",{rest}{more and ","}{more}}}\n' for gid, more in enumerate(properties, 1)]
    file.write_text("".join(lines))
    return file


@pytest.mark.parametrize("unfit", UNFIT)
def test_a_value_that_its_column_of_parquet_cannot_hold_is_an_error_that_names_it(unfit: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from tap_asana_export.output.parquet import ParquetFile  # noqa: PLC0415 - needs an extra

    name, value, kind, column = UNFIT[unfit]
    table = ParquetFile(tmp_path / "file", "none", json.loads((SCHEMAS / "tasks.json").read_text()), "tasks")
    rows = RowBuffer(b"")
    for record in (f'{{"gid":"7","{name}":null}}', '{"gid":"8"}', f'{{"gid":"9","{name}":{value}}}'):
        rows.add_text(record.encode())
    table.add(rows.take())
    with pytest.raises(UnfitError) as raised:
        table.close()
    assert str(raised.value) == str(UnfitError("tasks", name, {"gid": "9"}, kind, column))


def test_a_record_that_parquet_cannot_hold_can_be_had_by_a_map(run_tap: Callable[..., Run], tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    settings = {
        "export_files": [str(tasks_file(tmp_path, *[""] * 8, '"due_on":"20222-02-02"', '"due_on":null'))],
        **into(tmp_path / "out", format="parquet"),
    }
    run = run_tap(settings)

    expression = "str(record.get('due_on')) if record.get('due_on') != None else None"
    assert (run.code, run.last_line) == (
        1,
        f"Stream tasks: the property due_on of the record with gid 9, workspace_gid {WORKSPACE} is text that its "
        "Parquet column, date, cannot hold as it is. It is not rounded, and no file was announced that is not "
        "complete. To have the record, set batch_config.encoding.format to jsonl, or make the column text from now on "
        f'with the setting stream_maps: {{"tasks": {{"due_on": "{expression}"}}}}; then run again.',
    )
    assert "Traceback" not in run.stderr
    assert [file.name[-13:] for file in in_folder(tmp_path / "out")] == ["00001.parquet"]
    assert in_folder(tmp_path / "out") == announced(run)["tasks"]

    mapped = run_tap(settings | {"stream_maps": {"tasks": {"due_on": expression}}})
    rows = [row for file in announced(mapped)["tasks"] for row in parquet.read_table(file).to_pylist()]
    assert [(row["gid"], row["due_on"]) for row in rows] == [
        (str(gid), "20222-02-02" if gid == 9 else None) for gid in range(1, 11)
    ]


def test_values_that_a_column_of_parquet_holds_exactly_are_held_though_written_otherwise(
    run_tap: Callable[..., Run], tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    values = [
        '"num_likes":1.0,"actual_time_minutes":1152921504606846976,"name":5,"due_at":"2026-02-03T01:00:00.1234+01:00"',
        '"num_likes":-9223372036854775808,"actual_time_minutes":1e3,"name":{"a":1e400},"due_on":"0001-01-01"',
        '"num_likes":2e1,"actual_time_minutes":-0.1000000000000000,"name":"\\u00e9","followers":[123456789012345678901]',
        '"num_likes":null,"actual_time_minutes":0.12345678901234568,"name":null,"followers":"none"',
    ]
    settings = into(tmp_path / "out", format="parquet")
    del settings["batch_config"]["encoding"]["compression"]
    run = run_tap({"export_files": [str(tasks_file(tmp_path, *values))], **settings})

    assert run.code == 0, run.stderr
    assert {each["encoding"]["compression"] for each in run.of("BATCH")} == {"zstd"}
    rows = [row for file in announced(run)["tasks"] for row in parquet.read_table(file).to_pylist()]
    names = ("num_likes", "actual_time_minutes", "name", "followers", "due_at", "due_on")
    at = datetime(2026, 2, 3, 0, 0, 0, 123400, tzinfo=timezone.utc)
    assert [tuple(row[name] for name in names) for row in rows] == [
        (1, float(1 << 60), "5", None, at, None),
        (-(1 << 63), 1000.0, '{"a":1e400}', None, None, date(1, 1, 1)),
        (20, -0.1, "é", "[123456789012345678901]", None, None),
        (None, 0.12345678901234568, None, "none", None, None),
    ]


@pytest.mark.soak
def test_a_file_that_gets_too_large_is_cut(
    sandbox: Sandbox, arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    limit = 20_000
    whole = watch(arguments(settings_for(sandbox, **into(tmp_path / "whole", 20))))
    state = whole.of("STATE")[0]["value"]
    command = arguments(settings_for(sandbox, **into(tmp_path / "cut", 20)), state=state)
    cut = watch(patched(command, f"TapAsanaExport.limits = Limits(text=1 << 15, batch_block=1, batch_file={limit})"))

    assert (cut.code, held(cut)) == (0, held(whole))
    texts = {file: gzip.decompress(file.read_bytes()) for file in announced(cut)["tasks"]}
    assert len(texts) > 2 * len(announced(whole)["tasks"])
    # One task has a megabyte of notes: a record is never cut, but is alone then.
    assert {text.count(b"\n") for text in texts.values() if len(text) > limit} == {1}
    for file, text in texts.items():
        following = file.with_name(f"{file.name.split('.')[0][:-2]}-{int(file.name.split('.')[0][-1]) + 1}.jsonl.gz")
        if "-2" in file.name and following in texts:
            first = texts[following].split(b"\n")[0]
            assert len(text) + len(first) + 1 > limit


def test_nothing_follows_a_record_that_is_larger_than_a_file(tmp_path: Path) -> None:
    config = batch.read_batch_config(cast("Settings", into(tmp_path)), Limits(batch_file=100))
    assert config
    file = batch.BatchFile(config, f"{tmp_path}/file", tmp_path, {}, "tasks")
    record, others = b"x" * 110 + b"\n", b"y" * 40 + b"\n" + b"z" * 40 + b"\n"

    assert file.take_fitting_lines(record + others, 3, 0, 1000) == len(record)
    assert file.take_fitting_lines(record + others, 3, len(record), 1000) == len(record)
    assert file.take_fitting_lines(others, 2, 0, 1000) == 0


# ── the order of messages, and what the state tells ──────────────────────────────────────────────────────────


@pytest.mark.soak
def test_files_are_announced_before_the_state_tells_of_their_lines_and_the_export_comes_last(
    large: Sandbox, arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    run = watch(arguments(settings_for(large, **into(tmp_path, 100))))

    kinds = [
        "exports" if message.get("stream") == "exports" and message["type"] == "BATCH" else message["type"]
        for message in run.messages
    ]
    assert kinds[:5] == ["SCHEMA"] * 4 + ["STATE"]
    assert kinds[-2:] == ["exports", "STATE"]
    lines = [lines_of(each["value"]) for each in run.of("STATE")]
    # A thread of its own writes the files: the last one of tasks is there before the end of the export, or with it.
    assert [each for each in lines if each != 600] == [0, 100, 200, 300, 400, 500, 0]
    assert kinds.count("exports") == 1
    check_states(run)
    assert exports_state(run.state)["pending"] is None
    for stream in STREAMS:
        assert {each["gid"]: each for each in held(run)[stream]} == expected(large, stream)


def test_activate_version_follows_the_last_batch(sandbox: Sandbox, run_tap: Callable[..., Run], tmp_path: Path) -> None:
    run = run_tap(settings_for(sandbox, emit_activate_version_messages=True, **into(tmp_path, 1000)))

    assert [(message["type"], message.get("stream")) for message in run.messages[4:]] == [
        ("STATE", None),
        *sorted_by_first_line(run),
        ("ACTIVATE_VERSION", "tasks"),
        ("ACTIVATE_VERSION", "messages"),
        ("ACTIVATE_VERSION", "teams"),
        ("BATCH", "exports"),
        ("STATE", None),
    ]
    [version] = {message["version"] for message in run.of("ACTIVATE_VERSION")}
    records = held(run)
    assert {each["_sdc_table_version"] for stream in STREAMS for each in records[stream]} == {version}
    assert {each["_sdc_extracted_at"] for stream in STREAMS for each in records[stream]} == {
        records["exports"][0]["created_at"]
    }
    assert "_sdc_table_version" not in records["exports"][0]


def sorted_by_first_line(run: Run) -> list[tuple[str, str]]:
    """The BATCH messages of objects, in whatever order the file has the types."""
    streams = [message["stream"] for message in run.of("BATCH")[:-1]]
    assert sorted(streams) == sorted(STREAMS)
    return [("BATCH", stream) for stream in streams]


def test_the_same_export_overwrites_its_files(
    sandbox: Sandbox, run_tap: Callable[..., Run], everything: dict[str, Any], tmp_path: Path
) -> None:
    settings = settings_for(sandbox, **into(tmp_path / "out"))
    first = run_tap(settings, catalog=everything)
    before = {file: file.read_bytes() for file in in_folder(tmp_path / "out")}
    [export] = held(first)["exports"]
    for file in before:
        file.write_bytes(b"")
    second = run_tap(settings | {"job_gids": {WORKSPACE: export["job_gid"]}}, catalog=everything)

    assert (first.code, second.code, len(parameters(sandbox))) == (0, 0, 1)
    assert announced(second) == announced(first)
    after = {file: file.read_bytes() for file in in_folder(tmp_path / "out")}
    exports = announced(first)["exports"][0]
    assert after.keys() == before.keys()
    assert {file for file in after if after[file] != before[file]} <= {exports}


@pytest.mark.soak
def test_a_run_that_breaks_has_announced_what_its_state_tells_of_and_the_next_one_makes_the_rest(
    large: Sandbox, arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    large.faults["truncated"] = True
    settings = settings_for(large, **into(tmp_path, 20))
    broken = watch(patched(arguments(settings), SMALL_BLOCKS))
    parts = [file.name for file in in_folder(tmp_path / "asana") if file.name.endswith(".part")]
    large.faults.clear()
    state = broken.state
    rest = watch(arguments(settings, state=state))

    assert (broken.code, rest.code, parts, len(parameters(large))) == (1, 0, [], 1)
    assert "ends too early" in broken.last_line
    lines = lines_of(state)
    assert 0 < lines < 600
    assert lines % 20 == 0
    check_states(broken)
    check_states(rest, lines)
    assert_whole(large, tmp_path, broken, rest)


@pytest.mark.soak
def test_files_that_wait_for_their_upload_when_a_run_breaks_are_removed(
    large: Sandbox, arguments: Callable[..., list[str]], everything: dict[str, Any], tmp_path: Path
) -> None:
    large.faults["truncated"] = True
    command = arguments(settings_for(large, **into(tmp_path, 100)), catalog=everything)
    file = "batch.BatchFile.complete"
    slow = f"import time; put = {file}; {file} = lambda self: (time.sleep(0.02), put(self))[1]"
    run = watch(patched(command, f"TapAsanaExport.limits = Limits(text=1 << 15, batch_block=1, uploads=1); {slow}"))

    assert (run.code, "ends too early" in run.last_line) == (1, True)
    assert [file for file in in_folder(tmp_path) if file.suffix == ".part"] == []
    assert lines_of(run.state) > 0


@pytest.mark.soak
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_after_a_signal_no_half_file_is_left_and_the_next_run_makes_the_rest(
    large: Sandbox, arguments: Callable[..., list[str]], tmp_path: Path, signum: int
) -> None:
    settings = settings_for(large, **into(tmp_path, 5))
    ended = watch(patched(arguments(settings), SMALL_BLOCKS), signum, after=20)
    parts = [file.name for file in in_folder(tmp_path / "asana") if file.name.endswith(".part")]
    rest = watch(arguments(settings, state=ended.state))

    assert (ended.code, rest.code, parts, len(parameters(large))) == (128 + signum, 0, [], 1)
    lines = lines_of(ended.state)
    assert 0 < lines < 668
    check_states(ended)
    check_states(rest, lines)
    assert_whole(large, tmp_path, ended, rest)


@pytest.mark.soak
def test_what_a_killed_run_left_is_removed_by_the_next_one_and_what_others_write_is_not(
    large: Sandbox, arguments: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    monkeypatch.setenv("TMPDIR", str(spool))
    command = arguments(settings_for(large, **into(tmp_path / "out", 5)))
    killed = watch(patched(command, "import os; batch.BatchFile.complete = lambda _: os.kill(os.getpid(), 9)"))
    assert killed.code == -signal.SIGKILL
    left = [file for file in in_folder(tmp_path / "out") if file.suffix == ".part"]
    folders = [*spool.iterdir()]
    assert left
    assert folders

    [mine, *_] = left
    other_host = mine.with_name(f".{mine.name.split('.')[1]}.jsonl.gz.elsewhere-7-0123abcd.part")
    running = mine.with_name(mine.name.replace(owner_of(mine), owner_of(mine).replace(pid_of(mine), str(os.getpid()))))
    other_workspace = mine.parents[1] / OTHER / mine.name
    strangers = mine.with_name(".vim.part")
    old = mine.with_name(f"{other_host.name.removesuffix('.part')[:-1]}e.part")
    other_workspace.parent.mkdir()
    for file in (other_host, running, other_workspace, strangers, old):
        file.write_bytes(b"half")
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    os.utime(strangers, (yesterday, yesterday))
    rest = watch(command)

    assert rest.code == 0
    kept = [file for file in in_folder(tmp_path / "out") if file.suffix == ".part"]
    assert kept == sorted([other_host, running, other_workspace, strangers])
    assert [*spool.iterdir()] == []


def owner_of(part: Path) -> str:
    """What of an incomplete file's name tells whose it is."""
    return part.name.split(".")[-2]


def pid_of(part: Path) -> str:
    return owner_of(part).split("-")[1]


@pytest.mark.parametrize("place", ["gid", "workspace", "alias", "middle"])
def test_no_file_gets_outside_of_the_root_whatever_gids_and_streams_are_called(place: str, tmp_path: Path) -> None:
    config = batch.read_batch_config(cast("Settings", into(tmp_path / "root")))
    assert config
    odd = {"middle": "a/../../x"}.get(place, "../../x")
    origin = ExportOrigin(
        ExportRoot(odd if place == "workspace" else "1"),
        odd if place in {"gid", "middle"} else "2",
        datetime(2026, 1, 1, tzinfo=timezone.utc),
    )
    name = odd if place == "alias" else "tasks"
    with (
        batch.BatchFiles(config, MessageWriter(), {}, origin) as files,
        pytest.raises(BatchError, match="may not lead to"),
    ):
        files.buffer(name, None)
    assert in_folder(tmp_path) == []


@pytest.mark.parametrize("alias", ["../../tasks", "..", "a/../../../x", "/x", "a\\..\\x"])
def test_an_alias_that_leads_out_of_the_root_is_refused(
    sandbox: Sandbox, run_tap: Callable[..., Run], tmp_path: Path, alias: str
) -> None:
    run = run_tap(settings_for(sandbox, stream_maps={"tasks": {"__alias__": repr(alias)}}, **into(tmp_path / "out")))

    assert (run.code, run.of("BATCH")) == (1, [])
    assert "what stream and gids are called may not lead to another folder" in run.last_line
    assert "Traceback" not in run.stderr
    assert [file for file in in_folder(tmp_path) if file.suffix == ".gz"] == []


def assert_whole(sandbox: Sandbox, root: Path, *runs: Run) -> None:
    """The files of runs, and the folder, hold every object once, and there are no others."""
    of_it = announced(*runs)
    every = [file for found in of_it.values() for file in found]
    assert len(every) == len(set(every))
    assert in_folder(root / "asana") == sorted(every)
    records = held(*runs)
    for stream in STREAMS:
        assert sorted(each["gid"] for each in records[stream]) == sorted(expected(sandbox, stream))
        assert {each["gid"]: each for each in records[stream]} == expected(sandbox, stream)


def test_two_workspaces_have_folders_of_their_own(run_tap: Callable[..., Run], tmp_path: Path) -> None:
    with Sandbox(workspaces=2, tasks=20, messages=5, teams=2, large=0, change_interval=0, job_seconds=0) as sandbox:
        run = run_tap(settings_for(sandbox, workspaces=[WORKSPACE, OTHER], **into(tmp_path)))

    assert run.code == 0
    for stream in STREAMS:
        for workspace in (WORKSPACE, OTHER):
            of_it = [file for file in announced(run)[stream] if file.parent.name == workspace]
            records = [each for file in of_it for each in read(file)]
            assert {each["gid"]: each for each in records} == expected(sandbox, stream, workspace)
    assert sorted(file.parent.name for file in announced(run)["exports"]) == [WORKSPACE, OTHER]


def test_graphs_are_in_folders_of_their_parents(
    run_tap: Callable[..., Run], catalog: dict[str, Any], tmp_path: Path
) -> None:
    with Sandbox(tasks=60, messages=3, teams=3, projects=14, large=0, change_interval=0, job_seconds=0) as sandbox:
        gids = [*parents(sandbox).values()]
        settings = settings_for(sandbox, workspaces=[], graph_parents=gids, **into(tmp_path))
        run = run_tap(settings, catalog=selecting(catalog, GRAPHS.values()))
        wanted = in_graph(sandbox, *gids)

    assert run.code == 0
    records = held(run)
    # Which of the parents comes first is open.
    of_parents = {
        stream: sorted(records.get(stream, []), key=lambda each: gids.index(each["parent_gid"])) for stream in wanted
    }
    assert of_parents == wanted
    for stream, of_it in announced(run).items():
        for file in of_it:
            assert {each["parent_gid"] for each in read(file)} == {file.parent.name}, stream


def test_export_files_become_batch_files(
    sandbox: Sandbox, run_tap: Callable[..., Run], everything: dict[str, Any], tmp_path: Path
) -> None:
    online = run_tap(settings_for(sandbox), catalog=everything)
    _, content = export_file(sandbox, online.records("exports")[0]["job_gid"])
    file = tmp_path / "export.jsonl.gz"
    file.write_bytes(content)
    os.utime(file, (1772600767.5, 1772600767.5))
    run = run_tap({"export_files": [str(file)], **into(tmp_path / "out")}, catalog=everything)

    assert run.code == 0
    records = held(run)
    exports = records.pop("exports")
    wanted = written(online)
    assert exports[0]["objects"] == wanted.pop("exports")[0]["objects"]
    assert records == wanted
    [export] = announced(run)["exports"]
    name = r"20260304T050607500Z-export\.jsonl\.gz-\w{8}-00001\.jsonl\.gz"
    assert export.parent == tmp_path / f"out/asana/exports/{WORKSPACE}"
    assert re.fullmatch(name, export.name)


# ── what cannot work ─────────────────────────────────────────────────────────────────────────────────────────

TELLS = "`tap-asana-export --about` tells of every setting."
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no storage": (
        {"encoding": {"format": "jsonl"}},
        "Settings: batch_config.storage.root is missing: give the URL of a folder.",
    ),
    "an empty root": (
        {"storage": {"root": ""}},
        "Settings: batch_config.storage.root is missing: give the URL of a folder.",
    ),
    "an unknown protocol": (
        {"storage": {"root": "floppy://a"}},
        "Settings: batch_config.storage.root cannot be used: Protocol not known: floppy.",
    ),
    "S3 without its driver": (
        {"storage": {"root": "s3://bucket/asana"}},
        "Settings: batch_config.storage.root cannot be used: s3:// needs a package: pip install tap-asana-export[s3].",
    ),
    "no number of records": (
        {"storage": {"root": "/nowhere"}, "batch_size": 0},
        "Settings: batch_config.batch_size must be a number of records.",
    ),
    "a text for a number": (
        {"storage": {"root": "/nowhere"}, "batch_size": "many"},
        "Settings: batch_config.batch_size must be a number of records.",
    ),
    "an unknown format": (
        {"storage": {"root": "/nowhere"}, "encoding": {"format": "xml"}},
        f'Settings: batch_config.encoding.format must be "jsonl" or "parquet". {TELLS}',
    ),
    "an unknown compression": (
        {"storage": {"root": "/nowhere"}, "encoding": {"compression": "zip"}},
        f'Settings: batch_config.encoding.compression must be "gzip" or "none" or "zstd" or "snappy". {TELLS}',
    ),
    "a compression that JSON Lines have not": (
        {"storage": {"root": "/nowhere"}, "encoding": {"compression": "zstd"}},
        "Settings: batch_config.encoding.compression must be one of gzip, none for jsonl.",
    ),
}
BLOCKED = "import sys; sys.modules.update(dict.fromkeys({}))"


@pytest.mark.parametrize("name", WRONG)
def test_a_batch_config_that_cannot_be_used_starts_no_export(
    name: str, sandbox: Sandbox, arguments: Callable[..., list[str]]
) -> None:
    config, words = WRONG[name]
    # Whoever has the drivers must see the error as well.
    command = patched(arguments(settings_for(sandbox, batch_config=config)), BLOCKED.format(["s3fs"]))
    run = watch(command)

    assert (run.code, run.last_line, {message["type"] for message in run.messages} - {"SCHEMA"}) == (1, words, set())
    assert parameters(sandbox) == []


def test_parquet_without_pyarrow_starts_no_export(
    sandbox: Sandbox, arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    command = arguments(settings_for(sandbox, **into(tmp_path, format="parquet")))
    run = watch(patched(command, BLOCKED.format(["pyarrow"])))

    assert (run.code, {message["type"] for message in run.messages} - {"SCHEMA"}) == (1, set())
    assert run.last_line == (
        "Settings: batch_config.encoding.format parquet needs pyarrow: install tap-asana-export[parquet]."
    )
    assert parameters(sandbox) == []


def test_a_root_that_cannot_be_written_to_is_an_error(
    sandbox: Sandbox, run_tap: Callable[..., Run], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    run = run_tap(settings_for(sandbox, **into(tmp_path / "file" / "out")))

    assert (run.code, run.of("BATCH")) == (1, [])
    assert run.last_line.startswith("The batch file ")
    assert "Not a directory" in run.last_line
    assert run.last_line.endswith("See to the place that batch_config names, then run again.")


@pytest.mark.soak
def test_a_disk_that_gets_full_ends_the_run_and_the_next_one_makes_the_rest(
    large: Sandbox, arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    organization = large.organizations[WORKSPACE]
    rubbish = "".join(random.Random(0).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=400_000))  # noqa: S311
    organization.touch([*expected(large, "tasks")][300], notes=rubbish)
    settings = settings_for(large, **into(tmp_path, 20))
    limit = 100_000
    full = watch(
        patched(arguments(settings), SMALL_BLOCKS),
        # Like a full disk: a write that would make a file any larger fails.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    left = in_folder(tmp_path / "asana")
    rest = watch(arguments(settings, state=full.state))

    assert (full.code, rest.code, len(parameters(large))) == (1, 0, 1)
    assert "File too large" in full.last_line
    assert "tasks/1200000000000001/" in full.last_line
    assert [file for file in left if file.suffix != ".gz"] == []
    assert all(read(file) for file in left)
    check_states(full)
    check_states(rest, lines_of(full.state))
    assert_whole(large, tmp_path, full, rest)
