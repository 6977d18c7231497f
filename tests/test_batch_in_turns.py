"""Batch files of two workspaces whose downloads stall in turns, so that their files are read in turns too."""

from __future__ import annotations

import http.server
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.batches import announced, into, read
from tests.support.odd_asana import CREATED_AT, OddAsana, Request, Storage, raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.tap import Run

PIECES, LINES = 4, 20
NOTES = "n" * 30_000  # so that a piece is longer than what is read of a file at a time


def gids(workspace: str) -> list[str]:
    return [f"{workspace}{number:03}" for number in range(PIECES * LINES)]


class Stalling(http.server.BaseHTTPRequestHandler):
    """Sends a workspace's file in pieces, with a stall behind each."""

    events: list[str]

    def do_GET(self) -> None:
        workspace = self.path[1:2]
        lines = [
            json.dumps({"gid": gid, "resource_type": "task", "name": f"n{gid}", "notes": NOTES}).encode() + b"\n"
            for gid in gids(workspace)
        ]
        self.send_response(200)
        self.send_header("Content-Length", str(sum(map(len, lines))))
        self.end_headers()
        self.events.append(f"begin {workspace}")
        for begin in range(0, len(lines), LINES):
            self.wfile.write(b"".join(lines[begin : begin + LINES]))
            self.wfile.flush()
            time.sleep(0.15)
        self.events.append(f"end {workspace}")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def storage() -> Iterator[tuple[str, list[str]]]:
    """A storage's address, and what happened there."""
    events: list[str] = []
    handler = type("Handler", (Stalling,), {"events": events})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", events
        server.shutdown()
        thread.join()


class Asana(OddAsana):
    """Two workspaces whose jobs have succeeded; a job's gid is its workspace's."""

    def __init__(self, storage: str) -> None:
        super().__init__(Storage(b""))
        self.url = storage

    def _answer(self, request: Request) -> bytes:
        gid = json.loads(request.body)["data"]["workspace"] if request.method == "POST" else request.target[10:11]
        export = {"gid": gid, "created_at": CREATED_AT, "completed_at": CREATED_AT, "download_url": f"{self.url}/{gid}"}
        data = {"gid": gid, "status": "succeeded", "new_resource_export": export}
        return raw("200 OK", json.dumps({"data": data}).encode())(request)


@pytest.mark.soak
@pytest.mark.parametrize(
    "maps", [None, {"tasks": {"name": "name.upper()", "notes": "__NULL__"}}], ids=["plain", "mapped"]
)
def test_each_workspace_has_all_its_records_once(
    maps: Any, storage: tuple[str, list[str]], run_tap: Callable[..., Run], tmp_path: Path
) -> None:
    address, events = storage
    more = {"stream_maps": maps} if maps else {}
    with Asana(address) as asana:
        run = run_tap(asana.settings(workspaces=["1", "2"], **into(tmp_path, 7), **more))

    assert run.code == 0, run.stderr
    assert sorted(events[:2]) == ["begin 1", "begin 2"]
    records = [record for file in announced(run)["tasks"] for record in read(file)]
    for workspace in ("1", "2"):
        assert [each["gid"] for each in records if each["workspace_gid"] == workspace] == gids(workspace)
    assert {each["name"][0] for each in records} == {"N" if maps else "n"}
    assert sorted(each["workspace_gid"] for file in announced(run)["exports"] for each in read(file)) == ["1", "2"]
    bookmarks = run.state["bookmarks"]["tasks"]["partitions"]
    assert [each["replication_key_value"] for each in bookmarks] == [CREATED_AT, CREATED_AT]
