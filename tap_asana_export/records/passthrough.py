"""Records whose values are the JSON text that Asana sent.

An object is decoded into a `msgspec.Struct` with a field for every selected property, whose value stays JSON text
(`msgspec.Raw`). This one step finds what is deselected and what the schema does not know. If an object has neither, its
line is passed on as it is; else the Struct is encoded, which is little more than to copy the text. Stream
maps and flattening need decoded values: see `records.mapped`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
from singer_sdk.contrib.msgspec import encoder

from tap_asana_export.records.objects import (
    ABSENT,
    NO_PROPERTIES,
    TAG,
    UNDECODABLE,
    AddedFields,
    Properties,
    Text,
    decode_reference,
    decode_value,
    encode,
    known_properties,
    object_struct,
)
from tap_asana_export.records.selection import ADDITIONAL, Unwanted, deselected, drop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from singer_sdk import Stream

    from tap_asana_export.output.buffers import RecordBuffer
    from tap_asana_export.records.unknown_fields import UnknownFields

MAX_UNKNOWN_FIELDS = 64
"""Unknown properties that get a field of their own in a Struct; each new one takes milliseconds."""

BRACE = ord("}")


class Passthrough:
    """Writes objects as Asana sent them, less what is deselected, plus what the tap adds.

    Args:
        stream: the stream, with its selection.
        added: names of the properties that the tap adds, and whether it has a value for them in these objects. What
            Asana sends under such a name is dropped.
        get_buffer: returns the buffer for records of a stream name.
        needed: properties to decode even if the stream drops them.
        unknown: collects the fields that the schema does not know.

    Attributes:
        fields: name of the Struct's field by name of the property.
    """

    def __init__(
        self,
        stream: Stream,
        added: Mapping[str, bool],
        get_buffer: Callable[[str], RecordBuffer],
        needed: Iterable[str] = (),
        *,
        unknown: UnknownFields,
    ) -> None:
        properties = stream.effective_schema["properties"]
        self._stream = stream
        self._unknown = unknown
        self._known = known_properties(stream)
        self._keeps_unknown = ADDITIONAL in properties
        self._unwanted = deselected(stream.effective_schema, stream.mask)
        selected = [name for name in properties if self._unwanted.get(name, {}) is not None]
        self._wanted = ({*selected} & self._known) - added.keys()
        self._names = dict.fromkeys([*(name for name in selected if name in self._wanted), *needed])
        self._free_fields = MAX_UNKNOWN_FIELDS
        self._buffer = get_buffer(stream.stream_maps[0].stream_alias)
        texts = [
            f',"{name}":%({name})b'.encode() for name, has_value in added.items() if has_value and name in selected
        ]
        self._added = b"".join([*texts, self._buffer.appended.replace(b"%", b"%%"), b"}"])
        self._tag_length = 0
        self.fields: dict[str, str] = {}

    def struct(self, tag: str | None, gid: Any) -> type[msgspec.Struct]:
        """Define a Struct with a field for every property that is selected, needed or learned since.

        Args:
            tag: the `resource_type` of the objects; None treats this property like all others.
            gid: type of the property `gid`, whose field has this name; None treats it like all others.
        """
        not_numbered = {*(["gid"] if gid else []), *([TAG] if tag is not None else [])}
        self._not_numbered = not_numbered
        self.fields = {name: f"field_{number}" for number, name in enumerate(self._names) if name not in not_numbered}
        self._dropped = [field for name, field in self.fields.items() if name not in self._wanted]
        self._kept_unknown = [
            (name, field) for name, field in self.fields.items() if self._keeps_unknown and name not in self._known
        ]
        within = ((field, self._unwanted.get(name)) for name, field in self.fields.items() if name in self._wanted)
        self._partial = [(field, unwanted, search_for(all_names(unwanted))) for field, unwanted in within if unwanted]
        self._tag_length = 0 if tag is None or TAG in self._wanted else len(f'"{TAG}":"{tag}",')
        return object_struct(tag, gid, self.fields, omit_defaults=True, forbid_unknown_fields=True)

    def add_properties(self, names: AbstractSet[str]) -> bool:
        """Learn the names of an object's properties, and report those that the schema does not know.

        Returns:
            Whether the Struct has changed, so that `struct` must be called again.
        """
        new = sorted(names - self._names.keys())
        unknown = [name for name in new if name not in self._known]
        self._unknown.note(self._stream, unknown)
        # A field's name must be an identifier; so are all names of Asana's.
        with_field = [name for name in unknown if name.isidentifier()][: self._free_fields]
        self._free_fields -= len(with_field)
        with_field += [name for name in new if name in self._known]
        self._names |= dict.fromkeys(with_field)
        return bool(with_field)

    def split(self, properties: Properties) -> tuple[Properties, Properties]:
        """Split an object's properties into those that have a field, and the rest, which the schema does not know."""
        known = {name: text for name, text in properties.items() if name in self.fields or name in self._not_numbered}
        return known, {name: text for name, text in properties.items() if name not in known}

    def prepare_added(self, values: AddedFields) -> bytes:
        """Return the JSON text that follows an object's own properties: what the tap adds, and the closing brace."""
        return self._added % values

    def gid_of(self, record: Any, name: str) -> str | None:
        """Return the gid of the object in a property of an item; None if there is none."""
        try:
            return decode_reference(getattr(record, self.fields[name])).gid
        except UNDECODABLE:
            return None

    def strip(self, record: Any) -> bool:
        """Remove from a decoded object what its record leaves out, at any depth; return whether there was any."""
        is_stripped = False
        for field in self._dropped:
            if getattr(record, field) is not ABSENT:
                setattr(record, field, ABSENT)
                is_stripped = True
        for field, unwanted, may_hold in self._partial:
            if may_hold(text := getattr(record, field)):
                value = decode_value(text)
                drop(value, unwanted)
                setattr(record, field, msgspec.Raw(encoder.encode(value)))
                is_stripped = True
        return is_stripped

    def write(self, record: Any, added: bytes, rest: Properties = NO_PROPERTIES, text: Text | None = None) -> None:
        """Write a decoded object as a record.

        Args:
            record: the object's Struct, which is stripped.
            added: the text that `prepare_added` returned.
            rest: unknown properties that have no field.
            text: JSON text of the object, which is passed on if nothing is left out; without it the Struct is encoded.
        """
        if self._keeps_unknown and (self._kept_unknown or rest):
            added = self._additional_fields(record, rest) + added
        is_stripped = self.strip(record)
        if text is None or is_stripped or rest or self._tag_length or text[-1] != BRACE:
            self._buffer.add(record, added, self._tag_length)
        else:
            self._buffer.add_whole(record, text, added)

    def write_all(self, records: list[Any], added: bytes) -> None:
        """Write decoded objects as records in one go. Each must have a property at least."""
        if self._kept_unknown:
            for record in records:
                self.write(record, added)
            return
        if self._dropped or self._partial:
            for record in records:
                self.strip(record)
        self._buffer.add_all(records, added)

    def _additional_fields(self, record: Any, rest: Properties) -> bytes:
        """Return the JSON text of the property `additional_fields`, starting with a comma; empty if it has nothing."""
        found = {name: text for name, field in self._kept_unknown if (text := getattr(record, field)) is not ABSENT}
        found.update(rest)
        return f',"{ADDITIONAL}":'.encode() + encode(found) if found else b""


def all_names(unwanted: Unwanted) -> Iterator[str]:
    """Yield the names of deselected properties, at any depth."""
    for name, below in unwanted.items():
        yield from [name] if below is None else all_names(below)


def search_for(names: Iterable[str]) -> Callable[[Any], Any]:
    """Return a function that finds one of these property names in JSON text, or a backslash, which may hide one."""
    return re.compile(rb'\\|"(?:%b)"' % b"|".join(re.escape(name.encode()) for name in names)).search
