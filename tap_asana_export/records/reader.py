"""From the bytes of an export file to blocks of whole lines, whatever its form: gzip or not, lines or one document."""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import re
import threading
from typing import TYPE_CHECKING

import msgspec

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
PIECE = 1 << 18
"""Bytes of a document's objects to pass on at a time."""
LONGEST = 1 << 28
"""Bytes of a line, or of an object in a document, at the most: they are in memory more than once."""
NAMES = {"gid", "resource_type"}
"""Properties, of which every object has one at least, and a document around objects has none."""
BLOCKS_AHEAD = 2
"""Blocks of text that may wait, so that the two threads seldom wait for each other."""
ERRORS = "errors"
"""The property in which an answer of Asana's tells what went wrong."""
CUT = re.compile(r"|-|\.|[eE][+-]?|t(ru?)?|f(a(ls?)?)?|n(ul?)?|\\?u[0-9a-fA-F]{0,4}")
"""What is wrong with JSON that is only cut off: what stands last is the beginning of a number, a word, an escape."""
SPACE = re.compile(r"[ \t\n\r]*")
# Only where a value ends is wanted. An int of thousands of digits would be an error, a float of them is not.
scan = json.JSONDecoder(parse_int=float).raw_decode


def blocks(body: Iterable[bytes], left: threading.Event, longest: int = LONGEST) -> Iterator[bytes]:
    r"""An export file's text in blocks of whole lines, each without its last line break; an object is a line.

    A line ends at `\n` and nowhere else. Reading and decompression go on in a thread of their own.

    Args:
        body: the file's bytes.
        left: is set as soon as nobody wants any more of them.
        longest: bytes of a line at the most.

    Raises:
        DownloadError: the file is neither gzip nor JSON, is damaged, ends too early, or has a line that is too long; or
            whatever `body` raises.
    """
    return (block for block in blocks_in_time(body, left, None, longest) if block is not None)


def blocks_in_time(
    body: Iterable[bytes], left: threading.Event, seconds: float | None, longest: int = LONGEST
) -> Iterator[bytes | None]:
    """The same, and None whenever the next block takes more than so many seconds."""
    return ahead(whole_lines(one_object_a_line(read_text(body), longest), longest), BLOCKS_AHEAD, left, seconds)


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


def one_object_a_line(texts: Iterable[bytes], longest: int = LONGEST) -> Iterator[bytes]:
    """JSON Lines as they are, or those of one JSON document: of an array, or of an object that holds arrays.

    Asana's documentation says that a graph export is JSON Lines, its API description that it is a JSON document.

    Args:
        texts: the text.
        longest: bytes of an object of a document at the most.

    Raises:
        DamagedError: the document is not JSON, holds no array of objects, or an object that is too long.
        DownloadError: the document ends too early.
    """
    texts = iter(texts)
    head = b""
    for text in texts:
        head += text
        if len(head) >= TEXT or properties_of_first(head) is not None:
            break
    texts = itertools.chain([head], texts)
    return lines_of(Document(texts, longest)) if is_document(head) else texts


def is_document(head: bytes) -> bool:
    """Whether a text that begins so is one JSON document rather than JSON Lines.

    A line is an object with a `gid` or a `resource_type`, and all of an object is in a line.
    """
    if head.lstrip().startswith(b"["):
        return True
    first = properties_of_first(head)
    if first is not None:
        return not first & NAMES
    document = Document(iter([head]), LONGEST)
    holds_array = False
    with contextlib.suppress(DownloadError):
        for name in document.properties():
            if name in NAMES:
                return False
            holds_array |= document.next() == "["
            document.value()
        return True
    return holds_array


def properties_of_first(head: bytes) -> AbstractSet[str] | None:
    """The names of the properties of the object in the first line; None if that is no JSON object."""
    line = head.lstrip().partition(b"\n")[0]
    try:
        return msgspec.json.decode(line, type=dict[str, msgspec.Raw]).keys()
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def lines_of(document: Document) -> Iterator[bytes]:
    """The objects of a JSON document, a line each, also of one that turns out to be damaged."""
    lines: list[bytes] = []
    size = 0
    try:
        for item in objects_of(document):
            lines.append(item.replace(b"\n", b" "))
            size += len(item)
            if size >= PIECE:
                yield b"\n".join(lines) + b"\n"
                lines.clear()
                size = 0
    except DownloadError:
        yield b"".join(line + b"\n" for line in lines)
        raise
    yield b"".join(line + b"\n" for line in lines)


