"""The stand-in for Asana: its export API over synthetic organizations, on two ports of the loopback."""

from __future__ import annotations

import logging
import re
import secrets
import tempfile
import threading
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta, timezone
from http import HTTPStatus
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from tap_asana_export.sandbox.export import InvalidRequestError, Job, lines, objects, parameters, project, write
from tap_asana_export.sandbox.faults import BUSY, FAULTS, NAMES, error
from tap_asana_export.sandbox.organization import Organization
from tap_asana_export.sandbox.population import milliseconds, timestamp
from tap_asana_export.sandbox.storage import Storage
from tap_asana_export.sandbox.wire import Answer, Listener, Transfer, json_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

    from tap_asana_export.sandbox.directory import Object
    from tap_asana_export.sandbox.export import Parameter
    from tap_asana_export.sandbox.wire import Request

_logger = logging.getLogger(__name__)
_API = "/api/1.0"
_FIRST_WORKSPACE = 1200000000000001
_PAGE = 100
_JOBS = 10**10
_UNFINISHED = ("not_started", "in_progress")
# How long a look at a job waits for its file, so that small exports are always written by the first look.
_PATIENCE = 1.0


class Exchange(NamedTuple):
    """A request that was answered."""

    method: str
    path: str
    status: int
    headers: dict[str, str]
    body: bytes


def _means(meaning: str) -> dict[str, str]:
    return {"meaning": meaning}


