"""An HTTP server on the loopback whose answers may break off on purpose. Knows nothing of Asana."""

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
    """A request; its query is not part of the path, as it may contain a signature."""

    method: str
    path: str
    query: dict[str, str]
    headers: Message
    body: bytes

    def json(self) -> Any:
        """Decode the body.

        Raises:
            ValueError: it is no JSON, or is nested too deeply.
        """
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(str(error)) from None


@dataclass
class Slice:
    """A part of a file; all bits of the byte at the offset `flip` in the part are inverted."""

    path: Path
    start: int
    length: int
    flip: int | None = None

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes, in blocks."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            for offset in range(0, self.length, _BLOCK):
                block = bytearray(file.read(min(_BLOCK, self.length - offset)))
                if self.flip is not None and offset <= self.flip < offset + len(block):
                    block[self.flip - offset] ^= 0xFF
                yield bytes(block)


@dataclass
class Answer:
    """An answer.

    Attributes:
        status: HTTP status.
        body: the body.
        headers: the headers.
        cut: number of bytes of the body after which the connection breaks; below 0, it breaks before the answer.
        delay: seconds before all that.
    """

    status: int
    body: bytes | Slice | Iterator[bytes] = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    delay: float = 0


@dataclass
class Transfer(Answer):
    """An answer with a file or a part of it; `fault_at` is the share of the body before a fault."""

    body: Slice
    fault_at: float = 0.5

    @property
    def fault_offset(self) -> int:
        """Number of bytes of the body before a fault."""
        return int(self.body.length * self.fault_at)


def json_answer(content: Any, status: int = 200, **headers: str) -> Answer:
    """Return an answer with a JSON body; `_` in the names of headers becomes `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, msgspec.json.encode(content), {"Content-Type": "application/json; charset=UTF-8", **named})


def _plain_answer(status: int) -> Answer:
    """Return an answer to a request that is not valid HTTP."""
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
            # The beginning of the next request is unknown.
            self.close_connection = True
            return _plain_answer(411 if "Transfer-Encoding" in self.headers else 400)
        body = self.rfile.read(int(length))
        try:
            target = urlsplit(self.path)
        except ValueError:
            return _plain_answer(400)
        request = Request(
            self.command, target.path, dict(parse_qsl(target.query, keep_blank_values=True)), self.headers, body
        )
        try:
            return self.server.respond(request)
        except Exception:
            _logger.exception("The sandbox failed on %s %s", request.method, request.path)
            return json_answer({"errors": [{"message": "Server Error"}]}, 500)

    def _send(self, answer: Answer) -> None:
        if answer.delay:
            self.server.closing.wait(answer.delay)
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
        """Log nothing: the owner of the listener logs its requests itself."""


class Listener(ThreadingHTTPServer):
    """A server on a port of 127.0.0.1, with daemon threads.

    Args:
        port: the port; 0 takes any free one.
        respond: returns the answer to a request.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, respond: Callable[[Request], Answer]) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.respond = respond
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.closing = threading.Event()
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
        """Log a broken connection at debug level: it is the client's."""
        _logger.debug("Connection of %s (%s) broke", client_address, request)

    def close(self) -> None:
        """Stop serving, and end every connection."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()
