"""Make DuckDB tables of the latest state out of batch files: load.sql, from Python.

Usage: python load.py BATCHES DATABASE.duckdb

BATCHES is the batch_config's root and prefix, all that stands before the name of a stream, such as /data/asana/.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

LOAD = Path(__file__).with_name("load.sql")


def main(batches: str, path: str) -> None:
    """Run the SQL."""
    with duckdb.connect() as database:
        # Rows are written while others are read only in groups, and a task may take 10 kB. With DuckDB's usual 122,880
        # rows a group 0.8 GB take 6.4 to 7.3 s, with 8,192 rows 5.0 to 5.6 s. A file that exists keeps what it has.
        database.execute(f"attach '{path.replace(chr(39), chr(39) * 2)}' as asana (row_group_size 8192)")
        database.execute("use asana")
        database.execute("set variable batches = ?", [batches])
        try:
            database.execute(LOAD.read_text())
        except duckdb.Error as error:
            sys.exit(str(error))


if __name__ == "__main__":
    if len(sys.argv) != 3:  # noqa: PLR2004 - itself, and what the usage names
        sys.exit(__doc__)
    main(*sys.argv[1:])
