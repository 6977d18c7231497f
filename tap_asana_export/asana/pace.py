"""Keeps the requests for lists within Asana's limits, https://developers.asana.com/docs/rate-limits."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, TypeVar

from tap_asana_export.waiting import LOOK, Clock, Pause, Waiting, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

AT_ONCE = 8
"""Requests at a time, of Asana's 50: with 0.3 s for an answer, 8 reach what it lets a token make in a minute."""

A_MINUTE = 1400
"""Requests a minute. Asana lets a token make 1,500, and counts those that it refuses; exports need a few of them."""


class Pace:
    """Lets requests go out a few at a time, not too many a minute, and none before Asana wants to be asked again.

    Args:
        clock: the time.
    """

    def __init__(self, clock: Clock = time) -> None:
        self._clock = clock
        self._free = AT_ONCE
        self._not_before = 0.0
        self._sent: deque[float] = deque(maxlen=A_MINUTE)

    def ask(self, call: Callable[[], T]) -> Waiting[T]:
        """Make a request when its turn has come, while others go on; return or raise what it does."""
        while (seconds := self._seconds_left()) > 0:
            yield Pause(seconds)
        self._free -= 1
        self._sent.append(self._clock.monotonic())
        try:
            return (yield from in_thread(call))
        finally:
            self._free += 1

    def hold(self, seconds: float) -> None:
        """Let no request go out for some seconds."""
        self._not_before = max(self._not_before, self._clock.monotonic() + seconds)

    def _seconds_left(self) -> float:
        """Seconds until the next request may go out, as far as that is known now."""
        now = self._clock.monotonic()
        oldest = self._sent[0] + 60 if len(self._sent) == A_MINUTE else now
        return max(self._not_before - now, oldest - now, 0 if self._free else LOOK)
