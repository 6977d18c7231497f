"""What happened in a workspace, as the audit log and the events tell it: read before and after its export."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

import requests
from typing_extensions import Self

from tap_asana_export.asana import AT_ONCE, read_audit_log, read_events
from tap_asana_export.bookmarks import StoredState
from tap_asana_export.errors import AnswerError, ExpiredTokenError, ListError, OutputError, TapError
from tap_asana_export.fingerprint import fingerprint
from tap_asana_export.records import Mapped, UnknownFields
from tap_asana_export.replication.activity import (
    FIRST,
    KEPT,
    OF_PROJECTS,
    OVERLAP,
    TRASH,
    ActivityState,
    Gap,
    LastWords,
    deletion_types,
    inner,
    note_handled,
    text,
    time_of,
    unhandled,
)
from tap_asana_export.replication.coverage import TableState
from tap_asana_export.replication.state import read_partition
from tap_asana_export.report import READING, WAITING_TO_READ
from tap_asana_export.times import format_time, parse_time
from tap_asana_export.waiting import side_by_side, until
from tap_asana_export.words import count, counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tap_asana_export.asana import Asana
    from tap_asana_export.sources import ExportRoot
    from tap_asana_export.transfer import RunContext, SelectedStream
    from tap_asana_export.waiting import Waiting

logger = logging.getLogger(__name__)

DELETIONS, EVENTS, AUDIT_LOG = "deletions", "events", "audit_log_events"

FLUSH_EVERY = 1000
"""Records after which they are written out."""

MOST_ASKED = 100
"""Undeleted objects of which Asana is asked, one by one, when they were deleted; of more nobody knows."""

REFUSED = {requests.codes.payment_required, requests.codes.forbidden}
"""Answers of Asana that say that the plan, or the token, has no audit log or no events."""


class ActivityRoot(NamedTuple):
    """The activity of a workspace."""

    workspace: ExportRoot

    def __str__(self) -> str:
        """Return its name for the log."""
        return f"{self.workspace}, activity"


class Activity:
    """The activity of one workspace, read before its export is asked for and again when that has been read.

    Args:
        run: what all exports of the run have in common.
        asana: the API.
        workspace: the workspace.
        is_exported: whether the workspace is exported in this run.
    """

    def __init__(self, run: RunContext, asana: Asana, workspace: ExportRoot, *, is_exported: bool) -> None:
        self._run = run
        self._asana = asana
        self._workspace = workspace
        self._root = ActivityRoot(workspace)
        self._part = run.report.part(self._root, "activity", workspace.context)
        self._selected = {each.stream.name: each for each in run.selected if each.source.kind == "activity"}
        self._state = StoredState()
        self._of = {
            name: self._state.read(ActivityState, each.stream, workspace) for name, each in self._selected.items()
        }
        for state in self._of.values():
            if state.gap_at:
                self._note_gap(state.gap_at, state.gap or "something may have been missed")
            if state.renew_at:
                run.renewals[workspace.gid] = state.renew_at
        self._since = self._of[DELETIONS].bookmark if DELETIONS in self._of else None
        self._told = LastWords(workspace.gid)
        self._newest: datetime | None = None
        self._sync: str | None = None
        self._error: TapError | None = None
        self._is_read = False
        self._has_export_ended = not is_exported
        self._is_exported = False

    def read(self) -> Waiting[None]:
        """Read the activity, wait for the export, and read what has happened meanwhile.

        Raises:
            ListError: the audit log or the events cannot be read.
            OutputError: the target takes no more messages.
        """
        try:
            yield from self._read_once()
        finally:
            self._is_read = True
        self._part.enter(WAITING_TO_READ)
        yield from until(lambda: self._has_export_ended)
        if self._is_exported and not self._error:
            yield from self._read_once()
        if self._error:
            raise ListError(self._root, self._error)

    def around(self, export: Waiting[None]) -> Waiting[None]:
        """Run an export when the activity has been read; raises as the export does."""
        yield from until(lambda: self._is_read)
        try:
            yield from export
            self._is_exported = True
        finally:
            self._has_export_ended = True

    def _read_once(self) -> Waiting[None]:
        """Read what has happened since the last time, write its records, and move the bookmarks."""
        self._part.enter(READING)
        now = datetime.now(timezone.utc)
        if any(each.completed_at and now - each.completed_at > KEPT for each in self._of.values()):
            self._note_gap(now, "activity was not read for longer than Asana keeps it")
        words = LastWords(self._workspace.gid)
        with contextlib.ExitStack() as stack:
            records = {
                name: stack.enter_context(ActivityRecords(self._run, self._root, each, now))
                for name, each in self._selected.items()
            }
            # The token for the events comes first: what happens from then on, they tell.
            yield from self._try(self._read_events(now, records.get(EVENTS)), words, now)
            if any(name != EVENTS and not state.bookmark for name, state in self._of.items()):
                # The first reading of the audit log may be long. What it tells, the next run's export goes by.
                self._is_read = True
            yield from self._try(self._read_audit_log(now, records.get(AUDIT_LOG)), words, now)
            if DELETIONS in records:
                self._note_unclear(words, now)
                yield from self._note_undeletions(words, now)
                for record in self._new(words):
                    records[DELETIONS].write(record)
            with self._run.writer.undisturbed():
                for each in records.values():
                    each.finish()
                self._move_bookmarks(now)
        self._note_records(records)
        self._run.save_state()

    def _new(self, words: LastWords) -> Iterator[dict[str, Any]]:
        """Yield the records of deletions that this run has not written yet: it reads the last hour twice."""
        since = self._since
        for record in words.records(self._told):
            is_later = since is None or parse_time(record["changed_at"]) > since
            self._part.deletions = (self._part.deletions or 0) + (record["is_deleted"] and is_later)
            yield record
        self._told = words

    def _note_unclear(self, words: LastWords, now: datetime) -> None:
        """Remember that something was deleted of which nobody knows what it is, or when that was."""
        if words.unclear:
            unclear = count(words.unclear, "event")
            logger.warning("%s: %s told of a deletion, but not of what, or when.", self._root, unclear)
            self._note_gap(now, "an event told of a deletion, but not of what, or when")

    def _note_records(self, records: Mapping[str, ActivityRecords]) -> None:
        """Note in the report what was read."""
        numbers = Counter(self._part.records) + Counter({name: each.count for name, each in records.items()})
        self._part.records = dict(numbers)

    def _try(self, reading: Waiting[LastWords], words: LastWords, now: datetime) -> Waiting[None]:
        """Read the audit log or the events, and add what is told of deletions; what breaks off tells nothing."""
        try:
            words.add((yield from reading))
        except OutputError:
            raise
        except TapError as error:
            self._error = self._error or error
            if isinstance(error, AnswerError) and error.status in REFUSED:
                self._note_gap(now, "Asana refuses to tell of deletions")

    def _move_bookmarks(self, now: datetime) -> None:
        """Put what has been read into the state."""
        for name, state in self._of.items():
            if self._newest and name in {DELETIONS, AUDIT_LOG}:
                state.replication_key, state.bookmark = self._selected[name].stream.replication_key, self._newest
            if self._sync and name in {DELETIONS, EVENTS}:
                state.sync = self._sync
            if not self._error:
                state.completed_at = now
        self._state.store()

    def _read_audit_log(self, now: datetime, log: ActivityRecords | None) -> Waiting[LastWords]:
        """Read the audit log since the last event that was read."""
        words = LastWords(self._workspace.gid)
        states = [(name, self._of[name]) for name in (DELETIONS, AUDIT_LOG) if name in self._of]
        if not states:
            return words
        wanted = self._run.settings["audit_log_event_types"]
        types: set[str | None] = {*deletion_types(self._deleted_from())} if DELETIONS in self._of else set()
        if log:
            types = types | {*wanted} if wanted else {None}
        # Of deletions before the first export nothing has to be known; the log itself is wanted as far as it goes.
        first = {DELETIONS: now - OVERLAP, AUDIT_LOG: now - KEPT}
        # What a state says of the future was never read.
        bookmarks = {name: min(state.bookmark, now) for name, state in states if state.bookmark}
        starts = {name: bookmarks[name] - OVERLAP if name in bookmarks else first[name] for name, _ in states}
        start_at = min(starts.values())
        newest = max(bookmarks.get(name, first[name]) for name in starts)
        nameless = 0

        def take(event: dict[str, Any]) -> None:
            nonlocal newest, nameless
            self._note_read()
            at_present = datetime.now(timezone.utc)  # a long reading meets what happened after its begin
            created_at = time_of(event, at_present)
            if log and (not wanted or event.get("event_type") in wanted):
                if text(event, "gid"):
                    log.write({**event, "workspace_gid": self._workspace.gid})
                else:
                    nameless += 1
            if DELETIONS in starts and (created_at is None or created_at >= starts[DELETIONS]):
                words.note_audit_event(event, at_present)
            if created_at and (reason := OF_PROJECTS.get(text(event, "event_type"))):
                self._note_gap(created_at, reason)
            newest = max(newest, created_at or newest)

        gid, at = self._workspace.gid, format_time(start_at)
        logger.info("%s: reading the audit log since %s", self._root, at)
        yield from side_by_side(
            (read_audit_log(self._asana, gid, at, take, event_type=each) for each in types), AT_ONCE
        )
        self._newest = min(newest, now)
        if nameless:
            left_out = count(nameless, "event")
            logger.warning("%s: the audit log has %s without a gid; they are left out.", self._root, left_out)
        return words

    def _read_events(self, now: datetime, log: ActivityRecords | None) -> Waiting[LastWords]:
        """Read the workspace's events since the last token."""
        words = LastWords(self._workspace.gid)
        states = [self._of[name] for name in (DELETIONS, EVENTS) if name in self._of]
        # Of two tokens, the one of the stream that was read less lately tells all that the other does.
        known = [state for state in states if state.sync]
        since = min(known, key=lambda state: state.completed_at or FIRST, default=None)
        sync = self._sync or (since.sync if since else None)
        types: Counter[str] = Counter()

        def take(event: dict[str, Any]) -> None:
            self._note_read()
            types[text(inner(event, "resource"), "resource_type") or "untyped object"] += 1
            if log:
                gid = fingerprint(event).removeprefix("sha256:")[:32]
                log.write({**event, "gid": gid, "workspace_gid": self._workspace.gid})
            if DELETIONS in self._of:
                words.note_event(event, datetime.now(timezone.utc))

        if not states:
            return words
        try:
            self._sync = yield from read_events(self._asana, self._workspace.gid, sync, take)
        except ExpiredTokenError as error:
            if sync:
                logger.warning(
                    "%s: Asana keeps no events since the last run (%s). What happened may be missing, so an export of "
                    "all objects is made, once a day at the most.",
                    self._root,
                    error.message,
                )
                self._note_gap(now, "the workspace's events were asked for too late")
            self._sync = error.sync
        except AnswerError as error:
            # The audit log tells of deletions alone; only who selects the events needs them.
            if EVENTS in self._of or error.status not in REFUSED:
                raise
            logger.warning("%s: %s No event is read.", self._root, error)
        if types:
            logger.info("%s: the events are of %s", self._root, counts(types))
        return words

    def _deleted_from(self) -> set[str]:
        """The streams whose objects' deletions are wanted: the selected ones, and those that they are parts of."""
        names = {each.stream.name for each in self._run.selected}
        of_parts = {
            f"{kind}s" for each in self._run.selected if each.source.array for kind in each.source.resource_types
        }
        return names | of_parts | ({"projects"} if "tasks" in names | of_parts else set())

    def _note_read(self) -> None:
        """Note in the report that an event was read."""
        self._part.objects["event"] = self._part.objects.get("event", 0) + 1

    def _note_gap(self, at: datetime, reason: str) -> None:
        """Remember that something may have been missed, until an export of all objects has shown what there is."""
        before = self._run.gaps.get(self._workspace.gid)
        if before is None or before.at < at:
            self._run.gaps[self._workspace.gid] = Gap(at, reason)
            self._part.gap = reason
            for state in self._of.values():
                state.gap_at, state.gap = at, reason

    def _note_undeletions(self, words: LastWords, now: datetime) -> Waiting[None]:
        """Remember what was undeleted, and is not in the last export, until a later one brings it."""
        state = self._of[DELETIONS]
        tables, asked = self._tables(), 0
        if not tables:
            return  # what the first export has is known when it has come through; then this is read again
        new = unhandled(state, words.undeletions)
        for gid, (undeleted_at, deleted_at) in words.undeleted().items():
            if gid not in new:
                continue
            state.undeleted_at = max(filter(None, (state.undeleted_at, undeleted_at)))
            # A full export that was begun after it has it.
            older = [(bookmark, full_at) for bookmark, full_at in tables if full_at < undeleted_at]
            since = deleted_at
            if older and since is None and asked < MOST_ASKED:
                asked += 1
                since = yield from self._deleted_at(gid, undeleted_at)
            # What was deleted after the last export was in it, and if it was changed in between, the next one has that.
            lacking = [bookmark for bookmark, _ in older if since is None or since <= bookmark]
            if lacking and (since is None or any(since <= full_at for _, full_at in older)):
                self._note_gap(undeleted_at, "something was undeleted that the last full export may lack")
            elif lacking:
                renew_at = max(undeleted_at, max(lacking) + timedelta(milliseconds=1))
                state.renew_at = max(filter(None, (state.renew_at, renew_at)))
                self._run.renewals[self._workspace.gid] = state.renew_at
        note_handled(state, words.undeletions, min(state.bookmark or now, now) - OVERLAP)

    def _tables(self) -> list[tuple[datetime, datetime]]:
        """Of the tables of tasks, messages and what is within them, the last export and the last full one."""
        states = (
            read_partition(TableState, each.stream.get_context_state(self._workspace.context))
            for each in self._run.selected
            if each.source.kind == "resource"
        )
        return [(state.bookmark, state.full_at) for state in states if state.bookmark and state.full_at]

    def _deleted_at(self, gid: str, undeleted_at: datetime) -> Waiting[datetime | None]:
        """When something was deleted that was in the trash until then; None: nobody knows."""
        words = LastWords(self._workspace.gid)
        at = format_time(undeleted_at - TRASH - OVERLAP)
        take = functools.partial(words.note_audit_event, now=datetime.now(timezone.utc))
        try:
            yield from read_audit_log(self._asana, self._workspace.gid, at, take, resource_gid=gid)
        except TapError as error:
            logger.warning("%s: nobody knows when %s was deleted: %s", self._root, gid, error)
        return words.undeleted().get(gid, (undeleted_at, None))[1]


