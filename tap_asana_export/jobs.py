"""An export's life at Asana: ask for it, wait for the workspace's one slot, wait for the job.

Where one waits, others may go on: what waits is a generator that yields for how many seconds, and `take_turns` lets
several of them wait together.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import re
import time
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

import requests

from tap_asana_export.errors import (
    AnswerError,
    FailedJobError,
    JobError,
    SlotError,
    TapError,
    UnreachableError,
    WaitError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from tap_asana_export.asana import Asana, Clock, Job
    from tap_asana_export.plan import Request, Subject

T = TypeVar("T")
K = TypeVar("K")

logger = logging.getLogger(__name__)

Pauses: TypeAlias = "Generator[float, None, T]"
"""Work that yields how many seconds it wants to wait, and ends with a result."""

JOBS_AT_ONCE = 5
"""Export jobs of one token that may run side by side (https://developers.asana.com/docs/rate-limits)."""

LOG_EVERY = 60.0
"""Seconds of silence while waiting, at the most."""

# Asana answers 403 both to a busy slot and to a token that may not export, and publishes the text of neither.
# These words were seen in its answers to the second; anything else may be the first and is waited for.
NOT_ALLOWED = re.compile(
    r"access denied|forbidden_scopes|not authorized|permission|premium|service account", re.IGNORECASE
)
IN_PROGRESS = re.compile(r"in progress|already", re.IGNORECASE)


class Patience(NamedTuple):
    """How long to wait for what, in seconds."""

    poll_interval: float
    wait_timeout: float
    busy_timeout: float


def request_export(asana: Asana, request: Request, patience: Patience, clock: Clock = time) -> Pauses[Job]:
    """Start an export, waiting while the workspace's one slot is busy; the graph of a parent has no slot.

    Raises:
        AnswerError: Asana refuses for good.
        SlotError: the slot was busy for `busy_timeout`.
        UnreachableError: no answer, twice.
    """
    subject = request.subject
    if subject.graph:
        return asana.request_graph(subject.gid)
    start = clock.monotonic()
    refusal = ""
    lost = False

    def say() -> None:
        logger.info(
            "%s: waiting for its export slot since %.0f s (403: %s). Another export holds it, perhaps one of ours "
            "that lost its run; or the token may not export.",
            subject,
            clock.monotonic() - start,
            refusal,
        )

    for pause in _pauses(patience.poll_interval):
        try:
            return asana.request_export(subject.gid, request.parameters)
        except UnreachableError as error:
            # Perhaps only the answer was lost and the job runs. Then the slot is busy until it ends, so that asking
            # once more is refused, and waits.
            if lost:
                raise
            lost = True
            logger.warning("%s: %s Asking once more.", subject, error)
        except AnswerError as error:
            if not _may_be_busy(error, lost=lost):
                raise
            refusal = error.message
            waited = clock.monotonic() - start
            if waited + pause > patience.busy_timeout:
                raise SlotError(subject, waited, refusal) from None
            say()
        yield from _pause(pause, say)
    raise AssertionError  # the pauses never end


def wait(asana: Asana, subject: Subject, job: Job, patience: Patience, clock: Clock = time) -> Pauses[Job]:
    """Look at a job until its file is there.

    Returns:
        The job, with a `download_url` signed just now.

    Raises:
        FailedJobError: the job failed.
        JobError: the job reports a status that Asana does not document.
        WaitError: not done within `wait_timeout`.
        AnswerError: the job is unknown.
        UnreachableError: no answer.
    """
    start = said_at = clock.monotonic()
    said = ""

    def say() -> None:
        nonlocal said, said_at
        said, said_at = job.status, clock.monotonic()
        logger.info("%s: export job %s is %s, after %.0f s", subject, job.gid, said, said_at - start)

    for pause in _pauses(patience.poll_interval):
        if job.status != said or clock.monotonic() + pause > said_at + LOG_EVERY:
            say()
        if job.status == "succeeded" and job.export.download_url is not None:
            return job
        if job.status == "failed":
            raise FailedJobError(subject, job.gid, job.status)
        if job.status not in {"not_started", "in_progress", "succeeded"}:
            raise JobError(subject, job.gid, job.status)
        waited = clock.monotonic() - start
        if waited + pause > patience.wait_timeout:
            raise WaitError(subject, job.gid, job.status, waited)
        yield from _pause(pause, say)
        job = asana.job(job.gid)
    raise AssertionError  # the pauses never end


def _may_be_busy(error: AnswerError, *, lost: bool) -> bool:
    """Whether a refusal may be over soon; after a lost answer it surely is, since the token was let export."""
    if error.status != requests.codes.forbidden:
        return False
    return lost or bool(IN_PROGRESS.search(error.message)) or not NOT_ALLOWED.search(error.message)


def _pauses(longest: float) -> Iterator[float]:
    """Pauses in seconds, each twice the one before, up to the longest."""
    pause = min(1.0, longest)
    while True:
        yield pause
        pause = min(2 * pause, longest)


def _pause(seconds: float, say: Callable[[], None]) -> Pauses[None]:
    """Wait, but say something whenever it takes long."""
    while seconds > LOG_EVERY:
        yield LOG_EVERY
        say()
        seconds -= LOG_EVERY
    yield seconds


def take_turns(works: Iterable[tuple[K, Pauses[None]]], clock: Clock = time) -> Iterator[tuple[K, TapError | None]]:
    """Let works wait together, `JOBS_AT_ONCE` at a time; as each ends, yield its key and the error that ended it."""
    waiting = iter(works)
    turns: list[tuple[float, int, K, Pauses[None]]] = []
    numbers = itertools.count()

    def begin(most: int) -> None:
        for key, work in itertools.islice(waiting, most):
            heapq.heappush(turns, (clock.monotonic(), next(numbers), key, work))

    begin(JOBS_AT_ONCE)
    while turns:
        due, _, key, work = heapq.heappop(turns)
        clock.sleep(max(0.0, due - clock.monotonic()))
        try:
            pause = next(work)
        except StopIteration:
            yield key, None
        except TapError as error:
            yield key, error
        else:
            heapq.heappush(turns, (clock.monotonic() + pause, next(numbers), key, work))
            continue
        begin(1)
