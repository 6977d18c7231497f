"""Asana's API: requests that carry the token, with retries; knows exports and jobs, nothing of Singer."""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import time
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import urljoin

import msgspec
import requests
import urllib3

from tap_asana_export.asana.auth import OAUTH_ERRORS, AccessToken, Bearer, Grant, OAuth
from tap_asana_export.asana.connection import connection_problem
from tap_asana_export.asana.models import (
    JOB_FIELDS,
    EventPage,
    FreshToken,
    Job,
    JobEnvelope,
    ObjectPage,
    OneObject,
    Page,
    Resource,
)
from tap_asana_export.asana.pace import Pace
from tap_asana_export.asana.session import new_session
from tap_asana_export.errors import AnswerError, ExpiredTokenError, GrantError, UnreachableError, UnreadableError
from tap_asana_export.redaction import redact_line
from tap_asana_export.report import Announcement, Requests
from tap_asana_export.unicode import replace_lone_surrogates
from tap_asana_export.waiting import Clock, Pause, Waiting, finish, stop_at

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

T = TypeVar("T")

MOST_SECONDS = 10**9
"""Seconds of the longest pause, 32 years: a clock takes no number of any size."""

MOST_WORDS = 1000
"""Characters of Asana's message that are shown."""

logger = logging.getLogger(__name__)

Begun: TypeAlias = "Callable[[Job], None]"
"""Takes the job that a request has started."""


def _ignore(job: Job) -> None:
    """Take a job, and do nothing with it."""


