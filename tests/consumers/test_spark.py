"""Batch files into Parquet, by a cluster: examples/spark."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.batches import into
from tests.support.consumers import PROJECT, differences, export_deletions, present_gids
from tests.support.lists import only
from tests.support.tap import TAP, settings_for
from tests.support.targets import STREAMS, prefix

pytestmark = pytest.mark.external

duckdb = pytest.importorskip("duckdb", reason="duckdb 1.2.2 has no wheel for this Python")

if TYPE_CHECKING:
    from pathlib import Path

    from tap_asana_export.sandbox import Sandbox
    from tests.support.consumers import Exported, Table

# A short run spends most of its time in compiling.
JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
# Two executors, each a process with one core and a gigabyte.
CLUSTER = "local-cluster[2,1,1024]"


def java() -> int:
    """The version of the Java that is there, or 0."""
    if not shutil.which("java"):
        return 0
    words = subprocess.run(["java", "-version"], capture_output=True, check=False, text=True).stderr.split()
    return int(words[2].strip('"').split(".")[0]) if words[1:2] == ["version"] else 0


@pytest.mark.skipif(java() < 17, reason="Spark 4 needs Java 17 or later")
def test_two_executors_merge_every_value_of_the_latest_state(exported: Exported, tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.json"
    catalog.write_bytes(subprocess.run([*TAP, "--discover"], capture_output=True, check=True).stdout)
    tables, events = tmp_path / "tables", tmp_path / "events"
    events.mkdir()
    submit(
        *(PROJECT / "examples" / "spark" / "merge.py", "--catalog", catalog, f"{exported.root}/", tables, *STREAMS),
        conf={
            "spark.master": CLUSTER,
            "spark.scheduler.minRegisteredResourcesRatio": "1",
            "spark.ui.enabled": "false",
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": events.as_uri(),
            "spark.eventLog.compress": "false",
            "spark.eventLog.rolling.enabled": "false",
        },
    )
    assert differences({stream: rows(tables, stream) for stream in STREAMS}, exported.tables) == []

    [log] = events.iterdir()
    ends = [
        event for event in map(json.loads, log.read_bytes().splitlines()) if event["Event"] == "SparkListenerTaskEnd"
    ]
    readers = {
        end["Task Info"]["Executor ID"] for end in ends if end["Task Metrics"]["Input Metrics"]["Bytes Read"] > 0
    }
    assert readers == {"0", "1"}


@pytest.mark.skipif(java() < 17, reason="Spark 4 needs Java 17 or later")
def test_files_may_be_parquet(exported_as_parquet: Exported, tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.json"
    catalog.write_bytes(subprocess.run([*TAP, "--discover"], capture_output=True, check=True).stdout)
    merge = (PROJECT / "examples" / "spark" / "merge.py", "--catalog", catalog)
    conf = {"spark.master": "local[1]", "spark.ui.enabled": "false"}
    submit(*merge, f"{exported_as_parquet.root}/", tmp_path / "tables", *STREAMS, conf=conf)
    found = {stream: rows(tmp_path / "tables", stream) for stream in STREAMS}
    assert differences(found, exported_as_parquet.tables) == []


@pytest.mark.skipif(java() < 17, reason="Spark 4 needs Java 17 or later")
def test_a_stream_without_files_is_an_empty_table(exported: Exported, tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.json"
    catalog.write_bytes(subprocess.run([*TAP, "--discover"], capture_output=True, check=True).stdout)
    root = tmp_path / "batches"
    shutil.copytree(exported.root / "teams", root / "teams")
    merge = (PROJECT / "examples" / "spark" / "merge.py", "--catalog", catalog)
    conf = {"spark.master": "local[1]", "spark.ui.enabled": "false"}
    submit(*merge, f"{root}/", tmp_path / "tables", *STREAMS, conf=conf)
    found = {stream: rows(tmp_path / "tables", stream) for stream in STREAMS}
    assert differences(found, {"tasks": {}, "messages": {}, "teams": exported.tables["teams"]}) == []


@pytest.mark.skipif(java() < 17, reason="Spark 4 needs Java 17 or later")
def test_what_was_deleted_is_in_no_table_and_what_was_undeleted_is(
    sandbox: Sandbox, catalog: dict[str, Any], tmp_path: Path
) -> None:
    streams = ("tasks", "messages", "stories", "attachments")
    selected = only(catalog, ["exports", *streams, "deletions"])
    settings = settings_for(sandbox, overlap=0, **into(tmp_path / "batches", 50))
    export_deletions(sandbox, settings, selected)

    (tmp_path / "catalog.json").write_text(json.dumps(catalog))
    merge = (PROJECT / "examples" / "spark" / "merge.py", "--catalog", tmp_path / "catalog.json")
    conf = {"spark.master": "local[1]", "spark.ui.enabled": "false"}
    submit(*merge, f"{tmp_path}/batches/asana/", tmp_path / "tables", *streams, conf=conf)
    assert {stream: sorted(rows(tmp_path / "tables", stream)) for stream in streams} == present_gids(sandbox)


def submit(*job: object, conf: dict[str, str]) -> None:
    """Run a job by spark-submit, on the loopback alone."""
    programs = prefix("pyspark==4.3.0") / "bin"
    options = [option for name, value in conf.items() for option in ("--conf", f"{name}={value}")]
    done = subprocess.run(
        [programs / "spark-submit", *options, *map(str, job)],
        capture_output=True,
        check=False,
        env=os.environ
        | {"PATH": f"{programs}:{os.environ['PATH']}", "SPARK_LOCAL_IP": "127.0.0.1", "JDK_JAVA_OPTIONS": JAVA},
    )
    assert done.returncode == 0, done.stderr.decode()[-5000:]


def rows(tables: Path, stream: str) -> Table:
    """The rows of a table by gid, their values those of JSON."""
    schema = json.loads((PROJECT / "schemas" / f"{stream}.json").read_text())
    nested = [name for name, each in schema["properties"].items() if {"array", "object"} & {*each["type"]}]
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        files = f"{tables}/{stream}/*.parquet"
        found = connection.execute("select to_json(row) from read_parquet(?) row", [files]).fetchall()
    by_gid = {}
    for (text,) in found:
        row: dict[str, Any] = json.loads(text)
        by_gid[row["gid"]] = row | {name: json.loads(row[name]) for name in nested if row[name] is not None}
    assert len(by_gid) == len(found)
    return by_gid
