"""What a run tells of itself: one typed value, which the rooms fill with small calls while they work.

docs/observability.md is the specification of its JSON. Nothing in it is secret.
"""

from __future__ import annotations

import importlib.metadata
import logging
from datetime import datetime, timezone
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from tap_asana_export.errors import TapError, UnexpectedError
from tap_asana_export.redaction import redact_texts
from tap_asana_export.times import as_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_CONTEXT: Mapping[str, str] = MappingProxyType({})

TAP = f"tap-asana-export {importlib.metadata.version('tap-asana-export')}"

VERSION = 1
"""Of the report's form: it is raised when a property goes, or means something else, not when one is added."""

MOST_WARNINGS = 200
"""Warnings in a report."""

ASKING, WAITING_FOR_SLOT, WAITING_FOR_JOB, WAITING_TO_READ, READING = (
    "asking",
    "waiting_for_slot",
    "waiting_for_job",
    "waiting_to_read",
    "reading",
)
"""The phases of a part: of several files one is read at a time, while the others wait."""

Kind: TypeAlias = Literal["resource", "graph", "list", "activity", "file"]
"""What a part brings: an export of a workspace or a graph, a list, the activity, or a file of `export_files`."""

Outcome: TypeAlias = Literal["succeeded", "failed", "deferred", "unfinished", "ended"]
"""How it ended: `deferred` goes on with the next run, `unfinished` did not come to its end, `ended` was by a signal."""


def now() -> datetime:
    """The present."""
    return datetime.now(timezone.utc)


class Phase(msgspec.Struct):
    """A phase of a part, such as reading.

    Attributes:
        name: one of `asking`, `waiting_for_slot`, `waiting_for_job`, `waiting_to_read`, `reading`.
        started_at: when it began.
        seconds: how long it took; null if it did not end.
    """

    name: str
    started_at: datetime
    seconds: float | None = None

    @property
    def seconds_so_far(self) -> float:
        """How long it has taken."""
        return (now() - self.started_at).total_seconds() if self.seconds is None else self.seconds


class Failure(msgspec.Struct):
    """What ended a part, or the run.

    Attributes:
        about: the part; null: the whole run.
        error: class of the error, a heading of docs/troubleshooting.md.
        what: what happened, and where.
        to_do: what to do.
    """

    about: str | None
    error: str
    what: str
    to_do: str


class Part(msgspec.Struct):
    """One export, list, activity or file of the run.

    Attributes:
        name: as the log has it, such as `Workspace 1200, users`.
        kind: what it is.
        workspace_gid: its workspace; null for a graph.
        parent_gid: what the graph hangs below; null for all else.
        outcome: how it ended.
        asked: in words, what Asana was asked for.
        full_reasons: by type of object, why all objects are asked for.
        job_gid: the export's job.
        job_status: the job's last status.
        phases: its phases, in their order; one may come more than once.
        pages: of a list, how many came.
        writing_seconds: of those in which it was read, how many the target, or the place of batch files, took.
        bytes: of the file that were read, or of the list's objects.
        total_bytes: of the whole file, as soon as storage has told it.
        lines: of the file that were read.
        objects: by type, the objects in it so far.
        records: by stream, the records that it brought.
        unknown_fields: by stream, the fields that no schema knows.
        deletions: of the activity, the deletions that were told.
        gap: why something may have been missed, so that an export of all objects is made, once a day at the most.
        failure: what ended it.
    """

    name: str
    kind: Kind
    workspace_gid: str | None = None
    parent_gid: str | None = None
    outcome: Outcome = "unfinished"
    asked: str | None = None
    full_reasons: dict[str, str] = {}
    job_gid: str | None = None
    job_status: str | None = None
    phases: list[Phase] = []
    pages: int | None = None
    writing_seconds: float = 0
    bytes: int = 0
    total_bytes: int | None = None
    lines: int = 0
    objects: dict[str, int] = {}
    records: dict[str, int] = {}
    unknown_fields: dict[str, list[str]] = {}
    deletions: int | None = None
    gap: str | None = None
    failure: Failure | None = None

    def enter(self, name: str) -> None:
        """Begin a phase, unless it is the present one; the one before ends."""
        if not self.phases or self.phases[-1].name != name or self.phases[-1].seconds is not None:
            self._end_phase()
            self.phases.append(Phase(name, now()))

    def read(self, lines: int, objects: dict[str, int], size: int, total: int | None = None) -> None:
        """Note how far reading is."""
        self.lines, self.objects, self.bytes, self.total_bytes = lines, objects, size, total

    def end(self, outcome: Outcome, failure: Failure | None = None) -> None:
        """End the part."""
        self._end_phase()
        self.outcome, self.failure = outcome, failure

    def _end_phase(self) -> None:
        if self.phases and self.phases[-1].seconds is None:
            self.phases[-1].seconds = self.phases[-1].seconds_so_far

    @property
    def phase(self) -> Phase | None:
        """The present phase; None before the first and after the end."""
        last = self.phases[-1] if self.phases else None
        return last if last and last.seconds is None else None

    def seconds(self, *names: str) -> float:
        """How long the phases of these names have taken so far."""
        return sum(each.seconds_so_far for each in [*self.phases] if each.name in names)


class Requests(msgspec.Struct):
    """Requests of one kind.

    Attributes:
        count: how many were sent.
        retries: how many of these were sent once more, since no answer came, or 429 or 5xx.
    """

    count: int = 0
    retries: int = 0