class Asana:
    """Asana's API with one token, or with those of one grant.

    What asks Asana is a generator that yields the pauses between tries, and returns the answer.

    Args:
        api_url: base of the API, such as `https://app.asana.com/api/1.0`.
        token: a token, or a grant to get tokens with.
        timeout: seconds, to connect and between two reads.
        retries: how often to try again.
        clock: tells when an OAuth token is over.
        undisturbed: the context in which a job is asked for and taken note of, so that no signal comes between the two.
        enable: changes of the API to have early.
        disable: changes of the API to have late.

    Attributes:
        requests: how many were sent, by method and path.
        announcements: changes of the API that Asana has announced.
    """

    # urllib3 reckons the pauses where Asana sends no Retry-After: 0, 2, 4, 8 … s, each with up to 1 s of jitter.
    PAUSES = urllib3.Retry(backoff_factor=1, backoff_jitter=1)
    RETRIED = frozenset({429, 500, 502, 503, 504})

    RETRIES_WITHOUT_ANSWER = 2
    """Retries while nothing was ever answered: then a setting is wrong more often than the network is down."""

    def __init__(  # noqa: PLR0913 - all but the first two by name
        self,
        api_url: str,
        token: str | Grant,
        *,
        user_agent: str,
        timeout: float,
        retries: int = 6,
        clock: Clock = time,
        undisturbed: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext,
        enable: Collection[str] = (),
        disable: Collection[str] = (),
    ) -> None:
        self._url = api_url.rstrip("/")
        self._retries = retries
        self._timeout = timeout
        self._undisturbed = undisturbed
        self._has_answered = False
        self.requests: dict[str, Requests] = {}
        self.announcements: list[Announcement] = []
        self._pace = Pace(clock)
        self._session = new_session(user_agent=user_agent, api_url=api_url)
        # https://developers.asana.com/docs/deprecations
        for header, changes in {"Asana-Enable": enable, "Asana-Disable": disable}.items():
            if changes:
                self._session.headers[header] = ",".join(changes)
        self._auth = Bearer(token) if isinstance(token, str) else OAuth(token, self._exchange, clock)

    def request_export(
        self, workspace_gid: str, parameters: list[dict[str, Any]], begun: Begun = _ignore
    ) -> Waiting[Job]:
        """Start a resource export of a workspace.

        Args:
            workspace_gid: the workspace.
            parameters: `export_request_parameters`, see Asana's reference of createResourceExport.
            begun: takes the job before anything else can happen.

        Raises:
            AnswerError: refused: with status 403 when the workspace's one slot is busy or the token may not export,
                with 429 when the token has as many jobs as Asana runs at once.
            UnreachableError: no answer; whether a job was started is then unknown.
            UnreadableError: a job was started, but the answer does not tell its gid.
        """
        body = {"data": {"workspace": workspace_gid, "export_request_parameters": parameters}}
        return self._start_job("/exports/resource", body, begun, is_repeatable=False)

    def request_graph(self, parent_gid: str, begun: Begun = _ignore) -> Waiting[Job]:
        """Start a graph export, or find the one that runs; one of the last four hours may be given again.

        Args:
            parent_gid: a goal, team, portfolio or project, see Asana's reference of createGraphExport.
            begun: takes the job before anything else can happen.

        Raises:
            AnswerError: refused: with 429 when the token has as many jobs as Asana runs at once.
            UnreachableError: no answer.
            UnreadableError: the answer does not tell the job's gid.
        """
        return self._start_job("/exports/graph", {"data": {"parent": parent_gid}}, begun, is_repeatable=True)

    def job(self, job_gid: str) -> Waiting[Job]:
        """Read a job; each reading signs a fresh `download_url`.

        Raises:
            AnswerError: refused; with status 404 when the job is unknown, or another token's.
            UnreachableError: no answer.
            UnreadableError: the answer is not this job.
        """
        request = f"GET /jobs/{job_gid}"

        def read(response: requests.Response) -> Job:
            job = _read(request, response, JobEnvelope).data.job()
            if job.gid != job_gid:
                raise UnreadableError(request, f"it tells of job {job.gid}")
            return job

        return self._ask(request, read, params={"opt_fields": JOB_FIELDS})

    def workspaces(self) -> Waiting[list[Resource]]:
        """All workspaces that the token can see, each once."""
        params: dict[str, Any] = {"limit": 100}
        found: dict[str, Resource] = {}
        while True:
            page = yield from self._ask_for("GET /workspaces", Page, params=params)
            new = {each.gid: each for each in page.data if each.gid not in found}
            found |= new
            if page.next_page is None or not new:
                return list(found.values())
            params = {**params, "offset": page.next_page.offset}

    def workspace(self, workspace_gid: str) -> Waiting[dict[str, Any]]:
        """The workspace; fails with AnswerError unless the token can see it."""
        return self._ask_for(f"GET /workspaces/{workspace_gid}", dict[str, Any])

    def page(self, path: str, params: dict[str, Any], retries: int | None = None) -> Waiting[ObjectPage]:
        """A page of a list, asked for while other requests are under way.

        Args:
            path: path of the list.
            params: the query.
            retries: how often to ask again; None: as often as for any other request.

        Raises:
            AnswerError: refused, with status 400 if the offset has expired.
            UnreachableError: no answer, or "not now" to every try.
            UnreadableError: the answer is no page.
        """
        return self._ask_for(f"GET {path}", ObjectPage, params=params, is_paced=True, retries=retries)

    def object(self, path: str, params: dict[str, Any]) -> Waiting[msgspec.Raw]:
        """An object as JSON text; asks and raises as `page` does."""
        return (yield from self._ask_for(f"GET {path}", OneObject, params=params, is_paced=True)).data

    def events(
        self, path: str, params: dict[str, Any], *, retries: int | None = None, is_paced: bool = True
    ) -> Waiting[EventPage]:
        """Events of the audit log, or of a workspace; asks and raises as `page` does.

        Args:
            path: path of the audit log or of the events.
            params: the query.
            retries: how often to ask again; None: as often as for any other request.
            is_paced: whether it waits for its turn, beside other requests.

        Raises:
            ExpiredTokenError: the sync token is not good, or there is none: the error has a fresh one.
        """
        request = f"GET {path}"

        def read(response: requests.Response) -> EventPage:
            if response.status_code == requests.codes.precondition_failed:
                raise ExpiredTokenError(request, _message(response), _decode(request, response, FreshToken).sync)
            return _read(request, response, EventPage)

        return self._ask(request, read, params=params, is_paced=is_paced, retries=retries)

    def _start_job(self, path: str, body: Any, begun: Begun, *, is_repeatable: bool) -> Waiting[Job]:
        request = f"POST {path}"

        def read(response: requests.Response) -> Job:
            job = _read(request, response, JobEnvelope).data.job()
            begun(job)
            return job

        # As many jobs as the token may have are answered 429 for hours: the caller knows how long to wait for that.
        return self._ask(request, read, is_repeatable=is_repeatable, waits_for_429=False, json=body)

    def _ask_for(self, request: str, answer: type[T], **kwargs: Any) -> Waiting[T]:
        return self._ask(request, lambda response: _read(request, response, answer), **kwargs)

    def _ask(
        self, request: str, read: Callable[[requests.Response], T], *, is_repeatable: bool = True, **kwargs: Any
    ) -> Waiting[T]:
        """Send a request with a token; once more with another one if OAuth's is refused."""
        url = self._url + request.partition(" ")[2]
        again = isinstance(self._auth, OAuth)
        while True:
            try:
                return (
                    yield from self._send(request, url, read, is_repeatable=is_repeatable, auth=self._auth, **kwargs)
                )
            except AnswerError as error:
                if isinstance(error, GrantError) or error.status != requests.codes.unauthorized or not again:
                    raise
            self._auth.discard()
            again = False

    def _exchange(self, grant: Grant) -> Waiting[AccessToken]:
        """Get an access token, see https://developers.asana.com/docs/oauth#token-exchange."""
        request = "POST /-/oauth_token"

        def read(response: requests.Response) -> AccessToken:
            if not response.ok:
                raise GrantError(request, response.status_code, _oauth_message(response))
            return _read(request, response, AccessToken)

        form = {"grant_type": "refresh_token", **asdict(grant)}
        url = urljoin(self._url, "/-/oauth_token")
        # A redirect may lead to another host, and would take the secrets along.
        return self._send(request, url, read, is_repeatable=True, data=form, allow_redirects=False)

    def _send(  # noqa: PLR0913 - all but the first three by name
        self,
        request: str,
        url: str,
        read: Callable[[requests.Response], T],
        *,
        is_repeatable: bool,
        waits_for_429: bool = True,
        is_paced: bool = False,
        retries: int | None = None,
        auth: Bearer | OAuth | None = None,
        **kwargs: Any,
    ) -> Waiting[T]:
        """Send a request until the answer is other than "not now"; one that is not repeatable only if none got lost."""
        method = request.partition(" ")[0]
        retries = self._retries if retries is None else min(retries, self._retries)
        tries = self.PAUSES
        tally = self.requests.setdefault(endpoint(request), Requests())
        while True:
            headers = {"Authorization": f"Bearer {(yield from auth.token())}"} if auth else {}
            send = functools.partial(
                self._session.request, method, url, timeout=self._timeout, headers=headers, **kwargs
            )
            tally.count += 1
            tally.retries += bool(tries.history)
            try:
                with contextlib.nullcontext() if method == "GET" else self._undisturbed():
                    response = (yield from self._pace.ask(send)) if is_paced else send()
                    self._has_answered = True
                    self._note_announcements(response)
                    status = response.status_code
                    if status not in self.RETRIED or (status == requests.codes.too_many_requests and not waits_for_429):
                        return read(response)
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                problem = connection_problem(error, self._timeout)
                unreachable = UnreachableError(request, problem.cause, problem.remedy, may_pass=problem.may_pass)
                pause = None
                # The answer to a POST was lost, perhaps not the POST: the caller decides on repeating.
                repeatable = problem.may_pass and (is_repeatable or problem.never_sent)
                most = retries if self._has_answered else min(retries, self.RETRIES_WITHOUT_ANSWER)
            else:
                unreachable = UnreachableError(request, redact_line(f"Asana answered {status} {response.reason}"))
                pause = retry_after(response)
                repeatable = is_repeatable or status == requests.codes.too_many_requests
                most = retries
            if not repeatable or len(tries.history) >= most:
                raise unreachable
            tries = tries.increment(method, url, error=urllib3.exceptions.HTTPError())
            seconds = pause or tries.get_backoff_time()
            if is_paced and pause:
                self._pace.hold(pause)
            soon = f"in {seconds:.1f} s" if seconds else "at once"
            say = functools.partial(logger.warning, "%s: %s; trying again %s", request, unreachable.cause, soon)
            say()
            yield Pause(seconds, say)

    def _note_announcements(self, response: requests.Response) -> None:
        """Say once of each change of the API that an answer announces."""
        known = {each.name for each in self.announcements}
        for change in announced(response.headers.get("Asana-Change", "")):
            if change.name not in known:
                known.add(change.name)
                self.announcements.append(change)
                logger.log(
                    logging.WARNING if change.affected else logging.INFO,
                    "Asana announces a change of its API, %s, which %s: %s. The settings asana_enable and "
                    "asana_disable take it early or late.",
                    change.name,
                    "affects this run" if change.affected else "does not affect this run",
                    change.info or "see https://developers.asana.com/docs/deprecations",
                )


