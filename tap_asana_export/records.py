"""From lines of the export file to RECORD messages, with one decode a line.

A line is decoded into a `msgspec.Struct` with a field for every selected property, whose value stays the text that
Asana wrote (`msgspec.Raw`). This one step tells the object's type, selects, and finds whatever the schema does not
know; encoding the Struct again is little more than copying. Where stream maps or flattening need values, the line
becomes a dict and goes the SDK's way instead, in the same pass.
"""

from __future__ import annotations

import codecs
import functools
import logging
import operator
from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from singer_sdk.mapper import RemoveRecordTransform, SameRecordTransform
from singer_sdk.singerlib import ActivateVersionMessage, RecordMessage, SchemaMessage

from tap_asana_export.errors import DamagedError
from tap_asana_export.gids import Gids
from tap_asana_export.selection import deselected, drop, selected_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from singer_sdk import Stream
    from singer_sdk.singerlib import Message

    from tap_asana_export.selection import Unwanted

logger = logging.getLogger(__name__)

TAG = "resource_type"

# What a field holds whose property is not in the line. `omit_defaults` leaves out exactly this object, so that what is
# absent stays absent and a null stays null.
ABSENT: Any = msgspec.Raw(b"null")

UTF8_SLICE = 1 << 18
"""Bytes to look at in one go for UTF-8: of 2 MB, which become 8 MB of `str`, it takes three times as long."""

encode = msgspec.json.Encoder().encode
encode_into = msgspec.json.Encoder().encode_into
decode_properties = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def schema_messages(stream: Stream) -> Iterator[SchemaMessage]:
    """A stream's SCHEMA, or those of its maps."""
    bookmark_properties = [stream.replication_key] if stream.replication_key else None
    unwanted = deselected(stream.effective_schema, stream.mask)
    for stream_map in stream.stream_maps:
        if not isinstance(stream_map, RemoveRecordTransform):
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
    for stream_map in stream.stream_maps:
        if not isinstance(stream_map, RemoveRecordTransform):
            yield ActivateVersionMessage(stream_map.stream_alias, version)


def record_messages(
    stream: Stream, record: dict[str, Any], unwanted: Unwanted, time_extracted: datetime, version: int | None = None
) -> Iterator[RecordMessage]:
    """The RECORDs of one record, as the catalog and the stream's maps want them; the record is changed."""
    drop(record, unwanted)
    for stream_map in stream.stream_maps:
        mapped = stream_map.transform(record)
        if mapped is not None:
            yield RecordMessage(stream_map.stream_alias, mapped, version=version, time_extracted=time_extracted)


class Way(Protocol):
    """The way of one type of object into its stream."""

    def struct(self) -> type[msgspec.Struct]:
        """What its lines are decoded into. It fits only objects whose every property was met before."""

    def meet(self, names: AbstractSet[str]) -> bool:
        """Make room for an object's properties; False if that changes nothing."""

    def append(self, out: bytearray, record: Any, line: memoryview) -> None:
        """Add the RECORDs of an object, which comes decoded and as its line."""


