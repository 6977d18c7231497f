"""kill -9 to the tap, to the target or to both, at any moment: the next runs lose nothing and ask for nothing twice.

Every organization lives through two rounds, a full and an incremental one. While it keeps changing, run after run is
killed, and each goes on from what the target confirmed last. Then it stands still, and a run that comes to its end
must leave tables that equal the organization, row by row and value by value.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tap_asana_export.sandbox import Sandbox
from tests.support.organizations import expected
from tests.support.tap import ROOT, WORKSPACE, settings_for
from tests.support.tap import TAP_OF_SMALL_BLOCKS as TAP
from tests.support.targets import STREAMS, differences, hasty_postgres

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tap_asana_export.sandbox.wire import Request
    from tests.support.postgres import Postgres
    from tests.support.targets import Target

pytestmark = [pytest.mark.external, pytest.mark.soak]

logger = logging.getLogger(__name__)

VICTIMS = (("tap",), ("target",), ("tap", "target"))
# Not the name: others' compact forms of the object would change as well, but not their modified_at.
TEXTS = {"tasks": "notes", "messages": "text", "teams": "visibility"}
WORDS = ("Line\u2028separator", 'a "quote"', "\U0001f469\u200d\U0001f680", "back\\slash", "tab\t", "two\nlines", "")


class Kill(NamedTuple):
    """Whom to kill, and when: in seconds after the start. In place of one that has gone the target is killed."""

    victims: tuple[str, ...]
    moment: float


@dataclass(repr=False)
class Ran:
    """What a run left behind.

    Attributes:
        codes: exit codes by process.
        messages: what the tap wrote, but for a torn last line.
        state: what the target confirmed last, or what the run began with.
        posts: status of each answer to a request for an export.
    """

    seconds: float
    codes: dict[str, int]
    messages: list[dict[str, Any]]
    state: dict[str, Any] | None
    posts: list[int]
    logs: str

    @property
    def killed(self) -> bool:
        return -signal.SIGKILL in self.codes.values()

    @property
    def ended_well(self) -> bool:
        return not any(self.codes.values())

    def records(self, *streams: str) -> list[dict[str, Any]]:
        return [each["record"] for each in self.messages if each["type"] == "RECORD" and each["stream"] in streams]

    def __str__(self) -> str:
        """For the log."""
        wrote = {stream: len(self.records(stream)) for stream in (*STREAMS, "exports")}
        states = sum(each["type"] == "STATE" for each in self.messages)
        return (
            f"{self.seconds:.2f} s, exit codes {self.codes}, POSTs {self.posts}, wrote {wrote} and {states} STATEs; "
            f"confirmed: {self.state and self.state['bookmarks']['exports']}"
        )


def pending(state: dict[str, Any] | None) -> dict[str, Any] | None:
    """The job that a state has as pending."""
    if state is None:
        return None
    [partition] = state["bookmarks"]["exports"]["partitions"]
    job: dict[str, Any] | None = partition["pending"]
    return job


def whole_lines(path: Path) -> list[Any]:
    """The JSON lines of a file; a last one that was not ended is none."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def run(
    sandbox: Sandbox,
    target: Target,
    folder: Path,
    state: dict[str, Any] | None,
    kill: Kill | None = None,
    **settings: Any,
) -> Ran:
    """Run the tap into the target, and perhaps kill one of them or both."""
    folder.mkdir()
    command = [*TAP]
    # Without overlap, for it hides a bookmark that is a little too late.
    for option, content in {"config": settings_for(sandbox, overlap=0, **settings), "state": state}.items():
        if content is not None:
            path = folder / f"{option}.json"
            path.write_text(json.dumps(content))
            command += [f"--{option}", str(path)]
    # Containers often keep Python from writing .pyc files, and compiling takes the targets half of their time.
    env = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}
    sandbox.requests.clear()
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        states, *logs = (stack.enter_context((folder / name).open("wb")) for name in ("states", "tap", "target"))
        # tee keeps what the tap wrote. It goes when the target has gone, and the tap then writes into a broken pipe.
        tap = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=logs[0], cwd=ROOT, env=env)
        tee = subprocess.Popen(["tee", str(folder / "messages")], stdin=tap.stdout, stdout=subprocess.PIPE)
        loader = subprocess.Popen(target.command, stdin=tee.stdout, stdout=states, stderr=logs[1], env=env)
    for pipe in (tap.stdout, tee.stdout):
        assert pipe is not None
        pipe.close()
    processes = {"tap": tap, "tee": tee, "target": loader}
    if kill:
        with contextlib.suppress(subprocess.TimeoutExpired):
            loader.wait(max(0, began + kill.moment - time.monotonic()))
        for victim in [name for name in kill.victims if processes[name].poll() is None] or ["target"]:
            processes[victim].kill()
    codes = {name: process.wait(60) for name, process in processes.items()}
    return Ran(
        time.monotonic() - began,
        codes,
        whole_lines(folder / "messages"),
        [state, *whole_lines(folder / "states")][-1],
        [each.status for each in sandbox.requests if each.method == "POST"],
        "".join((folder / name).read_text(errors="replace")[-3000:] for name in ("tap", "target")),
    )


