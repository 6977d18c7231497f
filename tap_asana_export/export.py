"""One export of a workspace or of a graph: request, wait, download, write its objects, move the bookmarks."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import requests

from tap_asana_export.download import Download
from tap_asana_export.errors import (
    AnswerError,
    ChangedError,
    DamagedError,
    DownloadError,
    ExportError,
    FailedJobError,
    GoneError,
    LineError,
    UnreachableError,
)
from tap_asana_export.jobs import Patience, request_export, wait
from tap_asana_export.lines import Pass
from tap_asana_export.plan import FIRST, format_time, parse_time, request_for
from tap_asana_export.run import pieces, tell, ways_of, write_export
from tap_asana_export.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_asana_export.asana import Asana, Job
    from tap_asana_export.jobs import Pauses
    from tap_asana_export.plan import Request, Subject
    from tap_asana_export.run import Run

logger = logging.getLogger(__name__)

KEPT = timedelta(days=30)
"""How long Asana keeps the file of an export after its completion (reference of createResourceExport)."""

CACHED, CACHED_TASKS = timedelta(hours=4), 1000
"""How long Asana gives a graph's result again, if it has more tasks than this (reference of createGraphExport)."""

STATE_EVERY = 10_000
"""Lines between two STATEs, as the SDK has it for records."""


