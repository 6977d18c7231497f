"""Make DuckDB tables of the latest state out of batch files.

Usage: python load.py FOLDER FILE.duckdb
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

LOAD = Path(__file__).parents[1] / "examples" / "duckdb" / "load.sql"


def main(folder: str, path: str) -> None:
    """Run the example's SQL."""
    with duckdb.connect(path) as database:
        database.execute("set variable batches = ?", [f"{folder}/"])
        database.execute(LOAD.read_text())


if __name__ == "__main__":
    main(*sys.argv[1:])
