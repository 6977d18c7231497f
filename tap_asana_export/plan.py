"""What to ask Asana for: from what the streams want to one export request."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class Want:
    """What a stream wants of an export.

    Attributes:
        resource_type: Asana's name of the objects.
        filters: Asana's filter objects, any of which an object must match; none means every object.
        changed_after: the time whose later changes are wanted; None means whatever their age.
    """

    resource_type: str
    filters: list[dict[str, Any]]
    changed_after: datetime | None = None


@dataclass(frozen=True)
class Request:
    """One export of one workspace, for all streams."""

    workspace_gid: str
    parameters: list[dict[str, Any]]

    @property
    def fingerprint(self) -> str:
        """The same for the same request, so that a run can tell whether a pending job is what it wants."""
        return fingerprint([self.workspace_gid, self.parameters])


def request_for(workspace_gid: str, wants: Iterable[Want]) -> Request:
    """The request that brings what the streams want, with one entry per resource type and filter.

    https://developers.asana.com/reference/createresourceexport: entries of the same type mean OR.
    """
    parameters: list[dict[str, Any]] = []
    for want in wants:
        for one in want.filters or [{}]:
            filters = one if want.changed_after is None else changed_after(one, want.changed_after)
            parameters.append({"resource_type": want.resource_type} | ({"filters": filters} if filters else {}))
    return Request(workspace_gid, parameters)


def changed_after(filters: Mapping[str, Any], time: datetime) -> dict[str, Any]:
    """The filters with their bound on `modified_at` moved up to a time, unless it is later already."""
    own = filters.get("modified_at.after")
    if own is not None and parse_time(own) > time:
        return dict(filters)
    return {**filters, "modified_at.after": format_time(time)}


def bound(bookmark: str | None, start_date: str | None, overlap: float) -> datetime | None:
    """The time whose later changes an incremental stream asks for.

    Args:
        bookmark: `created_at` of the last export that came through whole, if any.
        start_date: where the first export starts, if not at the beginning.
        overlap: seconds to reach back behind the bookmark.
    """
    if bookmark is not None:
        return parse_time(bookmark) - timedelta(seconds=overlap)
    return parse_time(start_date) if start_date else None


def parse_time(text: str) -> datetime:
    """A date-time of RFC 3339, or a date; without a zone it is UTC. Raises ValueError."""
    try:
        time = msgspec.convert(text if "T" in text or " " in text else f"{text}T00:00:00Z", datetime)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)


def format_time(time: datetime) -> str:
    """A time as Asana writes it: UTC, three digits of a second."""
    return time.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def fingerprint(content: Any) -> str:
    """The same text for the same JSON content."""
    canonical = msgspec.json.encode(content, order="deterministic")
    return f"sha256:{hashlib.sha256(canonical).hexdigest()}"
