"""Writes Parquet files; needs the extra `parquet`.

A column has the type that the schema gives it, the same in every file, since DuckDB, Spark and warehouses read all
files of a stream as one table. A value that this type cannot hold (1.5 among integers, a date in the year 20222) ends
the export with an error that names it. Rounded, or made null, it would be lost unnoticed. With a wider type in that
one file, the files would no longer be one table, and their readers would fail later, with less to go by. So the user
decides: JSON Lines hold any value, and a stream map can turn the column into text for good.

Records come as rows of JSON texts. The texts of a whole column become an array at once: objects and arrays stay text,
others are decoded as one JSON array.
"""

from __future__ import annotations

import functools
import itertools
import operator
import re
from array import array
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tap_asana_export.errors import UnfitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from tap_asana_export.output.buffers import JsonRow

ROW_GROUP = 5 << 19
"""Bytes of JSON text in a row group. Twice as many take 20 MB more memory."""

LEVELS = {"gzip": 1, "zstd": 1}
"""Levels of compression. gzip's default one takes ten times as long, for files that are a few percent smaller."""

ARROW_TYPES: dict[str, Any] = {
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "date-time": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
}
"""Column types by type or format of JSON Schema. Other columns are text: strings as they are, other values as JSON."""

VERSION_COLUMNS = {"_sdc_table_version": "integer", "_sdc_extracted_at": "date-time"}
"""Columns that `BatchFiles.buffer` appends to records with a version."""

LONG_NUMBER = re.compile(rb"[-.\d]{16}|[eE]")
"""Finds numbers that a double may not hold: every decimal number of 15 digits survives the way through one."""

UNFIT = (ValueError, OverflowError, pa.ArrowException, msgspec.MsgspecError)
"""What the functions in `ARRAY_MAKERS` raise if a value does not fit its column."""

ABSENT: Any = msgspec.Raw(b"null")

Texts: TypeAlias = "Sequence[msgspec.Raw | bytes]"
"""JSON texts of a column's values."""

IS_GID = re.compile(r"(.*_)?gid").fullmatch
"""Tells columns that errors name."""

decode = msgspec.json.decode
encode = msgspec.json.encode
decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
decode_properties = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
decode_booleans = msgspec.json.Decoder(list[bool | None]).decode
decode_integers = msgspec.json.Decoder(list[int | None]).decode
decode_numbers = msgspec.json.Decoder(list[float | None]).decode
decode_strings = msgspec.json.Decoder(list[str | None]).decode


class ParquetFile:
    """A Parquet file.

    Args:
        path: path of the file.
        compression: `zstd`, `snappy`, `gzip` or `none`.
        schema: JSON Schema of the records.
        stream: name of the records' stream, for errors.
    """

    def __init__(self, path: Path, compression: str, schema: Mapping[str, Any], stream: str) -> None:
        self._path = path
        self._compression = compression
        self._kinds = {name: column_kind(each) for name, each in schema["properties"].items()}
        self._stream = stream
        self._columns: dict[str, Column] = {}
        self._size = 0
        self._writer: pq.ParquetWriter | None = None

    def add(self, rows: Sequence[JsonRow]) -> Callable[[], None] | None:
        """Add rows, and return what writes a row group once there are enough of them.

        Raises:
            UnfitError: a value does not fit its column.
        """
        if self._writer is None:
            self._open(properties_of(rows[0].added))
        for name, texts in texts_by_column(rows, self._columns).items():
            self._size += self._columns[name].append(texts)
        return self._row_group() if self._size >= ROW_GROUP else None

    def close(self) -> None:
        """Write what is buffered, and close the file.

        Raises:
            UnfitError: a value does not fit its column.
        """
        if self._size:
            self._row_group()()
        if self._writer:
            self._writer.close()

    def _open(self, added: Mapping[str, msgspec.Raw]) -> None:
        """Open the file, with the columns of a version if the first record has them."""
        self._kinds |= {name: kind for name, kind in VERSION_COLUMNS.items() if name in added}
        self._columns = {name: Column(kind) for name, kind in self._kinds.items()}
        self._schema = pa.schema({name: ARROW_TYPES.get(kind, pa.string()) for name, kind in self._kinds.items()})
        level = LEVELS.get(self._compression)
        self._writer = pq.ParquetWriter(
            self._path, self._schema, compression=self._compression, compression_level=level
        )

    def _row_group(self) -> Callable[[], None]:
        """Make a row group of the rows so far, and return what writes it."""
        arrays = [self._array(name, column) for name, column in self._columns.items()]
        self._columns = {name: Column(kind) for name, kind in self._kinds.items()}
        self._size = 0
        table = pa.Table.from_arrays(arrays, schema=self._schema)
        return partial(self._writer.write_table, table)  # type: ignore[union-attr]

    def _array(self, name: str, column: Column) -> Any:
        """Make a column.

        Raises:
            UnfitError: a value does not fit.
        """
        try:
            return column.array()
        except UNFIT:
            for row, text in enumerate(column.texts()):
                if not fits(text, column.kind):
                    gids = {each: self._columns[each].texts()[row] for each in self._columns if IS_GID(each)}
                    known = {each: decode(gid) for each, gid in gids.items() if gid != b"null"}
                    raise UnfitError(self._stream, name, known, json_type_of(text), column.kind) from None
            raise


