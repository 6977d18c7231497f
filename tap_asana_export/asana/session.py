"""HTTP sessions with Asana's API and with storage: which credentials go where, and which answer is the final one."""

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

MOST_INTERIM = 20
"""How many interim answers (RFC 9110, section 15.2) a server may send before the final one."""
MOST_REDIRECTS = 10
PORTS = {"http": 80, "https": 443}


def _is_told(record: logging.LogRecord) -> bool:
    """Let a log line through, without the traceback that urllib3 adds to a header which it cannot read."""
    record.exc_info = None
    return True


logging.getLogger("urllib3.connection").addFilter(_is_told)


def new_session(*, user_agent: str, api_url: str | None = None) -> Session:
    """A session that sends no credentials but the caller's, and these to Asana's API only.

    Args:
        user_agent: how the client introduces itself.
        api_url: base of Asana's API. Requests to its scheme, host and port may carry a token; without it none may.
    """
    return Session(user_agent, _origin(api_url) if api_url else None)


class Session(requests.Session):
    """A session that takes proxies and certificates from the environment, but no passwords from .netrc files.

    Args:
        user_agent: how the client introduces itself.
        origin: scheme, host and port that may be sent a token.
    """

    def __init__(self, user_agent: str, origin: tuple[str, str, int | None] | None) -> None:
        super().__init__()
        self.headers["User-Agent"] = user_agent
        self.max_redirects = MOST_REDIRECTS
        self.auth = no_auth
        for scheme in PORTS:
            self.mount(f"{scheme}://", _Adapter(origin))

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Add nothing after a redirect: requests would look for a password in a .netrc file."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where an answer redirects to, if it does.

        Raises:
            InvalidURL: that is no URL of HTTP. requests itself raises other kinds of errors, or none.
        """
        try:
            target = super().get_redirect_target(resp)
            nested = urlsplit(urljoin(resp.url, target or ""))
            valid = nested.scheme in PORTS and bool(nested.hostname) and nested.port != 0
        except ValueError:
            valid = False
        if not valid:
            raise requests.exceptions.InvalidURL("it redirects to what is no URL", response=resp)
        return target


def no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep requests from taking a password out of a .netrc file or the URL."""
    return request


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        nested = urlsplit(url)
        return nested.scheme, nested.hostname or "", nested.port or PORTS.get(nested.scheme)
    except ValueError:
        return "", "", None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: no proxy elsewhere can reach what listens here."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Head:
    """The lines of an answer's head, as they are read.

    Attributes:
        last: the last line that was read; empty if the connection ended before it.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self.last = b""

    def readline(self, most: int) -> bytes:
        """The next line."""
        self.last = self._file.readline(most)
        return self.last

    def close(self) -> None:
        """Close what the lines are read from."""
        self._file.close()


class _FinalResponse(http.client.HTTPResponse):
    """An answer of HTTP/1.1, whole and final.

    Python's own takes `103 Early Hints` for the answer, though not `100 Continue`; and it takes a head for whole that
    ends with the connection, in the midst of a number perhaps.
    """

    fp: Any

    def begin(self) -> None:
        """Read the head.

        Raises:
            RemoteDisconnected: the connection ended before the head did.
        """
        file = self.fp
        self.fp = head = _Head(file)
        try:
            super().begin()
        finally:
            if self.fp is head:  # None once the connection is given up
                self.fp = file
        if not head.last:
            raise http.client.RemoteDisconnected("Remote end closed connection within the head of an answer")

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(MOST_INTERIM + 1):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == http.HTTPStatus.SWITCHING_PROTOCOLS:  # noqa: PLR2004
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException(f"more than {MOST_INTERIM} interim answers")


class _Connection(urllib3.connection.HTTPConnection):
    response_class = _FinalResponse


class _SecureConnection(urllib3.connection.HTTPSConnection):
    response_class = _FinalResponse


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    """What every request goes through, those after redirects too."""

    def __init__(self, origin: tuple[str, str, int | None] | None) -> None:
        self._origin = origin
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if type(manager) is urllib3.ProxyManager:  # the one for SOCKS has pools of its own
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
            # A host name that no host can have, or a header that cannot be sent.
            raise requests.exceptions.InvalidURL(type(error).__name__, request=request) from None
