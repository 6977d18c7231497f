"""Times in the form that Asana and the state have, by themselves and within other values."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, TypeVar

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


def as_plain(value: Any) -> Any:
    """Return a value in JSON's types: Structs as objects with their encoded names, times as `format_time` has them."""
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, msgspec.Struct):
        names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
        return {encoded: as_plain(getattr(value, name)) for name, encoded in names}
    if isinstance(value, dict):
        return {name: as_plain(each) for name, each in value.items()}
    return [as_plain(each) for each in value] if isinstance(value, list) else value


def format_time(time: datetime) -> str:
    """Format a time as Asana does: in UTC, with milliseconds."""
    return time.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
