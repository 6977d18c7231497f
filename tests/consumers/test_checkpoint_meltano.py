"""Meltano is stopped while the tap waits for its job: the next `meltano run` goes on with the same job.

Targets pass a STATE on only when they drain, so that Meltano knows nothing of the job; the tap's checkpoint does.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from tests.support.organizations import expected, parameters
from tests.support.tap import settings_for
from tests.support.targets import STREAMS, prefix, target_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_asana_export.sandbox import Sandbox
    from tests.support.postgres import Postgres

pytestmark = [
    pytest.mark.external,
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes that are left are looked for in /proc"),
]

JSONL = "target-jsonl==0.1.4"
STATE_ID = "test:tap-asana-export-to-target"
EXITS = {signal.SIGINT: 1, signal.SIGTERM: 128 + signal.SIGTERM, signal.SIGKILL: -signal.SIGKILL}
"""How Meltano 4.4 ends."""


class Loader(NamedTuple):
    """A target, and how its rows are read."""

    executable: str
    config: dict[str, Any]
    gids: Callable[[str], list[str]]


def jsonl(folder: Path, _: pytest.FixtureRequest) -> Loader:
    """target-jsonl, which prints its one state at the end."""
    (folder / "rows").mkdir()

    def gids(stream: str) -> list[str]:
        files = (folder / "rows").glob(f"{stream}-*.jsonl")
        return sorted(json.loads(line)["gid"] for file in files for line in file.read_text().splitlines())

    return Loader(str(prefix(JSONL) / "bin" / "target-jsonl"), {"destination_path": str(folder / "rows")}, gids)


def postgres(folder: Path, request: pytest.FixtureRequest) -> Loader:
    """meltanolabs-target-postgres, which prints a state when it drains."""
    server: Postgres = request.getfixturevalue("postgres")
    target = target_postgres(server, folder)
    [program, _, config] = target.command
    return Loader(program, json.loads(Path(config).read_text()), lambda stream: sorted(target.table(stream)))


@dataclass
class Project:
    """A Meltano project in a folder of its own, with the tap and one target."""

    folder: Path
    loader: Loader

    def command(self, *arguments: str) -> list[str]:
        return [str(prefix("meltano") / "bin" / "meltano"), "--environment=test", *arguments]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Meltano, in a session of its own as a scheduler does: a signal to it is none to its children."""
        with (self.folder / "said").open("a") as said:
            return subprocess.Popen(
                self.command(*arguments),
                cwd=self.folder,
                stdout=subprocess.PIPE if arguments[0] == "state" else said,
                stderr=said,
                text=True,
                start_new_session=True,
                env={name: value for name, value in os.environ.items() if not name.startswith("MELTANO_")}
                | {"NO_COLOR": "1", "TERM": "dumb"},
            )

    def said(self) -> str:
        return (self.folder / "said").read_text()

    def state(self) -> Any:
        """What `meltano state get` prints."""
        out, _ = self.start("state", "get", STATE_ID).communicate(timeout=60)
        return json.loads(out or "{}")


@pytest.fixture(params=[jsonl, postgres])
def project(request: pytest.FixtureRequest, tmp_path: Path, sandbox: Sandbox) -> Project:
    folder = tmp_path / request.param.__name__
    folder.mkdir()
    loader = request.param(folder, request)
    tap: dict[str, Any] = {
        "name": "tap-asana-export",
        "namespace": "tap_asana_export",
        "executable": str(Path(sys.executable).with_name("tap-asana-export")),
        "capabilities": ["state", "catalog", "discover"],
        "settings": [{"name": name} for name in settings_for(sandbox)],
        "config": settings_for(sandbox),
        "select": ["exports.*", "tasks.*", "messages.*", "teams.*", "!*.html_notes", "!*.html_description"],
    }
    target = {
        "name": "target",
        "namespace": "target",
        "executable": loader.executable,
        "settings": [{"name": name} for name in loader.config],
        "config": loader.config,
    }
    content = {
        "version": 1,
        "default_environment": "test",
        "project_id": "test",
        "send_anonymous_usage_stats": False,
        "environments": [{"name": "test"}],
        "plugins": {"extractors": [tap], "loaders": [target]},
    }
    (folder / "meltano.yml").write_text(yaml.safe_dump(content))
    return Project(folder, loader)


def of_session(leader: int) -> Iterator[int]:
    """The processes that a process started, also when it has gone: those of its session."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, session, *_ = path.read_text().rpartition(")")[2].split()
            if int(session) == leader and state != "Z":
                yield int(path.parent.name)


def end_with_all_children(meltano: subprocess.Popen[str], signum: signal.Signals) -> int:
    """Send Meltano a signal; what it has left behind a few seconds after its end is killed, as a container's end does.

    Returns:
        How many processes were left.
    """
    meltano.send_signal(signum)
    meltano.wait(30)
    for _ in range(50):
        left = list(of_session(meltano.pid))
        if not left:
            return 0
        time.sleep(0.1)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(left)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_meltano_that_is_stopped_while_the_tap_waits_goes_on_with_the_same_job(
    signum: signal.Signals, project: Project, sandbox: Sandbox
) -> None:
    looked = threading.Event()
    sandbox.on_request = lambda request: looked.set() if request.path.startswith("/api/1.0/jobs/") else None
    sandbox.job_seconds = 3600
    meltano = project.start("run", "tap-asana-export", "target")
    assert looked.wait(60), project.said()
    left = end_with_all_children(meltano, signum)
    # Meltano ends its plugins before itself, unless it is killed.
    assert (meltano.returncode, left > 0) == (EXITS[signum], signum == signal.SIGKILL)
    [kept] = (project.folder / ".meltano" / "run" / "tap-asana-export").glob("workspace-*.json")
    job_gid = json.loads(kept.read_text())["job_gid"]
    lost = project.state()

    sandbox.job_seconds = 0
    # Meltano takes a run that was killed for one that goes on, until its heartbeat is five minutes old.
    again = project.start("run", "--force", "tap-asana-export", "target")
    assert again.wait(100) == 0, project.said()

    assert (lost, len(parameters(sandbox))) == ({}, 1)
    assert {stream: project.loader.gids(stream) for stream in STREAMS} == {
        stream: sorted(expected(sandbox, stream)) for stream in STREAMS
    }
    [exports] = project.state()["singer_state"]["bookmarks"]["exports"]["partitions"]
    assert (exports["job_gid"], exports["pending"]) == (job_gid, None)
    assert not kept.exists()
