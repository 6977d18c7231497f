"""Every fault at every phase of an export: the exact end of the run, and that the next one brings exactly the rest.

Each cell is a run, or two where the phase is the resumed one, during which a fault strikes once or always. If the run
fails, another one goes on undisturbed from the last STATE. Time passes only while the tap sleeps.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import pytest

from tap_asana_export.limits import Limits
from tap_asana_export.sandbox import Sandbox
from tap_asana_export.sandbox.faults import BUSY, FAULTS, NAMES
from tap_asana_export.tap import TapAsanaExport
from tests.support.clock import Clock
from tests.support.organizations import expected
from tests.support.tap import WORKSPACE, Run, settings_for, sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_asana_export.sandbox.server import Exchange
    from tap_asana_export.sandbox.wire import Request

Records: TypeAlias = list[tuple[str, dict[str, Any]]]
"""Each as its stream and itself, in their order."""

STREAMS = ("tasks", "messages", "teams")
BOOKMARK = {"replication_key": "modified_at", "replication_key_value": "2000-01-01T00:00:00.000Z"}
BEFORE: dict[str, Any] = {
    "bookmarks": {
        stream: {"partitions": [{"context": {"workspace_gid": WORKSPACE}, **BOOKMARK}]}
        for stream in ("tasks", "messages")
    }
}
"""State of a tap that exported when the organization did not exist, so that now everything has changed."""

# ── phases ────────────────────────────────────────────────────────────────────────────────────────────────


class Moment(NamedTuple):
    """A request, as far as it tells the phase.

    Attributes:
        run: number of the run, from 1.
        kind: `post`, `poll` or `download`.
        connection: how many downloads were asked for in this run, with this one.
    """

    run: int
    kind: str
    connection: int


def _after_a_break(moment: Moment) -> bool:
    return moment.connection > 1 or (moment.connection == 1 and moment.kind != "download")


PHASES: dict[str, Callable[[Moment], bool]] = {
    "request": lambda moment: moment.kind == "post",
    "poll": lambda moment: moment.kind == "poll",
    "download": lambda moment: moment.kind == "download",
    "0 %": _after_a_break,
    "25 %": _after_a_break,
    "99 %": _after_a_break,
    "resume": lambda moment: moment.run == 2,
}
"""When a fault strikes. At so many % the connection to storage breaks there, and the fault strikes from then on."""

BREAKS = {"0 %": 0.0, "25 %": 0.25, "99 %": 0.99}
SHAPES = FAULTS["job"].keys() - {"failed_job"}
"""Faults of the file itself: it has them from the start, and meets the other phases with them."""


class Striker:
    """Arms a sandbox with a fault while a phase lasts."""

    def __init__(self, sandbox: Sandbox, fault: str, phase: str, *, always: bool) -> None:
        self._sandbox = sandbox
        self.fault = fault
        self.phase = phase
        self._given = self._left = 1000 if always else 1
        self._armed = False
        self._run = 0
        self._connection = 0

    def next_run(self) -> None:
        self._run += 1
        self._connection = 0

    def __call__(self, request: Request) -> None:
        kind = "post" if request.method == "POST" else "poll" if "/jobs/" in request.path else "download"
        self._connection += kind == "download"
        moment = Moment(self._run, kind, self._connection)
        sandbox, fault = self._sandbox, self.fault
        self._disarm()
        is_first_download = moment.kind == "download" and moment.connection == 1
        if self.phase in BREAKS and is_first_download:
            sandbox.faults, sandbox.fault_at = {"drop_download": 1}, BREAKS[self.phase]
        elif self.phase == "resume" and self._run == 1 and moment.kind == "download":
            sandbox.faults, sandbox.fault_at = {"drop_download": -1}, 0.5 if is_first_download else 0.0
        elif self._is_in_phase(moment):
            sandbox.faults, self._armed = {fault: self._left}, True

    def _disarm(self) -> None:
        if self._armed:
            self._left = self._sandbox.faults[self.fault]
        self._sandbox.faults, self._sandbox.fault_at, self._armed = {}, 0.5, False

    def stop(self) -> bool:
        """Leave the sandbox undisturbed from now on; whether the fault has struck."""
        self._disarm()
        self._sandbox.on_request = None
        return self._left < self._given

    def _is_in_phase(self, moment: Moment) -> bool:
        if self.fault in SHAPES and self.phase not in {"poll", "download"}:
            return moment.kind == "post"
        return PHASES[self.phase](moment)


# ── what a cell should come to ────────────────────────────────────────────────────────────────────────────


class Cell(NamedTuple):
    """How a run ends that a fault strikes.

    Attributes:
        error: the last line of a run that fails; `{line}` is the line of the file after those whose records went out.
        posts: requests for an export until a run has ended well.
        again: whether the file, or another, is read from its first line once more.
        resumes: after which share of the file a download goes on, unless the phase breaks it earlier; None if it
            never does.
    """

    error: str | None = None
    posts: int = 1
    again: bool = False
    resumes: float | None = 0.0


WELL = Cell()


def both(cell: Cell) -> tuple[Cell, Cell]:
    return cell, cell


def unreachable(request: str, cause: str) -> str:
    return (
        f"{request}: {cause}. Check the network and https://status.asana.com, then run again: a running job is kept in "
        "the state."
    )


def breaks(cause: str, line: str = "{line}", *, again: str = "The same job is gone on with.") -> str:
    return (
        f"Workspace {WORKSPACE}: the file of export job {{job}} breaks at line {line}: {cause}. Bookmarks stay where "
        f"they were. Run again. {again}"
    )


def is_wrong(cause: str, line: str = "{line}") -> str:
    return breaks(cause, line, again="If this repeats, another export is asked for.")


def no_export(cause: str) -> str:
    cause = cause.removeprefix(f"Workspace {WORKSPACE}: ")
    return f"Workspace {WORKSPACE}: no export came through. The last cause: {cause}"


FAILED = (
    f"Workspace {WORKSPACE}: export job {{job}} is 'failed'. Asana tells no reason. Run again; if it repeats, ask "
    "Asana's support with the job's gid."
)
ARCHIVED = FAILED.replace("failed", "archived")
WITHOUT_URL = (
    f"Workspace {WORKSPACE}: export job {{job}} is still 'succeeded, but without a file' after 200 s. The state keeps "
    "the job and the next run goes on with it; raise wait_timeout to wait longer."
)
REFUSED = (
    f"Workspace {WORKSPACE}: Asana refuses an export since 10 s (403: {BUSY.rstrip('.')}). Either another export, "
    "perhaps one of ours that lost its run, holds the workspace's one slot: wait or raise busy_timeout. Or the token "
    "may not export: use a service account's of an Enterprise+ organization."
)
NO_SLOT = (
    f"Workspace {WORKSPACE}: Asana refuses an export since 10 s (429: You've made too many requests and hit a rate "
    "limit. Please retry after the given amount of time). Asana runs five jobs of a token at a time, and others hold "
    "them: wait or raise busy_timeout."
)
FORBIDDEN = (
    "POST /exports/resource: Asana answered 403: Access denied. Either another export of this workspace is in progress "
    "(Asana runs one at a time), or the token may not export: it must belong to a service account of an Enterprise+ "
    "organization."
)
BROKEN = "the connection to storage broke ({}), and 5 more tries did not help"
UNREADABLE = "The export file could not be read: {}. Run again."
OTHERWISE_ENCODED = "storage sent the file in another encoding than before"
EXPIRED = BROKEN.format("storage answered 403 Forbidden")
NOT_FOUND = "storage answered 404 Not Found"
TOO_EARLY = is_wrong("the gzip data ends too early")
BAD_LINE = is_wrong('it is not UTF-8 but begins with b\'{{"gid": "1", "resource_type": "task", "n\'', "3")
PAGE = breaks("it is neither gzip nor JSON but begins with b'<html><body><h1>Please come back later</'", "1")


def refusing(cause: str, error: str | None = None, posts: int = 2) -> dict[str, tuple[Cell, Cell]]:
    """Of a fault that any request to the API can meet; what ends a run that gets no export, after so many posts."""
    post, get = (unreachable(each, f"Asana answered {cause}") for each in ("POST /exports/resource", "GET /jobs/{job}"))
    return {
        "request": (Cell(posts=2), Cell(error or post, posts + 1)),
        **dict.fromkeys(("poll", "resume"), (WELL, Cell(get))),
        **dict.fromkeys(BREAKS, (WELL, Cell(breaks(get.removesuffix(".")), resumes=None))),
    }


def shaping(cell: Cell) -> dict[str, tuple[Cell, Cell]]:
    """Of a fault that the file has from the start."""
    return dict.fromkeys(("request", *BREAKS, "resume"), both(cell))


def downloading(once: Cell, always: Cell) -> dict[str, tuple[Cell, Cell]]:
    """Of a fault that a connection to storage can meet."""
    return dict.fromkeys(("download", *BREAKS, "resume"), (once, always))


CELLS: dict[str, dict[str, tuple[Cell, Cell]]] = {
    "rate_limited": refusing("429 Too Many Requests", NO_SLOT, 11),
    "rate_limited_without_hint": refusing("429 Too Many Requests", NO_SLOT, 11),
    "server_error": refusing("500 Internal Server Error"),
    "unavailable": refusing("503 Service Unavailable"),
    "busy": {"request": (Cell(posts=2), Cell(REFUSED, 11 + 1))},
    "forbidden": {"request": both(Cell(FORBIDDEN, 2))},
    "failed_job": {"request": (Cell(posts=2), Cell(no_export(FAILED), 3))},
    "plain": shaping(WELL),
    "bad_line": {**shaping(Cell(BAD_LINE, 2, again=True)), "resume": both(Cell(BAD_LINE, 3, again=True))},
    "unknown_type": shaping(WELL),
    "no_newline_at_end": shaping(WELL),
    "multi_member": shaping(WELL),
    "type_last": shaping(WELL),
    "lost_answer": {
        "request": (Cell(posts=3), Cell(unreachable("POST /exports/resource", "the connection to HOST broke off"), 6))
    },
    "unknown_status": {
        "poll": both(Cell(ARCHIVED)),
        **dict.fromkeys(BREAKS, both(WELL)),
        "resume": both(Cell(ARCHIVED)),
    },
    "no_url": {
        "poll": (WELL, Cell(WITHOUT_URL)),
        "0 %": (Cell(posts=2), Cell(WITHOUT_URL, 2)),
        **dict.fromkeys(
            ("25 %", "99 %"),
            (Cell(posts=2, again=True, resumes=None), Cell(WITHOUT_URL, 2, again=True, resumes=None)),
        ),
        "resume": (WELL, Cell(WITHOUT_URL)),
    },
    "expired_url": {
        **dict.fromkeys(("poll", "0 %"), (WELL, Cell(no_export(UNREADABLE.format(EXPIRED)), 3))),
        **dict.fromkeys(("25 %", "99 %"), (WELL, Cell(breaks(EXPIRED)))),
        "resume": (WELL, Cell(no_export(UNREADABLE.format(EXPIRED)), 3, again=True)),
    },
    "drop_download": downloading(Cell(resumes=0.5), Cell(breaks(BROKEN.format("ProtocolError")), resumes=0.5)),
    "truncated": {
        **downloading(*both(Cell(TOO_EARLY))),
        **dict.fromkeys(("25 %", "99 %"), (WELL, Cell(breaks(BROKEN.format("storage sent nothing"))))),
    },
    "wrong_length": downloading(*both(Cell(resumes=1.0))),
    "content_encoding": {
        **downloading(*both(WELL)),
        **dict.fromkeys(("25 %", "99 %"), (WELL, Cell(breaks(BROKEN.format(OTHERWISE_ENCODED))))),
    },
    "html_page": {
        **dict.fromkeys(("download", "0 %", "resume"), both(Cell(PAGE))),
        **dict.fromkeys(("25 %", "99 %"), (Cell(again=True), Cell(PAGE, again=True))),
    },
    "no_such_key": {
        **dict.fromkeys(("download", "0 %"), (Cell(posts=2), Cell(no_export(UNREADABLE.format(NOT_FOUND)), 3))),
        **dict.fromkeys(("25 %", "99 %"), both(Cell(breaks(NOT_FOUND)))),
        "resume": (Cell(posts=2, again=True), Cell(no_export(UNREADABLE.format(NOT_FOUND)), 3, again=True)),
    },
    "ignore_range": dict.fromkeys(("25 %", "99 %"), both(WELL)),
}
"""By fault and phase: what the run comes to if the fault strikes once, and if it strikes always.

