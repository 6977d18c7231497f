"""What to ask Asana for: one export request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tap_asana_export.fingerprint import fingerprint
from tap_asana_export.times import format_time, parse_time
from tap_asana_export.words import listed, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from tap_asana_export.sources import ExportRoot


@dataclass(frozen=True)
class ResourceRequest:
    """What the streams of one resource type want of an export.

    Attributes:
        resource_type: Asana's name of the objects.
        filters: Asana's filter objects, any of which an object must match; none means every object.
        fields: paths of the properties that are wanted; None leaves it to Asana's default.
        changed_after: the time whose later changes are wanted; None means whatever their age.
    """

    resource_type: str
    filters: list[dict[str, Any]]
    fields: list[str] | None = None
    changed_after: datetime | None = None

    @property
    def bounds(self) -> tuple[datetime | None, bool]:
        """The time whose later changes are wanted, and whether filters leave something out."""
        return self.changed_after, bool(self.filters)


def describe_export(requests: Iterable[ResourceRequest], *, is_full: bool) -> str:
    """Say what is asked for: `a full export of tasks and teams`, which leaves nothing out, or what of it.

    Args:
        requests: by type of object; none for a graph.
        is_full: whether no bookmark bounds it.
    """
    kinds: dict[tuple[datetime | None, bool], list[str]] = {}
    for each in requests:
        kinds.setdefault(each.bounds, []).append(plural(each.resource_type))
    if not kinds:
        return "a graph export"
    if kinds.keys() == {WHOLE}:
        return f"a full export of {listed(kinds[WHOLE])}"
    parts = [f"{listed(names)} {describe_bounds(*bounds)}" for bounds, names in kinds.items() if bounds != WHOLE]
    parts += [f"all {listed(names)}" for bounds, names in kinds.items() if bounds == WHOLE]
    return f"{'an export' if is_full else 'an incremental export'} of {'; '.join(parts)}"


WHOLE = (None, False)
"""The bounds of a request for all objects of a type."""


def describe_bounds(changed_after: datetime | None, is_filtered: bool) -> str:  # noqa: FBT001 - as `bounds` has them
    """Say which objects of a type are asked for."""
    since = [f"changed since {format_time(changed_after)}"] if changed_after else []
    return " and ".join((["that match the filters"] if is_filtered else []) + since)


@dataclass(frozen=True)
class ExportRequest:
    """One export, for all streams; that of a graph takes no parameters."""

    root: ExportRoot
    parameters: list[dict[str, Any]]

    @property
    def fingerprint(self) -> str:
        """The same for the same request, so that a run can tell whether a pending job is what it wants."""
        return fingerprint([self.root.gid, self.parameters])


def export_request(root: ExportRoot, wants: Iterable[ResourceRequest]) -> ExportRequest:
    """The request that brings what the streams want, with one entry per resource type and filter.

    https://developers.asana.com/reference/createresourceexport: entries of the same type mean OR.
    """
    parameters: list[dict[str, Any]] = []
    for want in wants:
        for one in want.filters or [{}]:
            filters = one if want.changed_after is None else changed_after(one, want.changed_after)
            entry = {"resource_type": want.resource_type, "filters": filters, "fields": want.fields}
            parameters.append({name: value for name, value in entry.items() if value})
    return ExportRequest(root, parameters)


def changed_after(filters: Mapping[str, Any], time: datetime) -> dict[str, Any]:
    """The filters with their bound on `modified_at` moved up to a time, unless it is later already."""
    added = filters.get("modified_at.after")
    if added is not None and parse_time(added) > time:
        return dict(filters)
    return {**filters, "modified_at.after": format_time(time)}
