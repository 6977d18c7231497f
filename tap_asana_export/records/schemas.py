"""The SCHEMA and ACTIVATE_VERSION messages of a stream and of its maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from singer_sdk.mapper import RemoveRecordTransform, SameRecordTransform, StreamMap
from singer_sdk.singerlib import ActivateVersionMessage, SchemaMessage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk import Stream


def schema_messages(stream: Stream) -> Iterator[SchemaMessage]:
    """Yield a SCHEMA message for each name that a stream's records go under."""
    bookmark_properties = [stream.replication_key] if stream.replication_key else None
    for stream_map in active_maps(stream):
        yield SchemaMessage(
            stream_map.stream_alias,
            stream_map.transformed_schema,
            stream_map.transformed_key_properties,
            bookmark_properties,
        )


def activate_version_messages(stream: Stream, version: int) -> Iterator[ActivateVersionMessage]:
    """Yield an ACTIVATE_VERSION message for each name that a stream's records go under.

    The target then deletes rows of earlier versions: their objects are no longer in Asana.
    """
    for stream_map in active_maps(stream):
        yield ActivateVersionMessage(stream_map.stream_alias, version)


def active_maps(stream: Stream) -> list[StreamMap]:
    """Return a stream's maps, without one that removes the stream."""
    return [each for each in stream.stream_maps if not isinstance(each, RemoveRecordTransform)]


def is_passthrough(stream: Stream) -> bool:
    """Whether a stream's records stay as they are: no stream map and no flattening applies to them."""
    maps = stream.stream_maps
    return len(maps) == 1 and type(maps[0]) is SameRecordTransform and not maps[0].flattening_enabled
