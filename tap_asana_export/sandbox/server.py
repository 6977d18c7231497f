"""The stand-in for Asana: its export API and its storage, on two ports of the loopback."""

from __future__ import annotations

import logging
import math
import re
import secrets
import tempfile
import threading
from collections import Counter, deque
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from http import HTTPStatus
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

from tap_asana_export.leftovers import OWNER, remove_leftovers
from tap_asana_export.sandbox import graph
from tap_asana_export.sandbox.activity import Activity, audit_event_of, audit_log_answer, event_of, events_answer
from tap_asana_export.sandbox.export import (
    FORMS,
    ExportJob,
    InvalidRequestError,
    check_fields,
    lines,
    objects,
    parameters,
    project,
    shown,
    write,
)
from tap_asana_export.sandbox.faults import BUSY, FAULTS, NAMES, TOO_MANY, error
from tap_asana_export.sandbox.lists import LISTS, listed
from tap_asana_export.sandbox.organization import ALONG, COMMANDS, Organization
from tap_asana_export.sandbox.pages import API, ROUTES, Offsets, answer, page, refused
from tap_asana_export.sandbox.population import milliseconds, timestamp
from tap_asana_export.sandbox.shapes import ORDERS, SHAPES
from tap_asana_export.sandbox.storage import Storage
from tap_asana_export.sandbox.wire import Answer, Listener, Transfer, json_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from typing_extensions import Self

    from tap_asana_export.sandbox.directory import Object
    from tap_asana_export.sandbox.wire import Request

_logger = logging.getLogger(__name__)
_FIRST_WORKSPACE = 1200000000000001
_FOLDER = "asana-sandbox-"
_JOBS = 10**10
_REFUSABLE = (*LISTS, "workspaces", "audit_log_events", "events")
_REFUSALS = {*range(400, 600)}
_CHOICES: dict[str, Collection[str]] = {
    "shape": SHAPES,
    "property_order": ORDERS,
    "graph_format": FORMS,
    "tasks_of_deleted_projects": ALONG,
}
_UNFINISHED = ("not_started", "in_progress")
_GRAPHS_KEPT = timedelta(hours=4)
# Seconds that a poll waits for the job's file, so that a small export is always complete at the first poll.
_WRITE_WAIT = 1.0


class Exchange(NamedTuple):
    """A request and the status of its answer."""

    method: str
    path: str
    status: int
    headers: dict[str, str]
    body: bytes


def _means(meaning: str) -> dict[str, str]:
    return {"meaning": meaning}


