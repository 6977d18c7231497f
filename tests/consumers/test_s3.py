"""Batch files on an object store, also on one that answers with errors."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import re
import subprocess
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.support.batches import into, lines_of
from tests.support.consumers import PROJECT
from tests.support.organizations import expected
from tests.support.tap import UVX, Run, settings_for
from tests.support.targets import STREAMS, prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_asana_export.sandbox import Sandbox
    from tests.support.consumers import S3

pytestmark = pytest.mark.external

# httpfs is what lets DuckDB read s3://; elsewhere `install httpfs` fetches it.
PACKAGES = ("duckdb==1.2.2", "duckdb-extension-httpfs==1.2.2")

LOAD = """
import json, sys
from pathlib import Path
import duckdb, duckdb_extension_httpfs

root, load, endpoint, *streams = sys.argv[1:]
[httpfs] = Path(duckdb_extension_httpfs.__file__).parent.rglob("httpfs.duckdb_extension")
with duckdb.connect() as database:
    database.load_extension(str(httpfs))
    keys = "key_id 'key', secret 'secret'"
    database.execute(f"create secret (type s3, {keys}, endpoint '{endpoint}', use_ssl false, url_style 'path')")
    database.execute("set variable batches = ?", [f"{root}/"])
    database.execute(Path(load).read_text())
    gids = {stream: database.sql(f"select gid from {stream} order by gid").fetchall() for stream in streams}
    print(json.dumps({stream: [gid for gid, in found] for stream, found in gids.items()}))
