"""One list of a workspace, such as its users: from the first request to the last record, and the table's version."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_asana_export.asana import gids_of, read_list
from tap_asana_export.bookmarks import StoredState, lowest_version
from tap_asana_export.errors import ListError, OutputError, TapError
from tap_asana_export.fingerprint import fingerprint
from tap_asana_export.records import (
    TAG,
    ObjectHandler,
    RecordRouter,
    StreamOutput,
    UnknownFields,
    activate_version_messages,
    as_lines,
    selected_fields,
)
from tap_asana_export.replication.coverage import (
    TableState,
    Wanted,
    coverage_of,
    finished,
    full_reason,
    may_delete,
    starting,
)
from tap_asana_export.report import ASKING, READING
from tap_asana_export.sources import SOURCES
from tap_asana_export.times import format_time, parse_time
from tap_asana_export.transfer import read_until_flush, write_export_record
from tap_asana_export.waiting import until
from tap_asana_export.words import count, counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    import msgspec
    from singer_sdk import Stream

    from tap_asana_export.asana import Asana, TakeObjects
    from tap_asana_export.output.messages import Sink
    from tap_asana_export.report import Part
    from tap_asana_export.sources import ExportRoot, ListRequest
    from tap_asana_export.transfer import RunContext, SelectedStream
    from tap_asana_export.waiting import Waiting

logger = logging.getLogger(__name__)

EDITED = timedelta(days=60)
"""How far back entries of time are asked for anew each time, since people edit them."""

ALWAYS = "a list comes whole"
"""Why a list is read as a whole that has no other way."""


class ListRoot(NamedTuple):
    """A list of a workspace: the name of the stream that it fills."""

    workspace: ExportRoot
    stream: str

    def __str__(self) -> str:
        """Return its name for the log."""
        return f"{self.workspace}, {self.stream}"


@dataclass
class Owners:
    """The objects of one list, each of which has a list of its own, such as projects have sections.

    Attributes:
        gids: their gids, in Asana's order.
        has_ended: whether nothing more is done for that list, however it ended.
        is_complete: whether all objects are known; None: the list was not read to its end.
    """

    gids: dict[str, None] = field(default_factory=dict)
    has_ended: bool = False
    is_complete: bool | None = None


def read_lists(
    run: RunContext, asana: Asana, workspaces: Sequence[ExportRoot]
) -> Iterator[tuple[ListRoot, Waiting[None]]]:
    """Yield each list that the selected streams need, and the work of reading it.

    A work raises ListError if the list cannot be read, and OutputError if the target takes no more messages.
    """
    selected = {each.stream.name: each for each in run.selected}
    requests = {source.stream: source.list for source in SOURCES if source.list}
    owning = {request.of_each for name, request in requests.items() if name in selected}
    for workspace in workspaces:
        owners = {name: Owners() for name in owning if name}
        for name, request in requests.items():
            root = ListRoot(workspace, name)
            if name in selected or name in owners:
                yield root, AsanaList(run, asana, root, request, owners).bring(selected.get(name))


class AsanaList:
    """One list of one workspace.

    Args:
        run: what all exports and lists of the run have in common.
        asana: the API.
        root: the list.
        request: how to ask for it.
        owners: by stream, the objects that have lists of their own.
    """

    def __init__(
        self, run: RunContext, asana: Asana, root: ListRoot, request: ListRequest, owners: dict[str, Owners]
    ) -> None:
        self._run = run
        self._asana = asana
        self._root = root
        self._request = request
        self._noted = owners.get(root.stream)
        self._owners = owners[request.of_each] if request.of_each else None
        self._started_at = datetime.now(timezone.utc)
        self._part = run.report.part(root, "list", root.workspace.context)

    def bring(self, selected: SelectedStream | None) -> Waiting[None]:
        """Bring the list; the lists of its objects wait until this ends, with or without an error.

        Args:
            selected: the stream that it fills; None: only the gids are needed, for the lists of the objects.
        """
        try:
            yield from self._write(selected) if selected else self._note_owners()
        finally:
            if self._noted:
                self._noted.has_ended = True

    def _note_owners(self) -> Waiting[None]:
        """Read the gids alone: only the lists of the objects are wanted."""
        yield from self._read(["gid"], lambda _, __: None)

    def _write(self, selected: SelectedStream) -> Waiting[None]:
        """Read the list and write its records, then its own record, and activate its version."""
        source, stream = selected
        workspace = self._root.workspace
        gid = f"{stream.name}-{workspace.gid}-{self._started_at:%Y%m%dT%H%M%S%f}"
        state = StoredState()
        table = state.read(TableState, stream, workspace)
        fields = list_fields(selected)
        wanted = self._wanted(fields)
        is_incremental = self._request.by_month and stream.replication_method != "FULL_TABLE"
        since = None if self._full_reason(table, wanted, is_incremental=is_incremental) else table.bookmark
        deletes = since is None and may_delete(coverage_of(table, wanted), wanted)
        version = self._version(table, deletes=deletes)
        if self._request.by_month and since is None:
            # Before the first row: a list that fails leaves rows behind.
            table.coverage = starting(coverage_of(table, wanted), wanted)
            state.store()
            self._run.save_state()
        with self._run.sink(workspace, gid, self._started_at) as sink:
            records = ListRecords(self._run, self._root, self._part, selected, sink, version)
            is_complete = yield from self._read(fields, records.write, first_day(since, wanted.start_date))
            is_complete = is_complete and not records.are_others
            with self._run.writer.undisturbed():
                sink.finish()
        table.completed_at = datetime.now(timezone.utc)
        if is_complete and since is None:
            table.full_at, table.version = self._started_at, version
            if self._request.by_month:
                table.coverage = finished(coverage_of(table, wanted), wanted)
        if self._request.by_month:
            table.replication_key, table.bookmark = source.replication_key, self._started_at
        facts = {
            "gid": gid,
            "kind": "list",
            "list": stream.name,
            "completed_at": format_time(table.completed_at),
            "full": is_complete and deletes,
            **records.facts(),
        }
        with self._run.writer.undisturbed(), state.as_before_on_error():
            self._finish(stream, state, facts)

    def _finish(self, stream: Stream, state: StoredState, facts: Mapping[str, Any]) -> None:
        """Tell the target which rows are of deleted objects, write the list's own record, and send the state."""
        before = lowest_version(stream)
        state.store()
        if (after := lowest_version(stream)) not in {before, None}:
            for message in activate_version_messages(stream, after):
                self._run.writer.write_message(message)
        write_export_record(self._run, self._root.workspace, self._started_at, facts)
        self._run.save_state()

    def _read(self, fields: Sequence[str], take: TakeObjects, first_day: date | None = None) -> Waiting[bool]:
        """Read the list; return whether it is complete.

        Raises:
            ListError: it cannot be read.
            OutputError: the target takes no more messages.
        """

        def note_and_take(owner_gid: str, objects: Sequence[msgspec.Raw]) -> None:
            if self._noted:
                self._noted.gids.update(dict.fromkeys(gids_of(objects)))
            take(owner_gid, objects)

        self._part.enter(ASKING)
        try:
            if self._owners:
                yield from self._wait_for(self._owners)
            self._part.enter(READING)
            is_complete = yield from read_list(
                self._asana,
                self._request,
                self._root.workspace.gid,
                fields,
                note_and_take,
                what=str(self._root),
                since=first_day,
                of_each=self._owners.gids if self._owners else (),
            )
        except OutputError:
            raise
        except TapError as error:
            raise ListError(self._root, error) from None
        if self._noted:
            self._noted.is_complete = is_complete
        return is_complete and (self._owners is None or bool(self._owners.is_complete))

    def _wait_for(self, owners: Owners) -> Waiting[None]:
        """Wait until the objects are known whose lists are wanted; raise ListError if they cannot be."""
        yield from until(lambda: owners.has_ended)
        if owners.is_complete is None:
            raise ListError(self._root, TapError(f"it needs the list of {self._request.of_each}, which broke."))

    def _wanted(self, fields: Sequence[str]) -> Wanted:
        """What settings and catalog ask of the table."""
        start_date = self._run.settings["start_date"] if self._request.by_month else None
        return Wanted(parse_time(start_date) if start_date else None, None, fingerprint(list(fields)))

    def _full_reason(self, table: TableState, wanted: Wanted, *, is_incremental: bool) -> str | None:
        """Why the whole list is read; None if what changed lately is enough."""
        if not is_incremental:
            return ALWAYS
        days = self._run.settings["full_export_interval"]
        return full_reason(table, wanted, timedelta(days=days) if days else None, self._started_at)

    def _version(self, table: TableState, *, deletes: bool) -> int | None:
        """The version of the rows: a new one if rows of earlier ones can be deleted, else that of the table."""
        if not self._run.settings["emit_activate_version_messages"]:
            table.version = None  # from now on there are rows without one
            return None
        return max(int(self._started_at.timestamp()), (table.version or 0) + 1) if deletes else table.version


