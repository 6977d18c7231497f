"""Merge the tap's Parquet files into Delta tables: the latest state of every object of all workspaces.

    pip install deltalake pyarrow
    tap-asana-export --discover > catalog.json
    python merge.py --catalog catalog.json /data/asana/ /data/lake tasks messages teams

`/data/asana/` is the batch_config's root and prefix, all that stands before the name of a stream, with
`"encoding": {"format": "parquet", "compression": "zstd"}`; `/data/lake` gets a table for each stream.

A run merges the exports that no run has merged before, each in one commit: rows are updated and added by key. After a
full export, or a complete list, the rows of the workspace that did not come are deleted. The commit notes the export,
so that a run that broke off, or is run again, merges nothing twice. Then goes what was deleted since, where there are
files of the stream deletions; subtasks go with their parents. Moves come with the next export of the task.

Of the nested columns nothing is lost: they are JSON text. `_exported_at` tells which export a row came with.
"""

from __future__ import annotations

import argparse
import glob
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import CommitProperties, DeltaTable, QueryBuilder, Transaction

if TYPE_CHECKING:
    from datetime import datetime

# By JSON Schema's type or format. All else is text.
TYPES: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "date-time": pa.timestamp("us", "UTC"),
    "date": pa.date32(),
}
EXPORTED_AT = pa.field("_exported_at", TYPES["date-time"])
# Asana exports all teams each time: every export tells which there are.
ALWAYS_WHOLE = ("teams", "team_members")
OBJECTS = ("task", "message", "team")
# Asana allows five levels of subtasks.
MOST_LEVELS = 5


class Stream(NamedTuple):
    """A stream of the catalog: its name, columns and keys."""

    name: str
    schema: pa.Schema
    keys: list[str]

    @property
    def kinds(self) -> list[str]:
        """The types of the objects that its rows are, or are within."""
        return [kind for kind in OBJECTS if self.name == f"{kind}s" or f"{kind}_gid" in self.schema.names]


class Batches(NamedTuple):
    """The batch files: what stands before the name of a stream."""

    prefix: str

    def places(self, stream: Stream) -> list[Path]:
        """The files of a stream."""
        before = Path(f"{self.prefix}{stream.name}")
        return sorted(each for each in before.glob("*/*.parquet") if not each.name.startswith("."))

    def read(self, stream: Stream, files: list[Path]) -> pa.Table:
        """The rows of files; columns that were not selected are null."""
        if not files:
            return stream.schema.empty_table()
        return ds.dataset(files, schema=stream.schema, format="parquet").to_table()


def main() -> None:
    """Merge the streams that the command line names."""
    parser = argparse.ArgumentParser(description="Merge the batch files of tap-asana-export into Delta tables.")
    parser.add_argument("batches", help="root and prefix of the batch_config")
    parser.add_argument("tables", help="folder, or URL, for the tables")
    parser.add_argument("streams", nargs="+", help="such as tasks")
    parser.add_argument("--catalog", type=Path, required=True, help="what tap-asana-export --discover prints")
    options = parser.parse_args()
    try:
        catalog = json.loads(options.catalog.read_text())["streams"]
    except (OSError, ValueError, KeyError) as error:
        parser.error(f"{options.catalog} is no catalog: {error}")
    streams = {
        each["tap_stream_id"]: Stream(each["tap_stream_id"], columns(each["schema"]), each["key_properties"])
        for each in catalog
    }
    if unknown := {*options.streams} - streams.keys():
        parser.error(f"the catalog has no {', '.join(sorted(unknown))}")
    batches = Batches(options.batches)
    if glob.glob(f"{options.batches}*/*/*.jsonl*"):  # noqa: PTH207 - a prefix may end within a name
        sys.exit("There are JSON Lines: write Parquet, to a new prefix and without the tap's state.")
    if not any(map(batches.places, streams.values())):
        sys.exit(
            f"There is no file {options.batches}<stream>/<workspace>/….parquet: give the batch_config's root and "
            "prefix, with the slash if there is one."
        )
    exports = batches.read(streams["exports"], batches.places(streams["exports"])).sort_by("created_at").to_pylist()
    deletions = last_words(batches.read(streams["deletions"], batches.places(streams["deletions"])))
    # Subtasks are looked up among the tasks before these are deleted.
    names = sorted(options.streams, key=lambda name: name != "tasks")
    tables = {name: table_of(f"{options.tables}/{name}", streams[name]) for name in names}
    for name in names:
        for export in exports:
            merge_export(tables[name], streams, streams[name], batches, export)
    gone = with_subtasks(deletions, tables.get("tasks"))
    for name in names:
        delete(tables[name], streams[name], gone)


def columns(schema: dict[str, Any]) -> pa.Schema:
    """The columns for records that a JSON Schema describes; what is nested, or of several types, is JSON text."""
    fields = []
    for name, each in schema["properties"].items():
        kinds = {each["type"]} if isinstance(each["type"], str) else {*each["type"]} - {"null"}
        kind = each.get("format", *kinds) if len(kinds) == 1 else "string"
        fields.append(pa.field(name, TYPES.get(kind, pa.string())))
    return pa.schema(fields)


