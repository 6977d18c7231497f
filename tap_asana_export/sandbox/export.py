"""Exports: checks a request, selects objects and fields, and writes the file."""

from __future__ import annotations

import re
import reprlib
import threading
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import islice
from math import gcd
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tap_asana_export.deflate import compressor
from tap_asana_export.sandbox.population import milliseconds
from tap_asana_export.sandbox.workspace import OPT_IN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tap_asana_export.sandbox.directory import Object
    from tap_asana_export.sandbox.organization import Organization

_encode = msgspec.json.Encoder().encode

# Forms of a file: JSON Lines, or one JSON document with the objects between these two texts.
FORMS: dict[str, tuple[bytes, ...]] = {"lines": (), "array": (b"[", b"]"), "object": (b'{"data":[', b"]}")}


class InvalidRequestError(ValueError):
    """Asana would refuse the body of a request; the text says why."""


class Parameter(NamedTuple):
    """An element of `export_request_parameters` that was checked.

    Attributes:
        kind: the `resource_type`.
        after: lower bounds by property, in milliseconds since 1970, exclusive.
        before: upper bounds by property, likewise.
        people: gids of users by filter.
        fields: paths of the fields; None for the default ones.
    """

    kind: str
    after: dict[str, int]
    before: dict[str, int]
    people: dict[str, frozenset[str]]
    fields: list[str] | None


@dataclass
class ExportJob:
    """An export job and its export.

    Attributes:
        gid: gid of the job.
        export_gid: gid of the export.
        organization: the workspace that it belongs to.
        created: time of the request.
        path: path of the file.
        token: token of the request.
        parent: gid of a graph export's parent; None for a resource export.
        tasks: number of tasks written so far.
        ended: time when the file was complete, or failed.
        has_ended: is set then.
        fails: whether the job fails.
        compressed: whether the file is gzipped.
        rewrites: functions that faults add: those under `lines` change the lines, then those under `blocks` change the
            blocks of the file.
    """

    gid: str
    export_gid: str
    organization: Organization
    created: datetime
    path: Path
    token: str
    parent: str | None
    tasks: int = 0
    ended: datetime | None = None
    has_ended: threading.Event = field(default_factory=threading.Event)
    fails: bool = False
    compressed: bool = True
    rewrites: dict[str, list[Callable[[Any], Iterator[Any]]]] = field(
        default_factory=lambda: {"lines": [], "blocks": []}
    )

    def blocks(self, items: Iterable[Object], form: str) -> Iterator[Any]:
        """Return the blocks of a file with these objects, in one of the `FORMS`."""
        text: Iterator[Any] = lines(self._counted(items))
        for rewrite in self.rewrites["lines"]:
            text = rewrite(text)
        if FORMS[form]:
            text = _framed(text, *FORMS[form])
        for rewrite in self.rewrites["blocks"]:
            text = rewrite(text)
        return text

    def _counted(self, items: Iterable[Object]) -> Iterator[Object]:
        for item in items:
            # The type is missing if `fields` leaves it out.
            self.tasks += item.get("resource_type") == "task"
            yield item


# ── filters ──────────────────────────────────────────────────────────────────────────────────────────────

_PEOPLE: dict[str, Callable[[Object], Iterable[Object | None]]] = {
    "assigned_by.any": lambda item: (item.get("assigned_by"),),
    "assignee.any": lambda item: (item.get("assignee"),),
    "commented_on_by.any": lambda item: (
        story["created_by"] for story in item["stories"] if story["type"] == "comment"
    ),
    "created_by.any": lambda item: (item.get("created_by"),),
    "followers.any": lambda item: item["followers"],
    "liked_by.any": lambda item: (like["user"] for like in item["likes"]),
}
_INSTANTS = ("created_at", "modified_at")


def parameters(body: Object) -> list[Parameter]:
    """Check the `data` of a request for a resource export.

    Raises:
        InvalidRequestError: Asana would refuse it.
    """
    elements = body.get("export_request_parameters")
    if not isinstance(elements, list) or not elements:
        raise InvalidRequestError("export_request_parameters: Missing input")
    return [_parameter(f"export_request_parameters[{place}]", element) for place, element in enumerate(elements)]


def _parameter(path: str, element: Any) -> Parameter:
    if not isinstance(element, dict):
        raise InvalidRequestError(f"{path}: Not an object: {shown(element)}")
    kind = element.get("resource_type")
    if not isinstance(kind, str) or kind not in OPT_IN:
        raise InvalidRequestError(f"{path}.resource_type: Not one of {', '.join(OPT_IN)}: {shown(kind)}")
    fields = element.get("fields")
    if fields is not None and not _is_strings(fields):
        raise InvalidRequestError(f"{path}.fields: Not an array of strings: {shown(fields)}")
    check_fields(f"{path}.fields", fields or ())
    parameter = Parameter(kind, {}, {}, {}, fields)
    _filter(f"{path}.filters", element.get("filters"), parameter)
    return parameter


def _filter(path: str, filters: Any, parameter: Parameter) -> None:
    """Check filters, and add them to a parameter.

    Raises:
        InvalidRequestError: Asana would refuse them.
    """
    if filters is None:
        return
    if not isinstance(filters, dict):
        raise InvalidRequestError(f"{path}: Not an object: {shown(filters)}")
    if filters and parameter.kind == "team":
        raise InvalidRequestError(f"{path}: Not supported for team")
    for name, value in filters.items():
        instant, _, bound = name.partition(".")
        if name in _PEOPLE and _is_strings(value):
            parameter.people[name] = frozenset(value)
        elif instant in _INSTANTS and bound in ("after", "before"):
            bounds = parameter.after if bound == "after" else parameter.before
            bounds[instant] = instant_of(f"{path}.{name}", value)
        elif name in _PEOPLE:
            raise InvalidRequestError(f"{path}.{name}: Not an array of strings: {shown(value)}")
        else:
            raise InvalidRequestError(f"{path}: Unknown filter: {name}")


