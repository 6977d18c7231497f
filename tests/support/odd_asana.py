"""A second stand-in for Asana and its storage, written after RFC 9110 and RFC 9112 rather than after the sandbox.

The sandbox behaves as Asana does. This one behaves as any server, cache or proxy on the way may: the same file comes in
all the forms that HTTP has for it, and in some that it does not have.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import socket
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Self

CREATED_AT = "2026-11-26T10:00:00.000Z"
TOKEN = "0/stand-in-5ecret-token"  # noqa: S105 - a test's
SIGNATURE = "5ecret0123456789abcdef"


@dataclass(frozen=True)
class Request:
    """A request."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Storage:
    """How storage sends a file.

    Attributes:
        data: the file.
        validators: headers that tell the file from another one.
        framing: what ends a body: `length`, `chunked`, or `close`, the end of the connection.
        ranges: what becomes of Range: `honoured`, `ignored`; or `parts`, when every answer is a part of `most` bytes at
            the most, even if nobody asked for one.
        most: bytes of a part.
        total: whether parts tell the length of the whole file.
        interim: what comes before every answer.
        headers: further headers.
    """

    data: bytes
    validators: dict[str, str] = field(default_factory=dict)
    framing: str = "length"
    ranges: str = "honoured"
    most: int = 1000
    total: bool = True
    interim: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def answer(self, request: Request) -> bytes:
        """The whole answer to a request, as RFC 9110 has it."""
        etag = self.validators.get("ETag")
        wanted = request.headers.get("if-match")
        if wanted and (wanted != etag or etag.startswith("W/")):  # strong comparison
            return self._send("412 Precondition Failed", b"", {})
        found = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        begin = int(found[1]) if found and self.ranges != "ignored" else 0
        if begin >= len(self.data):
            return self._send("416 Range Not Satisfiable", b"", {"Content-Range": f"bytes */{len(self.data)}"})
        if self.ranges == "parts" or (found and self.ranges == "honoured"):
            data = self.data[begin : begin + self.most if self.ranges == "parts" else None]
            total = len(self.data) if self.total else "*"
            place = {"Content-Range": f"bytes {begin}-{begin + len(data) - 1}/{total}"}
            return self._send("206 Partial Content", data, place)
        return self._send("200 OK", self.data, {})

    def _send(self, status: str, body: bytes, headers: dict[str, str]) -> bytes:
        headers = {**self.validators, **self.headers, **headers, "Connection": "close"}
        if self.framing == "length":
            headers["Content-Length"] = str(len(body))
        if self.framing == "chunked":
            headers |= {"Transfer-Encoding": "chunked", "Trailer": "X-Checksum"}
            pieces = [body[at : at + 700] for at in range(0, len(body), 700)]
            body = (
                b"".join(b"%x;a=b\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nX-Checksum: 1\r\n\r\n"
            )
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return self.interim + f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def raw(status: str, body: bytes = b"", **headers: str) -> Callable[[Request], bytes]:
    """An answer that is always the same; in header names `_` stands for `-`."""
    headers = {"Content-Length": str(len(body)), "Connection": "close", **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items() if value)
    text = f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body
    return lambda _: text


def cut(answer: Callable[[Request], bytes], share: float) -> Callable[[Request], bytes]:
    """The answer, broken off after some share of what stands behind its head."""

    def send(request: Request) -> bytes:
        head, _, body = answer(request).rpartition(b"Connection: close")
        return head + b"Connection: close" + body[: 8 + int((len(body) - 8) * share)]

    return send


class OddAsana:
    """An API with one workspace, one job and its file; storage answers with one scene after the other.

    Args:
        storage: how storage sends the file in the end.
        scenes: what storage answers before.
        api_interim: what comes before every answer of the API.
        first_api_answer: what the API answers to the first request, instead of what it should.
    """

    def __init__(
        self,
        storage: Storage,
        scenes: Iterable[Callable[[Request], bytes]] = (),
        *,
        api_interim: bytes = b"",
        first_api_answer: Callable[[Request], bytes] | None = None,
    ) -> None:
        self.requests: list[Request] = []
        self.storage = storage
        self._scenes = iter(scenes)
        self._api_interim = api_interim
        self.first_api_answer = first_api_answer
        self._signatures = itertools.count()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def settings(self, **settings: Any) -> dict[str, Any]:
        """Settings of a run against it."""
        api_url = f"http://{self.host}/api"
        return {"access_token": TOKEN, "workspaces": ["1"], "poll_interval": 0.01, "api_url": api_url, **settings}

    @property
    def downloads(self) -> list[Request]:
        """What storage was asked."""
        return [each for each in self.requests if each.target.startswith("/file")]

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            # One after the other: a connection is closed after its answer.
            with connection, contextlib.suppress(OSError, ValueError):
                connection.settimeout(5)
                request = self._read(connection)
                self.requests.append(request)
                connection.sendall(self._answer(request))

    def _read(self, connection: socket.socket) -> Request:
        text = b""
        while b"\r\n\r\n" not in text:
            more = connection.recv(65536)
            if not more:
                raise ValueError("no request")
            text += more
        head, _, body = text.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(headers.get("content-length", 0)):
            body += connection.recv(65536)
        method, target, _ = first.split(" ")
        return Request(method, target, headers, body)

    def _answer(self, request: Request) -> bytes:
        if request.target.startswith("/file"):
            return next(self._scenes, self.storage.answer)(request)
        if self.first_api_answer is not None:
            answer, self.first_api_answer = self.first_api_answer, None
            return answer(request)
        url = f"http://{self.host}/file?X-Amz-Signature={SIGNATURE}{next(self._signatures)}"
        export = {"gid": "7", "created_at": CREATED_AT, "completed_at": CREATED_AT, "download_url": url}
        status = "in_progress" if request.method == "POST" else "succeeded"
        body = json.dumps({"data": {"gid": "9", "status": status, "new_resource_export": export}}).encode()
        return self._api_interim + raw("200 OK", body)(request)


__all__ = ["CREATED_AT", "SIGNATURE", "TOKEN", "OddAsana", "Request", "Storage", "cut", "raw", "replace"]
