"""Writes Parquet files; needs the extra `parquet`.

A column has the type that the schema gives it, the same in every file, since DuckDB, Spark and warehouses read all
files of a stream as one table. A value that this type cannot hold (1.5 among integers, a date in the year 20222) ends
the export with an error that names it. Rounded, or made null, it would be lost unnoticed. With a wider type in that
one file, the files would no longer be one table, and their readers would fail later, with less to go by. So the user
decides: JSON Lines hold any value, and a stream map can turn the column into text for good.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from tap_asana_export.errors import UnfitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

ROW_GROUP = 1 << 23
"""Bytes of JSON Lines in a row group. Four times as many take 450 MB of memory instead of 290 and save no time."""

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

EXACT_DIGITS = 15
"""Every decimal number of up to so many digits survives the way through a double."""

UNFIT = (ValueError, OverflowError, pa.ArrowException, msgspec.MsgspecError)
"""What the functions in `ARRAY_MAKERS` raise if a value does not fit its column."""

decode = msgspec.json.decode
decode_lines = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode_lines


class ParquetFile:
    """A Parquet file with records that come as JSON Lines.

    Args:
        path: path of the file.
        compression: `gzip` or `none`.
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
        rows = decode_lines(b"".join(self._lines))
        self._lines, self._size = [], 0
        if self._writer is None:
            self._columns |= {name: kind for name, kind in VERSION_COLUMNS.items() if rows and name in rows[0]}
            self._schema = pa.schema({name: ARROW_TYPES.get(kind, pa.string()) for name, kind in self._columns.items()})
            # gzip's default level takes ten times as long, for files that are a few percent smaller.
            level = 1 if self._compression == "gzip" else None
            self._writer = pq.ParquetWriter(
                self._path, self._schema, compression=self._compression, compression_level=level
            )
        arrays = [self._array(rows, name, kind) for name, kind in self._columns.items()]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def _array(self, rows: Sequence[Mapping[str, msgspec.Raw]], name: str, kind: str) -> Any:
        """Make a column.

        Raises:
            UnfitError: a value does not fit.
        """
        texts = [bytes(row[name]) if name in row else b"null" for row in rows]
        try:
            return ARRAY_MAKERS.get(kind, string_array)(texts)
        except UNFIT:
            for row, text in zip(rows, texts, strict=True):
                if not fits(text, kind):
                    gids = {each: decode(value) for each, value in row.items() if each.split("_")[-1] == "gid"}
                    raise UnfitError(self._stream, name, gids, json_type_of(text), kind) from None
            raise


def column_kind(schema: Mapping[str, Any]) -> str:
    """Return the JSON Schema type or format that decides on a column's type; empty for several types."""
    by_type = {schema["type"]} if isinstance(schema["type"], str) else {*schema["type"]} - {"null"}
    [kind] = by_type if len(by_type) == 1 else [""]
    return str(schema.get("format", kind))


def fits(text: bytes, kind: str) -> bool:
    """Whether a column of some kind can hold a value."""
    try:
        ARRAY_MAKERS.get(kind, string_array)([text])
    except UNFIT:
        return False
    return True


def json_type_of(text: bytes) -> str:
    """Name the type of a JSON value, for errors."""
    by_type = {b'"': "text", b"{": "an object", b"[": "an array", b"t": "true", b"f": "false", b"n": "null"}
    return by_type.get(text[:1], "a number")


def string_array(texts: Sequence[bytes]) -> Any:
    """Make a column of text: strings as they are, other values but null as JSON."""
    return pa.array([decode(text) if text[:1] in b'"n' else text.decode() for text in texts], pa.string())


def boolean_array(texts: Sequence[bytes]) -> Any:
    """Make a column of booleans."""
    known = {b"true": True, b"false": False, b"null": None}
    if {*texts} - known.keys():
        raise ValueError
    return pa.array([known[text] for text in texts], pa.bool_())


def integer_array(texts: Sequence[bytes]) -> Any:
    """Make a column of 64-bit integers."""
    values = [decode(text) for text in texts]
    if not {*map(type, values)} <= {int, type(None)}:
        values = [None if text == b"null" else parse_integer(text) for text in texts]
    return pa.array(values, pa.int64())


def parse_integer(text: bytes) -> int:
    """Return an integer that may be written otherwise, such as `1.0`.

    Raises:
        ValueError: the value is no integer.
    """
    if json_type_of(text) != "a number" or (whole := int(decode(text))) != Decimal(text.decode()):
        raise ValueError
    return whole


def number_array(texts: Sequence[bytes]) -> Any:
    """Make a column of doubles, if each of them is exactly the number that Asana sent."""
    values = [decode(text) for text in texts]
    if not {*map(type, values)} <= {int, float, type(None)}:
        raise ValueError
    for text, value in zip(texts, values, strict=True):
        if (len(text) > EXACT_DIGITS or b"e" in text.lower()) and not is_exact(text, float(value)):
            raise ValueError
    return pa.array([None if value is None else float(value) for value in values], pa.float64())


def is_exact(text: bytes, value: float) -> bool:
    """Whether a double is the number in a text, by its exact value or by the shortest text for it."""
    return Decimal(text.decode()) in {Decimal(value), Decimal(repr(value))}


def temporal_array(kind: str) -> Callable[[Sequence[bytes]], Any]:
    """Return a function that makes a column of dates, or of times in UTC."""

    def make(texts: Sequence[bytes]) -> Any:
        return pa.array([decode(text) for text in texts], pa.string()).cast(ARROW_TYPES[kind])

    return make


ARRAY_MAKERS: dict[str, Callable[[Sequence[bytes]], Any]] = {
    "boolean": boolean_array,
    "integer": integer_array,
    "number": number_array,
    "date-time": temporal_array("date-time"),
    "date": temporal_array("date"),
}
"""Functions that make a column of JSON texts, by kind; each raises one of `UNFIT` if a text does not fit."""
