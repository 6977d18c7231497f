"""The catalog's selection of a stream's properties, at any depth of objects and arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from singer_sdk.singerlib import SelectionMask

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from singer_sdk import Stream

Unwanted: TypeAlias = "dict[str, Unwanted | None]"
"""Deselected properties by name: None drops the whole property, an Unwanted drops some of the properties within it."""

Breadcrumb: TypeAlias = "tuple[str, ...]"

ADDITIONAL = "additional_fields"
"""Property with all fields that the schema does not know; there is one if the setting `unknown_fields` is `keep`."""

OPT_IN = "x-asana-opt-in"
"""Keyword in the schemas that marks properties which Asana sends only if the request names them."""


def all_properties(schema: Mapping[str, Any], at: Breadcrumb = ()) -> Iterator[tuple[Breadcrumb, dict[str, Any]]]:
    """Yield the breadcrumb and the schema of every property at any depth.

    An array adds no step to a breadcrumb: `tasks.followers.name` is (properties, followers, properties, name). So the
    patterns of `meltano select` match, and the SDK finds a property's parent.

    Args:
        schema: JSON Schema of an object, or of an array of objects.
        at: breadcrumb of the schema itself.
    """
    for name, child in within(schema).items():
        breadcrumb = (*at, "properties", name)
        yield breadcrumb, child
        yield from all_properties(child, breadcrumb)


def within(schema: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the schemas of the properties of an object, or of the objects in an array, by name."""
    found: dict[str, dict[str, Any]] = (schema.get("items") or schema).get("properties") or {}
    return found


def without_items(breadcrumb: Breadcrumb) -> Breadcrumb:
    """Return a breadcrumb without the steps `items`, which some catalogs have for arrays."""
    result: list[str] = []
    steps = iter(breadcrumb)
    for step in steps:
        if step != "items":
            result += [step, *([name] if (name := next(steps, None)) is not None else [])]
    return tuple(result)


def deselected(schema: Mapping[str, Any], mask: SelectionMask, at: Breadcrumb = ()) -> Unwanted:
    """Return the properties that the catalog deselects.

    Args:
        schema: JSON Schema of the object.
        mask: the catalog's selection, by breadcrumb.
        at: breadcrumb of the object itself.
    """
    unwanted: Unwanted = {}
    for name, child in within(schema).items():
        breadcrumb = (*at, "properties", name)
        if not mask[breadcrumb]:
            unwanted[name] = None
        elif below := deselected(child, mask, breadcrumb):
            unwanted[name] = below
    return unwanted


def drop(value: Any, unwanted: Unwanted) -> None:
    """Remove deselected properties from a decoded object, or from each object in an array."""
    if isinstance(value, list):
        for item in value:
            drop(item, unwanted)
    elif isinstance(value, dict):
        for name, below in unwanted.items():
            if below is None:
                value.pop(name, None)
            else:
                drop(value.get(name), below)


def selected_schema(stream: Stream) -> dict[str, Any]:
    """Return a copy of a stream's schema without the properties that the catalog deselects, and without OPT_IN.

    The SDK's own way leaves deselected properties of objects in arrays in.
    """
    schema = stream.effective_schema
    return _without_deselected(schema, deselected(schema, stream.mask))


def _without_deselected(schema: Mapping[str, Any], unwanted: Unwanted) -> dict[str, Any]:
    result = {keyword: value for keyword, value in schema.items() if keyword != OPT_IN}
    if "items" in result:
        result["items"] = _without_deselected(result["items"], unwanted)
    elif "properties" in result:
        result["properties"] = {
            name: _without_deselected(child, unwanted.get(name) or {})
            for name, child in result["properties"].items()
            if unwanted.get(name, {}) is not None
        }
    return result


def fields(schema: Mapping[str, Any], unwanted: Unwanted) -> Iterator[str]:
    """Yield the selected fields as Asana's `opt_fields` name them, such as `assignee.name`.

    Without a path into it, an object comes with its gid only.

    https://developers.asana.com/docs/inputoutput-options
    """
    for name, child in within(schema).items():
        below = unwanted.get(name, {})
        if below is not None:
            yield from [f"{name}.{path}" for path in fields(child, below)] or [name]


def opt_in(schema: Mapping[str, Any], at: Breadcrumb = ()) -> Iterator[Breadcrumb]:
    """Yield the breadcrumbs of properties which Asana sends only if the request names them.

    They are not selected by default. Properties within arrays are left out: Asana does not say whether the stories in
    an export have their opt-in fields.
    """
    for name, child in schema.get("properties", {}).items():
        breadcrumb = (*at, "properties", name)
        if child.get(OPT_IN):
            yield breadcrumb
        yield from opt_in(child, breadcrumb)


def selected_fields(stream: Stream, added: Iterable[str]) -> list[str]:
    """Return the paths of the fields that the catalog selects, to ask Asana for.

    Args:
        stream: the stream.
        added: names of the properties that the tap adds.
    """
    return _without(added, fields(stream.effective_schema, deselected(stream.effective_schema, stream.mask)))


def usual_fields(stream: Stream, added: Iterable[str]) -> list[str]:
    """Return the paths of the fields that Asana sends if the request names none.

    Args:
        stream: the stream.
        added: names of the properties that the tap adds.
    """
    by_default = SelectionMask((breadcrumb, False) for breadcrumb in opt_in(stream.schema))
    return _without(added, fields(stream.schema, deselected(stream.schema, by_default)))


def _without(added: Iterable[str], paths: Iterable[str]) -> list[str]:
    names = {*added, ADDITIONAL}
    return [path for path in paths if path not in names]