def endpoint(request: str) -> str:
    """A request without what differs from one object to the next: `GET /jobs/{gid}`."""
    return re.sub(r"/[0-9]+(?=/|$)", "/{gid}", request)


def announced(header: str) -> list[Announcement]:
    """The changes in the header `Asana-Change`: `name=…;info=https://…;affected=true`, perhaps several."""
    changes = []
    for text in re.split(r",\s*(?=name=)", header):
        values = dict(re.findall(r"\b(name|info|affected)=([^;,\s]+)", redact_line(text)))
        if name := values.get("name"):
            info = values.get("info", "")
            link = info if info.startswith("https://") else None
            changes.append(Announcement(name, link, affected=values.get("affected", "").lower() == "true"))
    return changes


def ask_now(work: Waiting[T], seconds: float) -> T:
    """Ask Asana now, pausing between tries for so many seconds at the most.

    Raises:
        UnreachableError: Asana wants to be asked later.
        AnswerError: as the work does.
    """

    def too_late() -> Exception:
        return UnreachableError("Asana", f"it wants to be asked again later than in {seconds:g} s (wait_timeout)")

    return finish(stop_at(time.monotonic() + seconds, work, too_late))


def retry_after(response: requests.Response) -> float | None:
    """Seconds until Asana wants to be asked again; None where it says nothing of use.

    https://www.rfc-editor.org/rfc/rfc9110#name-retry-after: a number of seconds, or a date.
    """
    try:
        seconds = urllib3.Retry().parse_retry_after(response.headers.get("Retry-After", ""))
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        return None
    return float(min(seconds, MOST_SECONDS))