Where there is nothing, the fault cannot strike; what a corrupt file comes to depends on the byte.
"""


# ── runs ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def organization() -> dict[str, Any]:
    """A small organization in which nothing changes by itself."""
    return {"tasks": 12, "messages": 4, "teams": 2, "large": 0, "change_interval": 0}


@pytest.fixture
def sandbox(organization: dict[str, Any], clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox whose time passes only while the tap sleeps, and whose files come in many blocks."""
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    monkeypatch.setattr(TapAsanaExport, "limits", Limits(kept=timedelta.max, file_block=1000))
    with Sandbox(**organization, job_seconds=2, clock=clock) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def everything(organization: dict[str, Any]) -> Records:
    """What an undisturbed run brings of the organization, in this order."""
    with Sandbox(**organization, job_seconds=0, clock=Clock()) as sandbox:
        run = sync(settings_for(sandbox), state=BEFORE)
        assert {stream: run.by_gid(stream) for stream in STREAMS} == {
            stream: expected(sandbox, stream) for stream in STREAMS
        }
    return records(run)


def state_after(run: Run, state: dict[str, Any]) -> dict[str, Any]:
    """The last STATE, or what the run began with."""
    return run.state if run.of("STATE") else state


def bookmarks(state: dict[str, Any]) -> dict[str, Any]:
    """What is known of tasks and messages, but for what bounds the tables, which a request may change."""
    partitions = {stream: state["bookmarks"][stream]["partitions"][0] for stream in ("tasks", "messages")}
    return {stream: {**partition, "scope": None} for stream, partition in partitions.items()}


