"""One export of a workspace or of a graph: request, wait, download, write its objects, move the bookmarks."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import requests

from tap_asana_export.asana import Download, PollingLimits, look, request_export, wait
from tap_asana_export.bookmarks import RootState
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
    OtherFileError,
    UnreachableError,
    UnreadableError,
)
from tap_asana_export.output.checkpoint import KEPT as KEPT_WITHOUT_STATE
from tap_asana_export.output.checkpoint import RunningJob
from tap_asana_export.records import RecordRouter, blocks_in_time, workspace_of
from tap_asana_export.replication.coverage import FIRST
from tap_asana_export.replication.request import describe_export, export_request
from tap_asana_export.replication.state import Failures, Pending
from tap_asana_export.report import ASKING, READING, WAITING_FOR_JOB, WAITING_FOR_SLOT, WAITING_TO_READ
from tap_asana_export.tables import Tables
from tap_asana_export.times import format_time
from tap_asana_export.transfer import (
    build_handlers,
    file_facts,
    log_summary,
    read_until_flush,
    unknown_fields,
    write_export_record,
)
from tap_asana_export.waiting import Pause, finish

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_asana_export.asana import Asana, AsanaExport, Job
    from tap_asana_export.errors import TapError
    from tap_asana_export.output.messages import Sink
    from tap_asana_export.sources import ExportRoot
    from tap_asana_export.transfer import RunContext
    from tap_asana_export.waiting import Waiting

logger = logging.getLogger(__name__)

CACHED = timedelta(hours=4)
"""How long Asana gives a graph's result again, if it is large (reference of createGraphExport)."""

GONE = {requests.codes.bad_request, requests.codes.forbidden, requests.codes.not_found, requests.codes.gone}
"""Asana's answers to a look at a job that it does not know, or not any more."""

READING_PAUSE = 0.05
"""Seconds after which a file that does not come on lets others be read, and those look whether it does."""

SAME_FAILURES = 2
"""How often a job may fail in the same way before it is dropped, and another one asked for."""


def export(run: RunContext, asana: Asana, root: ExportRoot) -> Waiting[None]:
    """Bring one export for all selected streams; raises as `Export.run` does."""
    yield from Export(run, asana, root).run()