class Column:
    """The values of one column of a row group, as JSON.

    Objects and arrays stay JSON: their texts are joined, and the column is that text with the offsets. Other values are
    joined by commas, so that they can be decoded at once.

    Args:
        kind: what `column_kind` returns.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._is_nested = kind in {"array", "object"}
        self._separator = b"" if self._is_nested else b","
        self._pieces: list[bytes] = []
        self.lengths = array("i")

    def append(self, texts: Texts) -> int:
        """Append values, and return the number of bytes that they take."""
        piece = self._separator.join(texts)
        self._pieces.append(piece)
        if self._is_nested:
            self.lengths.extend(map(len, texts))
        return len(piece) + len(texts)

    def joined(self) -> bytes:
        """Return the text of all values."""
        return self._separator.join(self._pieces)

    def as_json(self) -> bytes:
        """Return a JSON array of all values that are neither objects nor arrays."""
        return b"[%b]" % self.joined()

    def texts(self) -> list[bytes]:
        """Return the text of each value."""
        if not self._is_nested:
            return [bytes(each) for each in decode_raws(self.as_json())]
        text, ends = self.joined(), [*itertools.accumulate(self.lengths)]
        return [text[end - length : end] for end, length in zip(ends, self.lengths, strict=True)]

    def array(self) -> Any:
        """Make the column; raises one of `UNFIT` if a value does not fit it."""
        return ARRAY_MAKERS.get(self.kind, string_array)(self)


def texts_by_column(rows: Sequence[JsonRow], names: Iterable[str]) -> dict[str, list[Any]]:
    """Return the JSON texts of the rows' values by name of the column."""
    found: dict[str, list[Any]] = {name: [] for name in names}
    for properties, alike in itertools.groupby(rows, key=operator.attrgetter("names")):
        of_them = [*alike]
        columns = dict(zip(properties, zip(*(row.values for row in of_them), strict=True), strict=True))
        further = [properties_of(row.added) for row in of_them]
        also_added = {name for added in {row.added for row in of_them} for name in properties_of(added)}
        for name, texts in found.items():
            if name in also_added:
                texts.extend(each.get(name, ABSENT) for each in further)
            elif name not in columns:
                texts.extend(itertools.repeat(ABSENT, len(further)))
            elif isinstance(columns[name][0], str):
                texts.extend(map(encode, columns[name]))
            else:
                texts.extend(columns[name])
    return found


@functools.lru_cache
def properties_of(added: bytes) -> dict[str, msgspec.Raw]:
    """Return the properties in the text that is added to a record."""
    return decode_properties(b"{" + added.removeprefix(b","))


def column_kind(schema: Mapping[str, Any]) -> str:
    """Return the JSON Schema type or format that decides on a column's type; empty for several types."""
    by_type = {schema["type"]} if isinstance(schema["type"], str) else {*schema["type"]} - {"null"}
    [kind] = by_type if len(by_type) == 1 else [""]
    return str(schema.get("format", kind))


