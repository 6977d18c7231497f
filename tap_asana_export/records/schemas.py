"""The SCHEMA and ACTIVATE_VERSION messages of a stream and of its maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from singer_sdk.mapper import RemoveRecordTransform, SameRecordTransform, StreamMap
from singer_sdk.singerlib import ActivateVersionMessage, SchemaMessage

from tap_asana_export.records.selection import deselected, selected_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk import Stream


def schema_messages(stream: Stream) -> Iterator[SchemaMessage]:
    """A stream's SCHEMA, or those of its maps."""
    bookmark_properties = [stream.replication_key] if stream.replication_key else None
    unwanted = deselected(stream.effective_schema, stream.mask)
    for stream_map in kept_maps(stream):
        schema = stream_map.transformed_schema
        yield SchemaMessage(
            stream_map.stream_alias,
            # The SDK leaves in what is deselected of objects in arrays.
            selected_schema(schema, unwanted) if is_passthrough(stream) else schema,
            stream_map.transformed_key_properties,
            bookmark_properties,
        )


def activate_version_messages(stream: Stream, version: int) -> Iterator[ActivateVersionMessage]:
    """A stream's ACTIVATE_VERSION, or those of its maps: rows of earlier versions are of objects that are no more."""
    for stream_map in kept_maps(stream):
        yield ActivateVersionMessage(stream_map.stream_alias, version)


def kept_maps(stream: Stream) -> list[StreamMap]:
    """A stream's maps, but for one that removes it."""
    return [each for each in stream.stream_maps if not isinstance(each, RemoveRecordTransform)]


def is_passthrough(stream: Stream) -> bool:
    """Whether neither stream maps nor flattening want to see a stream's records."""
    maps = stream.stream_maps
    return len(maps) == 1 and type(maps[0]) is SameRecordTransform and not maps[0].flattening_enabled
