"""Answers of the API that Asana may give, or that come from something else on the way, and jobs that go wrong."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.odd_asana import CREATED_AT, SIGNATURE, OddAsana, Request, Storage, raw
from tests.support.tap import Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.clock import Clock

TASKS = [{"gid": str(gid), "resource_type": "task", "modified_at": CREATED_AT} for gid in range(10, 20)]
STORAGE = Storage(b"".join(json.dumps(task).encode() + b"\n" for task in TASKS))
EVERYTHING = [str(gid) for gid in range(10, 20)]


class Asana(OddAsana):
    """An API whose answers a test makes, where it wants to: a function of a request's target and its number."""

    def __init__(self, answer: Callable[[str, int], bytes | None], storage: Storage = STORAGE) -> None:
        super().__init__(storage)
        self.counts: dict[str, int] = {}
        self.make_answer = answer

    def _answer(self, request: Request) -> bytes:
        path = request.target.partition("?")[0]
        what = f"{request.method} {path.removeprefix('/api')}"
        self.counts[what] = self.counts.get(what, 0) + 1
        return self.make_answer(what, self.counts[what]) or super()._answer(request)

    @property
    def posts(self) -> int:
        return sum(count for what, count in self.counts.items() if what.startswith("POST"))


def answer(content: Any, status: str = "200 OK", **headers: str) -> bytes:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return raw(status, body, Content_Type="application/json", **headers)(Request("", "", {}))


def only(request: str, content: bytes, times: int = 1) -> Callable[[str, int], bytes | None]:
    """An answer to the first so many requests of a kind."""
    return lambda what, number: content if what == request and number <= times else None


def tasks(run: Run) -> list[str]:
    return [each["gid"] for each in run.records("tasks")]


def pending(run: Run) -> Any:
    [partition] = run.state["bookmarks"]["exports"]["partitions"]
    return partition["pending"]


POST = "POST /exports/resource"
LOOK = "GET /jobs/9"


def held_request() -> tuple[Callable[[str, int], None], threading.Event, threading.Event]:
    """What answers the request for an export late, and the events that tell that it came and let the answer go."""
    asked, go_on = threading.Event(), threading.Event()

    def hold(what: str, _: int) -> None:
        if what == POST:
            asked.set()
            go_on.wait(20)

    return hold, asked, go_on


# ── what starts a job ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "data",
    [
        {"gid": "9", "status": "not_started"},
        {"gid": "9", "resource_type": "job"},
        {"gid": "9", "status": "in_progress", "new_resource_export": None},
        {"gid": "9", "status": "in_progress", "new_resource_export": {"gid": "7", "resource_type": "export_request"}},
        {"gid": "9", "status": "in_progress", "new_resource_export": {"created_at": None}},
        {"gid": "9", "status": "in_progress", "new_resource_export": {"gid": "7", "created_at": "2026-11-26T10:00:00"}},
    ],
)
def test_an_answer_with_a_compact_job_starts_no_second_one(data: Any, run_tap: Callable[..., Run]) -> None:
    with Asana(only(POST, answer({"data": data}, "201 Created"))) as asana:
        run = run_tap(asana.settings())

    assert (run.code, tasks(run), asana.posts) == (0, EVERYTHING, 1)
    assert run.state["bookmarks"]["tasks"]["partitions"][0]["replication_key_value"] == CREATED_AT


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (
            b"<html>",
            "it is application/json that is not what Asana documents (JSON is malformed: invalid character (byte 0))",
        ),
        ({"data": {"gid": 9}}, "(Expected `str`, got `int` - at `$.data.gid`)"),
        ({"data": {"gid": "../../x"}}, "(Expected `str` matching regex '^[0-9]+\\\\Z' - at `$.data.gid`)"),
        ({"data": {"gid": "9\n"}}, "(Expected `str` matching regex '^[0-9]+\\\\Z' - at `$.data.gid`)"),
        ({"data": None}, "(Expected `object`, got `null` - at `$.data`)"),
        ({}, "(Object missing required field `data`)"),
        (b"", "(Input data was truncated)"),
        (b"[" * 100_000, "is not what Asana documents"),
    ],
)
def test_an_answer_that_tells_no_job_is_not_asked_for_again(
    content: Any, cause: str, run_tap: Callable[..., Run]
) -> None:
    with Asana(only(POST, answer(content, "201 Created"))) as asana:
        run = run_tap(asana.settings())

    assert (run.code, asana.posts, "Traceback" in run.stderr) == (1, 1, False)
    assert run.last_line.startswith("POST /exports/resource: the answer cannot be used: it is application/json")
    assert cause in run.last_line


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        ({"errors": [{"message": None}]}, "Bad Request"),
        ({"errors": [{}]}, "Bad Request"),
        ({"errors": "no"}, "Bad Request"),
        ({"errors": [{"message": "one."}, {"message": "two"}]}, "one; two"),
        ([], "Bad Request"),
        (b"\xff", "Bad Request"),
        (b"[" * 100_000, "Bad Request"),
        ({"errors": [{"message": "a\nb\x1b[31m"}]}, "a b [31m"),
    ],
)
def test_a_refusal_is_told_in_one_line_whatever_its_words(errors: Any, words: str, run_tap: Callable[..., Run]) -> None:
    with Asana(only(POST, answer(errors, "400 Bad Request"))) as asana:
        run = run_tap(asana.settings())

    assert (run.code, run.last_line) == (
        1,
        f"POST /exports/resource: Asana answered 400: {words}. Check the settings workspaces, filters and start_date.",
    )


