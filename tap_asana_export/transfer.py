"""What all exports of a run have in common, and what becomes of a file's lines, however it was come by."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_asana_export.asana import JOBS_AT_ONCE
from tap_asana_export.errors import DamagedError
from tap_asana_export.limits import USUAL
from tap_asana_export.output.batch import BatchFiles
from tap_asana_export.output.messages import ExportOrigin, RecordMessages
from tap_asana_export.records import Mapped, ObjectHandler, StreamOutput, UnknownFields
from tap_asana_export.sources import SOURCES
from tap_asana_export.times import format_time
from tap_asana_export.unicode import is_utf8
from tap_asana_export.waiting import SAY_EVERY, Slots
from tap_asana_export.words import count, counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from singer_sdk import Stream

    from tap_asana_export.limits import Limits
    from tap_asana_export.output.batch import BatchConfig
    from tap_asana_export.output.checkpoint import Checkpoint
    from tap_asana_export.output.messages import MessageWriter, Schemas, Sink
    from tap_asana_export.records import RecordRouter
    from tap_asana_export.replication.activity import Gap
    from tap_asana_export.report import Report
    from tap_asana_export.settings import Settings
    from tap_asana_export.sources import ExportRoot, Source

logger = logging.getLogger(__name__)


class SelectedStream(NamedTuple):
    """A selected stream, and of what it is made."""

    source: Source
    stream: Stream


@dataclass(frozen=True)
class RunContext:
    """What the exports of one run have in common.

    Attributes:
        exports: the stream of the exports' own records, whose state remembers pending jobs.
        selected: the other selected streams.
        save_state: sends a STATE.
        output_fingerprint: tells what the records look like; lines that went out looking otherwise do not count.
        batch: where records go in files; None makes messages of them.
        schemas: JSON Schema of the records, by the name that they go under.
        checkpoint: where running jobs are kept besides the state.
        report: what the run tells of itself.
        limits: how much to take at a time.
        job_slots: how many jobs may still be started.
        reading: the slot of the one export whose file is being read.
        say_every: seconds after which the log mentions a long pause again.
        gaps: by gid of a workspace, when something happened there last that no event may tell of.
        renewals: by gid of a workspace, the time before which exports lack something that was undeleted there.
    """

    settings: Settings
    exports: Stream
    selected: Sequence[SelectedStream]
    writer: MessageWriter
    save_state: Callable[[], None]
    output_fingerprint: str
    batch: BatchConfig | None
    schemas: Schemas
    checkpoint: Checkpoint
    report: Report
    limits: Limits = USUAL
    job_slots: Slots = field(default_factory=lambda: Slots(JOBS_AT_ONCE))
    reading: Slots = field(default_factory=lambda: Slots(1))
    gaps: dict[str, Gap] = field(default_factory=dict)
    renewals: dict[str, datetime] = field(default_factory=dict)
    say_every: float = SAY_EVERY

    @property
    def inflate_ahead(self) -> bool:
        """Whether the thread that takes a file decompresses it too: not beside the one that compresses batch files."""
        return self.batch is None

    @property
    def is_utf8(self) -> Callable[[memoryview | bytes, int], bool]:
        """What checks the text of a file: pyarrow, where Parquet files need it anyway."""
        if self.batch is None or self.batch.format != "parquet":
            return is_utf8
        from tap_asana_export.output import parquet  # noqa: PLC0415 - needs an extra

        return parquet.is_utf8

    def sink(self, root: ExportRoot, export_gid: str, created_at: datetime) -> Sink:
        """Takes the records of an export."""
        if self.batch is None:
            return RecordMessages(self.writer, created_at)
        return BatchFiles(self.batch, self.writer, self.schemas, ExportOrigin(root, export_gid, created_at))


def streams_by_type(selected: Iterable[SelectedStream]) -> dict[str, list[SelectedStream]]:
    """The streams that want something of a type's objects."""
    by_type: dict[str, list[SelectedStream]] = {}
    for each in selected:
        for kind in each.source.resource_types:
            by_type.setdefault(kind, []).append(each)
    return by_type


