"""Flattening as the SDK does it, with what is the same for all records computed once, in half the time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from singer_sdk.singerlib.json import serialize_json

from tap_asana_export.sdk import flatten_key

if TYPE_CHECKING:
    from singer_sdk.mapper import StreamMap

MOST_NAMES = 1000
"""Names of properties within one object whose columns are remembered; objects of Asana's have dozens."""

encode = json.JSONEncoder(separators=(",", ":")).encode


class Flattening:
    """Flattens the records of a stream map.

    Args:
        stream_map: the map; its flattening is enabled.
    """

    def __init__(self, stream_map: StreamMap) -> None:
        options = stream_map.flattening_options
        assert options is not None  # noqa: S101 - it is enabled
        self._separator = options.separator
        self._max_key_length = options.max_key_length
        self._max_level = options.max_level
        self._columns = stream_map.transformed_schema["properties"]
        self._names: dict[tuple[str, ...], dict[str, str]] = {}

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the flattened record, as the SDK's `flatten_record` does."""
        return self._flatten(record, ())

    def _flatten(self, record: dict[str, Any], parents: tuple[str, ...]) -> dict[str, Any]:
        """Flatten an object that is nested in others, whose names are given from the outermost one on."""
        known = self._names.setdefault(parents, {})
        flat: dict[str, Any] = {}
        for name, value in record.items():
            column = known.get(name) or self._column(known, name, parents)
            if isinstance(value, dict) and column not in self._columns and len(parents) < self._max_level:
                flat.update(self._flatten(value, (*parents, name)))
            else:
                flat[column] = as_text(value) if isinstance(value, (dict, list)) else value
        return flat

    def _column(self, known: dict[str, str], name: str, parents: tuple[str, ...]) -> str:
        """The column of a property whose column is not known yet."""
        column = flatten_key(name, [*parents], self._separator, max_key_length=self._max_key_length)
        if len(known) < MOST_NAMES:
            known[name] = column
        return column


def as_text(value: Any) -> str:
    """Return a value as JSON text, the same as the SDK's `serialize_json`, which takes twice as long."""
    try:
        return encode(value)
    except TypeError:  # a number too large for a float is a Decimal
        return serialize_json(value)
