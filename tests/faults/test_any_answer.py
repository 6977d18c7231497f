"""Any answer of the API: records that are right, or one line that says what happened; never a traceback, never a hang.

Answers are made of what Asana documents, changed somewhere: status, headers, encoding, the JSON or its bytes. Of two
workspaces, or a graph and a workspace, only one meets them: the other one comes through.
"""

from __future__ import annotations

import gzip
import io
import json
import logging
import sys
import time
import types
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tap_asana_export import command
from tests.support.examples import examples
from tests.support.leaks import MARK, require_no_secret
from tests.support.odd_asana import CREATED_AT, SIGNATURE, OddAsana, Request, Storage, raw
from tests.support.tap import logging_as_before, select

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXAMPLES = examples(short=5, everything=20, long=5_000)

# The tap leaves it to the end of the process to close its connections.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

GIDS = [str(gid) for gid in range(10, 15)]
FILE = b"".join(b'{"gid":"%b","resource_type":"task","name":"n"}\n' % gid.encode() for gid in GIDS)
GRANT = {name: f"{name}-{MARK}" for name in ("client_id", "client_secret", "refresh_token")}

# ── answers ───────────────────────────────────────────────────────────────────────────────────────────────

STATUSES = (
    "200 OK",
    "200 ",
    "201 Created",
    "204 No Content",
    "206 Partial Content",
    "301 Moved",
    "302 Found",
    "304 Not Modified",
    "307 Temporary Redirect",
    "400 Bad Request",
    "401 Unauthorized",
    "402 Payment Required",
    "403 Forbidden",
    "404 Not Found",
    "410 Gone",
    "412 Precondition Failed",
    "429 Too Many Requests",
    "451 Unavailable",
    "500 Internal Server Error",
    "503 Service Unavailable",
    "504 Gateway Timeout",
    "599 \xff",
    "999 What",
)
HEADERS: dict[str, list[str]] = {
    "Retry-After": ["0", "1", "0.5", "soon", "-1", "9" * 400, "Fri, 01 Jan 2100 00:00:00 GMT", "1e3"],
    "Location": [
        "/api/jobs/1",
        "http://[",
        "ftp://127.0.0.1/x",
        "//",
        "",
        "?x",
        "http://127.0.0.1:1/x",
        "http://\xff/",
    ],
    "Content-Type": ["application/json; charset=utf-16", "text/html", "application/json; charset=no-such", "\xff"],
    "Content-Encoding": ["gzip", "deflate", "br", "identity", "zstd", "gzip, gzip", "x"],
    "Transfer-Encoding": ["chunked", "gzip", "x"],
    "Content-Length": ["0", "1", "1000000", "-1", "x", "5, 5", "9" * 30],
    "Set-Cookie": ["a=b; Domain=\xff", "a" * 5000],
}
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from([0, -1, 1.5, 1e300, 10**30, -(10**400)]),
        st.sampled_from(["", "x", "1", "9", "٣", "1\n", "../x", "a" * 5000, "\ud83d", "\0", "2026-11-26", CREATED_AT]),
        st.sampled_from(
            ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "2026-02-31T00:00:00Z", "2026-11-26T10:00"]
        ),
        st.sampled_from(["succeeded", "failed", "in_progress", "not_started", "archived"]),
        st.sampled_from(
            ["http://[", "http://127.0.0.1:1/x", "ftp://x/", "file:///etc/passwd", "//", f"http://x\\{MARK}"]
        ),
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["gid", "x"]), inner, max_size=2),
    max_leaves=3,
)
BYTES = (
    lambda body: b"\xef\xbb\xbf" + body,
    lambda body: body.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass"),
    lambda body: body[: len(body) // 2],
    lambda body: body.replace(b'"', b'"\xff', 1),
    gzip.compress,
    lambda body: gzip.compress(body)[:-5],
    lambda body: body + b"}",
    lambda body: body * 2,
    lambda _: b"",
    lambda _: b"null",
    lambda _: b"<html>",
    lambda _: b"[" * 100_000,
    lambda _: b'{"data":' * 20_000,
    lambda _: b'{"errors":[{"message":null}]}',
    lambda _: b'{"errors":[{"message":"\\ud83d \\u001b[31m\\n in progress"}]}',
    lambda _: b'{"errors":[{"message":"premium"}],"error":{"error":1}}',
)


class Change(NamedTuple):
    """How answers to a kind of request differ from what they should be.

    Attributes:
        times: to how many requests.
        status: in place of the right one, unless it is empty.
        headers: in addition.
        values: what is put at places in the JSON, which are numbered.
        twist: what becomes of the bytes; None leaves them alone.
    """

    times: int
    status: str
    headers: dict[str, str]
    values: list[tuple[int, Any]]
    twist: int | None

    def make(self, content: Any) -> bytes:
        """The answer."""
        content = json.loads(json.dumps(content))
        for number, value in self.values:
            places = [*places_of(content)] or [({}, "x")]
            holder, key = places[number % len(places)]
            if value == "gone":
                holder.pop(key, None) if isinstance(holder, dict) else holder.pop(key)
            else:
                holder[key] = value
        body = json.dumps(content).encode()
        body = body if self.twist is None else BYTES[self.twist](body)
        headers = {name: value for name, value in self.headers.items() if name != "Content-Length"}
        length = self.headers.get("Content-Length", str(len(body)))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        text = f"HTTP/1.1 {self.status or '200 OK'}\r\nContent-Length: {length}\r\nConnection: close\r\n{head}\r\n"
        return text.encode("latin-1") + body


def places_of(value: Any) -> Iterator[tuple[Any, Any]]:
    """Where in a value something can be changed: what holds it, and its name or number there."""
    for key, child in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield value, key
        yield from places_of(child)


CHANGES = st.builds(
    Change,
    st.sampled_from([1, 1, 2, 9999]),
    st.sampled_from(["", "", *STATUSES]),
    st.lists(st.sampled_from(list(HEADERS)), max_size=2, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: st.sampled_from(HEADERS[name]) for name in names})
    ),
    st.lists(st.tuples(st.integers(0, 12), VALUES | st.just("gone")), max_size=2),
    st.none() | st.integers(0, len(BYTES) - 1),
)


