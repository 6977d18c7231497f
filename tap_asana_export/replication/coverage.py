"""What a stream's table covers, and what an export makes of it: decisions over one value, without input or output."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tap_asana_export.times import UtcStruct, format_time, parse_time, with_zone

if TYPE_CHECKING:
    StartDate = datetime | None
else:
    StartDate = Any  # the setting may be a date, as 0.1.0 kept it in the state; msgspec takes no date for a date-time

FIRST = "nothing is known of an earlier export"
"""Why a table is filled as a whole that no export has filled yet."""

CHANGES = ("start_date has changed", "its filters have changed", "its selection has changed")
"""Why a table is filled as a whole again, in the order of the attributes of `Wanted`."""

MIXED = "mixed"
"""The selection of a table that an unfinished export has filled in part: no fingerprint equals it."""


class Wanted(NamedTuple):
    """What the settings and the catalog ask of a stream's table.

    Attributes:
        start_date: objects that have not changed since then are not asked for; None: all objects are.
        filters: fingerprint of the filters; None: there are none.
        fields: fingerprint of the selected properties.
    """

    start_date: datetime | None
    filters: str | None
    fields: str | None


class Coverage(msgspec.Struct, frozen=True, rename={"rows_since": "start_date", "full_since": "renewed_from"}):
    """What a stream's table covers. The state holds it as `scope`.

    Attributes:
        rows_since: no row is of an object that has not changed since then; None: rows may be of any age.
        full_since: start_date of the last full export; None: it had none.
        filters: fingerprint of its filters; None: it had none.
        fields: fingerprint of the properties that were selected for it.
    """

    rows_since: StartDate = None
    filters: str | None = None
    fields: str | None = None
    full_since: StartDate = None

    def __post_init__(self) -> None:
        """Make times of what the state holds; raises ValueError, which msgspec makes a ValidationError."""
        for name in ("rows_since", "full_since"):
            value: Any = getattr(self, name)
            time = parse_time(value) if isinstance(value, str) else value
            if not (time is None or isinstance(time, datetime)):
                raise ValueError("a start_date is no time")
            msgspec.structs.force_setattr(self, name, with_zone(time))

    @property
    def wanted(self) -> Wanted:
        """What the last full export was asked for."""
        return Wanted(self.full_since, self.filters, self.fields)


class TableState(UtcStruct, rename={"bookmark": "replication_key_value", "coverage": "scope"}):
    """What the state says of one stream's table in one workspace, or below one graph parent.

    Attributes:
        bookmark: `created_at` of the last export that was read to its end.
        completed_at: end of that export.
        full_at: `created_at` of the last export that was asked for all objects.
        coverage: what the table covers; None: an older version wrote no such thing, or there is no table.
        version: of the table's rows since the last full export, if rows have versions.
    """

    replication_key: str | None = None
    bookmark: datetime | None = None
    completed_at: datetime | None = None
    full_at: datetime | None = None
    coverage: Coverage | None = None
    version: int | None = None


def coverage_of(table: TableState, wanted: Wanted) -> Coverage:
    """What a table covers: all that is wanted, if it has no rows yet.

    Version 0.1.0 did not note it at first. Such a table may have rows of any age.
    """
    if table.coverage:
        return table.coverage
    return Coverage(None if table.full_at else wanted.start_date, wanted.filters, wanted.fields, wanted.start_date)


def full_reason(table: TableState, wanted: Wanted, full_every: timedelta | None, now: datetime) -> str | None:
    """Why an export must ask for all objects of a table; None if those that have changed are enough.

    Args:
        table: what the state says.
        wanted: what the settings and the catalog ask for.
        full_every: time after which a full export is due.
        now: the present.
    """
    if table.bookmark is None or table.full_at is None:
        return FIRST
    before = coverage_of(table, wanted).wanted
    for was, is_now, reason in zip(before, wanted, CHANGES, strict=True):
        if was != is_now:
            return reason
    if full_every is not None and now - table.full_at >= full_every:
        return f"the last full export is of {format_time(table.full_at)}"
    return None


def starting(coverage: Coverage, wanted: Wanted) -> Coverage:
    """What a table covers from the first row of a full export on: an export that fails leaves rows behind."""
    rows_since = _earlier(coverage.rows_since, wanted.start_date)
    fields = coverage.fields if coverage.wanted == wanted else MIXED
    return Coverage(rows_since, coverage.filters, fields, coverage.full_since)


def finished(coverage: Coverage, wanted: Wanted) -> Coverage:
    """What a table covers when a full export has been read to its end."""
    return Coverage(_earlier(coverage.rows_since, wanted.start_date), wanted.filters, wanted.fields, wanted.start_date)


def may_delete(coverage: Coverage, wanted: Wanted) -> bool:
    """Whether rows that a full export does not bring are of deleted objects, and not merely out of its sight."""
    return wanted.filters is None and _earlier(coverage.rows_since, wanted.start_date) == wanted.start_date


def lower_bound(bookmark: datetime | None, start_date: datetime | None, overlap: float) -> datetime | None:
    """The time whose later changes an incremental export asks for; None: whatever their age.

    Args:
        bookmark: `created_at` of the last export.
        start_date: time before which the table has no rows. None older may come in: a full export would not bring them.
        overlap: seconds to reach back behind the bookmark.
    """
    times = [start_date] if start_date else []
    if bookmark is not None:
        times.append(bookmark - timedelta(seconds=overlap))
    return max(times, default=None)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    """The earlier of two start dates; None is before all times."""
    return None if one is None or other is None else min(one, other)
