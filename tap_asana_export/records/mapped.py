"""Records that stream maps or flattening make of decoded objects, as the SDK does it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from singer_sdk.contrib.msgspec import encoder

from tap_asana_export.errors import MapError
from tap_asana_export.records.objects import (
    NONE,
    AddedFields,
    Properties,
    decode,
    decode_value,
    gid_of,
    known_properties,
)
from tap_asana_export.records.schemas import kept_maps
from tap_asana_export.records.selection import ADDITIONAL, deselected, drop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from singer_sdk import Stream
    from singer_sdk.mapper import StreamMap

    from tap_asana_export.output.buffers import RecordBuffer
    from tap_asana_export.records.unknown_fields import UnknownFields


class Mapped:
    """Objects that the stream's maps make records of, or that are flattened.

    Args:
        stream: tells what is selected, and has the maps.
        added: as for `Passthrough`.
        buffers: where records of a name go.
        unknown: takes note of the fields that the schema does not know.
    """

    def __init__(
        self,
        stream: Stream,
        added: Mapping[str, bool],
        buffers: Callable[[str], RecordBuffer],
        *,
        unknown: UnknownFields,
    ) -> None:
        self._stream = stream
        self._added = added
        self._unknown = unknown
        self._known = known_properties(stream)
        self._keeps = ADDITIONAL in stream.effective_schema["properties"]
        self._unwanted = deselected(stream.effective_schema, stream.mask)
        self._maps = [(each, buffers(each.stream_alias)) for each in kept_maps(stream)]

    def added(self, values: AddedFields) -> dict[str, Any]:
        """What the tap adds to an object."""
        return {name: decode(values[name.encode()]) for name, is_given in self._added.items() if is_given}

    def gid_of(self, record: dict[str, Any], name: str) -> str | None:
        """The gid of what an object has as a property, if it has."""
        return gid_of(record.get(name))

    def write(self, record: dict[str, Any], added: Mapping[str, Any], rest: Properties = NONE) -> None:  # noqa: ARG002
        """Write what the stream's maps make of an object; its properties are all in it.

        Raises:
            MapError: a map cannot be evaluated.
        """
        values = {**record, **added}
        drop(values, dict.fromkeys(self._added.keys() - added.keys()))
        if unknown := values.keys() - self._known:
            self._unknown.note(self._stream, unknown)
            additional = {name: values.pop(name) for name in sorted(unknown)}
            if self._keeps:
                values[ADDITIONAL] = additional
        drop(values, self._unwanted)
        for stream_map, buffer in self._maps:
            try:
                mapped = stream_map.transform(values)
            except Exception as error:
                if (name := expression_of(error)) is None:
                    raise
                cause = error.__cause__ or error
                reason = f"{type(cause).__name__}: {cause}"
                keys = ", ".join(f"{key} {values.get(key)}" for key in self._stream.primary_keys)
                raise MapError(self._unknown.origin, self._stream.name, keys, name, reason) from None
            if mapped is not None:
                if stream_map.flattening_enabled:
                    self._fit(mapped, stream_map)
                text = encoder.encode(mapped)
                out, before, more, after = buffer
                out += before
                out += text
                if more:
                    out[-1:] = more + b"}"
                out += after

    def write_all(self, records: Iterable[dict[str, Any]], added: Mapping[str, Any]) -> None:
        """Write what the stream's maps make of objects."""
        for record in records:
            self.write(record, added)

    def _fit(self, mapped: dict[str, Any], stream_map: StreamMap) -> None:
        """Make a flattened record fit its schema, which has no property for an object that is null.

        Other properties that the schema lacks are of fields that it does not know, within objects.
        """
        properties = stream_map.transformed_schema["properties"]
        surplus = {name: mapped.pop(name) for name in mapped.keys() - properties.keys()}
        for name in [name for name, value in surplus.items() if value is None]:
            columns = columns_below(stream_map, name)
            if columns:
                del surplus[name]
            for column in columns:
                mapped.setdefault(column, None)
        if surplus:
            self._unknown.note(self._stream, surplus.keys())
            if ADDITIONAL in properties:
                additional = decode_value((mapped.get(ADDITIONAL) or "{}").encode())
                mapped[ADDITIONAL] = encoder.encode({**additional, **dict(sorted(surplus.items()))}).decode()


@functools.cache
def columns_below(stream_map: StreamMap, name: str) -> tuple[str, ...]:
    """The columns that an object's properties have in a flattened schema."""
    options = stream_map.flattening_options
    separator = options.separator if options else ""
    return tuple(each for each in stream_map.transformed_schema["properties"] if each.startswith(name + separator))


def expression_of(error: Exception) -> str | None:
    """The property whose expression raised an error; None if none did. The SDK does not say it otherwise."""
    name = None
    trace = error.__traceback__
    while trace is not None:
        local = trace.tb_frame.f_locals
        if "expr_parsed" in local:
            name = local["property_name"] or "__filter__"
        trace = trace.tb_next
    return name
