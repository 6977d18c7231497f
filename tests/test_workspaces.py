"""Several workspaces: asked for together, streamed as each finishes, and none lost because another one fails."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export.asana.jobs import JOBS_AT_ONCE
from tap_asana_export.sandbox import Sandbox
from tap_asana_export.waiting import Pause, Slots, run_concurrently
from tests.support.organizations import expected
from tests.support.tap import Run, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from tests.support.clock import Clock

GIDS = ["1200000000000001", "1200000000000002", "1200000000000003"]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workspaces=3, tasks=12, messages=3, teams=2, large=0, change_interval=0, job_seconds=0) as sandbox:
        yield sandbox


def partitions(run: Run, stream: str = "exports") -> dict[str, dict[str, Any]]:
    """A stream's state by workspace."""
    return {each["context"]["workspace_gid"]: each for each in run.state["bookmarks"][stream]["partitions"]}


def exported(run: Run) -> list[str]:
    """The workspaces whose exports came through, in the order of the records."""
    return [each["workspace_gid"] for each in run.records("exports")]


def posts(sandbox: Sandbox) -> list[str]:
    return [json.loads(each.body)["data"]["workspace"] for each in sandbox.requests if each.method == "POST"]


def test_every_export_is_asked_for_before_any_is_read(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    run = run_tap(settings_for(sandbox, workspaces=GIDS))

    assert (run.code, exported(run)) == (0, GIDS)
    assert [(each.method, each.path.startswith("/api")) for each in sandbox.requests][:4] == [
        ("POST", True),
        ("POST", True),
        ("POST", True),
        ("GET", True),
    ]
    records = {each["gid"]: each for each in run.records("tasks")}
    assert records == {gid: each for workspace in GIDS for gid, each in expected(sandbox, "tasks", workspace).items()}
    assert {gid: each["pending"] for gid, each in partitions(run).items()} == dict.fromkeys(GIDS)


def test_all_jobs_are_in_the_state_before_the_first_record(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    run = run_tap(settings_for(sandbox, workspaces=GIDS))

    kinds = [message["type"] for message in run.messages]
    last_state = run.messages[kinds.index("RECORD") - 1]["value"]["bookmarks"]["exports"]["partitions"]
    assert {each["context"]["workspace_gid"]: each["pending"]["job_gid"] for each in last_state} == {
        each["workspace_gid"]: each["job_gid"] for each in run.records("exports")
    }


def test_what_finishes_first_is_streamed_first(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    sandbox.faults["failed_job"] = 1  # the first one's; it is asked for again
    run = run_tap(settings_for(sandbox, workspaces=GIDS))

    assert (run.code, sorted(exported(run)), posts(sandbox)) == (0, GIDS, [*GIDS, GIDS[0]])
    assert exported(run)[0] == GIDS[1]


def test_one_that_fails_does_not_lose_the_others_and_the_run_names_it(
    sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    gids = [GIDS[0], "99", GIDS[2]]
    run = run_tap(settings_for(sandbox, workspaces=gids))

    assert (run.code, exported(run)) == (1, [GIDS[0], GIDS[2]])
    assert run.last_line == (
        "1 of 3 exports failed. Workspace 99: POST /exports/resource: Asana answered 404: workspace: Unknown "
        "object: 99. Asana does not know it, or the token cannot see it: check the settings workspaces and "
        "graph_parents. The other 2 came through."
    )
    assert [bool(each.get("completed_at")) for each in partitions(run).values()] == [True, False, True]

    again = run_tap(settings_for(sandbox, workspaces=GIDS), state=run.state)
    assert (again.code, [each["full"] for each in again.records("exports")]) == (0, [False, True, False])


def test_when_all_fail_every_one_is_named(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    run = run_tap(settings_for(sandbox, workspaces=GIDS[:2], access_token="wrong"))  # noqa: S106 - no secret

    refused = "POST /exports/resource: Asana answered 401: Not Authorized."
    remedy = "The token is wrong, expired or revoked: set access_token, or the settings of OAuth, anew."
    assert (run.code, run.last_line) == (
        1,
        f"2 of 2 exports failed. Workspace {GIDS[0]}: {refused} {remedy} Workspace {GIDS[1]}: {refused} {remedy}",
    )


def test_a_busy_slot_does_not_keep_the_others_waiting(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    sandbox.faults["busy"] = 2
    run = run_tap(settings_for(sandbox, workspaces=GIDS))

    assert (run.code, exported(run)) == (0, [GIDS[2], *GIDS[:2]])


def test_busy_slots_of_five_workspaces_do_not_keep_a_sixth_one_waiting(run_tap: Callable[..., Run]) -> None:
    with Sandbox(workspaces=6, tasks=3, messages=1, teams=1, large=0, change_interval=0, job_seconds=0) as sandbox:
        gids = list(sandbox.organizations)
        sandbox.faults["busy"] = 5
        run = run_tap(settings_for(sandbox, workspaces=gids))

        assert (run.code, posts(sandbox)[:6], sorted(exported(run))) == (0, gids, gids)


def test_who_is_closed_while_others_have_its_slot_has_not_given_it_back_twice() -> None:
    slots = Slots(1)

    def work() -> Generator[Pause, None, None]:
        yield from slots.take(1)
        try:
            yield from slots.let_others(Pause(1), 1)
        finally:
            slots.give_back()

    for _ in range(3):
        begun = work()
        next(begun)
        begun.close()
    assert list(slots.take(1)) == []
    assert next(slots.take(1)) == Pause(1)


def test_more_workspaces_than_asana_runs_jobs_for_take_turns(run_tap: Callable[..., Run]) -> None:
    with Sandbox(workspaces=8, tasks=3, messages=1, teams=1, large=0, change_interval=0, job_seconds=0.2) as sandbox:
        run = run_tap(settings_for(sandbox, workspaces=[]))

        assert (run.code, len(exported(run))) == (0, 8)
        assert {each.status for each in sandbox.requests} == {200, 201}


def test_a_deferred_one_does_not_keep_the_others_from_coming_through(
    sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    impatient = settings_for(sandbox, workspaces=GIDS, wait_timeout=0, defer=True)
    first = run_tap(impatient)
    assert (first.code, exported(first)) == (0, [])

    sandbox.faults["no_url"] = 1  # the first one's file is not there yet
    second = run_tap(impatient, state=first.state)
    assert (second.code, exported(second)) == (0, GIDS[1:])
    jobs = {gid: each["pending"]["job_gid"] for gid, each in partitions(first).items()}
    assert {gid: each["pending"] and each["pending"]["job_gid"] for gid, each in partitions(second).items()} == {
        GIDS[0]: jobs[GIDS[0]],
        GIDS[1]: None,
        GIDS[2]: None,
    }


def test_a_signal_while_waiting_keeps_every_job(arguments: Callable[..., list[str]]) -> None:
    asked = threading.Semaphore(0)
    with Sandbox(workspaces=3, tasks=3, messages=1, teams=1, large=0, job_seconds=3600) as sandbox:
        sandbox.on_request = lambda request: asked.release() if request.method == "GET" else None
        tap = subprocess.Popen(
            arguments(settings_for(sandbox, workspaces=GIDS)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        asked.acquire()
        tap.send_signal(signal.SIGTERM)
        stdout, stderr = tap.communicate()
        run = Run(tap.returncode, stdout, stderr.decode())

        assert run.code == 128 + signal.SIGTERM
        assert [each["pending"]["lines"] for each in partitions(run).values()] == [0, 0, 0]


def work(
    name: str, pauses: list[float], said: list[str], error: Exception | None = None
) -> Generator[Pause, None, None]:
    for pause in pauses:
        said.append(f"{name} waits {pause:g}")
        yield Pause(pause, lambda: said.append(f"{name} waits on"))
    said.append(f"{name} ends")
    if error:
        raise error


def test_works_wait_together_and_each_goes_on_when_its_time_has_come(clock: Clock) -> None:
    said: list[str] = []
    start = clock.monotonic()
    error = KeyError("busy")
    works = {"a": work("a", [3, 3], said), "b": work("b", [1, 1, 3], said), "c": work("c", [4], said, error)}

    assert list(run_concurrently(works.items(), clock)) == [("c", error), ("b", None), ("a", None)]
    assert said == [
        "a waits 3",
        "b waits 1",
        "c waits 4",
        "b waits 1",
        "b waits 3",
        "a waits 3",
        "c ends",
        "b ends",
        "a ends",
    ]
    assert clock.monotonic() - start == 6


def test_a_long_pause_is_spoken_of_every_half_minute(clock: Clock) -> None:
    said: list[str] = []
    assert list(run_concurrently([("a", work("a", [75], said))], clock)) == [("a", None)]
    assert said == ["a waits 75", "a waits on", "a waits on", "a ends"]


def test_a_work_gets_a_slot_when_another_one_gives_its_own_back(clock: Clock) -> None:
    slots = Slots(JOBS_AT_ONCE)
    begun: list[tuple[int, float]] = []
    start = clock.monotonic()

    def job(number: int) -> Generator[Pause, None, None]:
        yield from slots.take(1)
        begun.append((number, clock.monotonic() - start))
        yield Pause(10 + number)
        slots.give_back()

    works = [(number, job(number)) for number in range(JOBS_AT_ONCE + 2)]
    assert [key for key, _ in run_concurrently(works, clock)] == list(range(JOBS_AT_ONCE + 2))
    assert begun == [*((number, 0) for number in range(JOBS_AT_ONCE)), (5, 10), (6, 11)]


def test_what_ends_the_process_is_not_taken_for_an_error_of_one_work_by_what_fails_on_the_way_out(clock: Clock) -> None:
    def ended() -> Generator[Pause, None, None]:
        yield Pause(1)
        try:
            raise SystemExit(143)
        finally:
            dict[str, str]()["clean-up"]

    with pytest.raises(SystemExit, match="143"):
        list(run_concurrently([("a", ended()), ("b", work("b", [1, 1], []))], clock))
