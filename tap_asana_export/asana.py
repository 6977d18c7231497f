"""Asana's API: requests that carry the token, with retries; knows exports and jobs, nothing of Singer."""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime  # noqa: TC003 - msgspec reads the annotations at run time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast
from urllib.parse import urljoin

import msgspec
import requests
import urllib3

from tap_asana_export.errors import AnswerError, GrantError, SettingError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Clock(Protocol):
    """Time as the tap sees it; the module `time` is one, and a test brings another."""

    def monotonic(self) -> float:
        """Seconds since some start."""

    def sleep(self, seconds: float, /) -> None:
        """Wait that many seconds."""


@dataclass(frozen=True)
class Export:
    """What a job makes: `created_at` and `completed_at` bound the time that its file's objects are of."""

    gid: str
    created_at: datetime
    completed_at: datetime | None = None
    # Signed: whoever has the URL has the file, so it stays out of every repr and log.
    download_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Job:
    """Asana's record of work that goes on by itself."""

    gid: str
    status: str
    new_resource_export: Export | None = None
    new_graph_export: Export | None = None

    def __post_init__(self) -> None:
        """Refuse a job that makes no export."""
        if self.new_resource_export is None and self.new_graph_export is None:
            raise ValueError("a job that makes no export")

    @property
    def export(self) -> Export:
        """What the job makes, of either kind."""
        return cast("Export", self.new_resource_export or self.new_graph_export)


JOB_FIELDS = ",".join(
    ["status"]
    + [
        f"{export}{name}"
        for export in ("new_resource_export", "new_graph_export")
        for name in ("", ".created_at", ".completed_at", ".download_url")
    ]
)


@dataclass(frozen=True)
class Resource:
    """Any of Asana's objects, by gid and name."""

    gid: str
    name: str = ""


@dataclass(frozen=True)
class NextPage:
    """Where a list goes on."""

    offset: str


@dataclass(frozen=True)
class Page:
    """A part of a list."""

    data: list[Resource]
    next_page: NextPage | None = None


@dataclass(frozen=True)
class JobAnswer:
    """A job in Asana's envelope."""

    data: Job


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


class BearerToken(requests.auth.AuthBase):
    """Sends the token; being there it also keeps requests from taking another one out of a .netrc file."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the token on a request."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class OAuth(requests.auth.AuthBase):
    """Sends an access token that Asana gives for a grant, and gets another one before it is over.

    Args:
        grant: what to get access tokens with.
        exchange: asks Asana for an access token.
        clock: what tells when it is over.
    """

    # Nine tenths of an hour leave six minutes for a request to be on its way, and for clocks that differ.
    SHARE = 0.9

    def __init__(self, grant: Grant, exchange: Callable[[Grant], AccessToken], clock: Clock) -> None:
        self._grant = grant
        self._exchange = exchange
        self._clock = clock
        self._token: BearerToken | None = None
        self._over_at = 0.0

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put a token that is good on a request."""
        now = self._clock.monotonic()
        if self._token is None or now >= self._over_at:
            granted = self._exchange(self._grant)
            if granted.refresh_token:
                self._grant = replace(self._grant, refresh_token=granted.refresh_token)
            self._token, self._over_at = BearerToken(granted.access_token), now + self.SHARE * granted.expires_in
        return self._token(request)

    def forget(self) -> None:
        """Take the access token for over."""
        self._token = None


