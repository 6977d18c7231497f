"""The tokens for requests to Asana: a fixed one, or those that OAuth gives."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from tap_asana_export.waiting import Clock, Pause, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, repr=False)
class Grant:
    """The OAuth credentials that give access tokens until the user revokes the app's access."""

    client_id: str
    client_secret: str
    refresh_token: str


GRANT = tuple(each.name for each in fields(Grant))
"""Names of the settings with a grant."""

# The error codes of https://www.rfc-editor.org/rfc/rfc6749#section-5.2
OAUTH_ERRORS = (
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
)


@dataclass(frozen=True, repr=False)
class AccessToken:
    """Asana's answer to a grant.

    Attributes:
        access_token: the token.
        expires_in: seconds until it expires.
        refresh_token: replaces the grant's refresh token; None keeps that one.
    """

    access_token: str
    expires_in: float = 3600
    refresh_token: str | None = None


class Bearer:
    """A fixed access token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self) -> Waiting[str]:
        """Return the token."""
        yield from ()
        return self._token

    def discard(self) -> None:
        """Do nothing: there is no other token."""


class OAuth:
    """Access tokens that Asana gives for a grant, each replaced before it expires.

    Args:
        grant: the OAuth credentials.
        exchange: asks Asana for an access token.
        clock: the time.
    """

    # Share of a token's lifetime in which it is used. Of an hour this leaves six minutes for slow requests and for
    # clocks that differ.
    SHARE = 0.9

    def __init__(self, grant: Grant, exchange: Callable[[Grant], Waiting[AccessToken]], clock: Clock) -> None:
        self._grant = grant
        self._exchange = exchange
        self._clock = clock
        self._token: str | None = None
        self._expires_at = 0.0
        self._exchanging = False

    def token(self) -> Waiting[str]:
        """Return a valid token, and ask Asana for another one if need be."""
        while self._exchanging:  # of two requests at a time, one would use a refresh token that Asana has replaced
            yield Pause(1)
        if self._token is None or self._clock.monotonic() >= self._expires_at:
            self._exchanging = True
            try:
                now = self._clock.monotonic()
                granted = yield from self._exchange(self._grant)
            finally:
                self._exchanging = False
            if granted.refresh_token:
                self._grant = replace(self._grant, refresh_token=granted.refresh_token)
            self._token, self._expires_at = granted.access_token, now + self.SHARE * granted.expires_in
        return self._token

    def discard(self) -> None:
        """Discard the access token, so that the next request gets another one."""
        self._token = None
