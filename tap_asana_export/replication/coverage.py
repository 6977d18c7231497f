"""What to ask Asana for: from what the streams want to one export request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from tap_asana_export.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta


@dataclass(frozen=True)
class Coverage:
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

    def full_reason(self, wanted: Coverage) -> str | None:
        """Why a table with this scope needs every object anew to get the wanted one; None if it does not."""
        if is_later(self.start_date, wanted.start_date) or is_later(self.renewed_from, wanted.start_date):
            return "start_date is earlier than before"
        if self.filters != wanted.filters:
            return "its filters have changed"
        if self.fields != wanted.fields:
            return "its selection has changed"
        return None


@dataclass(frozen=True)
class TablePlan:
    """What an export is to do for one stream's table.

    Attributes:
        begun: what bounds the table as soon as some of its objects are there.
        table: what bounds the table afterwards.
        full_reason: why every object is asked for; None asks for what changed.
        complete: whether rows that do not come are of objects that do not exist any more.
    """

    begun: Coverage
    table: Coverage
    full_reason: str | None
    complete: bool


FIRST = "nothing is known of an earlier export"
"""Why a table needs every object that has none."""


def full_reason(
    partition: Mapping[str, Any], scope: Coverage, *, full_every: timedelta | None, now: datetime
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
    if reason := coverage_of(partition, scope).full_reason(scope):
        return reason
    if full_every is not None and now - parse_time(full_at) >= full_every:
        return f"the last full export is of {full_at}"
    return None


def plan_table(partition: Mapping[str, Any], scope: Coverage, full_reason: str | None) -> TablePlan:
    """What an export does for a stream's table.

    Args:
        partition: the stream's state.
        scope: what the settings and the catalog ask for.
        full_reason: why every object is asked for; None asks for what changed.
    """
    noted = coverage_of(partition, scope)
    if full_reason is None:
        return TablePlan(noted, noted, None, complete=False)
    table = replace(scope, renewed_from=scope.start_date)
    if is_later(scope.start_date, noted.start_date):
        return TablePlan(noted, replace(table, start_date=noted.start_date), full_reason, complete=False)
    begun = replace(noted, start_date=scope.start_date, renewed_from=noted.renewed_from or noted.start_date)
    return TablePlan(begun, table, full_reason, complete=scope.filters is None)


def coverage_of(partition: Mapping[str, Any], wanted: Coverage) -> Coverage:
    """What bounds a stream's table; the one that is wanted if there is none.

    Earlier versions did not note the scope; then the table may be as wide as can be.
    """
    if scope := partition.get("scope"):
        return msgspec.convert(scope, Coverage)  # a newer version may have noted more
    return replace(wanted, start_date=None) if partition.get("full_at") else wanted


def is_later(start_date: str | None, other: str | None) -> bool:
    """Whether one start_date leaves out what another one lets come."""
    if start_date is None or other is None:
        return start_date is not None and other is None
    return parse_time(start_date) > parse_time(other)
