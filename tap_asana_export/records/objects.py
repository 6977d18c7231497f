"""Objects as lines hold them: decoded with every value left as Asana wrote it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec

from tap_asana_export.records.selection import ADDITIONAL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from singer_sdk import Stream

    from tap_asana_export.output.buffers import RecordBuffer
    from tap_asana_export.sources import Source

# What a field holds whose property is not in the object. `omit_defaults` leaves out exactly this object, so that what
# is absent stays absent and a null stays null.
ABSENT: Any = msgspec.Raw(b"null")

TAG = "resource_type"
"""The property that tells types of objects apart."""

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


AddedFields: TypeAlias = "Mapping[bytes, bytes]"
"""What the tap adds to an object, JSON by property."""


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


def gid_of(value: Any) -> str | None:
    """The gid of a decoded object; None if it is no object, or has none."""
    gid = value.get("gid") if isinstance(value, dict) else None
    return gid if isinstance(gid, str) else None


def known_properties(stream: Stream) -> set[str]:
    """What a stream's schema knows of Asana's properties and of the tap's own."""
    return {*stream.effective_schema["properties"]} - {ADDITIONAL}


decode_properties = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class StreamOutput(NamedTuple):
    """A stream that takes what lines hold, and where its records go."""

    source: Source
    stream: Stream
    buffers: Callable[[str], RecordBuffer]