def build_handlers(
    by_type: Mapping[str, Iterable[SelectedStream]],
    root: ExportRoot,
    sink: Sink,
    versions: Mapping[str, int | None],
    limits: Limits = USUAL,
) -> dict[str, ObjectHandler]:
    """What becomes of the lines of each type."""

    def output(selected: SelectedStream) -> StreamOutput:
        source, stream = selected
        version = versions[stream.name]
        return StreamOutput(source, stream, lambda name: sink.buffer(name, version))

    unknown = UnknownFields(str(root), limits.unknown_names)
    return {
        kind: ObjectHandler(kind, map(output, selected), root.context, unknown) for kind, selected in by_type.items()
    }


def read_until_flush(router: RecordRouter, text: bytes, sink: Sink) -> Iterator[None]:
    """Read a block of lines, stopping where the sink wants to flush; also after what came before a damaged line."""
    begin: int | None = 0
    while begin is not None:
        try:
            begin = router.read(text, begin, sink.next_flush_line(router.lines))
        except DamagedError:
            yield
            raise
        yield


def write_export_record(
    run: RunContext, root: ExportRoot, created_at: datetime, export_facts: Mapping[str, Any]
) -> None:
    """Write an export's or a list's own record, if it is wanted.

    Args:
        run: tells whether it is.
        root: what was exported.
        created_at: the time of the export.
        export_facts: its other properties.
    """
    if run.exports.selected:
        record = {
            "kind": root.kind,
            "workspace_gid": None,
            "parent_gid": None,
            **root.context,
            "created_at": format_time(created_at),
            **export_facts,
        }
        with run.sink(root, record["gid"], created_at) as sink:
            nothing = UnknownFields(str(root))
            Mapped(run.exports, {}, lambda name: sink.buffer(name, None), unknown=nothing).write(record, {})
            sink.flush(1)
            sink.finish()


def file_facts(router: RecordRouter, asked: Iterable[str] = ()) -> dict[str, Any]:
    """What an export's record says of the file.

    Args:
        router: the pass over it.
        asked: types of object to count also if there is none.
    """
    return {
        "objects": dict(sorted({**dict.fromkeys(asked, 0), **router.objects}.items())),
        "lines": router.lines,
        "unknown_fields": unknown_fields(router),
    }


def unknown_fields(router: RecordRouter) -> dict[str, list[str]]:
    """By stream, the fields in a file that the schemas do not know."""
    noted = (handler.unknown.names for handler in router.handlers.values() if isinstance(handler, ObjectHandler))
    return {stream: sorted(names) for each in noted for stream, names in sorted(each.items())}


def log_summary(
    what: str,
    router: RecordRouter,
    by_type: Mapping[str, Iterable[SelectedStream]],
    handlers: Mapping[str, ObjectHandler],
) -> dict[str, int]:
    """Say what a file brought, and count it.

    Args:
        what: the file, as the log names it.
        router: the pass over it.
        by_type: the streams that took something of each type.
        handlers: how they did.

    Returns:
        The number of records by stream, without those that the target already had.
    """
    known = {kind for source in SOURCES for kind in source.resource_types}
    for kind in router.objects.keys() - by_type.keys() - known:
        logger.warning(
            "%s: it brought %s of type '%s', which no stream takes.", what, count(router.objects[kind], "object"), kind
        )
    records: Counter[str] = Counter()
    for kind, selected in by_type.items():
        nested = {nested_stream.name: nested_stream.count for nested_stream in handlers[kind].nested}
        for _, stream in selected:
            number = nested.get(stream.name, router.objects[kind] - router.skipped[kind])
            records[stream.name] += number
            with stream.get_record_counter() as counter:
                counter.increment(number)
    logger.info("%s: it brought %s", what, counts(router.objects))
    return dict(records)