def is_utf8(text: memoryview | bytes, most: int) -> bool:  # noqa: ARG001 - as in `unicode.is_utf8`
    """Whether text is UTF-8, checked at once: that takes a sixth of the time that `unicode.is_utf8` takes."""
    offsets = pa.py_buffer(array("i", [0, len(text)]))
    try:
        pa.StringArray.from_buffers(1, offsets, pa.py_buffer(text)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def fits(text: bytes, kind: str) -> bool:
    """Whether a column of some kind can hold a value."""
    column = Column(kind)
    column.append([text])
    try:
        column.array()
    except UNFIT:
        return False
    return True


def json_type_of(text: bytes) -> str:
    """Name the type of a JSON value, for errors."""
    by_type = {b'"': "text", b"{": "an object", b"[": "an array", b"t": "true", b"f": "false", b"n": "null"}
    return by_type.get(text[:1], "a number")


# ── arrays ───────────────────────────────────────────────────────────────────────────────────────────────


def string_array(column: Column) -> Any:
    """Make an array of strings."""
    try:
        return pa.array(decode_strings(column.as_json()), pa.string())
    except msgspec.ValidationError:
        return mixed_array(column)


def mixed_array(column: Column) -> Any:
    """Make an array of strings as they are, and of other values but null as JSON."""
    values = (decode(text) if text[:1] in b'"n' else text.decode() for text in column.texts())
    return pa.array(values, pa.string())


def nested_array(column: Column) -> Any:
    """Make an array of objects or arrays as JSON."""
    rows, joined = len(column.lengths), column.joined()
    if joined == rows * b"null":  # as many columns are, of most tasks
        return pa.nulls(rows, pa.string())
    text = pa.py_buffer(joined)
    offsets = pa.py_buffer(array("i", itertools.accumulate(column.lengths, initial=0)))
    values = pa.StringArray.from_buffers(rows, offsets, text)
    if pc.any(pc.starts_with(values, '"')).as_py():
        return mixed_array(column)
    _, is_value = pc.not_equal(values, "null").buffers()
    return pa.StringArray.from_buffers(rows, offsets, text, is_value)


def boolean_array(column: Column) -> Any:
    """Make an array of booleans."""
    return pa.array(decode_booleans(column.as_json()), pa.bool_())


def integer_array(column: Column) -> Any:
    """Make an array of 64-bit integers, which may be written otherwise, such as `1.0`."""
    try:
        values = decode_integers(column.as_json())
    except msgspec.ValidationError:
        values = [None if text == b"null" else parse_integer(text) for text in column.texts()]
    return pa.array(values, pa.int64())


def parse_integer(text: bytes) -> int:
    """Return an integer that may be written otherwise.

    Raises:
        ValueError: the value is no integer.
    """
    if json_type_of(text) != "a number" or (whole := int(decode(text))) != Decimal(text.decode()):
        raise ValueError
    return whole


def number_array(column: Column) -> Any:
    """Make an array of doubles, if each of them is exactly the number that Asana sent."""
    values = decode_numbers(column.as_json())
    if LONG_NUMBER.search(column.joined()):
        for text, value in zip(column.texts(), values, strict=True):
            if value is not None and not is_exact(text, value):
                raise ValueError
    return pa.array(values, pa.float64())


def is_exact(text: bytes, value: float) -> bool:
    """Whether a double is the number in a text, by its exact value or by the shortest text for it."""
    return Decimal(text.decode()) in {Decimal(value), Decimal(repr(value))}


def temporal_array(column: Column) -> Any:
    """Make an array of dates, or of times in UTC."""
    return pa.array(decode_strings(column.as_json()), pa.string()).cast(ARROW_TYPES[column.kind])


ARRAY_MAKERS: dict[str, Callable[[Column], Any]] = {
    "array": nested_array,
    "object": nested_array,
    "boolean": boolean_array,
    "integer": integer_array,
    "number": number_array,
    "date-time": temporal_array,
    "date": temporal_array,
}
"""Functions that make an array of a column, by kind; each raises one of `UNFIT` if a value does not fit."""
