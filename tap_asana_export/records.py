"""From an object of the export file to its messages."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeAlias

from singer_sdk.mapper import RemoveRecordTransform
from singer_sdk.singerlib import RecordMessage, SchemaMessage

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from singer_sdk import Stream
    from singer_sdk.singerlib import Message, SelectionMask

logger = logging.getLogger(__name__)

Unwanted: TypeAlias = "dict[str, Unwanted | None]"
"""Deselected properties: None drops the property, a deeper Unwanted drops from within it."""


class Route:
    """The way of an object into its stream: what the catalog selects of it, and the stream's maps."""

    def __init__(self, stream: Stream) -> None:
        schema = stream.effective_schema
        self.stream = stream
        self._known = schema["properties"].keys()
        self._unwanted = deselected(schema, stream.mask)
        self._warned: set[str] = set()

    def write_schemas(self, write: Callable[[Message], None]) -> None:
        """Write the stream's SCHEMA, or those of its maps."""
        bookmark_properties = [self.stream.replication_key] if self.stream.replication_key else None
        for stream_map in self.stream.stream_maps:
            if not isinstance(stream_map, RemoveRecordTransform):
                write(
                    SchemaMessage(
                        stream_map.stream_alias,
                        stream_map.transformed_schema,
                        stream_map.transformed_key_properties,
                        bookmark_properties,
                    )
                )

    def write(self, record: dict[str, Any], time_extracted: datetime, write: Callable[[Message], None]) -> None:
        """Write one object's RECORDs, as the catalog and the maps want them; changes the object."""
        if unknown := record.keys() - self._known:
            self._drop_unknown(record, unknown)
        drop(record, self._unwanted)
        for stream_map in self.stream.stream_maps:
            mapped = stream_map.transform(record)
            if mapped is not None:
                write(RecordMessage(stream_map.stream_alias, mapped, time_extracted=time_extracted))

    def _drop_unknown(self, record: dict[str, Any], unknown: set[str]) -> None:
        for name in unknown:
            del record[name]
        for name in sorted(unknown - self._warned):
            logger.warning(
                "Stream %s: Asana sends the field '%s', which the schema does not know; it is dropped. "
                "A newer version of the tap may know it.",
                self.stream.name,
                name,
            )
        self._warned |= unknown


def deselected(schema: dict[str, Any], mask: SelectionMask, at: tuple[str, ...] = ()) -> Unwanted:
    """What the catalog deselects of an object's properties, at any depth of objects.

    Args:
        schema: JSON Schema of the object.
        mask: the catalog's selection, by breadcrumb.
        at: the object's own breadcrumb.
    """
    unwanted: Unwanted = {}
    for name, child in schema["properties"].items():
        breadcrumb = (*at, "properties", name)
        if not mask[breadcrumb]:
            unwanted[name] = None
        elif "properties" in child and (below := deselected(child, mask, breadcrumb)):
            unwanted[name] = below
    return unwanted


def drop(record: dict[str, Any], unwanted: Unwanted) -> None:
    """Take deselected properties out of a record."""
    for name, below in unwanted.items():
        if below is None:
            record.pop(name, None)
        elif isinstance(value := record.get(name), dict):
            drop(value, below)
