"""The streams, as data; what feeds them stands in `export`."""

from __future__ import annotations

import importlib.resources
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from singer_sdk import SchemaDirectory, Stream, StreamSchema, Tap
from singer_sdk.exceptions import AbortedSyncPausedException
from singer_sdk.singerlib import Catalog, MetadataMapping, RecordMessage, Schema, SelectionMask

from tap_asana_export.access import check_access, under_meltano_config_test
from tap_asana_export.catalog import complete
from tap_asana_export.records import ADDITIONAL, opt_in
from tap_asana_export.run import bring_all
from tap_asana_export.transfer import SelectedStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from singer_sdk.helpers.types import Context, Record

    from tap_asana_export.limits import Limits
    from tap_asana_export.output.messages import MessageWriter
    from tap_asana_export.settings import Settings
    from tap_asana_export.sources import Source

logger = logging.getLogger(__name__)

# A wheel carries the schemas inside the package; in a checkout, so in an editable install, they stand beside.
_PACKAGED = importlib.resources.files(__package__) / "schemas"

SCHEMAS = SchemaDirectory(_PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[1] / "schemas")


class AsanaStream(Stream):
    """What streams have in common: a catalog says what is selected, and need not say what a stream looks like."""

    def apply_catalog(self, catalog: Catalog) -> None:
        """Take from a catalog what stands in it; keys that it does not name are the stream's own."""
        keys, replication_key = self.primary_keys, self.replication_key
        super().apply_catalog(catalog)
        self.primary_keys = self.primary_keys or keys
        if self.forced_replication_method is None:
            self.replication_key = self.replication_key or replication_key

    @property
    def mask(self) -> SelectionMask:
        """What is selected, by breadcrumb; where the stream is not, its hundreds of properties are not looked at."""
        stream_itself = MetadataMapping({(): super().metadata.root}).resolve_selection()
        return super().mask if stream_itself[()] else stream_itself

    @property
    def effective_schema(self) -> dict[str, Any]:
        """The schema in the catalog, or the stream's own if there is none in it."""
        schema: dict[str, Any] = super().effective_schema
        return schema if schema.get("properties") else self.schema


class Exports(AsanaStream):
    """One record per finished export; on the way to it every object of the export's file is written."""

    name = "exports"
    primary_keys = ("gid",)
    schema = StreamSchema(SCHEMAS)
    partitions = None  # state is kept by workspace, but the SDK need not know: get_records goes through them

    def __init__(self, tap: Tap, settings: Settings, writer: MessageWriter, limits: Limits) -> None:
        super().__init__(tap)
        self.tap = tap
        self.settings = settings
        self.writer = writer
        self.limits = limits

    @property
    def emit_activate_version_messages(self) -> bool:
        """Never: the SDK would send ACTIVATE_VERSION before the records, and this table only grows."""
        return False

    def get_records(self, context: Context | None) -> Iterable[Record]:  # noqa: ARG002 - the SDK's signature
        """Bring all exports; all records are written on the way, none is left to yield.

        With `--test` and `meltano config test` no export starts: it is looked whether one could.
        """
        selected = [
            SelectedStream(stream.source, stream)
            for stream in self.child_streams
            if isinstance(stream, ObjectStream) and stream.selected
        ]
        with self.writer.ending_on_signals(lambda: self.tap.state):
            if self.ABORT_AT_RECORD_COUNT == 1:
                check_access(self.settings)
                # The SDK takes this for a good end, and does not write its STATE, which would be empty.
                raise AbortedSyncPausedException
            if under_meltano_config_test():
                check_access(self.settings)
                # Meltano takes the settings for right when it sees a record of any stream, and ends the tap.
                self.writer.write_message(RecordMessage(self.name, {"gid": "access-check", "kind": "access_check"}))
            else:
                bring_all(self.settings, self, selected, self.writer, self.save_state, self.limits)
        return ()

    def save_state(self) -> None:
        """Send a STATE, unless the last one said the same."""
        self.tap.state_writer.write_state(self.tap.state)

    def get_batch_config(self, config: Mapping[str, Any]) -> None:
        """None: the SDK's way leaves the catalog's selection out."""

    def generate_child_contexts(self, record: Record, context: Context | None) -> Iterable[Context | None]:  # noqa: ARG002
        """None: when a record of this stream comes, its objects have been written."""
        return ()


class ObjectSchema(StreamSchema):
    """The schema of a stream; with a column for what it does not know, if the setting `unknown_fields` is `keep`."""

    def get_stream_schema(self, stream: Any, stream_class: Any) -> dict[str, Any]:
        """The schema of a stream."""
        schema: dict[str, Any] = super().get_stream_schema(stream, stream_class)
        if not keeps_unknown_fields(stream.config):
            return schema
        return {**schema, "properties": {**schema["properties"], ADDITIONAL: ADDITIONAL_SCHEMA}}


ADDITIONAL_SCHEMA: dict[str, Any] = {
    "description": "Fields that Asana sends and that the schema does not know, by name.",
    "type": ["object", "null"],
    "additionalProperties": True,
}


def keeps_unknown_fields(config: Mapping[str, Any]) -> bool:
    """Whether fields that the schema does not know are to be kept."""
    return config.get("unknown_fields") == "keep"


class ObjectStream(AsanaStream):
    """Records that are made of Asana's objects; `Exports` writes them while it goes through the file."""

    parent_stream_type = Exports
    schema = ObjectSchema(SCHEMAS)

    def __init__(self, tap: Tap, source: Source) -> None:
        self._complete: MetadataMapping | None = None
        self.source = source
        self.selected_by_default = source.by_default
        super().__init__(tap, name=source.stream)
        self.primary_keys = source.keys
        self.replication_key = source.replication_key

    @property
    def metadata(self) -> MetadataMapping:
        """The catalog's metadata, with the objects in arrays, and no field by default that Asana sends on request."""
        metadata = super().metadata
        if metadata is not self._complete:
            always = [*self.primary_keys, *filter(None, [self.replication_key])]
            always += [ADDITIONAL] if keeps_unknown_fields(self.config) else []
            # An array comes with all that Asana puts into it.
            complete(metadata, self.schema, always, () if self.source.array else opt_in(self.schema))
            self._complete = metadata
        return metadata

    def apply_catalog(self, catalog: Catalog) -> None:
        """Take over a catalog, which may be older than the setting `unknown_fields` is."""
        if (entry := catalog.get_stream(self.name)) and entry.schema.properties is not None:
            entry.schema.properties.pop(ADDITIONAL, None)
            entry.metadata.pop(("properties", ADDITIONAL), None)
            if keeps_unknown_fields(self.config):
                entry.schema.properties[ADDITIONAL] = Schema.from_dict(ADDITIONAL_SCHEMA)
        super().apply_catalog(catalog)

    def get_records(self, context: Context | None) -> Iterable[Record]:  # noqa: ARG002 - the SDK's signature
        """None: one pass over the file serves all streams, and `Exports` makes it."""
        return ()