def objects_of(document: Document) -> Iterator[bytes]:
    """The objects of a JSON document: of an array, or of all arrays that an object holds.

    Raises:
        DamagedError: it is not JSON, or holds no array of objects.
        DownloadError: it ends too early.
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
    """The objects of all arrays that an object holds; raises as `objects_of` does."""
    names, is_found = [], False
    for name in document.properties():
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
    """A JSON document that is read value by value; of its text, only that of one value is kept.

    Args:
        texts: the document.
        longest: bytes of a value at the most.

    Attributes:
        count: how many objects were found, so that errors can say where they are.
    """

    def __init__(self, texts: Iterator[bytes], longest: int) -> None:
        self._texts = texts
        self._longest = longest
        self._bytes = b""
        # A character for each byte, so that places in one are places in the other.
        self._text = ""
        self._at = 0
        self.count = 0

    def next(self) -> str:
        """The next character that is no white space; nothing at the end."""
        while True:
            self._at = SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]  # it matches anything
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def take(self, *expected: str) -> str:
        """Go over the next character, which must be an expected one.

        Raises:
            DamagedError: it is another one.
            DownloadError: there is none.
        """
        found = self.next()
        if not found:
            raise self.ends_early()
        if found not in expected:
            raise self.damaged(f"{found!a} where {' or '.join(expected)} is due")
        self._at += 1
        return found

    def properties(self) -> Iterator[str]:
        """The names of an object's properties; before the next one is asked for, go over this one's value.

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
        """The first characters of an array's items; before the next one is asked for, go over this one.

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
        """Go over a value, and return its text.

        Raises:
            DamagedError: it is not JSON, too long, or nested too deeply.
            DownloadError: it ends too early.
        """
        while True:
            if not self.next():
                raise self.ends_early()
            begin = self._at
            try:
                _, end = scan(self._text, begin)
            except json.JSONDecodeError as error:
                if not error.msg.startswith("Unterminated") and not CUT.fullmatch(self._text, error.pos):
                    raise self.damaged(error.msg) from None
                if not self._more():
                    raise self.ends_early() from None
            except RecursionError:
                raise self.damaged("it is nested too deeply") from None
            else:
                # A number may go on in the text to come.
                if end < len(self._text) or self._text[end - 1] in '}]"' or not self._more():
                    self._at = end
                    return self._bytes[begin:end]

    def _more(self) -> bool:
        """Let as much text come again as is left: so even a long value is looked at a few times only."""
        left = self._bytes[self._at :]
        if len(left) > self._longest:
            raise self.damaged(f"an object is longer than {self._longest >> 20} MB")
        texts, size = [left], 0
        for text in self._texts:
            texts.append(text)
            size += len(text)
            if size and size >= len(left):
                break
        if size:
            self._bytes = b"".join(texts)
            self._text = self._bytes.decode("latin-1")
            self._at = 0
        return size > 0

    def damaged(self, how: str) -> DamagedError:
        """The error of a document that is not as it should be."""
        return DamagedError(f"the JSON document is damaged ({how}; behind its first {self.count} objects)")

    def ends_early(self) -> DownloadError:
        """The error of a document that ends before it should."""
        return DownloadError(f"the JSON document ends too early (behind its first {self.count} objects)")


def whole_lines(texts: Iterable[bytes], longest: int = LONGEST) -> Iterator[bytes]:
    """Text in blocks that end where a line ends, without that line break.

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
        else:
            yield b"".join((*begun, text[:end]))
            begun = [text[end + 1 :]]
            size = len(begun[0])
    if last := b"".join(begun):
        yield last


def ahead(items: Iterator[bytes], most: int, left: threading.Event, seconds: float | None) -> Iterator[bytes | None]:
    """The items, brought by a thread that is at most so many ahead; an error comes when its turn does.

    Args:
        items: what to bring.
        most: how many may wait.
        left: is set as soon as nobody wants any more of them.
        seconds: None is yielded where the next item takes longer than this.
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
        while True:
            try:
                item = arrived.get(timeout=seconds)
            except queue.Empty:
                yield None
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        left.set()
        with contextlib.suppress(queue.Empty):
            arrived.get_nowait()  # lets the thread go on to see that nobody waits
