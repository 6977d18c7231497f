"""Records of the items of an array, such as a task's stories."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec

from tap_asana_export.records.mapped import Mapped
from tap_asana_export.records.objects import (
    NO_PROPERTIES,
    UNDECODABLE,
    AddedFields,
    Properties,
    StreamOutput,
    decode_properties,
    encode,
    gid_of,
)
from tap_asana_export.records.passthrough import Passthrough
from tap_asana_export.records.schemas import is_passthrough

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from collections.abc import Set as AbstractSet

    from tap_asana_export.records.unknown_fields import UnknownFields

logger = logging.getLogger(__name__)

decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class NestedStream:
    """A stream with a record for each item of an array that the objects of one type have.

    Args:
        output: the stream.
        resource_type: type of the objects.
        available: names of the properties that the tap can add to records of this type.
        unknown: collects the fields that the schema does not know.

    Attributes:
        name: the stream's name.
        array: name of the property with the array.
        count: number of records written.
    """

    def __init__(
        self, output: StreamOutput, resource_type: str, available: AbstractSet[str], unknown: UnknownFields
    ) -> None:
        source, self._stream, get_buffer = output
        self._resource_type = resource_type
        self.name = self._stream.name
        self.array = str(source.array)
        self.count = 0
        self._gid_of = source.gid_of
        self._gid = str if "gid" in source.keys else None
        self._warnings: set[str] = set()
        needed = [source.gid_of] if source.gid_of else []
        added_gid = f"{source.gid_of}_gid"
        self._added_gid = added_gid.encode()
        added = {name: name in available or name == added_gid for name in source.added}
        self._passthrough: Passthrough | None = None
        self._records: Any
        self._decode: Callable[[Any], Any]
        if is_passthrough(self._stream):
            self._records = self._passthrough = Passthrough(self._stream, added, get_buffer, needed, unknown=unknown)
            self._compile(self._passthrough)
        else:
            self._records = Mapped(self._stream, added, get_buffer, unknown=unknown)
            self._decode = self._records.decode_items

    def _compile(self, passthrough: Passthrough) -> None:
        """Define the items' Struct anew, and its decoders."""
        item: Any = passthrough.struct(None, self._gid)
        self._decode = msgspec.json.Decoder(list[item]).decode
        self._decode_one = msgspec.json.Decoder(item).decode

    def write(self, array: msgspec.Raw, added: AddedFields, gid: str) -> None:
        """Write the records of one object's array.

        Args:
            array: JSON text of the array.
            added: values that the tap adds to each record.
            gid: the object's gid, for the log.
        """
        try:
            items = self._decode(array)
        except UNDECODABLE:
            items = None
        if items is None or (self._gid and not self._passthrough and None in map(gid_of, items)):
            for item, rest in self._decode_odd(array, gid):
                self._write(item, added, gid, rest)
        elif self._gid_of is None:
            self._records.write_all(items, self._records.prepare_added(added))
            self.count += len(items)
        else:
            for item in items:
                self._write(item, added, gid)

    def _write(self, item: Any, added: AddedFields, gid: str, rest: Properties = NO_PROPERTIES) -> None:
        """Write the record of one item."""
        if self._gid_of is not None:
            inner = self._records.gid_of(item, self._gid_of)
            if inner is None:
                self._warn_once(gid, f"an item of {self.array} has no {self._gid_of}")
                return
            added = {**added, self._added_gid: encode(inner)}
        self._records.write(item, self._records.prepare_added(added), rest)
        self.count += 1

    def _decode_odd(self, array: msgspec.Raw, gid: str) -> Iterator[tuple[Any, Properties]]:
        """Decode an array item by item, since some item has a new property or is not as Asana documents.

        Yields:
            Each item that makes a record, and those of its properties that have no field.
        """
        try:
            items = decode_items(array)
        except UNDECODABLE:
            self._warn_once(gid, f"{self.array} is {json_type(array)}, not an array")
            return
        for item in items:
            try:
                properties = decode_properties(item)
            except UNDECODABLE:
                self._warn_once(gid, f"an item of {self.array} is {json_type(item)}, not an object")
                continue
            if self._gid and json_type(properties.get("gid", b"")) != "a text":
                self._warn_once(gid, f"an item of {self.array} has no gid")
            elif self._passthrough:
                if self._passthrough.add_properties(properties.keys()):
                    self._compile(self._passthrough)
                known, rest = self._passthrough.split(properties)
                yield self._decode_one(encode(known)), rest
            else:
                yield self._records.decode_whole(item), NO_PROPERTIES

    def _warn_once(self, gid: str, what: str) -> None:
        """Log that something makes no record, only once for each kind of it."""
        if what not in self._warnings:
            logger.warning("Stream %s: %s %s: %s, which makes no record.", self.name, self._resource_type, gid, what)
        self._warnings.add(what)


def json_type(text: msgspec.Raw | bytes) -> str:
    """Name the type of a JSON value, with its article, for the log."""
    by_first_byte = {b"{": "an object", b"[": "an array", b'"': "a text", b"t": "true", b"f": "false", b"n": "null"}
    return by_first_byte.get(bytes(text).lstrip()[:1], "a number")
