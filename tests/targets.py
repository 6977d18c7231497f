"""Real targets, each with the database that it writes to, and how that is compared with the organization."""

from __future__ import annotations

import functools
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.conftest import UVX, expected

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_asana_export.sandbox import Sandbox

STREAMS = ("tasks", "messages", "teams")

# With duckdb >= 1.3 this target loses the first row of every flush.
DUCKDB = ("target-duckdb==0.8.0", "duckdb==1.2.2")
POSTGRES = ("meltanolabs-target-postgres==0.8.1",)


@dataclass(frozen=True)
class Target:
    """A target and the tables that it fills.

    Attributes:
        command: the target's command line, ready for messages.
        rows: reads a table's rows; its values are those of JSON, and times are as Asana writes them.
        stored: what the target makes of a value.
    """

    command: list[str]
    rows: Callable[[str], list[dict[str, Any]]]
    stored: Callable[[Any], Any] = lambda value: value

    def table(self, stream: str) -> dict[str, dict[str, Any]]:
        """The rows of a table by gid."""
        rows = self.rows(stream)
        by_gid = {row["gid"]: row for row in rows}
        assert len(by_gid) == len(rows), f"{stream}: rows with the same gid"
        return by_gid

    def differences(self, stream: str, wanted: dict[str, dict[str, Any]]) -> list[str]:
        """Where a table is not what is wanted by gid: rows too few or too many, and every other value.

        What is absent is NULL in a table.
        """
        rows = self.table(stream)
        found = [f"{stream} {gid}: is not there" for gid in wanted.keys() - rows.keys()]
        found += [f"{stream} {gid}: should not be there" for gid in rows.keys() - wanted.keys()]
        for gid in wanted.keys() & rows.keys():
            for name in wanted[gid].keys() | rows[gid].keys():
                stored, value = self.stored(wanted[gid].get(name)), rows[gid].get(name)
                if stored != value:
                    found.append(f"{stream} {gid}: {name} is {value!r:.200}, not {stored!r:.200}")
        return sorted(found)


def differences(target: Target, sandbox: Sandbox) -> list[str]:
    """Where the target's tables are not what the organization is now."""
    return [found for stream in STREAMS for found in target.differences(stream, expected(sandbox, stream))]


@functools.cache
def prefix(*requirements: str) -> Path:
    """Where uv installs these requirements: in an environment of their own, kept in its cache.

    What is started from there has no uv above it, which would take a signal in its stead.
    """
    first, *others = requirements
    options = [option for each in others for option in ("--with", each)]
    python = [*UVX, "--from", first, *options, "python", "-c", "import sys; print(sys.prefix)"]
    return Path(subprocess.run(python, capture_output=True, check=True, text=True).stdout.strip())


def target_duckdb(folder: Path, **settings: Any) -> Target:
    """target-duckdb with a database in a folder."""
    import duckdb  # noqa: PLC0415 - has no wheel for every Python

    database = folder / "asana.duckdb"
    config = folder / "target.json"
    config.write_text(json.dumps({"path": str(database), "default_target_schema": "main", **settings}))
    read: dict[str, Callable[[Any], Any]] = {
        "JSON": json.loads,
        "TIMESTAMP": lambda at: f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z",
    }

    def rows(stream: str) -> list[dict[str, Any]]:
        with duckdb.connect(str(database), read_only=True) as connection:
            result = connection.sql(f"select * from {stream}")  # noqa: S608 - the test's own names
            types = dict(zip(result.columns, map(str, result.types), strict=True))
            return [
                {
                    name: read[types[name]](value) if value is not None and types[name] in read else value
                    for name, value in zip(result.columns, row, strict=True)
                }
                for row in result.fetchall()
            ]

    # The target takes an empty text for none.
    return Target(
        [str(prefix(*DUCKDB) / "bin" / "target-duckdb"), "--config", str(config)],
        rows,
        lambda value: None if value == "" else value,
    )


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server.

    Attributes:
        programs: the folder with psql.
        socket: the folder with the server's socket, the only way to it.
    """

    programs: Path
    socket: Path

    def query(self, sql: str) -> list[Any]:
        """The rows of a query that makes JSON, or nothing."""
        psql: list[Any] = [self.programs / "psql", "-h", self.socket, "-U", "postgres", "-XAtqc", sql]
        done = subprocess.run(psql, capture_output=True, check=False, text=True)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.split("\n") if line]


def target_postgres(server: Postgres, folder: Path, **settings: Any) -> Target:
    """meltanolabs-target-postgres with a schema of the folder's name."""
    schema = folder.name
    config = folder / "target.json"
    url = f"postgresql+psycopg://postgres@/postgres?host={server.socket}"
    config.write_text(json.dumps({"sqlalchemy_url": url, "default_target_schema": schema, **settings}))

    def rows(stream: str) -> list[dict[str, Any]]:
        where = f"table_schema = '{schema}' and table_name = '{stream}'"
        times = server.query(
            f"select to_json(column_name) from information_schema.columns where {where} and data_type ~ '^timestamp'"  # noqa: S608
        )
        as_asana_writes = ", ".join(
            f"""'{time}', to_char("{time}", 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')""" for time in times
        )
        found = server.query(
            f'select to_jsonb(row) || jsonb_build_object({as_asana_writes}) from "{schema}"."{stream}" row'  # noqa: S608
        )
        return [{name: value for name, value in row.items() if not name.startswith("_sdc_")} for row in found]

    return Target([str(prefix(*POSTGRES) / "bin" / "target-postgres"), "--config", str(config)], rows)
