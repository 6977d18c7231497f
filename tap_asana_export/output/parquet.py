"""Records in Parquet files; needs the extra `parquet`.

A column has the type that the schema gives it, the same in every file, since DuckDB, Spark and warehouses read all
files of a stream as one table. A value that this type cannot hold as it is (1.5 among integers, a date in the year
20222) ends the export, with an error that names it. It is not rounded, and not made null: nobody would find it again.
The column is not widened in that one file either: the files would no longer be one table, and whoever reads them would
fail later, with less to go by. The user decides instead: JSON Lines hold any value, and a stream map makes the column
text for good.
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
"""Bytes of JSON Lines in a row group; with four times as many the tap holds 450 MB instead of 290, no faster."""

TYPES: dict[str, Any] = {
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "date-time": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
}
"""By JSON Schema's type or format; all else is text: a string as it is, any other value as JSON."""

MORE = {"_sdc_table_version": "integer", "_sdc_extracted_at": "date-time"}
"""Columns that records have besides if rows have versions."""

DIGITS = 15
"""A number of so many digits comes out of a double as it went in."""

UNFIT = (ValueError, OverflowError, pa.ArrowException, msgspec.MsgspecError)
"""What is raised by what makes columns if a value does not fit."""

decode = msgspec.json.decode
decode_lines = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode_lines


class ParquetFile:
    """A Parquet file that takes lines of JSON.

    Args:
        path: of the file.
        compression: gzip or none.
        schema: JSON Schema of the lines.
        stream: whose records they are.
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
        """Add lines.

        Raises:
            UnfitError: a value does not fit its column.
        """
        self._lines.append(text)
        self._size += len(text)
        if self._size >= ROW_GROUP:
            self._write_group()

    def close(self) -> None:
        """Write the rest; raises as `write` does."""
        if self._lines or self._writer is None:
            self._write_group()
        if self._writer:
            self._writer.close()

    def _write_group(self) -> None:
        rows = decode_lines(b"".join(self._lines))
        self._lines, self._size = [], 0
        if self._writer is None:
            self._columns |= {name: kind for name, kind in MORE.items() if rows and name in rows[0]}
            self._schema = pa.schema({name: TYPES.get(kind, pa.string()) for name, kind in self._columns.items()})
            # Level 1 of gzip: the default takes ten times as long for files that are a few percent smaller.
            level = 1 if self._compression == "gzip" else None
            self._writer = pq.ParquetWriter(
                self._path, self._schema, compression=self._compression, compression_level=level
            )
        arrays = [self._array(rows, name, kind) for name, kind in self._columns.items()]
        self._writer.write_table(pa.ParquetFile.from_arrays(arrays, schema=self._schema))

    def _array(self, rows: Sequence[Mapping[str, msgspec.Raw]], name: str, kind: str) -> Any:
        """A column."""
        texts = [bytes(row[name]) if name in row else b"null" for row in rows]
        try:
            return MAKERS.get(kind, strings)(texts)
        except UNFIT:
            for row, text in zip(rows, texts, strict=True):
                if not fits(text, kind):
                    gids = {each: decode(value) for each, value in row.items() if each.split("_")[-1] == "gid"}
                    raise UnfitError(self._stream, name, gids, kind_of(text), kind) from None
            raise


def column_kind(schema: Mapping[str, Any]) -> str:
    """The type or format that tells a column's type."""
    by_type = {schema["type"]} if isinstance(schema["type"], str) else {*schema["type"]} - {"null"}
    [kind] = by_type if len(by_type) == 1 else [""]
    return str(schema.get("format", kind))


def fits(text: bytes, kind: str) -> bool:
    """Whether a column can hold a value."""
    try:
        MAKERS.get(kind, strings)([text])
    except UNFIT:
        return False
    return True


def kind_of(text: bytes) -> str:
    """What kind of value a JSON text is."""
    by_type = {b'"': "text", b"{": "an object", b"[": "an array", b"t": "true", b"f": "false", b"n": "null"}
    return by_type.get(text[:1], "a number")


def strings(texts: Sequence[bytes]) -> Any:
    """Text; what is no string, and not null, stays the JSON that it is."""
    return pa.array([decode(text) if text[:1] in b'"n' else text.decode() for text in texts], pa.string())


def booleans(texts: Sequence[bytes]) -> Any:
    """True and false."""
    known = {b"true": True, b"false": False, b"null": None}
    if {*texts} - known.keys():
        raise ValueError
    return pa.array([known[text] for text in texts], pa.bool_())


def integers(texts: Sequence[bytes]) -> Any:
    """Integers of 64 bits."""
    values = [decode(text) for text in texts]
    if not {*map(type, values)} <= {int, type(None)}:
        values = [None if text == b"null" else integer(text) for text in texts]
    return pa.array(values, pa.int64())


def integer(text: bytes) -> int:
    """A number that is an integer, though it may not be written as one (`1.0`)."""
    if kind_of(text) != "a number" or (whole := int(decode(text))) != Decimal(text.decode()):
        raise ValueError
    return whole


def numbers(texts: Sequence[bytes]) -> Any:
    """Doubles that come out as the numbers that went in."""
    values = [decode(text) for text in texts]
    if not {*map(type, values)} <= {int, float, type(None)}:
        raise ValueError
    for text, value in zip(texts, values, strict=True):
        if (len(text) > DIGITS or b"e" in text.lower()) and not is_exact(text, float(value)):
            raise ValueError
    return pa.array([None if value is None else float(value) for value in values], pa.float64())


def is_exact(text: bytes, value: float) -> bool:
    """Whether a double is the number that is written, as it stands or as it is usually shown."""
    return Decimal(text.decode()) in {Decimal(value), Decimal(repr(value))}


def temporal(kind: str) -> Callable[[Sequence[bytes]], Any]:
    """Dates, or times with a zone."""

    def make(texts: Sequence[bytes]) -> Any:
        return pa.array([decode(text) for text in texts], pa.string()).cast(TYPES[kind])

    return make


MAKERS: dict[str, Callable[[Sequence[bytes]], Any]] = {
    "boolean": booleans,
    "integer": integers,
    "number": numbers,
    "date-time": temporal("date-time"),
    "date": temporal("date"),
}
"""By kind, what makes a column out of JSON texts; each raises if one of them does not fit."""
