"""The streams, as data; what feeds them stands in `export`."""

from __future__ import annotations

import importlib.resources
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from singer_sdk import SchemaDirectory, Stream, StreamSchema, Tap

from tap_asana_export.asana import connect
from tap_asana_export.errors import SettingError, WaitError
from tap_asana_export.export import Run, WorkspaceExport, check_access, under_meltano_config_test
from tap_asana_export.plan import fingerprint
from tap_asana_export.records import is_verbatim, schema_messages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from singer_sdk.helpers.types import Context, Record
    from singer_sdk.singerlib import MetadataMapping, SchemaMessage

    from tap_asana_export.output import MessageWriter

logger = logging.getLogger(__name__)

# A wheel carries the schemas inside the package; in a checkout, so in an editable install, they stand beside.
_PACKAGED = importlib.resources.files(__package__) / "schemas"
SCHEMAS = SchemaDirectory(_PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[1] / "schemas")

FAST = "records leave as Asana wrote them"
SLOW = "stream maps or flattening make the records, which takes several times as long"

OPT_IN = "x-asana-opt-in"
"""Marks in a schema what Asana sends only when asked for."""


@dataclass(frozen=True)
class ObjectType:
    """One of Asana's types of object, and the stream that it becomes."""

    stream: str
    resource_type: str
    replication_key: str | None


OBJECT_TYPES = (
    ObjectType("tasks", "task", "modified_at"),
    ObjectType("messages", "message", "modified_at"),
    ObjectType("teams", "team", None),  # Asana takes no filter for teams
)


class Exports(Stream):
    """One record per finished export; on the way to it every object of the export's file is written."""

    name = "exports"
    primary_keys = ("gid",)
    schema = StreamSchema(SCHEMAS)
    partitions = None  # state is kept by workspace, but the SDK need not know: get_records goes through them

    def __init__(self, tap: Tap, settings: Mapping[str, Any], writer: MessageWriter) -> None:
        super().__init__(tap)
        self.tap = tap
        self.settings = settings
        self.writer = writer

    @property
    def emit_activate_version_messages(self) -> bool:
        """Never: the SDK would send ACTIVATE_VERSION before the records, and this table only grows."""
        return False

    def get_records(self, context: Context | None) -> Iterator[Record]:  # noqa: ARG002 - the SDK's signature
        """Export workspace by workspace; all records are written on the way, none is left to yield.

        With `--test` and `meltano config test` no export starts: token and workspaces are checked instead,
        and each check is a record, since those two look for one.
        """
        with connect(self.settings) as asana:
            workspace_gids = self.settings["workspaces"] or [each.gid for each in asana.workspaces()]
            if self.ABORT_AT_RECORD_COUNT == 1 or under_meltano_config_test():
                yield from check_access(asana, workspace_gids)
                return
            streams: dict[str, Stream] = {
                stream.resource_type: stream
                for stream in self.child_streams
                if isinstance(stream, ObjectStream) and stream.selected
            }
            if not streams:
                names = ", ".join(stream.name for stream in self.child_streams)
                raise SettingError(f"The catalog selects nothing to export: select at least one of {names}.")
            schemas = [message for stream in streams.values() for message in schema_messages(stream)]
            for stream in streams.values():
                logger.info("Stream %s: %s", stream.name, FAST if is_verbatim(stream) else SLOW)
            for message in schemas:
                self.writer.write_message(message)
            run = Run(asana, self.settings, self, streams, self.writer, self.save_state, self.shape(schemas))
            for workspace_gid in workspace_gids:
                try:
                    WorkspaceExport(run, workspace_gid).run()
                except WaitError as error:
                    if not self.settings["defer"]:
                        raise
                    logger.info("%s Deferred, as the setting defer wants it.", error)

    def shape(self, schemas: Iterable[SchemaMessage]) -> str:
        """A fingerprint of what records look like: their schemas and all that maps them."""
        mapping = {
            name: value for name, value in self.settings.items() if name.startswith(("stream_map", "flattening"))
        }
        return fingerprint([[message.to_dict() for message in schemas], mapping])

    def save_state(self) -> None:
        """Send a STATE, unless the last one said the same."""
        self.tap.state_writer.write_state(self.tap.state)

    def get_batch_config(self, config: Mapping[str, Any]) -> None:
        """None: the tap writes RECORDs only."""

    def generate_child_contexts(self, record: Record, context: Context | None) -> Iterable[Context | None]:  # noqa: ARG002
        """None: when a record of this stream comes, its objects have been written."""
        return ()


class ObjectStream(Stream):
    """Asana's objects of one type; `Exports` writes their records while it goes through the file."""

    parent_stream_type = Exports
    primary_keys = ("gid",)
    schema = StreamSchema(SCHEMAS)

    def __init__(self, tap: Tap, object_type: ObjectType) -> None:
        super().__init__(tap, name=object_type.stream)
        self.tap = tap
        self.resource_type = object_type.resource_type
        self.replication_key = object_type.replication_key

    @property
    def metadata(self) -> MetadataMapping:
        """The catalog's metadata; discovered anew, it selects no field that Asana sends only on request."""
        metadata = super().metadata
        if self.tap.input_catalog is None:
            for breadcrumb in opt_in(self.schema):
                metadata[breadcrumb].selected_by_default = False
        return metadata

    def get_records(self, context: Context | None) -> Iterable[Record]:  # noqa: ARG002 - the SDK's signature
        """None: one pass over the file serves all streams, and `Exports` makes it."""
        return ()


def opt_in(schema: dict[str, Any], at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Breadcrumbs of what Asana sends only when asked for, at any depth of objects."""
    for name, child in schema.get("properties", {}).items():
        breadcrumb = (*at, "properties", name)
        if child.get(OPT_IN):
            yield breadcrumb
        yield from opt_in(child, breadcrumb)
