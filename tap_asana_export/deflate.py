"""gzip, by ISA-L where that has a wheel, which is several times as fast as zlib."""

from __future__ import annotations

from typing import Any

try:
    from isal import igzip_lib
    from isal import isal_zlib as zlib
except ImportError:  # isal has no wheel for this machine; zlib does the same, slower
    import zlib  # type: ignore[no-redef]

    igzip_lib = None  # type: ignore[assignment]

# Measured with 0.8 GB of small objects on two cores: with isal's levels 2 and 3 a run takes 3.3 and 3.9 s, and 4.6 and
# 6.3 s of CPU; files are 5 % larger with level 2 (of long texts 9 %). Level 1 is no faster. zlib's level 1 compresses
# 164 MB/s.
LEVEL = 2 if igzip_lib else 1

GZIP = 31
"""What zlib calls the format, as `wbits`."""

GZIP_MAGIC = b"\x1f\x8b"
FHCRC, FEXTRA, FNAME, FCOMMENT = 2, 4, 8, 16
"""Flags of the optional fields in the header of a member (RFC 1952, 2.3.1)."""
LONGEST_HEADER = 1 << 20
"""Bytes of a header that are looked at."""

DAMAGED: type[Exception] = zlib.error  # type: ignore[assignment,unused-ignore]  # isal's stub has an instance
"""What a decompressor raises for damaged data."""


def compressor(level: int = LEVEL) -> Any:
    """Return a compressor of one gzip member, with the methods of `zlib.compressobj`."""
    return zlib.compressobj(level, wbits=GZIP)


def decompressor() -> Any:
    """Return a decompressor of one gzip member, with the methods of `igzip_lib.IgzipDecompressor`.

    `isal_zlib.decompressobj` gives the same text. But it begins with 16 kB, doubles that until the text fits, and asks
    for the interpreter each time: beside a busy thread 793 MB take it 3.4 s instead of 1.4 s.
    """
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP) if igzip_lib else ZlibDecompressor()


def has_whole_header(data: bytes) -> bool:
    """Whether the data of a gzip member has all of the member's header.

    ISA-L (isal 1.9.1) takes some headers for damaged where they come in pieces: those with a checksum or two texts.
    """
    if not data.startswith(GZIP_MAGIC[: len(data)]) or len(data) >= LONGEST_HEADER:
        return True  # the decompressor says what is wrong
    if len(data) < 12:  # noqa: PLR2004 - a header without optional fields, and the first of them or of the data
        return False
    flags, end = data[3], 10
    if flags & FEXTRA:
        end += 2 + int.from_bytes(data[10:12], "little")
    for flag in (FNAME, FCOMMENT):
        if flags & flag:
            end = data.find(b"\0", end) + 1 or LONGEST_HEADER
    return len(data) >= end + bool(flags & FHCRC) * 2


class ZlibDecompressor:
    """A decompressor of one gzip member, by zlib.

    Attributes:
        eof: whether the member has ended.
        unused_data: what stands behind its end.
        needs_input: whether there is no more text without more data.
    """

    def __init__(self) -> None:
        self._member: Any = zlib.decompressobj(wbits=GZIP)
        self.eof = False
        self.unused_data = b""
        self.needs_input = True

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Decompress data, and return at most so many bytes of text; the rest comes at the next call."""
        text: bytes = self._member.decompress(self._member.unconsumed_tail + data, max_length)
        self.eof, self.unused_data = self._member.eof, self._member.unused_data
        self.needs_input = not self.eof and len(text) < max_length
        return text
