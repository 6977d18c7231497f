r"""What Asana's text may hold that is no Unicode: bytes that are not UTF-8, and lone surrogates such as `\ud83d`."""

from __future__ import annotations

import codecs
import re

MAX_CHARACTER = 4
"""Bytes of a character in UTF-8 at the most."""

SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
"""Begins the escape of a surrogate, in a pair or alone."""

ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)
"""Any escape in JSON; group 1 is a lone surrogate. A pair of surrogates is one escape."""


def is_utf8(text: memoryview | bytes, most: int) -> bool:
    """Whether text is UTF-8.

    Args:
        text: the bytes.
        most: how many of them to check at a time; four at least.
    """
    checked, most = 0, max(most, MAX_CHARACTER)
    try:
        while checked < len(text):
            # Where the next bytes follow, a character that is cut off is left for them.
            is_last = checked + most >= len(text)
            checked += codecs.utf_8_decode(text[checked : checked + most], "strict", is_last)[1]
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
