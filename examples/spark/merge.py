"""Merge the tap's batch files into Parquet: the latest state of every object of all workspaces.

    tap-asana-export --discover > catalog.json
    spark-submit merge.py --catalog catalog.json s3a://lake/asana/ s3a://lake/tables tasks messages teams

`s3a://lake/asana/` is the batch_config's root and prefix, all that stands before the name of a stream; `s3a://lake/tables`
gets a table for each stream, made anew in every run; a stream without files gets an empty one. The files may be JSON
Lines or Parquet, but not both of one stream.

Of the nested columns nothing is lost, also not what Asana adds one day: they are JSON text. As structs they could hold
only what the catalog names, and drop the rest without a word. Where a query wants a struct, it says which one:
`from_json(assignee, 'gid string, name string')`. A value that does not fit its column, and a damaged or cut off file,
end the job.

Where there are batch files of the stream deletions, what was deleted since the export that it came with is left out,
and what is within it too: stories, attachments, subtasks, memberships. Moves come with the next export of the task.

A gzipped file is read by one task, and several small ones too: `--conf spark.sql.files.maxPartitionBytes=16m`, which
counts gzipped bytes, spreads them evenly over the cores.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 - as everywhere where Spark is used
from pyspark.sql import types as T  # noqa: N812

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Row

# By JSON Schema's type or format. All else is text.
TYPES: dict[str, T.DataType] = {
    "boolean": T.BooleanType(),
    "integer": T.LongType(),
    "number": T.DoubleType(),
    "date-time": T.TimestampType(),
    "date": T.DateType(),
}
# Asana exports all teams each time: every export tells which there are.
ALWAYS_WHOLE = ("teams",)
# The columns that say what a record is of, or within.
OF_OBJECTS = {"gid", "task_gid", "message_gid", "project_gid"}
# Asana allows five levels of subtasks.
MOST_LEVELS = 5


def main() -> None:
    """Merge the streams that the command line names."""
    parser = argparse.ArgumentParser(description="Merge the batch files of tap-asana-export into Parquet.")
    parser.add_argument("batches", help="root and prefix of the batch_config")
    parser.add_argument("tables", help="folder for the tables")
    parser.add_argument("streams", nargs="+", help="such as tasks")
    parser.add_argument("--catalog", type=Path, required=True, help="what tap-asana-export --discover prints")
    options = parser.parse_args()
    catalog = json.loads(options.catalog.read_text())
    schemas = {entry["tap_stream_id"]: columns(entry["schema"]) for entry in catalog["streams"]}
    keys = {entry["tap_stream_id"]: entry["key_properties"] for entry in catalog["streams"]}

    spark = SparkSession.builder.appName("merge Asana exports").getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    spark.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    read_too = ("exports", "deletions", "tasks", *options.streams)
    files = {stream: batch_files(spark, f"{options.batches}{stream}") for stream in read_too}
    if not any(files.values()):
        sys.exit(
            f"There is no file {options.batches}<stream>/<workspace>/….jsonl: give the batch_config's root and prefix."
        )
    exports = finished(read(spark, files["exports"], schemas["exports"]))

    def rows(stream: str) -> DataFrame:
        """The last record of each object of a stream, and its file."""
        paths = current_files(files[stream], last_whole(exports, stream))
        return latest(read(spark, paths, schemas[stream]), keys[stream])

    deletions = latest(read(spark, files["deletions"], schemas["deletions"]), keys["deletions"])
    gone = with_subtasks(deletions, rows("tasks")).cache() if files["deletions"] else None
    for stream in options.streams:
        records = rows(stream)
        for name in OF_OBJECTS & {*records.columns} if gone is not None else ():
            records = without(records, gone, name)
        records.drop("_file").write.mode("overwrite").parquet(f"{options.tables}/{stream}")
    spark.stop()


def columns(schema: dict[str, Any]) -> T.StructType:
    """The columns for records that a JSON Schema describes; what is nested, or of several types, is JSON text."""
    found = T.StructType()
    for name, each in schema["properties"].items():
        kinds = {each["type"]} if isinstance(each["type"], str) else {*each["type"]} - {"null"}
        kind = each.get("format", *kinds) if len(kinds) == 1 else "string"
        found.add(name, TYPES.get(kind, T.StringType()))
    return found


def read(spark: SparkSession, paths: list[str], schema: T.StructType) -> DataFrame:
    """The records of batch files, and the name of the file that each comes from, which sorts by time of the export."""
    if not paths:
        return spark.createDataFrame([], T.StructType([*schema, T.StructField("_file", T.StringType())]))
    if all(path.endswith(".parquet") for path in paths):
        records = spark.read.schema(schema).parquet(*paths)
    else:
        records = spark.read.schema(schema).json(paths, mode="FAILFAST", lineSep="\n")
    return records.select("*", F.col("_metadata.file_name").alias("_file"))


def finished(exports: DataFrame) -> list[Row]:
    """The exports whose files are all there, with the time that the names of their files begin with."""
    time = file_time("created_at")
    return exports.select("workspace_gid", "full", "list", "objects", time.alias("time")).collect()


def last_whole(exports: list[Row], stream: str) -> dict[str, str]:
    """By workspace gid, the time of the last export, or list, that held all there was of a stream."""
    last: dict[str, str] = {}
    for export in exports:
        is_of_it = export.list == stream if export.list else stream.removesuffix("s") in json.loads(export.objects)
        if is_of_it and (export.full or stream in ALWAYS_WHOLE):
            last[export.workspace_gid] = max(export.time, last.get(export.workspace_gid, ""))
    return last


def batch_files(spark: SparkSession, folder: str) -> list[str]:
    """The batch files of a stream; those that begin with a dot are not complete."""
    try:
        files = (
            spark.read.format("binaryFile").load(f"{folder}/*/*.{{jsonl,jsonl.gz,parquet}}").select("path").collect()
        )
    except AnalysisException as error:
        if error.getCondition() != "PATH_NOT_FOUND":
            raise
        return []
    return [file.path for file in files]


def current_files(files: list[str], since: dict[str, str]) -> list[str]:
    """The files that tell the present: what is older than the last whole export of its workspace is past.

    What was deleted is not in that export, and so goes with the files of before.
    """
    places = ((file, *file.split("/")[-2:]) for file in files)
    return [path for path, workspace, name in places if name >= since.get(workspace, "")]


def latest(records: DataFrame, keys: list[str]) -> DataFrame:
    """Of each object the record that came last."""
    order = [F.desc(name) for name in ("changed_at", "_file", "modified_at") if name in records.columns]
    # Of a deletion and an undeletion of the same moment, the undeletion counts.
    order += [F.asc("is_deleted")] if "is_deleted" in records.columns else []
    newest = F.row_number().over(Window.partitionBy(*keys).orderBy(*order))
    return records.withColumn("_age", newest).where("_age = 1").drop("_age")


def file_time(time: str) -> Column:
    """A time as the names of files begin with it."""
    return F.date_format(time, "yyyyMMdd'T'HHmmssSSS'Z'")


def with_subtasks(deletions: DataFrame, tasks: DataFrame) -> DataFrame:
    """When what is deleted was deleted: `_gid` and `_gone_at`; a subtask goes with its parent, if it was not undeleted.

    Args:
        deletions: the last word on each object.
        tasks: each task's last record.
    """
    gone = deletions.where("is_deleted").select(F.col("gid").alias("_gid"), file_time("changed_at").alias("_gone_at"))
    undeleted = deletions.where("not is_deleted").select("gid")
    children = tasks.select("gid", F.get_json_object("parent", "$.gid").alias("_parent")).where("_parent is not null")
    children = children.join(undeleted, "gid", "left_anti")
    parents = gone
    for _ in range(MOST_LEVELS):
        below = children.join(parents, F.col("_parent") == F.col("_gid"))
        parents = below.select(F.col("gid").alias("_gid"), "_gone_at")
        gone = gone.union(parents)
    return gone.groupBy("_gid").agg(F.max("_gone_at").alias("_gone_at"))


def without(records: DataFrame, gone: DataFrame, name: str) -> DataFrame:
    """The records but those whose object, or what it is part of, was deleted after the export that they came with."""
    is_gone = (records[name] == gone["_gid"]) & (gone["_gone_at"] >= F.split(records["_file"], "-")[0])
    return records.join(gone, is_gone, "left_anti")


if __name__ == "__main__":
    main()
