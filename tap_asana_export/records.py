"""From objects of the export to records of a stream.

An object is decoded into a `msgspec.Struct` with a field for every selected property, whose value stays the text that
Asana wrote (`msgspec.Raw`). This one step selects, and finds whatever the schema does not know; encoding the Struct
again is little more than copying. Where stream maps or flattening need values, the object becomes a dict and goes the
SDK's way instead.
"""

from __future__ import annotations

import functools
import logging
import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec
from singer_sdk.contrib.msgspec import encoder
from singer_sdk.mapper import RemoveRecordTransform, SameRecordTransform
from singer_sdk.singerlib import ActivateVersionMessage, SchemaMessage

from tap_asana_export.selection import deselected, drop, selected_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from singer_sdk import Stream
    from singer_sdk.mapper import StreamMap

    from tap_asana_export.selection import Unwanted

logger = logging.getLogger(__name__)

# What a field holds whose property is not in the object. `omit_defaults` leaves out exactly this object, so that what
# is absent stays absent and a null stays null.
ABSENT: Any = msgspec.Raw(b"null")

TAG = "resource_type"
"""The property that tells types of objects apart."""

encode = msgspec.json.Encoder().encode
encode_into = msgspec.json.Encoder().encode_into
decode = msgspec.json.Decoder().decode


class Reference(msgspec.Struct):
    """Another object that an object names."""

    gid: str


decode_reference = msgspec.json.Decoder(Reference).decode


