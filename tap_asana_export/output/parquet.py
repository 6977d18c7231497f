"""Writes Parquet files; needs the extra `parquet`.

A column has the type that the schema gives it, the same in every file, since DuckDB, Spark and warehouses read all
files of a stream as one table. A value that this type cannot hold (1.5 among integers, a date in the year 20222) ends
the export with an error that names it. Rounded, or made null, it would be lost unnoticed. With a wider type in that
one file, the files would no longer be one table, and their readers would fail later, with less to go by. So the user
decides: JSON Lines hold any value, and a stream map can turn the column into text for good.

Lines are decoded into Structs whose values stay JSON text, and the text of a whole column becomes an array at once:
objects and arrays stay that text, other columns are decoded as a JSON array of one type.
"""

from __future__ import annotations

import itertools
import re
from array import array
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tap_asana_export.errors import UnfitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

ROW_GROUP = 1 << 22
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

Texts: TypeAlias = "Sequence[msgspec.Raw]"
"""The JSON texts of a column."""

# Arrow's usual allocator keeps some 25 MB more of what is freed.
pa.set_memory_pool(pa.system_memory_pool())

decode = msgspec.json.decode
decode_properties = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
decode_booleans = msgspec.json.Decoder(list[bool | None]).decode
decode_integers = msgspec.json.Decoder(list[int | None]).decode
decode_numbers = msgspec.json.Decoder(list[float | None]).decode
decode_strings = msgspec.json.Decoder(list[str | None]).decode


class ParquetFile:
    """A Parquet file with records that come as JSON Lines.

    Args:
        path: path of the file.
        compression: `zstd`, `snappy`, `gzip` or `none`.
        schema: JSON Schema of the records.
        stream: name of the records' stream, for errors.
    """

    def __init__(self, path: Path, compression: str, schema: Mapping[str, Any], stream: str) -> None:
        self._path = path
        self._compression = compression
        self._columns = {name: column_kind(each) for name, each in schema["properties"].items()}
        self._stream = stream
        self._lines: list[bytes] = []
        self._size = 0
        self._writer: pq.ParquetWriter | None = None

    def write(self, text: bytes) -> None:
        """Append whole lines.

        Raises:
            UnfitError: a value does not fit its column.
        """
        self._lines.append(text)
        self._size += len(text)
        if self._size >= ROW_GROUP:
            self._write_group()

    def close(self) -> None:
        """Write what is buffered, and close the file.

        Raises:
            UnfitError: a value does not fit its column.
        """
        if self._lines or self._writer is None:
            self._write_group()
        if self._writer:
            self._writer.close()

    def _write_group(self) -> None:
        text = b"".join(self._lines)
        self._lines, self._size = [], 0
        writer = self._writer or self._open(text)
        rows = map(msgspec.structs.astuple, self._decode_lines(text))
        columns = dict(zip(self._columns, zip(*rows, strict=True), strict=False))
        arrays = [self._array(columns, name, kind) for name, kind in self._columns.items()]
        writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def _open(self, text: bytes) -> pq.ParquetWriter:
        """Open the file, with the columns of a version if the first line has them."""
        first = decode_properties(text.partition(b"\n")[0]) if text else {}
        self._columns |= {name: kind for name, kind in VERSION_COLUMNS.items() if name in first}
        self._decode_lines = msgspec.json.Decoder(line_struct(self._columns)).decode_lines
        self._schema = pa.schema({name: ARROW_TYPES.get(kind, pa.string()) for name, kind in self._columns.items()})
        self._writer = pq.ParquetWriter(
            self._path,
            self._schema,
            compression=self._compression,
            compression_level=LEVELS.get(self._compression),
        )
        return self._writer

    def _array(self, columns: Mapping[str, Texts], name: str, kind: str) -> Any:
        """Make a column.

        Raises:
            UnfitError: a value does not fit.
        """
        texts = columns.get(name, ())
        try:
            return make_array(texts, kind)
        except UNFIT:
            for row, text in enumerate(texts):
                if not fits(text, kind):
                    gids = {each: decode(columns[each][row]) for each in columns if each.split("_")[-1] == "gid"}
                    known = {each: gid for each, gid in gids.items() if gid is not None}
                    raise UnfitError(self._stream, name, known, json_type_of(text), kind) from None
            raise


def column_kind(schema: Mapping[str, Any]) -> str:
    """Return the JSON Schema type or format that decides on a column's type; empty for several types."""
    by_type = {schema["type"]} if isinstance(schema["type"], str) else {*schema["type"]} - {"null"}
    [kind] = by_type if len(by_type) == 1 else [""]
    return str(schema.get("format", kind))


