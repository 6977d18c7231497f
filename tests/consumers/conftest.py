"""Folders of batch files of two organizations that changed between exports, and S3 to put them on."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import requests

from tap_asana_export.sandbox import Sandbox
from tests.conftest import TAP, expected
from tests.targets import STREAMS, prefix
from tests.test_batch import into

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[2]

Table = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Exported:
    """Batch files of several exports.

    Attributes:
        root: the folder that holds a folder for each stream.
        tables: by stream and gid, what is to be read out of the files.
    """

    root: Path
    tables: dict[str, Table]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Two workspaces: the last export of the first is full, that of the other incremental."""
    folder = tmp_path_factory.mktemp("exported")
    with Sandbox(workspaces=2, tasks=40, messages=10, teams=3, large=1, change_interval=0, job_seconds=0) as sandbox:
        first, other = sandbox.organizations
        for workspace in (first, other):
            export(sandbox, workspace, folder, None)
        before = tables(sandbox)
        for workspace in (first, other):
            change(sandbox, workspace)
            export(sandbox, workspace, folder, folder / f"{workspace}.state.json")
        change(sandbox, first)
        export(sandbox, first, folder, None)
        # No incremental export tells of the last two: what was deleted, and what was moved and not otherwise changed.
        after = tables(sandbox)
        unseen = {gid: each for gid, each in before["tasks"].items() if each["workspace_gid"] == other}
        for gid, task in unseen.items():
            now = after["tasks"].get(gid)
            if now is None or now["modified_at"] == task["modified_at"]:
                after["tasks"][gid] = task
        return Exported(folder / "batches" / "asana", after)


def export(sandbox: Sandbox, workspace: str, folder: Path, state: Path | None) -> None:
    """Export a workspace into batch files, and keep the state."""
    config = folder / f"{workspace}.json"
    config.write_text(json.dumps(batch_settings(sandbox, folder) | {"workspaces": [workspace], "overlap": 0}))
    done = subprocess.run(
        [*TAP, "--config", str(config), *(["--state", str(state)] if state else [])],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    last = json.loads(done.stdout.strip().split(b"\n")[-1])
    (folder / f"{workspace}.state.json").write_text(json.dumps(last["value"]))


def batch_settings(sandbox: Sandbox, folder: Path) -> dict[str, Any]:
    """Settings with which the tap writes batch files of fifteen records at the most."""
    return {
        "api_url": sandbox.api_url,
        "access_token": sandbox.access_token,
        "poll_interval": 0.01,
        **into(folder / "batches", 15),
    }


def change(sandbox: Sandbox, workspace: str) -> None:
    """Change, add, delete and move tasks, and change a message."""
    organization = sandbox.organizations[workspace]
    gids = list(expected(sandbox, "tasks", workspace))
    organization.touch(gids[1])
    organization.touch(gids[2], name='Line\u2028separator, \U0001f469\u200d\U0001f680 and "quotes" \\ \t\r\n end')
    organization.add("task")
    organization.delete(gids[4])
    organization.move(gids[6])
    organization.touch(next(iter(expected(sandbox, "messages", workspace))))


def tables(sandbox: Sandbox) -> dict[str, Table]:
    """By stream and gid, what is in all workspaces now."""
    return {
        stream: {
            gid: each
            for workspace in sandbox.organizations
            for gid, each in expected(sandbox, stream, workspace).items()
        }
        for stream in STREAMS
    }


def read_duckdb(database: Path) -> dict[str, Table]:
    """The tables that examples/duckdb makes, by gid; their values are those of JSON."""
    import duckdb  # noqa: PLC0415 - has no wheel for every Python

    found: dict[str, Table] = {}
    with duckdb.connect(str(database), read_only=True) as connection:
        for stream in STREAMS:
            texts = connection.sql(f"select to_json({stream}) from {stream}").fetchall()  # noqa: S608 - its own names
            rows = [json.loads(text) for (text,) in texts]
            found[stream] = {row["gid"]: row for row in rows}
            assert len(found[stream]) == len(rows), f"{stream}: rows with the same gid"
    return found


def differences(found: dict[str, Table], wanted: dict[str, Table]) -> list[str]:
    """Where tables are not what is wanted: rows too few or too many, and every other value."""
    differences = []
    for stream in STREAMS:
        rows, objects = plain(found[stream]), plain(wanted[stream])
        differences += [f"{stream} {gid}: is not there" for gid in objects.keys() - rows.keys()]
        differences += [f"{stream} {gid}: should not be there" for gid in rows.keys() - objects.keys()]
        for gid in objects.keys() & rows.keys():
            for name in objects[gid].keys() | rows[gid].keys():
                row, value = rows[gid].get(name), objects[gid].get(name)
                if row != value:
                    differences.append(f"{stream} {gid}: {name} is {row!r:.200}, not {value!r:.200}")
    return sorted(differences)


def plain(value: Any) -> Any:
    """A value in one notation: what is null is absent, and a time is as ISO 8601 has it, with microseconds."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [plain(each) for each in value]
    time = r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:Z|\+00)?"
    if isinstance(value, str) and (found := re.fullmatch(time, value)):
        day, hour, fraction = found.groups(default="")
        return f"{day}T{hour}.{fraction:0<6}"
    return value


class S3(NamedTuple):
    """An object store that speaks S3.

    Attributes:
        endpoint: its URL.
        bucket: an empty bucket, as `s3://…`.
        environment: what tells botocore, and so s3fs, of the store and its keys.
    """

    endpoint: str
    bucket: str
    environment: dict[str, str]


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
