"""Make DuckDB tables of the latest state out of batch files: load.sql, from Python.

Usage: python load.py BATCHES DATABASE.duckdb [TAP …]

BATCHES is the batch_config's root and prefix, all that stands before the name of a stream, such as /data/asana/.
TAP … is the command that runs the tap, if it is to be run before: `tap-asana-export --config config.json`. Tasks are
read while it writes the next ones; its states are printed. If it fails, so does this, and the tables stay as they are.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from collections.abc import Sequence

LOAD = [each.query for each in duckdb.extract_statements(Path(__file__).with_name("load.sql").read_text())]
"""The statements of load.sql."""

MAKE_TABLE = "create or replace table"
MAKE_TASKS = f"{MAKE_TABLE} tasks as"
"""Begins the statement that takes most of the time."""

IS_READ = """
select list_sort([array_to_string(string_split(file, '/')[-3:], '/') for file in getvariable('files')]) = list_sort(?)
  and choosing('') = ''
"""
"""Whether the files to read are these, with no two exports of a workspace among them."""

NOT_WHOLE = """
select workspace_gid from exports where kind = 'resource' group by all having not bool_or("full") order by all
"""
"""Workspaces of which no file tells all that there is."""


def main(batches: str, path: str, *tap: str) -> None:
    """Run the tap, if there is one, and the SQL."""
    is_new = not Path(path).exists()
    try:
        with duckdb.connect() as database:
            read = run_tap(tap, database, batches, path, is_new=is_new) if tap else []
            attach(database, path, is_new=is_new)
            database.execute("set variable batches = ?", [folder(batches)])
            for statement in LOAD:
                if MAKE_TASKS in statement and read and database.execute(IS_READ, [read]).fetchall() == [(True,)]:
                    database.execute("drop table if exists tasks")
                    database.execute("alter table tasks_read rename to tasks")
                else:
                    database.execute(statement)
            database.execute("drop table if exists tasks_read")
            for (workspace,) in database.execute(NOT_WHOLE).fetchall():
                print(
                    f"Workspace {workspace}: no file is of a full export, so objects that have not changed may be "
                    "missing. If the files of earlier exports are gone, begin without the tap's state.",
                    file=sys.stderr,
                )
    except BaseException as error:
        if is_new:
            Path(path).unlink(missing_ok=True)
        if isinstance(error, (duckdb.Error, OSError, RuntimeError)):  # RuntimeError: Ctrl-C
            sys.exit(str(error))
        raise


def folder(batches: str) -> str:
    """Return BATCHES with the slash that a folder needs."""
    return f"{batches.rstrip('/')}/" if batches and Path(batches).is_dir() else batches


def attach(database: duckdb.DuckDBPyConnection, path: str, *, is_new: bool) -> None:
    """Open the file if it is not, and choose what is fastest to write."""
    # Rows are written while others are read only in groups, and a task may take 10 kB. With DuckDB's usual
    # 122,880 rows a group 0.8 GB take 6.4 to 7.3 s, with 8,192 rows 5.0 to 5.6 s. An old file keeps its own.
    # DuckDB tries several ways to compress text. zstd alone takes two thirds of the time, and 80 MB instead of 1.1 GB.
    # Only files of version 1.2 can have it, and DuckDB 1.2 itself then writes text as it is.
    version = ", storage_version 'v1.2.0'" if is_new else ""
    database.execute(
        f"attach if not exists '{path.replace(chr(39), chr(39) * 2)}' as loaded (row_group_size 8192{version})"
    )
    database.execute("use loaded")
    database.execute("set force_compression = 'zstd'")


# ── reading while the tap writes ─────────────────────────────────────────────────────────────────────────


def run_tap(
    tap: Sequence[str], database: duckdb.DuckDBPyConnection, batches: str, path: str, *, is_new: bool
) -> list[str]:
    """Run the tap, print its states, and meanwhile read the tasks of the files that it announces into tasks_read.

    Returns:
        The files that were read; none if one of them cannot be read, which load.sql will find as well.
    """
    read: list[str] = []
    can_read = True
    rest = b""
    # `--state <(tail -n 1 state.json)` is a file that the shell has opened.
    with subprocess.Popen(tap, stdout=subprocess.PIPE, close_fds=False) as process:
        # Ctrl-C goes to the tap too, which then says how far it came.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        while come := os.read(process.stdout.fileno(), 1 << 16):  # type: ignore[union-attr]  # it is a pipe
            *lines, rest = (rest + come).split(b"\n")
            urls = [url for line in lines for url in task_files(line)]
            if not urls or not can_read:
                continue
            try:
                if not read:
                    attach(database, path, is_new=is_new)
                    begin_to_read(database)
                if process.poll() is not None:
                    database.execute("reset threads")
                read += read_tasks(database, folder(batches), urls, is_first=not read)
            except duckdb.Error:
                can_read = False
    signal.signal(signal.SIGINT, before)
    if code := process.returncode:
        sys.exit(code if code > 0 else 128 - code)  # as a shell says that a signal ended it
    if not can_read:
        with contextlib.suppress(duckdb.Error):  # the transaction may not have begun
            database.execute("rollback")
    elif read:
        database.execute("commit")
    database.execute("reset threads")
    database.execute("set preserve_insertion_order = true")
    return read if can_read else []


def begin_to_read(database: duckdb.DuckDBPyConnection) -> None:
    """Prepare for what is fastest, and begin a transaction, of which nothing is left unless all of it succeeds."""
    database.execute("drop table if exists tasks_read")
    database.execute("set preserve_insertion_order = false")
    # With more threads, each of so few lines leaves a row group that is not full: half as much work again.
    database.execute("set threads = 1")
    database.execute("begin")


def task_files(line: bytes) -> list[str]:
    """Return the URLs of files of tasks that a message announces; print it if it is a state.

    Raises:
        RuntimeError: it is no message, or a record.
    """
    try:
        message = json.loads(line)
        kind, stream = message["type"], message.get("stream")
    except (ValueError, TypeError, KeyError):
        raise RuntimeError(f"This is no message of a tap: {line[:80]!r}") from None
    if kind == "RECORD":
        raise RuntimeError("There are records beside the files: set batch_config.")
    if kind == "STATE":
        print(json.dumps(message["value"]), flush=True)
    return message["manifest"] if (kind, stream) == ("BATCH", "tasks") else []


def read_tasks(database: duckdb.DuckDBPyConnection, batches: str, urls: list[str], *, is_first: bool) -> list[str]:
    """Read files of tasks into tasks_read, as load.sql reads them, and return their paths from the stream's name on."""
    database.execute("set variable batches = ?", [batches])
    for statement in takewhile(lambda each: MAKE_TABLE not in each, LOAD):
        database.execute(statement)
    files = ["/".join(url.split("/")[-3:]) for url in urls]
    database.execute("set variable files = ?", [[batches[: batches.rfind("/") + 1] + file for file in files]])
    [tasks] = [each for each in LOAD if MAKE_TASKS in each]
    database.execute(tasks.replace(MAKE_TASKS, "create table tasks_read as" if is_first else "insert into tasks_read"))
    return files


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[2] in {"", ":memory:"}:  # noqa: PLR2004 - itself, and what the usage names
        sys.exit(__doc__)
    main(*sys.argv[1:])
