"""Routes each line of an export's file to the handler of its `resource_type`, which writes the line's records.

Each type has a Struct and a decoder, which takes only lines of that type, wherever in a line `resource_type` stands.
Most lines are of the same type as the line before, so its decoder is tried first: a line is decoded once. Another
decoder refuses a line at the first property that its Struct does not know. (A union of tagged Structs reads a line
twice if the type stands at its end.) A line that fits no Struct, since it has a new type or a new property, is decoded
property by property, and the type's Struct is defined anew so that the next such line fits.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tap_asana_export.errors import DamagedError, TapError
from tap_asana_export.limits import USUAL
from tap_asana_export.records.gids import Gids
from tap_asana_export.records.handlers import IgnoredType
from tap_asana_export.records.objects import (
    NO_PROPERTIES,
    TAG,
    UNDECODABLE,
    Properties,
    Text,
    decode_properties,
    encode,
)
from tap_asana_export.unicode import is_utf8, replace_lone_surrogates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tap_asana_export.limits import Limits
    from tap_asana_export.records.handlers import LineHandler

logger = logging.getLogger(__name__)

MAX_TYPES = 64
"""Types of objects that get a Struct; lines of further types are slow, as each new Struct takes milliseconds."""


class ObjectType(NamedTuple):
    """What the router knows of one type of objects.

    Attributes:
        name: its `resource_type`.
        handler: writes the records of its lines.
        decode: decodes a line; fails if the line is of another type, or has a property that the Struct does not know.
        seen: the gids that came before; None if the file holds each object once.
    """

    name: str
    handler: LineHandler
    decode: Callable[[Any], Any]
    seen: Gids | None


class RecordRouter:
    """Reads the lines of one file and writes their records.

    Args:
        handlers: by `resource_type`, for the types that streams take.
        skip: number of lines at the start whose records the target already has: they are only counted.
        repeated: types of which the file may hold an object more than once; only its first line counts.
        limits: how much to check at a time.
        is_utf8: tells whether text is UTF-8, of which it may check so many bytes at a time; by default Python does.

    Attributes:
        lines: number of lines read.
        objects: number of objects by `resource_type`, each object counted once.
        skipped: how many of them the target already has.
        handlers: as given, with an `IgnoredType` for each other type that the file holds.
    """

    def __init__(
        self,
        handlers: Mapping[str, LineHandler],
        *,
        skip: int = 0,
        repeated: Iterable[str] = (),
        limits: Limits = USUAL,
        is_utf8: Callable[[Text, int], bool] = is_utf8,
    ) -> None:
        self.lines = 0
        self.objects: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self._seen = {resource_type: Gids() for resource_type in repeated}
        # One decoder at least, also where no stream takes anything.
        self.handlers: dict[str, LineHandler] = {**handlers, "": IgnoredType("")}
        self._skip = skip
        self._is_utf8, self._utf8_slice = is_utf8, limits.utf8_slice
        self._all_is_utf8 = True
        self._types: dict[str, ObjectType] = {}
        for name in self.handlers:
            self._compile(name)

    def _compile(self, name: str) -> None:
        """Define the Struct of a type anew, and its decoder, which is the next to be tried."""
        handler = self.handlers[name]
        decode = msgspec.json.Decoder(handler.struct()).decode
        self._type = self._types[name] = ObjectType(name, handler, decode, self._seen.get(name))

    def read(self, text: bytes, begin: int = 0, until: int = sys.maxsize) -> int | None:
        r"""Write the records of lines that are separated by `\n`.

        Args:
            text: the lines.
            begin: offset in the text to start from.
            until: number of the file's last line to read; a text that goes on behind it is left for the next call.

        Returns:
            Offset in the text of the next line; None at its end.

        Raises:
            DamagedError: the line after the first `lines` ones is not an Asana object.
        """
        # A view and offsets, since to split the text copies it, which takes a fifth of the time.
        view = memoryview(text)
        if not begin:
            self._all_is_utf8 = self._is_utf8(view, self._utf8_slice)
        length = len(text)
        while begin <= length and self.lines < until:
            end = text.find(b"\n", begin)
            if end < 0:
                end = length
            line: Text = view[begin:end]
            begin = end + 1
            if not self._all_is_utf8 and not self._is_utf8(line, self._utf8_slice):
                raise DamagedError(f"it is not UTF-8 but {_begins(line)}")
            rest = NO_PROPERTIES
            record: Any
            try:
                record = self._type.decode(line)
            except UNDECODABLE:
                record, line, rest = self._decode_otherwise(line)
            if record is not None:
                resource_type, handler, _, seen = self._type
                if seen is None or seen.add(record.gid):
                    if self.lines >= self._skip:
                        self._write(handler, record, line, rest)
                    else:
                        self.skipped[resource_type] += 1
                    self.objects[resource_type] += 1
            self.lines += 1
        return begin if begin <= length else None

    def _decode_otherwise(self, line: Text) -> tuple[Any, Text, Properties]:
        """Decode a line that is not like the one before; returns and raises as `_decode_odd` does."""
        for each in self._types.values():
            if each is self._type:
                continue
            try:
                record = each.decode(line)
            except UNDECODABLE:
                continue
            self._type = each
            return record, line, NO_PROPERTIES
        return self._decode_odd(line)

    def _decode_odd(self, line: Text) -> tuple[Any, Text, Properties]:
        """Decode a line that fits no Struct, and define one anew if it has a new type or property.

        Returns:
            The object (None for a blank line, and for a type beyond `MAX_TYPES`, which is counted here), the line
            without lone surrogates, and the properties that have no field.

        Raises:
            DamagedError: the line is not an Asana object.
        """
        text = bytes(line)
        if not text.strip():
            return None, line, NO_PROPERTIES
        text, surrogates = replace_lone_surrogates(text)
        try:
            properties = decode_properties(text)
            resource_type = msgspec.json.decode(properties[TAG], type=str)
        except (*UNDECODABLE, KeyError) as error:
            raise DamagedError(f"it is no JSON object with gid and {TAG} ({error}) but {_begins(line)}") from None
        if resource_type not in self.handlers:
            if len(self.handlers) >= MAX_TYPES:
                self.objects[resource_type] += 1
                return None, text, NO_PROPERTIES
            self.handlers[resource_type] = IgnoredType(resource_type)
        handler = self.handlers[resource_type]
        if handler.add_properties(properties.keys()):
            self._compile(resource_type)
        known, rest = handler.split(properties)
        try:
            self._type = self._types[resource_type]
            record = self._type.decode(encode(known))
        except UNDECODABLE as wrong:
            raise DamagedError(f"it is not as Asana documents ({wrong}) but {_begins(line)}") from None
        if surrogates:
            logger.warning(
                "%s %s: %d times a text holds half of a character (such as \\ud83d alone), which is U+FFFD in its "
                "records: no target takes it as it is.",
                resource_type,
                getattr(record, "gid", ""),
                surrogates,
            )
        return record, text, rest

    def _write(self, handler: LineHandler, record: Any, line: Text, rest: Properties) -> None:
        """Write the records of a line.

        Raises:
            DamagedError: a value cannot be written, such as a number without end.
        """
        try:
            handler.write(record, line, rest)
        except TapError:
            raise
        except Exception as error:  # noqa: BLE001 - JSON bounds neither numbers nor depth; each library fails in its way
            raise DamagedError(f"no record can be made of it ({type(error).__name__}: {error})") from None


def _begins(line: Text) -> str:
    return f"begins with {bytes(line[:40])!r}"
