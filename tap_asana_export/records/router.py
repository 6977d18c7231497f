"""From lines of the export's file to the records of all streams, with one decode a line."""

from __future__ import annotations

import codecs
import contextlib
import functools
import logging
import operator
import re
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from tap_asana_export.errors import DamagedError, TapError
from tap_asana_export.fingerprint import fingerprint
from tap_asana_export.records.gids import Gids
from tap_asana_export.records.mapped import Mapped
from tap_asana_export.records.nested import NestedStream
from tap_asana_export.records.objects import (
    ABSENT,
    NONE,
    TAG,
    AddedFields,
    Properties,
    StreamOutput,
    decode_properties,
    decode_value,
    encode,
    gid_of,
    object_struct,
)
from tap_asana_export.records.passthrough import Passthrough
from tap_asana_export.records.schemas import is_passthrough
from tap_asana_export.sources import INCREMENTAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from tap_asana_export.records.unknown_fields import UnknownFields

logger = logging.getLogger(__name__)

UTF8_SLICE = 1 << 17
"""Bytes to look at in one go for UTF-8: of 2 MB, which become 8 MB of `str`, it takes three times as long."""

NOTHING = (ABSENT, msgspec.Raw(b"[]"))
"""Arrays without items."""

TYPES = 64
"""Types of object that are told apart at once; each new one takes milliseconds."""

HALF = re.compile(rb"\\u[dD][89a-fA-F]")
"""Where an escape begins that may be half of a character."""

ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)
"""An escape: of a whole character in two halves, of a half alone, which is a group, or another one."""


class LineHandler(Protocol):
    """What becomes of the lines of one type."""

    def struct(self) -> type[msgspec.Struct]:
        """What its lines are decoded into. It fits only objects whose every property was met before."""

    def add_properties(self, names: AbstractSet[str]) -> bool:
        """Make room for an object's properties; False if that changes nothing."""

    def split(self, properties: Properties) -> tuple[Properties, Properties]:
        """An object's properties that its lines are decoded with, and the others."""

    def write(self, record: Any, line: memoryview | bytes, rest: Properties) -> None:
        """Write the records of an object, which comes decoded, as its line, and what of it is not decoded."""


class ObjectHandler:
    """Objects of one type, and the records that streams make of them.

    Args:
        resource_type: their type.
        outputs: the streams.
        added: what the tap adds to each record, by property.
        unknown: takes note of the fields that the schemas do not know.

    Attributes:
        nested: the streams that are cut out of the objects.
        unknown: as given.
    """

    def __init__(
        self, resource_type: str, outputs: Iterable[StreamOutput], added: Mapping[str, str], unknown: UnknownFields
    ) -> None:
        self._resource_type = resource_type
        self.unknown = unknown
        self._gid: Any = str
        self._verbatim: Passthrough | None = None
        self._mapped: Mapped | None = None
        added_values = {name.encode(): encode(value) for name, value in added.items()}
        self._added: Any = None
        self._added_to_nested = added_values | {b"parent_type": encode(resource_type)}
        self._modified_at = INCREMENTAL.get(resource_type, "")
        gid_name, time_name = f"{resource_type}_gid", f"{resource_type}_{self._modified_at}"
        self._gid_name, self._time_name = gid_name.encode(), time_name.encode()
        outputs = list(outputs)
        given = {*added, "parent_type", gid_name, time_name}
        self.nested = [NestedStream(output, resource_type, given, unknown) for output in outputs if output.source.array]
        self._also = [nested_stream.array for nested_stream in self.nested]
        if self.nested and self._modified_at:
            self._also.append(self._modified_at)
        for source, stream, buffers in outputs:
            if source.array:
                continue
            if source.may_lack_gid:
                self._gid = str | msgspec.UnsetType
            names = {name: name in given for name in source.added}
            if is_passthrough(stream):
                self._verbatim = Passthrough(stream, names, buffers, self._also, unknown=unknown)
                self._added = self._verbatim.added(added_values)
            else:
                self._mapped = Mapped(stream, names, buffers, unknown=unknown)
                self._added = self._mapped.added(added_values)

    def struct(self) -> type[msgspec.Struct]:
        """A field of text for every property that is wanted; where the stream's maps make the record, of parts only."""
        if self._verbatim:
            struct = self._verbatim.struct(self._resource_type, self._gid)
            fields = self._verbatim.fields
        else:
            fields = {name: f"field_{number}" for number, name in enumerate(self._also)}
            struct = object_struct(self._resource_type, self._gid, fields)
        self._arrays = [(nested_stream, fields[nested_stream.array]) for nested_stream in self.nested]
        self._time = fields.get(self._modified_at, "")
        return struct

    def add_properties(self, names: AbstractSet[str]) -> bool:
        """Let properties come that the schema does not know; False where there is room for everything."""
        return self._verbatim is not None and self._verbatim.add_properties(names)

    def split(self, properties: Properties) -> tuple[Properties, Properties]:
        """What has a field, and what has none; all but names that can have none, where every property is let come."""
        if self._verbatim:
            return self._verbatim.split(properties)
        return {name: text for name, text in properties.items() if name.isidentifier()}, NONE

    def write(self, record: Any, line: memoryview | bytes, rest: Properties) -> None:
        """Write the object's records: its own, then those of its parts."""
        if record.gid is msgspec.UNSET:
            record.gid = fingerprint(decode_value(line)).removeprefix("sha256:")[:32]
        # Before the object's own record is written, which takes out of it what that does not want.
        arrays = [(nested_stream, getattr(record, field)) for nested_stream, field in self._arrays]
        added = self._added_to_nested_of(record) if arrays else {}
        if self._verbatim:
            self._verbatim.write(record, self._added, rest)
        elif self._mapped:
            self._mapped.write({**decode_value(line), "gid": record.gid}, self._added)
        for nested_stream, array in arrays:
            if array not in NOTHING:
                nested_stream.write(array, added, record.gid)

    def _added_to_nested_of(self, record: Any) -> AddedFields:
        """What the tap adds to records that are cut out of an object."""
        time = bytes(getattr(record, self._time)) if self._time else b""
        return {**self._added_to_nested, self._gid_name: encode(record.gid), self._time_name: time}


