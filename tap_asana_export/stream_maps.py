"""Reads the settings of stream maps and flattening."""

from __future__ import annotations

import copy
import difflib
import fnmatch
import logging
from typing import TYPE_CHECKING, Any

from singer_sdk.mapper import PluginMapper, RemoveRecordTransform

from tap_asana_export.errors import SettingError
from tap_asana_export.records import selected_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from singer_sdk import Stream

    from tap_asana_export.settings import Settings

logger = logging.getLogger(__name__)


def map_streams(settings: Settings, streams: Mapping[str, Stream]) -> PluginMapper:
    """Return the SDK's mapper, with the settings' maps and flattening for the selected streams.

    Args:
        settings: the tap's settings.
        streams: all streams by name.

    Raises:
        SettingError: a map cannot be used, maps no stream, or gives a stream the name of another one.
    """
    config: dict[str, Any] = {name: copy.deepcopy(value) for name, value in settings.items() if value is not None}
    _check_sources(config.get("stream_maps", {}), streams)
    try:
        mapper = PluginMapper(config, logger)
        for name, stream in streams.items():
            if stream.selected:
                mapper.register_raw_stream_schema(name, selected_schema(stream), stream.primary_keys)
    except Exception as error:  # noqa: BLE001 - a map's expression is Python code, which may raise anything
        raise SettingError(f"Setting stream_maps: {str(error).rstrip('.')}. Correct the map.") from None
    _check_names(mapper)
    return mapper


def _check_sources(stream_maps: Mapping[str, Any], streams: Mapping[str, Stream]) -> None:
    """Check that each map is of a stream that exists.

    Raises:
        SettingError: one is not.
    """
    for name, stream_map in stream_maps.items():
        source = stream_map.get("__source__", name) if isinstance(stream_map, dict) else name
        if name != "__else__" and not fnmatch.filter(streams, source):
            close = difflib.get_close_matches(source, streams, n=1)
            meant = f"; perhaps {close[0]}?" if close else f"; there are {', '.join(streams)}."
            raise SettingError(f"Setting stream_maps: it maps a stream {source!r}, which there is not{meant}")


def _check_names(mapper: PluginMapper) -> None:
    """Check that the maps give each stream a name of its own.

    Raises:
        SettingError: a name is no text, or two streams would have the same one.
    """
    stream_of: dict[str, str] = {}
    maps = [(name, each) for name, all_maps in mapper.stream_maps.items() for each in all_maps]
    for stream_name, each in maps:
        if isinstance(each, RemoveRecordTransform):
            continue
        alias = each.stream_alias
        if not isinstance(alias, str) or not alias:
            raise SettingError(f"Setting stream_maps: the name that it gives {stream_name} is no text. Correct it.")
        if alias in stream_of:
            raise SettingError(
                f"Setting stream_maps: records of {stream_of[alias]} and of {stream_name} would both be of a stream "
                f"{alias!r}. Give one of them another name."
            )
        stream_of[alias] = stream_name
