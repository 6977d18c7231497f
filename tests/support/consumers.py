"""Folders of batch files of two organizations that changed between exports, and what is to be read out of them."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_asana_export.sources import SOURCES
from tests.support.batches import into
from tests.support.lists import by_key
from tests.support.organizations import expected
from tests.support.tap import TAP, WORKSPACE, sync
from tests.support.targets import STREAMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_asana_export.sandbox import Sandbox
    from tap_asana_export.sources import Source
    from tests.support.lists import Rows

PROJECT = Path(__file__).parents[2]
PARTS = [source for source in SOURCES if source.array and not source.graph]


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


def export(sandbox: Sandbox, workspace: str, folder: Path, state: Path | None, **encoding: str) -> None:
    """Export a workspace into batch files, and keep the state."""
    config = folder / f"{workspace}.json"
    settings = batch_settings(sandbox, folder, **encoding)
    config.write_text(json.dumps(settings | {"workspaces": [workspace], "overlap": 0}))
    done = subprocess.run(
        [*TAP, "--config", str(config), *(["--state", str(state)] if state else [])],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    last = json.loads(done.stdout.strip().split(b"\n")[-1])
    (folder / f"{workspace}.state.json").write_text(json.dumps(last["value"]))


def batch_settings(sandbox: Sandbox, folder: Path, **encoding: str) -> dict[str, Any]:
    """Settings with which the tap writes batch files of fifteen records at the most."""
    return {
        "api_url": sandbox.api_url,
        "access_token": sandbox.access_token,
        "poll_interval": 0.01,
        **into(folder / "batches", 15, **encoding),
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


def export_deletions(
    sandbox: Sandbox,
    settings: dict[str, Any],
    catalog: dict[str, Any],
    after_first: Callable[[], object] = lambda: None,
) -> None:
    """Export a workspace three times: as it is, after deletions of every kind, and after some of these were undone.

    Args:
        sandbox: has the workspace.
        settings: of the runs.
        catalog: selects what is exported.
        after_first: is called when the first export has come.
    """
    organization = sandbox.organizations[WORKSPACE]
    state = sync(settings, catalog).state
    after_first()
    tasks, messages = ([*sandbox.objects(WORKSPACE, kind)] for kind in ("task", "message"))
    parents = {task["parent"]["gid"] for task in tasks if task["parent"]}
    others = [task for task in tasks if task["gid"] not in parents and not task["parent"]]
    back = [others[0]["gid"], messages[0]["gid"], others[1]["stories"][0]["gid"]]
    gone = [others[2]["gid"], min(parents), messages[1]["gid"], others[3]["stories"][0]["gid"]]
    gone += [next(each for each in others[4:] if each["attachments"])["attachments"][0]["gid"]]
    for gid in [*back, *gone]:
        organization.delete(gid)
    state = sync(settings, catalog, state).state
    for gid in back:
        organization.undelete(gid)
    sync(settings, catalog, state)


def present_gids(sandbox: Sandbox) -> dict[str, list[str]]:
    """The gids of tasks and messages, and of stories and attachments within them, that there are now, sorted."""
    tasks, messages = ([*sandbox.objects(WORKSPACE, kind)] for kind in ("task", "message"))
    within = {
        name: [item for each in (*tasks, *messages) for item in each[name]] for name in ("stories", "attachments")
    }
    objects = {"tasks": tasks, "messages": messages, **within}
    return {stream: sorted(each["gid"] for each in of_it) for stream, of_it in objects.items()}


def rows_within(part: Source, objects: dict[str, Table]) -> Rows:
    """By key, the rows that a part has of objects, which are given by stream and gid."""
    return by_key(
        part.stream,
        (
            {**item, **own_gid(part, item), f"{kind}_gid": parent["gid"], "workspace_gid": parent["workspace_gid"]}
            for kind in part.resource_types
            for parent in objects[f"{kind}s"].values()
            for item in parent[str(part.array)]
        ),
    )


def own_gid(part: Source, item: dict[str, Any]) -> dict[str, str]:
    """The gid that is a key of a row though it stands one level below."""
    return {f"{part.gid_of}_gid": item[part.gid_of]["gid"]} if part.gid_of else {}


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
    time = r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:Z|\+00(?::00)?)?"
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
