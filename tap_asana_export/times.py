"""Times in the form that Asana and the state have."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TypeVar

import msgspec

T = TypeVar("T", datetime, "datetime | None")


class UtcStruct(msgspec.Struct):
    """A Struct that takes a time without a zone for UTC."""

    def __post_init__(self) -> None:
        """Give each time a zone."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, datetime):
                msgspec.structs.force_setattr(self, name, with_zone(value))


def parse_time(text: str) -> datetime:
    """Read a date-time of RFC 3339, or a date; without a zone it is UTC.

    Raises:
        ValueError: the text is neither.
    """
    try:
        time = msgspec.convert(text if "T" in text or " " in text else f"{text}T00:00:00Z", datetime)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    return with_zone(time)


def with_zone(time: T) -> T:
    """Return a time with a zone: UTC if it has none, as Asana's (https://developers.asana.com/docs/dates-and-times)."""
    return time.replace(tzinfo=timezone.utc) if time is not None and time.tzinfo is None else time


def format_time(time: datetime) -> str:
    """Format a time as Asana does: in UTC, with milliseconds."""
    return time.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
