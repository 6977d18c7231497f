"""Numbers as people say them: `5,000 tasks, 500 messages`, `3:12 min`, `620 MB`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

PLURALS = {
    "portfolio_to_portfolio": "portfolios in portfolios",
    "project_to_portfolio": "projects in portfolios",
}
"""Plurals of types that are no nouns."""

ENDINGS = {"s": "ses", "x": "xes", "h": "hes", "y": "ies"}
"""Plurals of words that do not just get an s, by their last letter."""


def plural(noun: str) -> str:
    """The plural of a type of Asana's, or of another noun."""
    if noun in PLURALS:
        return PLURALS[noun]
    last = noun[-1:]
    return (noun[:-1] + ENDINGS[last] if last in ENDINGS else f"{noun}s").replace("_", " ")


def count(number: int, noun: str) -> str:
    """A number of things: `5,000 tasks`, `1 task`."""
    return f"{number:,} {noun.replace('_', ' ') if number == 1 else plural(noun)}"


def counts(numbers: Mapping[str, int]) -> str:
    """Numbers of things by their nouns, the largest first: `5,000 tasks, 8 teams`; `nothing` if there are none."""
    largest_first = sorted(((noun, number) for noun, number in numbers.items() if number), key=lambda each: -each[1])
    return ", ".join(count(number, noun) for noun, number in largest_first) or "nothing"


def listed(words: Collection[str]) -> str:
    """Words in a row: `tasks, messages and teams`."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def seconds(number: float) -> str:
    """A time: `12 s`, `3:12 min`, `1:02:03 h`."""
    whole = round(number)
    minutes, left = divmod(whole, 60)
    hours, of_hour = divmod(minutes, 60)
    if hours:
        return f"{hours}:{of_hour:02}:{left:02} h"
    return f"{minutes}:{left:02} min" if minutes else f"{whole} s"


def size(number: float) -> str:
    """A number of bytes: `850 bytes`, `12 kB`, `620 MB`, `1.2 GB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":  # noqa: PLR2004 - the step from one unit to the next
            break
        number /= 1000
    return f"{number:.1f} {unit}" if unit != "bytes" and number < 10 else f"{number:.0f} {unit}"  # noqa: PLR2004


def records(numbers: Mapping[str, int]) -> str:
    """Numbers of records by their streams, whose names are plurals: `5,000 tasks, 1 story`."""
    told = []
    for stream, number in sorted(numbers.items(), key=lambda each: -each[1]):
        one = f"{stream[:-3]}y" if stream.endswith("ies") else stream.removesuffix("s")
        told.append(f"{number:,} {(one if number == 1 else stream).replace('_', ' ')}")
    return ", ".join(told)
