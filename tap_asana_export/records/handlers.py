"""What becomes of the lines of one `resource_type`: the records of the streams that take it, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from tap_asana_export.fingerprint import fingerprint
from tap_asana_export.records.mapped import Mapped
from tap_asana_export.records.nested import NestedStream
from tap_asana_export.records.objects import (
    ABSENT,
    NO_PROPERTIES,
    TAG,
    AddedFields,
    Properties,
    StreamOutput,
    Text,
    decode_value,
    encode,
    object_struct,
)
from tap_asana_export.records.passthrough import Passthrough
from tap_asana_export.records.schemas import is_passthrough
from tap_asana_export.sources import INCREMENTAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from tap_asana_export.records.unknown_fields import UnknownFields

EMPTY_ARRAYS = (ABSENT, msgspec.Raw(b"[]"))


class LineHandler(Protocol):
    """Handles the lines of one `resource_type`."""

    def struct(self) -> type[msgspec.Struct]:
        """Define the Struct to decode lines into. It fits only objects without properties that are still unknown."""

    def add_properties(self, names: AbstractSet[str]) -> bool:
        """Learn the names of an object's properties.

        Returns:
            Whether the Struct has changed, so that `struct` must be called again.
        """

    def split(self, properties: Properties) -> tuple[Properties, Properties]:
        """Split an object's properties into those that fit the Struct, and the rest."""

    def write(self, record: Any, line: Text, rest: Properties) -> None:
        """Write all records of one line.

        Args:
            record: the decoded Struct, which this may change.
            line: the JSON text.
            rest: properties that are not in the Struct.
        """


class ObjectHandler:
    """Writes the records that the streams make of objects of one type.

    Args:
        resource_type: the type.
        outputs: the streams.
        added: values of the properties that the tap adds to each record, by name.
        unknown: collects the fields that no schema knows.

    Attributes:
        nested: the streams of the objects' arrays.
        unknown: as given.
    """

    def __init__(
        self, resource_type: str, outputs: Iterable[StreamOutput], added: Mapping[str, str], unknown: UnknownFields
    ) -> None:
        self._resource_type = resource_type
        self.unknown = unknown
        self._gid: Any = str
        self._passthrough: Passthrough | None = None
        self._mapped: Mapped | None = None
        self._added: Any = None
        self._modified_at = INCREMENTAL.get(resource_type, "")
        gid_name, time_name = f"{resource_type}_gid", f"{resource_type}_{self._modified_at}"
        self._gid_name, self._time_name = gid_name.encode(), time_name.encode()
        outputs = list(outputs)
        available = {*added, "parent_type", gid_name, time_name}
        self.nested = [
            NestedStream(output, resource_type, available, unknown) for output in outputs if output.source.array
        ]
        self._needed = [nested_stream.array for nested_stream in self.nested]
        if self.nested and self._modified_at:
            self._needed.append(self._modified_at)
        for source, stream, get_buffer in outputs:
            if source.array:
                continue
            if source.may_lack_gid:
                self._gid = str | msgspec.UnsetType
            names = {name: name in available for name in source.added}
            if is_passthrough(stream):
                self._passthrough = Passthrough(stream, names, get_buffer, self._needed, unknown=unknown)
            else:
                self._mapped = Mapped(stream, names, get_buffer, unknown=unknown)
        self.set_added(added)

    def set_added(self, added: Mapping[str, str]) -> None:
        """Set the values of the properties that the tap adds to each record from now on, by name."""
        values = {name.encode(): encode(value) for name, value in added.items()}
        self._added_to_nested = values | {b"parent_type": encode(self._resource_type)}
        if writer := self._passthrough or self._mapped:
            self._added = writer.prepare_added(values)

    def struct(self) -> type[msgspec.Struct]:
        """Define a Struct with every selected property; with stream maps, which decode the line, only the arrays."""
        if self._passthrough:
            struct = self._passthrough.struct(self._resource_type, self._gid)
            fields = self._passthrough.fields
        else:
            fields = {name: f"field_{number}" for number, name in enumerate(self._needed)}
            struct = object_struct(self._resource_type, self._gid, fields)
        self._arrays = [(nested_stream, fields[nested_stream.array]) for nested_stream in self.nested]
        self._time = fields.get(self._modified_at, "")
        return struct

    def add_properties(self, names: AbstractSet[str]) -> bool:
        """Learn the names of an object's properties; return whether the Struct has changed."""
        return self._passthrough is not None and self._passthrough.add_properties(names)

    def split(self, properties: Properties) -> tuple[Properties, Properties]:
        """Split an object's properties into those that fit the Struct, and the rest."""
        if self._passthrough:
            return self._passthrough.split(properties)
        # This Struct ignores what it does not know, and stream maps decode the line once more.
        return {name: text for name, text in properties.items() if name.isidentifier()}, NO_PROPERTIES

    def write(self, record: Any, line: Text, rest: Properties) -> None:
        """Write the object's own record, then those of its arrays."""
        text: Text | None = line
        if record.gid is msgspec.UNSET:
            record.gid = fingerprint(decode_value(line)).removeprefix("sha256:")[:32]
            text = None  # the line lacks the gid
        # Taken first: to write the object's own record removes from the Struct what that record leaves out.
        arrays = [(nested_stream, getattr(record, field)) for nested_stream, field in self._arrays]
        added = self._values_for_nested(record) if arrays else {}
        if self._passthrough:
            self._passthrough.write(record, self._added, rest, text)
        elif self._mapped:
            self._mapped.write({**self._mapped.decode(line), "gid": record.gid}, self._added)
        for nested_stream, array in arrays:
            if array not in EMPTY_ARRAYS:
                nested_stream.write(array, added, record.gid)

    def _values_for_nested(self, record: Any) -> AddedFields:
        """Return the values that the tap adds to the records of an object's arrays, such as `task_gid`."""
        time = bytes(getattr(record, self._time)) if self._time else b""
        return {**self._added_to_nested, self._gid_name: encode(record.gid), self._time_name: time}


class IgnoredType:
    """Writes nothing: no stream takes objects of this type."""

    def __init__(self, resource_type: str) -> None:
        self._resource_type = resource_type

    def struct(self) -> type[msgspec.Struct]:
        """Define a Struct without fields."""
        return object_struct(self._resource_type, None, {})

    def add_properties(self, names: AbstractSet[str]) -> bool:  # noqa: ARG002 - a LineHandler's signature
        """Return True: the decoder does not know this type yet."""
        return True

    def split(self, properties: Properties) -> tuple[Properties, Properties]:
        """Return the type alone."""
        return {TAG: properties[TAG]}, NO_PROPERTIES

    def write(self, record: Any, line: Text, rest: Properties) -> None:
        """Write nothing."""