class IgnoredType:
    """Objects that no stream takes."""

    def __init__(self, resource_type: str) -> None:
        self._resource_type = resource_type

    def struct(self) -> type[msgspec.Struct]:
        """Nothing."""
        return object_struct(self._resource_type, None, {})

    def add_properties(self, names: AbstractSet[str]) -> bool:  # noqa: ARG002 - a Way's signature
        """True: the type itself was not met before."""
        return True

    def split(self, properties: Properties) -> tuple[Properties, Properties]:
        """Nothing but the type is looked at."""
        return {TAG: properties[TAG]}, NONE

    def write(self, record: Any, line: memoryview | bytes, rest: Properties) -> None:
        """Write nothing."""


class RecordRouter:
    """One pass over a file's lines.

    Args:
        handlers: by `resource_type`, of the types that streams take.
        skip: how many lines are only counted, as their records are where they belong.
        repeated: types of which an object may come more than once, and only the first one is taken.

    Attributes:
        lines: how many were read.
        objects: how many there were by `resource_type`, each counted once.
        handlers: as given, and those of other types, once met.
    """

    def __init__(self, handlers: Mapping[str, LineHandler], *, skip: int = 0, repeated: Iterable[str] = ()) -> None:
        self.lines = 0
        self.objects: Counter[str] = Counter()
        self._seen = {resource_type: Gids() for resource_type in repeated}
        # With one Struct alone msgspec would take a line without a type for it.
        self.handlers: dict[str, LineHandler] = {"": IgnoredType(""), **handlers}
        self._skip = skip
        self._valid = True
        self._compile()

    def _compile(self) -> None:
        self._types = {
            handler.struct(): (name, handler, self._seen.get(name)) for name, handler in self.handlers.items()
        }
        any_of_them: Any = functools.reduce(operator.or_, self._types)
        self._decode = msgspec.json.Decoder(any_of_them).decode

    def read(self, text: bytes, begin: int = 0, until: int = sys.maxsize) -> int | None:
        r"""Write the records of lines that are separated by `\n`.

        Args:
            text: the lines.
            begin: where in the text to begin.
            until: how many lines of the file to read in all, at the most.

        Returns:
            Where in the text to go on; None at its end.

        Raises:
            DamagedError: the line after the first `lines` ones is not an Asana object.
        """
        # Lines are looked at where they stand: to split the text would copy it, which takes a fifth of the time.
        view = memoryview(text)
        if not begin:
            self._valid = _is_utf8(view)
        length = len(text)
        while begin <= length and self.lines < until:
            end = text.find(b"\n", begin)
            if end < 0:
                end = length
            line: memoryview | bytes = view[begin:end]
            begin = end + 1
            if not self._valid and not _is_utf8(line):
                raise DamagedError(f"it is not UTF-8 but {_begins(line)}")
            rest = NONE
            try:
                record = self._decode(line)
            except (msgspec.MsgspecError, RecursionError) as error:
                record, line, rest = self._decode_odd(line, error)
            if record is not None:
                resource_type, handler, seen = self._types[type(record)]
                if seen is None or seen.add(record.gid):
                    if self.lines >= self._skip:
                        self._write(handler, record, line, rest)
                    self.objects[resource_type] += 1
            self.lines += 1
        return begin if begin <= length else None

    def _decode_odd(self, line: memoryview | bytes, error: Exception) -> tuple[Any, memoryview | bytes, Properties]:
        """Decode a line that does not fit: a type or a property is met for the first time, or it is no object.

        Returns:
            The object; None if there is none, or it is counted already. Then its line, in which every text is whole,
            and those of its properties that have no field.
        """
        text = bytes(line)
        if not text.strip():
            return None, line, NONE
        halves = 0
        if HALF.search(text):
            text, halves = without_halves(text)
        try:
            properties = decode_properties(text)
            resource_type = msgspec.json.decode(properties[TAG], type=str)
        except (msgspec.MsgspecError, RecursionError, KeyError):
            raise DamagedError(f"it is no JSON object with gid and {TAG} ({error}) but {_begins(line)}") from None
        if resource_type not in self.handlers:
            if len(self.handlers) >= TYPES:
                self.objects[resource_type] += 1
                return None, text, NONE
            self.handlers[resource_type] = IgnoredType(resource_type)
        handler = self.handlers[resource_type]
        if handler.add_properties(properties.keys()):
            self._compile()
        known, rest = handler.split(properties)
        try:
            record = self._decode(encode(known))
        except (msgspec.MsgspecError, RecursionError) as wrong:
            raise DamagedError(f"it is not as Asana documents ({wrong}) but {_begins(line)}") from None
        if halves:
            logger.warning(
                "%s %s: %d times a text holds half of a character (such as \\ud83d alone), which is U+FFFD in its "
                "records: no target takes it as it is.",
                resource_type,
                getattr(record, "gid", ""),
                halves,
            )
        return record, text, rest

    def _write(self, handler: LineHandler, record: Any, line: memoryview | bytes, rest: Properties) -> None:
        """Write the records of a line; raises DamagedError where a value is beyond what can be written."""
        try:
            handler.write(record, line, rest)
        except TapError:
            raise
        except Exception as error:  # noqa: BLE001 - numbers and depths without bounds, whatever reads them
            raise DamagedError(f"no record can be made of it ({type(error).__name__}: {error})") from None


