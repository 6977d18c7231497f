"""An export file from its signed URL, over broken connections; gives bytes and knows no lines."""

from __future__ import annotations

import logging
import re
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import requests
import urllib3

from tap_asana_export.asana.session import new_session
from tap_asana_export.errors import ChangedError, DownloadError, GoneError
from tap_asana_export.limits import USUAL
from tap_asana_export.redaction import redact_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_asana_export.waiting import Clock

FINAL = {400, 401, 402, *range(404, 408), *range(409, 425), *range(426, 429), *range(430, 500)}
"""Answers of storage after which nothing helps. After any other a freshly signed URL may work.

S3 answers 403 to a URL that has expired; 408, 425 and 429 ask for another try themselves.
"""
GONE = {requests.codes.not_found, requests.codes.gone}
"""Answers of storage that has no such file."""
BRINGS_FILE = {requests.codes.ok, requests.codes.non_authoritative_information, requests.codes.partial_content}
"""Answers of storage whose body is the file, or a part of it."""
TRIES = 5
"""How often to go on after the connection broke, if no byte came meanwhile."""
ANOTHER = "storage has another file now"

logger = logging.getLogger(__name__)


class Version(NamedTuple):
    """What storage tells of the file, to know it again; each is None if storage does not tell it.

    Attributes:
        etag: name of this state of the file; weak (`W/"…"`) if other bytes may have the same name.
        modified: `Last-Modified`, as storage writes it.
        encoding: `Content-Encoding`. Bytes are counted as they are encoded.
        total: bytes of the whole file.
    """

    etag: str | None = None
    modified: str | None = None
    encoding: str | None = None
    total: int | None = None

    def is_of_another_file(self, now: Version, *, is_part: bool) -> bool:
        """Whether what storage tells now does not fit what it told before.

        Args:
            now: what it tells now.
            is_part: 206 may leave out the ETag that the whole file has (RFC 9110, section 15.3.7).
        """
        if None not in (self.total, now.total) and self.total != now.total:
            return True
        if self.etag and now.etag:
            if _opaque(self.etag) != _opaque(now.etag):
                return True
            if self.strong_etag and now.strong_etag:
                return False
        elif self.etag and not is_part:
            return True
        return None not in (self.modified, now.modified) and self.modified != now.modified

    @property
    def strong_etag(self) -> str | None:
        """The ETag, if it stands for these very bytes."""
        return self.etag if self.etag and not self.etag.startswith("W/") else None

    @property
    def file_id(self) -> str | None:
        """A text that another file does not have: the ETag, or else when the file was modified and its length."""
        return self.etag or (f"{self.modified} {self.total}" if self.modified else None)


class Place(NamedTuple):
    """Which bytes of the file an answer brings: from `begin` up to, but not including, `end`, if that is known."""

    begin: int
    end: int | None
    total: int | None