class Export:
    """One export of a workspace, or of a parent's graph, for all selected streams."""

    def __init__(self, run: Run, asana: Asana, subject: Subject) -> None:
        self._run = run
        self._asana = asana
        self._subject = subject
        self._tables = Tables(run, subject)
        self._state = run.exports.get_context_state(subject.context)
        self._now = datetime.now(timezone.utc)

    def run(self) -> Pauses[None]:
        """Bring the export, write its objects, then its own record, and move the bookmarks.

        Yields:
            How many seconds to wait.

        Raises:
            WaitError: the job takes longer than `wait_timeout`; the state keeps it.
            TapError: whatever else ends the export; what the state holds then is where the next run goes on.
        """
        request = request_for(self._subject, self._tables.wants())
        if self._is_up_to_date(request):
            return
        for last_try in (False, True):
            job = self._pending_job(request) or (yield from self._request(request))
            # Before any record: targets that confirm stream by stream hold on to the first state that they get.
            self._run.save_state()
            yield 0.0  # all exports are asked for before any of them is read
            try:
                job = yield from wait(self._asana, self._subject, job, self._patience())
                file, reading = self._write_objects(job)
                break
            except (FailedJobError, GoneError) as error:
                self._state["pending"] = None
                cause = str(error)
            except ChangedError as error:
                self._state["pending"]["lines"] = 0
                cause = str(error)
            self._run.save_state()
            if last_try:
                raise ExportError(self._subject, job.gid, cause)
            logger.warning("%s: export job %s: %s Trying once more.", self._subject, job.gid, cause)
        with self._run.writer.undisturbed():
            self._finish(job, file, reading)

    def _finish(self, job: Job, file: Download, reading: Pass) -> None:
        """Tell the target which rows are no more, write the export's own record, and move the bookmarks."""
        completed_at = job.export.completed_at or datetime.now(timezone.utc)
        picked = self._state["pending"].get("picked", False)
        for message in self._tables.finish(job.export, completed_at, picked=picked):
            self._run.writer.write_message(message)
        told = {
            "gid": job.export.gid,
            "job_gid": job.gid,
            "completed_at": format_time(completed_at),
            "full": self._tables.is_complete(picked=picked),
            "bytes": file.bytes,
        }
        write_export(self._run, self._subject, reading, job.export.created_at, told, self._tables.kinds)
        if picked:
            self._state["picked"] = job.gid
        self._state |= {"completed_at": format_time(completed_at), "job_gid": job.gid, "pending": None}
        if self._subject.graph:
            is_cached = reading.objects["task"] > CACHED_TASKS
            self._state["cached_until"] = format_time(completed_at + CACHED) if is_cached else None
        self._run.save_state()

    def _is_up_to_date(self, request: Request) -> bool:
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
        self._remember(self._state["job_gid"], request)
        return False

    def _pending_job(self, request: Request) -> Job | None:
        """The job to go on with, if the settings or the state have one for this request."""
        pending = self._state.get("pending")
        wanted = self._run.settings["job_gids"].get(self._subject.gid)
        if wanted in {self._state.get("job_gid"), self._state.get("picked"), None}:
            wanted = None
        elif pending is None or pending["job_gid"] != wanted:
            pending = self._remember(wanted, request, picked=True)
        if pending is None:
            return None
        job_gid = pending["job_gid"]
        if pending["request"] != request.fingerprint:
            self._say(job_gid, "it is in the state, but of another request; a new one is needed")
            return None
        try:
            job = self._asana.job(job_gid)
        except AnswerError as error:
            if wanted or error.status not in {requests.codes.forbidden, requests.codes.not_found}:
                raise
            self._say(job_gid, f"it is gone ({error.message}); a new one is needed")
            return None
        completed_at = job.export.completed_at
        if completed_at and self._now - completed_at > KEPT and not wanted:
            self._say(job_gid, "its file has expired; a new one is needed")
            return None
        if pending.get("records") != self._tables.shape:
            pending |= {"records": self._tables.shape, "lines": 0}
        self._say(job_gid, f"going on with it, after line {pending.get('lines', 0)} of its file")
        return job

    def _request(self, request: Request) -> Pauses[Job]:
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
        job = yield from request_export(self._asana, request, self._patience())
        if self._subject.graph and job.status == "succeeded" and job.export.created_at < asked_at:
            self._say(job.gid, f"its result is a cached one, of {format_time(job.export.created_at)}")
        self._remember(job.gid, request)
        return job

    def _remember(self, job_gid: str, request: Request, *, picked: bool = False) -> dict[str, Any]:
        pending = {
            "job_gid": job_gid,
            "requested_at": format_time(datetime.now(timezone.utc)),
            "request": request.fingerprint,
            "records": self._tables.shape,
            "full": self._tables.is_full,
            "picked": picked,
            "etag": None,
            "lines": 0,
        }
        self._state["pending"] = pending
        self._tables.begin(picked=picked)
        return pending

    def _write_objects(self, job: Job) -> tuple[Download, Pass]:
        """Write what the job's file holds, but for the lines that the target has already."""
        settings, pending = self._run.settings, self._state["pending"]
        file = Download(self._signed_urls(job), user_agent=settings["user_agent"], timeout=settings["request_timeout"])
        versions = self._tables.versions(job.export, picked=pending.get("picked", False))
        saved = pending["lines"]
        with self._run.sink(self._subject, job.export.gid, job.export.created_at) as sink:
            ways = ways_of(self._tables.kinds, self._subject, sink, versions)
            reading = Pass(ways, skip=pending["lines"], repeated=self._tables.repeated())
            try:
                for text in file.blocks():
                    _require_same_file(pending, file)
                    for _ in pieces(reading, text, sink):
                        with self._run.writer.undisturbed():
                            pending["lines"] = max(pending["lines"], sink.flush(reading.lines))
                        if pending["lines"] >= saved + STATE_EVERY or (self._run.batch and pending["lines"] > saved):
                            saved = pending["lines"]
                            self._run.save_state()
            except (ChangedError, GoneError):
                raise
            except (AnswerError, DownloadError, UnreachableError) as error:
                if isinstance(error, DamagedError):
                    pending["lines"] = 0
                self._run.save_state()
                cause = error.cause if isinstance(error, DownloadError) else str(error).removesuffix(".")
                raise LineError(self._subject, job.gid, reading.lines + 1, cause) from None
            if reading.lines < pending["lines"]:
                raise ChangedError(f"the file has {reading.lines} lines, but an earlier run read {pending['lines']}")
            with self._run.writer.undisturbed():
                sink.finish()
                pending["lines"] = reading.lines
        tell(f"{self._subject}: export job {job.gid}", reading, self._tables.kinds, ways)
        return file, reading

    def _signed_urls(self, job: Job) -> Iterator[str]:
        """The file's URL, signed anew each time: it is good for minutes."""
        while True:
            if job.export.download_url is None:
                raise GoneError("Asana has no file for the job any more")
            yield job.export.download_url
            job = self._asana.job(job.gid)

    def _say(self, job_gid: str, what: str) -> None:
        logger.info("%s: export job %s: %s", self._subject, job_gid, what)

    def _patience(self) -> Patience:
        return Patience(**{name: self._run.settings[name] for name in Patience._fields})


def _require_same_file(pending: dict[str, Any], file: Download) -> None:
    if pending["lines"] and pending.get("etag") not in {None, file.file_id}:
        raise ChangedError("storage has another file than the one whose lines went out")
    pending["etag"] = file.file_id
