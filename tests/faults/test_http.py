"""The tap against all that HTTP allows between it and Asana, and some that it does not: a whole file, or none."""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export.limits import Limits
from tap_asana_export.tap import TapAsanaExport
from tests.support.clock import Clock
from tests.support.odd_asana import CREATED_AT, OddAsana, Storage, cut, raw, replace
from tests.support.tap import Run, sync

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.odd_asana import Request

GIDS = [str(number) for number in range(100, 160)]
TASK = '{"gid":"%s","resource_type":"task","modified_at":"2026-11-26T09:00:00.000Z","name":"%s"}\n'
PLAIN = "".join(TASK % (gid, "a" * int(gid)) for gid in GIDS).encode()
OTHER = PLAIN.replace(b"aaa", b"bbb")
GZIP = gzip.compress(PLAIN, 1, mtime=0)
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
MODIFIED = {"Last-Modified": "Thu, 26 Nov 2026 10:01:00 GMT"}
VALIDATORS: dict[str, dict[str, str]] = {
    "strong": {"ETag": '"abc"', **MODIFIED},
    "weak": {"ETag": 'W/"abc"', **MODIFIED},
    "date": MODIFIED,
    "none": {},
}


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setattr(TapAsanaExport, "limits", Limits(file_block=500))


def run_tap(server: OddAsana, **settings: Any) -> Run:
    return sync(server.settings(**settings))


def gids(run: Run) -> list[str]:
    return [record["gid"] for record in run.records("tasks")]


def bookmark(run: Run) -> str | None:
    [partition] = run.state["bookmarks"]["tasks"]["partitions"]
    value: str | None = partition.get("replication_key_value")
    return value


def came_through(run: Run) -> bool:
    """Whether every line came once, in its order, and the bookmark moved."""
    return (run.code, gids(run), bookmark(run)) == (0, GIDS, CREATED_AT)


# ── the same file, in every form that HTTP has for it ─────────────────────────────────────────────────────

BREAKS: dict[str, tuple[float, ...]] = {"no break": (), "one break": (0.4,), "three breaks": (0.3, 0.0, 0.6)}


@pytest.mark.parametrize(
    ("framing", "ranges", "validators", "breaks"),
    [
        *itertools.product(
            ["length", "chunked", "close"],
            ["honoured", "ignored", "parts", "parts of an unknown whole"],
            VALIDATORS,
            BREAKS,
        )
    ],
)
def test_a_file_comes_whole_however_it_is_sent(framing: str, ranges: str, validators: str, breaks: str) -> None:
    for data, interim in ((PLAIN, b""), (GZIP, INTERIM)):
        storage = Storage(
            data,
            VALIDATORS[validators],
            framing,
            ranges.partition(" ")[0],
            most=len(data) // 5 + 1,
            total="unknown" not in ranges,
            interim=interim,
        )
        scenes = [cut(storage.answer, share) for share in BREAKS[breaks]]
        with OddAsana(storage, scenes, api_interim=interim) as server:
            run = run_tap(server)
            assert came_through(run), (len(data), run.stderr)
            assert [each.headers.get("if-match") for each in server.downloads if validators != "strong"] == [
                None for _ in server.downloads if validators != "strong"
            ]
            assert all("authorization" not in each.headers for each in server.downloads)


# ── single answers on the way to the file ─────────────────────────────────────────────────────────────────

WHOLE = Storage(PLAIN, VALIDATORS["strong"])
HALF = len(PLAIN) // 2
LINE_END = PLAIN.index(b"\n", HALF) + 1
"""A place where half a file looks like a whole one."""


def half(request: Request) -> bytes:
    """The first lines of the file, as a part that nobody asked for."""
    return replace(WHOLE, data=PLAIN, ranges="parts", most=LINE_END).answer(request)


def half_without_end(request: Request) -> bytes:
    """The first lines of the file, and then the connection ends, which is how the file could end too."""
    return replace(WHOLE, data=PLAIN[:LINE_END], framing="close").answer(request)