class Asana(OddAsana):
    """Two workspaces and the graph of a project; what is asked for the graph, or for workspace 1, is answered oddly."""

    def __init__(self, changes: dict[str, Change]) -> None:
        super().__init__(Storage(FILE))
        self.changes = changes
        self.counts: dict[str, int] = {}

    def _answer(self, request: Request) -> bytes:
        path = request.target.partition("?")[0]
        if path == "/file":
            return super()._answer(request)
        kind, content = self.right(path, request)
        self.counts[kind] = self.counts.get(kind, 0) + 1
        change = self.changes.get(kind)
        if change and self.counts[kind] <= change.times:
            return change.make(content)
        return raw("200 OK", json.dumps(content).encode())(request)

    def right(self, path: str, request: Request) -> tuple[str, Any]:
        """What kind of request it is, and the right answer."""
        if path == "/-/oauth_token":
            return "oauth", {"access_token": f"a-{MARK}", "expires_in": 3600, "refresh_token": GRANT["refresh_token"]}
        if path == "/api/workspaces":
            return "workspaces", {"data": [{"gid": "1", "name": "a"}, {"gid": "2", "name": "b"}], "next_page": None}
        export = {"gid": "7", "created_at": CREATED_AT, "completed_at": CREATED_AT}
        if request.method == "POST":
            gid = "5" if path.endswith("graph") else json.loads(request.body)["data"]["workspace"]
            name = "new_graph_export" if gid == "5" else "new_resource_export"
            return ("healthy" if gid == "2" else "post"), {"data": {"gid": gid, "status": "in_progress", name: export}}
        gid = path.rpartition("/")[2]
        export["download_url"] = f"http://{self.host}/file?X-Amz-Signature={SIGNATURE}"
        name = "new_graph_export" if gid == "5" else "new_resource_export"
        return ("healthy" if gid == "2" else "job"), {"data": {"gid": gid, "status": "succeeded", name: export}}


