"""Measure the tap against its limits and its peers, and print one table.

Usage: uv run benchmarks/run.py [--quick] [--shape SHAPE] [--share N] [--runs N]

README.md tells what is measured, and how. `--quick` measures nothing: it checks on a small export that all who
read it bring the same records. Without it that check comes first.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from competitors import (  # which makes tests.support importable
    CACHE,
    ENVIRONMENTS,
    HERE,
    UV,
    WORKSPACE,
    Competitor,
    Exports,
    bin_of,
    competitors,
    install,
    output,
)

from tests.support.postgres import serve_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.support.postgres import Postgres

QUICK_TASKS = 400
SLOW_RUNS = 3

# PYTHONUNBUFFERED changes how output is written, PYTHONDONTWRITEBYTECODE how long Python takes to start; dlt
# reports to its makers unless told not to.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
ENVIRONMENT["RUNTIME__DLTHUB_TELEMETRY"] = "false"

SAME = (
    ("tap", "tap order", "plain", "tap-jsonl", "jq"),
    ("tap deselected", "plain deselected"),
    ("tap map", "plain map"),
    ("tap flat", "plain flat"),
)
"""Who must bring the same records; the first group those of the file."""

COUNT = """
import duckdb, json, sys
with duckdb.connect(sys.argv[1], read_only=True) as database:
    count = lambda table: database.sql(f"select count(*) from main.{table}").fetchall()[0][0]
    print(json.dumps({name: count(name + "s") for name in ("message", "task", "team")}))
"""


COUNT_IN_POSTGRES = """
select json_build_object(
  'message', (select count(*) from asana.messages),
  'task', (select count(*) from asana.tasks),
  'team', (select count(*) from asana.teams)
)
"""


class Runs(NamedTuple):
    """What was measured of a competitor: seconds from start to exit, and MB of memory at the peak."""

    competitor: Competitor
    seconds: list[float]
    memory: list[float]

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        """What the table says of it."""
        text = f"{self.median:.2f} s ({min(self.seconds):.2f} to {max(self.seconds):.2f})"
        if size := self.competitor.size / 1e6:
            text += f" for {size:.0f} MB, {size / self.median:.0f} MB/s"
        return f"{text} ({self.competitor.note})" if self.competitor.note else text


def wall_time(tap: Runs, peer: Runs) -> float:
    """How many times as long as the peer the tap takes."""
    return tap.median / peer.median


def throughput(tap: Runs, peer: Runs) -> float:
    """How many times as much text as the peer the tap reads in a second."""
    return tap.competitor.size / tap.median / (peer.competitor.size / peer.median)


def memory(tap: Runs, peer: Runs) -> float:
    """How many times as much memory as the peer the tap holds at the peak."""
    return max(tap.memory) / max(peer.memory)


class Row(NamedTuple):
    """A row of the table: the tap, a peer, how they are compared, and the goals."""

    what: str
    tap: str
    peer: str
    ratio: Callable[[Runs, Runs], float]
    reach: float | None = None
    stretch: float | None = None


INTO_POSTGRES = Row(
    "into PostgreSQL, by batch files, against meltanolabs-target-postgres",
    *("batch and PostgreSQL", "target-postgres", throughput, 10),
)
PROSE = (
    Row("wall time, against `gzip -dc`", "tap", "gzip", wall_time, 1.0, 0.7),
    Row("wall time, against `igzip -dc`", "tap", "igzip", wall_time, 5, 3),
    Row("throughput, against the plain tap", "tap", "plain", throughput, 18, 25),
    Row("throughput, against the plain tap with tasks only", "tap", "plain tasks", throughput),
    Row("throughput, two properties deselected", "tap deselected", "plain", throughput, 12, 18),
    Row("throughput with all parts, against the plain tap with tasks only", "tap parts", "plain tasks", throughput, 10),
    Row("throughput into batch files, against the plain tap", "tap batch", "plain", throughput),
    Row("throughput, both with a stream map", "tap map", "plain map", throughput, 2),
    Row("throughput, both with flattening", "tap flat", "plain flat", throughput, 2),
    Row("peak memory, against a tenth of the file", "tap", "tap tenth", memory, 1.1),
    Row("start-up, `--version`", "tap --version", "plain --version", wall_time, 1.2),
    Row("start-up, `--discover`", "tap --discover", "plain --discover", wall_time, 1.2),
    Row("throughput, against tap-jsonl", "tap", "tap-jsonl", throughput),
    Row("throughput, against `jq -c .`", "tap", "jq", throughput),
    Row("into DuckDB, by target-duckdb, against dlt", "target-duckdb", "dlt", throughput),
    Row("into DuckDB, by batch files, against target-duckdb", "batch and DuckDB", "target-duckdb", throughput, 10),
    Row("into DuckDB, by batch files, against dlt", "batch and DuckDB", "dlt", throughput, 20),
    INTO_POSTGRES,
)
DENSE = (
    Row("wall time, against `gzip -dc`", "tap", "gzip", wall_time, 0.75),
    Row("wall time, against `igzip -dc`", "tap", "igzip", wall_time, 4),
    Row("wall time, a real task's order of properties against the documented one", "tap order", "tap", wall_time, 1.05),
    Row("wall time into JSON Lines files, against `gzip -dc`", "tap lines", "gzip", wall_time, 0.9),
    Row("wall time into gzipped JSON Lines files, against `gzip -dc`", "tap batch", "gzip", wall_time, 1.25),
    Row("wall time into Parquet files, against `gzip -dc`", "tap parquet", "gzip", wall_time, 1.4),
    Row("throughput, two properties deselected", "tap deselected", "plain", throughput),
    Row("throughput with all parts, against the plain tap with tasks only", "tap parts", "plain tasks", throughput),
    Row("throughput, both with a stream map", "tap map", "plain map", throughput),
    Row("throughput, both with flattening", "tap flat", "plain flat", throughput),
    Row("wall time of a graph that is one JSON document, against `gzip -dc`", "tap graph", "gzip", wall_time),
    Row("peak memory, against a tenth of the file", "tap", "tap tenth", memory, 1.1),
    Row("peak memory, of ten times the file", "tap ten", "tap", memory, 1.1),
    Row("peak memory, of twenty tasks of up to 25 MB", "tap long", "tap", memory),
    Row("peak memory into Parquet files, against records", "tap parquet", "tap", memory),
    Row("into DuckDB, by batch files, against dlt", "batch and DuckDB", "dlt", throughput, 35),
    Row("into DuckDB, by batch files, against `gzip -dc`", "batch and DuckDB", "gzip", wall_time, 1.6),
    INTO_POSTGRES,
)


class Table(NamedTuple):
    """A table: how many tasks make 1 GB, and its rows."""

    tasks: int
    rows: tuple[Row, ...]


TABLES = {"prose": Table(110_000, PROSE), "dense": Table(161_000, DENSE), "wide": Table(36_000, DENSE)}
"""The tables, by the sandbox's shape of tasks."""


