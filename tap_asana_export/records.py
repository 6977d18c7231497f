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
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec
from singer_sdk.contrib.msgspec import encoder
from singer_sdk.mapper import RemoveRecordTransform, SameRecordTransform
from singer_sdk.singerlib import ActivateVersionMessage, SchemaMessage

from tap_asana_export.errors import MapError, UnknownFieldError
from tap_asana_export.selection import ADDITIONAL, deselected, drop, selected_schema

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

UNKNOWN_FIELDS = 64
"""Unknown fields of a type of object that become part of its Struct; each new one takes milliseconds."""
UNKNOWN_NAMES = 10_000
"""Unknown fields of a stream that are named, at the most."""

Properties: TypeAlias = "Mapping[str, msgspec.Raw]"
"""An object's properties, the values as Asana wrote them."""
NONE: Properties = {}

encode = msgspec.json.Encoder().encode
encode_into = msgspec.json.Encoder().encode_into
decode = msgspec.json.Decoder().decode


class Reference(msgspec.Struct):
    """Another object that an object names."""

    gid: str


decode_with_decimals = msgspec.json.Decoder(float_hook=Decimal).decode
decode_reference = msgspec.json.Decoder(Reference).decode


def decode_value(text: Any) -> Any:
    """What a JSON text says, also if a number is beyond what a float holds."""
    try:
        return decode(text)
    except msgspec.ValidationError:
        return decode_with_decimals(text)


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
        unknown: takes note of the fields that the schema does not know.

    Attributes:
        fields: by property, the field of the Struct.
    """

    def __init__(
        self,
        stream: Stream,
        own: Mapping[str, bool],
        outlets: Callable[[str], Outlet],
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
        self._wanted = ({*selected} & self._known) - own.keys()
        self._names = list(dict.fromkeys([*(name for name in selected if name in self._wanted), *also]))
        self._met = {*self._names}
        self._room = UNKNOWN_FIELDS
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
        self._apart = apart
        self.fields = {name: f"field_{number}" for number, name in enumerate(self._names) if name not in apart}
        self._surplus = [field for name, field in self.fields.items() if name not in self._wanted]
        self._kept = [(name, field) for name, field in self.fields.items() if self._keeps and name not in self._known]
        within = ((field, self._unwanted.get(name)) for name, field in self.fields.items() if name in self._wanted)
        self._partial = [(field, unwanted, any_of(names_in(unwanted))) for field, unwanted in within if unwanted]
        self._cut = 0 if tag is None or TAG in self._wanted else len(f'"{TAG}":"{tag}",')
        return object_struct(tag, gid, self.fields, omit_defaults=True, forbid_unknown_fields=True)

    def meet(self, names: AbstractSet[str]) -> bool:
        """Let properties come that are not selected, or that the schema does not know; of those it takes note.

        Returns:
            Whether the Struct must be made anew.
        """
        new = sorted(names - self._met)
        unknown = [name for name in new if name not in self._known]
        self._unknown.note(self._stream, unknown)
        # Each new Struct takes time. A field must be an identifier; so are all of Asana's.
        added = [name for name in unknown if name.isidentifier()][: self._room]
        self._room -= len(added)
        added += [name for name in new if name in self._known]
        self._met |= {*added}
        self._names += added
        return bool(added)

    def split(self, properties: Properties) -> tuple[Properties, Properties]:
        """An object's properties that have a field, and the others, which the schema does not know."""
        known = {name: text for name, text in properties.items() if name in self.fields or name in self._apart}
        return known, {name: text for name, text in properties.items() if name not in known}

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
                value = decode_value(text)
                drop(value, unwanted)
                setattr(record, field, msgspec.Raw(encoder.encode(value)))

    def write(self, record: Any, own: bytes, rest: Properties = NONE) -> None:
        """Write a decoded object as a record.

        Args:
            record: the object.
            own: what the tap adds.
            rest: properties that the schema does not know, and that have no field.
        """
        if self._keeps and (self._kept or rest):
            own = self._additional(record, rest) + own
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
        if self._kept:
            for record in records:
                self.write(record, own)
            return
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


