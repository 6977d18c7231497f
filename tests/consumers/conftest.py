"""Folders of batch files of two organizations that changed between exports, and S3 to put them on."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
import requests

from tap_asana_export.sandbox import Sandbox
from tests.support.consumers import (
    S3,
    Exported,
    change,
    export,
    tables,
)
from tests.support.targets import prefix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Files of JSON Lines."""
    return exports_of_two(tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="session")
def exported_as_parquet(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Files of Parquet."""
    pytest.importorskip("pyarrow")
    return exports_of_two(tmp_path_factory.mktemp("parquet"), format="parquet", compression="zstd")


def exports_of_two(folder: Path, **encoding: str) -> Exported:
    """Two workspaces: the last export of the first is full, that of the other incremental."""
    with Sandbox(workspaces=2, tasks=40, messages=10, teams=3, large=1, change_interval=0, job_seconds=0) as sandbox:
        first, other = sandbox.organizations
        for workspace in (first, other):
            export(sandbox, workspace, folder, None, **encoding)
        before = tables(sandbox)
        for workspace in (first, other):
            change(sandbox, workspace)
            export(sandbox, workspace, folder, folder / f"{workspace}.state.json", **encoding)
        change(sandbox, first)
        export(sandbox, first, folder, None, **encoding)
        # No incremental export tells of the last two: what was deleted, and what was moved and not otherwise changed.
        after = tables(sandbox)
        unseen = {gid: each for gid, each in before["tasks"].items() if each["workspace_gid"] == other}
        for gid, task in unseen.items():
            now = after["tasks"].get(gid)
            if now is None or now["modified_at"] == task["modified_at"]:
                after["tasks"][gid] = task
        return Exported(folder / "batches" / "asana", after)


SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(*server.get_host_and_port(), sep=":", flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture
def s3() -> Iterator[S3]:
    """An object store on 127.0.0.1 and in memory."""
    python = prefix("moto[server]==5.2.5") / "bin" / "python"
    with subprocess.Popen(
        [python, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        endpoint = f"http://{server.stdout.readline().strip()}"
        environment = {
            "AWS_ENDPOINT_URL_S3": endpoint,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        requests.put(f"{endpoint}/asana", timeout=10).raise_for_status()
        yield S3(endpoint, "s3://asana", environment)
        # The server ends with its standard input.
        server.communicate()
