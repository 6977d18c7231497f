"""Reads an export file as blocks of whole JSON lines: gzipped or plain, JSON Lines or one JSON document."""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import re
import threading
from typing import TYPE_CHECKING

import msgspec

from tap_asana_export.deflate import DAMAGED, GZIP_MAGIC, decompressor, has_whole_header
from tap_asana_export.errors import DamagedError, DownloadError, OtherFileError, TapError
from tap_asana_export.limits import USUAL

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from tap_asana_export.limits import Limits

MAX_GZIP_LAYERS = 2
"""Asana gzips a file, and a proxy on the way may do so once more."""
OBJECT_NAMES = {"gid", "resource_type"}
"""Every object has at least one of these properties; a JSON document around objects has none of them."""
PIECES_AHEAD = 2
"""Pieces of the file that may have arrived before they are needed, so that the network seldom waits."""
ERRORS = "errors"
"""Property of a JSON answer of Asana's that lists errors."""
CUT_OFF = re.compile(r"|-|\.|[eE][+-]?|t(ru?)?|f(a(ls?)?)?|n(ul?)?|\\?u[0-9a-fA-F]{0,4}")
"""The rest of a text that was cut off within a number, a word or an escape: all that a JSON error may point at."""
SPACE = re.compile(r"[ \t\n\r]*")
decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
TRAILING = re.compile(r"JSON is malformed: trailing characters \(byte (\d+)\)").fullmatch
"""What msgspec says of text behind a value, and the number of its first byte, from 1."""
# Finds where a value ends. `parse_int=float`, since Python refuses to make an int of thousands of digits.
scan = json.JSONDecoder(parse_int=float).raw_decode


def blocks(
    body: Iterable[bytes], abandoned: threading.Event, limits: Limits = USUAL, *, inflate_ahead: bool = False
) -> Iterator[bytes]:
    r"""Yield an export file's text in blocks of whole lines, with one object a line.

    A block does not end with a line break. Only `\n` ends a line, not U+2028 for example. A thread of its own takes
    what arrives.

    Args:
        body: the file's bytes.
        abandoned: is set when the caller stops early, so that `body` can stop too.
        limits: how much to take at a time, and how long a line may be.
        inflate_ahead: whether that thread decompresses too. Of 793 MB, records then go to a pipe in 3.3 s instead of
            3.9 s. But beside a caller's thread that compresses batch files it costs more than it saves (4.5 s instead
            of 3.7 s): the threads wait for one interpreter.

    Raises:
        DownloadError: the file is neither gzip nor JSON, is damaged, ends too early, or has a line that is too long.
        Exception: whatever `body` raises.
    """
    in_time = blocks_in_time(body, abandoned, None, limits, inflate_ahead=inflate_ahead)
    return (block for block in in_time if block is not None)


def blocks_in_time(
    body: Iterable[bytes],
    abandoned: threading.Event,
    seconds: float | None,
    limits: Limits = USUAL,
    *,
    inflate_ahead: bool = False,
) -> Iterator[bytes | None]:
    """Yield blocks as `blocks` does, and None now and then while the next one has not come.

    Args:
        body: as for `blocks`.
        abandoned: as for `blocks`.
        seconds: how long to wait before None; None waits without end.
        limits: as for `blocks`.
        inflate_ahead: as for `blocks`.
    """
    # With half as much at a time, the two threads wait for each other so often that nothing is gained.
    items = read_text(body, 2 * limits.text) if inflate_ahead else iter(body)
    with contextlib.closing(read_ahead(items, PIECES_AHEAD, abandoned, seconds)) as pieces:
        texts = pieces if inflate_ahead else read_text(pieces, limits.text)
        yield from whole_lines(one_object_a_line(texts, limits), limits.line)