class Mapped:
    """Objects that the stream's maps make records of, or that are flattened.

    Args:
        stream: tells what is selected, and has the maps.
        own: as for `Verbatim`.
        outlets: where records of a name go.
        unknown: takes note of the fields that the schema does not know.
    """

    def __init__(
        self, stream: Stream, own: Mapping[str, bool], outlets: Callable[[str], Outlet], *, unknown: UnknownFields
    ) -> None:
        self._stream = stream
        self._own = own
        self._unknown = unknown
        self._known = known_properties(stream)
        self._keeps = ADDITIONAL in stream.effective_schema["properties"]
        self._unwanted = deselected(stream.effective_schema, stream.mask)
        self._maps = [(each, outlets(each.stream_alias)) for each in kept_maps(stream)]

    def own(self, values: Own) -> dict[str, Any]:
        """What the tap adds to an object."""
        return {name: decode(values[name.encode()]) for name, is_given in self._own.items() if is_given}

    def gid_of(self, record: dict[str, Any], name: str) -> str | None:
        """The gid of what an object has as a property, if it has."""
        return gid_of(record.get(name))

    def write(self, record: dict[str, Any], own: Mapping[str, Any], rest: Properties = NONE) -> None:  # noqa: ARG002
        """Write what the stream's maps make of an object; its properties are all in it.

        Raises:
            MapError: a map cannot be evaluated.
        """
        values = {**record, **own}
        drop(values, dict.fromkeys(self._own.keys() - own.keys()))
        if unknown := values.keys() - self._known:
            self._unknown.note(self._stream, unknown)
            additional = {name: values.pop(name) for name in sorted(unknown)}
            if self._keeps:
                values[ADDITIONAL] = additional
        drop(values, self._unwanted)
        for stream_map, outlet in self._maps:
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
                out, before, more, after = outlet
                out += before
                out += text
                if more:
                    out[-1:] = more + b"}"
                out += after

    def write_all(self, records: Iterable[dict[str, Any]], own: Mapping[str, Any]) -> None:
        """Write what the stream's maps make of objects."""
        for record in records:
            self.write(record, own)

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


def gid_of(value: Any) -> str | None:
    """The gid of a decoded object; None if it is no object, or has none."""
    gid = value.get("gid") if isinstance(value, dict) else None
    return gid if isinstance(gid, str) else None


def known_properties(stream: Stream) -> set[str]:
    """What a stream's schema knows of Asana's properties and of the tap's own."""
    return {*stream.effective_schema["properties"]} - {ADDITIONAL}


class UnknownFields:
    """The fields in the objects of an export that the schemas do not know, and what is done about them.

    Args:
        origin: what is exported, as errors name it.

    Attributes:
        names: the fields, by stream.
    """

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.names: dict[str, set[str]] = {}

    def note(self, stream: Stream, names: Iterable[str]) -> None:
        """Take note of fields, and name each once in the log.

        Raises:
            UnknownFieldError: the setting `unknown_fields` is `fail`.
        """
        noted = self.names.get(stream.name, set())
        for name in sorted({*names} - noted):
            if stream.config.get("unknown_fields") == "fail":
                raise UnknownFieldError(self.origin, stream.name, name)
            if len(noted) < UNKNOWN_NAMES:
                self.names.setdefault(stream.name, noted).add(name)
                tell_of_unknown(stream, name)
            elif len(noted) == UNKNOWN_NAMES:
                tell_of_unknown(stream, None)


@functools.cache
def tell_of_unknown(stream: Stream, name: str | None) -> None:
    """Name a field once: objects of several types and of several exports may have it.

    Args:
        stream: the stream.
        name: the field; None if there are too many to name.
    """
    what = "more fields" if name is None else f"the field '{name}'"
    if ADDITIONAL in stream.effective_schema["properties"]:
        logger.info("Stream %s: Asana sends %s, unknown to the schema; kept in %s.", stream.name, what, ADDITIONAL)
    else:
        logger.warning(
            "Stream %s: Asana sends %s, which the schema does not know; it is dropped. "
            "A newer version of the tap may know it, and the setting unknown_fields can keep it.",
            stream.name,
            what,
        )