@dataclass(kw_only=True, eq=False, repr=False)
class Sandbox:
    """A stand-in for Asana, from `start` (or `with`) to `close`.

        with Sandbox(tasks=200, faults={"busy": 2}) as sandbox:
            export_everything(sandbox.api_url, sandbox.access_token)

    `requests` remembers the last ten thousand answers. `on_request` is called with every request before it
    is answered. `clock` returns the present as an aware datetime.
    """

    seed: int = field(default=0, metadata=_means("the same seed gives the same organizations"))
    workspaces: int | list[str] = field(default=1, metadata=_means("gids of the workspaces, or how many"))
    users: int = field(default=50, metadata=_means("users of a workspace"))
    teams: int = field(default=8, metadata=_means("teams of a workspace"))
    projects: int = field(default=40, metadata=_means("projects of a workspace"))
    tasks: int = field(default=2000, metadata=_means("tasks of a workspace"))
    messages: int = field(default=200, metadata=_means("messages of a workspace"))
    large: int = field(default=2, metadata=_means("how many of the tasks have a megabyte of notes"))
    change_interval: float | None = field(
        default=5.0, metadata=_means("seconds between two changes to a workspace's tasks; 0: nothing changes")
    )
    job_seconds: float = field(default=1.0, metadata=_means("least seconds that an export takes"))
    url_seconds: int = field(default=300, metadata=_means("seconds for which a download URL is good"))
    token_seconds: int = field(default=3600, metadata=_means("seconds for which an OAuth token is good"))
    retry_after: int = field(default=1, metadata=_means("Retry-After of the fault rate_limited, in seconds"))
    access_token: str = field(default="sandbox", metadata=_means("the token of the service account"))
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
        """Name → default and meaning of everything that can be set."""
        plain = cls()
        return {
            setting.name: (getattr(plain, setting.name), setting.metadata["meaning"])
            for setting in fields(cls)
            if "meaning" in setting.metadata
        }

    def __post_init__(self) -> None:
        """Imagine the organizations; nothing listens yet."""
        unknown = self.faults.keys() - set(NAMES)
        if unknown:
            raise ValueError(f"Unknown faults: {', '.join(unknown)}. There are {', '.join(NAMES)}.")
        gids = self.workspaces
        if isinstance(gids, int):
            gids = [str(_FIRST_WORKSPACE + number) for number in range(gids)]
        if len({gid[-3:] for gid in gids}) < len(gids):
            raise ValueError(f"The last three digits of the workspaces' gids must differ: {', '.join(gids)}")
        shared = {setting.name: getattr(self, setting.name) for setting in fields(Organization)[1:]}
        self.organizations = {gid: Organization(gid, **shared) for gid in gids}
        self.requests: deque[Exchange] = deque(maxlen=10_000)
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._last_job = 0
        self._tokens: dict[str, datetime] = {}
        self._creating = threading.Lock()
        self._closing = threading.Event()
        self._open = ExitStack()
        self._storage = Storage(self.clock)

    # ── life ───────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> Self:
        """Listen on two ports: one is Asana's API, the other the storage that download URLs point to."""
        self._directory = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="asana-sandbox-")))
        self._open.callback(self._stop_writing)
        api = Listener(self.port, lambda request: self._logged(request, self._respond))
        self._open.callback(api.close)
        storage = Listener(0, lambda request: self._logged(request, self._download))
        self._open.callback(storage.close)
        self.api_url = api.url + _API
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
            job.has_ended.wait(_PATIENCE)

    def objects(self, workspace: str, kind: str, fields: list[str] | None = None) -> Iterator[Object]:
        """What a whole export of this type, with these fields, would hold now."""
        for item in self.organizations[workspace].objects(kind, whole=bool(fields)):
            yield project(item, fields) if fields else item

    # ── answering ──────────────────────────────────────────────────────────────────────────────────────────

    def _logged(self, request: Request, respond: Callable[[Request], Answer]) -> Answer:
        if self.on_request:
            self.on_request(request)
        answer = respond(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(Exchange(request.method, request.path, answer.status, headers, request.body))
        _logger.debug("%s %s: %d", request.method, request.path, answer.status)
        return answer

    def _strikes(self, moment: str, target: Any) -> Iterator[Any]:
        """What the faults of this moment, counted down one by one as they are asked for, do to the target."""
        for name, strike in FAULTS[moment].items():
            with self._lock:
                left = self.faults.get(name, 0)
                if left is not True and left > 0:
                    self.faults[name] = left - 1
            if left:
                yield strike(target)

    def _strike(self, moment: str, target: Any) -> None:
        for _ in self._strikes(moment, target):
            pass

    def _download(self, request: Request) -> Answer:
        answer = self._storage.get(request)
        if isinstance(answer, Transfer):
            answer.fault_at = self.fault_at
            if answer.status == HTTPStatus.PARTIAL_CONTENT:
                self._strike("resumed", answer)
            self._strike("download", answer)
        return answer

    def _respond(self, request: Request) -> Answer:
        if not request.path.startswith(_API):
            return self._control(request)
        refusal: Answer | None = next(self._strikes("request", self.retry_after), None)
        if refusal:
            return refusal
        if not self._authorized(request):
            return json_answer({"errors": [{"message": "Not Authorized"}]}, 401)
        for method, pattern, respond in self._routes:
            matched = re.fullmatch(pattern, request.path.removeprefix(_API))
            if matched and method == request.method:
                return respond(self, request, *matched.groups())
        return error(404, "No matching route for request")

    def _authorized(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        known = token == self.access_token or self._tokens.get(token, self.clock()) > self.clock()
        return scheme.lower() == "bearer" and known

    # ── users and workspaces ───────────────────────────────────────────────────────────────────────────────

    def _me(self, request: Request) -> Answer:
        first = next(iter(self.organizations.values()))
        workspaces = [organization.workspace for organization in self.organizations.values()]
        return _data({**first.directory.users[0], "workspaces": workspaces}, request)

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

    # ── exports and jobs ───────────────────────────────────────────────────────────────────────────────────

    def _post_export(self, request: Request) -> Answer:
        try:
            data = request.json()["data"]
            workspace = str(data["workspace"])
            requested = parameters(data)
        except (msgspec.DecodeError, TypeError):
            return error(400, "Could not parse request data, invalid JSON")
        except KeyError as missing:
            return error(400, f"{missing.args[0]}: Missing input")
        except InvalidRequestError as invalid:
            return error(400, str(invalid))
        if workspace not in self.organizations:
            return error(404, f"workspace: Unknown object: {workspace}")
        refusal: Answer | None = next(self._strikes("post", workspace), None)
        return refusal or self._export(self.organizations[workspace], requested)

    def _export(self, organization: Organization, requested: list[Parameter]) -> Answer:
        job = self._create(organization)
        if not job:
            return error(403, BUSY)
        self._strike("job", job)
        threading.Thread(target=self._write, args=(job, requested), daemon=True).start()
        described = self._describe(job, "not_started")
        answer = json_answer({"data": described}, 201, Location=f"{_API}/jobs/{job.gid}")
        self._strike("posted", answer)
        return answer

    def _create(self, organization: Organization) -> Job | None:
        """A job, unless the workspace has one that is not over."""
        with self._creating:
            jobs = [job for job in self._jobs.values() if job.organization is organization]
            if any(self._status(job) in _UNFINISHED for job in jobs):
                return None
            created = self.clock()
            self._last_job = max(self._last_job + 1, milliseconds(created) // 100 % _JOBS)
            gid, export_gid = (
                organization.directory.gid("job", *divmod(self._last_job * 10 + part, 1000)) for part in (0, 1)
            )
            job = Job(gid, export_gid, organization, created, self._directory / f"{export_gid}.jsonl.gz")
            self._jobs[gid] = job
            return job

    def _write(self, job: Job, requested: list[Parameter]) -> None:
        blocks: Iterator[Any] = lines(objects(job.organization, requested))
        for rewrite in job.rewrites:
            blocks = rewrite(blocks)
        wanted = takewhile(lambda _: not self._closing.is_set(), blocks)
        try:
            write(job.path, wanted, compressed=job.compressed)
        except Exception:
            _logger.exception("Export %s could not be written", job.export_gid)
            job.fails = True
        finally:
            job.ended = self.clock()
            job.has_ended.set()

    def _status(self, job: Job) -> str:
        is_written = job.has_ended.wait(_PATIENCE)
        waited = (self.clock() - job.created).total_seconds()
        if waited < self.job_seconds:
            return "not_started" if waited < self.job_seconds / 10 else "in_progress"
        if not is_written:
            return "in_progress"
        return "failed" if job.fails else "succeeded"

    def _describe(self, job: Job, status: str) -> Object:
        described: Object = {
            "gid": job.gid,
            "resource_type": "job",
            "resource_subtype": "export_request",
            "status": status,
            "new_resource_export": {
                "gid": job.export_gid,
                "resource_type": "export_request",
                "created_at": timestamp(milliseconds(job.created)),
                "completed_at": None,
                "download_url": None,
            },
        }
        if status == "succeeded" and job.ended:
            completed = max(job.ended, job.created + timedelta(seconds=self.job_seconds))
            described["new_resource_export"]["completed_at"] = timestamp(milliseconds(completed))
            described["new_resource_export"]["download_url"] = self._url(job)
            self._strike("success", described)
        return described

    def _job(self, request: Request, gid: str) -> Answer:
        if gid not in self._jobs:
            return error(404, f"job: Unknown object: {gid}")
        job = self._jobs[gid]
        described = self._describe(job, self._status(job))
        self._strike("poll", described)
        return _data(described, request)

    def _url(self, job: Job) -> str:
        name = f"object_export_{job.organization.gid}_{job.export_gid}_{milliseconds(job.created)}.jsonl.gz"
        key = f"/object_export/{job.export_gid}/download/{name}"
        self._storage.files[key] = job.path
        seconds = next(self._strikes("url", self.url_seconds), self.url_seconds)
        return self.storage_url + self._storage.sign(key, seconds)

    # ── what Asana's API has not ───────────────────────────────────────────────────────────────────────────

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
        organization = next((each for each in self.organizations.values() if gid in each), None)
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

    _routes = (
        ("GET", r"/users/me", _me),
        ("GET", r"/workspaces", _workspaces),
        ("GET", r"/workspaces/(\d+)", _one_workspace),
        ("POST", r"/exports/resource", _post_export),
        ("GET", r"/jobs/(\d+)", _job),
    )


def _data(content: Object, request: Request) -> Answer:
    if "opt_fields" in request.query:
        content = project(content, request.query["opt_fields"].split(","))
    return json_answer({"data": content})


def _workspace(compact: Object) -> Object:
    return {**compact, "email_domains": ["sandbox.example"], "is_organization": True}
