"""What all exports of a run have in common, and what becomes of a file's lines, however it was come by."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_asana_export.asana.jobs import JOBS_AT_ONCE
from tap_asana_export.errors import DamagedError
from tap_asana_export.output.batch import Files
from tap_asana_export.output.messages import Messages, Origin
from tap_asana_export.records.mapped import Mapped
from tap_asana_export.records.objects import Taker
from tap_asana_export.records.router import Objects
from tap_asana_export.records.unknown_fields import UnknownFields
from tap_asana_export.sources import SOURCES
from tap_asana_export.times import format_time
from tap_asana_export.waiting import Slots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from singer_sdk import Stream

    from tap_asana_export.output.batch import BatchConfig
    from tap_asana_export.output.checkpoint import Checkpoint
    from tap_asana_export.output.messages import MessageWriter, Schemas, Sink
    from tap_asana_export.records.router import Pass
    from tap_asana_export.sources import Source, Subject

logger = logging.getLogger(__name__)


class Selected(NamedTuple):
    """A selected stream, and of what it is made."""

    source: Source
    stream: Stream


@dataclass(frozen=True)
class Run:
    """What the exports of one run have in common.

    Attributes:
        exports: the stream of the exports' own records, whose state remembers pending jobs.
        selected: the other selected streams.
        save_state: sends a STATE.
        shape: a fingerprint of what the records look like; lines that went out in another shape do not count.
        batch: where records go in files; None makes messages of them.
        schemas: JSON Schema of the records, by the name that they go under.
        checkpoint: where running jobs are kept besides the state.
        job_slots: how many jobs may still be started.
        reading: the one export whose file is read.
    """

    settings: Mapping[str, Any]
    exports: Stream
    selected: Sequence[Selected]
    writer: MessageWriter
    save_state: Callable[[], None]
    shape: str
    batch: BatchConfig | None
    schemas: Schemas
    checkpoint: Checkpoint
    job_slots: Slots = field(default_factory=lambda: Slots(JOBS_AT_ONCE))
    reading: Slots = field(default_factory=lambda: Slots(1))

    def sink(self, subject: Subject, export_gid: str, created_at: datetime) -> Sink:
        """Takes the records of an export."""
        if self.batch is None:
            return Messages(self.writer, created_at)
        return Files(self.batch, self.writer, self.schemas, Origin(subject, export_gid, created_at))


def by_resource_type(selected: Iterable[Selected]) -> dict[str, list[Selected]]:
    """The streams that want something of a type's objects."""
    kinds: dict[str, list[Selected]] = {}
    for each in selected:
        for kind in each.source.resource_types:
            kinds.setdefault(kind, []).append(each)
    return kinds


def ways_of(
    kinds: Mapping[str, Iterable[Selected]], subject: Subject, sink: Sink, versions: Mapping[str, int | None]
) -> dict[str, Objects]:
    """What becomes of the lines of each type."""

    def taker(selected: Selected) -> Taker:
        source, stream = selected
        version = versions[stream.name]
        return Taker(source, stream, lambda name: sink.outlet(name, version))

    unknown = UnknownFields(str(subject))
    return {kind: Objects(kind, map(taker, selected), subject.context, unknown) for kind, selected in kinds.items()}


def pieces(reading: Pass, text: bytes, sink: Sink) -> Iterator[None]:
    """Read a block of lines, stopping where the sink wants to flush; also after what came before a damaged line."""
    begin: int | None = 0
    while begin is not None:
        try:
            begin = reading.read(text, begin, sink.until(reading.lines))
        except DamagedError:
            yield
            raise
        yield


def write_export(
    run: Run, subject: Subject, reading: Pass, created_at: datetime, told: Mapping[str, Any], asked: Iterable[str] = ()
) -> None:
    """Write an export's own record.

    Args:
        run: tells whether it is wanted.
        subject: what was exported.
        reading: the pass over the file.
        created_at: the time of the export.
        told: properties that depend on how the file was come by; gid, job_gid, completed_at, full and bytes.
        asked: types of object to count also if there is none.
    """
    if run.exports.selected:
        record = {
            **told,
            "kind": "graph" if subject.graph else "resource",
            "workspace_gid": None,
            "parent_gid": None,
            **subject.context,
            "created_at": format_time(created_at),
            "objects": dict(sorted({**dict.fromkeys(asked, 0), **reading.objects}.items())),
            "lines": reading.lines,
            "unknown_fields": unknown_fields(reading),
        }
        with run.sink(subject, record["gid"], created_at) as sink:
            nothing = UnknownFields(str(subject))
            Mapped(run.exports, {}, lambda name: sink.outlet(name, None), unknown=nothing).write(record, {})
            sink.flush(1)
            sink.finish()


def unknown_fields(reading: Pass) -> dict[str, list[str]]:
    """By stream, the fields in a file that the schemas do not know."""
    noted = (way.unknown.names for way in reading.ways.values() if isinstance(way, Objects))
    return {stream: sorted(names) for each in noted for stream, names in sorted(each.items())}


def tell(what: str, reading: Pass, kinds: Mapping[str, Iterable[Selected]], ways: Mapping[str, Objects]) -> None:
    """Say what a file brought, and count it.

    Args:
        what: the file, as the log names it.
        reading: the pass over it.
        kinds: the streams that took something of each type.
        ways: how they did.
    """
    known = {kind for source in SOURCES for kind in source.resource_types}
    for kind in reading.objects.keys() - kinds.keys() - known:
        logger.warning(
            "%s: it brought %d objects of type '%s', which no stream takes.", what, reading.objects[kind], kind
        )
    for kind, selected in kinds.items():
        counts = {part.name: part.count for part in ways[kind].parts}
        for _, stream in selected:
            with stream.get_record_counter() as counter:
                counter.increment(counts.get(stream.name, reading.objects[kind]))
    brought = ", ".join(f"{number} of type {kind}" for kind, number in sorted(reading.objects.items()))
    logger.info("%s: it brought %s", what, brought or "nothing")