def main() -> None:
    """Check, and unless that is all, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only check that all bring the same records")
    parser.add_argument("--shape", choices=TABLES, action="append", help="what tasks are made of (default: all)")
    parser.add_argument("--share", type=float, default=1, help="size of the export in GB")
    parser.add_argument("--runs", type=int, default=5, help=f"runs of each, but {SLOW_RUNS} at most of the slow")
    arguments = parser.parse_args()
    CACHE.mkdir(exist_ok=True)
    install()
    with serving() as url, serve_postgres(CACHE / "postgres") as postgres:
        for shape in arguments.shape or TABLES:
            small = make_exports(shape, QUICK_TASKS)
            check(competitors(url, postgres, small, small), postgres, small.whole.with_suffix(""))
            if not arguments.quick:
                tasks, rows = TABLES[shape]
                whole = make_exports(shape, int(tasks * arguments.share), others=rows is DENSE)
                tenth = make_exports(shape, int(tasks * arguments.share / 10))
                results = measure(competitors(url, postgres, whole, tenth), postgres, rows, arguments.runs)
                print("", f"### {shape}", "", *table(results, rows), "", *circumstances(whole.whole), sep="\n")


def make_exports(shape: str, tasks: int, *, others: bool = False) -> Exports:
    """Export files of the sandbox, gzipped, with their text beside them, and perhaps what is made of the first.

    They are made in a process of its own: what this one ever held would count as its children's peak memory.
    """
    files = [CACHE / f"{shape}-{order}-{tasks}.jsonl.gz" for order in ("documented", "real")]
    for order, file in zip(("documented", "real"), files, strict=True):
        command = [sys.executable, f"{HERE}/make_export.py", WORKSPACE, str(tasks), shape, order, str(file)]
        subprocess.run(command + ["others"] * (others and order == "documented"), check=True)
    return Exports(*files)


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """URL of a server of the cache."""
    command = [sys.executable, f"{HERE}/server.py", f"{CACHE}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server.stdout.readline().strip() if server.stdout else ""
        finally:
            server.terminate()


def run(competitor: Competitor, postgres: Postgres, stdout: Any = subprocess.DEVNULL) -> tuple[float, float]:
    """Run a pipeline; returns seconds until all of it has ended, and the first program's peak memory in MB."""
    postgres.query("drop schema if exists asana cascade")
    for old in CACHE.glob("*.duckdb*"):
        old.unlink()
    shutil.rmtree(CACHE / "batches", ignore_errors=True)
    os.sync()  # else this one shares its processors with the writing of what the one before has left
    programs: list[subprocess.Popen[bytes]] = []
    with (CACHE / "stderr").open("w+b") as stderr:
        start = time.perf_counter()
        for argv in competitor.pipeline:
            source: Any = programs[-1].stdout if programs else subprocess.DEVNULL
            sink = stdout if argv is competitor.pipeline[-1] else subprocess.PIPE
            programs.append(
                subprocess.Popen(argv, stdin=source, stdout=sink, stderr=stderr, env=ENVIRONMENT, cwd=CACHE)
            )
            if len(programs) > 1:
                source.close()
        ends = [os.wait4(program.pid, 0) for program in programs]
        seconds = time.perf_counter() - start
        for program, (_, status, _) in zip(programs, ends, strict=True):
            program.returncode = os.waitstatus_to_exitcode(status)
        if any(program.returncode for program in programs):
            stderr.seek(0)
            raise SystemExit(f"{competitor.pipeline} failed:\n{stderr.read().decode()[-2000:]}")
    # Linux counts kilobytes, macOS bytes.
    return seconds, ends[0][2].ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