PASSING: dict[str, list[Callable[[Request], bytes]]] = {
    "half the file as a part": [half],
    "half the file and no length": [half_without_end],
    "204": [raw("204 No Content", Content_Length="")],
    "205": [raw("205 Reset Content")],
    "300": [raw("300 Multiple Choices", b"[]")],
    "301 without Location": [raw("301 Moved Permanently")],
    "302 to a bad URL": [raw("302 Found", Location="http://[")],
    "304": [raw("304 Not Modified", Content_Length="")],
    "307 to itself with a password": [raw("307 Temporary Redirect", Location="/file?again")],
    "408": [raw("408 Request Timeout")],
    "425": [raw("425 Too Early")],
    "429": [raw("429 Too Many Requests", Retry_After="1.5")],
    "500": [raw("500 Internal Server Error", b"<html>")],
    "504 of a proxy": [raw("504 Gateway Timeout", b"<html>")],
    "999": [raw("999 What")],
    "101": [raw("101 Switching Protocols", Content_Length="", Upgrade="h2c")],
    "an empty file": [raw("200 OK")],
    "no answer": [lambda _: b""],
    "HTTP/0.9": [lambda _: PLAIN],
    "HTTP/2": [lambda _: b"\x00\x00\x12\x04\x00\x00\x00\x00\x00"],
    "a negative length": [cut(raw("200 OK", PLAIN, Content_Length="-1"), 0.5)],
    "two lengths": [raw("200 OK", PLAIN, Content_Length=f"{len(PLAIN)}, 7")],
    "a status line alone": [lambda _: b"HTTP/1.1 200 OK\r\n"],
    "a head that ends within a length": [lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: %d" % LINE_END],
    "half the file after a break": [cut(WHOLE.answer, 0.2), half],
    "a 206 to nothing, of another place": [
        raw("206 Partial Content", PLAIN[9:], Content_Range=f"bytes 9-{len(PLAIN) - 1}/{len(PLAIN)}")
    ],
    "a multipart 206": [raw("206 Partial Content", b"--b--", Content_Type="multipart/byteranges; boundary=b")],
    "a break, then 206 with no word of its place": [cut(WHOLE.answer, 0.5), raw("206 Partial Content", b"x")],
}


@pytest.mark.parametrize("name", PASSING)
def test_an_odd_answer_on_the_way_does_not_keep_the_file_from_coming_whole(name: str) -> None:
    with OddAsana(WHOLE, PASSING[name]) as server:
        run = run_tap(server)
        assert came_through(run), run.stderr


# Half a file and the end of the connection, again and again, is what a whole file without a length looks like.
@pytest.mark.parametrize("name", [each for each in PASSING if each != "half the file and no length"])
def test_an_odd_answer_that_is_all_that_comes_ends_in_one_line_or_in_the_whole_file(name: str) -> None:
    with OddAsana(WHOLE, itertools.cycle(PASSING[name])) as server:
        run = run_tap(server)
        if not came_through(run):
            breaks, gone = (
                "Workspace 1: the file of export job 9 breaks at line ",
                "Workspace 1: no export came through",
            )
            assert (run.code, bookmark(run), run.stderr.count("\n")) == (1, None, 0)
            assert run.stderr.startswith((breaks, gone))
            assert gids(run) == GIDS[: len(gids(run))]


PAGE = raw("200 OK", b"<html><h1>Sign in to the network</h1></html>", Content_Type="text/html")
FAILING: dict[str, tuple[Storage, list[Callable[[Request], bytes]], str]] = {
    "a page instead of the file": (
        WHOLE,
        [PAGE] * 99,
        "Workspace 1: the file of export job 9 breaks at line 1: it is neither gzip nor JSON but begins with b'<html>",
    ),
    "a blank page instead of the file": (
        WHOLE,
        [raw("200 OK", b"  \n", Content_Type="text/html")] * 99,
        "Workspace 1: the file of export job 9 breaks at line 2: it holds nothing but white space. Bookmarks stay",
    ),
    "encoded by a proxy": (
        replace(WHOLE, data=b"\x8b\x05\x80", headers={"Content-Encoding": "br"}),
        [],
        "Workspace 1: the file of export job 9 breaks at line 1: it is neither gzip nor JSON but begins with b'\\x8b",
    ),
    "a length that is too small, at the end of a gzip block": (
        replace(WHOLE, data=GZIP[:-9]),
        [],
        "Workspace 1: the file of export job 9 breaks at line ",
    ),
    "a bad redirect for ever": (
        WHOLE,
        [raw("307 Temporary Redirect", Location="http://[")] * 99,
        "Workspace 1: the file of export job 9 breaks at line 1: the connection to storage broke (storage redirected "
        "to what is no URL), and 5 more tries did not help.",
    ),
    "a redirect to itself for ever": (
        WHOLE,
        [raw("307 Temporary Redirect", Location="/file")] * 99,
        "Workspace 1: the file of export job 9 breaks at line 1: the connection to storage broke (storage redirected "
        "more than 10 times), and 5 more tries did not help.",
    ),
}


@pytest.mark.parametrize("name", FAILING)
def test_what_is_not_the_file_ends_the_run_in_one_line_and_moves_no_bookmark(name: str) -> None:
    storage, scenes, words = FAILING[name]
    with OddAsana(storage, scenes) as server:
        run = run_tap(server)
        assert (run.code, run.stderr[: len(words)], run.stderr.count("\n")) == (1, words, 0)
        assert bookmark(run) is None


# ── another file at the same place ────────────────────────────────────────────────────────────────────────

THEN: dict[str, dict[str, str]] = {
    "strong": {"ETag": '"def"', **MODIFIED},
    "weak": {"ETag": 'W/"def"', **MODIFIED},
    "date": {"Last-Modified": "Thu, 26 Nov 2026 10:02:00 GMT"},
}


@pytest.mark.parametrize("ranges", ["honoured", "ignored", "parts"])
@pytest.mark.parametrize("validators", [*THEN, "length"])
def test_another_file_of_the_same_length_is_never_joined_to_the_first(validators: str, ranges: str) -> None:
    other = OTHER + TASK.encode() % (b"160", b"a") if validators == "length" else OTHER
    first = Storage(PLAIN, VALIDATORS.get(validators, {}))
    then = Storage(other, THEN.get(validators, {}), ranges=ranges, most=len(OTHER) // 5)
    with OddAsana(then, [cut(first.answer, 0.5)]) as server:
        run = run_tap(server)
        records = run.records("tasks")
        anew = records[-other.count(b"\n") :]
        assert (run.code, bookmark(run)) == (0, CREATED_AT)
        assert "".join(TASK % (each["gid"], each["name"]) for each in anew).encode() == other
        assert all("b" not in each["name"] for each in records[: -len(anew)])


def test_a_file_of_a_later_run_is_told_by_its_date_and_length(run_again: Callable[..., list[Run]]) -> None:
    first, second = run_again(Storage(PLAIN, MODIFIED), Storage(OTHER, THEN["date"]))
    assert first.state["bookmarks"]["exports"]["partitions"][0]["pending"]["etag"] == (
        f"{MODIFIED['Last-Modified']} {len(PLAIN)}"
    )
    assert (second.code, gids(second)) == (0, GIDS)


def test_the_same_file_of_a_later_run_is_gone_on_with(run_again: Callable[..., list[Run]]) -> None:
    first, second = run_again(Storage(PLAIN, MODIFIED), Storage(PLAIN, MODIFIED))
    assert (second.code, gids(first) + gids(second)) == (0, GIDS)
    assert 0 < len(gids(first)) < len(GIDS)


@pytest.fixture
def run_again() -> Callable[..., list[Run]]:
    """Two runs, of which the first one ends in the midst of the file."""

    def run(first: Storage, then: Storage) -> list[Run]:
        refused = itertools.repeat(raw("404 Not Found"), 1)
        with OddAsana(first, [cut(first.answer, 0.5), *refused]) as server:
            runs = [run_tap(server)]
            assert runs[0].code == 1
            server.storage = then
            stdout = io.TextIOWrapper(io.BytesIO())
            with contextlib.redirect_stdout(stdout):
                state = json.loads(json.dumps(runs[0].state))
                TapAsanaExport(config=server.settings(), state=state).sync_all()
            return [*runs, Run(0, stdout.buffer.getvalue(), "")]

    return run


# ── twice gzipped, and what else a proxy does ─────────────────────────────────────────────────────────────

TWICE = [
    gzip.compress(GZIP, mtime=0),
    gzip.compress(GZIP[:50], mtime=0) + gzip.compress(GZIP[50:], mtime=0),
    gzip.compress(gzip.compress(PLAIN[:999]) + gzip.compress(PLAIN[999:]), mtime=0),
]


@pytest.mark.parametrize("data", TWICE)
def test_a_file_that_a_proxy_gzips_once_more_comes_whole(data: bytes) -> None:
    with OddAsana(Storage(data, headers={"Content-Encoding": "gzip"}, framing="chunked")) as server:
        assert came_through(run_tap(server))


@pytest.mark.parametrize("end", [*range(30, len(TWICE[0]), 97), len(TWICE[0]) - 1])
def test_a_file_gzipped_twice_and_cut_anywhere_is_not_whole(end: int) -> None:
    with OddAsana(Storage(TWICE[0][:end], headers={"Content-Encoding": "gzip"})) as server:
        run = run_tap(server)
        assert (run.code, bookmark(run), "ends too early" in run.stderr) == (1, None, True)


# ── the API ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [100, 102, 103, 199])
def test_interim_answers_of_the_api_are_read_over(status: int) -> None:
    interim = b"HTTP/1.1 %d Wait\r\nX-Later: yes\r\n\r\n" % status
    with OddAsana(WHOLE, api_interim=interim * 3) as server:
        assert came_through(run_tap(server))
