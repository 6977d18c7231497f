"""The streams, as data; what feeds them stands in `export`."""

from __future__ import annotations

import difflib
import importlib.resources
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from singer_sdk import SchemaDirectory, Stream, StreamSchema, Tap
from singer_sdk.singerlib import Metadata

from tap_asana_export.asana import connect
from tap_asana_export.errors import OutputError, SettingError, WaitError, WorkspacesError
from tap_asana_export.export import Run, WorkspaceExport, check_access, under_meltano_config_test
from tap_asana_export.jobs import take_turns
from tap_asana_export.plan import fingerprint
from tap_asana_export.records import is_verbatim, schema_messages
from tap_asana_export.selection import opt_in, properties, without_items

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from singer_sdk.helpers.types import Context, Record
    from singer_sdk.singerlib import Catalog, MetadataMapping, SchemaMessage

    from tap_asana_export.errors import TapError
    from tap_asana_export.output import MessageWriter

logger = logging.getLogger(__name__)

# A wheel carries the schemas inside the package; in a checkout, so in an editable install, they stand beside.
_PACKAGED = importlib.resources.files(__package__) / "schemas"
SCHEMAS = SchemaDirectory(_PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[1] / "schemas")

FAST = "records leave as Asana wrote them"
SLOW = "stream maps or flattening make the records, which takes several times as long"


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
            self.export(run, workspace_gids)

    def export(self, run: Run, workspace_gids: Sequence[str]) -> None:
        """Export all workspaces side by side; one that fails does not keep the others from coming through.

        Raises:
            TapError: what ended the only workspace's export, or the target took no more.
            WorkspacesError: some of several failed.
        """
        failed: dict[str, TapError] = {}
        self.warn_of_others(run.streams.values(), workspace_gids)
        exports = [(gid, WorkspaceExport(run, gid).run()) for gid in workspace_gids]
        for workspace_gid, error in take_turns(exports):
            if isinstance(error, WaitError) and self.settings["defer"]:
                logger.info("%s Deferred, as the setting defer wants it.", error)
            elif isinstance(error, OutputError) or (error and len(workspace_gids) == 1):
                raise error
            elif error:
                logger.error("Workspace %s failed, the others go on: %s", workspace_gid, error)
                failed[workspace_gid] = error
        if failed:
            raise WorkspacesError(failed, len(workspace_gids))

    def warn_of_others(self, streams: Iterable[Stream], workspace_gids: Sequence[str]) -> None:
        """Say that no deletion is found while the state knows of workspaces that are not exported."""
        partitions = [each for stream in streams for each in stream.stream_state.get("partitions", [])]
        others = {each["context"]["workspace_gid"] for each in partitions} - set(workspace_gids)
        if others and self.settings["emit_activate_version_messages"]:
            logger.warning(
                "The state knows of %s too, which this run does not export. Targets delete without looking at the "
                "workspace, so what was deleted in Asana stays in the tables. Export all workspaces, or begin with a "
                "new state.",
                ", ".join(f"workspace {gid}" for gid in sorted(others)),
            )

    def shape(self, schemas: Iterable[SchemaMessage]) -> str:
        """A fingerprint of what records look like: their schemas and all that maps them."""
        mapping = {
            name: value
            for name, value in self.settings.items()
            if name.startswith(("stream_map", "flattening", "emit_activate_version_messages"))
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
        self._complete: MetadataMapping | None = None
        super().__init__(tap, name=object_type.stream)
        self.resource_type = object_type.resource_type
        self.replication_key = object_type.replication_key

    @property
    def metadata(self) -> MetadataMapping:
        """The catalog's metadata, with the objects in arrays, and no field by default that Asana sends on request."""
        metadata = super().metadata
        if metadata is not self._complete:
            complete(metadata, self.schema, [*self.primary_keys, *filter(None, [self.replication_key])])
            self._complete = metadata
        return metadata

    def get_records(self, context: Context | None) -> Iterable[Record]:  # noqa: ARG002 - the SDK's signature
        """None: one pass over the file serves all streams, and `Exports` makes it."""
        return ()


def complete(metadata: MetadataMapping, schema: Mapping[str, Any], always: Iterable[str]) -> None:
    """Add to a stream's metadata what the SDK leaves out of it.

    Args:
        metadata: of the catalog that was given, or of the one that is discovered.
        schema: the stream's own.
        always: properties that cannot be deselected.
    """
    for breadcrumb in list(metadata):
        metadata[without_items(breadcrumb)] = metadata.pop(breadcrumb)
    for breadcrumb, _ in properties(schema):
        metadata.setdefault(breadcrumb, Metadata(inclusion=Metadata.InclusionType.AVAILABLE))
    for breadcrumb in opt_in(schema):
        if metadata[breadcrumb].selected_by_default is None:
            metadata[breadcrumb].selected_by_default = False
    for name in always:
        metadata["properties", name].inclusion = Metadata.InclusionType.AUTOMATIC


def check_catalog(catalog: Catalog | None, streams: Mapping[str, Stream]) -> None:
    """Fail if a catalog selects what there is not.

    Raises:
        SettingError: with the name, and the one that was perhaps meant.
    """
    for name, entry in (catalog or {}).items():
        if name not in streams:
            if entry.metadata.resolve_selection()[()]:
                raise SettingError(f"The catalog selects a stream '{name}'; there are {', '.join(streams)}.")
            continue
        stream = streams[name]
        known = {breadcrumb for breadcrumb, _ in properties(stream.schema)} | {()}
        named = {breadcrumb for breadcrumb, _ in properties(entry.schema.to_dict()) if stream.mask[breadcrumb]}
        named |= {breadcrumb for breadcrumb, metadata in stream.metadata.items() if metadata.selected}
        for breadcrumb in sorted(named - known):
            close = difflib.get_close_matches(".".join(breadcrumb[1::2]), [".".join(each[1::2]) for each in known], n=1)
            raise SettingError(
                f"The catalog selects '{'.'.join(breadcrumb[1::2])}' of the stream {name}, which there is not"
                f"{f'; perhaps {close[0]}?' if close else '.'} Make the catalog anew with --discover."
            )
