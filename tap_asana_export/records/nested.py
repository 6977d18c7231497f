"""Records that are cut out of an array of each object."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec

from tap_asana_export.records.mapped import Mapped
from tap_asana_export.records.objects import (
    NONE,
    AddedFields,
    Properties,
    StreamOutput,
    decode_properties,
    decode_value,
    encode,
    gid_of,
)
from tap_asana_export.records.passthrough import Passthrough
from tap_asana_export.records.schemas import is_passthrough

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from tap_asana_export.records.unknown_fields import UnknownFields

logger = logging.getLogger(__name__)

decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class NestedStream:
    """A stream whose records are cut out of an array of each object.

    Args:
        output: the stream.
        resource_type: of the objects.
        given: properties that the tap can add to a record, as far as the object tells them.
        unknown: takes note of the fields that the schema does not know.

    Attributes:
        name: of the stream.
        array: the property with the array.
        count: how many records were written.
    """

    def __init__(
        self, output: StreamOutput, resource_type: str, given: AbstractSet[str], unknown: UnknownFields
    ) -> None:
        source, self._stream, buffers = output
        self._resource_type = resource_type
        self.name = self._stream.name
        self.array = str(source.array)
        self.count = 0
        self._gid_of = source.gid_of
        self._gid = str if "gid" in source.keys else None
        self._told: set[str] = set()
        also = [source.gid_of] if source.gid_of else []
        added_gid = f"{source.gid_of}_gid"
        self._added_gid = added_gid.encode()
        added = {name: name in given or name == added_gid for name in source.added}
        is_plain = is_passthrough(self._stream)
        self._verbatim = Passthrough(self._stream, added, buffers, also, unknown=unknown) if is_plain else None
        self._records: Any = self._verbatim or Mapped(self._stream, added, buffers, unknown=unknown)
        self._compile()

    def _compile(self) -> None:
        item: Any = self._verbatim.struct(None, self._gid) if self._verbatim else dict[str, Any]
        self._decode = msgspec.json.Decoder(list[item]).decode
        self._decode_one = msgspec.json.Decoder(item).decode

    def write(self, array: msgspec.Raw, added: AddedFields, gid: str) -> None:
        """Write the records of one object.

        Args:
            array: what the object has as array.
            added: what the tap adds to each.
            gid: of the object, for the log.
        """
        try:
            items = self._decode(array)
        except (msgspec.MsgspecError, RecursionError):
            items = None
        if items is None or (self._gid and not self._verbatim and None in map(gid_of, items)):
            for item, rest in self._decode_odd(array, gid):
                self._write(item, added, gid, rest)
        elif self._gid_of is None:
            self._records.write_all(items, self._records.added(added))
            self.count += len(items)
        else:
            for item in items:
                self._write(item, added, gid)

    def _write(self, item: Any, added: AddedFields, gid: str, rest: Properties = NONE) -> None:
        """Write one record."""
        if self._gid_of is not None:
            inner = self._records.gid_of(item, self._gid_of)
            if inner is None:
                self._tell(gid, f"an item of {self.array} has no {self._gid_of}")
                return
            added = {**added, self._added_gid: encode(inner)}
        self._records.write(item, self._records.added(added), rest)
        self.count += 1

    def _decode_odd(self, array: msgspec.Raw, gid: str) -> Iterator[tuple[Any, Properties]]:
        """Decode an array item by item: some have properties that were not met before, or make no record.

        Yields:
            An item, and those of its properties that have no field.
        """
        try:
            items = decode_items(array)
        except (msgspec.MsgspecError, RecursionError):
            self._tell(gid, f"{self.array} is {kind_of(array)}, not an array")
            return
        for item in items:
            try:
                properties = decode_properties(item)
            except (msgspec.MsgspecError, RecursionError):
                self._tell(gid, f"an item of {self.array} is {kind_of(item)}, not an object")
                continue
            if self._gid and not is_text(properties.get("gid")):
                self._tell(gid, f"an item of {self.array} has no gid")
            elif self._verbatim:
                if self._verbatim.add_properties(properties.keys()):
                    self._compile()
                known, rest = self._verbatim.split(properties)
                yield self._decode_one(encode(known)), rest
            else:
                yield decode_value(item), NONE

    def _tell(self, gid: str, what: str) -> None:
        """Say once of each kind what makes no record."""
        if what not in self._told:
            logger.warning("Stream %s: %s %s: %s, which makes no record.", self.name, self._resource_type, gid, what)
        self._told.add(what)


def kind_of(text: msgspec.Raw) -> str:
    """What a JSON value is."""
    by_type = {b"{": "an object", b"[": "an array", b'"': "a text", b"t": "true", b"f": "false", b"n": "null"}
    return by_type.get(bytes(text).lstrip()[:1], "a number")


def is_text(text: msgspec.Raw | None) -> bool:
    """Whether a JSON value is a text."""
    return text is not None and bytes(text).lstrip().startswith(b'"')