class Asana:
    """Asana's API with one token, or with those of one grant.

    Args:
        api_url: base of the API, such as `https://app.asana.com/api/1.0`.
        token: a token, or a grant to get tokens with.
        timeout: seconds, to connect and between two reads.
        retries: how often to try again.
        clock: where waiting is done.
    """

    # urllib3 reckons the pauses: Retry-After if Asana sends it, which it wants kept, else 0, 2, 4, 8 … s;
    # each with up to 1 s of jitter.
    RETRIES = urllib3.Retry(backoff_factor=1, backoff_jitter=1, respect_retry_after_header=True)
    RETRIED = frozenset({429, 500, 502, 503, 504})

    def __init__(
        self,
        api_url: str,
        token: str | Grant,
        *,
        user_agent: str,
        timeout: float,
        retries: int = 6,
        clock: Clock = time,
    ) -> None:
        self._url = api_url.rstrip("/")
        self._retries = self.RETRIES.new(total=retries)
        self._timeout = timeout
        self._clock = clock
        self._session = requests.Session()
        self._auth = BearerToken(token) if isinstance(token, str) else OAuth(token, self._exchange, clock)
        self._session.auth = self._auth
        self._session.headers["User-Agent"] = user_agent

    def request_export(self, workspace_gid: str, parameters: list[dict[str, Any]]) -> Job:
        """Start a resource export of a workspace.

        Args:
            workspace_gid: the workspace.
            parameters: `export_request_parameters`, see Asana's reference of createResourceExport.

        Raises:
            AnswerError: refused; with status 403 when the workspace's one slot is busy, or the token may not.
            UnreachableError: no answer; whether a job was started is then unknown.
        """
        body = {"data": {"workspace": workspace_gid, "export_request_parameters": parameters}}
        return self._ask("POST", "/exports/resource", JobAnswer, json=body).data

    def request_graph(self, parent_gid: str) -> Job:
        """Start a graph export, or find the one that runs; one of the last four hours may be given again.

        Args:
            parent_gid: a goal, team, portfolio or project, see Asana's reference of createGraphExport.

        Raises:
            AnswerError: refused.
            UnreachableError: no answer.
        """
        body = {"data": {"parent": parent_gid}}
        return self._ask("POST", "/exports/graph", JobAnswer, is_repeatable=True, json=body).data

    def job(self, job_gid: str) -> Job:
        """Read a job; each reading signs a fresh `download_url`.

        Raises:
            AnswerError: refused; with status 404 when the job is unknown, or another token's.
            UnreachableError: no answer.
        """
        return self._ask("GET", f"/jobs/{job_gid}", JobAnswer, params={"opt_fields": JOB_FIELDS}).data

    def workspaces(self) -> Iterator[Resource]:
        """All workspaces that the token can see."""
        params: dict[str, Any] = {"limit": 100}
        while True:
            page = self._ask("GET", "/workspaces", Page, params=params)
            yield from page.data
            if page.next_page is None:
                return
            params["offset"] = page.next_page.offset

    def workspace(self, workspace_gid: str) -> None:
        """Fail with AnswerError unless the token can see the workspace."""
        self._ask("GET", f"/workspaces/{workspace_gid}", dict[str, Any])

    def _ask(self, method: str, path: str, answer: type[T], *, is_repeatable: bool = False, **kwargs: Any) -> T:
        request = f"{method} {path}"
        is_repeatable = is_repeatable or method == "GET"

        def send() -> requests.Response:
            return self._send(request, method, self._url + path, is_repeatable=is_repeatable, **kwargs)

        response = send()
        if response.status_code == requests.codes.unauthorized and isinstance(self._auth, OAuth):
            self._auth.forget()
            response = send()
        return _read(request, response, answer)

    def _exchange(self, grant: Grant) -> AccessToken:
        """Get an access token, see https://developers.asana.com/docs/oauth#token-exchange."""
        path = "/-/oauth_token"
        response = self._send(
            f"POST {path}",
            "POST",
            urljoin(self._url, path),
            is_repeatable=True,
            data={"grant_type": "refresh_token", **asdict(grant)},
            auth=lambda request: request,
            # A redirect may lead to another host, and would take the secrets along.
            allow_redirects=False,
        )
        if not response.ok:
            raise GrantError(f"POST {path}", response.status_code, _oauth_message(response))
        return _read(f"POST {path}", response, AccessToken)

    def _send(self, request: str, method: str, url: str, *, is_repeatable: bool, **kwargs: Any) -> requests.Response:
        """Send a request until the answer is other than "not now"; one that is not repeatable only if none got lost."""
        retries = self._retries
        while True:
            try:
                response = self._session.request(method, url, timeout=self._timeout, **kwargs)
            except requests.RequestException as error:
                cause, pause = f"no answer ({type(error).__name__})", None
                # The answer to a POST was lost, perhaps not the POST: the caller decides on repeating.
                repeatable = is_repeatable or _never_sent(error)
            else:
                if response.status_code not in self.RETRIED:
                    return response
                cause = f"Asana answered {response.status_code} {response.reason}"
                pause = retries.get_retry_after(response.raw)
                repeatable = is_repeatable or response.status_code == requests.codes.too_many_requests
            try:
                retries = retries.increment(method, url, error=urllib3.exceptions.HTTPError(cause))
            except urllib3.exceptions.MaxRetryError:
                repeatable = False
            if not repeatable:
                raise UnreachableError(request, cause) from None
            pause = pause or retries.get_backoff_time()
            logger.warning("%s: %s; trying again in %.1f s", request, cause, pause)
            self._clock.sleep(pause)


def _never_sent(error: requests.RequestException) -> bool:
    """Whether there was not even a connection."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError))


def _read(request: str, response: requests.Response, answer: type[T]) -> T:
    if not response.ok:
        raise AnswerError(request, response.status_code, _message(response))
    try:
        return msgspec.json.decode(response.content, type=answer)
    except msgspec.DecodeError as error:
        cause = f"{response.headers.get('Content-Type', 'no type')} that is not what Asana documents ({error})"
        raise UnreachableError(request, f"the answer is {cause}") from None


def _message(response: requests.Response) -> str:
    """Asana's words: `{"errors": [{"message": …, "help": …, "phrase": …}]}`."""
    try:
        return "; ".join(error["message"].rstrip(".") for error in response.json()["errors"])
    except (ValueError, KeyError, TypeError):
        return response.reason or "no reason given"


def _oauth_message(response: requests.Response) -> str:
    """The kind of error, `{"error": …}`; not its description, in which a server may repeat what it was sent."""
    try:
        kind = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        kind = None
    return kind if kind in OAUTH_ERRORS else response.reason or "no reason given"


@contextlib.contextmanager
def connect(settings: Mapping[str, Any], retries: int = 6) -> Iterator[Asana]:
    """Asana as the settings have it, or a sandbox that lives as long as the context.

    Args:
        settings: the tap's.
        retries: how often to try a request again.

    Raises:
        SettingError: the setting `sandbox` names something that the sandbox does not know.
    """
    with contextlib.ExitStack() as stack:
        api_url, token = settings["api_url"], settings["access_token"] or Grant(*(settings[each] for each in GRANT))
        if sandbox := settings["sandbox"]:
            from tap_asana_export.sandbox import Sandbox  # noqa: PLC0415 - only who plays in it pays for it

            options = sandbox if isinstance(sandbox, dict) else {}
            if unknown := options.keys() - Sandbox.settings().keys():
                names = ", ".join(sorted(Sandbox.settings()))
                raise SettingError(f"Settings: sandbox knows no '{', '.join(sorted(unknown))}', only {names}.")
            try:
                stand_in = Sandbox(**options)
            except (TypeError, ValueError) as error:
                raise SettingError(f"Settings: sandbox cannot be set up: {error}") from None
            stack.enter_context(stand_in)
            api_url, token = stand_in.api_url, stand_in.access_token
        yield Asana(
            api_url, token, user_agent=settings["user_agent"], timeout=settings["request_timeout"], retries=retries
        )
