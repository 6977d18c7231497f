"""Fields that Asana sends and no schema knows."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING

from tap_asana_export.errors import UnknownFieldError
from tap_asana_export.limits import USUAL
from tap_asana_export.records.selection import ADDITIONAL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from singer_sdk import Stream

logger = logging.getLogger(__name__)


class UnknownFields:
    """Collects the fields in one export's objects that no schema knows.

    Args:
        origin: what is exported, as errors name it.
        most: unknown fields of one stream that the log names.

    Attributes:
        origin: as given.
        names: names of the fields by name of the stream.
    """

    def __init__(self, origin: str, most: int = USUAL.unknown_names) -> None:
        self._most = most
        self.origin = origin
        self.names: dict[str, set[str]] = {}

    def note(self, stream: Stream, names: Iterable[str]) -> None:
        """Collect unknown fields of a stream, and log the name of each once.

        Raises:
            UnknownFieldError: the setting `unknown_fields` is `fail`.
        """
        known = self.names.get(stream.name, set())
        for name in sorted({*names} - known):
            if stream.config.get("unknown_fields") == "fail":
                raise UnknownFieldError(self.origin, stream.name, name)
            if len(known) < self._most:
                self.names.setdefault(stream.name, known).add(name)
                log_unknown_field(stream, name)
            elif len(known) == self._most:
                log_unknown_field(stream, None)


@functools.cache
def log_unknown_field(stream: Stream, name: str | None) -> None:
    """Log the name of an unknown field, once in a run, however many types and exports have it.

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
