"""Real targets, each with the database that it writes to, and how that is compared with the organization."""

from __future__ import annotations

import dataclasses
import functools
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap_asana_export.sandbox import Sandbox
from tests.support.organizations import expected
from tests.support.tap import UVX, WORKSPACE, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_asana_export.sandbox import Sandbox
    from tests.support.clock import Clock
    from tests.support.postgres import Postgres


def feed(tap: list[str], target: Target) -> tuple[int, str, dict[str, Any]]:
    """Pipe the tap into the target: the tap's exit code and log, and the state that the target confirmed last."""
    source = subprocess.Popen(tap, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    done = subprocess.run(target.command, stdin=source.stdout, capture_output=True, check=False)
    assert source.stdout is not None
    source.stdout.close()
    _, log = source.communicate()
    assert done.returncode == 0, done.stderr.decode()
    state: dict[str, Any] = json.loads(done.stdout.strip().split(b"\n")[-1])
    return source.returncode, log.decode(), state


def load(tap: list[str], target: Target) -> dict[str, Any]:
    """Pipe the tap into the target, which must end well; the state that the target confirmed last."""
    code, log, state = feed(tap, target)
    assert code == 0, log
    return state


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


def change(sandbox: Sandbox, clock: Clock, workspace: str = WORKSPACE) -> dict[str, list[str]]:
    """Let an hour pass in which some objects are changed, added and deleted; the deleted gids by stream."""
    clock.sleep(3600)
    organization = sandbox.organizations[workspace]
    before = {stream: expected(sandbox, stream, workspace) for stream in STREAMS}
    tasks, messages, teams = (list(before[stream]) for stream in STREAMS)
    for gid in tasks[:5]:
        organization.touch(gid)
    organization.add("task")
    for gid in (*tasks[10:13], *messages[:2], teams[0]):
        organization.delete(gid)
    clock.sleep(3600)
    after = {stream: expected(sandbox, stream, workspace) for stream in STREAMS}
    return {stream: sorted(before[stream].keys() - after[stream].keys()) for stream in STREAMS}


class Loaded:
    """A workspace in PostgreSQL.

    Args:
        server: the PostgreSQL.
        folder: of the test, which has a schema of its own.
        sandbox: where the workspace is.
        arguments: makes the tap's command line.
        hard: whether the target deletes rows, or only marks them.
        always: settings of every run.
    """

    def __init__(
        self,
        server: Postgres,
        folder: Path,
        sandbox: Sandbox,
        arguments: Callable[..., list[str]],
        *,
        hard: bool,
        **always: Any,
    ) -> None:
        self.target = target_postgres(server, folder, hard_delete=hard)
        self._server, self._schema = server, folder.name
        self._sandbox, self._arguments, self._hard, self._always = sandbox, arguments, hard, always

    def tap(self, state: Any, **others: Any) -> list[str]:
        """The tap's command line."""
        return self._arguments(
            settings_for(self._sandbox, emit_activate_version_messages=True, overlap=0, **self._always, **others),
            state=state,
        )

    def run(self, state: Any, **others: Any) -> Any:
        """Load what is new; the state afterwards."""
        return load(self.tap(state, **others), self.target)

    def compare(self, kept: dict[str, list[str]], deleted: dict[str, list[str]]) -> None:
        """Every row equals its object; the kept and the soft-deleted ones, which are marked, have none any more."""
        for stream in STREAMS:
            soft = set() if self._hard else {*deleted.get(stream, [])}
            table = self.target.table(stream)
            gone = {gid: table[gid] for gid in [*kept.get(stream, []), *soft]}
            assert self.target.differences(stream, expected(self._sandbox, stream) | gone) == []
            query = f'select to_json(gid) from "{self._schema}"."{stream}" where _sdc_deleted_at is not null'  # noqa: S608 - own names
            assert set(self._server.query(query)) == soft

    def compare_after_incremental(self, deleted: dict[str, list[str]]) -> None:
        """As `compare`, when only teams, which are always exported whole, tell of what is deleted."""
        self.compare({**deleted, "teams": []}, {"teams": deleted["teams"]})

    def begin(self, clock: Clock) -> tuple[Any, dict[str, list[str]]]:
        """Load all and, after a while, what has changed; the state, and by stream the gids that were deleted."""
        state = self.run(None)
        self.compare({}, {})
        deleted = change(self._sandbox, clock)
        state = self.run(state, full_export_interval=30)
        self.compare_after_incremental(deleted)
        return state, deleted


HASTY = """
from target_postgres.target import TargetPostgres
TargetPostgres._MAX_RECORD_AGE_IN_MINUTES = 0.2 / 60
TargetPostgres.cli()
"""


def hasty_postgres(server: Postgres, folder: Path, **settings: Any) -> Target:
    """target-postgres that stores and confirms what has come every fifth of a second."""
    target = target_postgres(server, folder, **settings)
    program, *options = target.command
    python = str(Path(program).with_name("python"))
    return dataclasses.replace(target, command=[python, "-c", HASTY, *options])
