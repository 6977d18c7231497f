"""Batch files into PostgreSQL, by a target that takes BATCH messages."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export.sandbox import Sandbox
from tests.support.batches import exports_state, into
from tests.support.organizations import expected
from tests.support.tap import WORKSPACE, Run, settings_for
from tests.support.targets import STREAMS, Loaded, differences, target_postgres

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.clock import Clock
    from tests.support.postgres import Postgres

pytestmark = pytest.mark.external


def test_batch_and_record_make_the_same_tables_after_a_full_and_an_incremental_run(
    sandbox: Sandbox,
    postgres: Postgres,
    run_tap: Callable[..., Run],
    tmp_path: Path,
) -> None:
    folders = [tmp_path / "from_records", tmp_path / "from_batches"]
    for folder in folders:
        folder.mkdir()
    targets = [target_postgres(postgres, folder) for folder in folders]

    def run(state: Any) -> Any:
        """Bring one export in both ways."""
        records = run_tap(settings_for(sandbox, overlap=0), state=state)
        job = next(each["value"] for each in records.of("STATE") if exports_state(each["value"])["pending"])
        batches = run_tap(settings_for(sandbox, overlap=0, **into(tmp_path / "batches", 15)), state=job)
        assert (records.code, batches.code, batches.of("RECORD")) == (0, 0, [])
        for source, target in zip((records, batches), targets, strict=True):
            done = subprocess.run(target.command, input=source.stdout, capture_output=True, check=False)
            assert done.returncode == 0, done.stderr.decode()
            assert json.loads(done.stdout.strip().split(b"\n")[-1]) == source.state
        for stream in (*STREAMS, "exports"):
            from_records, from_batches = (target.table(stream) for target in targets)
            assert from_batches == from_records
        assert differences(targets[1], sandbox) == []
        return records.state

    state = run(None)
    organization = sandbox.organizations[WORKSPACE]
    for gid in list(expected(sandbox, "tasks"))[:3]:
        organization.touch(gid)
    organization.add("task")
    run(state)
    assert sorted(row["objects"]["task"] for row in targets[1].rows("exports")) == [4, 40]


@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
def test_what_is_deleted_goes_after_the_next_full_export(
    arguments: Callable[..., list[str]], clock: Clock, postgres: Postgres, tmp_path: Path, *, hard: bool
) -> None:
    clock.now = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=10)
    with Sandbox(tasks=40, messages=10, teams=3, large=1, change_interval=0, job_seconds=0, clock=clock) as sandbox:
        loaded = Loaded(postgres, tmp_path, sandbox, arguments, hard=hard, **into(tmp_path / "batches", 15))
        state, gone = loaded.begin(clock)
        clock.sleep(3600)
        loaded.run(state, full_export_interval=7)
        loaded.compare({}, gone)
