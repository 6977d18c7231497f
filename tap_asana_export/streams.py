"""The streams, as data; what feeds them stands in `export`."""

from __future__ import annotations

import importlib.resources
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from singer_sdk import SchemaDirectory, Stream, StreamSchema, Tap
from singer_sdk.exceptions import AbortedSyncPausedException
from singer_sdk.singerlib import Catalog, MetadataMapping, RecordMessage, Schema, SchemaMessage

from tap_asana_export.access import check_access, under_meltano_config_test
from tap_asana_export.asana.client import Asana, ask_now
from tap_asana_export.catalog import complete
from tap_asana_export.errors import (
    OutputError,
    SettingError,
    SlotError,
    SomeFailedError,
    TapError,
    UnexpectedError,
    WaitError,
)
from tap_asana_export.export import export
from tap_asana_export.files import ExportFile, read_files
from tap_asana_export.fingerprint import fingerprint
from tap_asana_export.output.batch import BatchConfig, read_batch_config
from tap_asana_export.output.checkpoint import Checkpoint, checkpoint_folder
from tap_asana_export.records.schemas import is_passthrough, schema_messages
from tap_asana_export.records.selection import ADDITIONAL, opt_in
from tap_asana_export.run import connect
from tap_asana_export.sources import ExportRoot, Source
from tap_asana_export.transfer import RunContext, SelectedStream
from tap_asana_export.waiting import run_concurrently

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from singer_sdk.helpers.types import Context, Record

    from tap_asana_export.output.messages import MessageWriter

logger = logging.getLogger(__name__)

# A wheel carries the schemas inside the package; in a checkout, so in an editable install, they stand beside.
_PACKAGED = importlib.resources.files(__package__) / "schemas"

SCHEMAS = SchemaDirectory(_PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[1] / "schemas")

FAST = "records leave as Asana wrote them"

