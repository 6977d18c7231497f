"""The gid of a running job is kept besides the state, for runs whose target passes no state on."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import threading
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import ANY

import pytest

from tap_asana_export.leftovers import OWNER
from tap_asana_export.output.checkpoint import checkpoint_folder
from tap_asana_export.times import format_time
from tests.support.organizations import expected, parameters
from tests.support.tap import WORKSPACE, Run, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tap_asana_export.sandbox import Sandbox
    from tap_asana_export.settings import Settings


def kept(folder: Path) -> dict[str, Any]:
    """What the checkpoint of the workspace holds."""
    found: dict[str, Any] = json.loads((folder / f"workspace-{WORKSPACE}.json").read_text())
    return found


@pytest.fixture
def deferred(sandbox: Sandbox, run_tap: Callable[..., Run]) -> Run:
    """A run that has asked for an export, and whose state is lost."""
    sandbox.job_seconds = 3600
    run = run_tap(settings_for(sandbox, wait_timeout=0.05, defer=True))
    sandbox.job_seconds = 0
    return run


def test_a_job_whose_state_was_lost_is_gone_on_with(
    deferred: Run, sandbox: Sandbox, state_folder: Path, run_tap: Callable[..., Run]
) -> None:
    pending = deferred.state["bookmarks"]["exports"]["partitions"][0]["pending"]
    assert kept(state_folder) == {name: pending[name] for name in ("job_gid", "request")} | {"requested_at": ANY}
    again = run_tap(settings_for(sandbox))

    assert (again.code, len(parameters(sandbox))) == (0, 1)
    assert again.by_gid("tasks") == expected(sandbox, "tasks")
    assert again.records("exports")[0]["job_gid"] == pending["job_gid"]
    assert again.state["bookmarks"]["tasks"]["partitions"][0]["replication_key_value"]
    assert list(state_folder.iterdir()) == []


def test_a_job_whose_state_was_lost_is_finished_before_a_full_export_that_is_due(
    sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    first = run_tap(settings_for(sandbox))
    sandbox.organizations[WORKSPACE].touch(next(iter(expected(sandbox, "tasks"))))
    deferred = run_tap(settings_for(sandbox, wait_timeout=0, defer=True), state=first.state)
    old = first.state
    for stream in ("tasks", "messages"):
        old["bookmarks"][stream]["partitions"][0]["full_at"] = "2020-01-01T00:00:00.000Z"
    again = run_tap(settings_for(sandbox, full_export_interval=7), state=old)
    last = run_tap(settings_for(sandbox, full_export_interval=7), state=again.state)

    pending = deferred.state["bookmarks"]["exports"]["partitions"][0]["pending"]
    assert [each["job_gid"] for each in again.records("exports")] == [pending["job_gid"]]
    assert [run.records("exports")[0]["full"] for run in (first, again, last)] == [True, False, True]
    assert len(parameters(sandbox)) == 3


@pytest.mark.soak
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_run_that_is_killed_while_it_waits_leaves_its_job_to_the_next_one(
    signum: signal.Signals, sandbox: Sandbox, arguments: Callable[..., list[str]], run_tap: Callable[..., Run]
) -> None:
    looked = threading.Semaphore(0)
    sandbox.on_request = lambda request: looked.release() if request.method == "GET" else None
    sandbox.job_seconds = 3600
    tap = subprocess.Popen(arguments(settings_for(sandbox)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    looked.acquire()
    tap.send_signal(signum)
    _, said = tap.communicate(timeout=30)
    sandbox.job_seconds = 0
    again = run_tap(settings_for(sandbox))

    assert tap.returncode == (-signum if signum == signal.SIGKILL else 128 + signum)
    assert (again.code, len(parameters(sandbox)), again.by_gid("tasks")) == (0, 1, expected(sandbox, "tasks"))
    if signum != signal.SIGKILL:
        job_gid = again.records("exports")[0]["job_gid"]
        assert Run(tap.returncode, b"", said.decode()).last_line == (
            f"Ended by {signal.Signals(signum).name}. The next run goes on with the jobs in the state or the "
            f'checkpoint; without both, set job_gids to {{"{WORKSPACE}": "{job_gid}"}}.'
        )


def test_a_job_of_another_request_is_not_gone_on_with(
    deferred: Run, sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    assert deferred.code == 0
    run = run_tap(settings_for(sandbox, start_date="2026-01-01T00:00:00Z"))

    assert (run.code, len(parameters(sandbox))) == (0, 2)


def test_a_job_that_is_older_than_a_day_is_not_gone_on_with(
    deferred: Run, sandbox: Sandbox, state_folder: Path, run_tap: Callable[..., Run]
) -> None:
    yesterday = format_time(datetime.now(timezone.utc) - timedelta(days=1, seconds=1))
    path = state_folder / f"workspace-{WORKSPACE}.json"
    path.write_text(json.dumps({**kept(state_folder), "requested_at": yesterday}))
    run = run_tap(settings_for(sandbox))

    assert (deferred.code, run.code, len(parameters(sandbox))) == (0, 0, 2)


def test_a_job_that_asana_does_not_know_any_more_is_asked_for_anew(
    deferred: Run, sandbox: Sandbox, state_folder: Path, run_tap: Callable[..., Run]
) -> None:
    path = state_folder / f"workspace-{WORKSPACE}.json"
    path.write_text(json.dumps({**kept(state_folder), "job_gid": "4711"}))
    run = run_tap(settings_for(sandbox))

    assert (deferred.code, run.code, run.by_gid("tasks")) == (0, 0, expected(sandbox, "tasks"))


def test_a_job_whose_file_was_read_is_not_read_again_from_a_checkpoint_that_was_left(
    sandbox: Sandbox, state_folder: Path, run_tap: Callable[..., Run]
) -> None:
    # Teams alone are asked for in the same way each time.
    settings = settings_for(sandbox, stream_maps={"tasks": None, "messages": None})
    first = run_tap(settings)
    pending = first.of("STATE")[0]["value"]["bookmarks"]["exports"]["partitions"][0]["pending"]
    left = {name: pending[name] for name in ("job_gid", "request", "requested_at")}
    state_folder.joinpath(f"workspace-{WORKSPACE}.json").write_text(json.dumps(left))
    second = run_tap(settings, state=first.state)

    assert (second.code, len(parameters(sandbox))) == (0, 2)


def test_a_checkpoint_whose_time_has_no_zone_is_gone_on_with(
    deferred: Run, sandbox: Sandbox, state_folder: Path, run_tap: Callable[..., Run]
) -> None:
    path = state_folder / f"workspace-{WORKSPACE}.json"
    now = datetime.now(timezone.utc).replace(tzinfo=None).isoformat()
    path.write_text(json.dumps({**kept(state_folder), "requested_at": now}))
    run = run_tap(settings_for(sandbox))

    assert (deferred.code, run.code, len(parameters(sandbox))) == (0, 0, 1)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"job_gid": 1}', "\ud83d"])
def test_a_checkpoint_that_is_damaged_is_told_of_and_asked_anew(
    content: str, sandbox: Sandbox, state_folder: Path, run_tap: Callable[..., Run]
) -> None:
    state_folder.mkdir(parents=True)
    state_folder.joinpath(f"workspace-{WORKSPACE}.json").write_bytes(content.encode(errors="surrogatepass"))
    run = run_tap(settings_for(sandbox))

    assert (run.code, run.by_gid("tasks")) == (0, expected(sandbox, "tasks"))
    assert "the checkpoint cannot be read" in run.stderr
    assert list(state_folder.iterdir()) == []


def test_what_a_run_left_that_was_killed_in_the_midst_of_writing_is_removed_by_the_next_one(
    sandbox: Sandbox, state_folder: Path, run_tap: Callable[..., Run]
) -> None:
    state_folder.mkdir(parents=True)
    gone = OWNER.replace(f"-{os.getpid()}-", "-999999999-")
    state_folder.joinpath(f".workspace-{WORKSPACE}.json.{gone}.part").touch()
    run = run_tap(settings_for(sandbox))

    assert (run.code, list(state_folder.iterdir())) == (0, [])


def test_a_checkpoint_that_cannot_be_written_is_a_warning(
    sandbox: Sandbox, tmp_path: Path, run_tap: Callable[..., Run]
) -> None:
    tmp_path.joinpath("file").touch()
    run = run_tap(settings_for(sandbox, checkpoint=str(tmp_path / "file" / "folder")))

    assert (run.code, run.by_gid("tasks")) == (0, expected(sandbox, "tasks"))
    assert "the checkpoint cannot be written (Not a directory)" in run.stderr


def test_no_checkpoint_is_written_where_the_setting_wants_none(
    sandbox: Sandbox, state_folder: Path, run_tap: Callable[..., Run]
) -> None:
    sandbox.job_seconds = 3600
    settings = settings_for(sandbox, wait_timeout=0.05, defer=True)
    run = run_tap({**settings, "checkpoint": False})
    env = {"TAP_ASANA_EXPORT_CHECKPOINT": "false"}
    again = run_tap(settings, "--config=ENV", env=env, state=run.state)

    assert (run.code, again.code, state_folder.exists()) == (0, 0, False)


def test_the_folder_is_of_the_meltano_project_or_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = cast("Settings", {"checkpoint": None, "sandbox": False, "export_files": []})
    monkeypatch.delenv("MELTANO_PROJECT_ROOT", raising=False)
    of_user = checkpoint_folder(settings)
    monkeypatch.setenv("MELTANO_PROJECT_ROOT", "/project")

    assert of_user == str(tmp_path / "state" / "tap-asana-export")
    assert checkpoint_folder(settings) == "/project/.meltano/run/tap-asana-export"
    assert checkpoint_folder({**settings, "checkpoint": "s3://bucket/jobs"}) == "s3://bucket/jobs"
    assert checkpoint_folder({**settings, "checkpoint": False}) is None
    assert checkpoint_folder({**settings, "sandbox": True}) is None
    assert checkpoint_folder({**settings, "export_files": ["a"]}) is None


def test_a_url_takes_checkpoints_too(
    sandbox: Sandbox, tmp_path: Path, run_tap: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sandbox.job_seconds = 3600
    settings = settings_for(sandbox, wait_timeout=0.05, defer=True, checkpoint=f"file://{tmp_path}/jobs/")
    first = run_tap(settings)
    held = kept(tmp_path / "jobs")["job_gid"]
    sandbox.job_seconds = 0
    second = run_tap(settings)

    assert first.state["bookmarks"]["exports"]["partitions"][0]["pending"]["job_gid"] == held
    assert (second.code, len(parameters(sandbox)), list((tmp_path / "jobs").iterdir())) == (0, 1, [])
