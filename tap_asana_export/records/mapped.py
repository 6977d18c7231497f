"""Records that the SDK's stream maps and flattening make of decoded objects."""

from __future__ import annotations

import ast
import functools
from typing import TYPE_CHECKING, Any

from singer_sdk.contrib.msgspec import encoder
from singer_sdk.mapper import SameRecordTransform

from tap_asana_export.errors import MapError
from tap_asana_export.records.flattening import Flattening, any_as_text, as_text, decode_for_text
from tap_asana_export.records.objects import (
    NO_PROPERTIES,
    AddedFields,
    Properties,
    decode,
    decode_properties,
    decode_value,
    gid_of,
    known_properties,
)
from tap_asana_export.records.schemas import active_maps
from tap_asana_export.records.selection import ADDITIONAL, deselected, drop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import msgspec
    from singer_sdk import Stream
    from singer_sdk.mapper import StreamMap

    from tap_asana_export.output.buffers import RecordBuffer
    from tap_asana_export.records.unknown_fields import UnknownFields


class Mapped:
    """Writes the records that a stream's maps make of objects, flattened if the settings say so.

    Args:
        stream: the stream, with its selection and its maps.
        added: names of the properties that the tap adds, and whether it has a value for them in these objects.
        get_buffer: returns the buffer for records of a stream name.
        unknown: collects the fields that the schema does not know.

    Attributes:
        decode_whole: decodes JSON text with all that is in it.
    """

    def __init__(
        self,
        stream: Stream,
        added: Mapping[str, bool],
        get_buffer: Callable[[str], RecordBuffer],
        *,
        unknown: UnknownFields,
    ) -> None:
        self._stream = stream
        self._added = added
        self._unknown = unknown
        self._known = known_properties(stream)
        self._keeps_unknown = ADDITIONAL in stream.effective_schema["properties"]
        self._unwanted = deselected(stream.effective_schema, stream.mask)
        self._maps = [(each, get_buffer(each.stream_alias)) for each in active_maps(stream)]
        is_flattened = any(each.flattening_enabled for each, _ in self._maps)
        is_mapped = not all(isinstance(each, SameRecordTransform) for each, _ in self._maps)
        self.decode_whole: Callable[[Any], Any] = decode_for_text if is_flattened and not is_mapped else decode_value
        for each, _ in self._maps:
            if each.flattening_enabled:
                flattening = Flattening(each, any_as_text if is_mapped else as_text)
                each.flatten_record = flattening  # type: ignore[method-assign] # the SDK's, but faster
        self._decoded = None if is_flattened else self._names_to_decode()

    def _names_to_decode(self) -> set[str] | None:
        """Names of the properties whose values the maps use, or that lose something within; None: those of all."""
        names = used_names(self._stream.config.get("stream_maps") or {})
        partly = {name for name, below in self._unwanted.items() if below is not None}
        return None if names is None else {*names, *partly, *self._stream.primary_keys}

    def decode(self, text: memoryview | bytes) -> dict[str, Any]:
        """Decode an object, as far as its maps need it: the values of other properties stay JSON text."""
        if self._decoded is None:
            found: dict[str, Any] = self.decode_whole(text)
            return found
        properties: dict[str, Any] = decode_properties(text)
        for name in self._decoded & properties.keys():
            properties[name] = decode_value(properties[name])
        return properties

    def decode_items(self, array: msgspec.Raw) -> list[dict[str, Any]] | None:
        """Decode an array; None if it is no array of objects."""
        items: Any = self.decode_whole(array)
        return items if isinstance(items, list) and all(isinstance(item, dict) for item in items) else None

    def prepare_added(self, values: AddedFields) -> dict[str, Any]:
        """Return the values that the tap adds to an object, decoded."""
        return {name: decode(values[name.encode()]) for name, has_value in self._added.items() if has_value}

    def gid_of(self, record: dict[str, Any], name: str) -> str | None:
        """Return the gid of the object in a property of an item; None if there is none."""
        return gid_of(record.get(name))

    def write(self, record: dict[str, Any], added: Mapping[str, Any], rest: Properties = NO_PROPERTIES) -> None:  # noqa: ARG002
        """Write the records that the stream's maps make of an object.

        Args:
            record: all properties of the object.
            added: the values that `prepare_added` returned.
            rest: nothing, as `record` holds all properties; `Passthrough.write` needs it.

        Raises:
            MapError: an expression of a map fails.
        """
        values = {**record, **added}
        drop(values, dict.fromkeys(self._added.keys() - added.keys()))
        if unknown := values.keys() - self._known:
            self._unknown.note(self._stream, unknown)
            additional = {name: values.pop(name) for name in sorted(unknown)}
            if self._keeps_unknown:
                values[ADDITIONAL] = additional
        drop(values, self._unwanted)
        for stream_map, buffer in self._maps:
            try:
                mapped = stream_map.transform(values)
            except Exception as error:
                if (name := failed_property(error)) is None:
                    raise
                cause = error.__cause__ or error
                reason = f"{type(cause).__name__}: {cause}"
                keys = ", ".join(f"{key} {values.get(key)}" for key in self._stream.primary_keys)
                raise MapError(self._unknown.origin, self._stream.name, keys, name, reason) from None
            if mapped is None:
                continue
            if stream_map.flattening_enabled:
                self._fit_to_schema(mapped, stream_map)
            buffer.add_text(encoder.encode(mapped))

    def write_all(self, records: Iterable[dict[str, Any]], added: Mapping[str, Any]) -> None:
        """Write the records that the stream's maps make of each object."""
        for record in records:
            self.write(record, added)

    def _fit_to_schema(self, mapped: dict[str, Any], stream_map: StreamMap) -> None:
        """Make a flattened record fit its schema.

        The SDK leaves an object that is null as one property, where the schema has a column for each of the object's
        properties: these become null. Other properties that the schema lacks are unknown fields within objects.
        """
        properties = stream_map.transformed_schema["properties"]
        surplus = {name: mapped.pop(name) for name in mapped.keys() - properties.keys()}
        for name in [name for name, value in surplus.items() if value is None]:
            columns = flattened_columns(stream_map, name)
            if columns:
                del surplus[name]
            for column in columns:
                mapped.setdefault(column, None)
        if surplus:
            self._unknown.note(self._stream, surplus.keys())
            if ADDITIONAL in properties:
                additional = decode_value((mapped.get(ADDITIONAL) or "{}").encode())
                mapped[ADDITIONAL] = encoder.encode({**additional, **dict(sorted(surplus.items()))}).decode()