def records(run: Run) -> Records:
    """The records of objects, as they came."""
    return [(each["stream"], each["record"]) for each in run.of("RECORD") if each["stream"] in STREAMS]


def table(records: Records) -> dict[tuple[str, str], dict[str, Any]]:
    """What a target makes of records: the last one of each gid."""
    return {(stream, record["gid"]): record for stream, record in records}


def posts(sandbox: Sandbox) -> int:
    return sum(each.method == "POST" for each in sandbox.requests)


def last_job(sandbox: Sandbox) -> str:
    return next((each.path.split("/")[-1] for each in reversed(sandbox.requests) if "/jobs/" in each.path), "")


def resumed_at(requests: Iterable[Exchange]) -> str | None:
    """The first Range that storage was asked for."""
    return next((each.headers["range"] for each in requests if "range" in each.headers), None)


def try_cell(cell: Cell, striker: Striker, everything: Records, sandbox: Sandbox, run_tap: Callable[..., Run]) -> bool:
    """Hold a cell's runs against what they should come to; whether the fault has struck."""
    settings = settings_for(sandbox, poll_interval=sandbox.job_seconds / 2 or 0.01, busy_timeout=10, wait_timeout=200)
    sandbox.on_request = striker
    state, out = BEFORE, []
    if striker.phase == "resume":
        striker.next_run()
        first = run_tap(settings, state=state)
        assert first.code == 1
        state, out = state_after(first, state), records(first)
    striker.next_run()
    before = len(sandbox.requests)
    run = run_tap(settings, state=state)
    state, out = state_after(run, state), out + records(run)

    error = cell.error and cell.error.format(line=len(out) + 1, job=last_job(sandbox))
    last_line = run.last_line.replace(urlsplit(sandbox.api_url).netloc, "HOST") if run.code else None
    assert (run.code, last_line) == (int(error is not None), error)
    resumed = resumed_at(list(sandbox.requests)[before:])
    has_struck = striker.stop()
    if cell.error:
        assert bookmarks(state) == bookmarks(BEFORE)
        assert run.records("exports") == []
        run = run_tap(settings, state=state)
        out += records(run)
    assert run.code == 0, run.stderr
    assert bookmarks(run.state) != bookmarks(BEFORE)

    if cell.again:
        assert len(out) > len(everything)
        assert (table(out), out[-len(everything) :]) == (table(everything), everything)
    else:
        assert out == everything
    assert posts(sandbox) == cell.posts
    if striker.fault != "bad_line":
        share = 0 if cell.resumes is None else BREAKS.get(striker.phase) or cell.resumes
        start = int(run.records("exports")[0]["bytes"] * share)
        assert resumed == (f"bytes={start}-" if start else None)
    return has_struck


