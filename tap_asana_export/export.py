"""One export of one workspace: plan, request, wait, download, write its objects, move the bookmarks."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import msgspec
import requests
from singer_sdk.singerlib import StateMessage

from tap_asana_export.download import Download
from tap_asana_export.errors import AnswerError, DownloadError, JobError, LineError
from tap_asana_export.jobs import Patience, request_export, wait
from tap_asana_export.plan import Want, bound, format_time, request_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from singer_sdk import Tap

    from tap_asana_export.asana import Asana, Job
    from tap_asana_export.plan import Request
    from tap_asana_export.records import Route

logger = logging.getLogger(__name__)


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


class WorkspaceExport:
    """One export of a workspace, for all selected streams.

    Args:
        tap: takes the messages and keeps the state.
        exports: the way of the export's own record.
        routes: the ways of the objects, by `resource_type`.
    """

    def __init__(
        self,
        tap: Tap,
        settings: Mapping[str, Any],
        asana: Asana,
        workspace_gid: str,
        exports: Route,
        routes: Mapping[str, Route],
    ) -> None:
        self._tap = tap
        self._settings = settings
        self._asana = asana
        self._workspace_gid = workspace_gid
        self._exports = exports
        self._routes = routes
        context = {"workspace_gid": workspace_gid}
        self._state = exports.stream.get_context_state(context)
        self._bookmarks = {kind: route.stream.get_context_state(context) for kind, route in routes.items()}

    def run(self) -> None:
        """Bring the export, write its objects, then its own record, and move the bookmarks."""
        whole = {resource_type for resource_type in self._routes if self._bookmark(resource_type) is None}
        full = len(whole) == len(self._routes)
        request = request_for(self._workspace_gid, [self._want(resource_type) for resource_type in self._routes])
        job = self._finished_job(request, full=full)
        export = job.new_resource_export
        file = Download(
            export.download_url or "",
            user_agent=self._settings["user_agent"],
            timeout=self._settings["request_timeout"],
        )
        objects = self._write_objects(file, job)
        times = {
            "created_at": format_time(export.created_at),
            "completed_at": format_time(export.completed_at or datetime.now(timezone.utc)),
        }
        record = {
            "gid": export.gid,
            "job_gid": job.gid,
            "kind": "resource",
            "workspace_gid": self._workspace_gid,
            "parent_gid": None,
            **times,
            "full": full,
            "objects": dict(sorted(objects.items())),
            "lines": objects.total(),
            "bytes": file.bytes,
        }
        if self._exports.stream.selected:
            self._exports.write(record, export.created_at, self._tap.write_message)
        self._move_bookmarks(whole, **times)

    def _bookmark(self, resource_type: str) -> str | None:
        """`created_at` of the last export that came through whole; None asks for every object."""
        if self._routes[resource_type].stream.replication_method != "INCREMENTAL":
            return None
        bookmark: str | None = self._bookmarks[resource_type].get("replication_key_value")
        return bookmark

    def _want(self, resource_type: str) -> Want:
        stream = self._routes[resource_type].stream
        filters = self._settings["filters"].get(stream.name, [])
        if stream.replication_method != "INCREMENTAL":
            return Want(resource_type, filters)
        settings = self._settings
        start = bound(self._bookmark(resource_type), settings["start_date"], settings["overlap"])
        return Want(resource_type, filters, start)

    def _finished_job(self, request: Request, *, full: bool) -> Job:
        """A job that has succeeded: the pending one if it is for this request, else a new one."""
        pending = self._state.get("pending")
        job = self._pending_job(pending, request) if pending else None
        for failures in range(2):
            job = job or self._request(request, full=full)
            try:
                return wait(self._asana, self._workspace_gid, job, self._patience())
            except JobError as error:
                if error.status != "failed":
                    raise
                self._state["pending"] = None
                self._save_state()
                if failures:
                    raise
                logger.warning("%s Requesting it once more.", error)
                job = None
        raise AssertionError  # the loop returns or raises

    def _pending_job(self, pending: dict[str, Any], request: Request) -> Job | None:
        job_gid = pending["job_gid"]
        if pending["request"] != request.fingerprint:
            logger.info(
                "Workspace %s: export job %s in the state is of another request; requesting a new one.",
                self._workspace_gid,
                job_gid,
            )
            return None
        try:
            job = self._asana.job(job_gid)
        except AnswerError as error:
            if error.status not in {requests.codes.forbidden, requests.codes.not_found}:
                raise
            logger.warning("Workspace %s: pending export job %s is gone: %s", self._workspace_gid, job_gid, error)
            return None
        logger.info("Workspace %s: going on with export job %s of an earlier run", self._workspace_gid, job_gid)
        return job

    def _request(self, request: Request, *, full: bool) -> Job:
        logger.info(
            "Workspace %s: requesting %s export of %s",
            self._workspace_gid,
            "a full" if full else "an incremental",
            ", ".join(route.stream.name for route in self._routes.values()),
        )
        job = request_export(self._asana, self._workspace_gid, request.parameters, self._patience())
        self._state["pending"] = {
            "job_gid": job.gid,
            "requested_at": format_time(datetime.now(timezone.utc)),
            "request": request.fingerprint,
            "full": full,
        }
        self._save_state()
        return job

    def _write_objects(self, file: Download, job: Job) -> Counter[str]:
        """One pass over the file; returns the number of objects by `resource_type`."""
        time_extracted = job.new_resource_export.created_at
        objects: Counter[str] = Counter()
        lines = 0
        try:
            for line in file.lines():
                if line and not line.isspace():
                    record = _object(line)
                    resource_type = record["resource_type"]
                    objects[resource_type] += 1
                    if route := self._routes.get(resource_type):
                        record["workspace_gid"] = self._workspace_gid
                        route.write(record, time_extracted, self._tap.write_message)
                lines += 1
        except DownloadError as error:
            # What came before is good, and the target may have it.
            self._tap.write_message(StateMessage(value=self._tap.state))
            raise LineError(self._workspace_gid, job.gid, lines + 1, error.cause) from None
        for unknown in objects.keys() - self._routes.keys():
            logger.warning(
                "Workspace %s: the export brought %d objects of type '%s', which no stream takes.",
                self._workspace_gid,
                objects[unknown],
                unknown,
            )
        for resource_type, route in self._routes.items():
            with route.stream.get_record_counter() as counter:
                counter.with_context({"workspace_gid": self._workspace_gid})
                counter.increment(objects[resource_type])
        counts = ", ".join(f"{number} of type {name}" for name, number in sorted(objects.items()))
        logger.info("Workspace %s: export job %s brought %s", self._workspace_gid, job.gid, counts or "nothing")
        return objects

    def _move_bookmarks(self, whole: set[str], *, created_at: str, completed_at: str) -> None:
        for resource_type, route in self._routes.items():
            bookmark = self._bookmarks[resource_type]
            if route.stream.replication_method == "INCREMENTAL":
                bookmark["replication_key"] = route.stream.replication_key
                # Asana: an object is up to date anywhere between the export's created_at and completed_at. A
                # later bookmark would lose what changed while the export ran.
                bookmark["replication_key_value"] = created_at
            bookmark["completed_at"] = completed_at
            if resource_type in whole:
                bookmark["full_at"] = created_at
        self._state["completed_at"] = completed_at
        self._state["pending"] = None
        self._save_state()

    def _patience(self) -> Patience:
        return Patience(**{name: self._settings[name] for name in Patience._fields})

    def _save_state(self) -> None:
        self._tap.state_writer.write_state(self._tap.state)


def _object(line: bytes) -> dict[str, Any]:
    """The object of one line; raises DownloadError if it is none of Asana's."""
    try:
        record = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DownloadError(f"it is not JSON ({error}) but begins with {line[:40]!r}") from None
    if not isinstance(record, dict) or not isinstance(record.get("gid"), str) or "resource_type" not in record:
        raise DownloadError(f"it is no object with gid and resource_type but begins with {line[:40]!r}")
    return record
