"""What a request to Asana carries to be let in: one token, or the tokens of an OAuth grant."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from tap_asana_export.waiting import Clock, Pause, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, repr=False)
class Grant:
    """What an OAuth app has of the user who authorized it: good for access tokens, as long as it is not revoked."""

    client_id: str
    client_secret: str
    refresh_token: str


GRANT = tuple(each.name for each in fields(Grant))
"""The settings that make a grant."""

# https://www.rfc-editor.org/rfc/rfc6749#section-5.2
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
    """Asana's answer to a grant; `expires_in` is in seconds, and a refresh token replaces the one before."""

    access_token: str
    expires_in: float = 3600
    refresh_token: str | None = None


class Bearer:
    """One access token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self) -> Waiting[str]:
        """The token."""
        yield from ()
        return self._token

    def discard(self) -> None:
        """Nothing: there is no other one."""


class OAuth:
    """Access tokens that Asana gives for a grant; another one is got before one is over.

    Args:
        grant: what to get access tokens with.
        exchange: asks Asana for an access token.
        clock: what tells when it is over.
    """

    # Nine tenths of an hour leave six minutes for a request to be on its way, and for clocks that differ.
    SHARE = 0.9

    def __init__(self, grant: Grant, exchange: Callable[[Grant], Waiting[AccessToken]], clock: Clock) -> None:
        self._grant = grant
        self._exchange = exchange
        self._clock = clock
        self._token: str | None = None
        self._over_at = 0.0
        self._exchanging = False

    def token(self) -> Waiting[str]:
        """A token that is good."""
        while self._exchanging:  # asking twice at a time would use a refresh token that Asana replaces
            yield Pause(1)
        if self._token is None or self._clock.monotonic() >= self._over_at:
            self._exchanging = True
            try:
                now = self._clock.monotonic()
                granted = yield from self._exchange(self._grant)
            finally:
                self._exchanging = False
            if granted.refresh_token:
                self._grant = replace(self._grant, refresh_token=granted.refresh_token)
            self._token, self._over_at = granted.access_token, now + self.SHARE * granted.expires_in
        return self._token

    def discard(self) -> None:
        """Discard the access token, so that the next request gets another one."""
        self._token = None
