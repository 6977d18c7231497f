"""Notices pages that lead nowhere, so that no list is read without end."""

from __future__ import annotations

from typing import Any

from tap_asana_export.errors import UnreadableError

MOST_ALIKE = 20
"""Pages in a row that may be empty, or as the one before, though there is always another one."""


class Pages:
    """The pages of one list, audit log or reading of events.

    Args:
        request: method and path, for the error.
        first: the token that asks for the first page, if there is one.
    """

    def __init__(self, request: str, first: str | None = None) -> None:
        self._request = request
        self._tokens = {first}
        self._last: list[Any] = []
        self._alike = 0

    def go_on(self, token: str | None, data: list[Any]) -> None:
        """Take note of the token for the next page, and of what the present one holds.

        Raises:
            UnreadableError: the next page is one that came before, or many pages brought nothing new.
        """
        self._alike = self._alike + 1 if data in ([], self._last) else 0
        self._last = data
        if token in self._tokens:
            raise UnreadableError(self._request, "its next page is one that came before")
        if self._alike > MOST_ALIKE:
            raise UnreadableError(self._request, "its pages bring nothing new, and there is always another one")
        self._tokens.add(token)
