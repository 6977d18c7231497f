"""One export of a workspace or of a graph: request, wait, download, write its objects, move the bookmarks."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import requests

from tap_asana_export.checkpoint import KEPT as KEPT_WITHOUT_STATE
from tap_asana_export.checkpoint import RunningJob
from tap_asana_export.download import Download
from tap_asana_export.errors import (
    AnswerError,
    ChangedError,
    DamagedError,
    DownloadError,
    ExportError,
    FailedJobError,
    GoneError,
    JobError,
    LineError,
    UnreachableError,
    UnreadableError,
)
from tap_asana_export.jobs import Patience, look, request_export, wait
from tap_asana_export.lines import Pass, workspace_of
from tap_asana_export.plan import FIRST, format_time, parse_time, request_for
from tap_asana_export.run import pieces, tell, ways_of, write_export
from tap_asana_export.tables import Tables
from tap_asana_export.waiting import Pause, finish

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_asana_export.asana import Asana, AsanaExport, Job
    from tap_asana_export.plan import Subject
    from tap_asana_export.run import Run
    from tap_asana_export.waiting import Waiting

logger = logging.getLogger(__name__)

KEPT = timedelta(days=30)
"""How long Asana keeps the file of an export after its completion (reference of createResourceExport)."""

CACHED, CACHED_TASKS = timedelta(hours=4), 1000
"""How long Asana gives a graph's result again, if it has more tasks than this (reference of createGraphExport)."""

GONE = {requests.codes.bad_request, requests.codes.forbidden, requests.codes.not_found, requests.codes.gone}
"""Asana's answers to a look at a job that it does not know, or not any more."""

READING_PAUSE = 0.05
"""Seconds after which a file that does not come on lets others be read, and those look whether it does."""

STATE_EVERY = 10_000
"""Lines between two STATEs, as the SDK has it for records."""


SAME_FAILURES = 2
"""How often a job may fail in the same way before it is dropped, and another one asked for."""


def export(run: Run, asana: Asana, subject: Subject) -> Waiting[None]:
    """Bring one export for all selected streams; raises as `Export.run` does."""
    yield from Export(run, asana, subject).run()