"""


@pytest.fixture(scope="session")
def tap_s3() -> str:
    """A Python with the tap and its extra `s3`."""
    python = [*UVX, "--from", "s3fs==2026.9.0", "--with-editable", f"{PROJECT}[s3]", "python"]
    find = [*python, "-c", "import sys; print(sys.executable)"]
    return subprocess.run(find, capture_output=True, check=True, text=True).stdout.strip()


@pytest.fixture
def run_s3(arguments: Callable[..., list[str]], tap_s3: str) -> Callable[..., Run]:
    """Run the tap with its extra to its end."""

    def run(settings: dict[str, Any], environment: dict[str, str], **files: Any) -> Run:
        line = [tap_s3, *arguments(settings, **files)[1:]]
        done = subprocess.run(line, capture_output=True, check=False, env=os.environ | environment, cwd=PROJECT)
        return Run(done.returncode, done.stdout, done.stderr.decode())

    return run


def get(s3: S3, path: str) -> bytes:
    """What the store has under a path."""
    # The store looks at who asks, but not at the signature.
    signed = "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    answer = requests.get(f"{s3.endpoint}/{path}", headers={"Authorization": signed}, timeout=10)
    answer.raise_for_status()
    return answer.content


def stored(s3: S3, *runs: Run) -> dict[str, list[dict[str, Any]]]:
    """By stream, the records of the announced objects, each of which is there and whole."""
    found: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        for message in run.of("BATCH"):
            for url in message["manifest"]:
                lines = gzip.decompress(get(s3, url.removeprefix("s3://"))).split(b"\n")
                found.setdefault(message["stream"], []).extend(json.loads(line) for line in lines[:-1])
    return found


def keys(s3: S3) -> set[str]:
    """The names of all objects of the bucket."""
    return {f"s3://asana/{key}" for key in re.findall("<Key>(.*?)</Key>", get(s3, "asana").decode())}


def test_the_tap_writes_to_s3_and_duckdb_reads_it(sandbox: Sandbox, s3: S3, run_s3: Callable[..., Run]) -> None:
    run = run_s3(settings_for(sandbox, **into(f"{s3.bucket}/lake", 15)), s3.environment)

    assert run.code == 0, run.stderr
    records = stored(s3, run)
    assert {stream: {each["gid"]: each for each in records[stream]} for stream in STREAMS} == {
        stream: expected(sandbox, stream) for stream in STREAMS
    }
    assert keys(s3) == {url for message in run.of("BATCH") for url in message["manifest"]}

    load = PROJECT / "examples" / "duckdb" / "load.sql"
    done = subprocess.run(
        [
            *(prefix(*PACKAGES) / "bin" / "python", "-c", LOAD),
            *(f"{s3.bucket}/lake/asana", load, s3.endpoint.removeprefix("http://"), *STREAMS),
        ],
        capture_output=True,
        check=False,
        env=os.environ | s3.environment,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == {stream: sorted(expected(sandbox, stream)) for stream in STREAMS}


class Handler(BaseHTTPRequestHandler):
    """Passes a request on, unless a fault strikes."""

    server: Proxy
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = self.server.fault(self.path) if self.command == "PUT" else None
        if status is None:
            with contextlib.closing(http.client.HTTPConnection(self.server.store, timeout=30)) as store:
                store.request(self.command, self.path, body, dict(self.headers))
                answer = store.getresponse()
                self.answer(answer.status, dict(answer.getheaders()), answer.read())
        elif status:
            self.answer(status, {}, b"<Error><Code>InternalError</Code></Error>")
        else:
            self.close_connection = True

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        of_connection = {"transfer-encoding", "connection", *(() if self.command == "HEAD" else ("content-length",))}
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in of_connection:
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = forward  # noqa: N815 - http.server's names


class Proxy(ThreadingHTTPServer):
    """Between s3fs and the store.

    Attributes:
        store: where that is.
        url: where the proxy is.
        faults: by pattern of paths, what is done to how many PUTs: a status is answered, 0 cuts the connection.
        met: how many PUTs each fault was done to.
    """

    daemon_threads = True

    def __init__(self, endpoint: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.store = endpoint.removeprefix("http://")
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.faults: dict[str, tuple[int, int]] = {}
        self.met: Counter[str] = Counter()
        self._lock = threading.Lock()

    def fault(self, path: str) -> int | None:
        """What is to be done to a PUT."""
        with self._lock:
            for pattern, (status, most) in self.faults.items():
                if re.search(pattern, path) and self.met[pattern] < most:
                    self.met[pattern] += 1
                    return status
        return None


@pytest.fixture
def proxy(s3: S3) -> Iterator[Proxy]:
    with Proxy(s3.endpoint) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        yield proxy
        proxy.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [500, 503, 0], ids=["500", "503", "a reset"])
def test_an_upload_that_fails_once_is_repeated(
    sandbox: Sandbox, s3: S3, proxy: Proxy, run_s3: Callable[..., Run], status: int
) -> None:
    proxy.faults = {"/tasks/.*-00002": (status, 1), "/teams/": (status, 1)}
    environment = s3.environment | {"AWS_ENDPOINT_URL_S3": proxy.url}
    run = run_s3(settings_for(sandbox, **into(f"{s3.bucket}/lake", 15)), environment)

    assert (run.code, dict(proxy.met)) == (0, {"/tasks/.*-00002": 1, "/teams/": 1}), run.stderr
    records = stored(s3, run)
    assert {stream: {each["gid"]: each for each in records[stream]} for stream in STREAMS} == {
        stream: expected(sandbox, stream) for stream in STREAMS
    }


@pytest.mark.parametrize("status", [500, 503], ids=["500", "503"])
def test_an_upload_that_fails_for_good_ends_the_run_and_the_next_one_makes_the_rest(
    sandbox: Sandbox, s3: S3, proxy: Proxy, run_s3: Callable[..., Run], status: int
) -> None:
    proxy.faults = {"/tasks/.*-00003": (status, 1000)}
    once = into(f"{s3.bucket}/lake", 15)
    once["batch_config"]["storage"]["params"] = {"config_kwargs": {"retries": {"max_attempts": 0}}}
    settings, environment = settings_for(sandbox, **once), s3.environment | {"AWS_ENDPOINT_URL_S3": proxy.url}
    broken = run_s3(settings, environment)
    proxy.faults = {}
    rest = run_s3(settings, environment, state=broken.state)

    assert (broken.code, rest.code) == (1, 0), broken.stderr
    assert "The batch file asana/lake/asana/tasks/1200000000000001/" in broken.last_line
    assert broken.last_line.endswith("See to the place that batch_config names, then run again.")
    assert lines_of(broken.state) == sum(map(len, stored(s3, broken).values())) == 30
    records = stored(s3, broken, rest)
    for stream in STREAMS:
        assert sorted(each["gid"] for each in records[stream]) == sorted(expected(sandbox, stream))


def test_a_bucket_that_is_not_there_is_an_error(sandbox: Sandbox, s3: S3, run_s3: Callable[..., Run]) -> None:
    run = run_s3(settings_for(sandbox, **into("s3://nowhere/lake", 15)), s3.environment)

    assert (run.code, run.of("BATCH")) == (1, [])
    assert "The batch file nowhere/lake/asana/" in run.last_line
    assert "bucket" in run.last_line
