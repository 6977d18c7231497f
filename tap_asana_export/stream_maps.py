"""Reads the settings of stream maps and flattening."""

from __future__ import annotations

import copy
import difflib
import fnmatch
import logging
from typing import TYPE_CHECKING, Any

from singer_sdk.mapper import PluginMapper, RemoveRecordTransform
from singer_sdk.singerlib import Schema

from tap_asana_export.errors import SettingError
from tap_asana_export.sdk import get_selected_schema

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
    given: dict[str, Any] = {name: copy.deepcopy(value) for name, value in settings.items() if value is not None}
    for name, stream_map in given.get("stream_maps", {}).items():
        source = stream_map.get("__source__", name) if isinstance(stream_map, dict) else name
        if name != "__else__" and not fnmatch.filter(streams, source):
            close = difflib.get_close_matches(source, streams, n=1)
            meant = f"; perhaps {close[0]}?" if close else f"; there are {', '.join(streams)}."
            raise SettingError(f"Setting stream_maps: it maps a stream {source!r}, which there is not{meant}")
    try:
        mapper, plain = (PluginMapper(config, logger) for config in (given, {**given, "stream_maps": {}}))
        for name, stream in streams.items():
            # Only Singer's own keywords, without x-asana-opt-in.
            schema = Schema.from_dict(stream.effective_schema).to_dict()
            selected = get_selected_schema(name, schema, stream.mask)
            of_stream = mapper if stream.selected else plain
            of_stream.register_raw_stream_schema(name, selected, stream.primary_keys)
    except Exception as error:  # noqa: BLE001 - a map's expression is Python code, which may raise anything
        raise SettingError(f"Setting stream_maps: {str(error).rstrip('.')}. Correct the map.") from None
    maps = [(name, each) for name, all_maps in mapper.stream_maps.items() for each in all_maps]
    of_names: dict[str, str] = {}
    for stream_name, each in maps:
        if isinstance(each, RemoveRecordTransform):
            continue
        alias = each.stream_alias
        if not isinstance(alias, str) or not alias:
            raise SettingError(f"Setting stream_maps: the name that it gives {stream_name} is no text. Correct it.")
        if alias in of_names:
            raise SettingError(
                f"Setting stream_maps: records of {of_names[alias]} and of {stream_name} would both be of a stream "
                f"{alias!r}. Give one of them another name."
            )
        of_names[alias] = stream_name
    mapper.stream_maps |= plain.stream_maps
    return mapper
