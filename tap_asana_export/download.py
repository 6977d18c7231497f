"""An export file from its signed URL, over broken connections; knows storage, but neither Asana nor Singer."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

import requests
import urllib3

from tap_asana_export.errors import ChangedError, DownloadError, GoneError
from tap_asana_export.text import BLOCK, blocks, blocks_in_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_asana_export.waiting import Clock

AGAIN = {requests.codes.forbidden, requests.codes.too_many_requests, *range(500, 600)}
"""Answers of storage after which a freshly signed URL may work; S3 answers 403 to one that has expired."""
GONE = {requests.codes.not_found, requests.codes.gone}
"""Answers of storage that has no such file."""
TRIES = 5
"""How often to go on after the connection broke, if no byte came meanwhile."""

logger = logging.getLogger(__name__)

# urllib3 writes every URL to its debug log, and a signed URL opens the file to whoever reads the log.
logging.getLogger("urllib3").setLevel(logging.INFO)


class Download:
    """An export file as it comes in, over as many connections as it takes.

    Args:
        urls: a freshly signed URL of the file each time it is asked. No token goes with one: it must not leave Asana,
            and S3 refuses a request that is signed in two ways.
        timeout: seconds, to connect and between two reads.

    Attributes:
        bytes: how many of the file came in so far.
        etag: storage's name for this state of the file, if it told one.
    """

    def __init__(self, urls: Iterator[str], *, user_agent: str, timeout: float, clock: Clock = time) -> None:
        self.bytes = 0
        self._urls = urls
        self._timeout = timeout
        self._clock = clock
        self.etag: str | None = None
        self._left = threading.Event()
        self._session = requests.Session()
        self._session.headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._session.auth = _no_auth

    def blocks(self) -> Iterator[bytes]:
        r"""The file's text in blocks of whole lines, each without its last line break.

        A line ends at `\n` and nowhere else. Network and decompression go on in a thread of their own.

        Raises:
            GoneError: storage does not have the file, or not any more.
            ChangedError: storage has another file now; what came so far is of no use.
            DownloadError: storage refuses, the connection breaks again and again, or the file is damaged.
        """
        return blocks(self._body(), self._left)

    def blocks_in_time(self, seconds: float) -> Iterator[bytes | None]:
        """The same, and None whenever the next block takes more than so many seconds."""
        return blocks_in_time(self._body(), self._left, seconds)

    def _body(self) -> Iterator[bytes]:
        """The file as storage keeps it: any Content-Encoding is left on, `read_text` looks at the bytes."""
        failures = 0
        while True:
            reached = self.bytes
            error: type[DownloadError] = DownloadError
            try:
                yield from self._from(reached)
            except RefusedError as refused:
                cause = str(refused)
                if refused.status == requests.codes.forbidden and not reached:
                    error = GoneError
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as broken:
                cause = type(broken).__name__  # its text may hold the URL, and whoever has the URL has the file
            else:
                return
            if self._left.is_set():
                return
            failures = 1 if self.bytes > reached else failures + 1
            if failures > TRIES:
                raise error(f"the connection to storage broke ({cause}), and {TRIES} more tries did not help")
            pause = 2.0 ** (failures - 1) - 1
            logger.warning("The download broke after %d bytes (%s); going on in %.0f s", self.bytes, cause, pause)
            self._clock.sleep(pause)

    def _from(self, start: int) -> Iterator[bytes]:
        """The file's bytes from some on, over one connection."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and self.etag:
            headers["If-Match"] = self.etag
        with self._session.get(next(self._urls), headers=headers, stream=True, timeout=self._timeout) as response:
            if response.headers.get("Content-Range") == f"bytes */{start}":
                return  # there is nothing behind the bytes that came: the file is whole
            skip = self._check(response, start)
            for block in response.raw.stream(BLOCK, decode_content=False):
                wanted = block[skip:]
                skip -= len(block) - len(wanted)
                self.bytes += len(wanted)
                if wanted:
                    yield wanted
        if skip or not self.bytes:
            # Fewer bytes than came before, or none: an export without objects is an empty gzip file, not an empty one.
            raise urllib3.exceptions.ProtocolError

    def _check(self, response: requests.Response, start: int) -> int:
        """How many bytes of the answer to skip, since they came before; raises if it is not the file that was begun."""
        status, etag = response.status_code, response.headers.get("ETag")
        said = f"storage answered {status} {response.reason}"
        is_part = status == requests.codes.partial_content
        if status in AGAIN:
            raise RefusedError(said, status)
        length, part = (response.headers.get(name, "") for name in ("Content-Length", "Content-Range"))
        if is_part and not (part.startswith(f"bytes {start}-") and (length or response.raw.chunked)):
            raise RefusedError("storage sent another part of the file than it was asked for", status)
        is_other = start and self.etag and etag != self.etag and not (is_part and etag is None)
        if status == requests.codes.precondition_failed or (is_other and response.ok):
            raise ChangedError("storage has another file now")
        if not response.ok:
            raise GoneError(said) if not start and status in GONE else DownloadError(said)
        self.etag = etag or self.etag
        return 0 if is_part else start


class RefusedError(Exception):
    """Storage refuses for now; never leaves this module."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keeps requests from taking a password for the storage host out of a .netrc file."""
    return request
