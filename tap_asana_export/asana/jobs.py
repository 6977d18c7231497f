"""An export's life at Asana: ask for it, wait for a slot, wait for the job."""

from __future__ import annotations

import logging
import re
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

import requests

from tap_asana_export.asana.activity import read_last_start
from tap_asana_export.errors import AnswerError, FailedJobError, JobError, SlotError, UnreachableError, WaitError
from tap_asana_export.times import format_time
from tap_asana_export.waiting import SAY_EVERY, Pause, stop_at
from tap_asana_export.words import seconds as in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_asana_export.asana.activity import Started
    from tap_asana_export.asana.client import Asana
    from tap_asana_export.asana.models import AsanaExport, Job
    from tap_asana_export.sources import ExportRoot
    from tap_asana_export.waiting import Clock, Waiting

logger = logging.getLogger(__name__)

JOBS_AT_ONCE = 5
"""Export jobs of one token that may run side by side (https://developers.asana.com/docs/rate-limits)."""

# Asana answers 403 both to a busy slot and to a token that may not export, and publishes the text of neither.
# These words were seen in its answers to the second; anything else may be the first and is waited for.
NOT_ALLOWED = re.compile(
    r"access denied|forbidden_scopes|not authorized|permission|premium|service account", re.IGNORECASE
)
IN_PROGRESS = re.compile(r"in progress|already", re.IGNORECASE)

TOO_MANY = requests.codes.too_many_requests
HOLDERS = {
    requests.codes.forbidden: (
        "Another export holds it, perhaps one of ours that lost its run; or the token may not export."
    ),
    TOO_MANY: "Asana runs five jobs of a token at a time.",
}
"""Who may hold a slot, by the status that Asana refuses with."""

LONGEST_JOB = timedelta(hours=12)
"""How far back to look in the audit log for the start of an export that still runs."""


class PollingLimits(NamedTuple):
    """How long to wait for what, in seconds, and after how many to say so again."""

    poll_interval: float
    wait_timeout: float
    busy_timeout: float
    say_every: float = SAY_EVERY


def do_nothing(*_: object) -> None:
    """Take whatever is told, and do nothing with it."""


def just(pause: Pause) -> Waiting[None]:
    """Pause, and nothing else."""
    yield pause


def request_export(  # noqa: PLR0913 - the last two have defaults
    asana: Asana,
    root: ExportRoot,
    parameters: list[dict[str, Any]],
    limits: PollingLimits,
    begun: Callable[[Job], None],
    *,
    clock: Clock = time,
    let_others: Callable[[Pause], Waiting[None]] = just,
    refused: Callable[[], None] = do_nothing,
) -> Waiting[Job]:
    """Start an export, waiting while the workspace's one slot is busy, or the token has as many jobs as it may have.

    While a workspace's slot is busy the log says who holds it, if the token may read the workspace's audit log.

    Args:
        asana: whom to ask.
        root: what to export.
        parameters: `export_request_parameters` of a resource export; a graph export has none.
        limits: how long to wait.
        begun: takes the job before anything else can happen.
        clock: tells the time.
        let_others: makes a pause in which other workspaces may ask, as only this one's slot is busy.
        refused: is called when there is no free slot.

    Raises:
        AnswerError: Asana refuses for good.
        SlotError: no slot came free within `busy_timeout`.
        UnreachableError: no answer, twice.
        UnreadableError: a job was started, but its gid is not known.
    """
    start = clock.monotonic()
    refusal: AnswerError | None = None
    holder: Started | None = None
    lost = False

    def say() -> None:
        if refusal is not None:
            logger.info(
                "%s: waiting for an export slot since %s (%d: %s). %s",
                root,
                in_words(clock.monotonic() - start),
                refusal.status,
                refusal.message,
                held_by(refusal, holder),
            )

    def no_slot() -> Exception:
        if refusal is None:
            return UnreachableError(
                f"POST /exports for {root}", "Asana wants to be asked later than busy_timeout allows"
            )
        is_busy = lost or refusal.status == TOO_MANY or bool(IN_PROGRESS.search(refusal.message))
        by = held_by(refusal, holder) if holder else None
        return SlotError(root, clock.monotonic() - start, refusal, is_busy=is_busy, holder=by)

    deadline = start + limits.busy_timeout
    for pause in _pauses(limits.poll_interval):
        ask = asana.request_graph(root.gid, begun) if root.graph else asana.request_export(root.gid, parameters, begun)
        seconds = pause
        try:
            return (yield from stop_at(deadline, ask, no_slot, clock))
        except UnreachableError as error:
            # Perhaps only the answer was lost and the job runs. Then the slot is busy until it ends, so that asking
            # once more is refused, and waits.
            if lost or not error.may_pass:
                raise
            lost = True
            logger.warning("%s: %s Asking once more.", root, error)
        except AnswerError as error:
            if not _may_be_busy(error, root, lost=lost):
                raise
            holder = (yield from _find_holder(asana, root, error)) if refusal is None else holder
            refusal = error
            refused()
            seconds = error.retry_after or pause
            say()
        is_own_slot = refusal is not None and refusal.status != TOO_MANY and not lost
        pausing = (let_others if is_own_slot else just)(Pause(seconds, say))
        yield from stop_at(deadline, pausing, no_slot, clock)
    raise AssertionError  # the pauses never end