def shown(value: Any) -> str:
    """Return a value that a client sent as text for an error, abbreviated if it is long."""
    return reprlib.repr(value)


def _is_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def instant_of(path: str, value: Any) -> int:
    """Return a date-time that a client sent, in milliseconds since 1970.

    Raises:
        InvalidRequestError: it is none.
    """
    try:
        instant = datetime.fromisoformat(value.replace("Z", "+00:00"))
        return milliseconds(instant if instant.tzinfo else instant.replace(tzinfo=timezone.utc))
    except (AttributeError, OverflowError, TypeError, ValueError):
        raise InvalidRequestError(f"{path}: Not a date-time: {shown(value)}") from None


def select(organization: Organization, parameter: Parameter, index: int) -> Object | None:
    """Return an object as it is now with the requested fields; None if it is deleted or does not match the filters."""
    now = organization.now()
    kind, fields = parameter.kind, parameter.fields
    if not organization.alive(kind, index, now):
        return None
    life = organization.life(kind, index, now)
    instants = {"created_at": life.created, "modified_at": life.modified}
    if any(instants[name] <= bound for name, bound in parameter.after.items()):
        return None
    if any(instants[name] >= bound for name, bound in parameter.before.items()):
        return None
    item = organization.build(kind, index, now, whole=bool(parameter.people or fields))
    for name, gids in parameter.people.items():
        if not any(person and person["gid"] in gids for person in _PEOPLE[name](item)):
            return None
    if fields:
        return project(item, fields)
    return organization.build(kind, index, now) if parameter.people else item


def objects(organization: Organization, requested: list[Parameter]) -> Iterator[Object]:
    """Yield the requested objects in a mixed order, each as it is at that moment.

    An object that matches two parameters comes twice, as Asana documents.
    """
    now = organization.now()
    candidates = [(parameter, span) for parameter in requested for span in organization.indices(parameter.kind, now)]
    total = sum(len(span) for _, span in candidates)
    stride = total * 5 // 8 + 1
    while gcd(stride, max(1, total)) > 1:
        stride += 1
    for turn in range(total):
        position = (turn + 1) * stride % total
        for parameter, span in candidates:
            if position < len(span):
                item = select(organization, parameter, span[position])
                if item is not None:
                    yield item
                break
            position -= len(span)


# ── fields ───────────────────────────────────────────────────────────────────────────────────────────────

Tree = dict[str, Any]
# Limits for a path: number of groups, and number of paths without groups that it stands for.
_GROUPS, _ALTERNATIVES = 20, 1000


def project(item: Object, fields: Iterable[str]) -> Object:
    """Return an object with only some fields, and all gids.

    Args:
        item: the object.
        fields: paths such as `assignee.name` or `(assignee|followers).name`. An unknown path is ignored; a path that
            ends at an object selects its gid and resource_type.
    """
    picked: Object = pick(item, tree_of(fields))
    return picked


def tree_of(fields: Iterable[str]) -> Tree:
    """Return the names in paths as a tree."""
    tree: Tree = {}
    for path in fields:
        for alternative in _alternatives(path):
            branch = tree
            for name in alternative.removeprefix("this.").split("."):
                branch = branch.setdefault(name, {})
    return tree


def check_fields(name: str, fields: Iterable[str]) -> None:
    """Check that paths do not have too many groups.

    Raises:
        InvalidRequestError: a path has too many.
    """
    for path in fields:
        groups = path.count("(")
        if groups > _GROUPS or sum(1 for _ in islice(_alternatives(path), _ALTERNATIVES + 1)) > _ALTERNATIVES:
            raise InvalidRequestError(f"{name}: Too many alternatives")


def _alternatives(path: str) -> Iterator[str]:
    """Yield the paths without groups that a path such as `(assignee|followers).name` stands for."""
    paths = [path]
    while paths:
        path = paths.pop()
        group = re.search(r"\(([^()]*)\)", path)
        if group:
            paths += [path[: group.start()] + choice + path[group.end() :] for choice in group[1].split("|")][::-1]
        else:
            yield path


def pick(value: Any, tree: Tree) -> Any:
    """Return a value with only the fields in a tree, and all gids."""
    if isinstance(value, list):
        return [pick(item, tree) for item in value]
    if not isinstance(value, dict):
        return value
    if tree:
        return {key: pick(item, tree.get(key, {})) for key, item in value.items() if key in tree or key == "gid"}
    if "gid" in value:
        return {key: value[key] for key in ("gid", "resource_type") if key in value}
    return {key: pick(item, {}) for key, item in value.items()}


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────


def lines(items: Iterable[Object]) -> Iterator[bytes]:
    """Encode each object as a line of JSON."""
    return (_encode(item) + b"\n" for item in items)


def _framed(lines: Iterable[bytes], head: bytes, tail: bytes) -> Iterator[bytes]:
    separator = head
    for line in lines:
        yield separator + line[:-1]
        separator = b","
    yield tail if separator == b"," else head + tail


def write(path: Path, blocks: Iterable[bytes | None], *, compressed: bool = True) -> None:
    """Write blocks to a file, gzipped unless `compressed` is False; None begins a new gzip member."""
    with path.open("wb") as file:
        member = compressor(1)
        for block in blocks:
            if not compressed:
                file.write(block or b"")
            elif block is None:
                file.write(member.flush())
                member = compressor(1)
            else:
                file.write(member.compress(block))
        if compressed:
            file.write(member.flush())
