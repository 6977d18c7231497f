"""From objects of the export to records of a stream.

An object is decoded into a `msgspec.Struct` with a field for every selected property, whose value stays the text that
Asana wrote (`msgspec.Raw`). This one step selects, and finds whatever the schema does not know; encoding the Struct
again is little more than copying. Where stream maps or flattening need values, the object becomes a dict and goes the
SDK's way instead.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import msgspec
from singer_sdk.contrib.msgspec import encoder

from tap_asana_export.records.objects import (
    ABSENT,
    NONE,
    TAG,
    AddedFields,
    Properties,
    decode_reference,
    decode_value,
    encode,
    encode_into,
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

logger = logging.getLogger(__name__)

UNKNOWN_FIELDS = 64
"""Unknown fields of a type of object that become part of its Struct; each new one takes milliseconds."""


class Passthrough:
    """Objects that become records as Asana wrote them: less what is not selected, plus what the tap adds.

    Args:
        stream: tells what is selected.
        added: properties that the tap adds, and whether it can to these objects; what Asana sends under such a name is
            left out.
        buffers: where records of a name go.
        also: properties to decode although the stream may not want them.
        unknown: takes note of the fields that the schema does not know.

    Attributes:
        fields: by property, the field of the Struct.
    """

    def __init__(
        self,
        stream: Stream,
        added: Mapping[str, bool],
        buffers: Callable[[str], RecordBuffer],
        also: Iterable[str] = (),
        *,
        unknown: UnknownFields,
    ) -> None:
        properties = stream.effective_schema["properties"]
        self._stream = stream
        self._unknown = unknown
        self._known = known_properties(stream)
        self._keeps = ADDITIONAL in properties
        self._unwanted = deselected(stream.effective_schema, stream.mask)
        selected = [name for name in properties if self._unwanted.get(name, {}) is not None]
        self._wanted = ({*selected} & self._known) - added.keys()
        self._names = list(dict.fromkeys([*(name for name in selected if name in self._wanted), *also]))
        self._met = {*self._names}
        self._room = UNKNOWN_FIELDS
        self._buffer = buffers(stream.stream_maps[0].stream_alias)
        texts = [f',"{name}":%({name})b'.encode() for name, is_given in added.items() if is_given and name in selected]
        self._added = b"".join([*texts, self._buffer.more.replace(b"%", b"%%"), b"}"])
        self._cut = 0
        self.fields: dict[str, str] = {}

    def struct(self, tag: str | None, gid: Any) -> type[msgspec.Struct]:
        """A Struct that fits objects whose every property was met before.

        Args:
            tag: the one value of the property `resource_type`; None makes it a property like all others.
            gid: type of the property `gid`, which then has a field of this name; None, if there is no such property.
        """
        apart = {*(["gid"] if gid else []), *([TAG] if tag is not None else [])}
        self._apart = apart
        self.fields = {name: f"field_{number}" for number, name in enumerate(self._names) if name not in apart}
        self._surplus = [field for name, field in self.fields.items() if name not in self._wanted]
        self._kept = [(name, field) for name, field in self.fields.items() if self._keeps and name not in self._known]
        within = ((field, self._unwanted.get(name)) for name, field in self.fields.items() if name in self._wanted)
        self._partial = [(field, unwanted, any_of(names_in(unwanted))) for field, unwanted in within if unwanted]
        self._cut = 0 if tag is None or TAG in self._wanted else len(f'"{TAG}":"{tag}",')
        return object_struct(tag, gid, self.fields, omit_defaults=True, forbid_unknown_fields=True)

    def add_properties(self, names: AbstractSet[str]) -> bool:
        """Let properties come that are not selected, or that the schema does not know; of those it takes note.

        Returns:
            Whether the Struct must be made anew.
        """
        new = sorted(names - self._met)
        unknown = [name for name in new if name not in self._known]
        self._unknown.note(self._stream, unknown)
        # Each new Struct takes time. A field must be an identifier; so are all of Asana's.
        fresh = [name for name in unknown if name.isidentifier()][: self._room]
        self._room -= len(fresh)
        fresh += [name for name in new if name in self._known]
        self._met |= {*fresh}
        self._names += fresh
        return bool(fresh)

    def split(self, properties: Properties) -> tuple[Properties, Properties]:
        """An object's properties that have a field, and the others, which the schema does not know."""
        known = {name: text for name, text in properties.items() if name in self.fields or name in self._apart}
        return known, {name: text for name, text in properties.items() if name not in known}

    def added(self, values: AddedFields) -> bytes:
        """What the tap adds to an object, as the text behind its properties."""
        return self._added % values

    def gid_of(self, record: Any, name: str) -> str | None:
        """The gid of what an object has as a property, if it has."""
        try:
            return decode_reference(getattr(record, self.fields[name])).gid
        except (msgspec.MsgspecError, RecursionError):
            return None

    def strip(self, record: Any) -> None:
        """Take out of a decoded object what is not wanted."""
        for field in self._surplus:
            setattr(record, field, ABSENT)
        for field, unwanted, may_hold in self._partial:
            if may_hold(text := getattr(record, field)):
                value = decode_value(text)
                drop(value, unwanted)
                setattr(record, field, msgspec.Raw(encoder.encode(value)))

    def write(self, record: Any, added: bytes, rest: Properties = NONE) -> None:
        """Write a decoded object as a record.

        Args:
            record: the object.
            added: what the tap adds.
            rest: properties that the schema does not know, and that have no field.
        """
        if self._keeps and (self._kept or rest):
            added = self._additional(record, rest) + added
        self.strip(record)
        out, before, _, after = self._buffer
        out += before
        start = len(out)
        encode_into(record, out, start)
        out[-1:] = added if len(out) > start + len("{}") else added.removeprefix(b",")
        out += after
        if self._cut:
            del out[start + 1 : start + 1 + self._cut]

    def write_all(self, records: list[Any], added: bytes) -> None:
        """Write decoded objects, none of them without properties, as records, in one go."""
        if self._kept:
            for record in records:
                self.write(record, added)
            return
        if self._surplus or self._partial:
            for record in records:
                self.strip(record)
        out, before, _, after = self._buffer
        between = added + after + before
        out += before
        for record in records:
            encode_into(record, out, len(out))
            out.pop()
            out += between
        del out[len(out) - len(before) :]

    def _additional(self, record: Any, rest: Properties) -> bytes:
        """The properties that the schema does not know, as one more property."""
        found = {name: text for name, field in self._kept if (text := getattr(record, field)) is not ABSENT}
        found.update(rest)
        return f',"{ADDITIONAL}":'.encode() + encode(found) if found else b""


def names_in(unwanted: Unwanted) -> Iterator[str]:
    """The names of deselected properties, at any depth."""
    for name, below in unwanted.items():
        yield from [name] if below is None else names_in(below)


def any_of(names: Iterable[str]) -> Callable[[Any], Any]:
    """Tells of JSON text whether it may hold a property of one of these names; a backslash may be part of any."""
    return re.compile(rb'\\|"(?:%b)"' % b"|".join(re.escape(name.encode()) for name in names)).search