# ── the check ──────────────────────────────────────────────────────────────────────────────────────────────────────


def check(entries: dict[str, Competitor], postgres: Postgres, text: Path) -> None:
    """Fail unless all bring the same records of a file, and databases as many rows."""
    in_file = digest(text)
    for group in SAME:
        expected = in_file if group is SAME[0] else None
        for name in group:
            if entries[name].missing:
                print(f"{name}: not checked, {entries[name].missing} is missing")
                continue
            with (CACHE / "records").open("wb") as stdout:
                run(entries[name], postgres, stdout)
            # Of an object that is null the SDK leaves a property that its flattened SCHEMA lacks, the tap the columns.
            found = digest(CACHE / "records", nulls=not name.endswith("flat"))
            compare(name, found, expected or found)
            expected = found
    numbers = {kind: number for kind, number in in_file.items() if kind != "checksum"}
    for name, environment in {
        "target-duckdb": "target-duckdb",
        "dlt": "dlt",
        "batch and DuckDB": "target-duckdb",
    }.items():
        run(entries[name], postgres)
        rows = json.loads(output(bin_of(environment), "-c", COUNT, f"{CACHE}/{name}.duckdb"))
        compare(name, rows, numbers)
    for name in ("target-postgres", "batch and PostgreSQL"):
        run(entries[name], postgres)
        [rows] = postgres.query(COUNT_IN_POSTGRES)
        compare(name, rows, numbers)


