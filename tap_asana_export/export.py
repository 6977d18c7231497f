"""One export of one workspace: plan, request, wait, download, write its objects, move the bookmarks."""

from __future__ import annotations

import dataclasses
import logging
import os
import stat
from dataclasses import dataclass
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
from tap_asana_export.plan import Scope, Want, aim_for, bound, fingerprint, format_time, request_for
from tap_asana_export.records import Pass, activate_version_messages, record_messages, way
from tap_asana_export.selection import deselected, fields_to_ask, selected_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from singer_sdk import Stream

    from tap_asana_export.asana import Asana, Job
    from tap_asana_export.jobs import Pauses
    from tap_asana_export.output import MessageWriter
    from tap_asana_export.plan import Aim, Request

logger = logging.getLogger(__name__)

KEPT = timedelta(days=30)
"""How long Asana keeps the file of an export after its completion (reference of createResourceExport)."""

STATE_EVERY = 10_000
"""Lines between two STATEs, as the SDK has it for records."""


def under_meltano_config_test() -> bool:
    """Whether the process was started by `meltano config test`, which kills an export at its first record.

    Nothing tells but how it was started (Meltano 4.4): with stdout and stderr in one pipe. `meltano run` keeps them
    apart, as must whoever feeds a target.
    """
    out, err = os.fstat(1), os.fstat(2)
    return "MELTANO_EXTRACTOR_NAME" in os.environ and stat.S_ISFIFO(out.st_mode) and out.st_ino == err.st_ino