class Verbatim:
    """Objects that become records as Asana wrote them: less what is not selected, plus the workspace's gid."""

    def __init__(
        self, resource_type: str, stream: Stream, workspace_gid: str, time_extracted: datetime, version: int | None
    ) -> None:
        self._resource_type = resource_type
        self._stream = stream
        self._unwanted = deselected(stream.effective_schema, stream.mask)
        self._properties = [name for name in stream.effective_schema["properties"] if self._wants(name)]
        self._met = {*self._properties, TAG}
        self._partial: dict[str, Unwanted] = {}
        self._surplus: list[str] = []
        alias = stream.stream_maps[0].stream_alias
        message = RecordMessage(alias, {}, version=version, time_extracted=time_extracted)
        self._before, after = encode(message.to_dict()).split(b"{}")
        own = b',"workspace_gid":' + encode(workspace_gid) if self._wants("workspace_gid") else b""
        self._after = own + b"}" + after + b"\n"
        tag = f'"{TAG}":"{resource_type}",'
        self._cut = 0 if self._wants(TAG) else len(tag)

    def _wants(self, name: str) -> bool:
        return self._unwanted.get(name, {}) is not None and name in self._stream.effective_schema["properties"]

    def struct(self) -> type[msgspec.Struct]:
        """A field of text for every property, except where something within it is deselected."""
        fields: list[Any] = [("gid", str)]
        names = {}
        self._partial, self._surplus = {}, []
        for number, name in enumerate(self._properties):
            if name in {"gid", TAG}:
                continue
            field = f"field_{number}"
            names[field] = name
            if not self._wants(name) or name == "workspace_gid":
                self._surplus.append(field)
            elif within := self._unwanted.get(name):
                self._partial[field] = within
            fields.append((field, Any if field in self._partial else msgspec.Raw, ABSENT))
        return msgspec.defstruct(
            "Object",
            fields,
            tag_field=TAG,
            tag=self._resource_type,
            rename=names,
            omit_defaults=True,
            forbid_unknown_fields=True,
            gc=False,
        )

    def meet(self, names: AbstractSet[str]) -> bool:
        """Let properties come that are not selected, or that the schema does not know; of those it warns."""
        new = names - self._met
        warn_of_unknown(self._stream, new)
        self._met |= new
        # A field must be an identifier. So are all of Asana's; any other name is left out before.
        self._properties += sorted(name for name in new if name.isidentifier())
        return bool(new)

    def append(self, out: bytearray, record: Any, line: memoryview) -> None:  # noqa: ARG002 - a Way's signature
        """Add the object's RECORD."""
        for field in self._surplus:
            setattr(record, field, ABSENT)
        for field, unwanted in self._partial.items():
            drop(getattr(record, field), unwanted)
        out += self._before
        start = len(out)
        encode_into(record, out, start)
        out[-1:] = self._after
        if self._cut:
            del out[start + 1 : start + 1 + self._cut]


class Mapped:
    """Objects that the stream's maps make records of, or that are flattened."""

    def __init__(
        self,
        resource_type: str,
        stream: Stream,
        workspace_gid: str,
        time_extracted: datetime,
        format_message: Callable[[Message], bytes | bytearray],
        version: int | None,
    ) -> None:
        self._resource_type = resource_type
        self._stream = stream
        self._workspace_gid = workspace_gid
        self._time_extracted = time_extracted
        self._version = version
        self._format_message = format_message
        self._unwanted = deselected(stream.effective_schema, stream.mask)
        self._warned: set[str] = set()

    def struct(self) -> type[msgspec.Struct]:
        """Only the gid: the values are wanted as a dict."""
        return msgspec.defstruct("Object", [("gid", str)], tag_field=TAG, tag=self._resource_type, gc=False)

    def meet(self, names: AbstractSet[str]) -> bool:  # noqa: ARG002 - a Way's signature
        """False: there is room for everything."""
        return False

    def append(self, out: bytearray, record: Any, line: memoryview) -> None:  # noqa: ARG002 - a Way's signature
        """Add what the stream's maps make of the object."""
        values: dict[str, Any] = msgspec.json.decode(line)
        if unknown := values.keys() - self._stream.effective_schema["properties"]:
            warn_of_unknown(self._stream, unknown - self._warned)
            self._warned |= unknown
            drop(values, dict.fromkeys(unknown))
        values["workspace_gid"] = self._workspace_gid
        for message in record_messages(self._stream, values, self._unwanted, self._time_extracted, self._version):
            out += self._format_message(message)


class Dropped:
    """Objects that no stream takes."""

    def __init__(self, resource_type: str) -> None:
        self._resource_type = resource_type

    def struct(self) -> type[msgspec.Struct]:
        """Nothing."""
        return msgspec.defstruct("Object", [], tag_field=TAG, tag=self._resource_type, gc=False)

    def meet(self, names: AbstractSet[str]) -> bool:  # noqa: ARG002 - a Way's signature
        """True: the type itself was not met before."""
        return True

    def append(self, out: bytearray, record: Any, line: memoryview) -> None:
        """Add nothing."""


def warn_of_unknown(stream: Stream, names: AbstractSet[str]) -> None:
    """Name the properties that a stream's schema does not know."""
    for name in sorted(names - stream.effective_schema["properties"].keys()):
        logger.warning(
            "Stream %s: Asana sends the field '%s', which the schema does not know; it is dropped. "
            "A newer version of the tap may know it.",
            stream.name,
            name,
        )