def compare(name: str, found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Print what one brings, and fail unless it is what it should be."""
    print(f"{name}: {found}")
    if found != expected:
        raise SystemExit(f"{name} should bring {expected}")


def digest(file: Path, *, nulls: bool = True) -> dict[str, Any]:
    """Number of records by `resource_type`, and a checksum of them, perhaps without nulls, the same in any order."""
    counts: Counter[str] = Counter()
    checksum = 0
    with file.open("rb") as lines:
        for line in lines:
            if record := record_of(line):
                counts[record["resource_type"]] += 1
                kept = record if nulls else {name: each for name, each in record.items() if each is not None}
                canonical = json.dumps(kept, sort_keys=True).encode()
                checksum += int.from_bytes(hashlib.sha256(canonical).digest(), "big")
    return {**counts, "checksum": f"{checksum % 2**256:064x}"}


def record_of(line: bytes) -> dict[str, Any] | None:
    """The object in a line of an export or in a RECORD, in one notation; None in another message.

    Who does not know of workspaces cannot add `workspace_gid`; tap-jsonl adds properties; 42.0 may have become
    42; flattening makes text of arrays.
    """
    message = json.loads(line, parse_float=integral)
    record: dict[str, Any] = message.get("record", message)
    if "resource_type" not in record:
        return None
    for name, value in record.items():
        if isinstance(value, str) and value.startswith("["):
            with contextlib.suppress(ValueError):
                record[name] = json.loads(value, parse_float=integral)
    return {"workspace_gid": WORKSPACE} | {name: record[name] for name in record if not name.startswith("_sdc_")}


def integral(text: str) -> float:
    """A number, as an integer where it is one."""
    value = float(text)
    return int(value) if value.is_integer() else value


# ── the measurement ────────────────────────────────────────────────────────────────────────────────────────────────


def measure(entries: dict[str, Competitor], postgres: Postgres, rows: Iterable[Row], rounds: int) -> dict[str, Runs]:
    """Run all that the table names, in rounds, so that a busy minute of the machine hits all alike."""
    named = {name for row in rows for name in (row.tap, row.peer)}
    results = {name: Runs(entry, [], []) for name, entry in entries.items() if name in named}
    whole = entries["tap"].size
    for number in range(rounds):
        for name, (entry, seconds, peaks) in results.items():
            if entry.missing or (number >= SLOW_RUNS and 0 < entry.size < whole) or (number and entry.size > whole):
                continue
            taken, peak = run(entry, postgres)
            print(f"round {number + 1}: {name}: {taken:.2f} s, {peak:.0f} MB", file=sys.stderr)
            seconds.append(taken)
            peaks.append(peak)
    return results


def table(results: dict[str, Runs], rows: Iterable[Row]) -> Iterator[str]:
    """The table in Markdown."""
    yield "| what | tap | other | ratio | reach | stretch | met |"
    yield "|---|---|---|---|---|---|---|"
    peak = max(results["tap"].memory)
    yield cells("peak memory", f"{peak:.0f} MB", "", "", goals(peak, 120, 90, "≤"))
    for what, *names, ratio, reach, stretch in rows:
        tap, other = (results[name] for name in names)
        sign = "≥" if ratio is throughput else "≤"
        if missing := other.competitor.missing:
            yield cells(what, tap, f"{missing} is missing", "", goals(None, reach, stretch, sign))
        else:
            value = ratio(tap, other)
            shown = [f"{max(runs.memory):.0f} MB" if ratio is memory else runs for runs in (tap, other)]
            yield cells(what, *shown, f"{value:.2f} x", goals(value, reach, stretch, sign))


def goals(value: float | None, reach: float | None, stretch: float | None, sign: str) -> str:
    """The last three cells: both goals, and which of them the value meets."""
    met = "" if value is None or reach is None else "no"
    for name, goal in (("reach", reach), ("stretch", stretch)):
        if value is not None and goal is not None and (value >= goal if sign == "≥" else value <= goal):
            met = name
    return " | ".join([*(f"{sign} {goal:g}" if goal else "" for goal in (reach, stretch)), met])


def cells(*contents: object) -> str:
    """A row in Markdown."""
    return f"| {' | '.join(map(str, contents))} |"


def circumstances(whole: Path) -> Iterator[str]:
    """The export, the machine and the versions."""
    text, gzipped = (file.stat().st_size / 1e6 for file in (whole.with_suffix(""), whole))
    yield f"- {datetime.now(timezone.utc):%Y-%m-%d}; {text:.0f} MB of text, {gzipped:.0f} MB gzipped"
    yield f"- {processor()}, {os.cpu_count()} cores, {platform.platform()}, load {os.getloadavg()[2]:.1f}"
    ours = ("tap-asana-export", "singer-sdk", "msgspec", "isal")
    yield f"- Python {platform.python_version()}, {', '.join(f'{name} {version(name)}' for name in ours)}"
    for name, requirements in ENVIRONMENTS.items():
        wanted = {re.split(r"\W?[=\[]", requirement)[0] for requirement in requirements}
        lines = output(*UV, "pip", "freeze", "--python", f"{CACHE}/{name}").splitlines()
        yield f"- {name}: {', '.join(line for line in lines if line.partition('==')[0] in wanted)}"
    tools = [tool for tool in ("gzip", "igzip", "jq") if shutil.which(tool)]
    yield f"- {', '.join(output(tool, '--version').splitlines()[0] for tool in tools)}"


def processor() -> str:
    """Its name; Python knows little of it on Linux."""
    file = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)", file.read_text(), re.MULTILINE) if file.exists() else None
    return found[1] if found else platform.processor()


if __name__ == "__main__":
    main()
