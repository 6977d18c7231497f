"""One export of one workspace: plan, request, wait, download, write its objects, move the bookmarks."""

from __future__ import annotations

import dataclasses
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
from tap_asana_export.plan import (
    FIRST,
    Scope,
    Want,
    aim_for,
    bound,
    fingerprint,
    format_time,
    parse_time,
    reason_for_all,
    request_for,
    scope_of,
)
from tap_asana_export.records import TAG, activate_version_messages
from tap_asana_export.run import by_resource_type, pieces, tell, ways_of, write_export
from tap_asana_export.selection import selected_fields, usual_fields
from tap_asana_export.sources import INCREMENTAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from singer_sdk import Stream

    from tap_asana_export.asana import Asana, Job
    from tap_asana_export.asana import Export as AsanaExport
    from tap_asana_export.jobs import Pauses
    from tap_asana_export.plan import Aim, Request, Subject
    from tap_asana_export.run import Run, Selected

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
        self._selected = {each.stream.name: each for each in run.selected if each.source.graph == subject.graph}
        self._kinds = by_resource_type(self._selected.values())
        self._state = run.exports.get_context_state(subject.context)
        self._bookmarks = {
            name: selected.stream.get_context_state(subject.context) for name, selected in self._selected.items()
        }
        self._now = datetime.now(timezone.utc)
        self._scopes = {name: self._scope(selected) for name, selected in self._selected.items()}
        self._why_whole = {kind: self._reason(kind) for kind in self._kinds}
        self._aims = {name: self._aim(selected) for name, selected in self._selected.items()}
        # Lines that went out with another version would be deleted when this one is activated.
        self._shape = fingerprint([run.shape, {name: aim.complete for name, aim in self._aims.items()}])
        if not run.settings["emit_activate_version_messages"]:
            for bookmark in self._bookmarks.values():
                if "version" in bookmark:
                    bookmark["version"] = None  # from now on there are rows without one

    def run(self) -> Pauses[None]:
        """Bring the export, write its objects, then its own record, and move the bookmarks.

        Yields:
            How many seconds to wait.

        Raises:
            WaitError: the job takes longer than `wait_timeout`; the state keeps it.
            TapError: whatever else ends the export; what the state holds then is where the next run goes on.
        """
        full = all(self._why_whole.values())
        request = request_for(self._subject, [] if self._subject.graph else [self._want(kind) for kind in self._kinds])
        if self._is_up_to_date(request):
            return
        for last_try in (False, True):
            job = self._pending_job(request, full=full) or (yield from self._request(request, full=full))
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
            self._finish(job, file, reading, full=full)

    def _finish(self, job: Job, file: Download, reading: Pass, *, full: bool) -> None:
        """Tell the target which rows are no more, write the export's own record, and move the bookmarks."""
        created_at = format_time(job.export.created_at)
        completed_at = job.export.completed_at or datetime.now(timezone.utc)
        for name, (source, stream) in self._selected.items():
            bookmark, aim, before = self._bookmarks[name], self._aims[name], self._activated(stream)
            if any(self._is_incremental(kind) for kind in source.resource_types):
                bookmark["replication_key"] = "modified_at"
                # Asana: an object is up to date anywhere between the export's created_at and completed_at. A
                # later bookmark would lose what changed while the export ran.
                bookmark["replication_key_value"] = created_at
            bookmark["completed_at"] = format_time(completed_at)
            if aim.why_whole:
                bookmark["full_at"] = created_at
            bookmark["scope"] = dataclasses.asdict(aim.table) | self._bounds_of_picked()
            if (version := self._version(name, job.export)) is not None:
                bookmark["version"] = version
            if (after := self._activated(stream)) not in {before, None}:
                for activation in activate_version_messages(stream, after):
                    self._run.writer.write_message(activation)
        record = {
            "gid": job.export.gid,
            "job_gid": job.gid,
            "kind": "graph" if self._subject.graph else "resource",
            "workspace_gid": None,
            "parent_gid": None,
            **self._subject.context,
            "created_at": created_at,
            "completed_at": format_time(completed_at),
            "full": full,
            "objects": dict(sorted({**dict.fromkeys(self._kinds, 0), **reading.objects}.items())),
            "lines": reading.lines,
            "bytes": file.bytes,
        }
        write_export(self._run, self._subject, record, job.export.created_at)
        if self._state["pending"].get("picked"):
            self._state["picked"] = job.gid
        self._state |= {"completed_at": format_time(completed_at), "job_gid": job.gid, "pending": None}
        if self._subject.graph:
            is_cached = reading.objects["task"] > CACHED_TASKS
            self._state["cached_until"] = format_time(completed_at + CACHED) if is_cached else None
        self._run.save_state()

    def _reason(self, kind: str) -> str | None:
        """Why all objects of a type are asked for; None if what changed is enough."""
        if not self._is_incremental(kind):
            return "it has no other way"
        days = self._run.settings["full_export_interval"]
        full_every = timedelta(days=days) if days else None
        reasons = (
            reason_for_all(
                self._bookmarks[stream.name], self._scopes[stream.name], full_every=full_every, now=self._now
            )
            for _, stream in self._kinds[kind]
        )
        return next(filter(None, reasons), None)

    def _aim(self, selected: Selected) -> Aim:
        """What the export is to do for a stream's table, which is whole if all of its types of object are."""
        name = selected.stream.name
        reasons = [self._why_whole[kind] for kind in selected.source.resource_types]
        return aim_for(self._bookmarks[name], self._scopes[name], reasons[0] if all(reasons) else None)

    def _scope(self, selected: Selected) -> Scope:
        """What bounds the table that the settings and the catalog ask for."""
        source, stream = selected
        filters = [filters for kind in source.resource_types if (filters := self._filters(kind))]
        incremental = any(self._is_incremental(kind) for kind in source.resource_types)
        return Scope(
            start_date=self._run.settings["start_date"] if incremental else None,
            filters=fingerprint(filters) if filters else None,
            fields=fingerprint(selected_fields(stream, source.own)),
        )

    def _filters(self, kind: str) -> list[dict[str, Any]]:
        filters: Mapping[str, Any] = {} if self._subject.graph else self._run.settings["filters"]
        return filters.get(f"{kind}s") or []

    def _is_incremental(self, kind: str) -> bool:
        """Whether what changed is enough of a type's objects; the catalog may want all of them each time."""
        whole = (not source.array and stream.replication_method == "FULL_TABLE" for source, stream in self._kinds[kind])
        return kind in INCREMENTAL and not self._subject.graph and not any(whole)

    def _want(self, kind: str) -> Want:
        names = [stream.name for _, stream in self._kinds[kind]]
        bookmark, starts = None, [self._scopes[name].start_date for name in names]
        if not self._why_whole[kind]:
            bookmark = min(self._bookmarks[name]["replication_key_value"] for name in names)
            starts = [self._aims[name].table.start_date for name in names]
        start = None if None in starts else min(filter(None, starts), key=parse_time)
        after = bound(bookmark, start, self._run.settings["overlap"]) if self._is_incremental(kind) else None
        return Want(kind, self._filters(kind), fields_of(kind, self._kinds[kind]), after)

    def _version(self, name: str, export: AsanaExport) -> int | None:
        """The version of a stream's rows: that of the export if it is complete, else that of the table."""
        if not self._run.settings["emit_activate_version_messages"]:
            return None
        if self._aims[name].complete and not self._state["pending"].get("picked"):
            return int(export.created_at.timestamp())
        version: int | None = self._bookmarks[name].get("version")
        return version

    def _activated(self, stream: Stream) -> int | None:
        """The version below which no row of a stream's table is of an object that still exists.

        Targets delete what is below a version, of whatever workspace or parent it is.
        """
        versions = [each.get("version") for each in stream.stream_state.get("partitions", [])]
        return None if None in versions else min(versions, default=None)

    def _is_up_to_date(self, request: Request) -> bool:
        """Whether Asana would only give the result again that all tables are filled from already.

        If a table is not, the state is made to go on with the job that brought it.
        """
        cached_until = self._state.get("cached_until")
        if self._state.get("pending") or not cached_until or parse_time(cached_until) <= self._now:
            return False
        self._say(self._state["job_gid"], f"Asana keeps its result, and would give it again, until {cached_until}")
        filled = (
            self._bookmarks[name].get("completed_at") == self._state["completed_at"]
            and scope_of(self._bookmarks[name], scope) == scope
            for name, scope in self._scopes.items()
        )
        if all(filled):
            return True
        self._remember(self._state["job_gid"], request, full=True)
        return False

    def _pending_job(self, request: Request, *, full: bool) -> Job | None:
        """The job to go on with, if the settings or the state have one for this request."""
        pending = self._state.get("pending")
        wanted = self._run.settings["job_gids"].get(self._subject.gid)
        if wanted in {self._state.get("job_gid"), self._state.get("picked"), None}:
            wanted = None
        elif pending is None or pending["job_gid"] != wanted:
            pending = self._remember(wanted, request, full=full, picked=True)
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
        if pending.get("records") != self._shape:
            pending |= {"records": self._shape, "lines": 0}
        self._say(job_gid, f"going on with it, after line {pending.get('lines', 0)} of its file")
        return job

    def _request(self, request: Request, *, full: bool) -> Pauses[Job]:
        logger.info(
            "%s: requesting %s export of %s",
            self._subject,
            "a full" if full else "an incremental",
            ", ".join(self._selected),
        )
        for kind, why in self._why_whole.items():
            if why and self._is_incremental(kind) and not (full and why == FIRST):
                names = ", ".join(stream.name for _, stream in self._kinds[kind])
                logger.info("%s: all of %s is asked for: %s", self._subject, names, why)
        asked_at = datetime.now(timezone.utc)
        job = yield from request_export(self._asana, request, self._patience())
        if self._subject.graph and job.status == "succeeded" and job.export.created_at < asked_at:
            self._say(job.gid, f"its result is a cached one, of {format_time(job.export.created_at)}")
        self._remember(job.gid, request, full=full)
        return job

    def _remember(self, job_gid: str, request: Request, *, full: bool, picked: bool = False) -> dict[str, Any]:
        pending = {
            "job_gid": job_gid,
            "requested_at": format_time(datetime.now(timezone.utc)),
            "request": request.fingerprint,
            "records": self._shape,
            "full": full,
            "picked": picked,
            "etag": None,
            "lines": 0,
        }
        self._state["pending"] = pending
        for name, aim in self._aims.items():
            # Also of an export that breaks there are rows.
            self._bookmarks[name]["scope"] = dataclasses.asdict(aim.begun) | self._bounds_of_picked()
        return pending

    def _bounds_of_picked(self) -> dict[str, None]:
        """What is different of a table's scope after a job that job_gids named, which may hold whatever there is."""
        return {"start_date": None} if self._state["pending"].get("picked") else {}

    def _write_objects(self, job: Job) -> tuple[Download, Pass]:
        """Write what the job's file holds, but for the lines that the target has already."""
        settings, pending = self._run.settings, self._state["pending"]
        file = Download(self._signed_urls(job), user_agent=settings["user_agent"], timeout=settings["request_timeout"])
        # Asana: several filters for one type may bring an object more than once.
        repeated = [kind for kind in self._kinds if len(self._filters(kind)) > 1]
        versions = {name: self._version(name, job.export) for name in self._selected}
        saved = pending["lines"]
        with self._run.sink(self._subject, job.export.gid, job.export.created_at) as sink:
            ways = ways_of(self._kinds, self._subject, sink, versions)
            reading = Pass(ways, skip=pending["lines"], repeated=repeated)
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
        tell(f"{self._subject}: export job {job.gid}", reading, self._kinds, ways)
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
    if pending["lines"] and pending.get("etag") not in {None, file.etag}:
        raise ChangedError("storage has another file than the one whose lines went out")
    pending["etag"] = file.etag


def fields_of(kind: str, selected: Iterable[Selected]) -> list[str] | None:
    """What to ask of a type's objects for the streams that want something of them; None for what comes by itself."""
    wanted: list[str] = []
    usual: set[str] | None = None
    for source, stream in selected:
        paths = selected_fields(stream, source.own)
        if source.array:
            paths += [f"{source.gid_of}.gid"] if source.gid_of else []
            wanted += [f"{source.array}.{path}" for path in paths] or [source.array]
        else:
            wanted += paths
            usual = set(usual_fields(stream, source.own))
    if set(wanted) == usual:
        return None
    return list(dict.fromkeys(["gid", TAG, *filter(None, [INCREMENTAL.get(kind)]), *wanted]))
