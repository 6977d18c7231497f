"""Export files that were downloaded earlier: the same records as online, and nothing is asked of anybody."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import os
import random
import subprocess
import sys
import urllib.request
import zipfile
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export.sandbox import Sandbox
from tests.support.graphs import STREAMS as GRAPHS
from tests.support.graphs import in_graph, selecting
from tests.support.organizations import ask, export_file
from tests.support.tap import WORKSPACE, Run, select, settings_for, sync

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RESOURCES = ("tasks", "messages", "teams")
WRITTEN = datetime(2026, 3, 4, 5, 6, 7, tzinfo=timezone.utc)


@pytest.fixture(scope="session")
def online(catalog: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run, bytes, bytes]:
    """Runs against a sandbox that is no more, of a workspace and of a team's graph, and the file of each."""
    folder = tmp_path_factory.mktemp("online")
    with Sandbox(tasks=40, messages=10, teams=3, large=1, change_interval=0, job_seconds=0) as sandbox:
        team = sandbox.parents(WORKSPACE, "team")[0]
        runs, files = [], []
        for name, selected, settings in (
            ("resource", RESOURCES, settings_for(sandbox)),
            ("graph", GRAPHS.values(), settings_for(sandbox, workspaces=[], graph_parents=[team])),
        ):
            (folder / "config").write_text(json.dumps(settings))
            (folder / name).write_text(json.dumps(selecting(catalog, selected)))
            options = ["--config", str(folder / "config"), "--catalog", str(folder / name)]
            done = subprocess.run([sys.executable, "-m", "tap_asana_export", *options], capture_output=True, check=True)
            runs.append(Run(done.returncode, done.stdout, done.stderr.decode()))
            job = runs[-1].records("exports")[0]["job_gid"]
            if name == "graph":
                url = ask(sandbox, f"/jobs/{job}")["new_graph_export"]["download_url"]
                with urllib.request.urlopen(url) as answer:  # noqa: S310 - loopback
                    files.append(answer.read())
            else:
                files.append(export_file(sandbox, job)[1])
        assert runs[1].records("graph_tasks") == in_graph(sandbox, team)["graph_tasks"]
    return runs[0], runs[1], files[0], files[1]


@pytest.fixture
def lines(online: tuple[Run, Run, bytes, bytes]) -> list[bytes]:
    """The lines of the workspace's export."""
    return gzip.decompress(online[2]).splitlines()


@pytest.fixture
def graph_catalog(catalog: dict[str, Any]) -> dict[str, Any]:
    return selecting(catalog, GRAPHS.values())


@pytest.fixture
def parent(online: tuple[Run, Run, bytes, bytes]) -> str:
    gid: str = online[1].records("exports")[0]["parent_gid"]
    return gid


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Write a file as if long ago."""

    def write(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        os.utime(path, (WRITTEN.timestamp(), WRITTEN.timestamp()))
        return path

    return write


@pytest.fixture
def read(run_tap: Callable[..., Run]) -> Callable[..., Run]:
    """Run the tap on files, without a token, and where Asana's API would be there is nothing."""

    def run(*urls: Path | str, **options: Any) -> Run:
        files = {name: options.pop(name) for name in ("catalog", "state") if name in options}
        settings = {"export_files": [str(url) for url in urls], "api_url": "http://127.0.0.1:9", **options}
        return run_tap(settings, **files)

    return run


def without_time(run: Run) -> list[dict[str, Any]]:
    """SCHEMAs and the records of objects."""
    return [
        {name: value for name, value in message.items() if name != "time_extracted"}
        for message in run.of("SCHEMA") + run.of("RECORD")
        if message["stream"] != "exports"
    ]


def document(*lines: bytes) -> bytes:
    return b"[" + b",".join(lines) + b"]"


