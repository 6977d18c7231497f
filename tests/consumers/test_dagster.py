"""Workspaces exported side by side and then loaded, by an orchestrator: examples/dagster."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from tap_asana_export.sandbox import Sandbox
from tests.support.consumers import PROJECT, batch_settings, differences, read_duckdb, tables
from tests.support.organizations import expected
from tests.support.tap import TAP
from tests.support.targets import prefix

pytestmark = pytest.mark.external

duckdb = pytest.importorskip("duckdb", reason="duckdb 1.2.2 has no wheel for this Python")

if TYPE_CHECKING:
    from pathlib import Path

    from tap_asana_export.sandbox.wire import Request

EXAMPLE = PROJECT / "examples" / "dagster"


def test_workspaces_are_exported_at_the_same_time_then_loaded_and_the_next_run_is_incremental(tmp_path: Path) -> None:
    both = threading.Barrier(2)

    def meet(request: Request) -> None:
        """Let a request for an export wait until the other workspace's has come as well."""
        if request.method == "POST":
            both.wait(timeout=60)

    sandbox = Sandbox(
        workspaces=2, tasks=40, messages=10, teams=3, large=1, change_interval=0, job_seconds=0, on_request=meet
    )
    with sandbox:
        (tmp_path / "config.json").write_text(json.dumps(batch_settings(sandbox, tmp_path) | {"overlap": 0}))
        (tmp_path / "workspaces.txt").write_text("\n".join(sandbox.organizations))
        run(tmp_path)
        assert differences(read_duckdb(tmp_path / "asana.duckdb"), tables(sandbox)) == []

        for gid, organization in sandbox.organizations.items():
            organization.touch(next(iter(expected(sandbox, "tasks", gid))))
            organization.add("task")
        run(tmp_path)
        assert differences(read_duckdb(tmp_path / "asana.duckdb"), tables(sandbox)) == []

    with duckdb.connect(str(tmp_path / "asana.duckdb")) as connection:
        held = connection.sql("select objects::varchar from exports order by created_at").fetchall()
    assert [json.loads(each) for (each,) in held] == [
        {"message": 10, "task": 40, "team": 3},
        {"message": 10, "task": 40, "team": 3},
        {"message": 0, "task": 2, "team": 3},
        {"message": 0, "task": 2, "team": 3},
    ]


def run(folder: Path) -> None:
    """Run the job once, with the sandbox as Asana."""
    home = folder / "dagster"
    home.mkdir(exist_ok=True)
    shutil.copy(EXAMPLE / "dagster.yaml", home)
    program = prefix("dagster==1.13.29", "duckdb==1.2.2") / "bin" / "dagster"
    done = subprocess.run(
        [program, "job", "execute", "-f", EXAMPLE / "asana.py", "-j", "asana"],
        capture_output=True,
        check=False,
        cwd=PROJECT,
        env=os.environ | {"ASANA": str(folder), "ASANA_TAP": shlex.join(TAP), "DAGSTER_HOME": str(home)},
    )
    assert done.returncode == 0, done.stderr.decode()[-5000:]
