"""Which cases of a long table run by default."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T", bound=tuple[object, ...])


def first_of_each(cases: Iterable[T], *keys: Callable[[T], object]) -> list[object]:
    """Parameters of which those run by default that have any key as the first one, and the others with --all."""
    met: set[tuple[int, object]] = set()
    parameters: list[object] = []
    for case in cases:
        found = {(number, key(case)) for number, key in enumerate(keys)}
        parameters.append(pytest.param(*case, marks=[] if found - met else [pytest.mark.soak]))
        met |= found
    return parameters


def soak(*cases: object) -> list[object]:
    """Parameters, of one argument, that run with --all."""
    return [pytest.param(case, marks=pytest.mark.soak) for case in cases]
