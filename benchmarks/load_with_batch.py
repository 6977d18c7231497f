"""Load an export file into DuckDB by way of batch files.

Usage: python load_with_batch.py DATABASE ROOT COMMAND…

The command is the tap's, with a `batch_config` that has this root.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb

LOAD = Path(__file__).parents[1] / "examples" / "duckdb" / "load.sql"


def main(database: str, root: str, *command: str) -> None:
    """Write the files, then make the tables."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with duckdb.connect(database) as connection:
        # Half of DuckDB's time for a table like this goes into compressing it.
        connection.execute("pragma force_compression = 'uncompressed'")
        connection.execute("set variable batches = ?", [f"{root}/"])
        connection.execute(LOAD.read_text())


if __name__ == "__main__":
    main(*sys.argv[1:])