def in_object(*lines: bytes) -> bytes:
    return b'{"data": ' + document(*lines) + b"}"


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "lines.jsonl.gz": gzip.compress,
    "lines.jsonl": lambda text: text,
    "array.json": lambda text: document(*text.splitlines()),
    "array.json.gz": lambda text: gzip.compress(document(*text.splitlines())),
    "object.json": lambda text: in_object(*text.splitlines()),
    "object.json.gz": lambda text: gzip.compress(in_object(*text.splitlines())),
}


def gid_of(url: Path | str, name: str) -> str:
    """What stands for the gid of a file's export."""
    return f"{name}-{hashlib.sha256(json.dumps(str(url)).encode()).hexdigest()[:8]}"


@pytest.mark.soak
def test_files_of_one_name_in_two_folders_are_two_exports(
    online: tuple[Run, Run, bytes, bytes], put: Callable[[str, bytes], Path], read: Callable[..., Run], tmp_path: Path
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    run = read(*(put(f"{folder.name}/export.gz", online[2]) for folder in folders))

    assert len({each["gid"] for each in run.records("exports")}) == 2


@pytest.mark.parametrize("form", FORMS)
def test_a_workspace_comes_from_a_file_as_it_came_online(
    form: str, online: tuple[Run, Run, bytes, bytes], put: Callable[[str, bytes], Path], read: Callable[..., Run]
) -> None:
    path = put(form, FORMS[form](gzip.decompress(online[2])))
    run = read(path)

    assert (run.code, without_time(run)) == (0, without_time(online[0]))
    assert {each["time_extracted"] for each in run.of("RECORD")} == {"2026-03-04T05:06:07Z"}
    assert run.records("exports") == [
        {
            "gid": gid_of(path, form),
            "job_gid": None,
            "kind": "resource",
            "workspace_gid": WORKSPACE,
            "parent_gid": None,
            "created_at": "2026-03-04T05:06:07.000Z",
            "completed_at": None,
            "full": None,
            "objects": {"message": 10, "task": 40, "team": 3},
            "lines": 53,
            "bytes": path.stat().st_size,
            "unknown_fields": {},
        }
    ]


@pytest.mark.parametrize("form", FORMS)
def test_a_graph_comes_from_a_file_as_it_came_online(
    form: str,
    online: tuple[Run, Run, bytes, bytes],
    put: Callable[[str, bytes], Path],
    read: Callable[..., Run],
    graph_catalog: dict[str, Any],
    parent: str,
) -> None:
    path = put(form, FORMS[form](gzip.decompress(online[3])))
    run = read(path, catalog=graph_catalog, graph_parents=[parent])

    [before], [export] = online[1].records("exports"), run.records("exports")
    assert (run.code, without_time(run)) == (0, without_time(online[1]))
    assert {each["time_extracted"] for each in run.of("RECORD")} == {"2026-03-04T05:06:07Z"}
    assert export == {
        "gid": gid_of(path, form),
        "job_gid": None,
        "kind": "graph",
        "workspace_gid": None,
        "parent_gid": parent,
        "created_at": "2026-03-04T05:06:07.000Z",
        "completed_at": None,
        "full": None,
        "objects": {kind: number for kind, number in before["objects"].items() if number},
        "lines": before["lines"],
        "bytes": path.stat().st_size,
        "unknown_fields": {},
    }


PLACES: dict[str, tuple[str, str]] = {
    "a URL of a file": ("file://{folder}/export.jsonl.gz", "export.jsonl.gz"),
    "a file in an archive": ("zip://in/export.jsonl.gz::{folder}/archive.zip", "export.jsonl.gz"),
    "a file in an archive somewhere": ("zip://in/export.jsonl.gz::file://{folder}/archive.zip", "export.jsonl.gz"),
    "a file that is kept here first": ("simplecache::file://{folder}/export.jsonl.gz", "export.jsonl.gz"),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_file_may_be_wherever_fsspec_gets_to(
    place: str,
    online: tuple[Run, Run, bytes, bytes],
    put: Callable[[str, bytes], Path],
    read: Callable[..., Run],
    tmp_path: Path,
) -> None:
    put("export.jsonl.gz", online[2])
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("in/export.jsonl.gz", online[2])
    url, name = PLACES[place]
    run = read(url.format(folder=tmp_path))

    assert (run.code, without_time(run)) == (0, without_time(online[0]))
    assert [each["gid"] for each in run.records("exports")] == [gid_of(url.format(folder=tmp_path), name)]


def test_a_path_may_be_relative(
    online: tuple[Run, Run, bytes, bytes], put: Callable[[str, bytes], Path], read: Callable[..., Run]
) -> None:
    path = put("export file #1?.gz", online[2])
    run = read(os.path.relpath(path))

    assert (run.code, without_time(run)) == (0, without_time(online[0]))
    assert [each["gid"] for each in run.records("exports")] == [gid_of(os.path.relpath(path), "export file #1?.gz")]


def test_several_files_are_read_one_after_the_other(
    online: tuple[Run, Run, bytes, bytes],
    put: Callable[[str, bytes], Path],
    read: Callable[..., Run],
    catalog: dict[str, Any],
    parent: str,
) -> None:
    both = selecting(catalog, [*RESOURCES, *GRAPHS.values()])
    run = read(put("graph.gz", online[3]), put("all.gz", online[2]), catalog=both, graph_parents=[parent])

    records = [each["stream"] for each in run.of("RECORD")]
    ends = [number for number, stream in enumerate(records) if stream == "exports"]
    assert (run.code, len(ends), set(records[: ends[0]]) <= {*GRAPHS.values()}, ends[1]) == (
        0,
        2,
        True,
        len(records) - 1,
    )
    assert [(each["gid"].rpartition("-")[0], each["kind"]) for each in run.records("exports")] == [
        ("graph.gz", "graph"),
        ("all.gz", "resource"),
    ]
    assert run.records("graph_tasks") == online[1].records("graph_tasks")
    assert {stream: run.records(stream) for stream in RESOURCES} == {
        stream: online[0].records(stream) for stream in RESOURCES
    }


def test_parts_come_from_files_too(
    online: tuple[Run, Run, bytes, bytes],
    put: Callable[[str, bytes], Path],
    read: Callable[..., Run],
    catalog: dict[str, Any],
) -> None:
    run = read(put("all.gz", online[2]), catalog=select(catalog, {("task_followers",): True, ("tasks",): False}))

    assert (run.code, run.records("tasks")) == (0, [])
    assert run.records("task_followers") == [
        {
            **follower,
            "task_gid": task["gid"],
            "task_modified_at": task["modified_at"],
            "workspace_gid": WORKSPACE,
        }
        for task in online[0].records("tasks")
        for follower in task["followers"]
    ]


def test_the_state_stays_as_it_was(
    online: tuple[Run, Run, bytes, bytes], put: Callable[[str, bytes], Path], read: Callable[..., Run]
) -> None:
    run = read(put("all.gz", online[2]), state=online[0].state, emit_activate_version_messages=True)

    assert (run.code, run.state, run.of("ACTIVATE_VERSION")) == (0, online[0].state, [])


def test_a_run_on_files_leaves_a_state_that_begins_from_the_start(
    online: tuple[Run, Run, bytes, bytes],
    put: Callable[[str, bytes], Path],
    read: Callable[..., Run],
    sandbox: Sandbox,
    run_tap: Callable[..., Run],
) -> None:
    first = read(put("all.gz", online[2]))
    second = run_tap(settings_for(sandbox), state=first.state)

    assert {"partitions"}.isdisjoint(name for stream in first.state["bookmarks"].values() for name in stream)
    assert (second.code, second.records("exports")[0]["full"], len(second.records("tasks"))) == (0, True, 40)


# ── of which workspace, of which parent ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["task", "team"])
def test_the_workspace_is_that_of_the_tasks_or_of_the_teams(
    kind: str, lines: list[bytes], put: Callable[[str, bytes], Path], read: Callable[..., Run]
) -> None:
    others = [line for line in lines if json.loads(line)["resource_type"] in {kind, "message"}]
    others.sort(key=lambda line: json.loads(line)["resource_type"])
    run = read(put("some.jsonl", b"\n".join(others)))

    assert (run.code, len(run.records("messages"))) == (0, 10)
    assert {each["record"]["workspace_gid"] for each in run.of("RECORD")} == {WORKSPACE}


def test_messages_alone_need_the_setting(
    lines: list[bytes], put: Callable[[str, bytes], Path], read: Callable[..., Run]
) -> None:
    messages = [line for line in lines if json.loads(line)["resource_type"] == "message"]
    path = put("messages.jsonl", b"\n".join(messages))
    without, of_two, of_one = (read(path, workspaces=gids) for gids in ([], ["7", "8"], ["7"]))

    line = "messages.jsonl does not tell of which workspace it is: set workspaces to its one gid."
    assert [(run.code, run.of("RECORD"), run.last_line) for run in (without, of_two)] == [(1, [], line)] * 2
    assert (of_one.code, of_one.records("messages")) == (
        0,
        [{**json.loads(each), "workspace_gid": "7"} for each in messages],
    )


@pytest.mark.parametrize("parents", [[], ["1", "2"]])
def test_a_graph_needs_its_one_parent(
    parents: list[str],
    online: tuple[Run, Run, bytes, bytes],
    put: Callable[[str, bytes], Path],
    read: Callable[..., Run],
    graph_catalog: dict[str, Any],
) -> None:
    run = read(put("graph.gz", online[3]), catalog=graph_catalog, graph_parents=parents)

    assert (run.code, run.of("RECORD"), run.last_line) == (
        1,
        [],
        "graph.gz is a graph export: set graph_parents to the one gid that it is of.",
    )


def test_a_file_without_objects(put: Callable[[str, bytes], Path], read: Callable[..., Run]) -> None:
    path = put("empty.gz", gzip.compress(b""))
    unknown, known = read(path), read(path, workspaces=[WORKSPACE])

    assert (unknown.code, unknown.last_line) == (
        1,
        "empty.gz does not tell of which workspace it is: set workspaces to its one gid.",
    )
    assert (known.code, [(each["lines"], each["objects"]) for each in known.records("exports")]) == (0, [(0, {})])


# ── what goes wrong ───────────────────────────────────────────────────────────────────────────────────────


def broken(line: int, cause: str) -> str:
    remedy = "What came before may be out. Get the file once more, then run again."
    return f"File {{url}} breaks at line {line}: {cause}. {remedy}"


BROKEN: dict[str, tuple[Callable[[bytes], bytes], int, str]] = {
    "gzip that ends too early": (lambda text: gzip.compress(text)[:-9], 53, broken(54, "the gzip data ends too early")),
    "lines that end too early": (
        lambda text: text[:-9],
        52,
        broken(
            53,
            "it is no JSON object with gid and resource_type (Input data was truncated) but begins with b'{first}'",
        ),
    ),
    "an array that ends too early": (
        lambda text: document(*text.splitlines())[:-1],
        53,
        broken(54, "the JSON document ends too early (behind its first 53 objects)"),
    ),
    "something behind an array": (
        lambda text: document(*text.splitlines()[:2]) + b"x",
        2,
        broken(3, "the JSON document is damaged (there is something behind its end; behind its first 2 objects)"),
    ),
    "a page": (
        lambda _: b"<html><body>Sorry",
        0,
        broken(1, "it is neither gzip nor JSON but begins with b'<html><body>Sorry'"),
    ),
    "another JSON document": (
        lambda _: b'{"errors": "none"}',
        0,
        broken(1, "the JSON document holds no array of objects, only errors"),
    ),
    "an array of other things": (
        lambda _: b'{"data": [1, 2]}',
        0,
        broken(1, "the JSON document holds no array of objects, only data"),
    ),
}


@pytest.mark.parametrize("damage", BROKEN)
def test_a_file_that_breaks_brings_what_comes_before_and_tells_where(
    damage: str, lines: list[bytes], put: Callable[[str, bytes], Path], read: Callable[..., Run]
) -> None:
    text = b"".join(line + b"\n" for line in sorted(lines, key=len))
    break_it, whole, line = BROKEN[damage]
    path = put("file", break_it(text))
    run = read(path, workspaces=[WORKSPACE])

    first = repr(sorted(lines, key=len)[52][:40])[2:-1]
    assert (run.code, run.last_line) == (1, line.format(url=path, first=first))
    assert (len(run.of("RECORD")), run.of("STATE"), "Traceback" in run.stderr) == (whole, [], False)


UNREADABLE = {
    "a page": (b"<html>", broken(1, "it is neither gzip nor JSON but begins with b'<html>'")),
    "half an array": (
        b'[{"gid": "1", "resource_type": "message"}, {"gid"',
        broken(2, "the JSON document ends too early (behind its first 1 objects)"),
    ),
    "no JSON": (
        b'{"gid": "1", "resource_type": "message"}\n{nonsense}',
        broken(2, "it is not an object of Asana's (JSON is malformed: object keys must be strings (byte 1))"),
    ),
    "no object of Asana's": (
        b'{"gid": "1"}',
        broken(1, "it is not an object of Asana's (Object missing required field `resource_type`)"),
    ),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_file_that_breaks_before_it_tells_of_which_workspace_it_is(
    what: str, put: Callable[[str, bytes], Path], read: Callable[..., Run]
) -> None:
    content, line = UNREADABLE[what]
    path = put("file", content)
    run = read(path)

    assert (run.code, run.of("RECORD"), run.last_line) == (1, [], line.format(url=path))


def test_a_corrupt_file_tells_where(
    lines: list[bytes], put: Callable[[str, bytes], Path], read: Callable[..., Run]
) -> None:
    whole = gzip.compress(b"".join(line + b"\n" for line in lines))
    path = put("all.gz", whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:])
    run = read(path)

    # The checksum is the last thing in a file.
    assert (run.code, run.last_line.partition(" (")[0]) == (
        1,
        f"File {path} breaks at line {len(run.of('RECORD')) + 1}: the gzip data is damaged",
    )


@pytest.mark.soak
@pytest.mark.parametrize("form", FORMS)
def test_wherever_a_file_is_cut_or_changed_the_run_ends_well_or_with_its_words(
    form: str, lines: list[bytes], put: Callable[[str, bytes], Path]
) -> None:
    small = [line for line in lines if len(line) < 10_000]
    file = FORMS[form](b"\n".join(small))
    expected = [json.loads(line)["gid"] for line in small]
    chance = random.Random(form)  # noqa: S311 - the same each time

    def came(content: bytes) -> tuple[Run, list[str]]:
        settings = {"export_files": [str(put(form, content))], "workspaces": [WORKSPACE]}
        run = sync(settings)
        return run, [each["record"]["gid"] for each in run.of("RECORD") if each["stream"] != "exports"]

    assert came(file)[1] == expected
    for end in chance.sample(range(1, len(file) - 1), 8):
        run, gids = came(file[:end])
        assert (run.code, run.last_line.partition(":")[0]) == (
            1,
            f"File {put(form, b'')} breaks at line {len(gids) + 1}",
        )
        assert gids == expected[: len(gids)]
    for place in chance.sample(range(len(file)), 8):
        run, gids = came(file[:place] + bytes([file[place] ^ 1 << chance.randrange(8)]) + file[place + 1 :])
        assert run.last_line.partition(" breaks at line ")[0] in {"", f"File {put(form, b'')}"}
        assert run.code == bool(run.last_line)


NOWHERE = {
    "a path": ("{folder}/nothing", "{url}, which is not there."),
    "a URL of a file": ("file://{folder}/nothing", "{url}, which is not there."),
    "a file in an archive": ("zip://nothing::{folder}/archive.zip", "{url}, which is not there."),
    "a file in what is no archive": ("zip://nothing::{folder}/no.zip", "{url}, which cannot be read: BadZipFile."),
    "an unknown protocol": ("carrier-pigeon://x", "{url}, which cannot be read: Protocol not known: carrier-pigeon."),
    "a bucket": (
        "s3://bucket/export.jsonl.gz",
        "{url}, which cannot be read: s3:// needs a package: pip install tap-asana-export[s3].",
    ),
    "a signed URL": (
        "https://storage.example/export.gz?X-Amz-Signature=secret",
        'https://storage.example/export.gz, which cannot be read: HTTPFileSystem requires "requests" and "aiohttp" to '
        "be installed.",
    ),
}


DRIVERS = {"a bucket": ["s3fs"], "a signed URL": ["aiohttp"]}


@pytest.mark.parametrize("place", NOWHERE)
def test_a_file_that_cannot_be_opened(place: str, read: Callable[..., Run], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("in/export.jsonl.gz", b"")
    (tmp_path / "no.zip").write_bytes(b"no archive")
    if any(importlib.util.find_spec(driver) for driver in DRIVERS.get(place, ())):
        pytest.skip("the driver is there")
    url = NOWHERE[place][0].format(folder=tmp_path)
    run = read(url)

    line = NOWHERE[place][1].format(url=url)
    assert (run.code, run.of("RECORD"), run.last_line) == (1, [], f"Settings: export_files names {line}")
    assert "Traceback" not in run.stderr
    assert "secret" not in run.stderr


def test_a_folder_is_no_file(read: Callable[..., Run], tmp_path: Path) -> None:
    run = read(tmp_path)

    assert (run.code, run.last_line) == (
        1,
        broken(1, "it cannot be read (IsADirectoryError)").format(url=tmp_path),
    )


def test_the_files_before_a_missing_one_have_come(
    online: tuple[Run, Run, bytes, bytes], put: Callable[[str, bytes], Path], read: Callable[..., Run], tmp_path: Path
) -> None:
    run = read(put("all.gz", online[2]), tmp_path / "nothing", state=online[0].state)

    assert (run.code, len(run.records("exports")), len(run.records("tasks"))) == (1, 1, 40)
    assert run.last_line == f"Settings: export_files names {tmp_path}/nothing, which is not there."


# ── how much memory a document takes ──────────────────────────────────────────────────────────────────────

PEAK = """
import resource, runpy, sys
sys.argv[0] = "tap-asana-export"
try:
    runpy.run_module("tap_asana_export", run_name="__main__")
finally:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stderr.write(f"\\n{peak // 1024 if sys.platform == 'darwin' else peak}")
"""
"""Runs the tap, and writes how many KB it took at most as the last line of stderr."""


@pytest.mark.soak
def test_a_document_takes_no_more_memory_the_longer_it_is(
    online: tuple[Run, Run, bytes, bytes],
    put: Callable[[str, bytes], Path],
    arguments: Callable[..., list[str]],
    graph_catalog: dict[str, Any],
    parent: str,
) -> None:
    graph = gzip.decompress(online[3]).splitlines()

    def peak(size: int) -> int:
        again = -(-size // sum(map(len, graph)))
        path = put(f"{size}.json.gz", gzip.compress(in_object(*(graph * again)), 1))
        settings = {"export_files": [str(path)], "graph_parents": [parent]}
        command = [sys.executable, "-c", PEAK, *arguments(settings, catalog=graph_catalog)[3:]]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
        return int(done.stderr.split(b"\n")[-1])

    assert peak(60_000_000) - peak(1_000_000) < 40_000
