"""The stand-in for Asana, as programs meet it: over HTTP."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
import zlib
from datetime import datetime, timezone
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

import asana  # type: ignore[import-untyped]
import pytest

from tap_asana_export.sandbox import Sandbox
from tap_asana_export.sandbox.faults import BUSY, FORBIDDEN, NAMES
from tests.support.tap import WORKSPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from email.message import Message
    from pathlib import Path

    from tests.support.clock import Clock

EVERYTHING = [{"resource_type": kind} for kind in ("task", "team", "message")]
BEARER = {"Authorization": "Bearer sandbox"}
PORTFOLIO = "1900100000000000"


class Reply(NamedTuple):
    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def errors(self) -> list[str]:
        return [problem["message"] for problem in self.json["errors"]]


def ask(method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Reply:
    target = urlsplit(url)
    connection = http.client.HTTPConnection(target.netloc, timeout=10)
    try:
        connection.request(method, f"{target.path}?{target.query}", body or None, headers or {})
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read())
    finally:
        connection.close()


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    """Time stands still unless a test moves it."""
    with Sandbox(tasks=40, messages=10, teams=3, large=1, job_seconds=0, clock=clock) as sandbox:
        yield sandbox


def api(sandbox: Sandbox, path: str, data: Any = None, headers: dict[str, str] = BEARER) -> Reply:
    body = b"" if data is None else json.dumps(data).encode()
    return ask("GET" if data is None else "POST", sandbox.api_url + path, body, headers)


def post(sandbox: Sandbox, requested: Any = EVERYTHING, workspace: str = WORKSPACE) -> Reply:
    return api(sandbox, "/exports/resource", {"data": {"workspace": workspace, "export_request_parameters": requested}})


def post_graph(sandbox: Sandbox, parent: str = PORTFOLIO) -> Reply:
    return api(sandbox, "/exports/graph", {"data": {"parent": parent}})


def poll(sandbox: Sandbox, job: dict[str, Any]) -> dict[str, Any]:
    looked: dict[str, Any] = api(sandbox, f"/jobs/{job['gid']}").json["data"]
    return looked


def exported(sandbox: Sandbox) -> str:
    """The URL of a finished export of everything."""
    job = poll(sandbox, post(sandbox).json["data"])
    assert job["status"] == "succeeded"
    url: str = job["new_resource_export"]["download_url"]
    return url


def graph_exported(sandbox: Sandbox, parent: str = PORTFOLIO) -> str:
    """The URL of a finished graph export."""
    job = poll(sandbox, post_graph(sandbox, parent).json["data"])
    assert job["status"] == "succeeded"
    url: str = job["new_graph_export"]["download_url"]
    return url


def decoded(body: bytes) -> list[dict[str, Any]]:
    return sorted((json.loads(line) for line in body.split(b"\n") if line), key=lambda item: str(item["gid"]))


def json_lines(items: Iterable[dict[str, Any]]) -> bytes:
    return "\n".join(json.dumps(item) for item in items).encode()


def everything(sandbox: Sandbox) -> list[dict[str, Any]]:
    found = [item for each in EVERYTHING for item in sandbox.objects(WORKSPACE, each["resource_type"])]
    return sorted(found, key=lambda item: str(item["gid"]))


# ── Asana's own client ────────────────────────────────────────────────────────────────────────────────────────────────


def test_asanas_own_client_exports_everything(sandbox: Sandbox) -> None:
    configuration = asana.Configuration()
    configuration.host = sandbox.api_url
    configuration.access_token = sandbox.access_token
    client = asana.ApiClient(configuration)
    try:
        me = asana.UsersApi(client).get_user("me", {"opt_fields": "name,workspaces.name"})
        (workspace,) = asana.WorkspacesApi(client).get_workspaces({})
        body = {"data": {"workspace": workspace["gid"], "export_request_parameters": EVERYTHING}}
        job = asana.ExportsApi(client).create_resource_export(body)
        done = asana.JobsApi(client).get_job(job["gid"], {})
    finally:
        client.pool.close()
        client.rest_client.pool_manager.clear()

    assert me == {"gid": me["gid"], "name": "Export Service", "workspaces": [{"gid": WORKSPACE, "name": "Sandbox 1"}]}
    with urllib.request.urlopen(done["new_resource_export"]["download_url"]) as file:  # noqa: S310 - loopback
        assert decoded(gzip.decompress(file.read())) == everything(sandbox)


def test_asanas_own_client_exports_a_graph(sandbox: Sandbox) -> None:
    configuration = asana.Configuration()
    configuration.host = sandbox.api_url
    configuration.access_token = sandbox.access_token
    client = asana.ApiClient(configuration)
    fields = "status,new_graph_export,new_graph_export.created_at,new_graph_export.download_url"
    try:
        job = asana.ExportsApi(client).create_graph_export({"data": {"parent": PORTFOLIO}})
        done = asana.JobsApi(client).get_job(job["gid"], {"opt_fields": fields})
    finally:
        client.pool.close()
        client.rest_client.pool_manager.clear()

    assert (done["gid"], done["status"]) == (job["gid"], "succeeded")
    with urllib.request.urlopen(done["new_graph_export"]["download_url"]) as file:  # noqa: S310 - loopback
        assert decoded(gzip.decompress(file.read())) == decoded(json_lines(sandbox.graph_objects(PORTFOLIO)))


# ── the API ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer other"}, {"Authorization": "Basic sandbox"}])
def test_without_the_token_nothing_is_told(headers: dict[str, str], sandbox: Sandbox) -> None:
    reply = api(sandbox, "/users/me", headers=headers)
    assert (reply.status, reply.json) == (401, {"errors": [{"message": "Not Authorized"}]})


def test_workspaces_come_in_pages() -> None:
    with Sandbox(workspaces=3, tasks=1) as sandbox:
        first = api(sandbox, "/workspaces?limit=2").json
        second = api(sandbox, f"/workspaces?limit=2&offset={first['next_page']['offset']}").json
        assert [len(first["data"]), len(second["data"]), second["next_page"]] == [2, 1, None]
        assert [each["gid"] for each in first["data"] + second["data"]] == list(sandbox.organizations)
        assert api(sandbox, "/workspaces?limit=2&opt_fields=is_organization").json["data"][0] == {
            "gid": WORKSPACE,
            "is_organization": True,
        }


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=0", "limit: Must be between 1 and 100"),
        ("limit=101", "limit: Must be between 1 and 100"),
        (f"limit={'9' * 5000}", "limit: Must be between 1 and 100"),
        ("limit=-1", "limit: Not a valid number"),
        ("limit=1_0", "limit: Not a valid number"),
        ("limit=ten", "limit: Not a valid number"),
        ("limit=1&offset=ten", "offset: Your pagination token is invalid."),
        ("limit=1&offset=-1", "offset: Your pagination token is invalid."),
        ("limit=1&offset=7", "offset: Your pagination token is invalid."),
        ("offset=ten", "offset: Your pagination token is invalid."),
        (f"opt_fields={'(a|b)' * 20}", "opt_fields: Too many alternatives"),
        (f"opt_fields={'(a)' * 3000}", "opt_fields: Too many alternatives"),
    ],
)
def test_a_page_that_there_is_not_is_refused_with_the_name_of_the_parameter(
    query: str, message: str, sandbox: Sandbox
) -> None:
    reply = api(sandbox, f"/workspaces?{query}")
    assert (reply.status, reply.errors) == (400, [message])


def test_what_is_not_there_is_unknown(sandbox: Sandbox) -> None:
    replies = [api(sandbox, path) for path in ("/workspaces/1", "/jobs/1", "/stories")]
    replies.append(post(sandbox, workspace="1"))
    assert [(reply.status, reply.errors) for reply in replies] == [
        (404, ["workspace: Unknown object: 1"]),
        (404, ["job: Unknown object: 1"]),
        (404, ["No matching route for request"]),
        (404, ["workspace: Unknown object: 1"]),
    ]
    assert api(sandbox, f"/workspaces/{WORKSPACE}").json["data"]["name"] == "Sandbox 1"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "data: Missing input"),
        ({"data": {"export_request_parameters": EVERYTHING}}, "workspace: Missing input"),
        ({"data": {"workspace": WORKSPACE}}, "export_request_parameters: Missing input"),
        ({"data": {"workspace": 1, "export_request_parameters": EVERYTHING}}, "workspace: Not a string: 1"),
        ({"data": {"workspace": None, "export_request_parameters": EVERYTHING}}, "workspace: Not a string: None"),
        ({"data": [WORKSPACE]}, f"data: Not an object: ['{WORKSPACE}']"),
        ([], "Could not parse request data, invalid JSON"),
        (None, "Could not parse request data, invalid JSON"),
    ],
)
def test_a_request_that_lacks_something_is_refused(data: Any, message: str, sandbox: Sandbox) -> None:
    body = b"" if data is None else json.dumps(data).encode()
    reply = ask("POST", f"{sandbox.api_url}/exports/resource", body, BEARER)
    assert (reply.status, reply.errors) == (400, [message])


DEEP = b'{"data":' + b"[" * 20_000 + b"]" * 20_000 + b"}"
ODD: dict[str, tuple[str, str, bytes, dict[str, str]]] = {
    "no JSON": ("POST", "/api/1.0/exports/resource", b"{", BEARER),
    "no UTF-8": ("POST", "/api/1.0/exports/resource", b'{"data": "\xff"}', BEARER),
    "half an emoji": ("POST", "/api/1.0/exports/graph", b'{"data": {"parent": "\\ud83d"}}', BEARER),
    "a body nested deep": ("POST", "/api/1.0/exports/graph", DEEP, BEARER),
    "a number for a body": ("POST", "/sandbox/touch", b"5", {}),
    "an array for a body": ("POST", "/sandbox/delete", b"[]", {}),
    "a command nested deep": ("POST", "/sandbox/delete", DEEP, {}),
    "a gid that is an array": ("POST", "/sandbox/delete", b'{"gid": []}', {}),
    "a workspace that is an array": ("POST", "/sandbox/add", b'{"workspace": ["1"]}', {}),
    "a field that cannot be set": ("POST", "/sandbox/touch", b'{"gid": "1", "kind": 1}', {}),
    "an unknown type": ("GET", "/sandbox/objects?type=gizmo", b"", {}),
    "parents of an unknown type": ("GET", "/sandbox/parents?type=gizmo", b"", {}),
    "parents of an unknown workspace": ("GET", "/sandbox/parents?type=team&workspace=1", b"", {}),
    "a form that is no text": ("POST", "/-/oauth_token", b"\xff\xfe=%ff", {}),
    "a signature that is no ASCII": ("GET", "/x?X-Amz-Signature=%C3%A9%ff%", b"", {}),
    "a URL that is none": ("GET", "//[", b"", BEARER),
    "malformed percent-encoding": ("GET", "/api/1.0/workspaces/%zz%?limit=%&opt_fields=%ff", b"", BEARER),
    "a long URL": ("GET", f"/api/1.0/{'x' * 70_000}", b"", BEARER),
    "a header without a value": ("GET", "/api/1.0/users/me", b"", {"Authorization": ""}),
    "a token that is no ASCII": ("GET", "/api/1.0/users/me", b"", {"Authorization": "Bearer \xe9"}),
    "a length that is no number": ("POST", "/api/1.0/exports/graph", b"", {**BEARER, "Content-Length": "ten"}),
    "a length below 0": ("POST", "/api/1.0/exports/graph", b"", {**BEARER, "Content-Length": "-1"}),
    "a body in chunks": ("POST", "/api/1.0/exports/graph", b"", {**BEARER, "Transfer-Encoding": "chunked"}),
    "PUT": ("PUT", "/api/1.0/users/me", b"{}", BEARER),
    "DELETE": ("DELETE", "/api/1.0/users/me", b"", BEARER),
    "PATCH": ("PATCH", "/api/1.0/exports/resource", b"{}", BEARER),
    "OPTIONS": ("OPTIONS", "/api/1.0/users/me", b"", BEARER),
    "HEAD": ("HEAD", "/api/1.0/users/me", b"", BEARER),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("storage", [False, True])
def test_an_odd_request_is_refused_and_the_sandbox_never_fails_on_it(
    odd: str, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, *, storage: bool
) -> None:
    method, path, body, headers = ODD[odd]
    base = sandbox.storage_url if storage else sandbox.api_url.removesuffix("/api/1.0")
    reply = ask(method, base + path, body, headers)
    assert 400 <= reply.status < 500, reply
    assert (reply.body == b"") == (method == "HEAD")
    assert caplog.text == ""
    assert api(sandbox, "/users/me").status == 200


SAMPLES: list[Any] = [None, True, -1, 1.5, 10**30, "", "x", "é(", [], [None], [[]], ["x"], {}, {"gid": 1}, {"": {}}]


@pytest.mark.soak
def test_no_value_of_a_request_for_an_export_makes_the_sandbox_fail(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    task: dict[str, Any] = {"resource_type": "task"}
    people = ("assignee", "assigned_by", "commented_on_by", "created_by", "followers", "liked_by")
    filters = [f"{name}.any" for name in people]
    filters += [f"{name}.{bound}" for name in ("created_at", "modified_at") for bound in ("after", "before")]
    instants = ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-01-01", "2026-02-30T00:00:00Z"]
    requested = [
        *SAMPLES,
        *([each] for each in SAMPLES),
        *([{"resource_type": each}] for each in SAMPLES),
        *([{**task, "fields": each}] for each in [*SAMPLES, ["(a|b)" * 20], ["(" * 3000], ["a." * 3000], ["()."]]),
        *([{**task, "filters": each}] for each in SAMPLES),
        *([{**task, "filters": {name: each}}] for name in filters for each in [*SAMPLES, *instants]),
    ]
    bodies = [
        *({"data": {"workspace": WORKSPACE, "export_request_parameters": each}} for each in requested),
        *({"data": {"workspace": each, "export_request_parameters": EVERYTHING}} for each in SAMPLES),
        *({"data": each} for each in SAMPLES),
        *SAMPLES,
    ]
    statuses = set()
    for body in bodies:
        reply = api(sandbox, "/exports/resource", body) if body is not None else None
        if reply and reply.status == 201:
            assert poll(sandbox, reply.json["data"])["status"] == "succeeded", body
        if reply:
            statuses.add(reply.status)
    assert statuses == {201, 400, 404}
    assert {api(sandbox, "/exports/graph", {"data": {"parent": each}}).status for each in SAMPLES} == {400, 404}
    assert caplog.text == ""


def test_an_export_without_the_type_of_its_objects_comes_through(sandbox: Sandbox) -> None:
    job = poll(sandbox, post(sandbox, [{"resource_type": "task", "fields": ["name"]}]).json["data"])
    found = decoded(gzip.decompress(ask("GET", job["new_resource_export"]["download_url"]).body))
    assert found == [{"gid": task["gid"], "name": task["name"]} for task in everything(sandbox) if "notes" in task]


def test_a_job_goes_from_not_started_to_succeeded(sandbox: Sandbox, clock: Clock) -> None:
    sandbox.job_seconds = 100
    posted = post(sandbox)
    job = posted.json["data"]
    assert (posted.status, posted.headers["Location"]) == (201, f"/api/1.0/jobs/{job['gid']}")
    assert job == {
        "gid": job["gid"],
        "resource_type": "job",
        "resource_subtype": "export_request",
        "status": "not_started",
        "new_resource_export": {
            "gid": job["new_resource_export"]["gid"],
            "resource_type": "export_request",
            "created_at": "2026-03-04T05:06:07.891Z",
            "completed_at": None,
            "download_url": None,
        },
    }
    looks = [poll(sandbox, job)]
    for seconds in (20, 60, 40):
        clock.sleep(seconds)
        looks.append(poll(sandbox, job))
    exports = [look["new_resource_export"] for look in looks]
    assert [(look["status"], export["completed_at"]) for look, export in zip(looks, exports, strict=True)] == [
        ("not_started", None),
        ("in_progress", None),
        ("in_progress", None),
        ("succeeded", "2026-03-04T05:07:47.891Z"),
    ]
    assert [bool(export["download_url"]) for export in exports] == [False, False, False, True]
    limited = api(sandbox, f"/jobs/{job['gid']}?opt_fields=status,new_resource_export.created_at").json["data"]
    created = {"gid": job["new_resource_export"]["gid"], "created_at": "2026-03-04T05:06:07.891Z"}
    assert limited == {"gid": job["gid"], "status": "succeeded", "new_resource_export": created}


def test_a_workspace_has_one_slot(clock: Clock) -> None:
    with Sandbox(workspaces=2, tasks=2, job_seconds=10, clock=clock) as sandbox:
        first, other = list(sandbox.organizations)
        replies = [post(sandbox, workspace=gid) for gid in (first, first, other)]
        clock.sleep(10)
        replies.append(post(sandbox, workspace=first))
        assert [reply.status for reply in replies] == [201, 403, 201, 201]
        assert replies[1].errors == [BUSY]
        jobs = {reply.json["data"]["gid"] for reply in replies if reply.status == 201}
        assert len(jobs) == 3


def test_an_oauth_token_is_good_for_an_hour(sandbox: Sandbox, clock: Clock) -> None:
    url = sandbox.api_url.replace("/api/1.0", "/-/oauth_token")
    form = dict.fromkeys(("client_id", "client_secret", "refresh_token"), "sandbox") | {"grant_type": "refresh_token"}
    granted = ask("POST", url, urlencode(form).encode()).json
    bearer = {"Authorization": f"Bearer {granted['access_token']}"}
    statuses = []
    for seconds in (0, 3599, 1):
        clock.sleep(seconds)
        statuses.append(api(sandbox, "/users/me", headers=bearer).status)
    assert (granted["expires_in"], granted["token_type"], statuses) == (3600, "bearer", [200, 200, 401])
    refusals = [
        ask("POST", url, urlencode(form | {name: "other"}).encode())
        for name in ("client_id", "client_secret", "grant_type", "refresh_token")
    ]
    assert [(each.status, each.json["error"]) for each in refusals] == [
        (401, "invalid_client"),
        (401, "invalid_client"),
        (400, "unsupported_grant_type"),
        (400, "invalid_grant"),
    ]


# ── graph exports ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("data", "status", "message"),
    [
        ({"data": {"parent": "1"}}, 404, "parent: Unknown object: 1"),
        ({"data": {"parent": "1100100000000000"}}, 404, "parent: Unknown object: 1100100000000000"),
        ({"data": {"parent": 1900100000000000}}, 400, "parent: Not a string: 1900100000000000"),
        ({"data": {"parent": None}}, 400, "parent: Not a string: None"),
        ({"data": {}}, 400, "parent: Missing input"),
        ({}, 400, "data: Missing input"),
        ([], 400, "Could not parse request data, invalid JSON"),
    ],
)
def test_a_request_for_a_graph_of_nothing_is_refused(data: Any, status: int, message: str, sandbox: Sandbox) -> None:
    reply = api(sandbox, "/exports/graph", data)
    assert (reply.status, reply.errors) == (status, [message])


@pytest.mark.parametrize("kind", ["goal", "team", "portfolio", "project"])
def test_the_graph_of_every_kind_of_parent_is_exported(kind: str, sandbox: Sandbox) -> None:
    parent = sandbox.parents(WORKSPACE, kind)[-1]
    found = decoded(gzip.decompress(ask("GET", graph_exported(sandbox, parent)).body))
    assert found == decoded(json_lines(sandbox.graph_objects(parent))) != []


def test_a_job_for_a_graph_goes_from_not_started_to_succeeded(sandbox: Sandbox, clock: Clock) -> None:
    sandbox.job_seconds = 100
    posted = post_graph(sandbox)
    job = posted.json["data"]
    assert (posted.status, posted.headers["Location"]) == (201, f"/api/1.0/jobs/{job['gid']}")
    assert job == {
        "gid": job["gid"],
        "resource_type": "job",
        "resource_subtype": "graph_export_request",
        "status": "not_started",
        "new_graph_export": {
            "gid": job["new_graph_export"]["gid"],
            "resource_type": "graph_export",
            "created_at": "2026-03-04T05:06:07.891Z",
            "completed_at": None,
            "download_url": None,
        },
    }
    clock.sleep(50)
    assert poll(sandbox, job) == job | {"status": "in_progress"}
    clock.sleep(50)
    done = poll(sandbox, job)
    url = urlsplit(done["new_graph_export"].pop("download_url"))
    assert url.path.startswith(f"/graph_export/{job['new_graph_export']['gid']}/download/graph_export_{PORTFOLIO}_")
    assert (done["status"], done["new_graph_export"]["completed_at"]) == ("succeeded", "2026-03-04T05:07:47.891Z")
    limited = api(sandbox, f"/jobs/{job['gid']}?opt_fields=status,new_graph_export.created_at").json["data"]
    created = {"gid": job["new_graph_export"]["gid"], "created_at": "2026-03-04T05:06:07.891Z"}
    assert limited == {"gid": job["gid"], "status": "succeeded", "new_graph_export": created}


def test_graph_exports_and_the_workspaces_slot_know_nothing_of_each_other(sandbox: Sandbox) -> None:
    sandbox.job_seconds = 10
    replies = [post_graph(sandbox), post(sandbox), post_graph(sandbox, sandbox.parents(WORKSPACE, "team")[0])]
    assert [reply.status for reply in replies] == [201, 201, 201]
    assert len({reply.json["data"]["gid"] for reply in replies}) == 3
    assert post(sandbox).errors == [BUSY]


def test_a_graph_that_is_being_exported_is_not_exported_twice(sandbox: Sandbox, clock: Clock) -> None:
    sandbox.job_seconds = 10
    first = post_graph(sandbox).json["data"]
    clock.sleep(5)
    again = post_graph(sandbox)
    assert (again.status, again.json["data"]) == (201, first | {"status": "in_progress"})
    clock.sleep(5)
    assert poll(sandbox, first)["status"] == "succeeded"
    anew = post_graph(sandbox).json["data"]
    assert anew["gid"] != first["gid"]
    assert anew["new_graph_export"]["created_at"] == "2026-03-04T05:06:17.891Z"


def test_a_large_graph_is_not_exported_anew_for_four_hours(sandbox: Sandbox, clock: Clock) -> None:
    count = sum(item["resource_type"] == "task" for item in sandbox.graph_objects(PORTFOLIO))
    sandbox.graph_cache_tasks, sandbox.job_seconds = count - 1, 60
    first = post_graph(sandbox).json["data"]
    clock.sleep(60)
    export = poll(sandbox, first)["new_graph_export"]
    body = ask("GET", export.pop("download_url")).body
    assert export["completed_at"] == "2026-03-04T05:07:07.891Z"

    task = next(item["gid"] for item in sandbox.graph_objects(PORTFOLIO) if item["resource_type"] == "task")
    sandbox.organizations[WORKSPACE].delete(task)
    clock.sleep(4 * 3600 - 0.001)
    cached = post_graph(sandbox)
    job = cached.json["data"]
    assert (cached.status, job["status"], job["gid"] == first["gid"]) == (201, "succeeded", False)
    assert ask("GET", job["new_graph_export"].pop("download_url")).body == body
    assert job["new_graph_export"] == export
    assert poll(sandbox, job)["status"] == "succeeded"

    clock.sleep(0.001)
    fresh = post_graph(sandbox).json["data"]
    assert (fresh["status"], fresh["new_graph_export"]["created_at"]) == ("not_started", "2026-03-04T09:07:07.891Z")
    clock.sleep(60)
    url = poll(sandbox, fresh)["new_graph_export"]["download_url"]
    assert task not in {item["gid"] for item in decoded(gzip.decompress(ask("GET", url).body))}


def test_a_graph_of_as_many_tasks_as_are_cached_at_most_is_exported_anew(sandbox: Sandbox) -> None:
    sandbox.graph_cache_tasks = sum(item["resource_type"] == "task" for item in sandbox.graph_objects(PORTFOLIO))
    urls = [urlsplit(graph_exported(sandbox)).path for _ in range(2)]
    assert urls[0] != urls[1]


def test_only_so_many_jobs_of_a_token_run_at_once(clock: Clock) -> None:
    with Sandbox(tasks=2, teams=6, job_seconds=10, retry_after=7, clock=clock) as sandbox:
        teams = sandbox.parents(WORKSPACE, "team")
        replies = [post(sandbox), *(post_graph(sandbox, team) for team in teams[:5])]
        assert [reply.status for reply in replies] == [201] * 5 + [429]
        assert replies[5].headers["Retry-After"] == "7"
        assert "made too many requests" in replies[5].errors[0]
        # What starts no job is no sixth one.
        assert [post_graph(sandbox, teams[0]).status, post(sandbox).status] == [201, 403]

        url = sandbox.api_url.replace("/api/1.0", "/-/oauth_token")
        form = {"grant_type": "refresh_token", "refresh_token": "sandbox"}
        form |= {"client_id": "sandbox", "client_secret": "sandbox"}
        other = {"Authorization": f"Bearer {ask('POST', url, urlencode(form).encode()).json['access_token']}"}
        assert api(sandbox, "/exports/graph", {"data": {"parent": teams[5]}}, other).status == 201
        clock.sleep(10)
        assert post_graph(sandbox, teams[4]).status == 201


FORMS: dict[str, Callable[[bytes], list[Any]]] = {
    "lines": lambda text: [json.loads(line) for line in text.split(b"\n")[:-1]],
    "array": json.loads,
    "object": lambda text: list(json.loads(text)["data"]),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_graph_comes_in_three_formats(form: str, sandbox: Sandbox) -> None:
    sandbox.graph_format = form
    url = graph_exported(sandbox)
    text = gzip.decompress(ask("GET", url).body)
    assert (text[-1:] == b"\n", urlsplit(url).path.endswith(".jsonl.gz")) == (form == "lines", form == "lines")
    assert FORMS[form](text) == FORMS["lines"](json_lines(sandbox.graph_objects(PORTFOLIO)) + b"\n")


@pytest.mark.parametrize(("form", "empty"), [("lines", b""), ("array", b"[]"), ("object", b'{"data":[]}')])
def test_an_empty_graph_is_a_file_too(form: str, empty: bytes, sandbox: Sandbox) -> None:
    sandbox.graph_format = form
    team = sandbox.organizations[WORKSPACE].add("team")
    assert gzip.decompress(ask("GET", graph_exported(sandbox, team)).body) == empty


@pytest.mark.parametrize("form", FORMS)
def test_what_goes_wrong_with_a_file_does_so_with_a_graph(form: str, sandbox: Sandbox) -> None:
    sandbox.graph_format = form
    expected = FORMS["lines"](json_lines(sandbox.graph_objects(PORTFOLIO)) + b"\n")
    bodies = {}
    for fault in ("plain", "multi_member", "unknown_type", "no_newline_at_end", "bad_line"):
        sandbox.faults = {fault: 1}
        bodies[fault] = ask("GET", graph_exported(sandbox)).body
    assert FORMS[form](bodies["plain"]) == expected
    assert bodies["multi_member"].count(b"\x1f\x8b\x08") >= len(expected)
    assert FORMS[form](gzip.decompress(bodies["multi_member"])) == expected
    strange = FORMS[form](gzip.decompress(bodies["unknown_type"]))
    assert (strange.pop(2)["resource_type"], strange) == ("sprocket", expected)
    unended = gzip.decompress(bodies["no_newline_at_end"])
    assert unended[-1:] in b"]}"
    assert FORMS[form](unended + b"\n") == expected
    with pytest.raises(UnicodeDecodeError):
        FORMS[form](gzip.decompress(bodies["bad_line"]))


def test_faults_of_requests_jobs_and_downloads_strike_at_graphs_too(sandbox: Sandbox) -> None:
    sandbox.faults = {"busy": 1, "forbidden": 1}
    assert [post_graph(sandbox).status for _ in range(2)] == [403, 201]
    assert sandbox.faults == {"busy": 1, "forbidden": 0}
    sandbox.faults = {"failed_job": 1}
    failed = poll(sandbox, post_graph(sandbox).json["data"])
    assert (failed["status"], failed["new_graph_export"]["download_url"]) == ("failed", None)
    sandbox.faults = {"no_url": 1}
    job = post_graph(sandbox).json["data"]
    assert [bool(poll(sandbox, job)["new_graph_export"]["download_url"]) for _ in range(2)] == [False, True]
    sandbox.faults = {"expired_url": 1}
    assert [ask("GET", graph_exported(sandbox)).status for _ in range(2)] == [403, 200]
    url = graph_exported(sandbox)
    sandbox.faults = {"truncated": 1}
    part, whole = ask("GET", url).body, ask("GET", url).body
    assert part == whole[: len(whole) // 2]


def test_a_graph_export_whose_answer_was_lost_is_found_by_asking_again(sandbox: Sandbox, clock: Clock) -> None:
    sandbox.faults, sandbox.job_seconds = {"lost_answer": 1}, 10
    with pytest.raises(http.client.RemoteDisconnected):
        post_graph(sandbox)
    clock.sleep(5)
    found = post_graph(sandbox).json["data"]
    assert (found["status"], found["new_graph_export"]["created_at"]) == ("in_progress", "2026-03-04T05:06:07.891Z")


# ── the storage ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_storage_is_another_origin_and_its_urls_are_signed_anew_each_time(sandbox: Sandbox) -> None:
    job = post(sandbox).json["data"]
    first, second = (urlsplit(poll(sandbox, job)["new_resource_export"]["download_url"]) for _ in range(2))
    assert first.netloc != urlsplit(sandbox.api_url).netloc
    assert (first.path, first.netloc) == (second.path, second.netloc)
    assert first.query != second.query
    assert parse_qs(first.query)["X-Amz-Expires"] == ["300"]


def test_the_storage_takes_no_token(sandbox: Sandbox) -> None:
    reply = ask("GET", exported(sandbox), headers=BEARER)
    assert (reply.status, reply.headers["Content-Type"]) == (400, "application/xml")
    assert b"<Code>InvalidArgument</Code><Message>Only one auth mechanism allowed" in reply.body


def test_a_url_expires_and_a_file_does_not(sandbox: Sandbox, clock: Clock) -> None:
    clock.now = clock.now.replace(microsecond=0)  # a signature knows whole seconds
    job = post(sandbox).json["data"]
    url = poll(sandbox, job)["new_resource_export"]["download_url"]
    clock.sleep(299)
    early = ask("GET", url)
    clock.sleep(1)
    late = ask("GET", url)
    anew = ask("GET", poll(sandbox, job)["new_resource_export"]["download_url"])
    assert [early.status, late.status, anew.status] == [200, 403, 200]
    assert b"<Code>AccessDenied</Code><Message>Request has expired</Message>" in late.body
    assert anew.body == early.body


def test_a_url_that_was_tampered_with_opens_nothing(sandbox: Sandbox) -> None:
    url = exported(sandbox)
    replies = [
        ask("GET", url.replace("X-Amz-Expires=300", "X-Amz-Expires=3000")),
        ask("GET", url.replace(".jsonl.gz?", ".json?")),
        ask("GET", url.partition("?")[0]),
    ]
    assert [(reply.status, b"SignatureDoesNotMatch" in reply.body) for reply in replies] == [(403, True)] * 3


def test_a_file_comes_in_parts(sandbox: Sandbox) -> None:
    url = exported(sandbox)
    whole = ask("GET", url)
    size, etag = len(whole.body), whole.headers["ETag"]
    assert (whole.headers["Accept-Ranges"], whole.headers["Content-Type"]) == ("bytes", "application/gzip")
    cases: list[tuple[dict[str, str], int, bytes, str | None]] = [
        ({"Range": "bytes=100-"}, 206, whole.body[100:], f"bytes 100-{size - 1}/{size}"),
        ({"Range": "bytes=100-199"}, 206, whole.body[100:200], f"bytes 100-199/{size}"),
        ({"Range": "bytes=-10"}, 206, whole.body[-10:], f"bytes {size - 10}-{size - 1}/{size}"),
        ({"Range": "bytes=5-", "If-Match": etag}, 206, whole.body[5:], f"bytes 5-{size - 1}/{size}"),
        ({"Range": "bytes=5-", "If-Range": etag}, 206, whole.body[5:], f"bytes 5-{size - 1}/{size}"),
        ({"Range": "bytes=5-", "If-Range": '"old"'}, 200, whole.body, None),
        ({"Range": "lines=5-"}, 200, whole.body, None),
    ]
    for headers, status, body, content_range in cases:
        reply = ask("GET", url, headers=headers)
        assert (reply.status, reply.body, reply.headers["Content-Range"]) == (status, body, content_range)
    beyond = ask("GET", url, headers={"Range": f"bytes={size}-"})
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")
    assert ask("GET", url, headers={"If-Match": '"old"'}).status == 412


# ── what tests need ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_request_is_remembered_without_its_query(sandbox: Sandbox) -> None:
    url = exported(sandbox)
    ask("GET", url, headers={"Range": "bytes=0-9"})
    jobs = re.compile(r"/api/1\.0/jobs/\d+")
    assert [
        (
            each.method,
            jobs.sub("JOB", each.path),
            each.status,
            each.headers.get("authorization"),
            each.headers.get("range"),
        )
        for each in sandbox.requests
    ] == [
        ("POST", "/api/1.0/exports/resource", 201, "Bearer sandbox", None),
        ("GET", "JOB", 200, "Bearer sandbox", None),
        ("GET", urlsplit(url).path, 206, None, "bytes=0-9"),
    ]
    assert json.loads(sandbox.requests[0].body)["data"]["workspace"] == WORKSPACE


def test_a_test_can_act_at_any_request(sandbox: Sandbox) -> None:
    seen: list[str] = []
    sandbox.on_request = lambda request: seen.append(f"{request.method} {request.path}")
    api(sandbox, "/users/me?opt_fields=name")
    assert seen == ["GET /api/1.0/users/me"]


def test_other_programs_can_change_the_organization(sandbox: Sandbox) -> None:
    base = sandbox.api_url.replace("/api/1.0", "/sandbox")

    def tell(command: str, **body: Any) -> Reply:
        return ask("POST", f"{base}/{command}", json.dumps(body).encode())

    def tasks() -> dict[str, Any]:
        return {task["gid"]: task for task in decoded(ask("GET", f"{base}/objects?type=task").body)}

    before = tasks()
    assert before == {task["gid"]: task for task in sandbox.objects(WORKSPACE, "task")}
    touched, deleted, moved, *_ = before
    added = tell("add", type="task").json["data"]["gid"]
    tell("touch", gid=touched, notes="From outside")
    tell("delete", gid=deleted)
    tell("move", gid=moved)
    after = tasks()
    assert (after.keys() - before.keys(), before.keys() - after.keys()) == ({added}, {deleted})
    assert after[touched]["notes"] == "From outside"
    assert after[moved]["projects"] != before[moved]["projects"]
    assert ask("GET", f"{base}/parents?type=portfolio").json["data"] == sandbox.parents(WORKSPACE, "portfolio")
    assert decoded(ask("GET", f"{base}/objects?parent={PORTFOLIO}").body) == decoded(
        json_lines(sandbox.graph_objects(PORTFOLIO))
    )
    assert ask("GET", f"{base}/objects?parent=1").status == 400
    assert [tell("touch", gid="1").status, tell("add", type="sprocket").status, tell("stop").status] == [400, 400, 404]


def test_settings_are_told_with_default_and_meaning() -> None:
    settings = Sandbox.settings()
    assert settings["tasks"] == (2000, "tasks of a workspace")
    assert settings["faults"][0] == {}
    assert "clock" not in settings


def test_what_cannot_be_set_up_is_refused() -> None:
    with pytest.raises(ValueError, match="Unknown faults: earthquake"):
        Sandbox(faults={"earthquake": 1})
    with pytest.raises(ValueError, match="last three digits"):
        Sandbox(workspaces=["1200000000000001", "1300000000000001"])
    with pytest.raises(ValueError, match="Unknown graph_format: xml"):
        Sandbox(graph_format="xml")
    with pytest.raises(ValueError, match=r"Unknown shape: round. There are prose, dense, wide\."):
        Sandbox(shape="round")
    with pytest.raises(ValueError, match=r"Unknown property_order: none. There are documented, real\."):
        Sandbox(property_order="none")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tasks": "many"}, "tasks must be a whole number, not 'many'."),
        ({"tasks": 1.5}, "tasks must be a whole number, not 1.5."),
        ({"tasks": True}, "tasks must be a whole number, not True."),
        ({"tasks": -1}, "tasks must be between 0 and inf, not -1."),
        ({"job_seconds": "x"}, "job_seconds must be a number, not 'x'."),
        ({"job_seconds": None}, "job_seconds must be a number, not None."),
        ({"graph_relation_gids": 1}, "graph_relation_gids must be true or false, not 1."),
        ({"access_token": 5}, "access_token must be a text, not 5."),
        ({"retry_after": []}, "retry_after must be a number, not []."),
        ({"retry_after": "1\nX: 2"}, "retry_after must be text of one line, not '1\\nX: 2'."),
        ({"fault_at": 7}, "fault_at must be between 0 and 1, not 7."),
        ({"jobs_at_once": 0}, "jobs_at_once must be between 1 and inf, not 0."),
        ({"port": 99_999}, "port must be between 0 and 65535, not 99999."),
        ({"workspaces": 0}, "workspaces must be between 1 and 999, not 0."),
        ({"workspaces": "12"}, "workspaces must be a whole number, not '12'."),
        ({"workspaces": [12]}, "workspaces must be a number or an array of gids, not [12]."),
        ({"workspaces": ["12a"]}, "workspaces must be a number or an array of gids, not ['12a']."),
        ({"workspaces": []}, "workspaces must be a number or an array of gids, not []."),
        ({"faults": ["busy"]}, "faults must be an object, not ['busy']."),
        ({"faults": {"busy": "x"}}, "faults must say of each how often it strikes: {'busy': 'x'}."),
    ],
)
def test_a_setting_that_is_not_of_its_kind_is_refused_by_name(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        Sandbox(**settings)
    assert Sandbox(change_interval=None, job_seconds=Decimal("1.5"), faults={"busy": True}).job_seconds == 1.5  # type: ignore[arg-type]


def test_closing_leaves_no_file_thread_or_listener() -> None:
    threads = set(threading.enumerate())
    with Sandbox(tasks=20_000, job_seconds=0) as sandbox:
        directory = sandbox._directory  # noqa: SLF001 - nothing else knows where files are
        kept_alive = http.client.HTTPConnection(urlsplit(sandbox.api_url).netloc)
        kept_alive.request("GET", "/api/1.0/users/me", headers=BEARER)
        kept_alive.getresponse().read()
        assert post(sandbox).status == 201
    sandbox.close()
    kept_alive.close()
    for thread in set(threading.enumerate()) - threads:
        thread.join(10)
    assert set(threading.enumerate()) - threads == set()
    assert not directory.exists()
    with pytest.raises(ConnectionRefusedError):
        api(sandbox, "/users/me")


def test_the_files_of_a_killed_sandbox_are_removed_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-m", "tap_asana_export.sandbox", "--tasks", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"TMPDIR": str(tmp_path)}) as process:
        assert process.stdout
        process.stdout.readline()
        left = [*tmp_path.iterdir()]
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        with Sandbox(tasks=1):  # that of a living process stays
            assert len([*tmp_path.iterdir()]) == len(left) + 1
        process.kill()
    assert [*tmp_path.iterdir()] == left != []
    with Sandbox(tasks=1):
        assert len([*tmp_path.iterdir()]) == 1
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--faults", '{"earthquake": 1}'], "error: Unknown faults: earthquake"),
        (["--workspaces", '["1001", "2001"]'], "error: The last three digits"),
        (["--port", "99999"], "error: port must be between 0 and 65535, not 99999."),
    ],
)
def test_the_command_says_in_one_line_what_cannot_be_set_up(flags: list[str], words: str) -> None:
    command = [sys.executable, "-m", "tap_asana_export.sandbox", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (2, "", False)
    assert words in done.stderr.strip().split("\n")[-1]


def test_the_command_serves_until_it_is_told_to_stop() -> None:
    command = [sys.executable, "-m", "tap_asana_export.sandbox", "--tasks", "3", "--workspaces", '["1200000000000005"]']
    command += ["--graph-relation-gids", "false"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().split()[1]
        reply = ask("GET", f"{url}/workspaces", headers=BEARER)
        graph = ask("GET", f"{url.replace('/api/1.0', '/sandbox')}/objects?parent=1900500000000000")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert reply.json == {"data": [{"gid": "1200000000000005", "resource_type": "workspace", "name": "Sandbox 5"}]}
    assert "gid" not in json.loads(graph.body.partition(b"\n")[0])


# ── faults ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fault", "status", "retry_after", "body"),
    [
        ("rate_limited", 429, "1", "made too many requests"),
        ("rate_limited_without_hint", 429, None, "made too many requests"),
        ("rate_limited_until", 429, "GMT", "made too many requests"),
        ("server_error", 500, None, "6 sad squid snuggle softly"),
        ("unavailable", 503, None, "<html>"),
    ],
)
def test_a_fault_of_any_request_strikes_as_often_as_it_says(
    fault: str, status: int, retry_after: str | None, body: str, sandbox: Sandbox
) -> None:
    sandbox.faults = {fault: 2}
    replies = [api(sandbox, "/users/me") for _ in range(3)]
    assert [reply.status for reply in replies] == [status, status, 200]
    told = replies[0].headers["Retry-After"]
    assert (told.split()[-1] if told else None) == retry_after
    assert body in replies[0].body.decode()


@pytest.mark.parametrize("always", [True, -1])
def test_a_fault_can_strike_always(always: int, sandbox: Sandbox) -> None:
    sandbox.faults = {"server_error": always}
    assert [api(sandbox, "/users/me").status for _ in range(5)] == [500] * 5


@pytest.mark.parametrize(("fault", "message"), [("busy", BUSY), ("forbidden", FORBIDDEN)])
def test_a_request_for_an_export_is_refused(fault: str, message: str, sandbox: Sandbox) -> None:
    sandbox.faults = {fault: 1}
    refused = post(sandbox)
    assert (refused.status, refused.errors, post(sandbox).status) == (403, [message], 201)


def test_retry_after_may_be_a_date_or_whatever_stands_there(sandbox: Sandbox) -> None:
    sandbox.faults, sandbox.retry_after = {"rate_limited_until": 1}, 7
    date = api(sandbox, "/users/me").headers["Retry-After"]
    assert 0 < (parsedate_to_datetime(date) - datetime.now(timezone.utc)).total_seconds() <= 7
    sandbox.faults, sandbox.retry_after = {"rate_limited": 1}, "soon"
    assert api(sandbox, "/users/me").headers["Retry-After"] == "soon"


@pytest.mark.parametrize(("fault", "retry_after"), [("too_many_jobs", "1"), ("too_many_jobs_without_hint", None)])
def test_too_many_jobs_run_already(fault: str, retry_after: str | None, sandbox: Sandbox) -> None:
    sandbox.faults = {fault: 2}
    replies = [post(sandbox), post_graph(sandbox), post(sandbox)]
    assert [reply.status for reply in replies] == [429, 429, 201]
    assert replies[0].headers["Retry-After"] == retry_after
    assert "concurrent jobs" in replies[0].errors[0]


def test_the_answer_to_a_request_for_an_export_may_say_little_of_the_job(sandbox: Sandbox) -> None:
    jobs = {}
    for fault in ("compact_job", "compact_export", "null_export"):
        sandbox.faults = {fault: 1}
        jobs[fault] = post(sandbox).json["data"]
        whole = poll(sandbox, jobs[fault])
        assert whole["new_resource_export"]["created_at"]
        assert jobs[fault]["gid"] == whole["gid"]
    assert jobs["compact_job"] == {"gid": jobs["compact_job"]["gid"], "status": "not_started"}
    compact = jobs["compact_export"].pop("new_resource_export")
    assert compact == {"gid": compact["gid"], "resource_type": "export_request"}
    assert jobs["null_export"].pop("new_resource_export", "absent") is None
    kept = {"gid", "resource_type", "resource_subtype", "status"}
    assert jobs["compact_export"].keys() == jobs["null_export"].keys() == kept


def test_the_type_of_an_object_stands_at_the_end_of_its_line(sandbox: Sandbox) -> None:
    sandbox.faults = {"type_last": True}
    lines = gzip.decompress(ask("GET", exported(sandbox)).body).split(b"\n")[:-1]
    assert {list(json.loads(line))[-1] for line in lines} == {"resource_type"}
    assert decoded(b"\n".join(lines)) == everything(sandbox)
    requested = [{"resource_type": "task", "fields": ["name", "assignee.resource_type"]}]
    job = poll(sandbox, post(sandbox, requested).json["data"])
    untyped = decoded(gzip.decompress(ask("GET", job["new_resource_export"]["download_url"]).body))
    assert {*map(tuple, untyped)} == {("gid", "name", "assignee")}


def test_a_job_fails(sandbox: Sandbox) -> None:
    sandbox.faults = {"failed_job": 1}
    job = poll(sandbox, post(sandbox).json["data"])
    assert (job["status"], job["new_resource_export"]["download_url"]) == ("failed", None)
    assert exported(sandbox)


def test_a_job_has_a_status_that_nobody_knows(sandbox: Sandbox) -> None:
    sandbox.faults = {"unknown_status": 1}
    job = post(sandbox).json["data"]
    assert [poll(sandbox, job)["status"] for _ in range(2)] == ["archived", "succeeded"]


def test_a_job_succeeds_before_it_has_a_url(sandbox: Sandbox) -> None:
    sandbox.faults = {"no_url": 1}
    job = post(sandbox).json["data"]
    looks = [poll(sandbox, job) for _ in range(2)]
    assert [(look["status"], bool(look["new_resource_export"]["download_url"])) for look in looks] == [
        ("succeeded", False),
        ("succeeded", True),
    ]


def test_a_job_is_created_and_the_answer_is_lost(sandbox: Sandbox) -> None:
    sandbox.faults = {"lost_answer": 1}
    sandbox.job_seconds = 10
    with pytest.raises(http.client.RemoteDisconnected):
        post(sandbox)
    assert post(sandbox).errors == [BUSY]


def test_a_url_has_expired_already(sandbox: Sandbox) -> None:
    sandbox.faults = {"expired_url": 1}
    assert [ask("GET", exported(sandbox)).status for _ in range(2)] == [403, 200]


def cut_short(url: str) -> bytes:
    with pytest.raises(http.client.IncompleteRead) as raised:
        ask("GET", url)
    return raised.value.partial


def test_a_download_breaks_off_half_way(sandbox: Sandbox) -> None:
    url = exported(sandbox)
    sandbox.faults = {"drop_download": 1}
    part, whole = cut_short(url), ask("GET", url).body
    assert part == whole[: len(whole) // 2]


def test_a_download_is_shorter_than_it_said(sandbox: Sandbox) -> None:
    url = exported(sandbox)
    sandbox.faults = {"wrong_length": 1}
    assert cut_short(url) == ask("GET", url).body


def test_a_file_ends_early(sandbox: Sandbox) -> None:
    url = exported(sandbox)
    sandbox.faults = {"truncated": 1}
    part, whole = ask("GET", url), ask("GET", url)
    assert part.body == whole.body[: len(whole.body) // 2]
    assert int(part.headers["Content-Length"]) == len(part.body)


def test_a_byte_of_a_file_is_wrong(sandbox: Sandbox) -> None:
    url = exported(sandbox)
    sandbox.faults = {"corrupt": 1}
    wrong, right = ask("GET", url).body, ask("GET", url).body
    middle = len(right) // 2
    assert [place for place in range(len(right)) if wrong[place] != right[place]] == [middle]
    with pytest.raises((zlib.error, gzip.BadGzipFile, EOFError)):
        gzip.decompress(wrong)


def test_a_page_comes_in_place_of_the_file(sandbox: Sandbox) -> None:
    url = exported(sandbox)
    sandbox.faults = {"html_page": 1}
    page = ask("GET", url)
    assert (page.status, page.headers["Content-Type"], page.body[:6]) == (200, "text/html", b"<html>")


def test_storage_has_lost_the_file(sandbox: Sandbox) -> None:
    url = exported(sandbox)
    sandbox.faults = {"no_such_key": 1}
    lost, found = (ask("GET", url) for _ in range(2))
    assert (lost.status, b"<Code>NoSuchKey</Code>" in lost.body, found.status) == (404, True, 200)


def test_a_range_is_ignored(sandbox: Sandbox) -> None:
    url = exported(sandbox)
    sandbox.faults = {"ignore_range": 1}
    whole = ask("GET", url)
    ignored, heeded = (ask("GET", url, headers={"Range": "bytes=7-"}) for _ in range(2))
    assert (ignored.status, ignored.body, ignored.headers["Content-Range"]) == (200, whole.body, None)
    assert (heeded.status, heeded.body) == (206, whole.body[7:])


def test_storage_has_no_etag_or_a_weak_one(sandbox: Sandbox) -> None:
    url = exported(sandbox)
    etag = ask("GET", url).headers["ETag"]
    sandbox.faults = {"no_etag": 1}
    assert [ask("GET", url).headers["ETag"] for _ in range(2)] == [None, etag]
    sandbox.faults = {"weak_etag": 1}
    assert [ask("GET", url).headers["ETag"] for _ in range(2)] == [f"W/{etag}", etag]


def test_a_part_of_the_file_comes_though_nobody_asked_for_one(sandbox: Sandbox) -> None:
    url = exported(sandbox)
    sandbox.faults = {"unasked_part": 2}
    part, asked, whole = ask("GET", url), ask("GET", url, headers={"Range": "bytes=5-9"}), ask("GET", url)
    size = len(whole.body)
    assert (part.status, part.body) == (206, whole.body[: size // 2])
    assert part.headers["Content-Range"] == f"bytes 0-{size // 2 - 1}/{size}"
    assert (asked.body, asked.headers["Content-Range"]) == (whole.body[5:10], f"bytes 5-9/{size}")


def test_a_file_is_called_encoded(sandbox: Sandbox) -> None:
    url = exported(sandbox)
    sandbox.faults = {"content_encoding": 1}
    assert [ask("GET", url).headers["Content-Encoding"] for _ in range(2)] == ["gzip", None]


def test_a_file_is_not_compressed(sandbox: Sandbox) -> None:
    sandbox.faults = {"plain": 1}
    assert decoded(ask("GET", exported(sandbox)).body) == everything(sandbox)


def test_a_file_has_many_members_which_end_within_lines(sandbox: Sandbox) -> None:
    sandbox.faults = {"multi_member": 1}
    body = ask("GET", exported(sandbox)).body
    member = zlib.decompressobj(31)
    first = member.decompress(body)
    assert member.unused_data
    assert b"\n" not in first
    assert decoded(gzip.decompress(body)) == everything(sandbox)


def test_a_line_cannot_be_decoded(sandbox: Sandbox) -> None:
    sandbox.faults = {"bad_line": 1}
    lines = gzip.decompress(ask("GET", exported(sandbox)).body).split(b"\n")[:-1]
    bad = lines.pop(2)
    with pytest.raises(ValueError, match="decode"):
        json.loads(bad)
    assert decoded(b"\n".join(lines)) == everything(sandbox)


def test_a_line_is_of_a_type_that_nobody_knows(sandbox: Sandbox) -> None:
    sandbox.faults = {"unknown_type": 1}
    lines = gzip.decompress(ask("GET", exported(sandbox)).body).split(b"\n")[:-1]
    assert json.loads(lines.pop(2))["resource_type"] == "sprocket"
    assert decoded(b"\n".join(lines)) == everything(sandbox)


def test_the_last_line_does_not_end(sandbox: Sandbox) -> None:
    sandbox.faults = {"no_newline_at_end": 1}
    text = gzip.decompress(ask("GET", exported(sandbox)).body)
    assert text[-1:] == b"}"
    assert decoded(text) == everything(sandbox)


def test_every_fault_is_tried_here(request: pytest.FixtureRequest) -> None:
    source = "".join(
        (request.path.parent / name).read_text() for name in ("test_server.py", "test_lists.py", "test_activity.py")
    )
    assert [name for name in NAMES if f'"{name}"' not in source] == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to stop it with")
def test_the_command_says_what_graphs_can_be_of_and_what_can_be_set() -> None:
    line = [sys.executable, "-m", "tap_asana_export.sandbox", "--tasks", "5", "--goals", "1"]
    program = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    said: list[str] = []
    while not (said and said[-1].startswith("can be set")):
        said.append(program.stdout.readline())
    program.terminate()
    program.communicate()

    with Sandbox(tasks=5, goals=1) as sandbox:
        [goal], [first, *_] = (sandbox.parents(WORKSPACE, kind) for kind in ("goal", "project"))
    assert f"  goal: {goal}\n" in said
    assert any(each.startswith(f"  project: {first}, ") for each in said)
    assert {*said[-1].rpartition(": ")[2].strip().split(", ")} == {*Sandbox.settings()}