class ActivityRecords:
    """Writes the records of one stream of activity.

    Args:
        run: has the writer and the sink.
        root: whose activity it is.
        selected: the stream.
        now: when the reading began.

    Attributes:
        count: how many were written.
    """

    def __init__(self, run: RunContext, root: ActivityRoot, selected: SelectedStream, now: datetime) -> None:
        self._run = run
        self._stream = selected.stream
        self._root = root
        self._sink = run.sink(root.workspace, f"{self._stream.name}-{root.workspace.gid}-{now:%Y%m%dT%H%M%S%f}", now)
        unknown = UnknownFields(str(root), run.limits.unknown_names)
        self._mapped = Mapped(self._stream, {}, lambda name: self._sink.buffer(name, None), unknown=unknown)
        self.count = 0

    def __enter__(self) -> Self:
        """Begin."""
        self._sink.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """Give up what is not finished."""
        self._sink.__exit__(*error)

    def write(self, record: dict[str, Any]) -> None:
        """Write a record."""
        self._mapped.write(record, {})
        self.count += 1
        if self.count == self._sink.next_flush_line(self.count - 1) or self.count % FLUSH_EVERY == 0:
            self._flush()

    def _flush(self) -> None:
        with self._run.writer.undisturbed():
            self._sink.flush(self.count)

    def finish(self) -> None:
        """See that all records are out for good, and count them."""
        if self.count:
            self._flush()
            self._sink.finish()
            with self._stream.get_record_counter() as counter:
                counter.increment(self.count)
        logger.info("%s: %s", self._root, count(self.count, self._stream.name.removesuffix("s")))