@pytest.mark.parametrize(
    ("fault", "phase", "often"),
    [
        (fault, phase, often)
        for fault, phases in CELLS.items()
        for phase, (once, always) in phases.items()
        for often in (["always"] if once == always else ["once", "always"])
    ],
)
def test_a_fault_ends_the_run_as_it_should_and_the_next_one_brings_the_rest(
    fault: str, phase: str, often: str, everything: Records, sandbox: Sandbox
) -> None:
    always = often == "always"
    striker = Striker(sandbox, fault, phase, always=always)
    assert try_cell(CELLS[fault][phase][always], striker, everything, sandbox, sync)


ELSEWHERE = {
    *("rate_limited_until", "too_many_jobs", "too_many_jobs_without_hint"),
    *("compact_job", "compact_export", "null_export"),
    *("no_etag", "weak_etag", "unasked_part"),
}
"""Faults that the tests of jobs and of downloads meet."""
NOT_STRIKING = [
    (fault, phase) for fault in NAMES if fault not in ELSEWHERE for phase in PHASES if phase not in CELLS.get(fault, {})
]


@pytest.mark.parametrize(("fault", "phase"), [each for each in NOT_STRIKING if each[0] != "corrupt"])
def test_a_fault_does_nothing_at_a_phase_that_it_cannot_strike(
    fault: str, phase: str, everything: Records, sandbox: Sandbox
) -> None:
    striker = Striker(sandbox, fault, phase, always=False)
    assert not try_cell(WELL, striker, everything, sandbox, sync)


