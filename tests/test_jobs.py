"""Waiting: for the workspace's one slot, and for the job."""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export.asana.client import Asana
from tap_asana_export.asana.jobs import PollingLimits, request_export, wait
from tap_asana_export.errors import AnswerError, JobError, SlotError, UnreachableError, WaitError
from tap_asana_export.sandbox import Sandbox
from tap_asana_export.sandbox.faults import BUSY, TOO_MANY
from tap_asana_export.sources import ExportRoot
from tap_asana_export.waiting import finish
from tests.support.tap import WORKSPACE, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_asana_export.asana.models import AsanaExport, Job
    from tests.support.clock import Clock
    from tests.support.tap import Run

TASKS = [{"resource_type": "task"}]
SUBJECT = ExportRoot(WORKSPACE)
PATIENCE = PollingLimits(poll_interval=30, wait_timeout=7200, busy_timeout=3600)


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    """A sandbox whose time passes only while the tap sleeps."""
    with Sandbox(
        tasks=3, messages=1, teams=1, large=0, change_interval=0, job_seconds=600, retry_after=30, clock=clock
    ) as sandbox:
        yield sandbox


@pytest.fixture
def asana(sandbox: Sandbox, clock: Clock) -> Asana:
    return Asana(sandbox.api_url, sandbox.access_token, user_agent="test", timeout=5, clock=clock)


def start(asana: Asana, clock: Clock) -> Job:
    return finish(asana.request_export(WORKSPACE, TASKS), clock)


def ask(asana: Asana, clock: Clock, patience: PollingLimits = PATIENCE) -> Job:
    """The job that an export was started as, when time passes only where the tap waits."""
    begun: list[Job] = []
    job = finish(request_export(asana, SUBJECT, TASKS, patience, begun.append, clock=clock), clock)
    assert begun == [job]
    return job


def look(asana: Asana, job: Job, clock: Clock, patience: PollingLimits = PATIENCE) -> AsanaExport:
    return finish(wait(asana, SUBJECT, job, patience, clock), clock)


def polls(sandbox: Sandbox) -> int:
    return sum(each.path.startswith("/api/1.0/jobs/") for each in sandbox.requests)


def posts(sandbox: Sandbox) -> int:
    return sum(each.method == "POST" for each in sandbox.requests)