def held_by(refusal: AnswerError, holder: Started | None) -> str:
    """Say who holds the slot for which an export was refused, as far as that is known."""
    if holder is None:
        return HOLDERS[refusal.status]
    return f"{holder.by} started an export at {holder.at}, says the audit log."


def _find_holder(asana: Asana, root: ExportRoot, refusal: AnswerError) -> Waiting[Started | None]:
    """Look who holds the workspace's slot, if that is what an export was refused for."""
    if refusal.status == TOO_MANY or root.graph:
        return None
    return (yield from read_last_start(asana, root.gid, format_time(datetime.now(timezone.utc) - LONGEST_JOB)))


def wait(
    asana: Asana,
    root: ExportRoot,
    job: Job,
    limits: PollingLimits,
    clock: Clock = time,
    *,
    seen: Callable[[str], None] = do_nothing,
) -> Waiting[AsanaExport]:
    """Look at a job until its file is there.

    Args:
        asana: whom to ask.
        root: what is exported.
        job: as it was seen last.
        limits: how long to wait.
        clock: tells the time.
        seen: takes the job's status at each look.

    Returns:
        What the job made, with a `download_url` signed just now.

    Raises:
        FailedJobError: the job failed.
        JobError: the job reports a status that Asana does not document, or makes no export.
        WaitError: not done within `wait_timeout`.
        AnswerError: the job is unknown.
        UnreachableError: no answer.
        UnreadableError: the answer is not this job.
    """
    start = said_at = clock.monotonic()
    said = ""

    def say() -> None:
        nonlocal said, said_at
        said, said_at = job.status, clock.monotonic()
        logger.info("%s: export job %s is %s, after %s", root, job.gid, said, in_words(said_at - start))

    def too_late() -> Exception:
        status = "succeeded, but without a file" if job.status == "succeeded" else job.status
        return WaitError(root, job.gid, status, clock.monotonic() - start)

    for pause in _pauses(limits.poll_interval):
        seen(job.status)
        if job.status != said or clock.monotonic() + pause > said_at + limits.say_every:
            say()
        if job.status == "succeeded" and job.export is not None and job.export.download_url is not None:
            return job.export
        if job.status == "failed":
            raise FailedJobError(root, job.gid, job.status)
        if job.status not in {"not_started", "in_progress", "succeeded"}:
            raise JobError(root, job.gid, job.status)
        work = _wait_and_look(asana, job.gid, pause, say)
        job = yield from stop_at(start + limits.wait_timeout, work, too_late, clock)
    raise AssertionError  # the pauses never end


def look(asana: Asana, root: ExportRoot, job_gid: str, limits: PollingLimits, clock: Clock = time) -> Waiting[Job]:
    """Look at a job once, waiting for the answer no longer than for a job.

    Raises:
        WaitError: Asana wants to be asked later than `wait_timeout` allows.
        AnswerError: the job is unknown.
        UnreachableError: no answer.
        UnreadableError: the answer is not this job.
    """
    start = clock.monotonic()

    def too_late() -> Exception:
        return WaitError(root, job_gid, "not told of", clock.monotonic() - start)

    return stop_at(start + limits.wait_timeout, asana.job(job_gid), too_late, clock)


def _wait_and_look(asana: Asana, job_gid: str, seconds: float, say: Callable[[], None]) -> Waiting[Job]:
    yield Pause(seconds, say)
    return (yield from asana.job(job_gid))


def _may_be_busy(error: AnswerError, root: ExportRoot, *, lost: bool) -> bool:
    """Whether a refusal may be over soon; after a lost answer it surely is, since the token was let export."""
    if error.status == TOO_MANY:
        return True
    if error.status != requests.codes.forbidden or root.graph:  # graphs have no slot
        return False
    return lost or bool(IN_PROGRESS.search(error.message)) or not NOT_ALLOWED.search(error.message)


def _pauses(longest: float) -> Iterator[float]:
    """Pauses in seconds, each twice the one before, up to the longest."""
    pause = min(1.0, longest)
    while True:
        yield pause
        pause = min(2 * pause, longest)
