"""The storage of export files, with signed URLs that expire and the answers of S3."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tap_asana_export.sandbox.wire import Answer, Request, Slice, Transfer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_DATE = "%Y%m%dT%H%M%SZ"
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})$")


class Storage:
    """Files by key, which is the path of their URL.

    Args:
        clock: returns the present, which decides whether a URL has expired.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.files: dict[str, Path] = {}
        self._clock = clock
        self._secret = secrets.token_bytes()

    def sign(self, key: str, seconds: int) -> str:
        """Return a path and query that are valid for some seconds, with the parameters of AWS's Signature Version 4."""
        now = self._clock()
        query = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"SANDBOX/{now:%Y%m%d}/us-east-1/s3/aws4_request",
            "X-Amz-Date": now.astimezone(timezone.utc).strftime(_DATE),
            "X-Amz-Expires": str(seconds),
            "X-Amz-Security-Token": secrets.token_urlsafe(24),
            "X-Amz-SignedHeaders": "host",
        }
        query["X-Amz-Signature"] = self._signature(key, query)
        return f"{key}?{urlencode(query)}"

    def _signature(self, key: str, query: dict[str, str]) -> str:
        signed = sorted((name, value) for name, value in query.items() if name != "X-Amz-Signature")
        return hmac.new(self._secret, f"{key}?{urlencode(signed)}".encode(), hashlib.sha256).hexdigest()

    def get(self, request: Request) -> Answer:
        """Answer with a file, a part of it, or an error in XML."""
        key, query = request.path, request.query
        if "Authorization" in request.headers:
            return _error(
                400,
                "InvalidArgument",
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query"
                " string parameter or the Authorization header should be specified",
            )
        signature = query.get("X-Amz-Signature", "").encode()
        if request.method != "GET" or not hmac.compare_digest(signature, self._signature(key, query).encode()):
            return _error(
                403,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided.",
            )
        signed_at = datetime.strptime(query["X-Amz-Date"], _DATE).replace(tzinfo=timezone.utc)
        if self._clock() >= signed_at + timedelta(seconds=int(query["X-Amz-Expires"])):
            return _error(403, "AccessDenied", "Request has expired")
        if key not in self.files:
            return _error(404, "NoSuchKey", "The specified key does not exist.")
        return _slice(self.files[key], request)


def _slice(path: Path, request: Request) -> Answer:
    size = path.stat().st_size
    etag = f'"{hashlib.md5(str(path).encode(), usedforsecurity=False).hexdigest()}"'
    headers = {"Content-Type": "application/gzip", "ETag": etag, "Accept-Ranges": "bytes"}
    if request.headers.get("If-Match", etag) not in (etag, "*"):
        return _error(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
    wanted = _RANGE.match(request.headers.get("Range", ""))
    if not wanted or not any(wanted.groups()) or request.headers.get("If-Range", etag) != etag:
        return Transfer(200, Slice(path, 0, size), headers)
    first, last = wanted.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= end:
        unsatisfiable = _error(416, "InvalidRange", "The requested range is not satisfiable")
        unsatisfiable.headers["Content-Range"] = f"bytes */{size}"
        return unsatisfiable
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return Transfer(206, Slice(path, start, end - start), headers)


def _error(status: int, code: str, message: str) -> Answer:
    xml = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return Answer(status, f"{head}{xml}".encode(), {"Content-Type": "application/xml"})