def test_a_job_is_looked_at_soon_then_every_poll_interval(
    asana: Asana, sandbox: Sandbox, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    begin = clock.monotonic()
    job = start(asana, clock)
    export = look(asana, job, clock)

    # 1 + 2 + 4 + 8 + 16 s, then 30 s each: the first look after 600 s
    assert (clock.monotonic() - begin, polls(sandbox)) == (601, 24)
    assert export.download_url is not None
    said = [
        record.getMessage().removeprefix(f"Workspace {WORKSPACE}: export job {job.gid} is ")
        for record in caplog.records
    ]
    assert said == [
        "not_started, after 0 s",
        "not_started, after 15 s",
        "not_started, after 31 s",
        *(f"in_progress, after {seconds // 60}:{seconds % 60:02} min" for seconds in range(61, 600, 30)),
        "succeeded, after 10:01 min",
    ]


def test_waiting_is_told_of_every_half_minute_however_long_the_poll_interval(
    asana: Asana, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    times: list[float] = []

    def note(_: logging.LogRecord) -> bool:
        times.append(clock.monotonic())
        return True

    caplog.handler.addFilter(note)
    caplog.set_level(logging.INFO)
    patience = PATIENCE._replace(poll_interval=900)
    begin = clock.monotonic()
    job = ask(asana, clock, patience=patience)
    look(asana, job, clock, patience)
    ask(asana, clock, patience=patience)
    ask(asana, clock, patience=patience)

    assert clock.monotonic() - begin > 1200
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) <= 30


def test_a_job_that_takes_too_long_is_given_up_with_its_gid(asana: Asana, clock: Clock) -> None:
    job = start(asana, clock)
    with pytest.raises(WaitError) as error:
        look(asana, job, clock, PATIENCE._replace(wait_timeout=100))

    assert str(error.value) == (
        f"Workspace {WORKSPACE}: export job {job.gid} is still 'in_progress' after 91 s. The state keeps the job and "
        "the next run goes on with it; raise wait_timeout to wait longer."
    )


def test_a_status_that_asana_does_not_document_is_an_error(asana: Asana, sandbox: Sandbox, clock: Clock) -> None:
    sandbox.faults = {"unknown_status": 1}
    job = start(asana, clock)
    with pytest.raises(JobError) as error:
        look(asana, job, clock)

    assert str(error.value) == (
        f"Workspace {WORKSPACE}: export job {job.gid} is 'archived'. Asana tells no reason. "
        "Run again; if it repeats, ask Asana's support with the job's gid."
    )


def test_a_job_that_succeeded_without_a_url_is_looked_at_again(asana: Asana, sandbox: Sandbox, clock: Clock) -> None:
    sandbox.job_seconds = 0
    sandbox.faults = {"no_url": 3}
    export = look(asana, start(asana, clock), clock)

    assert (polls(sandbox), export.download_url is not None) == (4, True)


def test_while_a_slot_is_busy_the_log_says_since_when_and_by_whom(run_tap: Callable[..., Run]) -> None:
    with Sandbox(tasks=3, messages=1, teams=1, large=0, change_interval=0, job_seconds=0) as sandbox:
        run_tap(settings_for(sandbox))
        sandbox.faults = {"busy": 1}
        run = run_tap(settings_for(sandbox))
        [started, _] = [each for each in sandbox.audit_log(WORKSPACE) if each["event_type"] == "object_export_started"]

    assert run.code == 0
    assert (
        f"Workspace {WORKSPACE}: waiting for an export slot since 0 s (403: {BUSY.rstrip('.')}). "
        f"{started['actor']['name']} started an export at {started['created_at']}, says the audit log."
    ) in run.stderr


@pytest.mark.parametrize("status", [402, 403, 404, 500])
def test_a_busy_slot_is_waited_for_also_if_the_token_may_not_read_the_audit_log(
    status: int, asana: Asana, sandbox: Sandbox, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sandbox.refused_lists = {"audit_log_events": status}
    first = start(asana, clock)
    second = ask(asana, clock)

    assert second.gid != first.gid
    assert caplog.records[0].getMessage() == (
        f"Workspace {WORKSPACE}: waiting for an export slot since 0 s (403: {BUSY.rstrip('.')}). Another export holds "
        "it, perhaps one of ours that lost its run; or the token may not export."
    )


def test_a_slot_that_stays_busy_is_given_up_after_busy_timeout(asana: Asana, sandbox: Sandbox, clock: Clock) -> None:
    sandbox.faults = {"busy": -1}
    begin = clock.monotonic()
    with pytest.raises(SlotError):
        ask(asana, clock)

    assert 3600 - 30 <= clock.monotonic() - begin <= 3600


def test_a_token_that_may_not_export_fails_at_once(asana: Asana, sandbox: Sandbox, clock: Clock) -> None:
    sandbox.faults = {"forbidden": -1}
    with pytest.raises(AnswerError) as error:
        ask(asana, clock)

    assert posts(sandbox) == 1
    assert str(error.value) == (
        "POST /exports/resource: Asana answered 403: Access denied. Either another export of this workspace is in "
        "progress (Asana runs one at a time), or the token may not export: it must belong to a service account of an "
        "Enterprise+ organization."
    )


def test_a_request_whose_answer_was_lost_is_asked_once_more_and_waits_for_the_slot_it_holds(
    asana: Asana, sandbox: Sandbox, clock: Clock
) -> None:
    sandbox.faults = {"lost_answer": 1}
    job = ask(asana, clock)

    statuses = [each.status for each in sandbox.requests if each.method == "POST"]
    assert (statuses[0], set(statuses[1:-1]), statuses[-1]) == (201, {403}, 201)
    assert look(asana, job, clock).download_url is not None


def test_requests_that_never_get_an_answer_are_given_up(asana: Asana, sandbox: Sandbox, clock: Clock) -> None:
    sandbox.faults = {"server_error": -1}
    with pytest.raises(UnreachableError) as error:
        ask(asana, clock)

    assert posts(sandbox) == 2
    assert str(error.value) == (
        "POST /exports/resource: Asana answered 500 Internal Server Error. Check the network and "
        "https://status.asana.com, then run again: a running job is kept in the state."
    )


@pytest.mark.parametrize("fault", ["rate_limited", "rate_limited_without_hint", "server_error", "unavailable"])
def test_a_poll_that_fails_is_repeated_after_a_pause(fault: str, asana: Asana, sandbox: Sandbox, clock: Clock) -> None:
    job = start(asana, clock)
    sandbox.faults = {fault: 3}
    begin = clock.monotonic()

    assert finish(asana.job(job.gid), clock).gid == job.gid
    waited = clock.monotonic() - begin
    if fault == "rate_limited":
        assert waited == 90
    else:
        assert 6 <= waited <= 9  # 0, 2 and 4 s, and up to 1 s of jitter each


def test_a_token_with_too_many_jobs_is_waited_for_as_asana_says(
    asana: Asana, sandbox: Sandbox, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sandbox.faults = {"rate_limited": 2, "rate_limited_without_hint": 3}
    begin = clock.monotonic()

    assert ask(asana, clock).status == "not_started"
    assert clock.monotonic() - begin == 30 + 30 + 4 + 8 + 16
    assert caplog.records[0].getMessage() == (
        f"Workspace {WORKSPACE}: waiting for an export slot since 0 s (429: {TOO_MANY.rstrip('.')}). "
        "Asana runs five jobs of a token at a time."
    )


def test_a_token_that_keeps_too_many_jobs_is_given_up_after_busy_timeout(
    asana: Asana, sandbox: Sandbox, clock: Clock
) -> None:
    sandbox.faults = {"rate_limited": -1}
    begin = clock.monotonic()
    with pytest.raises(SlotError) as error:
        ask(asana, clock)

    assert clock.monotonic() - begin == 3600
    assert (error.value.is_busy, str(error.value)) == (
        True,
        f"Workspace {WORKSPACE}: Asana refuses an export since 3600 s (429: {TOO_MANY.rstrip('.')}). "
        "Asana runs five jobs of a token at a time, and others hold them: wait or raise busy_timeout.",
    )


def test_a_request_that_was_never_sent_is_given_up_soon_when_nothing_was_ever_answered(clock: Clock) -> None:
    nobody = Asana("http://127.0.0.1:9", "token", user_agent="test", timeout=5, clock=clock)
    begin = clock.monotonic()
    with pytest.raises(UnreachableError) as error:
        finish(nobody.request_export(WORKSPACE, TASKS), clock)

    assert 2 <= clock.monotonic() - begin <= 4
    assert str(error.value) == (
        "POST /exports/resource: there is no connection to 127.0.0.1:9 (Connection refused). "
        "Check the network and the setting api_url."
    )


def test_a_request_that_was_never_sent_is_repeated_for_a_minute_when_the_network_was_good(
    sandbox: Sandbox, asana: Asana, clock: Clock
) -> None:
    job = start(asana, clock)
    sandbox.close()
    begin = clock.monotonic()
    with pytest.raises(UnreachableError):
        finish(asana.job(job.gid), clock)

    assert 62 <= clock.monotonic() - begin <= 68


def test_a_poll_is_not_repeated_forever(asana: Asana, sandbox: Sandbox, clock: Clock) -> None:
    job = start(asana, clock)
    sandbox.faults = {"unavailable": -1}
    with pytest.raises(UnreachableError):
        finish(asana.job(job.gid), clock)

    assert polls(sandbox) == 7


def test_a_failed_job_is_requested_once_more(run_tap: Callable[..., Run]) -> None:
    settings: dict[str, Any] = {"poll_interval": 0.01, "sandbox": {"tasks": 3, "large": 0, "job_seconds": 0}}
    once = run_tap({**settings, "sandbox": {**settings["sandbox"], "faults": {"failed_job": 1}}})
    twice = run_tap({**settings, "sandbox": {**settings["sandbox"], "faults": {"failed_job": 2}}})

    assert (once.code, len(once.records("tasks"))) == (0, 3)
    assert (twice.code, twice.records("tasks")) == (1, [])
    assert "is 'failed'. Asana tells no reason." in twice.last_line
    assert twice.state["bookmarks"]["exports"]["partitions"][0]["pending"] is None