@pytest.mark.parametrize(
    ("signum", "delay"),
    [*itertools.product((signal.SIGTERM, signal.SIGINT, signal.SIGHUP), (0, 0.05, 0.2))],
)
def test_a_signal_while_asana_answers_waits_for_the_job(
    signum: signal.Signals, delay: float, arguments: Callable[..., list[str]], state_folder: Any
) -> None:
    hold, asked, go_on = held_request()

    with Asana(hold) as asana:
        tap = subprocess.Popen(arguments(asana.settings()), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert asked.wait(20)
        time.sleep(delay)
        tap.send_signal(signum)
        time.sleep(0.05)
        go_on.set()
        out, err = tap.communicate(timeout=20)
    run = Run(tap.returncode, out, err.decode())

    assert (run.code, pending(run)["job_gid"], asana.posts) == (128 + signum, "9", 1)
    assert json.loads((state_folder / "workspace-1.json").read_text())["job_gid"] == "9"


@pytest.mark.soak
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_asana_does_not_answer_ends_the_run_as_soon_as_the_request_is_given_up(
    signum: signal.Signals, arguments: Callable[..., list[str]]
) -> None:
    hold, asked, go_on = held_request()

    with Asana(hold) as asana:
        settings = asana.settings(request_timeout=0.5, poll_interval=5)
        tap = subprocess.Popen(arguments(settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert asked.wait(20)
        tap.send_signal(signum)
        out, err = tap.communicate(timeout=20)
        go_on.set()
    run = Run(tap.returncode, out, err.decode())

    assert (run.code, asana.posts, run.of("RECORD")) == (128 + signum, 1, [])
    assert run.last_line == f"Ended by {signum.name}. The next run goes on from the state."


def test_a_job_is_kept_though_the_target_has_gone_when_asana_answers(
    arguments: Callable[..., list[str]], state_folder: Path, run_tap: Callable[..., Run]
) -> None:
    hold, asked, go_on = held_request()

    with Asana(hold) as asana:
        tap = subprocess.Popen(arguments(asana.settings()), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert asked.wait(20)
        assert tap.stdout is not None
        tap.stdout.close()
        go_on.set()
        tap.wait(20)
        assert tap.stderr is not None
        with tap.stderr as stderr:
            said = Run(tap.returncode, b"", stderr.read().decode())
        held = json.loads((state_folder / "workspace-1.json").read_text())["job_gid"]
        again = run_tap(asana.settings())

    assert (said.code, held, again.code, tasks(again), asana.posts) == (1, "9", 0, EVERYTHING, 1)
    assert "stdout" in said.last_line


# ── what is waited for ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", ["1.5", "soon", "-1", "", "Wed, 99 Foo 2026 99:99:99 GMT", "1e3", "\xb2"])
def test_a_retry_after_of_no_use_is_the_usual_pause(value: str, run_tap: Callable[..., Run]) -> None:
    with Asana(only(LOOK, answer({}, "429 Too Many Requests", Retry_After=value or " "))) as asana:
        run = run_tap(asana.settings())

    assert (run.code, tasks(run)) == (0, EVERYTHING)


@pytest.mark.parametrize("value", ["86400000", "9" * 400, "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_a_retry_after_of_days_ends_as_wait_timeout_says(value: str, run_tap: Callable[..., Run]) -> None:
    with Asana(only(LOOK, answer({}, "429 Too Many Requests", Retry_After=value), 99)) as asana:
        run = run_tap(asana.settings(wait_timeout=2))
        deferred = run_tap(asana.settings(wait_timeout=2, defer=True))

    assert (run.code, deferred.code) == (1, 0)
    assert run.last_line.startswith("Workspace 1: export job 9 is still 'in_progress' after 0 s.")
    assert pending(deferred)["job_gid"] == "9"


def test_a_retry_after_of_days_to_the_request_ends_as_busy_timeout_says(run_tap: Callable[..., Run]) -> None:
    with Asana(only(POST, answer({}, "429 Too Many Requests", Retry_After="86400000"), 99)) as asana:
        run = run_tap(asana.settings(busy_timeout=2))
        deferred = run_tap(asana.settings(busy_timeout=2, defer=True))

    assert (run.code, deferred.code, asana.posts) == (1, 0, 2)
    assert run.last_line == (
        "Workspace 1: Asana refuses an export since 0 s (429: Too Many Requests). Asana runs five jobs of a token at a "
        "time, and others hold them: wait or raise busy_timeout."
    )


def test_a_retry_after_of_one_workspace_does_not_hold_up_another(run_tap: Callable[..., Run]) -> None:
    def jobs(what: str, number: int) -> bytes | None:
        if what == POST:
            return answer({"data": {"gid": str(number), "status": "in_progress"}})
        if what == "GET /jobs/1":
            return answer({}, "429 Too Many Requests", Retry_After="3600")
        return job(asana, "2") if what == "GET /jobs/2" else None

    with Asana(jobs) as asana:
        run = run_tap(asana.settings(workspaces=["1", "2"], wait_timeout=5, defer=True))

    assert (run.code, tasks(run)) == (0, EVERYTHING)
    assert [each["workspace_gid"] for each in run.records("exports")] == ["2"]


def job(asana: OddAsana, gid: str, status: str = "succeeded", **changes: Any) -> bytes:
    url = f"http://{asana.host}/file?X-Amz-Signature={SIGNATURE}"
    export = {"gid": "7", "created_at": CREATED_AT, "completed_at": CREATED_AT, "download_url": url}
    return answer({"data": {"gid": gid, "status": status, "new_resource_export": export, **changes}})


# ── jobs and files that are not what was asked for ───────────────────────────────────────────────────────


def test_an_answer_of_another_job_is_refused(run_tap: Callable[..., Run]) -> None:
    with Asana(lambda what, _: job(asana, "8") if what == LOOK else None) as asana:
        run = run_tap(asana.settings())

    assert (run.code, run.records("tasks")) == (1, [])
    assert run.last_line.startswith("GET /jobs/9: the answer cannot be used: it tells of job 8.")


@pytest.mark.parametrize(
    "line",
    [
        {"gid": "10", "resource_type": "task", "workspace": {"gid": "2", "resource_type": "workspace"}},
        {"gid": "10", "resource_type": "team", "organization": {"gid": "2", "resource_type": "workspace"}},
    ],
)
def test_a_file_of_another_workspace_is_refused(line: Any, run_tap: Callable[..., Run]) -> None:
    storage = Storage(STORAGE.data + json.dumps(line).encode() + b"\n")
    with Asana(lambda *_: None, storage) as asana:
        run = run_tap(asana.settings())
        picked = run_tap(asana.settings(job_gids={"1": "9"}))

    for each in (run, picked):
        assert (each.code, each.of("RECORD")) == (1, [])
        assert each.last_line == (
            "Workspace 1: the file of export job 9 breaks at line 1: its objects are of workspace 2. "
            "Bookmarks stay where they were. Run again. If this repeats, another export is asked for."
        )


def test_a_job_that_job_gids_names_leaves_the_bookmark_where_it_was(run_tap: Callable[..., Run]) -> None:
    """Nobody knows whether it was asked for all that has changed since the bookmark."""
    earlier, later = "2026-11-01T00:00:00.000Z", "2026-11-20T00:00:00.000Z"

    def jobs(what: str, number: int) -> bytes | None:
        created = {LOOK: earlier, "GET /jobs/8": later}.get(what)
        if what == POST and number == 2:
            return answer({"data": {"gid": "5", "status": "in_progress"}})
        if what == "GET /jobs/5":
            return job(asana, "5", new_resource_export=export(asana, later))
        return job(asana, what[-1], new_resource_export=export(asana, created)) if created else None

    with Asana(jobs) as asana:
        first = run_tap(asana.settings())
        second = run_tap(asana.settings(job_gids={"1": "8"}), state=first.state)
        third = run_tap(asana.settings(job_gids={"1": "8"}), state=second.state)

    def bookmark(run: Run) -> str:
        found: str = run.state["bookmarks"]["tasks"]["partitions"][0]["replication_key_value"]
        return found

    assert [each.code for each in (first, second, third)] == [0, 0, 0]
    assert [bookmark(each) for each in (first, second, third)] == [earlier, earlier, later]
    assert (tasks(second), second.records("exports")[0]["full"]) == (EVERYTHING, None)


def export(asana: OddAsana, created_at: str) -> dict[str, Any]:
    url = f"http://{asana.host}/file?X-Amz-Signature={SIGNATURE}"
    return {"gid": "7", "created_at": created_at, "completed_at": created_at, "download_url": url}


@pytest.mark.parametrize("fault", ["bad line", "unknown status", "no object", "cut gzip"])
def test_a_job_that_fails_twice_in_the_same_way_is_dropped(fault: str, run_tap: Callable[..., Run]) -> None:
    files = {"bad line": b"{\n", "no object": b"[1]\n", "cut gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\x03"}
    storage = Storage(files.get(fault, STORAGE.data))

    def jobs(what: str, number: int) -> bytes | None:
        if what == POST:
            return answer({"data": {"gid": str(8 + number), "status": "in_progress"}})
        if what == LOOK and fault == "unknown status":
            return job(asana, "9", "archived")
        if what == "GET /jobs/10":
            asana.storage = STORAGE
            return job(asana, "10")
        return None

    with Asana(jobs, storage) as asana:
        first = run_tap(asana.settings())
        second = run_tap(asana.settings(), state=first.state)

    assert (first.code, asana.posts) == (1, 2)
    assert (pending(first)["job_gid"], pending(first)["failures"]["times"]) == ("9", 1)
    assert (second.code, tasks(second), pending(second)) == (0, EVERYTHING, None)
    assert "It has failed like this before, and is dropped." in second.stderr


def test_a_succeeded_job_without_an_export_is_looked_at_until_wait_timeout(run_tap: Callable[..., Run]) -> None:
    data = {"gid": "9", "status": "succeeded", "new_project": {"gid": "5"}}
    with Asana(only(LOOK, answer({"data": data}), 999)) as asana:
        run = run_tap(asana.settings(wait_timeout=0.5))

    assert run.code == 1
    assert run.last_line.startswith("Workspace 1: export job 9 is still 'succeeded, but without a file' after")


# ── one export is not another one ─────────────────────────────────────────────────────────────────────────

BREAKS: dict[str, Callable[[OddAsana], bytes]] = {
    "a refusal without words": lambda _: answer({"errors": [{"message": None}]}, "400 Bad Request"),
    "a redirect to no URL": lambda _: answer({}, "302 Found", Location="http://["),
    "a redirect to itself": lambda _: answer({}, "302 Found", Location="/api/jobs/1"),
    "no JSON": lambda _: answer(b"\x00"),
    "a time of no calendar": lambda asana: job(asana, "1", new_resource_export=export(asana, "2026-02-31T00:00:00Z")),
    "a time before all others": lambda asana: job(
        asana, "1", new_resource_export=export(asana, "0001-01-01T00:00:00Z")
    ),
    "a URL of another kind": lambda asana: job(
        asana, "1", new_resource_export=export(asana, CREATED_AT) | {"download_url": "ftp://127.0.0.1/file"}
    ),
    "a URL that is none": lambda asana: job(
        asana, "1", new_resource_export=export(asana, CREATED_AT) | {"download_url": "http://[x"}
    ),
    "a time without a zone": lambda asana: job(asana, "1", new_resource_export=export(asana, "2026-11-26T10:00:00")),
}


@pytest.mark.parametrize("what_breaks", BREAKS)
def test_whatever_ends_one_export_the_others_come_through(
    what_breaks: str, run_tap: Callable[..., Run], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setattr(time, "monotonic", clock.monotonic)

    def jobs(what: str, number: int) -> bytes | None:
        if what == POST:
            return answer({"data": {"gid": str(number), "status": "in_progress"}})
        if what == "GET /jobs/1":
            return BREAKS[what_breaks](asana)
        return job(asana, "2") if what == "GET /jobs/2" else None

    with Asana(jobs) as asana:
        run = run_tap(asana.settings(workspaces=["1", "2"]))
    came_through = [each["workspace_gid"] for each in run.records("exports")]

    assert "Traceback" not in run.stderr
    assert "2" in came_through
    if run.code == 1:
        assert run.last_line.startswith("1 of 2 exports failed. Workspace 1: ")
    else:
        assert (run.code, came_through) == (0, ["1", "2"])


def test_an_export_whose_own_record_cannot_be_made_moves_no_bookmark(run_tap: Callable[..., Run]) -> None:
    """The state that the other one's export saves must not tell of this one as of one that came through."""

    def jobs(what: str, number: int) -> bytes | None:
        if what == POST:
            return answer({"data": {"gid": str(number), "status": "in_progress"}})
        return job(asana, what.rpartition("/")[2]) if what.startswith("GET /jobs/") else None

    fails = {"exports": {"broken": "1 / (int(workspace_gid) - 1)"}}
    with Asana(jobs) as asana:
        first = run_tap(asana.settings(workspaces=["1", "2"], stream_maps=fails))
        second = run_tap(asana.settings(workspaces=["1"]), state=first.state)

    assert (first.code, [each["workspace_gid"] for each in first.records("exports")]) == (1, ["2"])
    bookmarks = first.state["bookmarks"]["tasks"]["partitions"]
    assert [each.get("replication_key_value") for each in bookmarks] == [None, CREATED_AT]
    assert (second.code, [each["job_gid"] for each in second.records("exports")], asana.posts) == (0, ["1"], 2)


def test_a_workspace_that_asana_lists_twice_is_exported_once(run_tap: Callable[..., Run]) -> None:
    pages = {"data": [{"gid": "1", "name": "a"}, {"gid": "1", "name": None}], "next_page": None}
    with Asana(only("GET /workspaces", answer(pages))) as asana:
        run = run_tap(asana.settings(workspaces=[]))

    assert (run.code, tasks(run), asana.posts) == (0, EVERYTHING, 1)


def test_lists_of_workspaces_that_never_end_end(run_tap: Callable[..., Run]) -> None:
    page = {"data": [{"gid": "1"}], "next_page": {"offset": "again"}}
    with Asana(only("GET /workspaces", answer(page), 99)) as asana:
        run = run_tap(asana.settings(workspaces=[]))

    assert (run.code, tasks(run), asana.counts["GET /workspaces"]) == (0, EVERYTHING, 2)


@pytest.mark.soak
def test_a_sixth_workspace_is_asked_for_as_soon_as_a_job_has_succeeded_however_slow_the_target(
    arguments: Callable[..., list[str]],
) -> None:
    """Also while the target does not read: 7 workspaces, of whose jobs Asana runs five at a time."""
    asked = threading.Semaphore(0)

    def jobs(what: str, number: int) -> bytes | None:
        if what == POST:
            asked.release()
            return answer({"data": {"gid": str(number), "status": "in_progress"}})
        return job(asana, what.rpartition("/")[2]) if what.startswith("GET /jobs/") else None

    notes = "n" * 20_000
    big = Storage(
        b"".join(json.dumps({**TASKS[0], "gid": str(gid), "notes": notes}).encode() + b"\n" for gid in range(1, 999))
    )
    with Asana(jobs, big) as asana:
        settings = asana.settings(workspaces=[str(each) for each in range(1, 8)])
        tap = subprocess.Popen(arguments(settings), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
        assert tap.stdout is not None
        # As much as one pipe holds is read: the file of the first workspace is far from being out.
        while b'"RECORD"' not in os.read(tap.stdout.fileno(), 1 << 16):
            pass
        for _ in range(7):
            for _ in range(40):
                if asked.acquire(timeout=0.25):
                    break
                os.read(tap.stdout.fileno(), 1 << 20)
            else:
                pytest.fail("a workspace was not asked for")
        tap.kill()
        tap.communicate()


def test_making_the_tap_in_another_program_leaves_its_signals_alone() -> None:
    from tap_asana_export.tap import TapAsanaExport  # noqa: PLC0415 - what is tested

    def mine(*_: Any) -> None:
        """Do as the program wants."""

    before = {signum: signal.signal(signum, mine) for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        TapAsanaExport(config={"sandbox": True}, setup_mapper=False)
        assert [signal.getsignal(signum) for signum in before] == [mine, mine, mine]
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