class Loading:
    """An organization on its way into a target, run after run."""

    def __init__(self, sandbox: Sandbox, target: Target, folder: Path) -> None:
        self._sandbox = sandbox
        self._target = target
        self._folder = folder
        self._state: dict[str, Any] | None = None
        self._runs = 0
        self._exports: dict[str, dict[str, Any]] = {}
        self._finished: set[str] = set()

    def run(self, kill: Kill | None = None) -> Ran:
        """Run, with what the target confirmed last, and look whether the run did what this state calls for."""
        self._runs += 1
        ran = run(self._sandbox, self._target, self._folder / str(self._runs), self._state, kill)
        logger.info("%s, run %d, %s: %s", self._folder.name, self._runs, kill, ran)
        assert ran.killed or ran.ended_well, ran.logs
        job, self._state = pending(self._state), ran.state
        if job is not None:
            assert ran.posts == [], "a second export was requested, though the first one was pending"
        for export in ran.records("exports"):
            assert self._exports.setdefault(export["gid"], export) == export
        if ran.ended_well:
            assert pending(self._state) is None
            [export] = ran.records("exports")
            written = len(ran.records(*STREAMS))
            assert written == export["lines"] - (job["lines"] if job else 0)
            self._finished.add(export["gid"])
        return ran

    def settle(self) -> None:
        """Run until an export came through that was requested after the organization stood still.

        The first runs may go on with a job that is in the state, or in the checkpoint alone.
        """
        for _ in range(3):
            if self.run().posts:
                return
        pytest.fail("no export is requested")

    def differences(self) -> list[str]:
        """Where the tables are not what they should be. A killed run may have stored its export's record, or not."""
        stored = self._target.table("exports").keys()
        assert self._finished <= stored <= self._exports.keys()
        exports = {gid: self._exports[gid] for gid in stored}
        return [*differences(self._target, self._sandbox), *self._target.differences("exports", exports)]


