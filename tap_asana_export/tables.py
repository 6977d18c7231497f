"""The tables that an export fills: what the state knows of each, what each needs, and what is known afterwards."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from tap_asana_export.fingerprint import fingerprint
from tap_asana_export.records.objects import TAG
from tap_asana_export.records.schemas import activate_version_messages
from tap_asana_export.records.selection import selected_fields, usual_fields
from tap_asana_export.replication.coverage import Coverage, coverage_of, full_reason, plan_table
from tap_asana_export.replication.request import ResourceRequest, lower_bound
from tap_asana_export.sources import INCREMENTAL
from tap_asana_export.times import format_time, parse_time
from tap_asana_export.transfer import streams_by_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from singer_sdk import Stream
    from singer_sdk.singerlib import Message

    from tap_asana_export.asana.models import AsanaExport
    from tap_asana_export.replication.coverage import TablePlan
    from tap_asana_export.sources import ExportRoot
    from tap_asana_export.transfer import RunContext, SelectedStream


class Tables:
    """The tables of the selected streams, as far as they are of one workspace or parent.

    Args:
        run: knows settings and streams.
        root: the workspace or parent.
        is_interval_kept: whether all objects are asked for when `full_export_interval` is over.

    Attributes:
        selected: the streams, by name.
        by_type: the streams that want something of each type of object.
        full_reason: by type, why all objects are asked for; None where what changed is enough.
        output_fingerprint: a fingerprint of what the records look like.
    """

    def __init__(self, run: RunContext, root: ExportRoot, *, is_interval_kept: bool = True) -> None:
        self._settings = run.settings
        self._days = run.settings["full_export_interval"] if is_interval_kept else None
        self._graph = root.graph
        self._now = datetime.now(timezone.utc)
        self.selected = {each.stream.name: each for each in run.selected if each.source.graph == root.graph}
        self.by_type = streams_by_type(self.selected.values())
        self._states = {name: each.stream.get_context_state(root.context) for name, each in self.selected.items()}
        self._coverages = {name: self._coverage(each) for name, each in self.selected.items()}
        self.full_reason = {kind: self._reason(kind) for kind in self.by_type}
        self._plans = {name: self._plan(each) for name, each in self.selected.items()}
        # Lines that went out with another version would be deleted when this one is activated.
        self.output_fingerprint = fingerprint(
            [run.output_fingerprint, {name: plan.complete for name, plan in self._plans.items()}]
        )
        if not self._settings["emit_activate_version_messages"]:
            for state in self._states.values():
                if "version" in state:
                    state["version"] = None  # from now on there are rows without one

    @property
    def is_full(self) -> bool:
        """Whether all objects of all types are asked for."""
        return all(self.full_reason.values())

    def is_complete(self, *, pinned: bool) -> bool | None:
        """Whether an export holds all there is for every stream; None if the job was picked, and nobody knows."""
        return None if pinned else all(plan.complete for plan in self._plans.values())

    def wants(self) -> list[ResourceRequest]:
        """What to ask Asana for; nothing if it is a graph, which comes as it is."""
        return [] if self._graph else [self._want(kind) for kind in self.by_type]

    def repeated(self) -> list[str]:
        """Types of which an object may come more than once: Asana says so of several filters for one type."""
        return [kind for kind in self.by_type if len(self._filters(kind)) > 1]

    def are_filled_by(self, completed_at: str) -> bool:
        """Whether the export that ended then has filled all tables as the settings and the catalog want them."""
        return all(
            state.get("completed_at") == completed_at
            and coverage_of(state, self._coverages[name]) == self._coverages[name]
            for name, state in self._states.items()
        )

    def begin(self, *, pinned: bool) -> None:
        """Note what bounds the tables from now on: also of an export that breaks there are rows.

        Args:
            pinned: whether the setting job_gids named the job, so that it may hold whatever there is.
        """
        for name, plan in self._plans.items():
            self._states[name]["scope"] = noted(plan.begun, pinned=pinned)

    def versions(self, export: AsanaExport, *, pinned: bool) -> dict[str, int | None]:
        """By stream, the version of its rows: that of the export if it is complete, else that of the table."""
        if not self._settings["emit_activate_version_messages"]:
            return dict.fromkeys(self.selected)
        epoch = int(export.created_at.timestamp())
        return {
            name: epoch if plan.complete and not pinned else self._states[name].get("version")
            for name, plan in self._plans.items()
        }

    def finish(self, export: AsanaExport, completed_at: datetime, *, pinned: bool) -> Iterator[Message]:
        """Move the bookmarks.

        Yields:
            ACTIVATE_VERSION of the tables in which every row of an earlier version is of an object that is no more.
        """
        created_at = format_time(export.created_at)
        versions = self.versions(export, pinned=pinned)
        for name, (source, stream) in self.selected.items():
            state, plan, before = self._states[name], self._plans[name], active_version(stream)
            incremental = any(self.is_incremental(kind) for kind in source.resource_types)
            if pinned and incremental:
                continue  # nobody knows what the job was asked for: the bookmark stays where it was
            if incremental:
                state["replication_key"] = "modified_at"
                # Asana: an object is up to date anywhere between the export's created_at and completed_at. A
                # later bookmark would lose what changed while the export ran.
                state["replication_key_value"] = created_at
            state["completed_at"] = format_time(completed_at)
            if plan.full_reason:
                state["full_at"] = created_at
            state["scope"] = noted(plan.table, pinned=pinned)
            if versions[name] is not None:
                state["version"] = versions[name]
            if (after := active_version(stream)) not in {before, None}:
                yield from activate_version_messages(stream, after)

    def _reason(self, kind: str) -> str | None:
        """Why all objects of a type are asked for; None if what changed is enough."""
        if not self.is_incremental(kind):
            return "it has no other way"
        full_every = timedelta(days=self._days) if self._days else None
        reasons = (
            full_reason(self._states[stream.name], self._coverages[stream.name], full_every=full_every, now=self._now)
            for _, stream in self.by_type[kind]
        )
        return next(filter(None, reasons), None)

    def _plan(self, selected: SelectedStream) -> TablePlan:
        """What the export is to do for a stream's table, which is whole if all of its types of object are."""
        name = selected.stream.name
        reasons = [self.full_reason[kind] for kind in selected.source.resource_types]
        return plan_table(self._states[name], self._coverages[name], reasons[0] if all(reasons) else None)

    def _coverage(self, selected: SelectedStream) -> Coverage:
        """What bounds the table that the settings and the catalog ask for."""
        source, stream = selected
        filters = [filters for kind in source.resource_types if (filters := self._filters(kind))]
        incremental = any(self.is_incremental(kind) for kind in source.resource_types)
        return Coverage(
            start_date=self._settings["start_date"] if incremental else None,
            filters=fingerprint(filters) if filters else None,
            fields=fingerprint(selected_fields(stream, source.added)),
        )

    def _filters(self, kind: str) -> list[dict[str, Any]]:
        filters: Mapping[str, Any] = {} if self._graph else self._settings["filters"]
        return filters.get(f"{kind}s") or []

    def is_incremental(self, kind: str) -> bool:
        """Whether what changed is enough of a type's objects; the catalog may want all of them each time."""
        whole = (
            not source.array and stream.replication_method == "FULL_TABLE" for source, stream in self.by_type[kind]
        )
        return kind in INCREMENTAL and not self._graph and not any(whole)

    def _want(self, kind: str) -> ResourceRequest:
        names = [stream.name for _, stream in self.by_type[kind]]
        bookmark, starts = None, [self._coverages[name].start_date for name in names]
        if not self.full_reason[kind]:
            bookmark = min(self._states[name]["replication_key_value"] for name in names)
            starts = [self._plans[name].table.start_date for name in names]
        start = None if None in starts else min(filter(None, starts), key=parse_time)
        after = lower_bound(bookmark, start, self._settings["overlap"]) if self.is_incremental(kind) else None
        return ResourceRequest(kind, self._filters(kind), request_fields(kind, self.by_type[kind]), after)


def noted(scope: Coverage, *, pinned: bool) -> dict[str, Any]:
    """A scope as the state has it; a job that was picked may have brought objects of any age."""
    return dataclasses.asdict(scope) | ({"start_date": None} if pinned else {})


def active_version(stream: Stream) -> int | None:
    """The version below which no row of a stream's table is of an object that still exists.

    Targets delete what is below a version, of whatever workspace or parent it is.
    """
    versions = [each.get("version") for each in stream.stream_state.get("partitions", [])]
    return None if None in versions else min(versions, default=None)


def request_fields(kind: str, selected: Iterable[SelectedStream]) -> list[str] | None:
    """What to ask of a type's objects for the streams that want something of them; None for what comes by itself."""
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
    return list(dict.fromkeys(["gid", TAG, *filter(None, [INCREMENTAL.get(kind)]), *wanted]))
