"""What to ask Asana for: from what the streams want to one export request."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class Subject:
    """What an export is of: a workspace, or the graph below a goal, team, portfolio or project."""

    gid: str
    graph: bool = False

    @property
    def context(self) -> dict[str, str]:
        """How records and the state name it."""
        return {"parent_gid" if self.graph else "workspace_gid": self.gid}

    def __str__(self) -> str:
        """How the log names it."""
        return f"Graph of {self.gid}" if self.graph else f"Workspace {self.gid}"


@dataclass(frozen=True)
class Want:
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


@dataclass(frozen=True)
class Request:
    """One export, for all streams; that of a graph takes no parameters."""

    subject: Subject
    parameters: list[dict[str, Any]]

    @property
    def fingerprint(self) -> str:
        """The same for the same request, so that a run can tell whether a pending job is what it wants."""
        return fingerprint([self.subject.gid, self.parameters])


def request_for(subject: Subject, wants: Iterable[Want]) -> Request:
    """The request that brings what the streams want, with one entry per resource type and filter.

    https://developers.asana.com/reference/createresourceexport: entries of the same type mean OR.
    """
    parameters: list[dict[str, Any]] = []
    for want in wants:
        for one in want.filters or [{}]:
            filters = one if want.changed_after is None else changed_after(one, want.changed_after)
            entry = {"resource_type": want.resource_type, "filters": filters, "fields": want.fields}
            parameters.append({name: value for name, value in entry.items() if value})
    return Request(subject, parameters)


@dataclass(frozen=True)
class Scope:
    """What bounds a table, or an export that fills it.

    Attributes:
        start_date: what has not changed since then may be missing; None bounds nothing.
        renewed_from: what has not changed since then may be there as the export before the last whole one left it.
        filters: fingerprint of the filters, what none of them matches may be missing; None bounds nothing.
        fields: fingerprint of the selection; what was not selected then is not filled.
    """

    start_date: str | None = None
    filters: str | None = None
    fields: str | None = None
    renewed_from: str | None = None

    def reason_for_all(self, wanted: Scope) -> str | None:
        """Why a table with this scope needs every object anew to get the wanted one; None if it does not."""
        if is_later(self.start_date, wanted.start_date) or is_later(self.renewed_from, wanted.start_date):
            return "start_date is earlier than before"
        if self.filters != wanted.filters:
            return "its filters have changed"
        if self.fields != wanted.fields:
            return "its selection has changed"
        return None


@dataclass(frozen=True)
class Aim:
    """What an export is to do for one stream's table.

    Attributes:
        begun: what bounds the table as soon as some of its objects are there.
        table: what bounds the table afterwards.
        why_whole: why every object is asked for; None asks for what changed.
        complete: whether rows that do not come are of objects that do not exist any more.
    """

    begun: Scope
    table: Scope
    why_whole: str | None
    complete: bool


FIRST = "nothing is known of an earlier export"
"""Why a table needs every object that has none."""


def reason_for_all(
    partition: Mapping[str, Any], scope: Scope, *, full_every: timedelta | None, now: datetime
) -> str | None:
    """Why a stream's table needs every object; None if what changed is enough.

    Args:
        partition: the stream's state.
        scope: what the settings and the catalog ask for.
        full_every: after which time it is to be whole once more.
        now: the present.
    """
    full_at = partition.get("full_at")
    if not partition.get("replication_key_value") or not full_at:
        return FIRST
    if reason := scope_of(partition, scope).reason_for_all(scope):
        return reason
    if full_every is not None and now - parse_time(full_at) >= full_every:
        return f"the last full export is of {full_at}"
    return None


def aim_for(partition: Mapping[str, Any], scope: Scope, why_whole: str | None) -> Aim:
    """What an export does for a stream's table.

    Args:
        partition: the stream's state.
        scope: what the settings and the catalog ask for.
        why_whole: why every object is asked for; None asks for what changed.
    """
    noted = scope_of(partition, scope)
    if why_whole is None:
        return Aim(noted, noted, None, complete=False)
    table = replace(scope, renewed_from=scope.start_date)
    if is_later(scope.start_date, noted.start_date):
        return Aim(noted, replace(table, start_date=noted.start_date), why_whole, complete=False)
    begun = replace(noted, start_date=scope.start_date, renewed_from=noted.renewed_from or noted.start_date)
    return Aim(begun, table, why_whole, complete=scope.filters is None)


def scope_of(partition: Mapping[str, Any], wanted: Scope) -> Scope:
    """What bounds a stream's table; the one that is wanted if there is none.

    Earlier versions did not note the scope; then the table may be as wide as can be.
    """
    if scope := partition.get("scope"):
        return msgspec.convert(scope, Scope)  # a newer version may have noted more
    return replace(wanted, start_date=None) if partition.get("full_at") else wanted


def changed_after(filters: Mapping[str, Any], time: datetime) -> dict[str, Any]:
    """The filters with their bound on `modified_at` moved up to a time, unless it is later already."""
    own = filters.get("modified_at.after")
    if own is not None and parse_time(own) > time:
        return dict(filters)
    return {**filters, "modified_at.after": format_time(time)}


def is_later(start_date: str | None, other: str | None) -> bool:
    """Whether one start_date leaves out what another one lets come."""
    if start_date is None or other is None:
        return start_date is not None and other is None
    return parse_time(start_date) > parse_time(other)


def bound(bookmark: str | None, start_date: str | None, overlap: float) -> datetime | None:
    """The time whose later changes an incremental stream asks for.

    Args:
        bookmark: `created_at` of the last export that came through whole, if any.
        start_date: where the table starts, if not at the beginning; nothing older is to come into it, as a later
            full export would not bring it again.
        overlap: seconds to reach back behind the bookmark.
    """
    times = [parse_time(start_date)] if start_date else []
    if bookmark is not None:
        times.append(parse_time(bookmark) - timedelta(seconds=overlap))
    return max(times, default=None)


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
