"""Make DuckDB tables of the latest state out of batch files: load.sql, from Python.

Usage: python load.py BATCHES DATABASE.duckdb

BATCHES is the batch_config's root and prefix, all that stands before the name of a stream, such as /data/asana/.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

LOAD = Path(__file__).with_name("load.sql")

NOT_WHOLE = """
select workspace_gid from exports where kind = 'resource' group by all having not bool_or("full") order by all
"""
"""Workspaces of which no file tells all that there is."""


def main(batches: str, path: str) -> None:
    """Run the SQL."""
    if batches and Path(batches).is_dir():
        batches = f"{batches.rstrip('/')}/"
    is_new = not Path(path).exists()
    try:
        with duckdb.connect() as database:
            # Rows are written while others are read only in groups, and a task may take 10 kB. With DuckDB's usual
            # 122,880 rows a group 0.8 GB take 6.4 to 7.3 s, with 8,192 rows 5.0 to 5.6 s. An old file keeps its own.
            database.execute(f"attach '{path.replace(chr(39), chr(39) * 2)}' as loaded (row_group_size 8192)")
            database.execute("use loaded")
            database.execute("set variable batches = ?", [batches])
            database.execute(LOAD.read_text())
            for (workspace,) in database.execute(NOT_WHOLE).fetchall():
                print(
                    f"Workspace {workspace}: no file is of a full export, so objects that have not changed may be "
                    "missing. If the files of earlier exports are gone, begin without the tap's state.",
                    file=sys.stderr,
                )
    except (duckdb.Error, RuntimeError) as error:  # RuntimeError: Ctrl-C
        if is_new:
            Path(path).unlink(missing_ok=True)
        sys.exit(str(error))


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[2] in {"", ":memory:"}:  # noqa: PLR2004 - itself, and what the usage names
        sys.exit(__doc__)
    main(*sys.argv[1:])
