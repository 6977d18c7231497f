"""Make DuckDB tables of the latest state out of batch files: load.sql, from Python.

Usage: python load.py BATCHES DATABASE.duckdb [TAP …]

BATCHES is the batch_config's root and prefix, all that stands before the name of a stream, such as /data/asana/.
TAP … is the command that runs the tap, if it is to be run before: `tap-asana-export --config config.json`. Tasks are
read while it writes the next ones; its states are printed. Whatever fails, the tables stay as they are.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LOAD = [each.query for each in duckdb.extract_statements(Path(__file__).with_name("load.sql").read_text())]
"""The statements of load.sql."""

TABLES = [name for each in LOAD for name in re.findall(r"create or replace table (\w+)", each)]
"""The tables that it makes."""

MAKE_TASKS = "create or replace table tasks as"

BATCH_FILES = ";".join(each for each in LOAD if "temp macro literally" in each or "temp macro batch_files" in each)
"""Those that make the macro batch_files."""
[TASKS] = [each for each in LOAD if MAKE_TASKS in each]
"""The statement that takes most of the time."""
[SIZE] = [each for each in LOAD if "set variable object_size" in each]
"""The one that sets the size of DuckDB's buffers, by the files in the variable files."""
MACROS = LOAD[: next(number for number, each in enumerate(LOAD) if "create or replace table" in each)]
"""What comes before the first table."""

NAME = "array_to_string(string_split(file, '/')[-3:], '/')"
"""A file's path from the stream's name on."""

IS_READ = f"""
select list_sort([{NAME} for file in getvariable('files')]) = list_sort(?) and choosing('') = ''
"""
"""Whether the files to read are these, with no two exports of a workspace among them."""

MISSING = f"""
select name from unnest(?) as _(name) where name not in (select {NAME} from batch_files('*')) limit 1
"""  # noqa: S608 - its own text
"""A file that is not below BATCHES."""

NOT_WHOLE = """
select workspace_gid from exports where kind = 'resource' group by all having not bool_or("full") order by all
"""
"""Workspaces of which no file tells all that there is."""


def main(batches: str, path: str, *tap: str) -> None:
    """Run the tap, if there is one, and the SQL."""
    try:
        with contextlib.ExitStack() as on_error, duckdb.connect() as database:
            read = read_ahead(database, batches, path, tap, on_error) if tap else []
            if not read:
                begin(database, path, on_error)
            database.execute("set variable batches = ?", [folder(batches)])
            for statement in LOAD:
                if statement == TASKS and read and database.execute(IS_READ, [read]).fetchall() == [(True,)]:
                    database.execute("drop table if exists tasks")
                    database.execute("alter table tasks_read rename to tasks")
                else:
                    database.execute(statement)
            database.execute("drop table if exists tasks_read")
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever is interrupted could not say which tables there are
            database.execute("commit")
            on_error.pop_all()
            print(f"{path}: {', '.join(rows(database)) or 'no rows'}", file=sys.stderr)
            for (workspace,) in database.execute(NOT_WHOLE).fetchall():
                print(
                    f"Workspace {workspace}: no file is of a full export, so objects that have not changed may be "
                    "missing. If the files of earlier exports are gone, begin without the tap's state.",
                    file=sys.stderr,
                )
    except (duckdb.Error, OSError, RuntimeError, KeyboardInterrupt) as error:  # Ctrl-C within DuckDB is a RuntimeError
        sys.exit(f"{str(error) or 'Interrupted.'}\nThe tables are as they were.")