class Export:
    """One export of a workspace, or of a parent's graph, for all selected streams."""

    def __init__(self, run: RunContext, asana: Asana, root: ExportRoot) -> None:
        self._run = run
        self._asana = asana
        self._root = root
        self._now = datetime.now(timezone.utc)
        self._part = run.report.part(root, root.kind, root.context)
        streams = [each.stream for each in run.selected if each.source.kind == root.kind]
        self._states = RootState(root, run.exports, streams)
        self._state = self._states.export
        self._ask_for(Tables(run, root, self._states.tables))
        self._kept = None if self._state.pending else self._kept_job()
        asked_for = self._state.pending or self._kept
        if asked_for and asked_for.request != self._request.fingerprint:
            # A job that was asked for before more became due is finished first.
            tables = Tables(run, root, self._states.tables, of_pending_job=True)
            if export_request(root, tables.requests()).fingerprint == asked_for.request:
                self._ask_for(tables)

    def _ask_for(self, tables: Tables) -> None:
        """Take what the tables need for what Asana is asked for."""
        self._tables = tables
        self._request = export_request(self._root, tables.requests())

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
                file, router = yield from self._write_objects(job, export)
                break
            except (FailedJobError, GoneError) as error:
                cause = str(error)
                self._drop_pending()
            except ChangedError as error:
                cause = str(error)
                self._pending.lines = 0
            except (JobError, LineError) as error:
                if not self._has_failed_like_this_before(error):
                    self._save_state()
                    raise
                cause = f"{error} It has failed like this before, and is dropped."
                self._drop_pending()
            self._save_state()
            if last_try:
                raise ExportError(self._root, cause)
            logger.warning("%s: %s Trying once more.", self._root, cause.removeprefix(f"{self._root}: "))
        with self._run.writer.undisturbed(), self._states.as_before_on_error():
            self._finish(job, export, file, router)

    # ── the job ───────────────────────────────────────────────────────────────────────────────────────────

    def _job_with_file(self) -> Waiting[tuple[Job, AsanaExport]]:
        """The pending job, or a new one, as soon as its file is there."""
        limits, part = self._limits(), self._part
        part.enter(ASKING)
        yield from self._run.job_slots.take(min(1, limits.poll_interval))
        try:
            job = yield from self._pending_job()
            if job is None:
                self._ask_for(Tables(self._run, self._root, self._states.tables))
                job = yield from self._request_job()
            # Before any record: targets that confirm stream by stream hold on to the first state that they get.
            self._save_state()
            part.enter(WAITING_FOR_JOB)
            yield Pause(0)  # all exports are asked for before any of them is read
            return job, (yield from wait(self._asana, self._root, job, limits, seen=self._see))
        finally:
            self._run.job_slots.give_back()

    def _see(self, status: str) -> None:
        """Note the job's status."""
        self._part.job_status = status

    def _pending_job(self) -> Waiting[Job | None]:
        """The job that the settings, the state or the checkpoint have for this request; None if there is none."""
        pending, is_named = self._pending_or_named()
        if pending is None:
            return None
        job_gid = self._part.job_gid = pending.job_gid
        if pending.request != self._request.fingerprint:
            self._say(job_gid, "it is in the state, but of another request; a new one is needed")
            return None
        self._save_state()  # also where the checkpoint or job_gids named it, before Asana is asked
        try:
            job = yield from look(self._asana, self._root, job_gid, self._limits())
        except AnswerError as error:
            if is_named or error.status not in GONE:
                raise
            self._say(job_gid, f"it is gone ({error.message}); a new one is needed")
            return None
        completed_at = job.export and job.export.completed_at
        if completed_at and self._now - completed_at > self._run.limits.kept and not is_named:
            self._say(job_gid, "its file has expired; a new one is needed")
            return None
        records = self._tables.output_fingerprint(pinned=pending.pinned)
        if pending.records != records:
            pending.records, pending.lines = records, 0
        self._say(job_gid, f"going on with it, after line {pending.lines} of its file")
        return job

    def _pending_or_named(self) -> tuple[Pending | None, bool]:
        """The job to look for, and whether the setting job_gids names it.

        A job of job_gids is read once: it is passed over when the state tells that it was.
        """
        pending = self._state.pending
        named = self._run.settings["job_gids"].get(self._root.gid)
        if named in {self._state.job_gid, self._state.pinned}:
            named = None
        kept, self._kept = self._kept, None
        if kept and kept.request == self._request.fingerprint and named in {kept.job_gid, None}:
            pending = self._remember(kept.job_gid, kept.requested_at)
        elif named and (pending is None or pending.job_gid != named):
            pending = self._remember(named, pinned=True)
        return pending, named is not None

    def _kept_job(self) -> RunningJob | None:
        """The job of the checkpoint, if an earlier run asked for it lately, and its state was lost."""
        kept = self._run.checkpoint.read(self._root)
        if kept is None or kept.job_gid == self._state.job_gid:
            return None
        return kept if self._now - kept.requested_at <= KEPT_WITHOUT_STATE else None

    def _request_job(self) -> Waiting[Job]:
        full = self._tables.is_full
        asked = describe_export(self._tables.requests(), is_full=full)
        self._part.asked = asked
        logger.info("%s: requesting %s", self._root, asked)
        reasons = {
            kind: reason
            for kind, reason in self._tables.full_reason.items()
            if reason and self._tables.is_incremental(kind)
        }
        self._part.full_reasons = reasons
        for kind, reason in reasons.items():
            if not (full and reason == FIRST):
                names = ", ".join(stream.name for _, stream in self._tables.by_type[kind])
                logger.info("%s: all of %s is asked for: %s", self._root, names, reason)
        asked_at = datetime.now(timezone.utc)
        limits = self._limits()
        job = yield from request_export(
            self._asana,
            self._root,
            self._request.parameters,
            limits,
            self._keep_job,
            let_others=lambda pause: self._run.job_slots.let_others(pause, min(1, limits.poll_interval)),
            refused=lambda: self._part.enter(WAITING_FOR_SLOT),
        )
        if self._root.graph and job.status == "succeeded" and job.export and job.export.created_at < asked_at:
            self._say(job.gid, f"its result is a cached one, of {format_time(job.export.created_at)}")
        return job

    def _keep_job(self, job: Job) -> None:
        """Keep a job that Asana has just started, in the state and beside it."""
        pending = self._remember(job.gid)
        # First: the target that the state is for may have gone.
        running = RunningJob(job.gid, self._request.fingerprint, pending.requested_at)
        self._run.checkpoint.write(self._root, running)
        self._save_state()

    def _remember(self, job_gid: str, requested_at: datetime | None = None, *, pinned: bool = False) -> Pending:
        """Make a job the pending one."""
        self._part.job_gid = job_gid
        self._state.pending = Pending(
            job_gid,
            requested_at or datetime.now(timezone.utc),
            self._request.fingerprint,
            self._tables.output_fingerprint(pinned=pinned),
            full=self._tables.is_full,
            pinned=pinned,
        )
        self._tables.begin(pinned=pinned)
        return self._state.pending

    def _drop_pending(self) -> None:
        """Forget the pending job."""
        self._run.checkpoint.remove(self._root, self._pending.job_gid)
        self._state.pending = None

    def _has_failed_like_this_before(self, error: JobError | LineError) -> bool:
        """Whether the pending job has now failed in the same way as often as it may."""
        if isinstance(error, LineError) and not error.is_of_file:
            return False  # the network broke: the file is as good as before
        what = f"{type(error).__name__} {error.line if isinstance(error, LineError) else error.status}"
        before = self._pending.failures
        times = before.times + 1 if before and before.what == what else 1
        self._pending.failures = Failures(what, times)
        return times >= SAME_FAILURES

    def _is_up_to_date(self) -> bool:
        """Whether Asana would only give the same graph again, and all tables are filled from it already.

        If a table is not, the job that brought the graph becomes the pending one.
        """
        state = self._state
        if state.pending or state.job_gid is None or not state.cached_until or state.cached_until <= self._now:
            return False
        if self._run.settings["job_gids"].get(self._root.gid) not in {None, state.job_gid}:
            return False
        until = format_time(state.cached_until)
        self._say(state.job_gid, f"Asana keeps its result, and would give it again, until {until}")
        if self._tables.are_filled_by(state.completed_at):
            return True
        self._remember(state.job_gid)
        return False

    # ── its file ──────────────────────────────────────────────────────────────────────────────────────────

    def _write_objects(self, job: Job, export: AsanaExport) -> Waiting[tuple[Download, RecordRouter]]:
        """Write what the job's file holds, except for the lines that the target has been sent already."""
        settings, limits, pending = self._run.settings, self._run.limits, self._pending
        urls = self._signed_urls(job, export.download_url)
        file = Download(
            urls, user_agent=settings["user_agent"], timeout=settings["request_timeout"], block=limits.file_block
        )
        versions = self._tables.versions(export, pinned=pending.pinned)
        self._part.enter(WAITING_TO_READ)
        yield from self._run.reading.take(READING_PAUSE)
        self._part.enter(READING)
        try:
            with self._run.sink(self._root, export.gid, export.created_at) as sink:
                handlers = build_handlers(self._tables.by_type, self._root, sink, versions, limits)
                repeated, is_utf8 = self._tables.repeated(), self._run.is_utf8
                router = RecordRouter(handlers, skip=pending.lines, repeated=repeated, limits=limits, is_utf8=is_utf8)
                try:
                    yield from self._read_lines(file, router, sink)
                    if router.lines and not router.objects:
                        # A page: an export without objects has no line.
                        raise OtherFileError("it holds nothing but white space")
                except (ChangedError, GoneError):
                    raise
                except (AnswerError, DownloadError, UnreachableError, UnreadableError) as error:
                    raise self._line_error(error, job.gid, file, router) from None
                if router.lines < pending.lines:
                    raise ChangedError(f"the file has {router.lines} lines, but an earlier run read {pending.lines}")
                with self._run.writer.undisturbed():
                    sink.finish()
                    self._count_lines(router.lines)
        finally:
            self._run.reading.give_back()
            self._run.report.count_requests("GET storage", file.requests, file.retries)
        self._note_reading(file, router)
        what = f"{self._root}: export job {job.gid}"
        self._part.records = log_summary(what, router, self._tables.by_type, handlers)
        self._part.unknown_fields = unknown_fields(router)
        return file, router

    def _note_reading(self, file: Download, router: RecordRouter) -> None:
        """Note how far reading is."""
        self._part.read(router.lines, dict(router.objects), file.bytes, file.total)

    def _read_lines(self, file: Download, router: RecordRouter, sink: Sink) -> Waiting[None]:
        """Route the lines of a file, flushing what comes of them, with a STATE now and then."""
        pending, limits = self._pending, self._run.limits
        saved = pending.lines
        inflate_ahead = self._run.inflate_ahead
        for text in blocks_in_time(file.pieces(), file.left, READING_PAUSE, limits, inflate_ahead=inflate_ahead):
            if text is None:
                # Nothing has come for a while: other files can be read meanwhile.
                yield from self._run.reading.let_others(Pause(0), READING_PAUSE)
                continue
            self._require_same_file(file)
            if not router.lines and not self._root.graph and workspace_of(text) not in {None, self._root.gid}:
                raise DamagedError(f"its objects are of workspace {workspace_of(text)}")
            for _ in read_until_flush(router, text, sink):
                with self._run.writer.undisturbed():
                    begun = time.monotonic()
                    lines = sink.flush(router.lines)
                    if lines > pending.lines:
                        self._count_lines(lines)
                    self._part.writing_seconds += time.monotonic() - begun
                if pending.lines >= saved + limits.state_lines or (self._run.batch and pending.lines > saved):
                    saved = pending.lines
                    self._save_state()
            self._note_reading(file, router)
            yield Pause(0)  # others may look at their jobs

    def _line_error(self, error: TapError, job_gid: str, file: Download, router: RecordRouter) -> LineError:
        """What ends the export when its file breaks at a line."""
        if isinstance(error, DamagedError):
            self._count_lines(0)
        self._save_state()
        cause = error.cause if isinstance(error, DownloadError) else str(error).removesuffix(".")
        ends_early = isinstance(error, DownloadError) and not isinstance(error, OtherFileError) and file.is_whole
        is_of_file = isinstance(error, DamagedError) or ends_early
        return LineError(self._root, job_gid, router.lines + 1, cause, is_of_file=is_of_file)

    def _count_lines(self, lines: int) -> None:
        """Record how many lines of the file the target has been sent, where a signal finds it."""
        self._pending.lines = lines
        self._states.store(self._state)

    def _require_same_file(self, file: Download) -> None:
        pending = self._pending
        if pending.lines and pending.file_id not in {None, file.file_id}:
            raise ChangedError("storage has another file than the one whose lines went out")
        pending.file_id = file.file_id

    def _signed_urls(self, job: Job, url: str | None) -> Iterator[str]:
        """The file's URL, signed anew each time: it is good for minutes."""
        while True:
            if url is None:
                raise GoneError("Asana has no file for the job any more")
            yield url
            job = finish(look(self._asana, self._root, job.gid, self._limits()))
            url = job.export.download_url if job.export else None

    # ── its end ───────────────────────────────────────────────────────────────────────────────────────────

    def _finish(self, job: Job, export: AsanaExport, file: Download, router: RecordRouter) -> None:
        """Tell the target which rows are of deleted objects, write the export's record, and move the bookmarks."""
        completed_at = export.completed_at or datetime.now(timezone.utc)
        pinned, state = self._pending.pinned, self._state
        before = self._tables.lowest_versions()
        self._tables.finish(export, completed_at, pinned=pinned)
        if pinned:
            state.pinned = job.gid
        state.completed_at, state.job_gid, state.pending = completed_at, job.gid, None
        if self._root.graph:
            is_cached = router.objects["task"] > self._run.limits.cached_tasks
            state.cached_until = completed_at + CACHED if is_cached else None
        self._states.store()
        for message in self._tables.activate_versions(before):
            self._run.writer.write_message(message)
        export_facts = {
            "gid": export.gid,
            "job_gid": job.gid,
            "completed_at": format_time(completed_at),
            "full": self._tables.is_complete(pinned=pinned),
            "bytes": file.bytes,
            **file_facts(router, self._tables.by_type),
        }
        write_export_record(self._run, self._root, export.created_at, export_facts)
        self._save_state()
        self._run.checkpoint.remove(self._root, job.gid)

    @property
    def _pending(self) -> Pending:
        """The pending job, where there is one."""
        pending = self._state.pending
        assert pending is not None  # noqa: S101 - from its request until the export is finished or dropped
        return pending

    def _save_state(self) -> None:
        """Send a STATE, unless the last one said the same."""
        self._states.store()
        self._run.save_state()

    def _say(self, job_gid: str, what: str) -> None:
        logger.info("%s: export job %s: %s", self._root, job_gid, what)

    def _limits(self) -> PollingLimits:
        settings = self._run.settings
        timeouts = settings["wait_timeout"], settings["busy_timeout"]
        return PollingLimits(settings["poll_interval"], *timeouts, self._run.say_every)