class ObjectOrigin(msgspec.Struct):
    """What of an object tells its workspace."""

    workspace: Any = None
    organization: Any = None


decode_origin = msgspec.json.Decoder(ObjectOrigin).decode

LINES_TO_ASK = 100


def workspace_of(text: bytes) -> str | None:
    """The gid of the workspace that the first lines of a resource export name; None if they name none."""
    for line in text.split(b"\n", LINES_TO_ASK)[:LINES_TO_ASK]:
        with contextlib.suppress(msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            origin = decode_origin(line)
            if gid := gid_of(origin.workspace) or gid_of(origin.organization):
                return gid
    return None


def without_halves(text: bytes) -> tuple[bytes, int]:
    r"""JSON with U+FFFD in place of each escaped half of a character, and how many there were.

    Text that was cut at some length may end with half an emoji: `"cut \ud83d"` is JSON, but no Unicode.
    """
    halves = 0

    def whole(match: re.Match[bytes]) -> bytes:
        nonlocal halves
        if match[1] is None:
            return match[0]
        halves += 1
        return b"\\ufffd"

    return ESCAPE.sub(whole, text), halves


def _is_utf8(text: memoryview | bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for begin in range(0, len(text), UTF8_SLICE):
            decoder.decode(text[begin : begin + UTF8_SLICE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _begins(line: memoryview | bytes) -> str:
    return f"begins with {bytes(line[:40])!r}"
