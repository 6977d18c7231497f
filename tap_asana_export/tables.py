"""The tables that an export fills: what the state knows of each, what each needs, and what is known afterwards."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from tap_asana_export.plan import (
    Scope,
    Want,
    aim_for,
    bound,
    fingerprint,
    format_time,
    parse_time,
    reason_for_all,
    scope_of,
)
from tap_asana_export.records import TAG, activate_version_messages
from tap_asana_export.run import by_resource_type
from tap_asana_export.selection import selected_fields, usual_fields
from tap_asana_export.sources import INCREMENTAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from singer_sdk import Stream
    from singer_sdk.singerlib import Message

    from tap_asana_export.asana import AsanaExport
    from tap_asana_export.plan import Aim, Subject
    from tap_asana_export.run import Run, Selected


class Tables:
    """The tables of the selected streams, as far as they are of one workspace or parent.

    Args:
        run: knows settings and streams.
        subject: the workspace or parent.
        is_interval_kept: whether all objects are asked for when `full_export_interval` is over.

    Attributes:
        selected: the streams, by name.
        kinds: the streams that want something of each type of object.
        why_whole: by type, why all objects are asked for; None where what changed is enough.
        shape: a fingerprint of what the records look like.
    """

    def __init__(self, run: Run, subject: Subject, *, is_interval_kept: bool = True) -> None:
        self._settings = run.settings
        self._days = run.settings["full_export_interval"] if is_interval_kept else None
        self._graph = subject.graph
        self._now = datetime.now(timezone.utc)
        self.selected = {each.stream.name: each for each in run.selected if each.source.graph == subject.graph}
        self.kinds = by_resource_type(self.selected.values())
        self._states = {name: each.stream.get_context_state(subject.context) for name, each in self.selected.items()}
        self._scopes = {name: self._scope(each) for name, each in self.selected.items()}
        self.why_whole = {kind: self._reason(kind) for kind in self.kinds}
        self._aims = {name: self._aim(each) for name, each in self.selected.items()}
        # Lines that went out with another version would be deleted when this one is activated.
        self.shape = fingerprint([run.shape, {name: aim.complete for name, aim in self._aims.items()}])
        if not self._settings["emit_activate_version_messages"]:
            for state in self._states.values():
                if "version" in state:
                    state["version"] = None  # from now on there are rows without one

    @property
    def is_full(self) -> bool:
        """Whether all objects of all types are asked for."""
        return all(self.why_whole.values())

    def is_complete(self, *, picked: bool) -> bool | None:
        """Whether an export holds all there is for every stream; None if the job was picked, and nobody knows."""
        return None if picked else all(aim.complete for aim in self._aims.values())

    def wants(self) -> list[Want]:
        """What to ask Asana for; nothing if it is a graph, which comes as it is."""
        return [] if self._graph else [self._want(kind) for kind in self.kinds]

    def repeated(self) -> list[str]:
        """Types of which an object may come more than once: Asana says so of several filters for one type."""
        return [kind for kind in self.kinds if len(self._filters(kind)) > 1]

    def are_filled_by(self, completed_at: str) -> bool:
        """Whether the export that ended then has filled all tables as the settings and the catalog want them."""
        return all(
            state.get("completed_at") == completed_at and scope_of(state, self._scopes[name]) == self._scopes[name]
            for name, state in self._states.items()
        )

    def begin(self, *, picked: bool) -> None:
        """Note what bounds the tables from now on: also of an export that breaks there are rows.

        Args:
            picked: whether the setting job_gids named the job, so that it may hold whatever there is.
        """
        for name, aim in self._aims.items():
            self._states[name]["scope"] = noted(aim.begun, picked=picked)

    def versions(self, export: AsanaExport, *, picked: bool) -> dict[str, int | None]:
        """By stream, the version of its rows: that of the export if it is complete, else that of the table."""
        if not self._settings["emit_activate_version_messages"]:
            return dict.fromkeys(self.selected)
        epoch = int(export.created_at.timestamp())
        return {
            name: epoch if aim.complete and not picked else self._states[name].get("version")
            for name, aim in self._aims.items()
        }

    @contextlib.contextmanager
    def as_before_on_error(self) -> Iterator[None]:
        """If what is done here fails, the state of all tables is as it was: other exports save it too."""
        before = copy.deepcopy(self._states)
        try:
            yield
        except Exception:
            for name, state in self._states.items():
                state.clear()
                state.update(before[name])
            raise

    def finish(self, export: AsanaExport, completed_at: datetime, *, picked: bool) -> Iterator[Message]:
        """Move the bookmarks.

        Yields:
            ACTIVATE_VERSION of the tables in which every row of an earlier version is of an object that is no more.
        """
        created_at = format_time(export.created_at)
        versions = self.versions(export, picked=picked)
        for name, (source, stream) in self.selected.items():
            state, aim, before = self._states[name], self._aims[name], activated(stream)
            incremental = any(self.is_incremental(kind) for kind in source.resource_types)
            if picked and incremental:
                continue  # nobody knows what the job was asked for: the bookmark stays where it was
            if incremental:
                state["replication_key"] = "modified_at"
                # Asana: an object is up to date anywhere between the export's created_at and completed_at. A
                # later bookmark would lose what changed while the export ran.
                state["replication_key_value"] = created_at
            state["completed_at"] = format_time(completed_at)
            if aim.why_whole:
                state["full_at"] = created_at
            state["scope"] = noted(aim.table, picked=picked)
            if versions[name] is not None:
                state["version"] = versions[name]
            if (after := activated(stream)) not in {before, None}:
                yield from activate_version_messages(stream, after)

    def _reason(self, kind: str) -> str | None:
        """Why all objects of a type are asked for; None if what changed is enough."""
        if not self.is_incremental(kind):
            return "it has no other way"
        full_every = timedelta(days=self._days) if self._days else None
        reasons = (
            reason_for_all(self._states[stream.name], self._scopes[stream.name], full_every=full_every, now=self._now)
            for _, stream in self.kinds[kind]
        )
        return next(filter(None, reasons), None)

    def _aim(self, selected: Selected) -> Aim:
        """What the export is to do for a stream's table, which is whole if all of its types of object are."""
        name = selected.stream.name
        reasons = [self.why_whole[kind] for kind in selected.source.resource_types]
        return aim_for(self._states[name], self._scopes[name], reasons[0] if all(reasons) else None)

    def _scope(self, selected: Selected) -> Scope:
        """What bounds the table that the settings and the catalog ask for."""
        source, stream = selected
        filters = [filters for kind in source.resource_types if (filters := self._filters(kind))]
        incremental = any(self.is_incremental(kind) for kind in source.resource_types)
        return Scope(
            start_date=self._settings["start_date"] if incremental else None,
            filters=fingerprint(filters) if filters else None,
            fields=fingerprint(selected_fields(stream, source.own)),
        )

    def _filters(self, kind: str) -> list[dict[str, Any]]:
        filters: Mapping[str, Any] = {} if self._graph else self._settings["filters"]
        return filters.get(f"{kind}s") or []

    def is_incremental(self, kind: str) -> bool:
        """Whether what changed is enough of a type's objects; the catalog may want all of them each time."""
        whole = (not source.array and stream.replication_method == "FULL_TABLE" for source, stream in self.kinds[kind])
        return kind in INCREMENTAL and not self._graph and not any(whole)

    def _want(self, kind: str) -> Want:
        names = [stream.name for _, stream in self.kinds[kind]]
        bookmark, starts = None, [self._scopes[name].start_date for name in names]
        if not self.why_whole[kind]:
            bookmark = min(self._states[name]["replication_key_value"] for name in names)
            starts = [self._aims[name].table.start_date for name in names]
        start = None if None in starts else min(filter(None, starts), key=parse_time)
        after = bound(bookmark, start, self._settings["overlap"]) if self.is_incremental(kind) else None
        return Want(kind, self._filters(kind), fields_of(kind, self.kinds[kind]), after)


def noted(scope: Scope, *, picked: bool) -> dict[str, Any]:
    """A scope as the state has it; a job that was picked may have brought objects of any age."""
    return dataclasses.asdict(scope) | ({"start_date": None} if picked else {})


def activated(stream: Stream) -> int | None:
    """The version below which no row of a stream's table is of an object that still exists.

    Targets delete what is below a version, of whatever workspace or parent it is.
    """
    versions = [each.get("version") for each in stream.stream_state.get("partitions", [])]
    return None if None in versions else min(versions, default=None)


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