@pytest.mark.parametrize(
    ("fault", "phase"),
    [("failed_job", "request"), ("html_page", "25 %"), ("truncated", "download")],
)
def test_the_command_does_the_same(
    fault: str, phase: str, organization: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    with Sandbox(**organization, job_seconds=0) as sandbox:
        everything = records(run_tap(settings_for(sandbox), state=BEFORE))
        sandbox.requests.clear()
        striker = Striker(sandbox, fault, phase, always=True)
        assert try_cell(CELLS[fault][phase][1], striker, everything, sandbox, sync)


def test_a_download_of_nothing_is_no_export(everything: Records, sandbox: Sandbox) -> None:
    settings = settings_for(sandbox, poll_interval=1)
    sandbox.faults, sandbox.fault_at = {"truncated": -1}, 0.0
    run = sync(settings, state=BEFORE)
    sandbox.faults = {}
    again = sync(settings, state=run.state)

    assert (run.code, bookmarks(run.state)) == (1, bookmarks(BEFORE))
    assert (again.code, records(again), posts(sandbox)) == (0, everything, 1)


@pytest.mark.parametrize("place", range(5, 100, 10))
def test_what_a_damaged_file_brought_is_put_right_by_the_next_run(
    place: int, everything: Records, sandbox: Sandbox
) -> None:
    settings = settings_for(sandbox, poll_interval=1)
    sandbox.faults, sandbox.fault_at = {"corrupt": 1}, place / 100
    run = sync(settings, state=BEFORE)

    assert run.code == 1
    assert run.last_line.startswith(
        f"Workspace {WORKSPACE}: the file of export job {last_job(sandbox)} breaks at line "
    )
    assert bookmarks(run.state) == bookmarks(BEFORE)
    again = sync(settings, state=run.state)
    assert (again.code, posts(sandbox)) == (0, 1)
    assert table(records(run) + records(again)) == table(everything)