SLOW = "stream maps or flattening make the records, which takes several times as long"


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

    def __init__(self, tap: Tap, settings: Mapping[str, Any], writer: MessageWriter) -> None:
        super().__init__(tap)
        self.tap = tap
        self.settings = settings
        self.writer = writer
        self.batch: BatchConfig | None = None

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
        self.batch = read_batch_config(self.settings)
        with self.writer.ending_on_signals(lambda: self.tap.state):
            if self.ABORT_AT_RECORD_COUNT == 1:
                self.check_access()
                # The SDK takes this for a good end, and does not write its STATE, which would be empty.
                raise AbortedSyncPausedException
            if under_meltano_config_test():
                self.check_access()
            elif self.settings["export_files"]:
                read_files(self.begin(selected))
            else:
                with connect(self.settings, self.writer.undisturbed) as asana:
                    roots = self.roots(asana, selected)
                    self.bring(asana, self.begin(selected), roots)
        return ()

    def check_access(self) -> None:
        """Look at all workspaces with the token, or at the files.

        Meltano takes the settings for right when it sees a record, of whatever stream, and ends the tap. Without
        Meltano none is written, lest a target load it.

        Raises:
            TapError: the token is not accepted, Asana does not answer soon, or a file is not there.
        """
        for url in self.settings["export_files"]:
            logger.info("File %s can be read. This was only a test: it was not.", ExportFile(url).url)
        if not self.settings["export_files"]:
            logger.info("This is only a test: looking for the workspaces, with few tries.")
            with connect({**self.settings, "request_timeout": 5}, retries=1) as asana:
                check_access(asana, self.workspace_gids(asana))
        if under_meltano_config_test():
            self.writer.write_message(RecordMessage(self.name, {"gid": "access-check", "kind": "access_check"}))

    def workspace_gids(self, asana: Asana) -> list[str]:
        """The workspaces that the settings name, or else all.

        Raises:
            SettingError: there are none.
        """
        gids: list[str] = self.settings["workspaces"]
        gids = gids or [each.gid for each in ask_now(asana.workspaces(), self.settings["wait_timeout"])]
        if not gids:
            raise SettingError(
                "The token sees no workspace: its user must be a member of one. Check that the token is the right one."
            )
        return gids

    def roots(self, asana: Asana, selected: Iterable[SelectedStream]) -> list[ExportRoot]:
        """What exports are needed for the selected streams.

        Raises:
            SettingError: none, or none for what the settings name.
        """
        parents = self.settings["graph_parents"]
        by_type = {each.source.graph for each in selected}
        if parents and True not in by_type:
            raise SettingError("The setting graph_parents wants graphs, but the catalog selects no stream graph_….")
        if not parents and False not in by_type:
            names = ", ".join(stream.name for stream in self.child_streams)
            needed = "set graph_parents, or select other streams" if by_type else f"select at least one of {names}"
            raise SettingError(f"The catalog selects nothing to export: {needed}.")
        if not parents and True in by_type:
            logger.warning("The catalog selects graph streams, but graph_parents names nothing that they are of.")
        resources = [ExportRoot(gid) for gid in self.workspace_gids(asana)] if False in by_type else []
        roots = [*resources, *(ExportRoot(gid, graph=True) for gid in parents)]
        if unknown := self.settings["job_gids"].keys() - {each.gid for each in roots}:
            raise SettingError(
                f"The setting job_gids names {', '.join(sorted(unknown))}, which this run does not export: there "
                f"{'is' if len(roots) == 1 else 'are'} {', '.join(map(str, roots))}."
            )
        return roots

    def begin(self, selected: Sequence[SelectedStream]) -> RunContext:
        """Write the SCHEMA of every selected stream."""
        schemas = [message for each in selected for message in schema_messages(each.stream)]
        for _, stream in selected:
            logger.info("Stream %s: %s", stream.name, FAST if is_passthrough(stream) else SLOW)
        for message in schemas:
            self.writer.write_message(message)
        by_name = {message.stream: message.schema for message in [*schemas, *schema_messages(self)]}
        output_fingerprint = self.output_fingerprint(schemas)
        checkpoint = Checkpoint(checkpoint_folder(self.settings))
        return RunContext(
            self.settings,
            self,
            selected,
            self.writer,
            self.save_state,
            output_fingerprint,
            self.batch,
            by_name,
            checkpoint,
        )

    def bring(self, asana: Asana, run: RunContext, roots: Sequence[ExportRoot]) -> None:
        """Bring all exports side by side; one that fails does not keep the others from coming through.

        Raises:
            TapError: what ended the only export, or the target took no more.
            SomeFailedError: some of several failed.
        """
        failed: dict[ExportRoot, TapError] = {}
        self.warn_of_others(run, roots)
        for root, ended in run_concurrently((root, export(run, asana, root)) for root in roots):
            if ended is None:
                continue
            if isinstance(ended, OutputError):
                raise ended
            if self.settings["defer"] and (
                isinstance(ended, WaitError) or (isinstance(ended, SlotError) and ended.is_busy)
            ):
                logger.info("%s Deferred, as the setting defer wants it.", ended)
                continue
            error = ended if isinstance(ended, TapError) else UnexpectedError(root, ended)
            if error is not ended:
                logger.debug("%s", root, exc_info=ended)
            if len(roots) == 1:
                raise error
            logger.error("%s failed, the others go on: %s", root, error)
            failed[root] = error
        if failed:
            raise SomeFailedError(failed, len(roots))

    def warn_of_others(self, run: RunContext, roots: Iterable[ExportRoot]) -> None:
        """Say that no deletion is found while the state knows of workspaces or parents that are not exported."""
        contexts = [each["context"] for _, stream in run.selected for each in stream.stream_state.get("partitions", [])]
        names = ("workspace_gid", "parent_gid")
        known = {(name, context[name]) for context in contexts for name in names if context.get(name)}
        here = {each for root in roots for each in root.context.items()}
        if known - here and self.settings["emit_activate_version_messages"]:
            logger.warning(
                "The state knows of %s too, which this run does not export. Targets delete whatever the workspace or "
                "parent, so what was deleted in Asana stays in the tables. Export all, or begin with a new state.",
                ", ".join(f"{name.removesuffix('_gid')} {gid}" for name, gid in sorted(known - here)),
            )

    def output_fingerprint(self, schemas: Iterable[SchemaMessage]) -> str:
        """A fingerprint of what records look like: their schemas and all that maps them."""
        mapping = {
            name: value
            for name, value in self.settings.items()
            if name.startswith(("stream_map", "flattening", "emit_activate_version_messages", "batch_config"))
        }
        return fingerprint([[message.to_dict() for message in schemas], mapping])

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