class Announcement(msgspec.Struct):
    """A change of the API that Asana announces in the header `Asana-Change`.

    Attributes:
        name: of the change, as the settings `asana_enable` and `asana_disable` take it.
        info: where Asana explains it.
        affected: whether a request of this run is affected, as far as Asana can tell.
    """

    name: str
    info: str | None = None
    affected: bool = False


class Asked(msgspec.Struct):
    """What the settings and the catalog ask for.

    Attributes:
        streams: the selected streams.
        workspaces: the setting; empty: all that the token sees.
        graph_parents: the setting.
        start_date: the setting.
        filters: the setting.
        full_export_interval: the setting.
        export_files: the setting, without what is secret in it.
    """

    streams: list[str]
    workspaces: list[str] = []
    graph_parents: list[str] = []
    start_date: str | None = None
    filters: dict[str, Any] = {}
    full_export_interval: int | None = None
    export_files: list[str] = []


class Report(msgspec.Struct, kw_only=True):
    """What a run tells of itself.

    Attributes:
        version: of this form.
        tap: name and version of the tap.
        started_at: when the run began.
        ended_at: when it ended.
        seconds: how long it took.
        outcome: how it ended; `failed` also if only a part failed.
        exit_code: of the process.
        signal: name of the signal that ended it.
        asked: what was asked for.
        parts: the exports, lists, activities and files, in the order in which they began.
        records: by stream, the records of all parts.
        bytes: that were read, of all parts.
        requests: by method and path, with `{gid}` for each gid; those to storage are `GET storage`.
        announcements: changes of the API that Asana announced.
        warnings: what the log warned of, each once.
        failures: what failed, and what to do about it.
        state_before: the state that the run began with.
        state_after: the state that it ended with; the target may have confirmed less.
    """

    version: int = VERSION
    tap: str = TAP
    started_at: datetime = msgspec.field(default_factory=now)
    ended_at: datetime | None = None
    seconds: float | None = None
    outcome: Outcome = "unfinished"
    exit_code: int | None = None
    signal: str | None = None
    asked: Asked
    parts: list[Part] = []
    records: dict[str, int] = {}
    bytes: int = 0
    requests: dict[str, Requests] = {}
    announcements: list[Announcement] = []
    warnings: list[str] = []
    failures: list[Failure] = []
    state_before: dict[str, Any] = {}
    state_after: dict[str, Any] = {}

    @property
    def seconds_so_far(self) -> float:
        """How long the run has taken."""
        return (now() - self.started_at).total_seconds() if self.seconds is None else self.seconds

    def part(self, name: object, kind: Kind, context: Mapping[str, str] = NO_CONTEXT) -> Part:
        """The part of this name; a new one if there is none yet.

        Args:
            name: what it is, as the log has it.
            kind: what it brings.
            context: `workspace_gid`, or `parent_gid`.
        """
        for each in self.parts:
            if each.name == str(name):
                return each
        self.parts.append(Part(str(name), kind, context.get("workspace_gid"), context.get("parent_gid")))
        return self.parts[-1]

    def count_requests(self, endpoint: str, count: int, retries: int) -> None:
        """Add requests of one kind."""
        requests = self.requests.setdefault(endpoint, Requests())
        requests.count += count
        requests.retries += retries

    def warn(self, message: str) -> None:
        """Note a warning, once."""
        if message not in self.warnings and len(self.warnings) < MOST_WARNINGS:
            self.warnings.append(message)

    def end_part(self, name: object, outcome: Outcome, error: Exception | None = None) -> None:
        """End the part of this name.

        Args:
            name: what it is.
            outcome: how it ended.
            error: what ended it, if it failed.
        """
        for part in self.parts:
            if part.name == str(name):
                part.end(outcome, failure_of(error, part.name) if error else None)

    def end(self, outcome: Outcome, exit_code: int, state: dict[str, Any]) -> None:
        """End the run, and add up its parts.

        Args:
            outcome: how it ended.
            exit_code: of the process.
            state: the state at its end.
        """
        self.ended_at = now()
        self.seconds = (self.ended_at - self.started_at).total_seconds()
        self.outcome, self.exit_code, self.state_after = outcome, exit_code, state
        for part in self.parts:
            if part.phase:
                part.end("unfinished")
            for name, number in part.records.items():
                self.records[name] = self.records.get(name, 0) + number
            self.bytes += part.bytes
        self.failures[:0] = [each.failure for each in self.parts if each.failure]

    def fail(self, error: BaseException) -> None:
        """Note what ended the whole run, unless it is what ended a part."""
        failure = failure_of(error)
        if failure.what not in {each.failure.what for each in self.parts if each.failure}:
            self.failures.append(failure)


def failure_of(error: BaseException, about: str | None = None) -> Failure:
    """What is told of an error.

    Args:
        error: the error. The text of one that is not the tap's own is not shown, as it may contain a secret.
        about: the part that it ended.
    """
    if not isinstance(error, TapError):
        error = UnexpectedError(about or "The run", error)
    return Failure(about, type(error).__name__, error.what, error.to_do)


class WarningsHandler(logging.Handler):
    """Notes in the report what the log warns of."""

    def __init__(self, report: Report) -> None:
        super().__init__(logging.WARNING)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        """Note a warning; errors are told in other ways."""
        if record.levelno == logging.WARNING:
            self._report.warn(record.getMessage())


def as_json(report: Report) -> bytes:
    """The report as JSON, without secrets, and with times as Asana writes them."""
    return msgspec.json.format(msgspec.json.encode(redact_texts(as_plain(report))), indent=2) + b"\n"