class Download:
    """An export file as it comes in, over as many connections as it takes.

    Args:
        urls: a freshly signed URL of the file each time it is asked. No token goes with one: it must not leave Asana,
            and S3 refuses a request that is signed in two ways.
        timeout: seconds, to connect and between two reads.
        block: bytes to read at a time.

    Attributes:
        bytes: how many of the file came in so far.
        left: to be set when nobody wants any more of them, so that no further try is made.
        is_whole: whether all of them have come.
        total: how many the whole file has, if storage has told.
        requests: how many were sent to storage.
        retries: how many of these after a connection that broke, or an answer without the file.
        file_id: tells this file from another one at the same place, if storage told enough.
    """

    def __init__(
        self,
        urls: Iterator[str],
        *,
        user_agent: str,
        timeout: float,
        clock: Clock = time,
        block: int = USUAL.file_block,
    ) -> None:
        self.bytes = self.requests = self.retries = 0
        self.file_id: str | None = None
        self._urls = urls
        self._timeout = timeout
        self._clock = clock
        self._block = block
        self._version = Version()
        self.is_whole = False
        self.left = threading.Event()
        self._session = new_session(user_agent=user_agent)
        self._session.headers["Accept-Encoding"] = "identity"

    @property
    def total(self) -> int | None:
        """Bytes of the whole file; None if storage has not told."""
        return self._version.total

    def pieces(self) -> Iterator[bytes]:
        """The bytes of the file as storage keeps it: any Content-Encoding is left on.

        Raises:
            GoneError: storage does not have the file, or not any more.
            ChangedError: storage has another file now; what came so far is of no use.
            DownloadError: storage refuses, or the connection breaks again and again.
        """
        failures = 0
        while not self.is_whole:
            reached = self.bytes
            error: type[DownloadError] = DownloadError
            try:
                yield from self._from(reached)
                if self.is_whole or self.bytes > reached:
                    failures = 0  # a part came, as long as storage said that it would be
                    continue
                cause = "storage sent nothing"
            except RefusedError as refused:
                cause = str(refused)
                if refused.status == requests.codes.forbidden and not reached:
                    error = GoneError
            except requests.TooManyRedirects:
                cause = f"storage redirected more than {self._session.max_redirects} times"
            except requests.exceptions.InvalidURL:
                cause = "storage redirected to what is no URL"
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as broken:
                cause = type(broken).__name__  # its text may hold the URL, and whoever has the URL has the file
            if self.left.is_set():
                return
            self.retries += 1
            failures = 1 if self.bytes > reached else failures + 1
            if failures > TRIES:
                raise error(f"the connection to storage broke ({cause}), and {TRIES} more tries did not help")
            pause = 2.0 ** (failures - 1) - 1
            logger.warning("The download broke after %d bytes (%s); going on in %.0f s", self.bytes, cause, pause)
            self._clock.sleep(pause)

    def _from(self, start: int) -> Iterator[bytes]:
        """The file's bytes from some on, as many as one answer brings."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and self._version.strong_etag:
            # If-Match, not If-Range: to the latter storage would send all of another file, which is of no use.
            # Neither may hold a weak ETag (RFC 9110, section 13.1).
            headers["If-Match"] = self._version.strong_etag
        self.requests += 1
        with self._session.get(next(self._urls), headers=headers, stream=True, timeout=self._timeout) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable and start:
                self._require_end(response)
                return
            place = self._check(response, start)
            at = place.begin
            for block in response.raw.stream(self._block, decode_content=False):
                piece = block if place.end is None else block[: place.end - at]
                fresh = piece[max(self.bytes - at, 0) :]
                at += len(piece)
                if self._version.total is not None and at > self._version.total:
                    raise ChangedError(ANOTHER)
                self.bytes += len(fresh)
                if fresh:
                    yield fresh
                if place.end is not None and at >= place.end:
                    break
            is_part = response.status_code == requests.codes.partial_content
            ends_itself = response.raw.chunked or place.end is not None
        if at < start:
            raise RefusedError("storage sent less of the file than came before", response.status_code)
        # If only the end of the connection ends the file, it may as well have broken: asking for what is behind tells.
        came_to_the_same_end = start and at == start
        if not is_part and self._version.total is None and (ends_itself or came_to_the_same_end):
            self._version = self._version._replace(total=self.bytes)
        self._look_whether_whole()

    def _look_whether_whole(self) -> None:
        self.is_whole = self._version.total is not None and self.bytes >= self._version.total
        if self.is_whole and not self.bytes:
            self.is_whole = False  # an export without objects is an empty gzip file, not an empty one

    def _check(self, response: requests.Response, start: int) -> Place:
        """Which bytes the answer brings; raises if they are not of the file that was begun, or do not join on."""
        status = response.status_code
        said = redact_line(f"storage answered {status} {response.reason or ''}")[:200]
        is_part = status == requests.codes.partial_content
        if status == requests.codes.precondition_failed:
            raise ChangedError(ANOTHER)
        if status in FINAL:
            raise GoneError(said) if not start and status in GONE else DownloadError(said)
        if status not in BRINGS_FILE:
            raise RefusedError(said, status)
        if response.headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
            raise RefusedError("storage sent the file in a transfer coding that nobody asked for", status)
        place = place_of(response)
        version = version_of(response, place.total if place else None)
        if start and self._version.is_of_another_file(version, is_part=is_part):
            raise ChangedError(ANOTHER)
        if start and version.encoding != self._version.encoding:
            raise RefusedError("storage sent the file in another encoding than before", status)
        if place is None or place.begin > start or (place.end is not None and place.end < start):
            raise RefusedError("storage sent another part of the file than it was asked for", status)
        if start:
            version = self._version._replace(
                etag=self._version.etag or version.etag,
                modified=self._version.modified or version.modified,
                total=version.total if self._version.total is None else self._version.total,
            )
        else:
            self.file_id = version.file_id
        self._version = version
        return place

    def _require_end(self, response: requests.Response) -> None:
        """Take 416 for the end of the file if it says so; raises if it does not."""
        version = version_of(response, None)
        content_range = _content_range(response, r"bytes \*/(\d+)")
        total = int(content_range[1]) if content_range else None
        if self._version.is_of_another_file(version, is_part=True) or (total is not None and total < self.bytes):
            raise ChangedError(ANOTHER)
        if total is None and self._version.total is not None:
            raise DownloadError(redact_line(f"storage answered 416 {response.reason or ''}")[:200])
        if total is not None and total > self.bytes:
            raise RefusedError("storage told of more bytes, but did not send them", response.status_code)
        # If-Match was met, so the file is the same, and the length that came with it was wrong.
        if self._version.total not in {None, self.bytes} and not self._version.strong_etag:
            raise ChangedError(ANOTHER)
        self._version = self._version._replace(total=self.bytes)
        self.is_whole = True


def place_of(response: requests.Response) -> Place | None:
    """Which bytes of the file are in an answer that brings some; None if it does not tell."""
    if response.status_code != requests.codes.partial_content:
        length = response.headers.get("Content-Length", "")
        # RFC 9112, section 6.3: with chunks any Content-Length is void.
        is_told = re.fullmatch(r"\d{1,18}", length) and "Transfer-Encoding" not in response.headers
        total = int(length) if is_told else None
        return Place(0, total, total)
    content_range = _content_range(response, r"bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
    if content_range is None:
        return None
    begin, end = int(content_range[1]), int(content_range[2]) + 1
    total = None if content_range[3] == "*" else int(content_range[3])
    return Place(begin, end, total) if begin < end and (total is None or end <= total) else None


def _content_range(response: requests.Response, pattern: str) -> re.Match[str] | None:
    """An answer's Content-Range as `pattern` reads it; None if there is none of this form."""
    return re.fullmatch(pattern, response.headers.get("Content-Range", "").strip(), re.IGNORECASE)


def version_of(response: requests.Response, total: int | None) -> Version:
    """What an answer tells of the file."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    etag = response.headers.get("ETag", "").strip()
    return Version(etag or None, response.headers.get("Last-Modified", "").strip() or None, encoding, total)


def _opaque(etag: str) -> str:
    return etag.removeprefix("W/")


class RefusedError(Exception):
    """Storage refuses for now; never leaves this module."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
