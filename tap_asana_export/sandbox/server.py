"""The stand-in for Asana: its export API over synthetic organizations, on two ports of the loopback."""

from __future__ import annotations

import logging
import re
import secrets
import tempfile
import threading
from collections import deque
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta, timezone
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from .export import InvalidRequestError, Parameter, lines, objects, parameters, project, write
from .faults import BUSY, FAULTS, NAMES, error
from .organization import OPT_IN, Object, Organization
from .population import milliseconds, timestamp
from .storage import Storage
from .wire import Answer, Listener, Request, json_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing_extensions import Self

_logger = logging.getLogger(__name__)
_API = "/api/1.0"
_FIRST_WORKSPACE = 1200000000000001
_PAGE = 100
# How long a look at a job that is due waits for its file: small exports are then done at the first look.
_PATIENCE = 1.0
_LOGGED_HEADERS = (
    "authorization",
    "content-type",
    "user-agent",
    "range",
    "if-match",
    "if-range",
    "accept-encoding",
)


class Exchange(NamedTuple):
    """A request that was answered."""

    method: str
    path: str
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Job:
    """An export, asked for and perhaps done. `rewrites` and `compressed` say how its file deviates."""

    gid: str
    export_gid: str
    organization: Organization
    created: datetime
    path: Path
    fails: bool = False
    compressed: bool = True
    rewrites: list[Callable[[Any], Iterator[Any]]] = field(default_factory=list)
    written: datetime | None = None
    thread: threading.Thread | None = None


def _setting(default: Any, meaning: str) -> Any:
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata={"meaning": meaning, "default": default})
    return field(default=default, metadata={"meaning": meaning, "default": default})