def is_verbatim(stream: Stream) -> bool:
    """Whether neither stream maps nor flattening want to see a stream's records."""
    maps = stream.stream_maps
    return len(maps) == 1 and type(maps[0]) is SameRecordTransform and not maps[0].flattening_enabled


def way(
    resource_type: str,
    stream: Stream,
    workspace_gid: str,
    time_extracted: datetime,
    format_message: Callable[[Message], bytes | bytearray],
    version: int | None = None,
) -> Way:
    """The fastest way that serves a stream."""
    if is_verbatim(stream):
        return Verbatim(resource_type, stream, workspace_gid, time_extracted, version)
    return Mapped(resource_type, stream, workspace_gid, time_extracted, format_message, version)


class Pass:
    """One pass over a file's lines.

    Args:
        skip: how many lines are only counted, as their records are where they belong.
        repeated: types of which an object may come more than once, and only the first one is taken.

    Attributes:
        lines: how many were read.
        objects: how many there were by `resource_type`, each counted once.
        ways: by `resource_type`, also of the types that no stream takes, once met.
    """

    def __init__(self, ways: dict[str, Way], *, skip: int = 0, repeated: Iterable[str] = ()) -> None:
        self.lines = 0
        self.objects: Counter[str] = Counter()
        self._seen = {resource_type: Gids() for resource_type in repeated}
        # With one Struct alone msgspec would take a line without a type for it.
        self.ways = {"": Dropped(""), **ways}
        self._skip = skip
        self._compile()

    def _compile(self) -> None:
        self._types = {way.struct(): (name, way, self._seen.get(name)) for name, way in self.ways.items()}
        any_of_them: Any = functools.reduce(operator.or_, self._types)
        self._decode = msgspec.json.Decoder(any_of_them).decode

    def read(self, text: bytes, out: bytearray) -> None:
        r"""Add the RECORDs of lines that are separated by `\n`.

        Raises:
            DamagedError: the line after the first `lines` ones is not an Asana object.
        """
        # Lines are looked at where they stand: to split the text would copy it, which takes a fifth of the time.
        view = memoryview(text)
        valid = _is_utf8(view)
        begin, length = 0, len(text)
        while begin <= length:
            end = text.find(b"\n", begin)
            if end < 0:
                end = length
            line = view[begin:end]
            begin = end + 1
            if not valid and not _is_utf8(line):
                raise DamagedError(f"it is not UTF-8 but {_begins(line)}")
            try:
                record = self._decode(line)
            except (msgspec.MsgspecError, RecursionError) as error:
                record = self._decode_odd(line, error)
            if record is not None:
                resource_type, way, seen = self._types[type(record)]
                if seen is None or seen.add(record.gid):
                    if self.lines >= self._skip:
                        way.append(out, record, line)
                    self.objects[resource_type] += 1
            self.lines += 1

    def _decode_odd(self, line: memoryview, error: Exception) -> Any:
        """Decode a line that does not fit: a type or a property is met for the first time, or it is no object."""
        if not line.tobytes().strip():
            return None
        try:
            properties = decode_properties(line)
            resource_type = msgspec.json.decode(properties[TAG], type=str)
        except (msgspec.MsgspecError, RecursionError, KeyError):
            raise DamagedError(f"it is no JSON object with gid and {TAG} ({error}) but {_begins(line)}") from None
        if self.ways.setdefault(resource_type, Dropped(resource_type)).meet(properties.keys()):
            self._compile()
        try:
            return self._decode(encode({name: text for name, text in properties.items() if name.isidentifier()}))
        except (msgspec.MsgspecError, RecursionError) as wrong:
            raise DamagedError(f"it is not as Asana documents ({wrong}) but {_begins(line)}") from None


def _is_utf8(text: memoryview) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for begin in range(0, len(text), UTF8_SLICE):
            decoder.decode(text[begin : begin + UTF8_SLICE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _begins(line: memoryview) -> str:
    return f"begins with {line[:40].tobytes()!r}"
