"""Explains why a request got no answer: a fault of the network, or of a setting."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import urlsplit

import requests
import urllib3

from tap_asana_export.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Problem(NamedTuple):
    """Why a request got no answer.

    Attributes:
        cause: what happened, as part of a sentence.
        remedy: what the user should check, as a sentence.
        may_pass: whether another try may succeed.
        never_sent: whether the request certainly did not reach the server, so that it is safe to repeat.
    """

    cause: str
    remedy: str
    may_pass: bool = True
    never_sent: bool = False


NETWORK = UnreachableError.REMEDY
API_URL = "Check the network and the setting api_url."
CERTIFICATES = (
    "If a proxy of your organization opens encrypted connections, set the variable REQUESTS_CA_BUNDLE to the file with "
    "its certificates; else check the setting api_url."
)
PROXY = "Check the variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY."


def connection_problem(error: Exception, timeout: float) -> Problem:
    """Explain an exception of requests or urllib3.

    Args:
        error: the exception. Its text is not used, as it may contain a URL with a secret.
        timeout: the request's timeout in seconds.
    """
    chain = list(_chain(error))
    for kind, problem in PROBLEMS:
        for each in chain:
            if isinstance(each, kind):
                return problem(each, _host(error), timeout)
    return Problem(f"no answer ({type(error).__name__})", NETWORK)


def _certificate(error: BaseException, host: str, _timeout: float) -> Problem:
    reason = getattr(error, "verify_message", None) or getattr(error, "reason", None) or "unknown reason"
    return Problem(
        f"the certificate of {host} is not trusted ({reason})", CERTIFICATES, may_pass=False, never_sent=True
    )


def _proxy(_error: BaseException, host: str, _timeout: float) -> Problem:
    return Problem(f"the proxy on the way to {host} does not let the request through", PROXY, never_sent=True)


def _no_url(error: BaseException, host: str, _timeout: float) -> Problem:
    if getattr(error, "response", None) is not None:
        return Problem("the answer redirects to what is no URL", API_URL, may_pass=False)
    remedy = "Set api_url to a URL such as https://app.asana.com/api/1.0."
    return Problem(f"{host} is no URL that can be asked", remedy, may_pass=False, never_sent=True)


def _redirects(_error: BaseException, _host: str, _timeout: float) -> Problem:
    return Problem("the answer leads from one address to the next without end", API_URL, may_pass=False)


def _unknown_host(_error: BaseException, host: str, _timeout: float) -> Problem:
    return Problem(f"the name {host} is not known", API_URL, never_sent=True)


def _tls(_error: BaseException, host: str, _timeout: float) -> Problem:
    return Problem(f"no encrypted connection to {host} comes about", f"{API_URL} {PROXY}", never_sent=True)


def _no_connection(error: BaseException, host: str, _timeout: float) -> Problem:
    reason = next((each.strerror for each in _chain(error) if isinstance(each, OSError) and each.strerror), "")
    return Problem(f"there is no connection to {host}{f' ({reason})' if reason else ''}", API_URL, never_sent=True)


def _no_connection_in_time(_error: BaseException, host: str, timeout: float) -> Problem:
    return Problem(f"no connection to {host} within {timeout:g} s", NETWORK, never_sent=True)


def _no_answer_in_time(_error: BaseException, host: str, timeout: float) -> Problem:
    return Problem(f"no answer from {host} within {timeout:g} s", NETWORK)


def _damaged(_error: BaseException, host: str, _timeout: float) -> Problem:
    return Problem(f"the answer from {host} is compressed, and damaged", NETWORK)


def _broken_off(_error: BaseException, host: str, _timeout: float) -> Problem:
    return Problem(f"the connection to {host} broke off", NETWORK)


PROBLEMS: list[
    tuple[type[BaseException] | tuple[type[BaseException], ...], Callable[[BaseException, str, float], Problem]]
] = [
    (ssl.SSLCertVerificationError, _certificate),
    ((requests.exceptions.ProxyError, urllib3.exceptions.ProxyError), _proxy),
    (
        (
            requests.exceptions.InvalidURL,
            requests.exceptions.InvalidSchema,
            requests.exceptions.MissingSchema,
            urllib3.exceptions.LocationValueError,
        ),
        _no_url,
    ),
    (requests.TooManyRedirects, _redirects),
    ((socket.gaierror, urllib3.exceptions.NameResolutionError), _unknown_host),
    ((requests.exceptions.SSLError, ssl.SSLError, urllib3.exceptions.SSLError), _tls),
    (urllib3.exceptions.NewConnectionError, _no_connection),  # a kind of ConnectTimeoutError to urllib3
    ((requests.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError), _no_connection_in_time),
    ((requests.Timeout, urllib3.exceptions.TimeoutError), _no_answer_in_time),
    ((requests.exceptions.ContentDecodingError, urllib3.exceptions.DecodeError), _damaged),
    ((requests.exceptions.ChunkedEncodingError, urllib3.exceptions.ProtocolError), _broken_off),
]
"""Which function explains which exceptions; the first match counts."""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all that it wraps, the outermost first."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [*each.args, getattr(each, "reason", None), each.__cause__, each.__context__]


def _host(error: Exception) -> str:
    """Return host and port of the failed request, without user and password."""
    request = cast("requests.PreparedRequest | None", getattr(error, "request", None))
    try:
        parts = urlsplit((request and request.url) or "")
        return parts.netloc.rpartition("@")[2] or "the address"
    except ValueError:
        return "the address"
