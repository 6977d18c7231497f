"""The tables that one export fills: what each needs, what to ask Asana for, and what is known of each afterwards."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import msgspec

from tap_asana_export.bookmarks import lowest_version
from tap_asana_export.fingerprint import fingerprint
from tap_asana_export.records import TAG, activate_version_messages, selected_fields, usual_fields
from tap_asana_export.replication.activity import is_due
from tap_asana_export.replication.coverage import (
    Wanted,
    coverage_of,
    finished,
    full_reason,
    lower_bound,
    may_delete,
    starting,
)
from tap_asana_export.replication.request import ResourceRequest
from tap_asana_export.sources import INCREMENTAL
from tap_asana_export.times import parse_time
from tap_asana_export.transfer import streams_by_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from singer_sdk.singerlib import Message

    from tap_asana_export.asana import AsanaExport
    from tap_asana_export.replication.coverage import Coverage, TableState
    from tap_asana_export.sources import ExportRoot
    from tap_asana_export.transfer import RunContext, SelectedStream


class Tables:
    """The tables of the selected streams, as far as they are of one export root.

    Args:
        run: has the settings and the selected streams.
        root: the export root.
        states: what the state says of each table, by name of the stream.
        of_pending_job: whether they are of a job that was asked for before all objects were due, or what was undeleted.

    Attributes:
        selected: the streams, by name.
        by_type: the streams that are filled from each type of object.
        full_reason: by type, why all objects are asked for; None: those that have changed are enough.
    """

    def __init__(
        self, run: RunContext, root: ExportRoot, states: Mapping[str, TableState], *, of_pending_job: bool = False
    ) -> None:
        self._run_fingerprint = run.output_fingerprint
        self._settings = run.settings
        self._graph = root.graph
        self._states = states
        self.selected = {each.stream.name: each for each in run.selected if each.source.kind == root.kind}
        self.by_type = streams_by_type(self.selected.values())
        self._wanted = {name: self._want(each) for name, each in self.selected.items()}
        self._gap = None if of_pending_job or root.graph else run.gaps.get(root.gid)
        self._renew_at = None if root.graph else run.renewals.get(root.gid)
        self._asks_for_undeleted = not of_pending_job
        days = None if of_pending_job else run.settings["full_export_interval"]
        full_every, now = timedelta(days=days) if days else None, datetime.now(timezone.utc)
        self.full_reason = {kind: self._full_reason(kind, full_every, now) for kind in self.by_type}
        self._full = {
            name: all(self.full_reason[kind] for kind in source.resource_types)
            for name, (source, _) in self.selected.items()
        }
        self._deletes = {
            name: self._full[name] and may_delete(self._coverage(name), wanted) for name, wanted in self._wanted.items()
        }
        if not self._settings["emit_activate_version_messages"]:
            for state in states.values():
                state.version = None  # from now on there are rows without one

    @property
    def is_full(self) -> bool:
        """Whether all objects of all types are asked for."""
        return all(self.full_reason.values())

    def output_fingerprint(self, *, pinned: bool) -> str:
        """Tells what the records look like; `pinned` as for `begin`."""
        # Lines that were sent with another version would be deleted when this one is activated.
        return fingerprint([self._run_fingerprint, {} if pinned else self._deletes])

    def is_complete(self, *, pinned: bool) -> bool | None:
        """Whether the export holds every object of every table; None for a job of job_gids, of which nobody knows."""
        return None if pinned else all(self._deletes.values())

    def requests(self) -> list[ResourceRequest]:
        """What to ask Asana for, by type of object; nothing for a graph, which takes no parameters."""
        return [] if self._graph else [self._request(kind) for kind in self.by_type]

    def repeated(self) -> list[str]:
        """Types of which an object may come more than once: Asana says so of several filters for one type."""
        return [kind for kind in self.by_type if len(self._filters(kind)) > 1]

    def are_filled_by(self, completed_at: datetime | None) -> bool:
        """Whether the export that ended then has filled all tables with what the settings and the catalog want."""
        return all(
            state.completed_at == completed_at and self._coverage(name).wanted == self._wanted[name]
            for name, state in self._states.items()
        )

    def begin(self, *, pinned: bool) -> None:
        """Record what the tables cover before the first row: a failed export leaves rows behind.

        Args:
            pinned: whether the setting job_gids named the job, so that its file may hold objects of any age.
        """
        for name, state in self._states.items():
            coverage = self._coverage(name)
            state.coverage = _of_any_age(
                starting(coverage, self._wanted[name]) if self._full[name] else coverage, pinned
            )

    def versions(self, export: AsanaExport, *, pinned: bool) -> dict[str, int | None]:
        """By stream, the version of its rows: the export's own if it may delete rows, else that of the table."""
        if not self._settings["emit_activate_version_messages"]:
            return dict.fromkeys(self.selected)
        epoch = int(export.created_at.timestamp())
        return {
            name: epoch if deletes and not pinned else self._states[name].version
            for name, deletes in self._deletes.items()
        }

    def finish(self, export: AsanaExport, completed_at: datetime, *, pinned: bool) -> None:
        """Move the bookmarks, and record what the tables cover now.

        A job that the setting job_gids named moves no bookmark: nobody knows what it was asked for.
        """
        versions = self.versions(export, pinned=pinned)
        for name, (source, _) in self.selected.items():
            state = self._states[name]
            incremental = any(self.is_incremental(kind) for kind in source.resource_types)
            if pinned and incremental:
                continue
            if incremental:
                state.replication_key = "modified_at"
                state.bookmark = self._bookmark_after(export, name)
            state.completed_at = completed_at
            if self._full[name]:
                state.full_at = export.created_at
                state.coverage = _of_any_age(finished(self._coverage(name), self._wanted[name]), pinned)
            state.version = versions[name]

    def lowest_versions(self) -> dict[str, int | None]:
        """By stream, the version below which every row is of a deleted object, as the SDK's state has it."""
        return {name: lowest_version(stream) for name, (_, stream) in self.selected.items()}

    def activate_versions(self, before: Mapping[str, int | None]) -> Iterator[Message]:
        """ACTIVATE_VERSION of each table whose lowest version has changed since.

        Args:
            before: as `lowest_versions` had it.
        """
        for name, version in self.lowest_versions().items():
            if version not in {before[name], None}:
                yield from activate_version_messages(self.selected[name].stream, version)

    def is_incremental(self, kind: str) -> bool:
        """Whether changed objects of a type are enough; the catalog may want all of them each time."""
        full_table = (
            not source.array and stream.replication_method == "FULL_TABLE" for source, stream in self.by_type[kind]
        )
        return kind in INCREMENTAL and not self._graph and not any(full_table)

    def _coverage(self, name: str) -> Coverage:
        return coverage_of(self._states[name], self._wanted[name])

    def _want(self, selected: SelectedStream) -> Wanted:
        source, stream = selected
        filters = [filters for kind in source.resource_types if (filters := self._filters(kind))]
        start_date = self._settings["start_date"]
        incremental = any(self.is_incremental(kind) for kind in source.resource_types)
        return Wanted(
            start_date=parse_time(start_date) if start_date and incremental else None,
            filters=fingerprint(filters) if filters else None,
            fields=fingerprint(selected_fields(stream, source.added)),
        )

    def _full_reason(self, kind: str, full_every: timedelta | None, now: datetime) -> str | None:
        """Why all objects of a type are asked for; None if those that have changed are enough for every stream."""
        if not self.is_incremental(kind):
            return "it has no other way"
        names = [stream.name for _, stream in self.by_type[kind]]
        reasons = (full_reason(self._states[name], self._wanted[name], full_every, now) for name in names)
        gaps = (self._gap for name in names if self._gap and is_due(self._gap, self._states[name].full_at, now))
        return next(itertools.chain(filter(None, reasons), (gap.reason for gap in gaps)), None)

    def _bookmark(self, name: str) -> datetime | None:
        """The time since when the objects of a table may have changed, or have come back out of the trash."""
        state = self._states[name]
        is_renewed = self._asks_for_undeleted and self._lacks_undeleted(state)
        return state.full_at if is_renewed and state.full_at else state.bookmark

    def _bookmark_after(self, export: AsanaExport, name: str) -> datetime:
        """The bookmark of a table that an export has filled."""
        is_asked_for = self._asks_for_undeleted or self._full[name]
        if self._renew_at and self._lacks_undeleted(self._states[name]) and not is_asked_for:
            # What was undeleted has still to be asked for.
            return min(export.created_at, self._renew_at - timedelta(milliseconds=1))
        # An object in the file is up to date anywhere between created_at and completed_at, says Asana. A later bookmark
        # would lose what changed while the export ran.
        return export.created_at

    def _lacks_undeleted(self, state: TableState) -> bool:
        """Whether a table's last export was before something was undeleted."""
        return bool(self._renew_at and state.bookmark and state.bookmark < self._renew_at)

    def _filters(self, kind: str) -> list[dict[str, Any]]:
        filters: Mapping[str, Any] = {} if self._graph else self._settings["filters"]
        return filters.get(f"{kind}s") or []

    def _request(self, kind: str) -> ResourceRequest:
        names = [stream.name for _, stream in self.by_type[kind]]
        bookmark = None
        starts = [self._wanted[name].start_date for name in names]
        if not self.full_reason[kind]:
            bookmark = min(filter(None, map(self._bookmark, names)))
            starts = [self._coverage(name).rows_since for name in names]
        start = None if None in starts else min(filter(None, starts))
        after = lower_bound(bookmark, start, self._settings["overlap"]) if self.is_incremental(kind) else None
        return ResourceRequest(kind, self._filters(kind), request_fields(kind, self.by_type[kind]), after)


def _of_any_age(coverage: Coverage, is_any: bool) -> Coverage:  # noqa: FBT001 - a private function of two arguments
    """The coverage, with rows of any age if that is so."""
    return msgspec.structs.replace(coverage, rows_since=None) if is_any else coverage


def request_fields(kind: str, selected: Iterable[SelectedStream]) -> list[str] | None:
    """The fields to ask of a type's objects for the streams that are filled from it; None for Asana's default."""
    wanted: list[str] = []
    usual: set[str] | None = None
    for source, stream in selected:
        paths = selected_fields(stream, source.added)
        if source.array:
            paths += [f"{source.gid_of}.gid"] if source.gid_of else []
            wanted += [f"{source.array}.{path}" for path in paths] or [source.array]
        else:
            wanted += paths
            usual = set(usual_fields(stream, source.added))
    if set(wanted) == usual:
        return None
    return list(dict.fromkeys(itertools.chain(["gid", TAG], filter(None, [INCREMENTAL.get(kind)]), wanted)))
