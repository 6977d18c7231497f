"""HTTP sessions for Asana's API and its storage. They decide which credentials go where."""

from __future__ import annotations

import http.client
import ipaddress
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from tap_asana_export.redaction import add_secrets, add_secrets_of_url

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_INTERIM = 20
"""Interim responses (RFC 9110, section 15.2) that a server may send before the final one."""
MAX_REDIRECTS = 10
PORTS = {"http": 80, "https": 443}
"""Default ports of the schemes that may be asked."""


def _remove_traceback(record: logging.LogRecord) -> bool:
    """Let a log record pass without its traceback, which urllib3 adds for a header that it cannot parse."""
    record.exc_info = None
    return True


logging.getLogger("urllib3.connection").addFilter(_remove_traceback)


def new_session(*, user_agent: str, api_url: str | None = None) -> Session:
    """Return a session that sends only the caller's credentials, and only to Asana's API.

    Args:
        user_agent: value of the header `User-Agent`.
        api_url: base URL of Asana's API. Only requests to its scheme, host and port carry a token; with None, none do.
    """
    return Session(user_agent, _origin(api_url) if api_url else None)


class Session(requests.Session):
    """A session that uses the environment's proxies and certificates, but no passwords from .netrc files.

    Args:
        user_agent: value of the header `User-Agent`.
        origin: scheme, host and port of the requests that may carry a token.
    """

    def __init__(self, user_agent: str, origin: tuple[str, str, int | None] | None) -> None:
        super().__init__()
        self.headers["User-Agent"] = user_agent
        self.max_redirects = MAX_REDIRECTS
        self.auth = no_auth
        for scheme in PORTS:
            self.mount(f"{scheme}://", _Adapter(origin))

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Add no credentials after a redirect: requests would take them from a .netrc file."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return the URL that an answer redirects to; None if it does not.

        Raises:
            InvalidURL: it is no HTTP URL, for which requests raises several other errors, or none.
        """
        try:
            target = super().get_redirect_target(resp)
            parts = urlsplit(urljoin(resp.url, target or ""))
            valid = parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if not valid:
            raise requests.exceptions.InvalidURL("it redirects to what is no URL", response=resp)
        return target


def no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Return the request unchanged; with no `auth` at all, requests takes a password from .netrc or the URL."""
    return request


def _origin(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of a URL."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return "", "", None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, which no proxy elsewhere can reach."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _HeaderReader:
    """Reads the status line and the headers of a response, and remembers the last line.

    Attributes:
        last: the last line; empty if the connection ended before it.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self.last = b""

    def readline(self, most: int) -> bytes:
        """Read the next line."""
        self.last = self._file.readline(most)
        return self.last

    def close(self) -> None:
        """Close the connection's file."""
        self._file.close()


class _FinalResponse(http.client.HTTPResponse):
    """The final response of HTTP/1.1, with complete headers.

    Python's own class skips `100 Continue`, but takes `103 Early Hints` for the final response; and it accepts headers
    that end because the connection ended, perhaps in the middle of a number.
    """

    fp: Any

    def begin(self) -> None:
        """Read the status line and the headers.

        Raises:
            RemoteDisconnected: the connection ended before the last header.
        """
        file = self.fp
        self.fp = reader = _HeaderReader(file)
        try:
            super().begin()
        finally:
            if self.fp is reader:  # it is None after the response was closed
                self.fp = file
        if not reader.last:
            raise http.client.RemoteDisconnected("Remote end closed connection within the head of an answer")

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(MAX_INTERIM + 1):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == http.HTTPStatus.SWITCHING_PROTOCOLS:  # noqa: PLR2004
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException(f"more than {MAX_INTERIM} interim answers")


class _Connection(urllib3.connection.HTTPConnection):
    response_class = _FinalResponse


class _SecureConnection(urllib3.connection.HTTPSConnection):
    response_class = _FinalResponse


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    """Sends every request, also those after redirects; removes the token where it must not go."""

    def __init__(self, origin: tuple[str, str, int | None] | None) -> None:
        self._origin = origin
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if type(manager) is urllib3.ProxyManager:  # SOCKSProxyManager has pools of its own
            manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        return manager

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 - as the base has it
        timeout: Any = None,
        verify: bool | str = True,  # noqa: FBT001, FBT002
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        url = request.url or ""
        origin = _origin(url)
        if origin != self._origin:
            request.headers.pop("Authorization", None)
        if is_loopback(origin[1]):
            proxies = None
            request.headers.pop("Proxy-Authorization", None)
        add_secrets_of_url(url)
        if "Authorization" in request.headers:
            add_secrets(str(request.headers["Authorization"]).partition(" ")[2])
        try:
            return super().send(request, stream, timeout, verify, cert, proxies)
        except requests.RequestException:
            raise
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            # An impossible host name, or a header that cannot be sent.
            raise requests.exceptions.InvalidURL(type(error).__name__, request=request) from None