class Export:
    """One export of a workspace, or of a parent's graph, for all selected streams."""

    def __init__(self, run: Run, asana: Asana, subject: Subject) -> None:
        self._run = run
        self._asana = asana
        self._subject = subject
        self._now = datetime.now(timezone.utc)
        self._state = run.exports.get_context_state(subject.context)
        self._tables = Tables(run, subject)
        self._request = request_for(subject, self._tables.wants())
        pending = self._state.get("pending")
        self._kept = None if pending else self._kept_job()
        asked_for = pending["request"] if pending else self._kept and self._kept.request
        if asked_for and asked_for != self._request.fingerprint:
            # A job that was asked for before all objects became due is finished first.
            tables = Tables(run, subject, is_interval_kept=False)
            if (request := request_for(subject, tables.wants())).fingerprint == asked_for:
                self._tables, self._request = tables, request

    def run(self) -> Waiting[None]:
        """Bring the export, write its objects, then its own record, and move the bookmarks.

        Raises:
            WaitError: the job takes longer than `wait_timeout`; the state keeps it.
            TapError: whatever else ends the export; what the state holds then is where the next run goes on.
        """
        if self._is_up_to_date():
            return
        for last_try in (False, True):
            try:
                job, export = yield from self._job_with_file()
                file, reading = yield from self._write_objects(job, export)
                break
            except (FailedJobError, GoneError) as error:
                cause = str(error)
                self._drop_pending()
            except ChangedError as error:
                cause = str(error)
                self._state["pending"]["lines"] = 0
            except (JobError, LineError) as error:
                if not self._has_failed_like_this_before(error):
                    self._run.save_state()
                    raise
                cause = f"{error} It has failed like this before, and is dropped."
                self._drop_pending()
            self._run.save_state()
            if last_try:
                raise ExportError(self._subject, cause)
            logger.warning("%s: %s Trying once more.", self._subject, cause)
        with self._run.writer.undisturbed(), self._tables.as_before_on_error():
            self._finish(job, export, file, reading)

    def _job_with_file(self) -> Waiting[tuple[Job, AsanaExport]]:
        """The pending job, or one that is asked for, as soon as its file is there."""
        patience = self._patience()
        yield from self._run.job_slots.take(min(1, patience.poll_interval))
        try:
            job = (yield from self._pending_job()) or (yield from self._request_job())
            # Before any record: targets that confirm stream by stream hold on to the first state that they get.
            self._run.save_state()
            yield Pause(0)  # all exports are asked for before any of them is read
            return job, (yield from wait(self._asana, self._subject, job, patience))
        finally:
            self._run.job_slots.give_back()

    def _finish(self, job: Job, export: AsanaExport, file: Download, reading: Pass) -> None:
        """Tell the target which rows are no more, write the export's own record, and move the bookmarks."""
        completed_at = export.completed_at or datetime.now(timezone.utc)
        picked = self._state["pending"].get("picked", False)
        for message in self._tables.finish(export, completed_at, picked=picked):
            self._run.writer.write_message(message)
        told = {
            "gid": export.gid,
            "job_gid": job.gid,
            "completed_at": format_time(completed_at),
            "full": self._tables.is_complete(picked=picked),
            "bytes": file.bytes,
        }
        write_export(self._run, self._subject, reading, export.created_at, told, self._tables.kinds)
        if picked:
            self._state["picked"] = job.gid
        self._state |= {"completed_at": format_time(completed_at), "job_gid": job.gid, "pending": None}
        if self._subject.graph:
            is_cached = reading.objects["task"] > CACHED_TASKS
            self._state["cached_until"] = format_time(completed_at + CACHED) if is_cached else None
        self._run.save_state()
        self._run.checkpoint.remove(self._subject, job.gid)

    def _has_failed_like_this_before(self, error: JobError | LineError) -> bool:
        """Whether the pending job has failed in the same way as often as it may; notes that it has once more."""
        if isinstance(error, LineError) and not error.is_of_file:
            return False  # the network broke: the file is as good as before
        pending = self._state["pending"]
        what = f"{type(error).__name__} {error.line if isinstance(error, LineError) else error.status}"
        times = pending["failures"]["times"] if (pending.get("failures") or {}).get("what") == what else 0
        pending["failures"] = {"what": what, "times": times + 1}
        return times + 1 >= SAME_FAILURES

    def _drop_pending(self) -> None:
        """Forget the pending job."""
        self._run.checkpoint.remove(self._subject, self._state["pending"]["job_gid"])
        self._state["pending"] = None

    def _is_up_to_date(self) -> bool:
        """Whether Asana would only give the result again that all tables are filled from already.

        If a table is not, the state is made to go on with the job that brought it.
        """
        cached_until = self._state.get("cached_until")
        if self._state.get("pending") or not cached_until or parse_time(cached_until) <= self._now:
            return False
        if self._run.settings["job_gids"].get(self._subject.gid) not in {None, self._state["job_gid"]}:
            return False
        self._say(self._state["job_gid"], f"Asana keeps its result, and would give it again, until {cached_until}")
        if self._tables.are_filled_by(self._state["completed_at"]):
            return True
        self._remember(self._state["job_gid"])
        return False

    def _pending_job(self) -> Waiting[Job | None]:
        """The job to go on with, if the settings, the state or the checkpoint have one for this request."""
        pending = self._state.get("pending")
        wanted = self._run.settings["job_gids"].get(self._subject.gid)
        if wanted in {self._state.get("job_gid"), self._state.get("picked"), None}:
            wanted = None
        kept, self._kept = self._kept, None
        if kept and kept.request == self._request.fingerprint and wanted in {kept.job_gid, None}:
            pending = self._remember(kept.job_gid, kept.requested_at)
        elif wanted and (pending is None or pending["job_gid"] != wanted):
            pending = self._remember(wanted, picked=True)
        if pending is None:
            return None
        job_gid = pending["job_gid"]
        if pending["request"] != self._request.fingerprint:
            self._say(job_gid, "it is in the state, but of another request; a new one is needed")
            return None
        try:
            job = yield from look(self._asana, self._subject, job_gid, self._patience())
        except AnswerError as error:
            if wanted or error.status not in GONE:
                raise
            self._say(job_gid, f"it is gone ({error.message}); a new one is needed")
            return None
        completed_at = job.export and job.export.completed_at
        if completed_at and self._now - completed_at > KEPT and not wanted:
            self._say(job_gid, "its file has expired; a new one is needed")
            return None
        if pending.get("records") != self._tables.shape:
            pending |= {"records": self._tables.shape, "lines": 0}
        self._say(job_gid, f"going on with it, after line {pending.get('lines', 0)} of its file")
        return job

    def _kept_job(self) -> RunningJob | None:
        """The job of the checkpoint, if an earlier run asked for it lately, and its state was lost."""
        kept = self._run.checkpoint.read(self._subject)
        if kept is None or kept.job_gid == self._state.get("job_gid"):
            return None
        return kept if self._now - kept.requested_at <= KEPT_WITHOUT_STATE else None

    def _request_job(self) -> Waiting[Job]:
        full = self._tables.is_full
        logger.info(
            "%s: requesting %s export of %s",
            self._subject,
            "a full" if full else "an incremental",
            ", ".join(self._tables.selected),
        )
        for kind, why in self._tables.why_whole.items():
            if why and self._tables.is_incremental(kind) and not (full and why == FIRST):
                names = ", ".join(stream.name for _, stream in self._tables.kinds[kind])
                logger.info("%s: all of %s is asked for: %s", self._subject, names, why)
        asked_at = datetime.now(timezone.utc)
        patience = self._patience()
        job = yield from request_export(
            self._asana,
            self._request,
            patience,
            self._begun,
            let_others=lambda pause: self._run.job_slots.let_others(pause, min(1, patience.poll_interval)),
        )
        if self._subject.graph and job.status == "succeeded" and job.export and job.export.created_at < asked_at:
            self._say(job.gid, f"its result is a cached one, of {format_time(job.export.created_at)}")
        return job

    def _begun(self, job: Job) -> None:
        """Keep a job that Asana has just started, in the state and beside it."""
        self._remember(job.gid)
        # First: the target that the state is for may have gone.
        self._run.checkpoint.write(
            self._subject, RunningJob(job.gid, self._request.fingerprint, datetime.now(timezone.utc))
        )
        self._run.save_state()

    def _remember(self, job_gid: str, requested_at: datetime | None = None, *, picked: bool = False) -> dict[str, Any]:
        pending = {
            "job_gid": job_gid,
            "requested_at": format_time(requested_at or datetime.now(timezone.utc)),
            "request": self._request.fingerprint,
            "records": self._tables.shape,
            "full": self._tables.is_full,
            "picked": picked,
            "etag": None,
            "lines": 0,
        }
        self._state["pending"] = pending
        self._tables.begin(picked=picked)
        return pending

    def _write_objects(self, job: Job, export: AsanaExport) -> Waiting[tuple[Download, Pass]]:
        """Write what the job's file holds, but for the lines that the target has already."""
        settings, pending = self._run.settings, self._state["pending"]
        urls = self._signed_urls(job, export.download_url)
        file = Download(urls, user_agent=settings["user_agent"], timeout=settings["request_timeout"])
        versions = self._tables.versions(export, picked=pending.get("picked", False))
        saved = pending["lines"]
        yield from self._run.reading.take(READING_PAUSE)
        try:
            with self._run.sink(self._subject, export.gid, export.created_at) as sink:
                ways = ways_of(self._tables.kinds, self._subject, sink, versions)
                reading = Pass(ways, skip=pending["lines"], repeated=self._tables.repeated())
                try:
                    for text in file.blocks_in_time(READING_PAUSE):
                        if text is None:
                            # Nothing has come for a while: other files can be read meanwhile.
                            yield from self._run.reading.let_others(Pause(0), READING_PAUSE)
                            continue
                        _require_same_file(pending, file)
                        if not reading.lines and (other := workspace_of(text)) and not self._is_of(other):
                            raise DamagedError(f"its objects are of workspace {other}")
                        for _ in pieces(reading, text, sink):
                            with self._run.writer.undisturbed():
                                pending["lines"] = max(pending["lines"], sink.flush(reading.lines))
                            if pending["lines"] >= saved + STATE_EVERY or (
                                self._run.batch and pending["lines"] > saved
                            ):
                                saved = pending["lines"]
                                self._run.save_state()
                        yield Pause(0)  # others may look at their jobs
                except (ChangedError, GoneError):
                    raise
                except (AnswerError, DownloadError, UnreachableError, UnreadableError) as error:
                    if isinstance(error, DamagedError):
                        pending["lines"] = 0
                    self._run.save_state()
                    cause = error.cause if isinstance(error, DownloadError) else str(error).removesuffix(".")
                    is_of_file = isinstance(error, DamagedError) or (isinstance(error, DownloadError) and file.is_whole)
                    raise LineError(self._subject, job.gid, reading.lines + 1, cause, is_of_file=is_of_file) from None
                if reading.lines < pending["lines"]:
                    raise ChangedError(
                        f"the file has {reading.lines} lines, but an earlier run read {pending['lines']}"
                    )
                with self._run.writer.undisturbed():
                    sink.finish()
                    pending["lines"] = reading.lines
        finally:
            self._run.reading.give_back()
        tell(f"{self._subject}: export job {job.gid}", reading, self._tables.kinds, ways)
        return file, reading

    def _is_of(self, workspace_gid: str) -> bool:
        return self._subject.graph or workspace_gid == self._subject.gid

    def _signed_urls(self, job: Job, url: str | None) -> Iterator[str]:
        """The file's URL, signed anew each time: it is good for minutes."""
        while True:
            if url is None:
                raise GoneError("Asana has no file for the job any more")
            yield url
            job = finish(look(self._asana, self._subject, job.gid, self._patience()))
            url = job.export.download_url if job.export else None

    def _say(self, job_gid: str, what: str) -> None:
        logger.info("%s: export job %s: %s", self._subject, job_gid, what)

    def _patience(self) -> Patience:
        return Patience(**{name: self._run.settings[name] for name in Patience._fields})


def _require_same_file(pending: dict[str, Any], file: Download) -> None:
    if pending["lines"] and pending.get("etag") not in {None, file.file_id}:
        raise ChangedError("storage has another file than the one whose lines went out")
    pending["etag"] = file.file_id
