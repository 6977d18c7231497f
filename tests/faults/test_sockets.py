"""What a network and a storage host can do to a download, byte by byte over real sockets."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import itertools
import os
import re
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tap_asana_export.asana.client import Asana
from tap_asana_export.asana.download import Download
from tap_asana_export.errors import AnswerError, ChangedError, DownloadError, GoneError
from tap_asana_export.limits import USUAL
from tap_asana_export.records.reader import PIECES_AHEAD
from tap_asana_export.records.reader import blocks as blocks_in
from tap_asana_export.waiting import finish
from tests.support.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

TEXT = b"\n".join(
    b'{"gid":"%d","noise":"%b"}' % (n, hashlib.sha256(b"%d" % n).hexdigest().encode()) for n in range(200)
)
FILE = gzip.compress(TEXT, mtime=0)
ETAG = '"a"'
THIRD, TWO_THIRDS = len(FILE) // 3, len(FILE) * 2 // 3


class Asked(NamedTuple):
    """What of a request matters here."""

    range: str | None
    if_match: str | None


FIRST = Asked(None, None)


def after(start: int, if_match: str | None = ETAG) -> Asked:
    return Asked(f"bytes={start}-", if_match)


class Server:
    """A host that plays one scene a connection: it reads the head of a request, then does one step after the other.

    A step is bytes to send, or a function of the connection and the request's head. After the last step the
    connection is closed.
    """

    def __init__(self, *scenes: Any) -> None:
        self.heads: list[str] = []
        self._scenes = [[scene] if callable(scene) else scene for scene in scenes]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/file?signed"
        self._thread = threading.Thread(target=self._play, daemon=True)

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening, and wait for the scene that is on."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _play(self) -> None:
        for scene in self._scenes:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                head = b""
                while b"\r\n\r\n" not in head and (more := connection.recv(65536)):
                    head += more
                self.heads.append(head.decode())
                with contextlib.suppress(OSError):
                    for step in scene:
                        if callable(step):
                            step(connection, head.decode())
                        else:
                            connection.sendall(step)

    @property
    def asked(self) -> list[Asked]:
        return [Asked(header(head, "Range"), header(head, "If-Match")) for head in self.heads]


def header(head: str, name: str) -> str | None:
    found = re.search(rf"^{name}: (.*?)\r$", head, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else None


def answer(status: str = "200 OK", length: int | None = len(FILE), **headers: str) -> bytes:
    """The head of an answer; in header names `_` stands for `-`."""
    headers = {"ETag": ETAG, "Connection": "close", **headers}
    if length is not None:
        headers["Content-Length"] = str(length)
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items() if value]
    return f"HTTP/1.1 {status}\r\n{''.join(lines)}\r\n".encode()


def part(start: int, **headers: str) -> bytes:
    """The head of the answer that brings the file from some byte on."""
    length = len(FILE) - start
    content_range = f"bytes {start}-{len(FILE) - 1}/{len(FILE)}"
    return answer("206 Partial Content", length, **{"Content_Range": content_range, **headers})


def piece(begin: int, end: int | None = None, total: object = len(FILE)) -> list[bytes]:
    """The answer that brings some bytes of the file."""
    data = FILE[begin:end]
    content_range = f"bytes {begin}-{begin + len(data) - 1}/{total}"
    return [answer("206 Partial Content", len(data), Content_Range=content_range), data]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def refusal(status: str, **headers: str) -> list[bytes]:
    body = b"<?xml version='1.0'?><Error><Code>Refused</Code></Error>"
    return [answer(status, len(body), **{"ETag": "", **headers}), body]


# ── steps ─────────────────────────────────────────────────────────────────────────────────────────────────


def reset(connection: socket.socket, _: str) -> None:
    """End the connection with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def stall(connection: socket.socket, _: str) -> None:
    """Say nothing until the client gives up."""
    while connection.recv(65536):
        pass


def end_half(connection: socket.socket, _: str) -> None:
    """Send FIN, but leave the other direction open until the client closes it."""
    connection.shutdown(socket.SHUT_WR)
    stall(connection, _)