def read_text(body: Iterable[bytes], most: int = USUAL.text, layers: int = MAX_GZIP_LAYERS) -> Iterator[bytes]:
    """Yield the text of an export file, decompressed if its first bytes are gzip's: headers are not reliable.

    Args:
        body: the file's bytes; an empty piece says that nothing has come for a while, and is passed on.
        most: bytes of text to decompress at a time.
        layers: how many times it may be gzipped.

    Raises:
        OtherFileError: the file is neither gzip nor JSON.
        DownloadError: it is damaged, or ends too early.
    """
    head, body = b"", iter(body)
    for piece in body:
        head += piece
        if len(head) >= len(GZIP_MAGIC) and (not head.isspace() or len(head) >= most):
            break
        yield b""
    body = itertools.chain([head], body)
    if layers and head.startswith(GZIP_MAGIC):
        body = read_text(inflate(body, most), most, layers - 1)
    elif head.strip() and not head.lstrip().startswith((b"{", b"[")):
        raise OtherFileError(f"it is neither gzip nor JSON but begins with {head[:40]!r}")
    yield from body


def inflate(body: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Decompress gzip data of any number of members (RFC 1952) into pieces of at most so many bytes.

    Raises:
        DownloadError: the data is damaged, or ends before a member does.
    """
    member = None
    head = b""
    for data in body:
        while True:
            if member is None:
                # Zeros behind a member are padding, says gzip's manual.
                data = head = (head + data).lstrip(b"\0")  # noqa: PLW2901
                if not has_whole_header(head):
                    yield b""
                    break
                member, head = decompressor(), b""
            try:
                text = member.decompress(data, most)
            except DAMAGED as error:
                raise DamagedError(f"the gzip data is damaged ({error})") from None
            yield text
            data = b""  # noqa: PLW2901
            if member.eof:
                data, member = member.unused_data, None  # noqa: PLW2901
            elif member.needs_input:
                break
    if member is not None or head:
        raise DownloadError("the gzip data ends too early")


def one_object_a_line(texts: Iterable[bytes], limits: Limits = USUAL) -> Iterator[bytes]:
    """Yield JSON Lines as they are, and a JSON document with one object a line.

    A document is an array of objects, or an object with such arrays. Asana's guide says that a graph export is JSON
    Lines; its API description says that it is a JSON document. While a document stalls, its caller waits.

    Args:
        texts: the text, in pieces; an empty one says that nothing has come for a while. JSON Lines pass it on.
        limits: how much to take at a time, and how long an object in a document may be.

    Raises:
        DamagedError: the document is not JSON, has no array of objects, or has an object that is too long.
        DownloadError: the document ends too early.
    """
    texts = iter(texts)
    head = b""
    try:
        for text in texts:
            head += text
            if len(head) >= limits.text or (text and first_line_properties(head) is not None):
                break
            yield b""
    except TapError as error:
        texts = failing(error)  # what has come is read first
    texts = itertools.chain([head], texts)
    yield from document_lines(Document(texts, limits.line), limits.document_text) if is_document(head) else texts


def is_document(head: bytes) -> bool:
    """Whether a file is one JSON document rather than JSON Lines.

    In JSON Lines the first line is a whole object, with a `gid` or a `resource_type`.

    Args:
        head: the file's first line at least, or the text that is decompressed at a time.
    """
    if head.lstrip().startswith(b"["):
        return True
    first = first_line_properties(head)
    if first is not None:
        return not first & OBJECT_NAMES
    document = Document(iter([head]), len(head))
    holds_array = False
    with contextlib.suppress(DownloadError):
        for name in document.properties():
            if name in OBJECT_NAMES:
                return False
            holds_array |= document.next() == "["
            document.value()
        return True
    return holds_array


def first_line_properties(head: bytes) -> AbstractSet[str] | None:
    """Return the names of the properties of the object in the first line; None if that line is no JSON object."""
    line = head.lstrip().partition(b"\n")[0]
    try:
        return msgspec.json.decode(line, type=dict[str, msgspec.Raw]).keys()
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def document_lines(document: Document, most: int) -> Iterator[bytes]:
    """Yield the objects of a JSON document, one a line; if it is damaged, those before the damage, then the error."""
    lines: list[bytes] = []
    size = 0
    try:
        for item in document_objects(document):
            lines.append(item.replace(b"\n", b" "))
            size += len(item)
            if size >= most:
                yield b"\n".join(lines) + b"\n"
                lines.clear()
                size = 0
    except TapError:
        yield b"".join(line + b"\n" for line in lines)
        raise
    yield b"".join(line + b"\n" for line in lines)


def document_objects(document: Document) -> Iterator[bytes]:
    """Yield the objects of a JSON document: an array, or an object with arrays.

    Raises:
        DamagedError: the document is not JSON, or has no array of objects.
        DownloadError: the document ends too early.
    """
    if document.next() == "[":
        for _ in document.items():
            yield document.value()
            document.count += 1
    else:
        yield from objects_in_arrays(document)
    if document.next():
        raise document.damaged("there is something behind its end")


def objects_in_arrays(document: Document) -> Iterator[bytes]:
    """Yield the objects in all arrays of an object; raise as `document_objects` does."""
    names, is_found = [], False
    for name in document.properties():
        if name in OBJECT_NAMES:
            raise document.damaged(f"it has a {name}, as an object has")
        names.append(name)
        if document.next() != "[":
            document.value()
            continue
        others, before = 0, document.count
        for begin in document.items():
            value = document.value()
            if name == ERRORS:
                raise document.damaged("it tells of errors")
            if begin == "{":
                yield value
                document.count += 1
            else:
                others += 1
        if others and document.count > before:
            raise document.damaged(f"{others} items of {name} are no objects")
        is_found |= name != ERRORS and not others
    if not is_found:
        raise DamagedError(f"the JSON document holds no array of objects, only {', '.join(names) or 'nothing'}")


class Document:
    """A JSON document that is read value by value, with the text of one value in memory.

    Args:
        texts: the document's text, in pieces.
        longest: limit for a value, in bytes.

    Attributes:
        count: number of objects found so far, which errors name as their place.
    """

    def __init__(self, texts: Iterator[bytes], longest: int) -> None:
        self._texts = texts
        self._longest = longest
        self._bytes = b""
        # The same bytes as latin-1, so that an offset in the one is an offset in the other.
        self._text = ""
        self._at = 0
        self.count = 0

    def next(self) -> str:
        """Return the next character that is no white space; an empty text at the end."""
        while True:
            self._at = SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]  # it matches anything
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def take(self, *expected: str) -> str:
        """Consume the next character, and return it.

        Raises:
            DamagedError: it is none of the expected ones.
            DownloadError: the document ends here.
        """
        found = self.next()
        if not found:
            raise self.ends_early()
        if found not in expected:
            raise self.damaged(f"{found!a} where {' or '.join(expected)} is due")
        self._at += 1
        return found

    def properties(self) -> Iterator[str]:
        """Yield the names of an object's properties. The caller consumes each value before it takes the next name.

        Raises:
            DamagedError: it is no object.
            DownloadError: it ends too early.
        """
        self.take("{")
        if self.next() == "}":
            self.take("}")
            return
        while True:
            if self.next() not in {'"', ""}:
                self.take('"')
            name: str = json.loads(self.value().decode(errors="replace"))
            self.take(":")
            yield name
            if self.take(",", "}") == "}":
                return

    def items(self) -> Iterator[str]:
        """Yield the first character of each item of an array. The caller consumes each item before the next one.

        Raises:
            DamagedError: it is no array.
            DownloadError: it ends too early.
        """
        self.take("[")
        if self.next() == "]":
            self.take("]")
            return
        while True:
            yield self.next()
            if self.take(",", "]") == "]":
                return

    def value(self) -> bytes:
        """Consume a value, and return its text.

        Raises:
            DamagedError: it is not JSON, is too long, or is nested too deeply.
            DownloadError: it ends too early.
        """
        while True:
            if not self.next():
                raise self.ends_early()
            begin = self._at
            try:
                end = end_of_value(self._bytes, begin) or scan(self._text, begin)[1]
            except json.JSONDecodeError as error:
                if not error.msg.startswith("Unterminated") and not CUT_OFF.fullmatch(self._text, error.pos):
                    raise self.damaged(error.msg) from None
                if not self._more():
                    raise self.ends_early() from None
            except RecursionError:
                raise self.damaged("it is nested too deeply") from None
            else:
                # The next piece of text may continue a number.
                if end < len(self._text) or self._text[end - 1] in '}]"' or not self._more():
                    self._at = end
                    return self._bytes[begin:end]

    def _more(self) -> bool:
        """Read on, and return whether there was more text.

        This doubles the text that is left, so that a long value is scanned only a few times.
        """
        left = self._bytes[self._at :]
        if len(left) > self._longest:
            raise self.damaged(f"an object is longer than {self._longest >> 20} MB")
        texts, size = [left], 0
        try:
            for text in self._texts:
                texts.append(text)
                size += len(text)
                if size and size >= len(left):
                    break
        except TapError as error:
            if not size:
                raise
            self._texts = failing(error)  # what has come is read first
        if size:
            self._bytes = b"".join(texts)
            self._text = self._bytes.decode("latin-1")
            self._at = 0
        return size > 0

    def damaged(self, how: str) -> DamagedError:
        """Return the error for a document that is damaged."""
        return DamagedError(f"the JSON document is damaged ({how}; behind its first {self.count} objects)")

    def ends_early(self) -> DownloadError:
        """Return the error for a document that ends too early."""
        return DownloadError(f"the JSON document ends too early (behind its first {self.count} objects)")


def failing(error: TapError) -> Iterator[bytes]:
    """Raise an error where the next text is due."""
    raise error
    yield b""  # type: ignore[unreachable]  # which makes it a generator


def end_of_value(text: bytes, begin: int) -> int | None:
    """Return the offset where a JSON value ends, as msgspec finds it; None if it finds no end.

    It takes a tenth of the time that Python's scanner takes, which makes objects of what it scans.
    """
    try:
        decode_raw(memoryview(text)[begin:])
    except msgspec.DecodeError as error:
        if not (found := TRAILING(str(error))):
            return None
        end = begin + int(found[1]) - 1
    except RecursionError:
        return None
    else:
        end = len(text)
    while text[end - 1] in b" \t\n\r":
        end -= 1
    return end


def whole_lines(texts: Iterable[bytes], longest: int) -> Iterator[bytes | None]:
    """Cut text into blocks of whole lines, each without its last line break; yield None for a text without any.

    Raises:
        DamagedError: a line is longer than `longest` bytes.
    """
    begun: list[bytes] = []
    size = 0
    for text in texts:
        end = text.rfind(b"\n")
        size += len(text) if end < 0 else text.find(b"\n")
        if size > longest:
            raise DamagedError(f"it is longer than {longest >> 20} MB")
        if end < 0:
            begun.append(text)
            yield None
        else:
            yield without_returns(b"".join((*begun, memoryview(text)[:end])))
            begun = [text[end + 1 :]]
            size = len(begun[0])
    if last := b"".join(begun):
        yield without_returns(last)


def without_returns(text: bytes) -> bytes:
    r"""Return text with a space for each `\r`: records pass it on, and a target may take it for the end of a line."""
    return text.replace(b"\r", b" ") if b"\r" in text else text


def read_ahead(
    items: Iterator[bytes], most: int, abandoned: threading.Event, seconds: float | None
) -> Generator[bytes]:
    """Yield items that a thread reads ahead, then raise what it raised.

    Args:
        items: the items.
        most: how many items the thread may be ahead.
        abandoned: is set when the caller stops early.
        seconds: yield an empty item whenever the next one takes longer than this; None waits without end.
    """
    # A `queue.Queue` of limited size would hang for ever if a signal came just after its lock was taken: the handler
    # raises, and nobody lets go of the lock. A `SimpleQueue` takes none that Python sees; `room` limits it.
    arrived: queue.SimpleQueue[bytes | BaseException | None] = queue.SimpleQueue()
    room: queue.SimpleQueue[None] = queue.SimpleQueue()
    for _ in range(most):
        room.put(None)

    def bring() -> None:
        try:
            for item in items:
                room.get()
                if abandoned.is_set():
                    return
                arrived.put(item)
            arrived.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again in the other thread
            arrived.put(error)

    # A daemon thread, as it may hang in a read from the network when the process ends.
    threading.Thread(target=bring, name="download", daemon=True).start()
    try:
        while True:
            try:
                item = arrived.get(timeout=seconds)
            except queue.Empty:
                yield b""
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            room.put(None)
            yield item
    finally:
        abandoned.set()
        room.put(None)  # wakes the thread if it waits, so that it sees `abandoned`


def as_lines(objects: Iterable[msgspec.Raw]) -> bytes:
    r"""Return the JSON text of objects as lines, without a line break at the end; `\n` within an object is dropped."""
    texts = (bytes(each) for each in objects)
    return b"\n".join(msgspec.json.format(text, indent=-1) if b"\n" in text else text for text in texts)