def used_names(stream_maps: Mapping[str, Any]) -> set[str] | None:
    """Return the names that the expressions of stream maps use; None if one uses the whole record.

    Args:
        stream_maps: the setting, whose maps the SDK has checked.
    """
    names: set[str] = set()
    for definitions in stream_maps.values():
        for name, expression in definitions.items() if isinstance(definitions, dict) else ():
            if isinstance(expression, str) and (name == "__filter__" or not name.startswith("__")):
                used = {each.id for each in ast.walk(ast.parse(expression)) if isinstance(each, ast.Name)}
                names |= {name if each == "self" else each for each in used}
    return None if names & {"record", "_"} else names


@functools.cache
def flattened_columns(stream_map: StreamMap, name: str) -> tuple[str, ...]:
    """Return the columns of a flattened schema that hold the properties of an object."""
    options = stream_map.flattening_options
    separator = options.separator if options else ""
    return tuple(each for each in stream_map.transformed_schema["properties"] if each.startswith(name + separator))


def failed_property(error: Exception) -> str | None:
    """Return the property of a stream map whose expression raised an error; None if no expression did.

    The SDK's error does not name it (singer-sdk 0.54.9), so it comes from the local variables in the traceback.
    """
    name = None
    trace = error.__traceback__
    while trace is not None:
        local = trace.tb_frame.f_locals
        if "expr_parsed" in local:
            name = local["property_name"] or "__filter__"
        trace = trace.tb_next
    return name