def trickle(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def brief(length: int) -> Callable[[socket.socket, str], None]:
    """So many bytes of the file, from where the client wants it."""

    def send(connection: socket.socket, asked: str) -> None:
        start = int((header(asked, "Range") or "bytes=0-")[len("bytes=") : -1])
        connection.sendall((part(start) if start else answer()) + FILE[start : start + length])

    return send


rest = brief(len(FILE))
WHOLE = [answer(), FILE]


def blocks_of(file: Download) -> Iterator[bytes]:
    """The file's text, as the tap reads it."""
    return blocks_in(file.pieces(), file.left)


def download_from(
    *urls: str, timeout: float = 5, clock: Clock | None = None, block: int = USUAL.file_block
) -> Download:
    """A download that asks for these URLs in turn, the last one again and again."""

    def signed() -> Iterator[str]:
        yield from urls
        while True:
            yield urls[-1]

    return Download(signed(), user_agent="test", timeout=timeout, clock=clock or Clock(), block=block)


def text_of(file: Download) -> bytes:
    return b"\n".join(blocks_of(file))


# ── what ends well ────────────────────────────────────────────────────────────────────────────────────────

MONDAY, TUESDAY = "Mon, 23 Nov 2026 10:00:00 GMT", "Tue, 24 Nov 2026 10:00:00 GMT"
GOES_ON: dict[str, tuple[list[Any], list[Asked] | None]] = {
    "nothing happens": ([WHOLE], [FIRST]),
    "byte by byte": ([[*trickle(answer()), *trickle(FILE[:500]), FILE[500:]]], [FIRST]),
    "100 Continue before the answer": ([[b"HTTP/1.1 100 Continue\r\n\r\n", *WHOLE]], [FIRST]),
    "103 Early Hints and 102 Processing before the answer": (
        [[b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n", *WHOLE]],
        [FIRST],
    ),
    "as many interim answers as are read": ([[b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20, *WHOLE]], [FIRST]),
    "more interim answers than are read": (
        [[b"HTTP/1.1 100 Continue\r\n\r\n" * 21, *WHOLE], WHOLE],
        [FIRST] * 2,
    ),
    "no Content-Length, ended by FIN, and nothing behind": (
        [[answer(length=None), FILE], refusal("416 Range Not Satisfiable", Content_Range=f"bytes */{len(FILE)}")],
        [FIRST, after(len(FILE))],
    ),
    "no Content-Length, ended by FIN, and no word of the length": (
        [[answer(length=None), FILE], refusal("416 Range Not Satisfiable")],
        [FIRST, after(len(FILE))],
    ),
    "no Content-Length and no ranges, ended by FIN at the same byte twice": (
        [[answer(length=None), FILE]] * 2,
        [FIRST, after(len(FILE))],
    ),
    "no Content-Length, cut": (
        [[answer(length=None), FILE[:THIRD]], [part(THIRD), FILE[THIRD:]]],
        [FIRST, after(THIRD)],
    ),
    "no Content-Length and no ranges, cut": (
        [[answer(length=None), FILE[:THIRD]], [answer(length=None), FILE], [answer(length=None), FILE]],
        [FIRST, after(THIRD), after(len(FILE))],
    ),
    "chunks with extensions and trailers": (
        [
            [
                answer(length=None, Transfer_Encoding="Chunked", Trailer="ETag, X-Checksum"),
                b"%x;name=value\r\n%b\r\n" % (len(FILE), FILE),
                b'0;last\r\nETag: "z"\r\nX-Checksum: 1\r\n\r\n',
            ]
        ],
        [FIRST],
    ),
    "chunks and a Content-Length that is void beside them": (
        [[answer(length=9, Transfer_Encoding="chunked"), chunk(FILE), b"0\r\n\r\n"]],
        [FIRST],
    ),
    "chunks that end before the file does, as a cache that lost its source ends them": (
        [
            [answer(), FILE[:THIRD]],
            [
                part(THIRD, Content_Length="", Transfer_Encoding="chunked"),
                chunk(FILE[THIRD:TWO_THIRDS]),
                b"0\r\n\r\n",
            ],
            [part(TWO_THIRDS), FILE[TWO_THIRDS:]],
        ],
        [FIRST, after(THIRD), after(TWO_THIRDS)],
    ),
    "a part that nobody asked for": ([piece(0, THIRD), piece(THIRD)], [FIRST, after(THIRD)]),
    "a part that nobody asked for, and it is all": ([piece(0)], [FIRST]),
    "a part that ends before the file does": (
        [[answer(), FILE[:THIRD]], piece(THIRD, THIRD + 9), piece(THIRD + 9)],
        [FIRST, after(THIRD), after(THIRD + 9)],
    ),
    "parts only, of which none tells the length of the file": (
        [
            piece(0, THIRD, "*"),
            piece(THIRD, TWO_THIRDS, "*"),
            piece(TWO_THIRDS, None, "*"),
            refusal("416 Range Not Satisfiable"),
        ],
        [FIRST, after(THIRD), after(TWO_THIRDS), after(len(FILE))],
    ),
    "parts only, of which the last one tells the length of the file": (
        [piece(0, THIRD, "*"), piece(THIRD, TWO_THIRDS, "*"), piece(TWO_THIRDS)],
        [FIRST, after(THIRD), after(TWO_THIRDS)],
    ),
    "a part that begins before the byte that is wanted": (
        [[answer(), FILE[:THIRD]], piece(THIRD - 50)],
        [FIRST, after(THIRD)],
    ),
    "a part that is longer than it says": (
        [[answer(), FILE[:THIRD]], [piece(THIRD, TWO_THIRDS)[0].replace(b"Content-Length", b"X"), FILE[THIRD:]], rest],
        [FIRST, after(THIRD), after(TWO_THIRDS)],
    ),
    "a part without a length of its own": (
        [[answer(), FILE[:THIRD]], [part(THIRD, Content_Length=""), FILE[THIRD:]]],
        [FIRST, after(THIRD)],
    ),
    "a part whose Content-Range is written otherwise": (
        [
            [answer(), FILE[:THIRD]],
            [part(THIRD, Content_Range=f" Bytes  {THIRD}-{len(FILE) - 1}/{len(FILE)} "), FILE[THIRD:]],
        ],
        [FIRST, after(THIRD)],
    ),
    "a part with no ETag of its own": (
        [[answer(), FILE[:THIRD]], [part(THIRD, ETag=""), FILE[THIRD:]]],
        [FIRST, after(THIRD)],
    ),
    "a weak ETag, which If-Match may not hold": (
        [[answer(ETag='W/"a"'), FILE[:THIRD]], [part(THIRD, ETag='W/"a"'), FILE[THIRD:]]],
        [FIRST, after(THIRD, None)],
    ),
    "a weak ETag, and two breaks": (
        [
            [answer(ETag='W/"a"'), FILE[:THIRD]],
            [part(THIRD, ETag='W/"a"'), FILE[THIRD:TWO_THIRDS]],
            [part(TWO_THIRDS, ETag='W/"a"'), FILE[TWO_THIRDS:]],
        ],
        [FIRST, after(THIRD, None), after(TWO_THIRDS, None)],
    ),
    "an ETag that a proxy on the way makes weak": (
        [[answer(), FILE[:THIRD]], [part(THIRD, ETag='W/"a"'), FILE[THIRD:]]],
        [FIRST, after(THIRD)],
    ),
    "the same ETag, and another Last-Modified as replicas have": (
        [[answer(Last_Modified=MONDAY), FILE[:THIRD]], [part(THIRD, Last_Modified=TUESDAY), FILE[THIRD:]]],
        [FIRST, after(THIRD)],
    ),
    "204, 304, 300 and a redirect to nowhere in between": (
        [
            [answer("204 No Content", None)],
            [answer("304 Not Modified", None)],
            [answer("300 Multiple Choices", 2), b"{}"],
            [answer("302 Found", 2), b"{}"],
            WHOLE,
        ],
        [FIRST] * 5,
    ),
    "203 from a proxy that says it may have changed it": (
        [[answer("203 Non-Authoritative Information"), FILE]],
        [FIRST],
    ),
    "no reason phrase": ([[answer("200 "), FILE]], [FIRST]),
    "a header line without a colon": (
        [[answer().replace(b"ETag", b"no colon here\r\nETag", 1), FILE], refusal("416 Out")],
        None,
    ),
    "chunks": (
        [
            [
                answer(length=None, Transfer_Encoding="chunked"),
                *(chunk(FILE[at : at + 99]) for at in range(0, len(FILE), 99)),
                b"0\r\n\r\n",
            ]
        ],
        [FIRST],
    ),
    "closed without an answer": ([[], [], WHOLE], [FIRST] * 3),
    "reset without an answer": ([[reset], WHOLE], [FIRST] * 2),
    "reset within the head": ([[answer()[:30], reset], WHOLE], [FIRST] * 2),
    "closed after the head": ([[answer()], WHOLE], [FIRST] * 2),
    "closed in the midst": ([[answer(), FILE[:THIRD]], [part(THIRD), FILE[THIRD:]]], [FIRST, after(THIRD)]),
    "half-closed in the midst": (
        [[answer(), FILE[:THIRD], end_half], [part(THIRD), FILE[THIRD:]]],
        [FIRST, after(THIRD)],
    ),
    "closed in the midst twice": (
        [[answer(), FILE[:THIRD]], [part(THIRD), FILE[THIRD:TWO_THIRDS]], [part(TWO_THIRDS), FILE[TWO_THIRDS:]]],
        [FIRST, after(THIRD), after(TWO_THIRDS)],
    ),
    "closed before the last byte": (
        [[answer(), FILE[:-1]], [part(len(FILE) - 1), FILE[-1:]]],
        [FIRST, after(len(FILE) - 1)],
    ),
    "closed after the first byte": ([[answer(), FILE[:1]], [part(1), FILE[1:]]], [FIRST, after(1)]),
    "no ETag": (
        [[answer(ETag=""), FILE[:THIRD]], [part(THIRD, ETag=""), FILE[THIRD:]]],
        [FIRST, after(THIRD, None)],
    ),
    "chunks cut between two": (
        [
            [answer(length=None, Transfer_Encoding="chunked"), chunk(FILE[:THIRD])],
            [part(THIRD), FILE[THIRD:]],
        ],
        [FIRST, after(THIRD)],
    ),
    "a garbled status line": ([[b"\x16\x03\x01\x02\x00 no HTTP at all\r\n\r\n"], WHOLE], [FIRST] * 2),
    "a garbled Content-Length": (
        [[answer(length=None, Content_Length="many"), FILE], refusal("416 Range Not Satisfiable")],
        [FIRST, after(len(FILE))],
    ),
    "a whole file in place of a part": (
        [[answer(), FILE[:THIRD]], WHOLE],
        [FIRST, after(THIRD)],
    ),
    "a whole file in place of a part, closed before that part": (
        [[answer(), FILE[:TWO_THIRDS]], [answer(), FILE[:THIRD]], [part(TWO_THIRDS), FILE[TWO_THIRDS:]]],
        [FIRST, after(TWO_THIRDS), after(TWO_THIRDS)],
    ),
    "single bytes of a whole file in place of a part": (
        [[answer(), FILE[:1]], [answer(), FILE[:1]], [answer(), FILE[:2]], [part(2), FILE[2:]]],
        [FIRST, after(1), after(1), after(2)],
    ),
    "503 and 429 with a page": (
        [refusal("503 Slow Down"), refusal("429 Too Many Requests"), WHOLE],
        [FIRST] * 3,
    ),
    "403 in the midst": (
        [[answer(), FILE[:THIRD]], refusal("403 Forbidden"), [part(THIRD), FILE[THIRD:]]],
        [FIRST, after(THIRD), after(THIRD)],
    ),
    "a Content-Length that is too large": (
        [
            [answer(length=len(FILE) + 1), FILE],
            refusal("416 Range Not Satisfiable", Content_Range=f"bytes */{len(FILE)}"),
        ],
        [FIRST, after(len(FILE))],
    ),
    "500 in the midst": (
        [[answer(), FILE[:THIRD]], refusal("500 Internal Server Error"), [part(THIRD), FILE[THIRD:]]],
        [FIRST, after(THIRD), after(THIRD)],
    ),
}


@pytest.mark.parametrize("name", GOES_ON)
def test_a_download_goes_on_where_it_broke(name: str) -> None:
    scenes, asked = GOES_ON[name]
    with Server(*scenes) as server:
        file = download_from(server.url)
        assert (text_of(file), file.bytes, server.asked) == (TEXT, len(FILE), asked or server.asked)


@pytest.mark.parametrize(
    ("name", "steps"),
    {
        "reset in the midst": [answer(), FILE[:THIRD], reset],
        "stalled before the answer": [stall],
        "stalled within the head": [answer()[:30], stall],
        "stalled in the midst": [answer(), FILE[:THIRD], stall],
        "stalled before the last byte": [answer(), FILE[:-1], stall],
        "chunks cut within one": [answer(length=None, Transfer_Encoding="chunked"), chunk(FILE[:THIRD])[:-100]],
        "a chunk of a garbled length": [
            answer(length=None, Transfer_Encoding="chunked"), chunk(FILE[:THIRD]), b"zz\r\n", FILE[THIRD:]
        ],
    }.items(),
)  # fmt: skip
def test_bytes_that_may_be_lost_with_their_connection_are_asked_for_again(name: str, steps: list[Any]) -> None:
    assert name
    with Server(steps, [rest]) as server:
        file = download_from(server.url, timeout=0.1, block=1000)
        assert (text_of(file), file.bytes, len(server.asked)) == (TEXT, len(FILE), 2)


@pytest.mark.soak
@pytest.mark.parametrize("before", [0, THIRD])
def test_a_head_that_is_cut_anywhere_is_no_answer(before: int) -> None:
    begun = [[answer(), FILE[:before]]] if before else []
    again = after(before) if before else FIRST
    head, end = (part(before), FILE[before:]) if before else WHOLE
    for cut in range(len(head)):
        with Server(*begun, [head[:cut]], [head, end]) as server:
            assert (cut, text_of(download_from(server.url))) == (cut, TEXT)
            assert server.asked == [*([FIRST] if before else []), again, again]


def test_each_byte_more_gives_a_download_all_its_tries_again() -> None:
    ends = [*range(0, len(FILE), len(FILE) // 20), len(FILE)]
    scenes: list[list[Any]] = [[answer(), FILE[: ends[1]]]]
    for start, end in itertools.pairwise(ends[1:]):
        scenes += [[], [], [part(start), FILE[start:end]]]
    clock = Clock()
    began = clock.monotonic()
    with Server(*scenes) as server:
        assert text_of(download_from(server.url, clock=clock)) == TEXT
        assert server.asked == [FIRST, *(after(start) for start in ends[1:-1] for _ in range(3))]
    # after every part: 0 s, 1 s and 3 s
    assert clock.monotonic() - began == 4 * len(ends[1:-1])


# ── what does not ─────────────────────────────────────────────────────────────────────────────────────────

BROKEN = "the connection to storage broke ({}), and 5 more tries did not help"
ENVELOPE = part(THIRD, Content_Range="", Content_Type="multipart/byteranges; boundary=b")
STOPS: dict[str, tuple[list[list[Any]], type[DownloadError], str, list[Asked]]] = {
    "never an answer": ([[]] * 6, DownloadError, BROKEN.format("ConnectionError"), [FIRST] * 6),
    "an empty file": ([[answer(length=0)]] * 6, DownloadError, BROKEN.format("storage sent nothing"), [FIRST] * 6),
    "parts that bring no byte": (
        [[answer(), FILE[:THIRD]], *[piece(0, THIRD)] * 5],
        DownloadError,
        BROKEN.format("storage sent nothing"),
        [FIRST, *[after(THIRD)] * 5],
    ),
    "no Content-Length, and never an answer about the end": (
        [[answer(length=None), FILE], *[refusal("503 Slow Down")] * 6],
        DownloadError,
        BROKEN.format("storage answered 503 Slow Down"),
        [FIRST, *[after(len(FILE))] * 6],
    ),
    "never a byte": ([[answer()]] * 6, DownloadError, BROKEN.format("ProtocolError"), [FIRST] * 6),
    "never a byte more": (
        [[answer(), FILE[:THIRD]], *[[part(THIRD)]] * 5],
        DownloadError,
        BROKEN.format("ProtocolError"),
        [FIRST, *[after(THIRD)] * 5],
    ),
    "always 503": (
        [refusal("503 Slow Down")] * 6,
        DownloadError,
        BROKEN.format("storage answered 503 Slow Down"),
        [FIRST] * 6,
    ),
    "always stalled": ([[stall]] * 6, DownloadError, BROKEN.format("ReadTimeout"), [FIRST] * 6),
    "a Content-Length that is too small": (
        [[answer(length=THIRD), FILE]],
        DownloadError,
        "the gzip data ends too early",
        [FIRST],
    ),
    "a Content-Length that is too large, and no word of the right one": (
        [[answer(length=len(FILE) + 1), FILE], refusal("416 Range Not Satisfiable")],
        DownloadError,
        "storage answered 416 Range Not Satisfiable",
        [FIRST, after(len(FILE))],
    ),
    "parts in an envelope": (
        [[answer(), FILE[:THIRD]], *[[ENVELOPE, FILE[THIRD:]]] * 5],
        DownloadError,
        BROKEN.format("storage sent another part of the file than it was asked for"),
        [FIRST, *[after(THIRD)] * 5],
    ),
    "a part that ends before it begins": (
        [[answer(), FILE[:THIRD]], *[[part(THIRD, Content_Range=f"bytes {THIRD}-{THIRD - 1}/{len(FILE)}")]] * 5],
        DownloadError,
        BROKEN.format("storage sent another part of the file than it was asked for"),
        [FIRST, *[after(THIRD)] * 5],
    ),
    "a part that ends behind the file": (
        [[answer(), FILE[:THIRD]], *[[part(THIRD, Content_Range=f"bytes {THIRD}-{len(FILE)}/{len(FILE)}")]] * 5],
        DownloadError,
        BROKEN.format("storage sent another part of the file than it was asked for"),
        [FIRST, *[after(THIRD)] * 5],
    ),
    "a part of a file of another length": (
        [[answer(), FILE[:THIRD]], piece(THIRD, None, len(FILE) + 1)],
        ChangedError,
        "storage has another file now",
        [FIRST, after(THIRD)],
    ),
    "all of a file of another length": (
        [[answer(ETag=""), FILE[:THIRD]], [answer(length=len(FILE) - 1, ETag=""), FILE[1:]]],
        ChangedError,
        "storage has another file now",
        [FIRST, after(THIRD, None)],
    ),
    "chunks that go on behind the length that was told": (
        [
            [answer(ETag=""), FILE[:THIRD]],
            [answer(length=None, ETag="", Transfer_Encoding="chunked"), chunk(FILE + b"more"), b"0\r\n\r\n"],
        ],
        ChangedError,
        "storage has another file now",
        [FIRST, after(THIRD, None)],
    ),
    "no ETag, and another Last-Modified": (
        [
            [answer(ETag="", Last_Modified=MONDAY), FILE[:THIRD]],
            [part(THIRD, ETag="", Last_Modified=TUESDAY), FILE[THIRD:]],
        ],
        ChangedError,
        "storage has another file now",
        [FIRST, after(THIRD, None)],
    ),
    "another weak ETag": (
        [[answer(ETag='W/"a"'), FILE[:THIRD]], [part(THIRD, ETag='W/"b"'), FILE[THIRD:]]],
        ChangedError,
        "storage has another file now",
        [FIRST, after(THIRD, None)],
    ),
    "the same weak ETag, and another Last-Modified": (
        [
            [answer(ETag='W/"a"', Last_Modified=MONDAY), FILE[:THIRD]],
            [part(THIRD, ETag='W/"a"', Last_Modified=TUESDAY), FILE[THIRD:]],
        ],
        ChangedError,
        "storage has another file now",
        [FIRST, after(THIRD, None)],
    ),
    "416 of a file that has shrunk, and has no ETag": (
        [
            [answer(ETag=""), FILE[:THIRD]],
            refusal("416 Range Not Satisfiable", Content_Range=f"bytes */{THIRD}"),
        ],
        ChangedError,
        "storage has another file now",
        [FIRST, after(THIRD, None)],
    ),
    "416, though the file is longer": (
        [
            [answer(), FILE[:THIRD]],
            *[refusal("416 Range Not Satisfiable", Content_Range=f"bytes */{len(FILE)}")] * 5,
        ],
        DownloadError,
        BROKEN.format("storage told of more bytes, but did not send them"),
        [FIRST, *[after(THIRD)] * 5],
    ),
    "another encoding than before": (
        [[answer(), FILE[:THIRD]], *[[answer(Content_Encoding="br", ETag='W/"a"'), FILE]] * 5],
        DownloadError,
        BROKEN.format("storage sent the file in another encoding than before"),
        [FIRST, *[after(THIRD)] * 5],
    ),
    "a transfer coding that nobody asked for": (
        [[answer(length=None, Transfer_Encoding="gzip, chunked"), chunk(gzip.compress(FILE)), b"0\r\n\r\n"]] * 6,
        DownloadError,
        BROKEN.format("storage sent the file in a transfer coding that nobody asked for"),
        [FIRST] * 6,
    ),
    "always 204": (
        [[answer("204 No Content", None)]] * 6,
        DownloadError,
        BROKEN.format("storage answered 204 No Content"),
        [FIRST] * 6,
    ),
    "always 304": (
        [[answer("304 Not Modified", None)]] * 6,
        DownloadError,
        BROKEN.format("storage answered 304 Not Modified"),
        [FIRST] * 6,
    ),
    "always a redirect to nowhere": (
        [[answer("302 Found", 2), b"{}"]] * 6,
        DownloadError,
        BROKEN.format("storage answered 302 Found"),
        [FIRST] * 6,
    ),
    "never an end of interim answers": (
        [[b"HTTP/1.1 103 Early Hints\r\n\r\n" * 30]] * 6,
        DownloadError,
        BROKEN.format("ConnectionError"),
        [FIRST] * 6,
    ),
    "401": (
        [refusal("401 Unauthorized")],
        DownloadError,
        "storage answered 401 Unauthorized",
        [FIRST],
    ),
    "another part than the one asked for": (
        [[answer(), FILE[:THIRD]], *[[part(THIRD + 1), FILE[THIRD + 1 :]]] * 5],
        DownloadError,
        BROKEN.format("storage sent another part of the file than it was asked for"),
        [FIRST, *[after(THIRD)] * 5],
    ),
    "a part of unknown place": (
        [[answer(), FILE[:THIRD]], *[[part(THIRD, Content_Range=""), FILE[THIRD:]]] * 5],
        DownloadError,
        BROKEN.format("storage sent another part of the file than it was asked for"),
        [FIRST, *[after(THIRD)] * 5],
    ),
    "a part nobody asked for": (
        [[part(THIRD), FILE[THIRD:]]] * 6,
        DownloadError,
        BROKEN.format("storage sent another part of the file than it was asked for"),
        [FIRST] * 6,
    ),
    "another ETag": (
        [[answer(), FILE[:THIRD]], [part(THIRD, ETag='"b"'), FILE[THIRD:]]],
        ChangedError,
        "storage has another file now",
        [FIRST, after(THIRD)],
    ),
    "another ETag, and the whole file": (
        [[answer(), FILE[:THIRD]], [answer(ETag='"b"'), FILE]],
        ChangedError,
        "storage has another file now",
        [FIRST, after(THIRD)],
    ),
    "412": (
        [[answer(), FILE[:THIRD]], refusal("412 Precondition Failed")],
        ChangedError,
        "storage has another file now",
        [FIRST, after(THIRD)],
    ),
    "always 403": (
        [refusal("403 Forbidden")] * 6,
        GoneError,
        BROKEN.format("storage answered 403 Forbidden"),
        [FIRST] * 6,
    ),
    "404 in the midst": (
        [[answer(), FILE[:THIRD]], refusal("404 Not Found")],
        DownloadError,
        "storage answered 404 Not Found",
        [FIRST, after(THIRD)],
    ),
    "404 at first": (
        [refusal("404 Not Found")],
        GoneError,
        "storage answered 404 Not Found",
        [FIRST],
    ),
    "403 in the midst, and always from then on": (
        [[answer(), FILE[:THIRD]], *[refusal("403 Forbidden")] * 5],
        DownloadError,
        BROKEN.format("storage answered 403 Forbidden"),
        [FIRST, *[after(THIRD)] * 5],
    ),
    "416 in the midst": (
        [[answer(), FILE[:THIRD]], refusal("416 Range Not Satisfiable", Content_Range="bytes */7")],
        ChangedError,
        "storage has another file now",
        [FIRST, after(THIRD)],
    ),
    "400 without a word": (
        [[answer("400 Bad Request", 0)]],
        DownloadError,
        "storage answered 400 Bad Request",
        [FIRST],
    ),
}


@pytest.mark.parametrize("name", STOPS)
def test_a_download_that_cannot_go_on_says_why(name: str) -> None:
    scenes, kind, cause, asked = STOPS[name]
    with Server(*scenes) as server:
        with pytest.raises(DownloadError) as error:
            text_of(download_from(server.url, timeout=0.05 if "stall" in name else 5))
        assert (type(error.value), error.value.cause, server.asked) == (kind, cause, asked)


def test_tries_without_a_byte_come_after_longer_and_longer_pauses() -> None:
    clock = Clock()
    began = clock.monotonic()
    with Server(*[[]] * 6) as server, pytest.raises(DownloadError):
        text_of(download_from(server.url, clock=clock))
    assert clock.monotonic() - began == 0 + 1 + 3 + 7 + 15


# ── redirects ─────────────────────────────────────────────────────────────────────────────────────────────


def redirect(url: str) -> list[bytes]:
    return [answer("307 Temporary Redirect", 0, Location=url)]


BAD_LOCATIONS = ["http://[", "http://h:0/", "ftp://127.0.0.1/file", "file:///etc/passwd", "http://h:99999/"]


@pytest.mark.parametrize("location", BAD_LOCATIONS)
def test_a_redirect_to_what_is_no_url_of_http_is_not_followed(location: str) -> None:
    with Server(*[redirect(location)] * 6) as server:
        with pytest.raises(DownloadError) as error:
            text_of(download_from(server.url))
        assert (error.value.cause, server.asked) == (
            BROKEN.format("storage redirected to what is no URL"),
            [FIRST] * 6,
        )


def test_redirects_in_a_circle_come_to_an_end() -> None:
    with Server(*[redirect("?again")] * 66) as server:
        with pytest.raises(DownloadError) as error:
            text_of(download_from(server.url))
        assert (error.value.cause, len(server.asked)) == (BROKEN.format("storage redirected more than 10 times"), 66)


def test_storage_may_send_a_download_to_another_host() -> None:
    with (
        Server([answer(), FILE[:THIRD]], [part(THIRD), FILE[THIRD:]]) as far,
        Server(redirect(far.url), redirect(far.url)) as near,
    ):
        assert text_of(download_from(near.url)) == TEXT
        assert near.asked == far.asked == [FIRST, after(THIRD)]
        assert [header(each, "Authorization") for each in near.heads + far.heads] == [None] * 4


def test_the_token_does_not_follow_a_redirect_to_another_host() -> None:
    body = b'{"errors":[{"message":"Not Authorized"}]}'
    with Server([answer("401 Unauthorized", len(body)), body]) as elsewhere, Server(redirect(elsewhere.url)) as api:
        with pytest.raises(AnswerError):
            finish(Asana(api.url.split("/file")[0], "secret", user_agent="test", timeout=5).job("1"), Clock())
        assert [header(each, "Authorization") for each in api.heads + elsewhere.heads] == ["Bearer secret", None]


# ── a slow reader ─────────────────────────────────────────────────────────────────────────────────────────

MUCH = os.urandom(24 << 20).translate(None, b"\r\n")
MUCH = b'{"gid":"1"}\n' + b"\n".join([MUCH[at : at + 999] for at in range(0, len(MUCH), 999)])


@pytest.mark.parametrize("end", [reset, lambda *_: None])
def test_a_reader_that_takes_its_time_loses_nothing_and_little_is_read_ahead(end: Callable[..., None]) -> None:
    full = threading.Event()

    def send_until_nobody_takes_more(connection: socket.socket, _: str) -> None:
        connection.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            connection.sendall(MUCH)
        full.set()
        end(connection, _)

    def send_rest(connection: socket.socket, asked: str) -> None:
        start = int((header(asked, "Range") or "")[len("bytes=") : -1])
        content_range = f"bytes {start}-{len(MUCH) - 1}/{len(MUCH)}"
        connection.sendall(answer("206 Partial Content", len(MUCH) - start, Content_Range=content_range) + MUCH[start:])

    with Server([answer(length=len(MUCH)), send_until_nobody_takes_more], [send_rest]) as server:
        file = download_from(server.url)
        blocks = blocks_of(file)
        taken = [next(blocks)]
        assert full.wait(10)
        # what the reader has, what waits for it, and what the thread holds while there is no room for it
        assert file.bytes <= (1 + PIECES_AHEAD + 2) * USUAL.file_block
        assert b"\n".join([*taken, *blocks]) == MUCH
        assert (file.bytes, len(server.asked)) == (len(MUCH), 2)


# ── the thread ────────────────────────────────────────────────────────────────────────────────────────────


def download_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "download"]


def test_the_thread_ends_with_the_download() -> None:
    with Server(WHOLE) as server:
        blocks = blocks_of(download_from(server.url, block=300))
        begun = [next(blocks)]
        [thread] = download_threads()
        assert b"\n".join([*begun, *blocks]) == TEXT
        thread.join(5)
        assert download_threads() == []


@pytest.mark.parametrize("taken", [1, 5])
def test_the_thread_ends_when_nobody_wants_the_rest(taken: int) -> None:
    with Server(WHOLE) as server:
        blocks = blocks_of(download_from(server.url, block=300))
        for _ in range(taken):
            next(blocks)
        [thread] = download_threads()
        blocks.close()  # type: ignore[attr-defined]
        thread.join(5)
        assert download_threads() == []


def test_the_thread_asks_for_nothing_more_when_nobody_wants_the_rest() -> None:
    with Server([answer(), FILE[:1500], stall], *[[stall]] * 6) as server:
        blocks = blocks_of(download_from(server.url, timeout=0.1, block=1000))
        next(blocks)
        [thread] = download_threads()
        blocks.close()  # type: ignore[attr-defined]
        thread.join(5)
        assert (download_threads(), server.asked) == ([], [FIRST])
