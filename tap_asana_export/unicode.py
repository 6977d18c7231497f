r"""What Asana's text may hold that is no Unicode: bytes that are not UTF-8, and lone surrogates such as `\ud83d`."""

from __future__ import annotations

import codecs
import re

SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
"""Begins the escape of a surrogate, in a pair or alone."""

ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)
"""Any escape in JSON; group 1 is a lone surrogate. A pair of surrogates is one escape."""


def is_utf8(text: memoryview | bytes, most: int) -> bool:
    """Whether the bytes, of which so many are checked at a time, are UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for begin in range(0, len(text), most):
            decoder.decode(text[begin : begin + most])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def replace_lone_surrogates(text: bytes) -> tuple[bytes, int]:
    r"""Replace each escaped lone surrogate in JSON text by U+FFFD.

    Text that somebody cut at a fixed length may end within an emoji: `"cut \ud83d"` is JSON, but no Unicode.

    Returns:
        The text, and how many surrogates were replaced.
    """
    if not SURROGATE.search(text):
        return text, 0
    count = 0

    def replace(match: re.Match[bytes]) -> bytes:
        nonlocal count
        if match[1] is None:
            return match[0]
        count += 1
        return b"\\ufffd"

    return ESCAPE.sub(replace, text), count
