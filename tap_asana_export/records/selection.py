"""What the catalog selects of a stream's properties, at any depth of objects and arrays."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeAlias

from singer_sdk.singerlib import SelectionMask

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from singer_sdk import Stream

Unwanted: TypeAlias = "dict[str, Unwanted | None]"
"""Deselected properties: None drops the property, a deeper Unwanted drops from within it."""

Breadcrumb: TypeAlias = "tuple[str, ...]"

ADDITIONAL = "additional_fields"
"""The column of fields that the schema does not know, where the setting `unknown_fields` keeps them."""

OPT_IN = "x-asana-opt-in"
"""Marks in a schema what Asana sends only when asked for."""


def properties(schema: Mapping[str, Any], at: Breadcrumb = ()) -> Iterator[tuple[Breadcrumb, dict[str, Any]]]:
    """Every property at any depth, with its breadcrumb.

    An array adds nothing to a breadcrumb, `tasks.followers.name` is (properties, followers, properties, name): so the
    patterns of `meltano select` fit, and the SDK finds a property's parent.
    """
    for name, child in within(schema).items():
        breadcrumb = (*at, "properties", name)
        yield breadcrumb, child
        yield from properties(child, breadcrumb)


def within(schema: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The properties of an object, or of an array's objects."""
    found: dict[str, dict[str, Any]] = (schema.get("items") or schema).get("properties") or {}
    return found


def without_items(breadcrumb: Breadcrumb) -> Breadcrumb:
    """A breadcrumb as `properties` has it, also if it names an array's items, as some catalogs do."""
    result: list[str] = []
    steps = iter(breadcrumb)
    for step in steps:
        if step != "items":
            result += [step, *([name] if (name := next(steps, None)) is not None else [])]
    return tuple(result)


def deselected(schema: Mapping[str, Any], mask: SelectionMask, at: Breadcrumb = ()) -> Unwanted:
    """What the catalog deselects of an object's properties.

    Args:
        schema: JSON Schema of the object.
        mask: the catalog's selection, by breadcrumb.
        at: the object's own breadcrumb.
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
    """Take deselected properties out of an object, or out of each of an array's."""
    if isinstance(value, list):
        for item in value:
            drop(item, unwanted)
    elif isinstance(value, dict):
        for name, below in unwanted.items():
            if below is None:
                value.pop(name, None)
            else:
                drop(value.get(name), below)


def selected_schema(schema: Mapping[str, Any], unwanted: Unwanted) -> dict[str, Any]:
    """The schema of what is left when the deselected properties are dropped."""
    result = copy.copy(dict(schema))
    if "items" in result:
        result["items"] = selected_schema(result["items"], unwanted)
    elif "properties" in result:
        result["properties"] = {
            name: selected_schema(child, unwanted.get(name) or {})
            for name, child in result["properties"].items()
            if unwanted.get(name, {}) is not None
        }
    return result


def fields(schema: Mapping[str, Any], unwanted: Unwanted) -> Iterator[str]:
    """Asana's paths of what is left, such as `assignee.name`; an object's name alone would bring only its gid.

    https://developers.asana.com/docs/inputoutput-options
    """
    for name, child in within(schema).items():
        below = unwanted.get(name, {})
        if below is not None:
            yield from [f"{name}.{path}" for path in fields(child, below)] or [name]


def opt_in(schema: Mapping[str, Any], at: Breadcrumb = ()) -> Iterator[Breadcrumb]:
    """Breadcrumbs of what Asana sends only when asked for, and so is not selected by default.

    Not those within arrays: whether an export's stories come with all their fields Asana does not say.
    """
    for name, child in schema.get("properties", {}).items():
        breadcrumb = (*at, "properties", name)
        if child.get(OPT_IN):
            yield breadcrumb
        yield from opt_in(child, breadcrumb)


def selected_fields(stream: Stream, added: Iterable[str]) -> list[str]:
    """Asana's paths of what the catalog selects of a stream.

    Args:
        stream: the stream.
        added: properties that are not Asana's.
    """
    return _without(added, fields(stream.effective_schema, deselected(stream.effective_schema, stream.mask)))


def usual_fields(stream: Stream, added: Iterable[str]) -> list[str]:
    """Asana's paths of what it sends by itself; arguments as of `selected_fields`."""
    by_default = SelectionMask((breadcrumb, False) for breadcrumb in opt_in(stream.schema))
    return _without(added, fields(stream.schema, deselected(stream.schema, by_default)))


def _without(added: Iterable[str], paths: Iterable[str]) -> list[str]:
    names = {*added, ADDITIONAL}
    return [path for path in paths if path not in names]