def table_of(uri: str, stream: Stream) -> DeltaTable:
    """The stream's table, which is made if there is none."""
    return DeltaTable.create(uri, pa.schema([*stream.schema, EXPORTED_AT]), mode="ignore")


def merge_export(
    table: DeltaTable, streams: dict[str, Stream], stream: Stream, batches: Batches, export: dict[str, Any]
) -> None:
    """Merge the rows that an export has of a stream, unless that was done before."""
    place, at = export["parent_gid"] or export["workspace_gid"], export["created_at"]
    version = int(at.timestamp() * 1000)
    application = f"{place} {export['list'] or export['kind']}"
    if (table.transaction_version(application) or 0) >= version:
        return
    done = CommitProperties(app_transactions=[Transaction(application, version)])
    is_whole = holds_all(export, stream)
    rows = with_time(batches.read(stream, files_of(batches, stream, place, at)), at)
    if rows.num_rows == 0 and not is_whole:
        return
    for kind in stream.kinds:
        # Who follows an object no longer is not among the followers that came with it.
        if stream.name != f"{kind}s":
            objects = streams[f"{kind}s"]
            came = batches.read(objects, files_of(batches, objects, place, at)).select(["gid"])
            merger = table.merge(came, f"t.{kind}_gid = s.gid", target_alias="t", source_alias="s")
            merger.when_matched_delete().execute()
    same = " and ".join(f"t.{key} = s.{key}" for key in stream.keys)
    merger = table.merge(rows, same, target_alias="t", source_alias="s", merge_schema=True, commit_properties=done)
    merger = merger.when_matched_update_all().when_not_matched_insert_all()
    if is_whole:
        owner = "parent_gid" if export["parent_gid"] else "workspace_gid"
        merger = merger.when_not_matched_by_source_delete(f"t.{owner} = '{place}'")
    merger.execute()


def files_of(batches: Batches, stream: Stream, place: str, at: datetime) -> list[Path]:
    """The files that an export has of a stream: their names begin with its time."""
    time = f"{at:%Y%m%dT%H%M%S}{at.microsecond // 1000:03}Z"
    return [each for each in batches.places(stream) if each.parent.name == place and each.name.startswith(time)]


def holds_all(export: dict[str, Any], stream: Stream) -> bool:
    """Whether an export held all there was of a stream."""
    if export["list"]:
        return bool(export["full"] and export["list"] == stream.name)
    if export["kind"] == "graph":
        return bool(export["full"] and stream.name.startswith("graph_"))
    is_of_it = any(kind in json.loads(export["objects"]) for kind in stream.kinds)
    return bool(is_of_it and (export["full"] or stream.name in ALWAYS_WHOLE))


def with_time(rows: pa.Table, at: datetime) -> pa.Table:
    """The rows with the time of their export."""
    return rows.append_column(EXPORTED_AT, pa.array([at] * rows.num_rows, EXPORTED_AT.type))


def last_words(deletions: pa.Table) -> dict[str, dict[str, Any]]:
    """The last deletion or undeletion of each object; of two at the same moment, the undeletion."""
    words = sorted(deletions.to_pylist(), key=lambda each: (each["changed_at"], not each["is_deleted"]))
    return {each["gid"]: each for each in words}


def with_subtasks(words: dict[str, dict[str, Any]], tasks: DeltaTable | None) -> dict[str, datetime]:
    """When what is deleted was deleted; a subtask goes with its parent, if it was not undeleted."""
    gone = {gid: each["changed_at"] for gid, each in words.items() if each["is_deleted"]}
    if not gone or tasks is None:
        return gone
    query = QueryBuilder().register("tasks", tasks).execute("select gid, parent from tasks")
    rows = pa.table(query).to_pylist()
    parent_of = {each["gid"]: json.loads(each["parent"])["gid"] for each in rows if each["parent"]}
    for _ in range(MOST_LEVELS):
        for gid, parent in parent_of.items():
            if parent in gone and (gid not in words or words[gid]["is_deleted"]):
                gone[gid] = max(gone[parent], gone.get(gid, gone[parent]))
    return gone


def delete(table: DeltaTable, stream: Stream, gone: dict[str, datetime]) -> None:
    """Delete the rows of what was deleted after the export that they came with."""
    if not gone:
        return
    source = pa.table({"gid": [*gone], "at": pa.array(gone.values(), EXPORTED_AT.type)})
    for name in ("gid", "task_gid", "message_gid", "project_gid"):
        if name in stream.schema.names:
            is_gone = f"t.{name} = s.gid and s.at >= t._exported_at"
            table.merge(source, is_gone, target_alias="t", source_alias="s").when_matched_delete().execute()


if __name__ == "__main__":
    main()