def check_access(asana: Asana, workspace_gids: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Look at each workspace with the token, and yield a record that says so.

    Whether the token may also export is known only when an export is requested.

    Raises:
        AnswerError: Asana refuses the token, or does not know a workspace.
    """
    for workspace_gid in workspace_gids:
        try:
            asana.workspace(workspace_gid)
        except AnswerError as error:
            # A service account scoped to data export may be kept from the rest of the API.
            if error.status != requests.codes.forbidden:
                raise
            logger.warning("Workspace %s: %s", workspace_gid, error)
        logger.info(
            "Workspace %s: the token is accepted. This was only a test: no export was requested.",
            workspace_gid,
        )
        yield {"gid": f"access-check-{workspace_gid}", "kind": "access_check", "workspace_gid": workspace_gid}


@dataclass(frozen=True)
class Run:
    """What the exports of one run have in common.

    Attributes:
        exports: the stream of the exports' own records, whose state remembers pending jobs.
        streams: the selected streams, by the `resource_type` of their objects.
        save_state: sends a STATE.
        shape: a fingerprint of what the records look like; lines that went out in another shape do not count.
    """

    asana: Asana
    settings: Mapping[str, Any]
    exports: Stream
    streams: Mapping[str, Stream]
    writer: MessageWriter
    save_state: Callable[[], None]
    shape: str


class WorkspaceExport:
    """One export of one workspace, for all selected streams."""

    def __init__(self, run: Run, workspace_gid: str) -> None:
        self._run = run
        self._workspace_gid = workspace_gid
        context = {"workspace_gid": workspace_gid}
        self._state = run.exports.get_context_state(context)
        self._bookmarks = {kind: stream.get_context_state(context) for kind, stream in run.streams.items()}
        now = datetime.now(timezone.utc)
        self._aims = {kind: self._aim(kind, now) for kind in run.streams}

    def run(self) -> Pauses[None]:
        """Bring the export, write its objects, then its own record, and move the bookmarks.

        Yields:
            How many seconds to wait.

        Raises:
            WaitError: the job takes longer than `wait_timeout`; the state keeps it.
            TapError: whatever else ends the run; what the state holds then is where the next run goes on.
        """
        full = all(aim.why_whole for aim in self._aims.values())
        request = request_for(self._workspace_gid, [self._want(kind) for kind in self._run.streams])
        for last_try in (False, True):
            job = self._pending_job(request, full=full) or (yield from self._request(request, full=full))
            # Before any record: targets that confirm stream by stream hold on to the first state that they get.
            self._run.save_state()
            yield 0.0  # every workspace asks for its export before any of them reads one
            try:
                job = yield from wait(self._run.asana, self._workspace_gid, job, self._patience())
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
                raise ExportError(self._workspace_gid, job.gid, cause)
            logger.warning("Workspace %s: export job %s: %s Trying once more.", self._workspace_gid, job.gid, cause)
        with self._run.writer.undisturbed():
            self._finish(job, file, reading, full=full)

    def _finish(self, job: Job, file: Download, reading: Pass, *, full: bool) -> None:
        """Tell the target which rows are no more, write the export's own record, and move the bookmarks."""
        export = job.new_resource_export
        created_at = format_time(export.created_at)
        completed_at = format_time(export.completed_at or datetime.now(timezone.utc))
        for kind, stream in self._run.streams.items():
            bookmark, aim, before = self._bookmarks[kind], self._aims[kind], self._activated(kind)
            if is_incremental(stream):
                bookmark["replication_key"] = stream.replication_key
                # Asana: an object is up to date anywhere between the export's created_at and completed_at. A
                # later bookmark would lose what changed while the export ran.
                bookmark["replication_key_value"] = created_at
            bookmark["completed_at"] = completed_at
            if aim.why_whole:
                bookmark["full_at"] = created_at
            bookmark["scope"] = dataclasses.asdict(aim.table)
            if (version := self._version(kind, export.created_at)) or "version" in bookmark:
                bookmark["version"] = version
            if (after := self._activated(kind)) not in {before, None}:
                for activation in activate_version_messages(stream, after):
                    self._run.writer.write_message(activation)
        record = {
            "gid": export.gid,
            "job_gid": job.gid,
            "kind": "resource",
            "workspace_gid": self._workspace_gid,
            "parent_gid": None,
            "created_at": created_at,
            "completed_at": completed_at,
            "full": full,
            "objects": dict(sorted(reading.objects.items())),
            "lines": reading.lines,
            "bytes": file.bytes,
        }
        exports = self._run.exports
        if exports.selected:
            unwanted = deselected(exports.effective_schema, exports.mask)
            for message in record_messages(exports, record, unwanted, export.created_at):
                self._run.writer.write_message(message)
        self._state |= {"completed_at": completed_at, "job_gid": job.gid, "pending": None}
        self._run.save_state()

    def _aim(self, kind: str, now: datetime) -> Aim:
        stream, settings = self._run.streams[kind], self._run.settings
        filters = settings["filters"].get(stream.name)
        incremental, days = is_incremental(stream), settings["full_export_interval"]
        scope = Scope(
            start_date=settings["start_date"] if incremental else None,
            filters=fingerprint(filters) if filters else None,
            fields=fingerprint(selected_fields(stream)),
        )
        full_every = timedelta(days=days) if days else None
        return aim_for(self._bookmarks[kind], scope, incremental=incremental, full_every=full_every, now=now)

    def _want(self, kind: str) -> Want:
        stream, settings = self._run.streams[kind], self._run.settings
        bookmark = None if self._aims[kind].why_whole else self._bookmarks[kind]["replication_key_value"]
        after = bound(bookmark, settings["start_date"], settings["overlap"]) if is_incremental(stream) else None
        return Want(kind, settings["filters"].get(stream.name, []), fields_to_ask(stream), after)

    def _version(self, kind: str, created_at: datetime) -> int | None:
        """The version of a stream's rows: that of the export if it is complete, else that of the table."""
        if not self._run.settings["emit_activate_version_messages"]:
            return None
        if self._aims[kind].complete and not self._state["pending"].get("picked"):
            return int(created_at.timestamp())
        version: int | None = self._bookmarks[kind].get("version")
        return version

    def _activated(self, kind: str) -> int | None:
        """The version below which no row of a stream's table is of an object that still exists, in any workspace.

        Targets delete what is below a version without looking at the workspace.
        """
        versions = [each.get("version") for each in self._run.streams[kind].stream_state.get("partitions", [])]
        return None if None in versions else min(versions, default=None)

    def _pending_job(self, request: Request, *, full: bool) -> Job | None:
        """The job to go on with, if the settings or the state have one for this request."""
        pending = self._state.get("pending")
        wanted = self._run.settings["job_gids"].get(self._workspace_gid)
        if wanted in {self._state.get("job_gid"), None}:
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
            job = self._run.asana.job(job_gid)
        except AnswerError as error:
            if wanted or error.status not in {requests.codes.forbidden, requests.codes.not_found}:
                raise
            self._say(job_gid, f"it is gone ({error.message}); a new one is needed")
            return None
        completed_at = job.new_resource_export.completed_at
        if completed_at and datetime.now(timezone.utc) - completed_at > KEPT and not wanted:
            self._say(job_gid, "its file has expired; a new one is needed")
            return None
        if pending.get("records") != self._run.shape:
            pending |= {"records": self._run.shape, "lines": 0}
        self._say(job_gid, f"going on with it, after line {pending.get('lines', 0)} of its file")
        return job

    def _request(self, request: Request, *, full: bool) -> Pauses[Job]:
        logger.info(
            "Workspace %s: requesting %s export of %s",
            self._workspace_gid,
            "a full" if full else "an incremental",
            ", ".join(stream.name for stream in self._run.streams.values()),
        )
        for kind, aim in self._aims.items():
            if aim.why_whole and is_incremental(self._run.streams[kind]):
                name = self._run.streams[kind].name
                logger.info("Workspace %s: all of %s is asked for: %s", self._workspace_gid, name, aim.why_whole)
        parameters = request.parameters
        job = yield from request_export(self._run.asana, self._workspace_gid, parameters, self._patience())
        self._remember(job.gid, request, full=full)
        return job

    def _remember(self, job_gid: str, request: Request, *, full: bool, picked: bool = False) -> dict[str, Any]:
        pending = {
            "job_gid": job_gid,
            "requested_at": format_time(datetime.now(timezone.utc)),
            "request": request.fingerprint,
            "records": self._run.shape,
            "full": full,
            "picked": picked,
            "etag": None,
            "lines": 0,
        }
        self._state["pending"] = pending
        return pending

    def _write_objects(self, job: Job) -> tuple[Download, Pass]:
        """Write what the job's file holds, but for the lines that the target has already."""
        settings, pending = self._run.settings, self._state["pending"]
        created_at = job.new_resource_export.created_at
        file = Download(self._signed_urls(job), user_agent=settings["user_agent"], timeout=settings["request_timeout"])
        ways = {
            kind: way(
                kind,
                stream,
                self._workspace_gid,
                created_at,
                self._run.writer.format_message,
                self._version(kind, created_at),
            )
            for kind, stream in self._run.streams.items()
        }
        # Asana: several filters for one type may bring an object more than once.
        repeated = [
            kind for kind, stream in self._run.streams.items() if len(settings["filters"].get(stream.name, ())) > 1
        ]
        reading = Pass(ways, skip=pending["lines"], repeated=repeated)
        saved = pending["lines"]
        try:
            for text in file.blocks():
                _require_same_file(pending, file)
                out = bytearray()
                try:
                    reading.read(text, out)
                finally:
                    with self._run.writer.undisturbed():
                        self._run.writer.write(out)
                        pending["lines"] = max(pending["lines"], reading.lines)
                if reading.lines >= saved + STATE_EVERY:
                    saved = reading.lines
                    self._run.save_state()
        except (ChangedError, GoneError):
            raise
        except (AnswerError, DownloadError, UnreachableError) as error:
            if isinstance(error, DamagedError):
                pending["lines"] = 0
            self._run.save_state()
            cause = error.cause if isinstance(error, DownloadError) else str(error).removesuffix(".")
            raise LineError(self._workspace_gid, job.gid, reading.lines + 1, cause) from None
        if reading.lines < pending["lines"]:
            raise ChangedError(f"the file has {reading.lines} lines, but an earlier run read {pending['lines']}")
        self._tell(job, reading)
        return file, reading

    def _signed_urls(self, job: Job) -> Iterator[str]:
        """The file's URL, signed anew each time: it is good for minutes."""
        while True:
            if job.new_resource_export.download_url is None:
                raise GoneError("Asana has no file for the job any more")
            yield job.new_resource_export.download_url
            job = self._run.asana.job(job.gid)

    def _tell(self, job: Job, reading: Pass) -> None:
        for unknown in reading.objects.keys() - self._run.streams.keys():
            logger.warning(
                "Workspace %s: the export brought %d objects of type '%s', which no stream takes.",
                self._workspace_gid,
                reading.objects[unknown],
                unknown,
            )
        for kind, stream in self._run.streams.items():
            with stream.get_record_counter() as counter:
                counter.with_context({"workspace_gid": self._workspace_gid})
                counter.increment(reading.objects[kind])
        counts = ", ".join(f"{number} of type {kind}" for kind, number in sorted(reading.objects.items()))
        self._say(job.gid, f"it brought {counts or 'nothing'}")

    def _say(self, job_gid: str, what: str) -> None:
        logger.info("Workspace %s: export job %s: %s", self._workspace_gid, job_gid, what)

    def _patience(self) -> Patience:
        return Patience(**{name: self._run.settings[name] for name in Patience._fields})


def _require_same_file(pending: dict[str, Any], file: Download) -> None:
    if pending["lines"] and pending.get("etag") not in {None, file.etag}:
        raise ChangedError("storage has another file than the one whose lines went out")
    pending["etag"] = file.etag


def is_incremental(stream: Stream) -> bool:
    """Whether a stream asks only for what changed; the catalog may want it whole each time."""
    return stream.replication_method == "INCREMENTAL"
