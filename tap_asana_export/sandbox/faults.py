"""The faults that the sandbox can simulate, as a table: moment, name and effect. A new fault is one line in it."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from tap_asana_export.sandbox.wire import Answer, Slice, json_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_asana_export.sandbox.export import ExportJob
    from tap_asana_export.sandbox.pages import Turn
    from tap_asana_export.sandbox.wire import Transfer

_HELP = (
    "For more information on API status codes and how to handle them, read the docs on errors:"
    " https://developers.asana.com/docs/errors"
)
TOO_MANY = "You've made too many requests and hit a rate limit. Please retry after the given amount of time."
# Asana does not publish this text; its documentation says that five jobs may run at a time.
TOO_MANY_JOBS = "You have reached the limit of concurrent jobs. Please retry once a job has completed."
# Asana publishes neither text. Both answers have status 403; the first is temporary, the second is not.
BUSY = "An export is already in progress for this workspace. Please wait for it to complete."
FORBIDDEN = "Access denied"
EXPIRED_OFFSET = "offset: Your pagination token has expired."
_HOUR = 3600


def error(status: int, message: str, **headers: str) -> Answer:
    """Return an error in the form of Asana's API."""
    return json_answer({"errors": [{"message": message, "help": _HELP}]}, status, **headers)


def _server_error() -> Answer:
    return json_answer({"errors": [{"message": "Server Error", "phrase": "6 sad squid snuggle softly"}]}, 500)


def _page(status: int) -> Answer:
    return Answer(status, b"<html><body><h1>Please come back later</h1></body></html>", {"Content-Type": "text/html"})


def _http_date(seconds: Any) -> str:
    return formatdate(time.time() + float(seconds), usegmt=True)


def _set(**attributes: Any) -> Callable[[Any], None]:
    def strike(target: Any) -> None:
        for name, value in attributes.items():
            setattr(target, name, value)

    return strike


def _no_url(job: dict[str, Any]) -> None:
    for name in job.keys() & {"new_resource_export", "new_graph_export"}:
        job[name]["download_url"] = None


def _only(*names: str) -> Callable[[dict[str, Any]], None]:
    def strike(job: dict[str, Any]) -> None:
        for name in job.keys() - {*names}:
            del job[name]

    return strike


def _export_only(*names: str) -> Callable[[dict[str, Any]], None]:
    """Return a fault that keeps only these properties of a job's export; without any, the export becomes null."""

    def strike(job: dict[str, Any]) -> None:
        for export in job.keys() & {"new_resource_export", "new_graph_export"}:
            job[export] = {name: job[export][name] for name in names} or None

    return strike


def _archive(job: dict[str, Any]) -> None:
    job["status"] = "archived"


def _members(blocks: Iterable[bytes | None]) -> Iterator[bytes | None]:
    for block in blocks:
        middle = len(block or b"") // 2
        yield from (block and block[:middle], None, block and block[middle:])


def _insert(line: bytes) -> Callable[[Iterable[bytes]], Iterator[bytes]]:
    def blocks(lines: Iterable[bytes]) -> Iterator[bytes]:
        for place, block in enumerate(lines):
            yield block
            if place == 1:
                yield line

    return blocks


def _type_last(lines: Iterable[bytes]) -> Iterator[bytes]:
    for line in lines:
        head, found, rest = line.partition(b'"resource_type":')
        value, _, after = rest.partition(b",")
        # If the object itself has no type, the first one belongs to a nested object.
        is_own = found and head.count(b"{") == 1 and after
        yield b"%b%b,%b%b}\n" % (head, after[:-2], found, value) if is_own else line


def _unended(lines: Iterable[bytes]) -> Iterator[bytes]:
    previous = b""
    for line in lines:
        yield previous
        previous = line
    yield previous.rstrip(b"\n")


def _rewrite(what: str, change: Callable[[Any], Iterator[Any]]) -> Callable[[ExportJob], None]:
    def strike(job: ExportJob) -> None:
        job.rewrites[what].append(change)

    return strike


def _drop(answer: Transfer) -> None:
    answer.cut = answer.fault_offset


def _end_early(answer: Transfer) -> None:
    answer.body.length = answer.fault_offset


def _flip(answer: Transfer) -> None:
    answer.body.flip = answer.fault_offset


def _promise_more(answer: Transfer) -> None:
    answer.headers["Content-Length"] = str(answer.body.length + 1000)
    answer.cut = answer.body.length


def _whole(answer: Transfer) -> None:
    del answer.headers["Content-Range"]
    answer.status, answer.body = 200, Slice(answer.body.path, 0, answer.body.path.stat().st_size)


def _set_etag(change: Callable[[str], str | None]) -> Callable[[Transfer], None]:
    def strike(answer: Transfer) -> None:
        etag = change(answer.headers.pop("ETag"))
        if etag:
            answer.headers["ETag"] = etag

    return strike


def _send_part(answer: Transfer) -> None:
    if "Content-Range" not in answer.headers:
        answer.status, length, answer.body.length = 206, answer.body.length, answer.fault_offset
        answer.headers["Content-Range"] = f"bytes 0-{answer.body.length - 1}/{length}"


def _claim_encoding(answer: Transfer) -> None:
    answer.headers["Content-Encoding"] = "gzip"


def _become(other: Answer) -> Callable[[Answer], None]:
    return _set(status=other.status, body=other.body, headers=other.headers)


def _repeat(turn: Turn) -> None:
    turn.following = turn.last


