"""From the bytes of an export file to blocks of whole lines, whatever its form: gzip or not, lines or one document."""

from __future__ import annotations

import contextlib
import io
import itertools
import queue
import threading
from typing import TYPE_CHECKING, Any

import ijson
import msgspec
from singer_sdk.contrib.msgspec import encoder

from tap_asana_export.deflate import zlib
from tap_asana_export.errors import DamagedError, DownloadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

DAMAGED: type[Exception] = zlib.error  # type: ignore[assignment,unused-ignore]  # isal's stub has an instance
GZIP_MAGIC = b"\x1f\x8b"
ENVELOPES = 2
"""How often a file may be gzipped: by Asana, and once more by a proxy on the way."""
BLOCK = 1 << 18
"""Bytes of a file to read at a time."""
TEXT = 1 << 21
"""Bytes of text to decompress at a time, however well they were compressed."""
PIECE = 1 << 17
"""Bytes of a document to read at a time: as objects they take many times as much memory."""
NAMES = {"gid", "resource_type"}
"""Properties, of which every object has one at least, and a document around objects has none."""
BLOCKS_AHEAD = 2
"""Blocks of text that may wait, so that the two threads seldom wait for each other."""


def blocks(body: Iterable[bytes], left: threading.Event) -> Iterator[bytes]:
    r"""An export file's text in blocks of whole lines, each without its last line break; an object is a line.

    A line ends at `\n` and nowhere else. Reading and decompression go on in a thread of their own.

    Args:
        body: the file's bytes.
        left: is set as soon as nobody wants any more of them.

    Raises:
        DownloadError: the file is neither gzip nor JSON, is damaged, or ends too early; or whatever `body` raises.
    """
    return ahead(whole_lines(one_object_a_line(read_text(body))), BLOCKS_AHEAD, left)


def read_text(body: Iterable[bytes]) -> Iterable[bytes]:
    """The text of an export file, whether it comes gzipped or plain; the bytes tell, headers may not.

    Raises:
        DownloadError: the file is neither gzip nor JSON, is damaged, or ends too early.
    """
    head, body = head_of(body)
    if head.startswith(GZIP_MAGIC):
        for _ in range(ENVELOPES):
            head, body = head_of(inflate(body))
            if not head.startswith(GZIP_MAGIC):
                break
        return body
    if head.strip() and not head.lstrip().startswith((b"{", b"[")):
        raise DownloadError(f"it is neither gzip nor JSON but begins with {head[:40]!r}")
    return body


def head_of(body: Iterable[bytes]) -> tuple[bytes, Iterable[bytes]]:
    """The first bytes, enough to tell gzip by, and all bytes."""
    blocks = iter(body)
    head = b""
    while len(head) < len(GZIP_MAGIC) and (block := next(blocks, b"")):
        head += block
    return head, itertools.chain([head], blocks)


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
                raise DamagedError(f"the gzip data is damaged ({error})") from None
            yield text
            data = member.unused_data if member.eof else member.unconsumed_tail  # noqa: PLW2901
            if not data and (member.eof or len(text) < TEXT):
                break
    if not member.eof:
        raise DownloadError("the gzip data ends too early")


def one_object_a_line(texts: Iterable[bytes]) -> Iterator[bytes]:
    """JSON Lines as they are, or those of one JSON document: of an array, or of an object that holds one.

    Asana's documentation says that a graph export is JSON Lines, its API description that it is a JSON document.

    Raises:
        DamagedError: the document is not JSON.
        DownloadError: the document ends too early.
    """
    texts = iter(texts)
    head = b""
    for text in texts:
        head += text
        if len(head) >= TEXT or properties_of_first(head) is not None:
            break
    array = array_of_document(head)
    texts = itertools.chain([head], texts)
    return texts if array is None else items(texts, array)


def array_of_document(head: bytes) -> str | None:
    """Where the objects of a JSON document are, as ijson says it; None if the text is JSON Lines.

    A line is an object with a `gid` or a `resource_type`, and all of an object is in a line.
    """
    if head.lstrip().startswith(b"["):
        return "item"
    if (properties_of_first(head) or set()) & NAMES:
        return None
    first = first_of_objects = None
    with contextlib.suppress(ijson.JSONError, UnicodeDecodeError):
        for path, event, value in ijson.parse(io.BytesIO(head)):
            if path == "" and event == "map_key" and value in NAMES:
                return None
            if event == "start_array" and first is None and "." not in path:
                first = f"{path}.item"
            if event == "start_map" and first_of_objects is None and path.endswith(".item") and path.count(".") == 1:
                first_of_objects = path
    return first_of_objects or first


def properties_of_first(head: bytes) -> AbstractSet[str] | None:
    """The names of the properties of the object in the first line; None if that is no JSON object."""
    line = head.lstrip().partition(b"\n")[0]
    try:
        return msgspec.json.decode(line, type=dict[str, msgspec.Raw]).keys()
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def items(texts: Iterable[bytes], array: str) -> Iterator[bytes]:
    """The objects of a JSON document, a line each.

    Args:
        texts: the document.
        array: where the objects are, as ijson says it.
    """
    found: Any = ijson.sendable_list()
    parser = ijson.items_coro(found, array)
    try:
        for text in texts:
            for begin in range(0, len(text), PIECE):
                parser.send(text[begin : begin + PIECE])
                yield b"".join(encoder.encode(item) + b"\n" for item in found)
                found.clear()
    except (ijson.JSONError, ArithmeticError, RecursionError, UnicodeDecodeError) as error:
        raise DamagedError(f"the JSON document is damaged ({reason(error)})") from None
    try:
        parser.close()
    except ijson.JSONError as error:
        raise DownloadError(f"the JSON document ends too early ({reason(error)})") from None


def reason(error: Exception) -> str:
    """The first line of what ijson says; the others are the text around, as bytes if that is no UTF-8."""
    [said, *_] = error.args
    said = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    return said.partition("\n")[0]


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


def ahead(items: Iterator[bytes], most: int, left: threading.Event) -> Iterator[bytes]:
    """The items, brought by a thread that is at most so many ahead; an error comes when its turn does.

    Args:
        items: what to bring.
        most: how many may wait.
        left: is set as soon as nobody wants any more of them.
    """
    arrived: queue.Queue[bytes | BaseException | None] = queue.Queue(most)

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