def schema_messages(stream: Stream) -> Iterator[SchemaMessage]:
    """A stream's SCHEMA, or those of its maps."""
    bookmark_properties = [stream.replication_key] if stream.replication_key else None
    unwanted = deselected(stream.effective_schema, stream.mask)
    for stream_map in kept_maps(stream):
        schema = stream_map.transformed_schema
        yield SchemaMessage(
            stream_map.stream_alias,
            # The SDK leaves in what is deselected of objects in arrays.
            selected_schema(schema, unwanted) if is_verbatim(stream) else schema,
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


def is_verbatim(stream: Stream) -> bool:
    """Whether neither stream maps nor flattening want to see a stream's records."""
    maps = stream.stream_maps
    return len(maps) == 1 and type(maps[0]) is SameRecordTransform and not maps[0].flattening_enabled


Own: TypeAlias = "Mapping[bytes, bytes]"
"""What the tap adds to an object, JSON by property."""


class Outlet(NamedTuple):
    """Where records of one name go.

    Attributes:
        out: the text so far.
        before: stands before each record.
        more: properties that each record gets besides, as they stand behind others.
        after: stands behind each record.
    """

    out: bytearray
    before: bytes
    more: bytes
    after: bytes


def object_struct(tag: str | None, gid: Any, fields: Mapping[str, str], **options: Any) -> type[msgspec.Struct]:
    """A Struct for objects, whose properties stay the text that Asana wrote.

    Args:
        tag: the one value of the property `resource_type`; None makes it a property like all others.
        gid: type of the property `gid`, which is required if that is `str`; None, if there is no such property.
        fields: by property, the name of the field.
        options: of `msgspec.defstruct`.
    """
    first: list[Any] = [("gid", gid) if gid is str else ("gid", gid, msgspec.UNSET)] if gid else []
    return msgspec.defstruct(
        "Object",
        [*first, *((field, msgspec.Raw, ABSENT) for field in fields.values())],
        tag_field=None if tag is None else TAG,
        tag=tag,
        rename={field: name for name, field in fields.items()},
        gc=False,
        **options,
    )


class Verbatim:
    """Objects that become records as Asana wrote them: less what is not selected, plus what the tap adds.

    Args:
        stream: tells what is selected.
        own: properties that the tap adds, and whether it can to these objects; what Asana sends under such a name is
            left out.
        outlets: where records of a name go.
        also: properties to decode although the stream may not want them.

    Attributes:
        fields: by property, the field of the Struct.
    """

    def __init__(
        self, stream: Stream, own: Mapping[str, bool], outlets: Callable[[str], Outlet], also: Iterable[str] = ()
    ) -> None:
        properties = stream.effective_schema["properties"]
        self._stream = stream
        self._unwanted = deselected(stream.effective_schema, stream.mask)
        selected = [name for name in properties if self._unwanted.get(name, {}) is not None]
        self._wanted = {*selected} - own.keys()
        self._names = list(dict.fromkeys([*(name for name in selected if name in self._wanted), *also]))
        self._met = {*self._names}
        self._outlet = outlets(stream.stream_maps[0].stream_alias)
        added = [f',"{name}":%({name})b'.encode() for name, is_given in own.items() if is_given and name in selected]
        self._own = b"".join([*added, self._outlet.more.replace(b"%", b"%%"), b"}"])
        self._cut = 0
        self.fields: dict[str, str] = {}

    def struct(self, tag: str | None, gid: Any) -> type[msgspec.Struct]:
        """A Struct that fits objects whose every property was met before.

        Args:
            tag: the one value of the property `resource_type`; None makes it a property like all others.
            gid: type of the property `gid`, which then has a field of this name; None, if there is no such property.
        """
        apart = {*(["gid"] if gid else []), *([TAG] if tag is not None else [])}
        self.fields = {name: f"field_{number}" for number, name in enumerate(self._names) if name not in apart}
        self._surplus = [field for name, field in self.fields.items() if name not in self._wanted]
        within = ((field, self._unwanted.get(name)) for name, field in self.fields.items() if name in self._wanted)
        self._partial = [(field, unwanted, any_of(names_in(unwanted))) for field, unwanted in within if unwanted]
        self._cut = 0 if tag is None or TAG in self._wanted else len(f'"{TAG}":"{tag}",')
        return object_struct(tag, gid, self.fields, omit_defaults=True, forbid_unknown_fields=True)

    def meet(self, names: AbstractSet[str]) -> bool:
        """Let properties come that are not selected, or that the schema does not know; of those it warns.

        Returns:
            Whether the Struct must be made anew.
        """
        new = names - self._met
        warn_of_unknown(self._stream, new)
        self._met |= new
        # A field must be an identifier. So are all of Asana's; any other name is left out before.
        self._names += sorted(name for name in new if name.isidentifier())
        return bool(new)

    def own(self, values: Own) -> bytes:
        """What the tap adds to an object, as the text behind its properties."""
        return self._own % values

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
                value = decode(text)
                drop(value, unwanted)
                setattr(record, field, msgspec.Raw(encode(value)))

    def write(self, record: Any, own: bytes) -> None:
        """Write a decoded object as a record."""
        self.strip(record)
        out, before, _, after = self._outlet
        out += before
        start = len(out)
        encode_into(record, out, start)
        out[-1:] = own if len(out) > start + len("{}") else own.removeprefix(b",")
        out += after
        if self._cut:
            del out[start + 1 : start + 1 + self._cut]

    def write_all(self, records: list[Any], own: bytes) -> None:
        """Write decoded objects, none of them without properties, as records, in one go."""
        if self._surplus or self._partial:
            for record in records:
                self.strip(record)
        out, before, _, after = self._outlet
        between = own + after + before
        out += before
        for record in records:
            encode_into(record, out, len(out))
            out.pop()
            out += between
        del out[len(out) - len(before) :]


def names_in(unwanted: Unwanted) -> Iterator[str]:
    """The names of deselected properties, at any depth."""
    for name, below in unwanted.items():
        yield from [name] if below is None else names_in(below)


def any_of(names: Iterable[str]) -> Callable[[Any], Any]:
    """Tells of JSON text whether it may hold a property of one of these names; a backslash may be part of any."""
    return re.compile(rb'\\|"(?:%b)"' % b"|".join(re.escape(name.encode()) for name in names)).search


class Mapped:
    """Objects that the stream's maps make records of, or that are flattened.

    Args:
        stream: tells what is selected, and has the maps.
        own: as for `Verbatim`.
        outlets: where records of a name go.
    """

    def __init__(self, stream: Stream, own: Mapping[str, bool], outlets: Callable[[str], Outlet]) -> None:
        self._stream = stream
        self._own = own
        self._unwanted = deselected(stream.effective_schema, stream.mask)
        self._outlets = {each.stream_alias: outlets(each.stream_alias) for each in kept_maps(stream)}

    def own(self, values: Own) -> dict[str, Any]:
        """What the tap adds to an object."""
        return {name: decode(values[name.encode()]) for name, is_given in self._own.items() if is_given}

    def gid_of(self, record: dict[str, Any], name: str) -> str | None:
        """The gid of what an object has as a property, if it has."""
        return gid_of(record.get(name))

    def write(self, record: dict[str, Any], own: Mapping[str, Any]) -> None:
        """Write what the stream's maps make of an object."""
        values = {**record, **own}
        drop(values, dict.fromkeys(self._own.keys() - own.keys()))
        if unknown := values.keys() - self._stream.effective_schema["properties"]:
            warn_of_unknown(self._stream, unknown)
            drop(values, dict.fromkeys(unknown))
        drop(values, self._unwanted)
        for stream_map in self._stream.stream_maps:
            mapped = stream_map.transform(values)
            if mapped is not None:
                out, before, more, after = self._outlets[stream_map.stream_alias]
                out += before
                out += encoder.encode(mapped)
                if more:
                    out[-1:] = more + b"}"
                out += after

    def write_all(self, records: Iterable[dict[str, Any]], own: Mapping[str, Any]) -> None:
        """Write what the stream's maps make of objects."""
        for record in records:
            self.write(record, own)


def gid_of(value: Any) -> str | None:
    """The gid of a decoded object; None if it is no object, or has none."""
    gid = value.get("gid") if isinstance(value, dict) else None
    return gid if isinstance(gid, str) else None


def warn_of_unknown(stream: Stream, names: AbstractSet[str]) -> None:
    """Name the properties that a stream's schema does not know."""
    for name in sorted(names - stream.effective_schema["properties"].keys()):
        _warn_of_unknown(stream, name)


@functools.cache
def _warn_of_unknown(stream: Stream, name: str) -> None:
    """Warn once: objects of several types and of several exports may have the field."""
    logger.warning(
        "Stream %s: Asana sends the field '%s', which the schema does not know; it is dropped. "
        "A newer version of the tap may know it.",
        stream.name,
        name,
    )
