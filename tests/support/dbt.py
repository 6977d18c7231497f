"""dbt with the models of dbt/: build them out of what a target has loaded, and read and compare their tables."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from tests.support.consumers import PROJECT, plain
from tests.support.targets import prefix

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.answers import Row
    from tests.support.postgres import Postgres

DBT = ("dbt-core~=1.11.0", "dbt-duckdb~=1.11.0", "dbt-postgres~=1.11.0")

# In the environment of dbt, whose DuckDB is a newer one.
READ = """
import sys, duckdb
with duckdb.connect(sys.argv[1], read_only=True) as database:
    for (text,) in database.sql(sys.argv[2]).fetchall():
        print(text)
"""


@dataclass(frozen=True)
class Warehouse:
    """Where the tables of a target are, and where the models go.

    Attributes:
        folder: for what dbt writes besides.
        target: of the profile.
        environment: variables for the profile.
        variables: of dbt.
        server: PostgreSQL, if the models go there.
    """

    folder: Path
    target: str
    environment: Mapping[str, str]
    variables: Mapping[str, str]
    server: Postgres | None = field(default=None)

    def dbt(self, *arguments: str, code: int = 0) -> str:
        """Run dbt; what it says."""
        done = subprocess.run(
            [
                *(prefix(*DBT) / "bin" / "dbt", "--no-use-colors", "--no-send-anonymous-usage-stats"),
                *arguments,
                *("--project-dir", str(PROJECT / "dbt"), "--profiles-dir", str(PROJECT / "dbt")),
                *("--target", self.target, "--vars", json.dumps(self.variables)),
                *("--target-path", str(self.folder / "target"), "--log-path", str(self.folder / "logs")),
            ],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def build(self) -> None:
        """Build all models and run all tests, all of which end well."""
        said = self.dbt("build")
        assert re.search(r"Done\. PASS=(\d+) WARN=0 ERROR=0 SKIP=0 NO-OP=0 TOTAL=\1$", said, re.MULTILINE), said

    def rows(self, table: str, schema: str | None = None) -> list[Row]:
        """The rows of a model."""
        if self.server:
            schema = schema or self.environment["ASANA_POSTGRES_SCHEMA"]
            return self.server.query(f'select to_jsonb(row) from "{schema}"."{table}" as row')  # noqa: S608 - own names
        return self.read(f'select to_json(row) from "{schema or "main"}"."{table}" as row')  # noqa: S608 - own names

    def columns(self, table: str) -> list[str]:
        """The columns of a model in DuckDB, in their order."""
        return self.read(
            f"select to_json(column_name) from information_schema.columns where table_name = '{table}' "  # noqa: S608
            "and table_schema = 'main' order by ordinal_position"
        )

    def read(self, query: str) -> list[Any]:
        """The rows of a query that makes JSON, out of DuckDB."""
        python = prefix(*DBT) / "bin" / "python"
        done = subprocess.run(
            [python, "-c", READ, self.environment["ASANA_MODELS"], query], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.split("\n") if line]


def in_duckdb(folder: Path, tables: Path) -> Warehouse:
    """Models in a DuckDB file of their own, out of another one."""
    environment = {"ASANA_TABLES": str(tables), "ASANA_MODELS": str(folder / "models.duckdb")}
    return Warehouse(folder, "duckdb", environment, {"asana_export_database": "tap", "asana_export_schema": "main"})


def in_postgres(folder: Path, server: Postgres) -> Warehouse:
    """Models in schemas of their own, out of the schema that target_postgres fills."""
    schema = f"models_{folder.name}"
    environment = {"ASANA_POSTGRES_HOST": str(server.socket), "ASANA_POSTGRES_SCHEMA": schema}
    variables = {"asana_export_schema": folder.name, "asana_fivetran_schema": f"{schema}_fivetran"}
    return Warehouse(folder, "postgres", environment, variables, server)


def comparable(value: Any) -> Any:
    """A value in one notation, whatever a database makes of it: times with microseconds, numbers of six decimals."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float | int) and not isinstance(value, bool):
        return round(float(value), 6)
    if isinstance(value, dict):
        return {name: comparable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [comparable(each) for each in value] or None  # target-duckdb takes what is empty for none
    return plain(value) or None if isinstance(value, str) else plain(value)


def by(key: str | tuple[str, ...], rows: list[Row]) -> dict[Any, Row]:
    """The rows by their key, each of which comes once."""
    names = (key,) if isinstance(key, str) else key
    found = {tuple(row[name] for name in names): comparable(row) for row in rows}
    assert len(found) == len(rows), f"rows with the same {key}"
    return found


def differences(found: list[Row], wanted: list[Row], key: str | tuple[str, ...]) -> list[str]:
    """Where rows are not what is wanted: too few, too many, and every other value."""
    rows, objects = by(key, found), by(key, wanted)
    told = [f"{each}: is not there" for each in objects.keys() - rows.keys()]
    told += [f"{each}: should not be there" for each in rows.keys() - objects.keys()]
    for each in objects.keys() & rows.keys():
        for name in objects[each].keys() | rows[each].keys():
            row, value = rows[each].get(name), objects[each].get(name)
            if row != value:
                told.append(f"{each}: {name} is {row!r:.200}, not {value!r:.200}")
    return sorted(told)