@dataclass(kw_only=True)
class Sandbox:
    """A stand-in for Asana, from `start` (or `with`) to `close`.

    `requests` remembers the last ten thousand answers. `on_request` is called with every request before it is answered.
    """

    seed: int = _setting(0, "which organization: the same seed gives the same one")
    workspaces: int | list[str] = _setting(1, "gids of the workspaces, or how many there are")
    users: int = _setting(50, "users of a workspace")
    teams: int = _setting(8, "teams of a workspace")
    projects: int = _setting(40, "projects of a workspace")
    tasks: int = _setting(2000, "tasks of a workspace")
    messages: int = _setting(200, "messages of a workspace")
    large: int = _setting(2, "how many of the tasks have a megabyte of notes")
    change_interval: float = _setting(
        5.0, "seconds between two changes to tasks of a workspace; 0: no changes"
    )
    job_seconds: float = _setting(1.0, "least seconds from the request for an export to its success")
    url_seconds: int = _setting(300, "seconds for which a download URL is good")
    token_seconds: int = _setting(3600, "seconds for which an OAuth access token is good")
    retry_after: int = _setting(1, "seconds in the Retry-After of the fault rate_limited")
    access_token: str = _setting("sandbox", "the token of the service account")
    port: int = _setting(0, "port of the API on 127.0.0.1; 0: any free one")
    faults: dict[str, int] = _setting(
        {}, f"what goes wrong, and how often (true: always): {', '.join(NAMES)}"
    )
    clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
    on_request: Callable[[Request], None] | None = None

    @classmethod
    def settings(cls) -> dict[str, tuple[Any, str]]:
        """Name → default and meaning of everything that can be set."""
        return {
            known.name: (known.metadata["default"], known.metadata["meaning"])
            for known in fields(cls)
            if "meaning" in known.metadata
        }

    def __post_init__(self) -> None:
        unknown = self.faults.keys() - set(NAMES)
        if unknown:
            raise ValueError(f"Unknown faults: {', '.join(unknown)}. There are {', '.join(NAMES)}.")
        gids = self.workspaces
        if isinstance(gids, int):
            gids = [str(_FIRST_WORKSPACE + number) for number in range(gids)]
        self.organizations = {
            gid: Organization(
                gid,
                seed=self.seed,
                users=self.users,
                teams=self.teams,
                projects=self.projects,
                tasks=self.tasks,
                messages=self.messages,
                large=self.large,
                change_interval=self.change_interval,
                clock=self.clock,
            )
            for gid in gids
        }
        self.requests: deque[Exchange] = deque(maxlen=10_000)
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._last_job = 0
        self._tokens: dict[str, datetime] = {}
        self._closing = threading.Event()

    # ── life ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> Self:
        """Listen on both ports."""
        self._directory = tempfile.TemporaryDirectory(prefix="asana-sandbox-")
        self._storage = Storage(self.clock, self._answered)
        self._listener = Listener(self.port, lambda request: self._answered(request, self._route))
        self.api_url = self._listener.url + _API
        self.storage_url = self._storage.url
        return self

    def close(self) -> None:
        """Stop listening and writing, and remove the files."""
        self._closing.set()
        self._listener.close()
        self._storage.close()
        for job in self._jobs.values():
            if job.thread:
                job.thread.join()
        self._directory.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def objects(self, workspace: str, kind: str, fields: list[str] | None = None) -> Iterator[Object]:
        """What a whole export of this type, with these fields, would hold now."""
        for item in self.organizations[workspace].objects(kind, whole=bool(fields)):
            yield project(item, fields) if fields else item

    # ── answering ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _answered(self, request: Request, respond: Callable[[Request], Answer]) -> Answer:
        if self.on_request:
            self.on_request(request)
        answer = respond(request)
        if answer.status in (200, 206) and respond != self._route:
            for strike in self._strikes("download"):
                strike(answer)
            if answer.status == 206:
                for strike in self._strikes("resumed"):
                    strike(answer)
        headers = {name: value for name, value in request.headers.items() if name.lower() in _LOGGED_HEADERS}
        self.requests.append(Exchange(request.method, request.path, answer.status, headers, request.body))
        _logger.debug("%s %s: %d", request.method, request.path, answer.status)
        return answer

    def _strikes(self, moment: str) -> list[Callable[..., Any]]:
        """The faults that strike now; each is counted down."""
        return [strike for name, strike in FAULTS[moment].items() if self._consume(name)]

    def _consume(self, name: str) -> bool:
        with self._lock:
            left = self.faults.get(name, 0)
            if left is not True and left > 0:
                self.faults[name] = left - 1
            return bool(left)

    def _route(self, request: Request) -> Answer:
        path = request.path
        if not path.startswith(_API):
            return self._control(request)
        for strike in FAULTS["request"]:
            if self._consume(strike):
                answer: Answer = FAULTS["request"][strike](self.retry_after)
                return answer
        if not self._authorized(request):
            return json_answer({"errors": [{"message": "Not Authorized"}]}, 401)
        for method, pattern, respond in _ROUTES:
            matched = re.fullmatch(pattern, path.removeprefix(_API))
            if matched and method == request.method:
                return respond(self, request, *matched.groups())
        return error(404, "No matching route for request")

    def _authorized(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        known = token == self.access_token or self._tokens.get(token, self.clock()) > self.clock()
        return scheme.lower() == "bearer" and known

    # ── users and workspaces ───────────────────────────────────────────────────────────────────────────────────────

    def _me(self, request: Request) -> Answer:
        first = next(iter(self.organizations.values()))
        workspaces = [organization.workspace for organization in self.organizations.values()]
        return _data({**first.users[0], "workspaces": workspaces}, request)

    def _workspaces(self, request: Request) -> Answer:
        query = request.query
        found = [organization.workspace for organization in self.organizations.values()]
        if "opt_fields" in query:
            found = [project(_workspace(compact), query["opt_fields"].split(",")) for compact in found]
        if "limit" not in query:
            return json_answer({"data": found})
        try:
            limit, offset = int(query["limit"]), int(query.get("offset", "0"))
        except ValueError:
            return error(400, "limit: Not a valid number")
        if not 0 < limit <= _PAGE:
            return error(400, f"limit: Must be between 1 and {_PAGE}")
        following = None
        if offset + limit < len(found):
            path = f"/workspaces?limit={limit}&offset={offset + limit}"
            following = {"offset": str(offset + limit), "path": path, "uri": self.api_url + path}
        return json_answer({"data": found[offset : offset + limit], "next_page": following})

    def _one_workspace(self, request: Request, gid: str) -> Answer:
        if gid not in self.organizations:
            return error(404, f"workspace: Unknown object: {gid}")
        return _data(_workspace(self.organizations[gid].workspace), request)

    # ── exports and jobs ───────────────────────────────────────────────────────────────────────────────────────────

    def _post_export(self, request: Request) -> Answer:
        for strike in self._strikes("post"):
            refused: Answer = strike(None)
            return refused
        try:
            body = request.json()
            data = body["data"]
            workspace = data.get("workspace")
            requested = parameters(data) if workspace else []
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
            return error(400, "Could not parse request data, invalid JSON")
        except InvalidRequestError as invalid:
            return error(400, str(invalid))
        if not workspace:
            return error(400, "workspace: Missing input")
        if workspace not in self.organizations:
            return error(404, f"workspace: Unknown object: {workspace}")
        organization = self.organizations[workspace]
        with self._lock:
            if any(
                self._status(job) in _UNFINISHED
                for job in self._jobs.values()
                if job.organization is organization
            ):
                return error(403, BUSY)
            job = self._create(organization)
        for strike in self._strikes("job"):
            strike(job)
        job.thread = threading.Thread(target=self._write, args=(job, requested), daemon=True)
        job.thread.start()
        described = self._describe(job)
        described |= {"status": "not_started" if self.job_seconds else "in_progress"}
        answer = json_answer({"data": described}, 201, Location=f"{_API}/jobs/{job.gid}")
        for strike in self._strikes("posted"):
            strike(answer)
        return answer

    def _create(self, organization: Organization) -> Job:
        created = self.clock()
        number = self._last_job = max(self._last_job + 1, milliseconds(created) // 100)
        gid, export_gid = (organization.gid_of("job", *divmod(number * 10 + part, 1000)) for part in (0, 1))
        job = Job(
            gid, export_gid, organization, created, Path(self._directory.name, f"{export_gid}.jsonl.gz")
        )
        self._jobs[gid] = job
        return job

    def _write(self, job: Job, requested: list[Parameter]) -> None:
        blocks: Iterator[Any] = lines(objects(job.organization, requested))
        for rewrite in job.rewrites:
            blocks = rewrite(blocks)
        try:
            write(
                job.path, takewhile(lambda _: not self._closing.is_set(), blocks), compressed=job.compressed
            )
        except Exception:
            _logger.exception("Export %s could not be written", job.export_gid)
            job.fails = True
        job.written = self.clock()

    def _status(self, job: Job) -> str:
        waited = (self.clock() - job.created).total_seconds()
        if waited < self.job_seconds:
            return "not_started" if waited < self.job_seconds / 10 else "in_progress"
        if job.thread:
            job.thread.join(_PATIENCE)
        if job.written is None:
            return "in_progress"
        return "failed" if job.fails else "succeeded"

    def _describe(self, job: Job) -> Object:
        return {
            "gid": job.gid,
            "resource_type": "job",
            "resource_subtype": "export_request",
            "status": "in_progress",
            "new_resource_export": {
                "gid": job.export_gid,
                "resource_type": "export_request",
                "created_at": timestamp(milliseconds(job.created)),
                "completed_at": None,
                "download_url": None,
            },
        }

    def _job(self, request: Request, gid: str) -> Answer:
        job = self._jobs.get(gid)
        if not job:
            return error(404, f"job: Unknown object: {gid}")
        described = self._describe(job)
        described["status"] = self._status(job)
        if described["status"] == "succeeded" and job.written:
            completed = max(job.written, job.created + timedelta(seconds=self.job_seconds))
            described["new_resource_export"] |= {
                "completed_at": timestamp(milliseconds(completed)),
                "download_url": self._url(job),
            }
            for strike in self._strikes("success"):
                strike(described)
        for strike in self._strikes("poll"):
            strike(described)
        return _data(described, request)

    def _url(self, job: Job) -> str:
        name = f"object_export_{job.organization.gid}_{job.export_gid}_{milliseconds(job.created)}.jsonl.gz"
        key = f"/object_export/{job.export_gid}/download/{name}"
        self._storage.files[key] = job.path
        seconds = self.url_seconds
        for strike in self._strikes("url"):
            seconds = strike(seconds)
        return self._storage.sign(key, seconds)

    # ── what Asana's API has not ───────────────────────────────────────────────────────────────────────────────────

    def _control(self, request: Request) -> Answer:
        if (request.method, request.path) == ("POST", "/-/oauth_token"):
            return self._refresh(dict(parse_qsl(request.body.decode())))
        command = request.path.removeprefix("/sandbox/")
        try:
            if (request.method, command) == ("GET", "objects"):
                workspace = request.query.get("workspace") or next(iter(self.organizations))
                current = lines(self.organizations[workspace].objects(request.query["type"]))
                return Answer(200, iter(current), {"Content-Type": "application/jsonl"})
            if request.method == "POST" and command in ("add", "touch", "move", "delete"):
                return json_answer({"data": self._command(command, request.json())})
        except (KeyError, TypeError, msgspec.DecodeError) as problem:
            return error(400, f"{type(problem).__name__}: {problem}")
        return error(404, "No matching route for request")

    def _command(self, command: str, body: Object) -> Object:
        if command == "add":
            workspace = body.get("workspace") or next(iter(self.organizations))
            return {"gid": self.organizations[workspace].add(body.get("type", "task"))}
        gid = body.pop("gid")
        organization = next((each for each in self.organizations.values() if each.has(gid)), None)
        if not organization:
            raise KeyError(gid)
        getattr(organization, command)(gid, **body)
        return {"gid": gid}

    def _refresh(self, form: dict[str, str]) -> Answer:
        if form.get("grant_type") != "refresh_token" or not form.get("refresh_token"):
            problem = {
                "error": "invalid_grant",
                "error_description": "The refresh token is missing or unknown.",
            }
            return json_answer(problem, 400)
        token = secrets.token_urlsafe(16)
        self._tokens[token] = self.clock() + timedelta(seconds=self.token_seconds)
        return json_answer({"access_token": token, "token_type": "bearer", "expires_in": self.token_seconds})


_UNFINISHED = ("not_started", "in_progress")
_ROUTES: tuple[tuple[str, str, Callable[..., Answer]], ...] = (
    ("GET", r"/users/me", Sandbox._me),
    ("GET", r"/workspaces", Sandbox._workspaces),
    ("GET", r"/workspaces/(\d+)", Sandbox._one_workspace),
    ("POST", r"/exports/resource", Sandbox._post_export),
    ("GET", r"/jobs/(\d+)", Sandbox._job),
)


def _data(content: Object, request: Request) -> Answer:
    if "opt_fields" in request.query:
        content = project(content, request.query["opt_fields"].split(","))
    return json_answer({"data": content})


def _workspace(compact: Object) -> Object:
    return {**compact, "email_domains": ["sandbox.example"], "is_organization": True}
