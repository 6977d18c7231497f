"""kill -9 to the tap while it writes batch files, at any moment: the files lose nothing, and none is announced half."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export.sandbox import Sandbox
from tests.support.batches import files, read
from tests.support.consumers import batch_settings, differences, read_duckdb, tables
from tests.support.organizations import expected
from tests.support.tap import ROOT, WORKSPACE
from tests.support.tap import TAP_OF_SMALL_BLOCKS as TAP

pytestmark = [pytest.mark.external, pytest.mark.soak]

duckdb = pytest.importorskip("duckdb", reason="duckdb 1.2.2 has no wheel for this Python")

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KILLS = 8


class Writing:
    """A workspace on its way into batch files, run after run; each goes on from the last STATE of the one before.

    Attributes:
        announced: the files of all runs.
    """

    def __init__(self, command: Callable[[Any], list[str]], log: Path) -> None:
        self.announced: list[Path] = []
        self._command = command
        self._log = log
        self._state: dict[str, Any] | None = None

    def run(self, moment: float | None = None, after: int | None = None) -> float:
        """Run the tap to its end, or kill it after so many seconds or BATCHes; how many seconds it took."""
        began, batches = time.monotonic(), 0
        with self._log.open("wb") as log:
            # A pipe that takes few messages keeps the tap from being done before it is killed.
            tap = subprocess.Popen(
                self._command(self._state), stdout=subprocess.PIPE, stderr=log, cwd=ROOT, pipesize=4096
            )
        timer = threading.Timer(moment or 60, tap.kill)
        timer.start()
        assert tap.stdout is not None
        with tap.stdout as lines:
            for line in lines:
                message = json.loads(line) if line.endswith(b"\n") else {"type": None}
                if message["type"] == "BATCH":
                    self.announced += files(message)
                    batches += 1
                if message["type"] == "STATE":
                    self._state = message["value"]
                if batches == after:
                    tap.kill()
        code = tap.wait()
        timer.cancel()
        timer.join()
        assert code in {0, -signal.SIGKILL if moment or after else 0}, self._log.read_text()
        return time.monotonic() - began

    def settle(self) -> None:
        """Run until an export came through that was requested after the organization stood still."""
        self.run()  # it may go on with a job that was requested before: the checkpoint knows of it too
        self.run()


def test_after_kills_the_next_run_leaves_files_that_equal_the_organization(
    arguments: Callable[..., list[str]], tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    chance = random.Random(pytestconfig.getoption("--kill-seed"))  # noqa: S311 - it shall be repeatable
    with Sandbox(tasks=600, messages=60, teams=8, large=1, change_interval=0, job_seconds=0) as sandbox:
        settings = batch_settings(sandbox, tmp_path) | {"workspaces": [WORKSPACE], "overlap": 0}
        writing = Writing(lambda state: [*TAP, *arguments(settings, state=state)[3:]], tmp_path / "log")
        whole = writing.run()
        for _ in range(2):
            change(sandbox, chance)
            for _ in range(KILLS // 4):
                writing.run(moment=whole * chance.random())
                writing.run(after=chance.randint(4, 12))
            writing.settle()
        wanted = tables(sandbox)

    # Whom the kill meets depends on the machine: a fast one may have ended.
    assert all(read(file) for file in writing.announced)
    database = tmp_path / "asana.duckdb"
    with duckdb.connect(str(database)) as connection:
        connection.execute("set variable batches = ?", [f"{tmp_path}/batches/asana/"])
        connection.execute((ROOT / "examples" / "duckdb" / "load.sql").read_text())
    assert differences(read_duckdb(database), wanted) == []


def change(sandbox: Sandbox, chance: random.Random) -> None:
    """Change nearly all tasks, and add some, so that an incremental export takes many files."""
    organization = sandbox.organizations[WORKSPACE]
    for gid in expected(sandbox, "tasks"):
        if chance.random() < 0.9:
            # Not the name: others' compact forms of the object would change as well, but not their modified_at.
            organization.touch(gid, notes=f"{chance.random()}")
    for kind in ("task", "message"):
        organization.add(kind)
