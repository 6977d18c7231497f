"""Buffers for the records of one stream name: as text, or as rows for formats that have columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

encode_into = msgspec.json.Encoder().encode_into


class RecordBuffer(Protocol):
    """Takes the records of one stream name."""

    @property
    def appended(self) -> bytes:
        """JSON text of properties appended to each record, starting with a comma; may be empty."""

    def add(self, record: msgspec.Struct, added: bytes, tag_length: int = 0) -> None:
        """Add a record.

        Args:
            record: a Struct whose values are JSON text, but for some that are `str`.
            added: JSON text that follows the Struct's properties: a comma, more properties, and the closing brace.
            tag_length: length of the text of the Struct's first property, if the record is not to have it.
        """

    def add_whole(self, record: msgspec.Struct, text: memoryview | bytes, added: bytes) -> None:
        """Add a record of which nothing is left out.

        Args:
            record: as for `add`.
            text: the same record as JSON text, with the closing brace at its end.
            added: as for `add`.
        """

    def add_all(self, records: Iterable[msgspec.Struct], added: bytes) -> None:
        """Add records that have the same properties added. Each must have a property at least."""

    def add_text(self, text: bytes) -> None:
        """Add a record that is JSON text, without what is appended."""


class TextBuffer:
    """The text of records.

    Args:
        out: the text so far; several buffers may share it.
        before: text before each record, such as the beginning of a RECORD message.
        appended: JSON text of properties appended to each record, starting with a comma; may be empty.
        after: text after each record, ending with a line break.

    Attributes:
        out: as given.
        count: number of records so far.
    """

    def __init__(self, out: bytearray, before: bytes, appended: bytes, after: bytes) -> None:
        self.out = out
        self.count = 0
        self._before = before
        self.appended = appended
        self._after = after

    @property
    def size(self) -> int:
        """Bytes of text so far."""
        return len(self.out)

    def add(self, record: msgspec.Struct, added: bytes, tag_length: int = 0) -> None:
        """Add a record; see `RecordBuffer.add`."""
        out = self.out
        self.count += 1
        out += self._before
        start = len(out)
        encode_into(record, out, start)
        out[-1:] = added if len(out) > start + len("{}") else added.removeprefix(b",")
        out += self._after
        if tag_length:
            del out[start + 1 : start + 1 + tag_length]

    def add_whole(self, record: msgspec.Struct, text: memoryview | bytes, added: bytes) -> None:  # noqa: ARG002 - as in RecordBuffer
        """Add a record of which nothing is left out, by its text."""
        self._splice(text, added)

    def add_all(self, records: Iterable[msgspec.Struct], added: bytes) -> None:
        """Add records in one go; see `RecordBuffer.add_all`."""
        out, before = self.out, self._before
        between = added + self._after + before
        out += before
        for record in records:
            encode_into(record, out, len(out))
            out.pop()
            out += between
            self.count += 1
        del out[len(out) - len(before) :]

    def add_text(self, text: bytes) -> None:
        """Add a record that is JSON text."""
        self._splice(text, self.appended + b"}")

    def _splice(self, text: memoryview | bytes, added: bytes) -> None:
        """Add the text of an object, with what is added in place of its closing brace."""
        out = self.out
        self.count += 1
        out += self._before
        out += text[:-1]
        out += added
        out += self._after

    def take(self) -> bytes:
        """Return the text so far, and begin anew."""
        text = bytes(self.out)
        self.out.clear()
        self.count = 0
        return text


class JsonRow(msgspec.Struct, gc=False):
    """A record for a format that has columns.

    Attributes:
        names: names of its properties.
        values: their values: JSON text, or `str`.
        added: JSON text of further properties, as `RecordBuffer.add` has it.
        size: bytes of its text, or of its values where it comes without.
    """

    names: tuple[str, ...]
    values: tuple[Any, ...]
    added: bytes
    size: int


class RowBuffer:
    """Records as rows.

    To pass values on spares encoding them to lines and finding them again there, which would take as long as all else.

    Attributes:
        size: bytes of JSON text so far.
    """

    def __init__(self, appended: bytes) -> None:
        self.appended = appended
        self.size = 0
        self._rows: list[JsonRow] = []

    @property
    def count(self) -> int:
        """Number of records so far."""
        return len(self._rows)

    def add(self, record: msgspec.Struct, added: bytes, tag_length: int = 0) -> None:  # noqa: ARG002 - as in RecordBuffer
        """Add a record. A column without a place in the schema is left out by the file."""
        values = msgspec.structs.astuple(record)
        self._add(record.__struct_encode_fields__, values, added, sum(map(len, values)))

    def add_whole(self, record: msgspec.Struct, text: memoryview | bytes, added: bytes) -> None:
        """Add a record of which nothing is left out, by its values."""
        self._add(record.__struct_encode_fields__, msgspec.structs.astuple(record), added, len(text))

    def add_all(self, records: Iterable[msgspec.Struct], added: bytes) -> None:
        """Add records that have the same properties added."""
        for record in records:
            self.add(record, added)

    def add_text(self, text: bytes) -> None:
        """Add a record that is JSON text."""
        properties = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        self._add((*properties,), (*properties.values(),), self.appended + b"}", len(text))

    def _add(self, names: tuple[str, ...], values: tuple[Any, ...], added: bytes, size: int) -> None:
        """Add a row."""
        self._rows.append(JsonRow(names, values, added, size))
        self.size += size

    def take(self) -> list[JsonRow]:
        """Return the rows so far, and begin anew."""
        rows, self._rows = self._rows, []
        self.size = 0
        return rows
