"""Catalogs: what is selected, and what is said of one that cannot be used."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from singer_sdk.singerlib import Catalog, Metadata, MetadataMapping

from tap_asana_export.errors import SettingError
from tap_asana_export.records.selection import Breadcrumb, properties, without_items

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from singer_sdk import Stream


def complete(
    metadata: MetadataMapping, schema: Mapping[str, Any], always: Iterable[str], on_request: Iterable[Breadcrumb]
) -> None:
    """Add to a stream's metadata what the SDK leaves out of it.

    Args:
        metadata: of the catalog that was given, or of the one that is discovered.
        schema: the stream's own.
        always: properties that cannot be deselected.
        on_request: properties that are not selected by default.
    """
    for breadcrumb in list(metadata):
        metadata[without_items(breadcrumb)] = metadata.pop(breadcrumb)
    for breadcrumb, _ in properties(schema):
        metadata.setdefault(breadcrumb, Metadata(inclusion=Metadata.InclusionType.AVAILABLE))
    for breadcrumb in on_request:
        if metadata[breadcrumb].selected_by_default is None:
            metadata[breadcrumb].selected_by_default = False
    for name in always:
        metadata["properties", name].inclusion = Metadata.InclusionType.AUTOMATIC


class JsonSchema(msgspec.Struct):
    """A JSON Schema in a catalog, as far as the tap and the SDK look at it."""

    type: str | list[str] | None = None
    properties: dict[str, JsonSchema] | None = None
    items: JsonSchema | None = None


class MetadataShape(msgspec.Struct, rename="kebab"):
    """The metadata of a stream or of a property."""

    inclusion: Literal["available", "automatic", "unsupported"] | None = None
    selected: bool | None = None
    selected_by_default: bool | None = None
    replication_key: str | None = None
    forced_replication_method: str | None = None
    table_key_properties: list[str] | None = None


class MetadataEntry(msgspec.Struct):
    """Metadata, and of what they are."""

    breadcrumb: list[str]
    metadata: MetadataShape


class StreamShape(msgspec.Struct):
    """A stream in a catalog."""

    tap_stream_id: str
    stream: str | None = None
    schema: JsonSchema | None = None
    metadata: list[MetadataEntry] = []
    key_properties: list[str] | None = None
    replication_key: str | None = None
    replication_method: str | None = None


class CatalogShape(msgspec.Struct):
    """A catalog, as the SDK needs it to be."""

    streams: list[StreamShape]


def read_catalog(catalog: Any) -> Catalog | None:
    """The catalog that was given; None if none was.

    Raises:
        SettingError: it is something else.
    """
    if catalog is None or isinstance(catalog, Catalog):
        return catalog
    try:
        names = [each.tap_stream_id for each in msgspec.convert(catalog, CatalogShape).streams]
    except msgspec.ValidationError as error:
        raise SettingError(f"The catalog cannot be used: {error}. Make it anew with --discover.") from None
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingError(f"The catalog has the stream {twice[0]!r} twice. Make it anew with --discover.")
    given = [{name: value for name, value in each.items() if value is not None} for each in catalog["streams"]]
    return Catalog.from_dict({"streams": given})


def check_catalog(catalog: Catalog | None, streams: Mapping[str, Stream]) -> None:
    """Fail if a catalog selects nothing, or what there is not.

    Raises:
        SettingError: with the name, and the one that was perhaps meant.
    """
    if catalog is not None and not any(stream.selected for stream in streams.values()):
        raise SettingError(f"The catalog selects nothing: select at least one of {', '.join(streams)}.")
    for name, entry in (catalog or {}).items():
        if name not in streams:
            if entry.metadata.resolve_selection()[()]:
                raise SettingError(f"The catalog selects a stream '{name}'; there are {', '.join(streams)}.")
            continue
        stream = streams[name]
        added = stream.schema["properties"]
        if lacking := [key for key in (*stream.primary_keys, stream.replication_key) if key and key not in added]:
            raise SettingError(
                f"The catalog makes {lacking[0]!r} a key of the stream {name}, which has no such property. "
                "Make the catalog anew with --discover."
            )
        known = {breadcrumb for breadcrumb, _ in properties(stream.schema)} | {()}
        named = {breadcrumb for breadcrumb, _ in properties(entry.schema.to_dict()) if stream.mask[breadcrumb]}
        named |= {breadcrumb for breadcrumb, metadata in stream.metadata.items() if metadata.selected}
        for breadcrumb in sorted(named - known):
            close = difflib.get_close_matches(".".join(breadcrumb[1::2]), [".".join(each[1::2]) for each in known], n=1)
            raise SettingError(
                f"The catalog selects '{'.'.join(breadcrumb[1::2])}' of the stream {name}, which there is not"
                f"{f'; perhaps {close[0]}?' if close else '.'} Make the catalog anew with --discover."
            )
