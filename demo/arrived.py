"""Show what a DuckDB file holds: its tables that are not empty, their rows, and the newest `modified_at`.

Usage: python arrived.py FILE.duckdb
"""

from __future__ import annotations

import os
import sys

import duckdb


def main(path: str) -> None:
    """Print one line per table."""
    with duckdb.connect(path, read_only=True) as database:
        tables = database.sql(
            "select table_name, bool_or(column_name = 'modified_at') "
            "from information_schema.columns where table_schema = 'main' group by all order by all"
        ).fetchall()
        rows = [("table", "rows", "newest modified_at")]
        for table, has_modified_at in tables:
            newest = "max(modified_at)" if has_modified_at else "null"
            count, at = database.sql(f'select count(*), {newest} from "{table}"').fetchall()[0]  # noqa: S608
            if count:
                rows.append((table, f"{count:,}", "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"))
    for table, count, at in rows:
        print(f"{table:<12} {count:>9}   {at}".rstrip())
    missed = next((count for table, count, _ in rows if table == "missed_deletions"), None)
    if missed:
        print(f"{missed} {'deletion' if missed == '1' else 'deletions'} that no event told of")
    question = '"select name, due_on from tasks limit 5"'
    print(f"To ask what you like: uvx --from duckdb-cli duckdb {os.path.relpath(path)} {question}")


if __name__ == "__main__":
    main(*sys.argv[1:])
