"""Writes the report of a run where the setting `report` says."""

from __future__ import annotations

import logging
from typing import Any

import fsspec

from tap_asana_export.errors import SettingError
from tap_asana_export.output.batch import describe_url_error
from tap_asana_export.output.whole_file import write_whole
from tap_asana_export.redaction import without_credentials
from tap_asana_export.report import Report, as_json

logger = logging.getLogger(__name__)


class ReportFile:
    """The place of the report. Its file appears there when it is whole; an earlier one is replaced.

    Args:
        url: a path, or a URL that fsspec knows; None: the report is not written.

    Raises:
        SettingError: nothing can be written there, whatever it holds.
    """

    def __init__(self, url: str | None) -> None:
        self._url = without_credentials(url or "")
        self._place: Any = None
        if not url:
            return
        try:
            self._place, self._path = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            cause = describe_url_error(url, error)
            raise SettingError(f"Settings: report names {self._url}, which cannot be used: {cause}") from None
        except Exception as error:  # noqa: BLE001 - every driver of fsspec has errors of its own, and some tell the URL
            name = type(error).__name__
            raise SettingError(f"Settings: report names {self._url}, which cannot be used: {name}.") from None

    def write(self, report: Report) -> None:
        """Write the report; that it cannot be written is told by a warning, as the run is over."""
        if self._place is None:
            return
        try:
            write_whole(self._place, self._path, as_json(report))
        except Exception as error:  # noqa: BLE001 - every driver of fsspec has errors of its own
            cause = getattr(error, "strerror", None) or type(error).__name__
            logger.warning("The report cannot be written to %s (%s). Set report to another place.", self._url, cause)