class Changes:
    """Somebody who changes half of the organization at once, and then one object after the other.

    Not while an export is being requested: its beginning could fall between a change's time and the change, and an
    export that begins after the time of a change is right to expect to see it.
    """

    def __init__(self, sandbox: Sandbox, chance: random.Random) -> None:
        self._organization = sandbox.organizations[WORKSPACE]
        self._gids = {gid: stream for stream in STREAMS for gid in expected(sandbox, stream)}
        self._chance = chance
        self._lock = threading.Lock()
        self._quiet_until = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on)
        sandbox.on_request = self._be_quiet

    def __enter__(self) -> None:
        """Begin."""
        for gid in self._chance.sample(sorted(self._gids), len(self._gids) // 2):
            self._touch(gid)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """End."""
        self._over.set()
        self._thread.join()

    def _touch(self, gid: str) -> None:
        words = self._chance.choice(WORDS)
        self._organization.touch(gid, **{TEXTS[self._gids[gid]]: words and f"{words} {self._chance.random()}"})

    def _be_quiet(self, request: Request) -> None:
        if request.method == "POST":
            with self._lock:
                self._quiet_until = time.monotonic() + 0.05

    def _go_on(self) -> None:
        while not self._over.wait(0.05):
            with self._lock:
                if time.monotonic() < self._quiet_until:
                    continue
                if self._chance.random() < 0.1:
                    stream = self._chance.choice(STREAMS)
                    self._gids[self._organization.add(stream.rstrip("s"))] = stream
                else:
                    self._touch(self._chance.choice(list(self._gids)))


def organization(seed: int) -> Sandbox:
    """An organization in which nothing changes by itself."""
    return Sandbox(seed=seed, tasks=100, messages=25, teams=25, large=0, change_interval=0, job_seconds=0.2)


def test_after_kills_the_next_run_that_ends_leaves_tables_that_equal_the_organization(
    new_target: Callable[[Path], Target],
    pytestconfig: pytest.Config,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger=__name__)
    seed, kills = pytestconfig.getoption("--kill-seed"), pytestconfig.getoption("--kills") // 2
    logger.info("--kill-seed %d", seed)
    chance = random.Random(seed)  # noqa: S311 - it shall be repeatable

    def load(name: str, sandbox: Sandbox) -> Loading:
        folder = tmp_path / name
        folder.mkdir()
        return Loading(sandbox, new_target(folder), folder)

    with organization(seed) as sandbox:
        loading = load("undisturbed", sandbox)
        undisturbed = loading.run().seconds
        assert loading.differences() == []

    # One in every part of a run: starting, waiting for the job, writing, and when the tap has gone already.
    moments = [(number + chance.random()) / kills for number in range(kills)]
    chance.shuffle(moments)
    for number in range(1, 2 * kills + 1):
        if not moments:
            break
        with organization(seed + number) as sandbox:
            loading = load(f"organization {number}", sandbox)
            for _ in ("a full export", "an incremental one"):
                with Changes(sandbox, chance):
                    for _ in range(min(len(moments), chance.randint(3, 5))):
                        moment = moments.pop()
                        ran = loading.run(Kill(chance.choice(VICTIMS), moment * undisturbed))
                        if not ran.killed:  # it was faster
                            undisturbed *= 0.9
                            moments.append(moment * chance.random())
                loading.settle()
                assert loading.differences() == []
        shutil.rmtree(tmp_path / f"organization {number}")
    assert moments == []


def change(sandbox: Sandbox, chance: random.Random, stream: str) -> None:
    """Change and delete objects of all workspaces, and add some, so that about as many are there as before."""
    workspaces = sandbox.organizations
    gids = {gid: workspace for workspace in workspaces for gid in expected(sandbox, stream, workspace)}
    for gid in chance.sample(sorted(gids), min(5, len(gids))):
        if gid in workspaces[gids[gid]]:  # a task's subtasks go with it
            getattr(workspaces[gids[gid]], chance.choice(("touch", "touch", "delete")))(gid)
    left = sum(gid in workspaces[workspace] for gid, workspace in gids.items())
    for _ in range(max(1, len(gids) - left)):
        workspaces[chance.choice([*workspaces])].add(stream.rstrip("s"))


@pytest.mark.parametrize("stream", STREAMS)
def test_two_workspaces_live_through_any_number_of_kills(stream: str) -> None:
    chance = random.Random(0)  # noqa: S311 - it shall be repeatable
    with Sandbox(workspaces=2, tasks=20, messages=6, teams=6, large=0, change_interval=0) as sandbox:
        counts = []
        for _ in range(40):
            change(sandbox, chance, stream)
            counts.append(sum(len(expected(sandbox, stream, workspace)) for workspace in sandbox.organizations))
    assert counts[0] - 1 <= min(counts) <= max(counts) < 2 * counts[0]


def test_after_kills_with_deletions_two_workspaces_in_one_table_are_both_as_they_should_be(
    postgres: Postgres, pytestconfig: pytest.Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger=__name__)
    seed, kills = pytestconfig.getoption("--kill-seed"), max(2, pytestconfig.getoption("--kills") // 6)
    chance = random.Random(seed)  # noqa: S311 - it shall be repeatable
    target = hasty_postgres(postgres, tmp_path, hard_delete=True)
    options: dict[str, Any] = {"emit_activate_version_messages": True, "full_export_interval": 7}
    with Sandbox(
        seed=seed, workspaces=2, tasks=80, messages=15, teams=6, large=0, change_interval=0, job_seconds=0.2
    ) as sandbox:
        workspaces = list(sandbox.organizations)

        def objects(stream: str) -> dict[str, dict[str, Any]]:
            return {gid: each for one in workspaces for gid, each in expected(sandbox, stream, one).items()}

        ran = run(sandbox, target, tmp_path / "first", None, workspaces=workspaces, **options)
        assert ran.ended_well, ran.logs
        undisturbed = ran.seconds
        for number in range(kills):
            for stream in STREAMS:
                change(sandbox, chance, stream)
            if chance.random() < 0.7:
                age(ran.state)
            before = {stream: target.table(stream).keys() for stream in STREAMS}
            kill = Kill(chance.choice(VICTIMS), undisturbed * chance.uniform(0.3, 1))
            ran = run(sandbox, target, tmp_path / str(number), ran.state, kill, workspaces=workspaces, **options)
            logger.info("run %d, %s: %s", number, kill, ran)
            assert ran.killed or ran.ended_well, ran.logs
            for stream in STREAMS:
                assert before[stream] & objects(stream).keys() <= target.table(stream).keys()
        for number in range(3):
            # The first runs may go on with full exports that were asked for before the last changes.
            age(ran.state)
            ran = run(sandbox, target, tmp_path / f"last {number}", ran.state, workspaces=workspaces, **options)
            assert ran.ended_well, ran.logs
            if len(ran.posts) == len(workspaces):
                break
        assert [found for stream in STREAMS for found in target.differences(stream, objects(stream))] == []


def age(state: dict[str, Any] | None) -> None:
    """Let the last full exports be so long ago that the next ones are due."""
    for stream in ("tasks", "messages"):
        for partition in state["bookmarks"][stream]["partitions"] if state else ():
            if "full_at" in partition:
                partition["full_at"] = "2020-01-01T00:00:00.000Z"
