"""An API of Asana's that answers as a test says, so that lists can be odd in ways that the sandbox never is."""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from tests.support.leaks import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self


class Asked(NamedTuple):
    """A request for a list."""

    path: str
    query: dict[str, str]


@dataclass(frozen=True)
class Answer:
    """An answer: its status, its body (bytes as they are, all else as JSON) and further headers."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


def page(objects: list[Any], offset: str | None = None) -> Answer:
    """A page of a list, and the offset of the next one."""
    following = {"offset": offset, "path": f"/p?offset={offset}", "uri": f"https://x/p?offset={offset}"}
    return Answer(200, {"data": objects, "next_page": following if offset else None})


def refusal(status: int, message: str, **headers: str) -> Answer:
    return Answer(status, {"errors": [{"message": message}]}, headers)


def paged(objects: list[Any]) -> Callable[[Asked], Answer]:
    """Answers with the objects, as many on a page as are asked for."""

    def answer(asked: Asked) -> Answer:
        at, limit = int(asked.query.get("offset", 0)), int(asked.query["limit"])
        return page(objects[at : at + limit], str(at + limit) if at + limit < len(objects) else None)

    return answer


class Server(ThreadingHTTPServer):
    """A server that lets more connections wait than the tap makes at a time; by default it is five."""

    request_queue_size = 64


class ScriptedApi:
    """Serves lists on the loopback.

    Args:
        lists: by path, one answer, several in turn (the last again and again), or what makes an answer of a request.
    """

    def __init__(self, lists: dict[str, Any]) -> None:
        self.asked: list[Asked] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lists = lists
        self._lock = threading.Lock()
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                # A client that has had enough of waiting is gone.
                with contextlib.suppress(ConnectionError):
                    api.respond(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def settings(self, **settings: Any) -> dict[str, Any]:
        """Settings of a run against it."""
        api_url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return {"access_token": TOKEN, "workspaces": ["1"], "api_url": api_url, **settings}

    def paths(self) -> list[str]:
        """The paths that were asked for."""
        return [each.path for each in self.asked]

    def respond(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        asked = Asked(parts.path, dict(parse_qsl(parts.query)))
        with self._lock:
            self.asked.append(asked)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            answers = self._lists.get(asked.path, refusal(404, "Unknown object"))
            if isinstance(answers, list):
                answers = answers.pop(0) if len(answers) > 1 else answers[0]
        answer = answers(asked) if callable(answers) else answers
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        with self._lock:
            self._at_once -= 1
        handler.send_response(answer.status)
        for name, value in {"Content-Length": str(len(body)), **answer.headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)
