"""Decoding of Asana's objects: into Structs whose values stay the JSON text that Asana sent."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import msgspec

from tap_asana_export.records.selection import ADDITIONAL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from singer_sdk import Stream

    from tap_asana_export.output.buffers import RecordBuffer
    from tap_asana_export.sources import Source

UNDECODABLE = (msgspec.MsgspecError, RecursionError)
"""What msgspec raises for text that it cannot decode."""

# The default of every field. msgspec's `omit_defaults` compares by identity, so an absent property stays absent while a
# null that Asana sent stays a null.
ABSENT: Any = msgspec.Raw(b"null")

TAG = "resource_type"
"""The property with an object's type, by which it has its Struct."""

Properties: TypeAlias = "Mapping[str, msgspec.Raw]"
"""An object's properties by name, each value as Asana's JSON text."""

NO_PROPERTIES: Properties = {}

Text: TypeAlias = "memoryview | bytes"
"""JSON text of an object."""

AddedFields: TypeAlias = "Mapping[bytes, bytes]"
"""JSON text by name of the property that the tap adds to a record."""


class StreamOutput(NamedTuple):
    """A selected stream and where its records go.

    Attributes:
        source: which objects the stream is made of.
        stream: the SDK's stream, with its selection and its maps.
        get_buffer: returns the buffer for records of a stream name, which may be a stream map's alias.
    """

    source: Source
    stream: Stream
    get_buffer: Callable[[str], RecordBuffer]


class Reference(msgspec.Struct):
    """The gid of an object that another object refers to."""

    gid: str


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode
decode_properties = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
decode_reference = msgspec.json.Decoder(Reference).decode
decode_with_decimals = msgspec.json.Decoder(float_hook=Decimal).decode


def decode_value(text: Any) -> Any:
    """Decode JSON text; a number that is too large for a float becomes a Decimal."""
    try:
        return decode(text)
    except msgspec.ValidationError:
        return decode_with_decimals(text)


def object_struct(tag: str | None, gid: Any, fields: Mapping[str, str], **options: Any) -> type[msgspec.Struct]:
    """Define a Struct for objects, in which every property but the gid stays JSON text.

    Args:
        tag: the `resource_type` of the objects, without which they do not fit; None treats it like all others.
        gid: type of the property `gid`. `str` makes it required; None leaves it out.
        fields: name of the Struct's field by name of the property.
        options: passed to `msgspec.defstruct`.
    """
    first: list[Any] = [("gid", gid) if gid is str else ("gid", gid, msgspec.UNSET)] if gid else []
    if tag is not None:
        first.insert(0, (TAG, Literal[tag]))
    return msgspec.defstruct(
        "Object",
        [*first, *((field, msgspec.Raw, ABSENT) for field in fields.values())],
        kw_only=True,
        rename={field: name for name, field in fields.items()},
        gc=False,
        **options,
    )


def gid_of(value: Any) -> str | None:
    """Return the gid of a decoded object; None if the value is no object or has no gid."""
    gid = value.get("gid") if isinstance(value, dict) else None
    return gid if isinstance(gid, str) else None


def known_properties(stream: Stream) -> set[str]:
    """Return the names of the properties in a stream's schema, but for `additional_fields`."""
    return {*stream.effective_schema["properties"]} - {ADDITIONAL}