def _append(event: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["data"].append(event)


# Of a type and an action that nobody knows; and the same without the resource.
_UNKNOWN_EVENT = {
    "user": None,
    "created_at": "2026-01-01T00:00:00.000Z",
    "type": "sprocket",
    "action": "polished",
    "resource": {"gid": "1", "resource_type": "sprocket", "name": "A new kind of thing"},
    "parent": None,
}
_UNKNOWN_AUDIT_EVENT = {
    "gid": "1",
    "created_at": "2026-01-01T00:00:00.000Z",
    "event_type": "sprocket_deleted",
    "event_category": "deletion",
    "actor": {"actor_type": "asana"},
    "resource": {"resource_type": "sprocket", "gid": "1", "name": "A new kind of thing"},
    "details": {},
    "context": {"context_type": "asana"},
}


FAULTS: dict[str, dict[str, Callable[..., Any]]] = {
    # Any request to the API. The argument is the setting `retry_after`; the result is the answer.
    "request": {
        "rate_limited": lambda retry_after: error(429, TOO_MANY, Retry_After=str(retry_after)),
        "rate_limited_without_hint": lambda _: error(429, TOO_MANY),
        "rate_limited_until": lambda retry_after: error(429, TOO_MANY, Retry_After=_http_date(retry_after)),
        "server_error": lambda _: _server_error(),
        "unavailable": lambda _: _page(503),
    },
    # A request for a page of a list; argument and result as above.
    "list": {
        "list_rate_limited": lambda retry_after: error(429, TOO_MANY, Retry_After=str(retry_after)),
        "list_server_error": lambda _: _server_error(),
    },
    # A request for a page of the projects of a workspace; argument and result as above.
    "projects": {
        "projects_timeout": lambda _: _page(504),
        "projects_dropped": lambda _: Answer(504, cut=-1),
        "projects_hang": lambda _: Answer(504, cut=-1, delay=_HOUR),
    },
    # A request for a page of a list that has an offset; argument and result as above.
    "next_page": {
        "expired_offset": lambda _: error(400, EXPIRED_OFFSET),
    },
    # A request for the audit log, or for workspace events; argument and result as above.
    "audit_log": {
        "audit_log_rate_limited": lambda retry_after: error(429, TOO_MANY, Retry_After=str(retry_after)),
        "audit_log_server_error": lambda _: _server_error(),
    },
    "events": {
        "events_rate_limited": lambda retry_after: error(429, TOO_MANY, Retry_After=str(retry_after)),
        "events_server_error": lambda _: _server_error(),
    },
    # A request for events that has a sync token. The result is whether the token has expired.
    "sync": {"expired_sync": lambda _: True},
    # The content of a page of the audit log, or of an answer with events.
    "audit_log_page": {
        "unknown_audit_event": _append(_UNKNOWN_AUDIT_EVENT),
        "audit_event_without_resource": _append(
            {**_UNKNOWN_AUDIT_EVENT, "event_type": "task_deleted", "resource": None}
        ),
    },
    "events_page": {
        "unknown_event": _append(_UNKNOWN_EVENT),
        "event_without_resource": _append({**_UNKNOWN_EVENT, "action": "deleted", "resource": None}),
    },
    # The way from a page to the next one.
    "turn": {
        "repeated_object": _repeat,
        "vanished_object": lambda turn: turn.vanish(),
    },
    # The content of a page.
    "page": {
        "no_data": lambda content: content.pop("data"),
        "null_data": lambda content: content.update(data=None),
        "object_data": lambda content: content.update(data={}),
    },
    # A request for a resource export, before its job is created; argument and result as above.
    "resource_post": {
        "busy": lambda _: error(403, BUSY),
    },
    # A request for any export, before its job is created; argument and result as above.
    "post": {
        "forbidden": lambda _: error(403, FORBIDDEN),
        "too_many_jobs": lambda retry_after: error(429, TOO_MANY_JOBS, Retry_After=str(retry_after)),
        "too_many_jobs_without_hint": lambda _: error(429, TOO_MANY_JOBS),
    },
    # A new job, before its file is written.
    "job": {
        "failed_job": _set(fails=True),
        "plain": _set(compressed=False),
        "bad_line": _rewrite("lines", _insert(b'{"gid": "1", "resource_type": "task", "name": \xff\n')),
        "unknown_type": _rewrite(
            "lines", _insert(b'{"gid":"1","resource_type":"sprocket","name":"A new kind of thing"}\n')
        ),
        "type_last": _rewrite("lines", _type_last),
        "no_newline_at_end": _rewrite("blocks", _unended),
        "multi_member": _rewrite("blocks", _members),
    },
    # The job in the answer to the request for an export.
    "new_job": {
        "compact_job": _only("gid", "status"),
        "compact_export": _export_only("gid", "resource_type"),
        "null_export": _export_only(),
    },
    # The answer to the request for an export.
    "posted": {"lost_answer": _set(cut=-1)},
    # The job in the answer to a poll.
    "poll": {"unknown_status": _archive},
    # The same, if the job has succeeded.
    "success": {"no_url": _no_url},
    # The URL of a file. The argument is its lifetime in seconds; the result is another one.
    "url": {"expired_url": lambda _: 0},
    # The answer to a download. The last fault is last since it replaces the answer.
    "download": {
        "drop_download": _drop,
        "truncated": _end_early,
        "corrupt": _flip,
        "wrong_length": _promise_more,
        "content_encoding": _claim_encoding,
        "no_etag": _set_etag(lambda _: None),
        "weak_etag": _set_etag(lambda etag: f"W/{etag}"),
        "unasked_part": _send_part,
        "html_page": _become(_page(200)),
        "no_such_key": _become(
            Answer(404, b"<Error><Code>NoSuchKey</Code></Error>", {"Content-Type": "application/xml"})
        ),
    },
    # The answer to a download of a part of the file.
    "resumed": {"ignore_range": _whole},
}
NAMES = tuple(name for moment in FAULTS.values() for name in moment)