def _read(request: str, response: requests.Response, answer: type[T]) -> T:
    if not response.ok:
        raise AnswerError(request, response.status_code, _message(response), retry_after(response))
    return _decode(request, response, answer)


def _decode(request: str, response: requests.Response, answer: type[T]) -> T:
    content = response.content
    try:
        try:
            return msgspec.json.decode(content, type=answer)
        except msgspec.DecodeError:
            content, halves = replace_lone_surrogates(content)
            if not halves:
                raise
            logger.warning("%s: the answer has half an emoji, cut by somebody: it becomes U+FFFD.", request)
            return msgspec.json.decode(content, type=answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        cause = f"{response.headers.get('Content-Type', 'no type')} that is not what Asana documents ({error})"
        raise UnreadableError(request, redact_line(f"it is {cause}")) from None


def _message(response: requests.Response) -> str:
    """Asana's words: `{"errors": [{"message": …, "help": …, "phrase": …}]}`."""
    try:
        words = [error["message"].rstrip(".") for error in response.json()["errors"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        words = []
    return redact_line("; ".join(words) or response.reason or "no reason given")[:MOST_WORDS]


def _oauth_message(response: requests.Response) -> str:
    """The kind of error, `{"error": …}`; not its description, in which a server may repeat what it was sent."""
    try:
        kind = response.json()["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        kind = None
    return kind if kind in OAUTH_ERRORS else redact_line(response.reason or "no reason given")