@dataclass(kw_only=True, eq=False, repr=False)
class Sandbox:
    """A stand-in for Asana, which serves from `start` (or `with`) until `close`.

        with Sandbox(tasks=200, faults={"busy": 2}) as sandbox:
            export_everything(sandbox.api_url, sandbox.access_token)

    `requests` has the last ten thousand requests. `on_request` is called with each request before its answer. `clock`
    returns the present as an aware datetime.
    """

    seed: int = field(default=0, metadata=_means("the same seed gives the same organizations"))
    workspaces: int | list[str] = field(default=1, metadata=_means("gids of the workspaces, or how many"))
    users: int = field(default=50, metadata=_means("users of a workspace"))
    teams: int = field(default=8, metadata=_means("teams of a workspace"))
    projects: int = field(default=40, metadata=_means("projects of a workspace"))
    tasks: int = field(default=2000, metadata=_means("tasks of a workspace"))
    messages: int = field(default=200, metadata=_means("messages of a workspace"))
    tags: int = field(default=8, metadata=_means("tags of a workspace"))
    custom_fields: int = field(default=10, metadata=_means("custom fields of a workspace"))
    portfolios: int = field(default=4, metadata=_means("portfolios of a workspace"))
    goals: int = field(default=4, metadata=_means("goals of a workspace"))
    project_templates: int = field(default=4, metadata=_means("project templates of a workspace"))
    time_periods: int = field(default=21, metadata=_means("time periods of a workspace, seven a year"))
    teamless_projects: int = field(
        default=0, metadata=_means("how many of the projects, the last ones, belong to no team")
    )
    large: int = field(default=2, metadata=_means("how many of the tasks have a megabyte of notes"))
    change_interval: float | None = field(
        default=5.0, metadata=_means("seconds between two changes to a workspace's tasks; 0: nothing changes")
    )
    fresh: int = field(
        default=3,
        metadata=_means(
            "how many percent of tasks and messages are replaced over time: as one is created, the oldest of them is"
            " deleted"
        ),
    )
    shape: str = field(
        default="prose", metadata=_means(f"what tasks are made of, long texts or many objects: {', '.join(SHAPES)}")
    )
    property_order: str = field(
        default="documented", metadata=_means(f"order of a task's properties: {', '.join(ORDERS)}")
    )
    job_seconds: float = field(default=1.0, metadata=_means("least seconds that an export takes"))
    jobs_at_once: int = field(
        default=5, metadata=_means("how many jobs of one token may run at a time; a further one is answered 429")
    )
    graph_format: str = field(
        default="lines", metadata=_means(f"how the objects of a graph export stand in its file: {', '.join(FORMS)}")
    )
    graph_relation_gids: bool = field(
        default=True, metadata=_means("whether the relation lines of a graph export have gids")
    )
    graph_cache_tasks: int = field(
        default=1000, metadata=_means("a graph export of more tasks than this is not made anew for four hours")
    )
    url_seconds: int = field(default=300, metadata=_means("seconds for which a download URL is good"))
    token_seconds: int = field(default=3600, metadata=_means("seconds for which an OAuth token is good"))
    offset_seconds: int = field(default=900, metadata=_means("seconds for which the offset of a list's page is good"))
    requests_a_minute: int = field(
        default=1500,
        metadata=_means("requests that a token may make in a minute; more are answered 429; 0: any number"),
    )
    refused_lists: dict[str, int] = field(
        default_factory=dict,
        metadata=_means(f"lists that are refused, and with which status. There are {', '.join(_REFUSABLE)}"),
    )
    tasks_of_deleted_projects: str = field(
        default="stay",
        metadata=_means(
            "what becomes of the tasks that are in a deleted project alone: they stay, or are deleted with it, and the"
            f" audit log and the events tell of each of them or not. There are {', '.join(ALONG)}"
        ),
    )
    sync_seconds: int = field(default=86_400, metadata=_means("seconds for which the sync token of events is good"))
    events_a_request: int = field(default=1000, metadata=_means("events that one answer has at the most"))
    events_late: float = field(default=0.0, metadata=_means("seconds that an event may take to arrive, at the most"))
    events_lost: int = field(default=0, metadata=_means("one of so many events never comes; 0: every event comes"))
    events_of_tasks: bool = field(default=True, metadata=_means("whether events tell of tasks and stories"))
    retry_after: float | str = field(
        default=1, metadata=_means("Retry-After of other answers 429: seconds, or any text to send as it is")
    )
    announcements: dict[str, str] = field(
        default_factory=dict,
        metadata=_means(
            "changes of the API that every answer announces in the header Asana-Change unless the request takes them"
            " early or late: names, each with the link that explains it"
        ),
    )
    access_token: str = field(default="sandbox", metadata=_means("the token of the service account"))
    client_id: str = field(default="sandbox", metadata=_means("id of the OAuth app"))
    client_secret: str = field(default="sandbox", metadata=_means("secret of the OAuth app"))
    refresh_token: str = field(default="sandbox", metadata=_means("the OAuth app's refresh token"))
    port: int = field(default=0, metadata=_means("port of the API on 127.0.0.1; 0: any free one"))
    faults: dict[str, int] = field(
        default_factory=dict,
        metadata=_means(f"what goes wrong, and how often (true: always). There are {', '.join(NAMES)}"),
    )
    fault_at: float = field(
        default=0.5, metadata=_means("after which share of a download it is dropped, truncated or corrupted")
    )
    clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
    on_request: Callable[[Request], None] | None = None

    @classmethod
    def settings(cls) -> dict[str, tuple[Any, str]]:
        """Return default and meaning of each setting by name."""
        plain = cls()
        return {
            setting.name: (getattr(plain, setting.name), setting.metadata["meaning"])
            for setting in fields(cls)
            if "meaning" in setting.metadata
        }

    def __post_init__(self) -> None:
        """Check the settings, and make the organizations."""
        for setting in fields(self):
            if "meaning" in setting.metadata:
                default = setting.default_factory() if callable(setting.default_factory) else setting.default
                setattr(self, setting.name, _checked(setting.name, default, getattr(self, setting.name)))
        unknown = self.faults.keys() - set(NAMES)
        if unknown:
            raise ValueError(f"Unknown faults: {', '.join(unknown)}. There are {', '.join(NAMES)}.")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"Unknown {name}: {getattr(self, name)}. There are {', '.join(known)}.")
        unknown = self.refused_lists.keys() - {*_REFUSABLE}
        if unknown:
            raise ValueError(f"Unknown lists: {', '.join(unknown)}. There are {', '.join(_REFUSABLE)}.")
        if not set(self.refused_lists.values()) <= _REFUSALS:
            raise ValueError(f"refused_lists must have statuses from 400 to 599, not {shown(self.refused_lists)}.")
        gids = self.workspaces
        if isinstance(gids, int):
            gids = [str(_FIRST_WORKSPACE + number) for number in range(gids)]
        if len({gid[-3:] for gid in gids}) < len(gids):
            raise ValueError(f"The last three digits of the workspaces' gids must differ: {', '.join(gids)}")
        shared = {setting.name: getattr(self, setting.name) for setting in fields(Organization)[1:]}
        self.organizations = {gid: Organization(gid, **shared) for gid in gids}
        self.activities = {gid: Activity(organization) for gid, organization in self.organizations.items()}
        self.requests: deque[Exchange] = deque(maxlen=10_000)
        self._lock = threading.Lock()
        self._jobs: dict[str, ExportJob] = {}
        self._last_job = 0
        self._tokens: dict[str, datetime] = {}
        self._creating = threading.Lock()
        self._closing = threading.Event()
        self._open = ExitStack()
        self._storage = Storage(self.clock)
        self._minute = 0.0
        self._asked: Counter[str] = Counter()
        self.offsets = Offsets(self.clock)

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> Self:
        """Listen on two ports: one for the API, the other for the storage that download URLs point to."""
        remove_leftovers(Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"))
        folder = tempfile.TemporaryDirectory(prefix=f"{_FOLDER}{OWNER}-")
        self._directory = Path(self._open.enter_context(folder))
        self._open.callback(self._stop_writing)
        api = Listener(self.port, lambda request: self._logged(request, self._respond))
        self._open.callback(api.close)
        storage = Listener(0, lambda request: self._logged(request, self._download))
        self._open.callback(storage.close)
        self.api_url = api.url + API
        self.storage_url = storage.url
        return self

    def close(self) -> None:
        """Stop listening and writing, and remove the files."""
        self._closing.set()
        self._open.close()

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _stop_writing(self) -> None:
        for job in list(self._jobs.values()):
            job.has_ended.wait(_WRITE_WAIT)

    def objects(self, workspace: str, kind: str, fields: list[str] | None = None) -> Iterator[Object]:
        """Yield the objects that a full export of this type, with these fields, would have now."""
        for item in self.organizations[workspace].objects(kind, whole=bool(fields)):
            yield project(item, fields) if fields else item

    def graph_objects(self, parent: str) -> Iterator[Object]:
        """Yield the objects that a graph export of this goal, team, portfolio or project would have now.

        Raises:
            KeyError: no such parent exists now.
        """
        organization = self._organization_of(parent)
        if not organization:
            raise KeyError(parent)
        return graph.objects(organization, parent, relation_gids=self.graph_relation_gids)

    def listed(self, workspace: str, name: str) -> Iterator[Object]:
        """Yield the objects that a list of this name, with all fields, would have now.

        Sections are those of all projects. The items of portfolios have `portfolio_gid` besides.
        """
        organization = self.organizations[workspace]
        return iter((_workspace(organization.workspace),)) if name == "workspaces" else listed(organization, name)

    def audit_log(self, workspace: str) -> list[Object]:
        """Return the whole audit log as it is now, which is kept for 90 days."""
        organization = self.organizations[workspace]
        found = self.activities[workspace].audit_log(0, organization.now() + 1)
        return [audit_event_of(organization, act) for act in found]

    def events(self, workspace: str) -> list[Object]:
        """Return all events since the organization was made, also those that arrive late or never."""
        organization = self.organizations[workspace]
        return [event_of(act) for act in self.activities[workspace].events(organization.began - 1, organization.now())]

    def parents(self, workspace: str, kind: str) -> list[str]:
        """Return the gids of the workspace's goals, teams, portfolios or projects."""
        return graph.parents(self.organizations[workspace], kind)

    def _organization_of(self, parent: str) -> Organization | None:
        return next((each for each in self.organizations.values() if graph.find(each, parent)), None)

    # ── answering ────────────────────────────────────────────────────────────────────────────────────────

    def _logged(self, request: Request, respond: Callable[[Request], Answer]) -> Answer:
        if self.on_request:
            self.on_request(request)
        answer = respond(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(Exchange(request.method, request.path, answer.status, headers, request.body))
        _logger.debug("%s %s: %d", request.method, request.path, answer.status)
        return answer

    def strikes(self, moment: str, target: Any) -> Iterator[Any]:
        """Apply the faults of a moment to a target one by one, count each down, and yield their results."""
        for name, strike in FAULTS[moment].items():
            with self._lock:
                left = self.faults.get(name, 0)
                if left is not True and left > 0:
                    self.faults[name] = left - 1
            if left:
                yield strike(target)

    def strike(self, moment: str, target: Any) -> None:
        """Apply the faults of a moment to a target."""
        for _ in self.strikes(moment, target):
            pass

    def _download(self, request: Request) -> Answer:
        answer = self._storage.get(request)
        if isinstance(answer, Transfer):
            answer.fault_at = self.fault_at
            if answer.status == HTTPStatus.PARTIAL_CONTENT:
                self.strike("resumed", answer)
            self.strike("download", answer)
        return answer

    def _respond(self, request: Request) -> Answer:
        if not request.path.startswith(API):
            return self._control(request)
        answer = self._api_answer(request)
        if announced := announcements(self.announcements, request):
            answer.headers["Asana-Change"] = announced
        return answer

    def _api_answer(self, request: Request) -> Answer:
        refusal: Answer | None = next(self.strikes("request", self.retry_after), None)
        if refusal:
            return refusal
        if not self._authorized(request):
            return json_answer({"errors": [{"message": "Not Authorized"}]}, 401)
        if seconds := self._seconds_to_wait(_token(request)):
            return error(429, TOO_MANY, Retry_After=str(seconds))
        try:
            return self._route(request)
        except InvalidRequestError as invalid:
            return error(400, str(invalid))

    def _route(self, request: Request) -> Answer:
        path = request.path.removeprefix(API)
        for method, pattern, respond in self._routes:
            matched = re.fullmatch(pattern, path)
            if matched and method == request.method:
                return respond(self, request, *matched.groups())
        for pattern, name in ROUTES:
            matched = re.fullmatch(pattern, path)
            if matched and request.method == "GET":
                return answer(self, request, name, *matched.groups())
        return error(404, "No matching route for request")

    def _authorized(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        known = token == self.access_token or self._tokens.get(token, self.clock()) > self.clock()
        return scheme.lower() == "bearer" and known

    def _seconds_to_wait(self, token: str) -> int:
        """Count a request, and return for how many seconds its token has made too many; 0 if it has not."""
        minute, second = divmod(self.clock().timestamp(), 60)
        with self._lock:
            if minute != self._minute:
                self._minute, self._asked = minute, Counter()
            self._asked[token] += 1
            exceeded = 0 < self.requests_a_minute < self._asked[token]
        return math.ceil(60 - second) if exceeded else 0

    # ── users and workspaces ─────────────────────────────────────────────────────────────────────────────

    def _me(self, request: Request) -> Answer:
        first = next(iter(self.organizations.values()))
        workspaces = [organization.workspace for organization in self.organizations.values()]
        return _data({**first.directory.user(0, whole=True), "workspaces": workspaces}, request)

    def _workspaces(self, request: Request) -> Answer:
        found = [_workspace(organization.workspace) for organization in self.organizations.values()]
        return page(self, request, lambda start: islice(enumerate(found), start, None))

    def _audit_log(self, request: Request, gid: str) -> Answer:
        return audit_log_answer(self, request, gid)

    def _events(self, request: Request, gid: str) -> Answer:
        return events_answer(self, request, gid)

    def _one_workspace(self, request: Request, gid: str) -> Answer:
        if "workspaces" in self.refused_lists:
            return refused(self.refused_lists["workspaces"])
        if gid not in self.organizations:
            return error(404, f"workspace: Unknown object: {gid}")
        return _data(_workspace(self.organizations[gid].workspace), request)

    # ── exports and jobs ─────────────────────────────────────────────────────────────────────────────────

    def _post_export(self, request: Request) -> Answer:
        data = _input(request)
        workspace = _gid("workspace", data)
        requested = parameters(data)
        if workspace not in self.organizations:
            return error(404, f"workspace: Unknown object: {workspace}")
        organization = self.organizations[workspace]
        refusal: Answer | None = next(self.strikes("resource_post", self.retry_after), None)
        return refusal or self._export(organization, request, objects(organization, requested))

    def _post_graph_export(self, request: Request) -> Answer:
        parent = _gid("parent", _input(request))
        organization = self._organization_of(parent)
        if not organization:
            return error(404, f"parent: Unknown object: {parent}")
        return self._export(organization, request, self.graph_objects(parent), parent)

    def _export(
        self, organization: Organization, request: Request, items: Iterator[Object], parent: str | None = None
    ) -> Answer:
        """Answer a request for an export with a new job, with one that exports the same already, or with a refusal."""
        refusal: Answer | None = next(self.strikes("post", self.retry_after), None)
        if refusal:
            return refusal
        with self._creating:
            alike = [job for job in self._jobs.values() if job.organization is organization and job.parent == parent]
            running = next((job for job in alike if self._status(job) in _UNFINISHED), None)
            if running and not parent:
                return error(403, BUSY)
            job = running or self._cached(alike)
            if not job:
                token = _token(request)
                if self._is_at_work(token):
                    return error(429, TOO_MANY, Retry_After=str(self.retry_after))
                job = self._create(organization, token, parent)
                if not parent:
                    organization.start_export(organization.directory.user(0))
                self.strike("job", job)
                threading.Thread(target=self._write, args=(job, items), daemon=True).start()
                status = "not_started"
            else:
                status = self._status(job, 0)
        described = self._describe(job, status)
        self.strike("new_job", described)
        answer = json_answer({"data": described}, 201, Location=f"{API}/jobs/{job.gid}")
        self.strike("posted", answer)
        return answer

    def _is_at_work(self, token: str) -> bool:
        """Whether a token has as many running jobs as it may have."""
        running = [job for job in self._jobs.values() if job.token == token]
        for seconds in (0, _WRITE_WAIT):
            running = [job for job in running if self._status(job, seconds) in _UNFINISHED]
            if len(running) < self.jobs_at_once:
                return False
        return True

    def _cached(self, alike: list[ExportJob]) -> ExportJob | None:
        """Return a new job with the file of an earlier export that Asana would cache; None if there is none."""
        for job in alike:
            is_large = job.parent and job.tasks > self.graph_cache_tasks
            if is_large and not job.fails and self.clock() < self._completed(job) + _GRAPHS_KEPT:
                gid, _ = self._gids(job.organization)
                self._jobs[gid] = replace(job, gid=gid)
                return self._jobs[gid]
        return None

    def _gids(self, organization: Organization) -> tuple[str, str]:
        """Return gids for a new job and its export."""
        self._last_job = max(self._last_job + 1, milliseconds(self.clock()) // 100 % _JOBS)
        job, export = (organization.directory.gid("job", *divmod(self._last_job * 10 + part, 1000)) for part in (0, 1))
        return job, export

    def _create(self, organization: Organization, token: str, parent: str | None) -> ExportJob:
        gid, export_gid = self._gids(organization)
        path = self._directory / export_gid
        job = ExportJob(gid, export_gid, organization, self.clock(), path, token, parent)
        self._jobs[gid] = job
        return job

    def _write(self, job: ExportJob, items: Iterator[Object]) -> None:
        blocks = job.blocks(items, self.graph_format if job.parent else "lines")
        wanted = takewhile(lambda _: not self._closing.is_set(), blocks)
        try:
            write(job.path, wanted, compressed=job.compressed)
        except Exception:
            _logger.exception("Export %s could not be written", job.export_gid)
            job.fails = True
        finally:
            job.ended = self.clock()
            job.has_ended.set()

    def _status(self, job: ExportJob, seconds: float = _WRITE_WAIT) -> str:
        is_written = job.has_ended.wait(seconds)
        waited = (self.clock() - job.created).total_seconds()
        if waited < self.job_seconds:
            return "not_started" if waited < self.job_seconds / 10 else "in_progress"
        if not is_written:
            return "in_progress"
        return "failed" if job.fails else "succeeded"

    def _describe(self, job: ExportJob, status: str) -> Object:
        export: Object = {
            "gid": job.export_gid,
            "resource_type": "graph_export" if job.parent else "export_request",
            "created_at": timestamp(milliseconds(job.created)),
            "completed_at": None,
            "download_url": None,
        }
        described: Object = {
            "gid": job.gid,
            "resource_type": "job",
            "resource_subtype": "graph_export_request" if job.parent else "export_request",
            "status": status,
            "new_graph_export" if job.parent else "new_resource_export": export,
        }
        if status == "succeeded":
            export["completed_at"] = timestamp(milliseconds(self._completed(job)))
            export["download_url"] = self._url(job)
            self.strike("success", described)
        return described

    def _completed(self, job: ExportJob) -> datetime:
        """Return the time at which an export that has ended is completed."""
        return max(job.ended or job.created, job.created + timedelta(seconds=self.job_seconds))

    def _job(self, request: Request, gid: str) -> Answer:
        if gid not in self._jobs:
            return error(404, f"job: Unknown object: {gid}")
        job = self._jobs[gid]
        described = self._describe(job, self._status(job))
        self.strike("poll", described)
        return _data(described, request)

    def _url(self, job: ExportJob) -> str:
        kind, source = ("graph", job.parent) if job.parent else ("object", job.organization.gid)
        ending = "json" if job.parent and self.graph_format != "lines" else "jsonl"
        name = f"{kind}_export_{source}_{job.export_gid}_{milliseconds(job.created)}.{ending}.gz"
        key = f"/{kind}_export/{job.export_gid}/download/{name}"
        self._storage.files[key] = job.path
        seconds = next(self.strikes("url", self.url_seconds), self.url_seconds)
        return self.storage_url + self._storage.sign(key, seconds)

    # ── control of the sandbox, and OAuth ────────────────────────────────────────────────────────────────

    def _control(self, request: Request) -> Answer:
        if (request.method, request.path) == ("POST", "/-/oauth_token"):
            return self._refresh(dict(parse_qsl(request.body.decode(errors="replace"))))
        command = request.path.removeprefix("/sandbox/")
        try:
            if request.method == "GET" and command in ("objects", "lists", "parents"):
                return self._look(command, request.query)
            if request.method == "POST" and command in COMMANDS:
                return json_answer({"data": self._command(command, request.json())})
        except (KeyError, TypeError, ValueError) as problem:
            return error(400, f"{type(problem).__name__}: {problem}")
        return error(404, "No matching route for request")

    def _look(self, command: str, query: dict[str, str]) -> Answer:
        workspace = query.get("workspace") or next(iter(self.organizations))
        if command == "parents":
            return json_answer({"data": self.parents(workspace, query["type"])})
        if command == "lists":
            return Answer(
                200, iter(lines(self.listed(workspace, query["name"]))), {"Content-Type": "application/jsonl"}
            )
        parent = query.get("parent")
        current = self.graph_objects(parent) if parent else self.organizations[workspace].objects(query["type"])
        return Answer(200, iter(lines(current)), {"Content-Type": "application/jsonl"})

    def _command(self, command: str, body: Any) -> Object:
        if not isinstance(body, dict):
            raise TypeError(f"Not an object: {shown(body)}")
        if command == "add":
            workspace = body.get("workspace") or next(iter(self.organizations))
            return {"gid": self.organizations[workspace].add(body.get("type", "task"))}
        gid = body.pop("gid")
        organization = next((each for each in self.organizations.values() if each.owns(gid)), None)
        if not organization:
            raise KeyError(gid)
        return {"gid": getattr(organization, command)(gid, **body) or gid}

    def _refresh(self, form: dict[str, str]) -> Answer:
        refusal: Answer | None = next(self.strikes("request", self.retry_after), None)
        if refusal:
            return refusal
        if (form.get("client_id"), form.get("client_secret")) != (self.client_id, self.client_secret):
            return _oauth_error("invalid_client", "The client id or secret is missing or unknown.", 401)
        if form.get("grant_type") != "refresh_token":
            return _oauth_error("unsupported_grant_type", "There are refresh tokens only.")
        if form.get("refresh_token") != self.refresh_token:
            return _oauth_error("invalid_grant", "The refresh token is missing or unknown.")
        token = secrets.token_urlsafe(16)
        self._tokens[token] = self.clock() + timedelta(seconds=self.token_seconds)
        return json_answer({"access_token": token, "token_type": "bearer", "expires_in": self.token_seconds})

    _routes = (
        ("GET", r"/users/me", _me),
        ("GET", r"/workspaces", _workspaces),
        ("GET", r"/workspaces/(\d+)", _one_workspace),
        ("GET", r"/workspaces/(\d+)/audit_log_events", _audit_log),
        ("GET", r"/workspaces/(\d+)/events", _events),
        ("POST", r"/exports/resource", _post_export),
        ("POST", r"/exports/graph", _post_graph_export),
        ("GET", r"/jobs/(\d+)", _job),
    )


# The types that a setting may have, and their name for errors, by the type of its default.
_SETTING_TYPES: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float, Decimal), "a number"),
    str: ((str,), "a text"),
    dict: ((dict,), "an object"),
}
_BOUNDS: dict[str, tuple[float, float]] = {
    "seed": (-math.inf, math.inf),
    "port": (0, 65_535),
    "fault_at": (0, 1),
    "fresh": (0, 100),
    "workspaces": (1, 999),
    "jobs_at_once": (1, math.inf),
    "events_a_request": (1, math.inf),
    **dict.fromkeys(("portfolios", "goals", "project_templates", "time_periods"), (0, 50_000)),
}
"""Least and greatest value of settings that are not limited by 0 and infinity."""


def _checked(name: str, default: Any, value: Any) -> Any:
    """Check the value of a setting, and return it.

    Raises:
        ValueError: the setting cannot have this value.
    """
    if (name, value) == ("change_interval", None):
        return value
    if name == "retry_after" and isinstance(value, str):
        if not value.isprintable():
            raise ValueError(f"retry_after must be text of one line, not {shown(value)}.")
        return value
    if name == "workspaces" and isinstance(value, list):
        if not value or not all(isinstance(gid, str) and re.fullmatch("[0-9]{3,19}", gid) for gid in value):
            raise ValueError(f"workspaces must be a number or an array of gids, not {shown(value)}.")
        return value
    types, words = _SETTING_TYPES[float if name == "retry_after" else type(default)]
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise ValueError(f"{name} must be {words}, not {shown(value)}.")
    if name == "announcements" and isinstance(value, dict):
        return _checked_announcements(value)
    if isinstance(value, dict) and not all(isinstance(each, int) for each in value.values()):
        words = "how often it strikes" if name == "faults" else "with which status it is refused"
        raise ValueError(f"{name} must say of each {words}: {shown(value)}.")
    least, most = _BOUNDS.get(name, (0, math.inf))
    if isinstance(value, (int, float, Decimal)) and not least <= value <= most:
        raise ValueError(f"{name} must be between {least} and {most}, not {value}.")
    return float(value) if isinstance(value, Decimal) else value


def _checked_announcements(value: dict[str, Any]) -> dict[str, str]:
    """Return the setting `announcements`; raise ValueError if it cannot stand in a header."""
    if not all(isinstance(each, str) and re.fullmatch(r"[^\s;,]+", each) for each in (*value, *value.values())):
        raise ValueError(f"announcements must have texts without blanks, commas and semicolons, not {shown(value)}.")
    return value


def announcements(changes: dict[str, str], request: Request) -> str:
    """Return the header `Asana-Change` of an answer: the changes that the request does not take early or late."""
    headers = (request.headers.get(name, "") for name in ("Asana-Enable", "Asana-Disable"))
    taken = {name.strip() for header in headers for name in header.split(",")}
    return ", ".join(f"name={name};info={link};affected=true" for name, link in changes.items() if name not in taken)


def _oauth_error(kind: str, description: str, status: int = 400) -> Answer:
    """Return an error in the form of https://www.rfc-editor.org/rfc/rfc6749#section-5.2."""
    return json_answer({"error": kind, "error_description": description}, status)


def _token(request: Request) -> str:
    return request.headers.get("Authorization", "").partition(" ")[2]


def _opt_fields(request: Request) -> list[str]:
    """Return the paths in `opt_fields`; none for the default fields."""
    fields = request.query["opt_fields"].split(",") if request.query.get("opt_fields") else []
    check_fields("opt_fields", fields)
    return fields


def _input(request: Request) -> Object:
    """Return the `data` of a request.

    Raises:
        InvalidRequestError: there is none.
    """
    try:
        body = request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise InvalidRequestError("Could not parse request data, invalid JSON")
    if "data" not in body:
        raise InvalidRequestError("data: Missing input")
    if not isinstance(body["data"], dict):
        raise InvalidRequestError(f"data: Not an object: {shown(body['data'])}")
    data: Object = body["data"]
    return data


def _gid(name: str, data: Object) -> str:
    """Return a property of `data` that is a gid.

    Raises:
        InvalidRequestError: it is missing, or no text.
    """
    if name not in data:
        raise InvalidRequestError(f"{name}: Missing input")
    gid = data[name]
    if not isinstance(gid, str):
        raise InvalidRequestError(f"{name}: Not a string: {shown(gid)}")
    return gid


def _data(content: Object, request: Request) -> Answer:
    if fields := _opt_fields(request):
        content = project(content, fields)
    return json_answer({"data": content})


def _workspace(compact: Object) -> Object:
    return {**compact, "email_domains": ["sandbox.example"], "is_organization": True}