def first_day(since: datetime | None, start_date: datetime | None) -> date | None:
    """The day from which on entries of time are asked for; None: all.

    Args:
        since: up to when they were read before; None: they were not.
        start_date: the setting.
    """
    if since is None:
        return start_date and start_date.date()
    return max(filter(None, [since - EDITED, start_date])).date()


def list_fields(selected: SelectedStream) -> list[str]:
    """The fields to ask of each object: those that are selected, and the type, by which it is told.

    A nested object comes with its gid unasked, which spares half of a URL that would become too long.
    """
    paths = selected_fields(selected.stream, selected.source.added)
    objects = {path.rpartition(".")[0] for path in paths if not path.endswith(".gid")}
    wanted = (path for path in paths if not path.endswith(".gid") or path.removesuffix(".gid") not in objects)
    return list(dict.fromkeys([TAG, *wanted]))


class ListRecords:
    """Writes the records of a list's objects.

    Args:
        run: has the writer and the settings.
        root: the list.
        part: the list in the report.
        selected: the stream.
        sink: takes the records.
        version: of the rows; None if they have none.
    """

    def __init__(
        self, run: RunContext, root: ListRoot, part: Part, selected: SelectedStream, sink: Sink, version: int | None
    ) -> None:
        self._run = run
        self._root = root
        self._part = part
        self._stream = selected.stream
        self._sink = sink
        self._unknown = UnknownFields(str(root), run.limits.unknown_names)
        self._owner_key = next((name for name in selected.source.added if name != "workspace_gid"), None)
        output = StreamOutput(*selected, lambda name: sink.buffer(name, version))
        added = dict.fromkeys([self._owner_key], "") if self._owner_key else {}
        self._added = root.workspace.context
        self._handlers = {
            kind: ObjectHandler(kind, [output], {**self._added, **added}, self._unknown)
            for kind in selected.source.resource_types
        }
        self._router = RecordRouter(
            self._handlers, repeated=() if self._owner_key else self._handlers, limits=run.limits
        )
        self._bytes = 0

    def write(self, owner_gid: str, objects: Sequence[msgspec.Raw]) -> None:
        """Write the records of a page.

        Args:
            owner_gid: of what the page is a list.
            objects: the objects.

        Raises:
            ListError: one is no object of Asana's.
            TapError: the target, or the place of the files, takes no more.
        """
        self._part.pages = (self._part.pages or 0) + 1
        if self._owner_key:
            for handler in self._handlers.values():
                handler.set_added({**self._added, self._owner_key: owner_gid})
        if not objects:
            return
        text = as_lines(objects)
        self._bytes += len(text)
        for _ in read_until_flush(self._router, text, self._sink):
            with self._run.writer.undisturbed():
                begun = time.monotonic()
                self._sink.flush(self._router.lines)
                self._part.writing_seconds += time.monotonic() - begun
        self._part.read(self._router.lines, dict(self._router.objects), self._bytes)

    @property
    def are_others(self) -> bool:
        """Whether the list held objects, but none of the stream, so that it is another list."""
        kinds = {kind for kind, number in self._router.objects.items() if number}
        return bool(kinds) and not kinds & self._handlers.keys()

    def facts(self) -> dict[str, Any]:
        """What the list's own record says of its objects; they are counted and told in the log as well."""
        objects = {**dict.fromkeys(self._handlers, 0), **self._router.objects}
        for kind in objects.keys() - self._handlers.keys():
            logger.warning(
                "%s: it has %s of type '%s', which no stream takes.", self._root, count(objects[kind], "object"), kind
            )
        number = sum(objects[kind] for kind in self._handlers)
        with self._stream.get_record_counter() as counter:
            counter.increment(number)
        unknown = {name: sorted(names) for name, names in sorted(self._unknown.names.items())}
        self._part.records, self._part.unknown_fields = {self._stream.name: number}, unknown
        requests = count(self._part.pages or 0, "request")
        logger.info("%s: it brought %s, in %s", self._root, counts(self._router.objects), requests)
        return {
            "objects": dict(sorted(objects.items())),
            "lines": self._router.lines,
            "bytes": self._bytes,
            "unknown_fields": unknown,
        }
