"""Batch files into PostgreSQL, by a target that takes BATCH messages."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from tests.conftest import TAP, WORKSPACE, expected
from tests.consumers.conftest import batch_settings
from tests.targets import differences, target_postgres

if TYPE_CHECKING:
    from pathlib import Path

    from tap_asana_export.sandbox import Sandbox
    from tests.targets import Postgres, Target


def test_every_value_arrives_in_postgres_after_a_full_and_an_incremental_run(
    sandbox: Sandbox, postgres: Postgres, tmp_path: Path
) -> None:
    folder = tmp_path / "batches"
    folder.mkdir()
    (tmp_path / "config.json").write_text(json.dumps(batch_settings(sandbox, tmp_path) | {"overlap": 0}))
    target = target_postgres(postgres, folder)
    load(target, tmp_path)
    assert differences(target, sandbox) == []

    organization = sandbox.organizations[WORKSPACE]
    for gid in list(expected(sandbox, "tasks"))[:3]:
        organization.touch(gid)
    organization.add("task")
    load(target, tmp_path)
    assert differences(target, sandbox) == []
    assert sorted(row["objects"]["task"] for row in target.rows("exports")) == [4, 40]


def load(target: Target, folder: Path) -> None:
    """Pipe the tap into the target, and keep the state that the target confirmed."""
    state = folder / "state.json"
    options = ["--state", str(state)] if state.exists() else []
    tap = subprocess.run([*TAP, "--config", str(folder / "config.json"), *options], capture_output=True, check=True)
    done = subprocess.run(target.command, input=tap.stdout, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    state.write_bytes(done.stdout.strip().split(b"\n")[-1])