# ── runs ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(autouse=True)
def _time_goes_by_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What sleeps wakes at once, and finds that its time has come."""
    monotonic, slept = time.monotonic, [0.0]

    def sleep(seconds: float) -> None:
        slept[0] += seconds

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + slept[0])


@pytest.fixture(scope="module")
def graph_catalog(tmp_path_factory: pytest.TempPathFactory, catalog: dict[str, Any]) -> Path:
    path = tmp_path_factory.mktemp("catalog") / "catalog.json"
    path.write_text(json.dumps(select(catalog, {("graph_tasks",): True})))
    return path


def run(
    asana: Asana, folder: Path, config: dict[str, Any], catalog: Path | None = None
) -> tuple[int, list[dict[str, Any]], str]:
    """Run the tap's command in this process: its exit code, its messages, and its log."""
    limits = {"wait_timeout": 30, "busy_timeout": 30, "request_timeout": 5, "poll_interval": 10, "checkpoint": False}
    path = folder / "config.json"
    path.write_text(json.dumps(asana.settings(**limits, **config)), encoding="utf-8")
    line = ["tap-asana-export", f"--config={path}", *([f"--catalog={catalog}"] if catalog else [])]
    out, err, root = io.BytesIO(), io.StringIO(), logging.getLogger()
    before = sys.argv, sys.stdout, sys.stderr
    sys.argv = line
    sys.stdout = types.SimpleNamespace(buffer=out, write=err.write, flush=err.flush, fileno=lambda: 1)
    sys.stderr = err
    code: Any = None
    try:
        with logging_as_before():
            root.handlers = []
            command.run_command_line()
    except SystemExit as ended:
        code = ended.code or 0
    finally:
        sys.argv, sys.stdout, sys.stderr = before
    return code, [json.loads(each) for each in out.getvalue().splitlines()], err.getvalue()


def check(asana: Asana, outcome: tuple[int, list[dict[str, Any]], str]) -> list[str]:
    """Look at what came of an example: the subjects whose exports came through."""
    code, messages, log = outcome
    require_no_secret(log, json.dumps(messages))
    assert code in {0, 1}
    assert "Traceback" not in log
    assert "Unexpected" not in log, log
    assert sum(asana.counts.values()) < 200
    records = [each["record"] for each in messages if each["type"] == "RECORD"]
    if code == 0:
        assert {each["gid"] for each in records} >= {*GIDS}
    else:
        last_line = log.strip().split("\n")[-1]
        assert " | CRITICAL | " in last_line
        assert last_line.endswith((".", "?"))
    event(f"exit code {code}")
    return [str(each["workspace_gid"] or each["parent_gid"]) for each in records if "objects" in each]


@EXAMPLES
@given(post=st.none() | CHANGES, job=st.none() | CHANGES)
def test_one_workspace(tmp_path_factory: pytest.TempPathFactory, post: Change | None, job: Change | None) -> None:
    changes = {name: change for name, change in {"post": post, "job": job}.items() if change}
    with Asana(changes) as asana:
        outcome = run(asana, tmp_path_factory.getbasetemp(), {})
        assert check(asana, outcome) == (["1"] if outcome[0] == 0 else [])


@EXAMPLES
@given(post=st.none() | CHANGES, job=st.none() | CHANGES)
def test_two_workspaces(tmp_path_factory: pytest.TempPathFactory, post: Change | None, job: Change | None) -> None:
    changes = {name: change for name, change in {"post": post, "job": job}.items() if change}
    with Asana(changes) as asana:
        outcome = run(asana, tmp_path_factory.getbasetemp(), {"workspaces": ["1", "2"]})
        assert sorted(check(asana, outcome)) == (["1", "2"] if outcome[0] == 0 else ["2"])


@pytest.mark.soak
@EXAMPLES
@given(post=st.none() | CHANGES, job=st.none() | CHANGES)
def test_a_workspace_and_a_graph(
    tmp_path_factory: pytest.TempPathFactory, graph_catalog: Path, post: Change | None, job: Change | None
) -> None:
    changes = {name: change for name, change in {"post": post, "job": job}.items() if change}
    config = {"workspaces": ["2"], "graph_parents": ["5"]}
    with Asana(changes) as asana:
        folder = tmp_path_factory.getbasetemp()
        outcome = run(asana, folder, config, graph_catalog)
        assert sorted(check(asana, outcome)) == (["2", "5"] if outcome[0] == 0 else ["2"])


@EXAMPLES
@given(workspaces=st.none() | CHANGES, oauth=st.none() | CHANGES)
def test_workspaces_and_tokens(
    tmp_path_factory: pytest.TempPathFactory, workspaces: Change | None, oauth: Change | None
) -> None:
    changes = {name: change for name, change in {"workspaces": workspaces, "oauth": oauth}.items() if change}
    with Asana(changes) as asana:
        check(asana, run(asana, tmp_path_factory.getbasetemp(), {"workspaces": [], "access_token": None, **GRANT}))
