"""HTTP on the loopback: requests in, answers out, some broken off on purpose. Knows nothing of Asana."""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import Message
    from pathlib import Path
    from typing import Any

_logger = logging.getLogger(__name__)
_BLOCK = 65_536
_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass
class Request:
    """What a client asked; the query is kept apart from the path since it may hold a signature."""

    method: str
    path: str
    query: dict[str, str]
    headers: Message
    body: bytes

    def json(self) -> Any:
        """The body, decoded.

        Raises:
            ValueError: it is no JSON, or is nested too deep.
        """
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(str(error)) from None


@dataclass
class Slice:
    """Some bytes of a file, the one at `flip` (an offset in the slice) with all its bits turned."""

    path: Path
    start: int
    length: int
    flip: int | None = None

    def blocks(self) -> Iterator[bytes]:
        """The bytes of the slice."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            for offset in range(0, self.length, _BLOCK):
                block = bytearray(file.read(min(_BLOCK, self.length - offset)))
                if self.flip is not None and offset <= self.flip < offset + len(block):
                    block[self.flip - offset] ^= 0xFF
                yield bytes(block)


@dataclass
class Answer:
    """What the client gets.

    With `cut` the connection breaks after so many bytes of the body, below 0 before anything is sent.
    """

    status: int
    body: bytes | Slice | Iterator[bytes] = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None


@dataclass
class Transfer(Answer):
    """An answer that is a file, or a part of one; what goes wrong with it does so after the share `fault_at`."""

    body: Slice
    fault_at: float = 0.5

    @property
    def place(self) -> int:
        """How many bytes of the body come before the fault."""
        return int(self.body.length * self.fault_at)


def json_answer(content: Any, status: int = 200, **headers: str) -> Answer:
    """An answer with a JSON body; in header names `_` stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, msgspec.json.encode(content), {"Content-Type": "application/json; charset=UTF-8", **named})


def _plain_answer(status: int) -> Answer:
    """An answer to what is no HTTP, whoever is asked."""
    return Answer(status, HTTPStatus(status).phrase.encode(), {"Content-Type": "text/plain"})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Listener

    def _serve(self) -> None:
        try:
            self._send(self._answer())
        except OSError:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815

    def _answer(self) -> Answer:
        length = self.headers.get("Content-Length") or "0"
        if "Transfer-Encoding" in self.headers or not _NUMBER.fullmatch(length):
            # Where the next request begins, nobody knows.
            self.close_connection = True
            return _plain_answer(411 if "Transfer-Encoding" in self.headers else 400)
        body = self.rfile.read(int(length))
        try:
            target = urlsplit(self.path)
        except ValueError:
            return _plain_answer(400)
        request = Request(self.command, target.path, dict(parse_qsl(target.query)), self.headers, body)
        try:
            return self.server.respond(request)
        except Exception:
            _logger.exception("The sandbox failed on %s %s", request.method, request.path)
            return json_answer({"errors": [{"message": "Server Error"}]}, 500)

    def _send(self, answer: Answer) -> None:
        if answer.cut is not None:
            self.close_connection = True
            if answer.cut < 0:
                return
        body = answer.body
        self.send_response(answer.status)
        if isinstance(body, Iterator):
            answer.headers["Transfer-Encoding"] = "chunked"
        else:
            answer.headers.setdefault("Content-Length", str(len(body) if isinstance(body, bytes) else body.length))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if isinstance(body, Iterator):
            for block in body:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block))
            self.wfile.write(b"0\r\n\r\n")
        elif isinstance(body, bytes):
            self.wfile.write(body)
        else:
            self._send_slice(body, body.length if answer.cut is None else answer.cut)

    def _send_slice(self, body: Slice, length: int) -> None:
        if body.flip is not None:
            for block in body.blocks():
                self.wfile.write(block)
        elif length:
            with body.path.open("rb") as file:
                self.connection.sendfile(file, body.start, length)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: what the listener's owner wants to know it logs itself."""


class Listener(ThreadingHTTPServer):
    """A server on a port of 127.0.0.1, 0 for any free one, in threads that never keep the process alive."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, respond: Callable[[Request], Answer]) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.respond = respond
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._connections: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, so that `close` can end it."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of ours."""
        _logger.debug("Connection of %s (%s) broke", client_address, request)

    def close(self) -> None:
        """Stop serving and end every connection; returns at once."""
        self.shutdown()
        self.server_close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()
