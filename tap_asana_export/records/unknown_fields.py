"""Fields that Asana sends and that the schemas do not know."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING

from tap_asana_export.errors import UnknownFieldError
from tap_asana_export.records.selection import ADDITIONAL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from singer_sdk import Stream

logger = logging.getLogger(__name__)

UNKNOWN_NAMES = 10_000
"""Unknown fields of a stream that are named, at the most."""


class UnknownFields:
    """The fields in the objects of an export that the schemas do not know, and what is done about them.

    Args:
        origin: what is exported, as errors name it.

    Attributes:
        names: the fields, by stream.
    """

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.names: dict[str, set[str]] = {}

    def note(self, stream: Stream, names: Iterable[str]) -> None:
        """Take note of fields, and name each once in the log.

        Raises:
            UnknownFieldError: the setting `unknown_fields` is `fail`.
        """
        noted = self.names.get(stream.name, set())
        for name in sorted({*names} - noted):
            if stream.config.get("unknown_fields") == "fail":
                raise UnknownFieldError(self.origin, stream.name, name)
            if len(noted) < UNKNOWN_NAMES:
                self.names.setdefault(stream.name, noted).add(name)
                tell_of_unknown(stream, name)
            elif len(noted) == UNKNOWN_NAMES:
                tell_of_unknown(stream, None)


@functools.cache
def tell_of_unknown(stream: Stream, name: str | None) -> None:
    """Name a field once: objects of several types and of several exports may have it.

    Args:
        stream: the stream.
        name: the field; None if there are too many to name.
    """
    what = "more fields" if name is None else f"the field '{name}'"
    if ADDITIONAL in stream.effective_schema["properties"]:
        logger.info("Stream %s: Asana sends %s, unknown to the schema; kept in %s.", stream.name, what, ADDITIONAL)
    else:
        logger.warning(
            "Stream %s: Asana sends %s, which the schema does not know; it is dropped. "
            "A newer version of the tap may know it, and the setting unknown_fields can keep it.",
            stream.name,
            what,
        )
