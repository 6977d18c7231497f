"""An export file, from its signed URL to lines; knows storage and gzip, but neither Asana nor Singer."""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import threading
from typing import TYPE_CHECKING

import requests
import urllib3

try:
    from isal import isal_zlib as zlib
except ImportError:  # isal has no wheel for this machine; zlib does the same, slower
    import zlib  # type: ignore[no-redef]

from tap_asana_export.errors import DownloadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DAMAGED: type[Exception] = zlib.error  # type: ignore[assignment,unused-ignore]  # isal's stub has an instance
GZIP_MAGIC = b"\x1f\x8b"
BLOCK = 1 << 18
"""Compressed bytes to ask for at a time."""
TEXT = 1 << 21
"""Bytes of text to decompress at a time, however well they were compressed."""
BLOCKS_AHEAD = 2
"""Blocks of text that may wait, so that the two threads seldom wait for each other."""

# urllib3 writes every URL to its debug log, and a signed URL opens the file to whoever reads the log.
logging.getLogger("urllib3").setLevel(logging.INFO)


class Download:
    """An export file as it comes in.

    Args:
        url: the signed URL. No token goes with it: it must not leave Asana, and S3 refuses a request that is
            signed in two ways.
        timeout: seconds, to connect and between two reads.

    Attributes:
        bytes: how many came over the network so far.
    """

    def __init__(self, url: str, *, user_agent: str, timeout: float) -> None:
        self.bytes = 0
        self._url = url
        self._timeout = timeout
        self._session = requests.Session()
        self._session.headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._session.auth = _no_auth

    def blocks(self) -> Iterator[bytes]:
        r"""The file's text in blocks of whole lines, each without its last line break.

        A line ends at `\n` and nowhere else. Network and decompression go on in a thread of their own.

        Raises:
            DownloadError: storage refuses, the connection breaks, or the file is cut off or damaged.
        """
        return ahead(whole_lines(read_text(self._body())), BLOCKS_AHEAD)

    def _body(self) -> Iterator[bytes]:
        """The file as storage keeps it: any Content-Encoding is left on, `inflate` looks at the bytes."""
        with (
            _errors_as_download_errors(),
            self._session.get(self._url, stream=True, timeout=self._timeout) as response,
        ):
            if not response.ok:
                raise DownloadError(f"storage answered {response.status_code} {response.reason}")
            for block in response.raw.stream(BLOCK, decode_content=False):
                self.bytes += len(block)
                yield block


def read_text(body: Iterable[bytes]) -> Iterator[bytes]:
    """The text of an export file, whether it comes gzipped or plain; the bytes tell, headers may not.

    Raises:
        DownloadError: the file is neither gzip nor JSON Lines, is damaged, or ends too early.
    """
    blocks = iter(body)
    head = b""
    while len(head) < len(GZIP_MAGIC) and (block := next(blocks, b"")):
        head += block
    body = itertools.chain([head], blocks)
    if head.startswith(GZIP_MAGIC):
        return inflate(body)
    if head.strip() and not head.lstrip().startswith(b"{"):
        raise DownloadError(f"it is neither gzip nor JSON Lines but begins with {head[:40]!r}")
    return body


def inflate(body: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress gzip of any number of members (RFC 1952), to pieces of at most `TEXT` bytes.

    Raises:
        DownloadError: the data is damaged, or ends before a member does.
    """
    member = zlib.decompressobj(wbits=31)
    for data in body:
        while True:
            if member.eof:
                data = data.lstrip(b"\0")  # noqa: PLW2901 - zeros behind a member are padding, says gzip's manual
                if not data:
                    break
                member = zlib.decompressobj(wbits=31)
            try:
                text = member.decompress(data, TEXT)
            except DAMAGED as error:
                raise DownloadError(f"the gzip data is damaged ({error})") from None
            yield text
            data = member.unused_data if member.eof else member.unconsumed_tail  # noqa: PLW2901
            if not data and (member.eof or len(text) < TEXT):
                break
    if not member.eof:
        raise DownloadError("the gzip data ends too early")


def whole_lines(texts: Iterable[bytes]) -> Iterator[bytes]:
    """Text in blocks that end where a line ends, without that line break."""
    begun: list[bytes] = []
    for text in texts:
        end = text.rfind(b"\n")
        if end < 0:
            begun.append(text)
        else:
            yield b"".join((*begun, text[:end]))
            begun = [text[end + 1 :]]
    if last := b"".join(begun):
        yield last


def ahead(items: Iterator[bytes], most: int) -> Iterator[bytes]:
    """The items, brought by a thread that is at most so many ahead; an error comes when its turn does."""
    arrived: queue.Queue[bytes | BaseException | None] = queue.Queue(most)
    left = threading.Event()

    def bring() -> None:
        try:
            for item in items:
                arrived.put(item)
                if left.is_set():
                    return
            arrived.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again where the items are wanted
            arrived.put(error)

    # A daemon: it may hang in a read from the network, and must not keep the process from ending.
    threading.Thread(target=bring, name="download", daemon=True).start()
    try:
        while (item := arrived.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        left.set()
        with contextlib.suppress(queue.Empty):
            arrived.get_nowait()  # lets the thread go on to see that nobody waits


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keeps requests from taking a password for the storage host out of a .netrc file."""
    return request


@contextlib.contextmanager
def _errors_as_download_errors() -> Iterator[None]:
    # `raw.stream` raises urllib3's own errors, `get` those of requests; both may hold the URL in their text.
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise DownloadError(f"the connection to storage broke ({type(error).__name__})") from None