def rows(database: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """Yield how many rows each table has that is not empty: `tasks 5,000`."""
    for table in TABLES:
        [(count,)] = database.execute(f"select count(*) from {table}").fetchall()  # noqa: S608 - load.sql's own names
        if count:
            yield f"{table} {count:,}"


def folder(batches: str) -> str:
    """Return BATCHES with the slash that a folder needs."""
    return f"{batches.rstrip('/')}/" if batches and Path(batches).is_dir() else batches


def begin(database: duckdb.DuckDBPyConnection, path: str, on_error: contextlib.ExitStack) -> None:
    """Open the file, choose what is fastest to write, and begin the transaction that all is done in.

    Args:
        database: a connection, to which the file is attached unless it is already.
        path: of the file.
        on_error: is told to remove the file if it is new.
    """
    # Rows are written while others are read only in groups, and a task may take 10 kB. With DuckDB's usual
    # 122,880 rows a group 0.8 GB take 6.4 to 7.3 s, with 8,192 rows 5.0 to 5.6 s. An old file keeps its own.
    options = "row_group_size 8192"
    is_new = not Path(path).exists()
    if is_new:
        # DuckDB tries several ways to compress text. zstd alone takes two thirds of the time, and 80 MB instead of
        # 1.1 GB. Only files of version 1.2 can have it, and DuckDB 1.2 itself then writes text as it is.
        options += ", storage_version 'v1.2.0'"
    database.execute(f"attach if not exists '{path.replace(chr(39), chr(39) * 2)}' as loaded ({options})")
    if is_new:
        for each in (path, f"{path}.wal"):
            on_error.callback(Path(each).unlink, missing_ok=True)
    database.execute("use loaded")
    database.execute("set force_compression = 'zstd'")
    database.execute("begin")


# ── reading while the tap writes ─────────────────────────────────────────────────────────────────────────


def read_ahead(
    database: duckdb.DuckDBPyConnection,
    batches: str,
    path: str,
    tap: Sequence[str],
    on_error: contextlib.ExitStack,
) -> list[str]:
    """Run the tap, and meanwhile read the tasks in its files into the table tasks_read.

    Returns:
        The files that were read, in a transaction that goes on. If one of them cannot be read, or there are none: an
        empty list, and no transaction; load.sql then reads all, and tells what is wrong.

    Raises:
        RuntimeError: a file is not below BATCHES, or as `run_tap` says.
    """
    # What is wrong with the database is known before the export is asked for.
    if Path(path).exists():
        duckdb.connect(path).close()
    elif not os.access(Path(path).absolute().parent, os.W_OK):
        raise RuntimeError(f"No file can be made in {Path(path).absolute().parent}.")
    found: list[str] = []
    read: list[str] = []
    can_read = True
    for files, is_last in run_tap(tap):
        found += [file for _, file in files]
        tasks = [file for stream, file in files if stream == "tasks"]
        if not tasks or not can_read:
            continue
        try:
            if not read:
                begin(database, path, on_error)
                database.execute("set preserve_insertion_order = false")
                # With more threads each file leaves row groups that are not full: half as much work again.
                database.execute("set threads = 1")
            if is_last:
                database.execute("reset threads")
            read_tasks(database, folder(batches), tasks, is_first=not read)
            read += tasks
        except duckdb.Error:
            can_read = False
    if not can_read:
        read = []
        with contextlib.suppress(duckdb.Error):  # it may not have begun
            database.execute("rollback")
    database.execute("reset threads")
    database.execute("set preserve_insertion_order = true")
    database.execute("set variable batches = ?", [folder(batches)])
    database.execute(BATCH_FILES)
    if found and (missing := database.execute(MISSING, [found]).fetchone()):
        raise RuntimeError(
            f"The tap has written {missing[0]}, but not below {batches!r}: give the root and prefix of batch_config."
        )
    return read


def read_tasks(database: duckdb.DuckDBPyConnection, batches: str, files: list[str], *, is_first: bool) -> None:
    """Read files into tasks_read, as load.sql reads them."""
    if is_first:
        database.execute("set variable batches = ?", [batches])
        for statement in MACROS:
            database.execute(statement)
    paths = [batches[: batches.rfind("/") + 1] + file for file in files]
    database.execute("set variable files = (select list(literally(path)) from unnest(?) as _(path))", [paths])
    database.execute(SIZE)
    database.execute(TASKS.replace(MAKE_TASKS, "create table tasks_read as" if is_first else "insert into tasks_read"))


def run_tap(tap: Sequence[str]) -> Iterator[tuple[list[tuple[str, str]], bool]]:
    """Run the tap, print its states, and yield the files that it announces, each with its stream.

    Beside the files stands whether the tap has ended.

    Raises:
        RuntimeError: what it writes is no message, or a record.
        SystemExit: it fails; with its exit code.
    """
    # Ctrl-C goes to the tap too, which then says how far it came; so does SIGTERM, by this.
    before = {each: signal.signal(each, lambda *_: None) for each in (signal.SIGINT, signal.SIGTERM)}
    # `--state <(tail -n 1 state.json)` is a file that the shell has opened.
    with subprocess.Popen(tap, stdout=subprocess.PIPE, close_fds=False) as process:
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        for lines in arriving(process.stdout.fileno()):  # type: ignore[union-attr]  # it is a pipe
            yield [file for line in lines for file in announced(line)], process.poll() is not None
    for each, handler in before.items():
        signal.signal(each, handler)
    if code := process.returncode:
        sys.exit(code if code > 0 else 128 - code)  # as a shell says that a signal ended it


def arriving(pipe: int) -> Iterator[list[bytes]]:
    """Yield the lines that have come since the last time, of which there may be none."""
    begun: list[bytes] = []
    while come := os.read(pipe, 1 << 16):
        *lines, rest = come.split(b"\n")
        if lines:
            lines[0] = b"".join((*begun, lines[0]))
            begun = []
        begun.append(rest)
        yield lines
    yield [line for line in (b"".join(begun),) if line]


def announced(line: bytes) -> list[tuple[str, str]]:
    """Return the files that a message announces, from the stream's name on, with their stream; print a state.

    Raises:
        RuntimeError: it is no message, or a record.
    """
    try:
        message = json.loads(line)
        if message["type"] == "RECORD":
            raise RuntimeError("There are records beside the files: set batch_config.")
        if message["type"] == "STATE":
            print(json.dumps(message["value"]), flush=True)
        if message["type"] != "BATCH":
            return []
        return [(message["stream"], "/".join(url.split("/")[-3:])) for url in message["manifest"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise RuntimeError(f"This is no message of a tap: {line[:80]!r}") from None


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[2] in {"", ":memory:"}:  # noqa: PLR2004 - itself, and what the usage names
        sys.exit(__doc__)
    main(*sys.argv[1:])