def line_struct(names: Iterable[str]) -> type[msgspec.Struct]:
    """Define a Struct for lines with these properties, whose values stay JSON text."""
    fields = {f"field_{number}": name for number, name in enumerate(names)}
    return msgspec.defstruct("Line", [(field, msgspec.Raw, ABSENT) for field in fields], rename=fields, gc=False)


def fits(text: msgspec.Raw, kind: str) -> bool:
    """Whether a column of some kind can hold a value."""
    try:
        make_array([text], kind)
    except UNFIT:
        return False
    return True


def json_type_of(text: msgspec.Raw) -> str:
    """Name the type of a JSON value, for errors."""
    by_type = {b'"': "text", b"{": "an object", b"[": "an array", b"t": "true", b"f": "false", b"n": "null"}
    return by_type.get(bytes(text)[:1], "a number")


# ── columns ──────────────────────────────────────────────────────────────────────────────────────────────


def make_array(texts: Texts, kind: str) -> Any:
    """Make a column of some kind; raises one of `UNFIT` if a value does not fit it."""
    if texts.count(ABSENT) == len(texts):
        return pa.nulls(len(texts), ARROW_TYPES.get(kind, pa.string()))
    return ARRAY_MAKERS.get(kind, string_array)(texts)


def json_array(texts: Texts) -> bytes:
    """Return the JSON text of an array of all values."""
    return b"[%b]" % b",".join(texts)


def string_array(texts: Texts) -> Any:
    """Make a column of text: strings as they are, other values but null as JSON."""
    try:
        return pa.array(decode_strings(json_array(texts)), pa.string())
    except msgspec.ValidationError:
        values = [decode(text) if bytes(text)[:1] in b'"n' else bytes(text).decode() for text in texts]
        return pa.array(values, pa.string())


def nested_array(texts: Texts) -> Any:
    """Make a column of objects or arrays as JSON; it is the text itself, with the offset of each value."""
    text = pa.py_buffer(b"".join(texts))
    offsets = pa.py_buffer(array("i", itertools.accumulate(map(len, texts), initial=0)))
    values = pa.StringArray.from_buffers(len(texts), offsets, text)
    if pc.any(pc.starts_with(values, '"')).as_py():
        return string_array(texts)
    _, is_value = pc.not_equal(values, "null").buffers()
    return pa.StringArray.from_buffers(len(texts), offsets, text, is_value)


def boolean_array(texts: Texts) -> Any:
    """Make a column of booleans."""
    return pa.array(decode_booleans(json_array(texts)), pa.bool_())


def integer_array(texts: Texts) -> Any:
    """Make a column of 64-bit integers, which may be written otherwise, such as `1.0`."""
    try:
        return pa.array(decode_integers(json_array(texts)), pa.int64())
    except msgspec.ValidationError:
        return pa.array([None if text == ABSENT else parse_integer(bytes(text)) for text in texts], pa.int64())


def parse_integer(text: bytes) -> int:
    """Return an integer that may be written otherwise, such as `1.0`.

    Raises:
        ValueError: the value is no integer.
    """
    if text[:1] not in b"-0123456789" or (whole := int(decode(text))) != Decimal(text.decode()):
        raise ValueError
    return whole


def number_array(texts: Texts) -> Any:
    """Make a column of doubles, if each of them is exactly the number that Asana sent."""
    values = decode_numbers(whole := json_array(texts))
    if LONG_NUMBER.search(whole):
        for text, value in zip(texts, values, strict=True):
            if value is not None and not is_exact(bytes(text), value):
                raise ValueError
    return pa.array(values, pa.float64())


def is_exact(text: bytes, value: float) -> bool:
    """Whether a double is the number in a text, by its exact value or by the shortest text for it."""
    return Decimal(text.decode()) in {Decimal(value), Decimal(repr(value))}


def temporal_array(kind: str) -> Callable[[Texts], Any]:
    """Return a function that makes a column of dates, or of times in UTC."""

    def make(texts: Texts) -> Any:
        return pa.array(decode_strings(json_array(texts)), pa.string()).cast(ARROW_TYPES[kind])

    return make


ARRAY_MAKERS: dict[str, Callable[[Texts], Any]] = {
    "array": nested_array,
    "object": nested_array,
    "boolean": boolean_array,
    "integer": integer_array,
    "number": number_array,
    "date-time": temporal_array("date-time"),
    "date": temporal_array("date"),
}
"""Functions that make a column of JSON texts, by kind; each raises one of `UNFIT` if a text does not fit."""
