"""Reads, completes and checks catalogs."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from singer_sdk.singerlib import Catalog, Metadata, MetadataMapping

from tap_asana_export.errors import SettingError
from tap_asana_export.records import Breadcrumb, all_properties, without_items

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from singer_sdk import Stream


def complete(
    metadata: MetadataMapping, schema: Mapping[str, Any], always: Iterable[str], on_request: Iterable[Breadcrumb]
) -> None:
    """Complete a stream's metadata in place: every property gets a breadcrumb, its inclusion and its default selection.

    Args:
        metadata: metadata from the user's catalog, or from discovery.
        schema: JSON Schema of the stream.
        always: names of the properties that cannot be deselected.
        on_request: breadcrumbs of the properties that are not selected by default.
    """
    for breadcrumb in list(metadata):
        metadata[without_items(breadcrumb)] = metadata.pop(breadcrumb)
    for breadcrumb, _ in all_properties(schema):
        metadata.setdefault(breadcrumb, Metadata(inclusion=Metadata.InclusionType.AVAILABLE))
    for breadcrumb in on_request:
        if metadata[breadcrumb].selected_by_default is None:
            metadata[breadcrumb].selected_by_default = False
    for name in always:
        metadata["properties", name].inclusion = Metadata.InclusionType.AUTOMATIC


class JsonSchema(msgspec.Struct):
    """The part of a JSON Schema in a catalog that the tap and the SDK use."""

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
    """Metadata and their breadcrumb."""

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
    """The form of a catalog that the SDK can read."""

    streams: list[StreamShape]


def read_catalog(catalog: Any) -> Catalog | None:
    """Read a catalog; None if none was given.

    Raises:
        SettingError: it is no catalog, or has a stream twice.
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
    """Check that a catalog selects something, and only streams and properties that exist.

    Raises:
        SettingError: it does not; the error names what is wrong, and the most similar name.
    """
    for name, entry in (catalog or {}).items():
        if name not in streams:
            if entry.metadata.resolve_selection()[()]:
                close = difflib.get_close_matches(name, streams, n=1)
                meant = f"; perhaps {close[0]}?" if close else f"; there are {', '.join(streams)}."
                raise SettingError(
                    f"The catalog selects a stream '{name}', which there is not{meant} Correct the catalog, or make it "
                    "anew with --discover."
                )
            continue
        stream = streams[name]
        names = stream.schema["properties"]
        if missing := [key for key in (*stream.primary_keys, stream.replication_key) if key and key not in names]:
            raise SettingError(
                f"The catalog makes {missing[0]!r} a key of the stream {name}, which has no such property. "
                "Make the catalog anew with --discover."
            )
        if not stream.selected:
            continue
        known = {breadcrumb for breadcrumb, _ in all_properties(stream.schema)} | {()}
        mask = stream.mask
        named = {breadcrumb for breadcrumb, _ in all_properties(stream.effective_schema) if mask[breadcrumb]}
        named |= {breadcrumb for breadcrumb, metadata in stream.metadata.items() if metadata.selected}
        for breadcrumb in sorted(named - known):
            close = difflib.get_close_matches(".".join(breadcrumb[1::2]), [".".join(each[1::2]) for each in known], n=1)
            raise SettingError(
                f"The catalog selects '{'.'.join(breadcrumb[1::2])}' of the stream {name}, which there is not"
                f"{f'; perhaps {close[0]}?' if close else '.'} Make the catalog anew with --discover."
            )
    if catalog is not None and not any(stream.selected for stream in streams.values()):
        raise SettingError(f"The catalog selects nothing: select at least one of {', '.join(streams)}.")
