"""Work that waits without holding up other work: a generator that yields a `Pause` wherever it has to wait."""

from __future__ import annotations

import heapq
import itertools
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

T = TypeVar("T")
K = TypeVar("K")

SAY_EVERY = 60.0
"""Seconds after which a long pause is spoken of again."""


class Clock(Protocol):
    """Time as the tap sees it; the module `time` is one, and a test brings another."""

    def monotonic(self) -> float:
        """Seconds since some start."""

    def sleep(self, seconds: float, /) -> None:
        """Wait that many seconds."""


class Pause(NamedTuple):
    """A wish to be continued later.

    Attributes:
        seconds: how long to wait.
        say: logs what is waited for; called again after each minute of a longer pause.
    """

    seconds: float
    say: Callable[[], None] | None = None


Waiting: TypeAlias = "Generator[Pause, None, T]"
"""Work that yields the pauses it needs, and returns a result."""


class Slots:
    """So many of what only a few works may have at a time."""

    def __init__(self, free: int) -> None:
        self._free = free

    def take(self, seconds: float) -> Waiting[None]:
        """Take a slot as soon as one is free, looking again after so many seconds."""
        while self._free <= 0:
            yield Pause(seconds)
        self._free -= 1

    def give_back(self) -> None:
        """Let another work have the slot."""
        self._free += 1

    def let_others(self, pause: Pause, seconds: float) -> Waiting[None]:
        """Pause without the slot, then take one again; also who is closed meanwhile gives it back once more.

        Args:
            pause: the pause.
            seconds: how often to look for a free slot afterwards.
        """
        self.give_back()
        try:
            yield pause
            yield from self.take(seconds)
        except BaseException:
            self._free -= 1
            raise


def finish(work: Waiting[T], clock: Clock = time) -> T:
    """Do the work to its end, sleeping through its pauses."""
    result: list[T] = []

    def keep() -> Waiting[None]:
        result.append((yield from work))

    for _, error in run_concurrently([(None, keep())], clock):
        if error:
            raise error
    return result[0]


def stop_at(deadline: float, work: Waiting[T], error: Callable[[], Exception], clock: Clock = time) -> Waiting[T]:
    """Do the work, but give it up where a pause would go beyond a time.

    Args:
        deadline: the time, as the clock's `monotonic` has it.
        work: the work.
        error: makes the exception that ends it.
        clock: tells the time.
    """
    while True:
        try:
            pause = next(work)
        except StopIteration as ended:
            result: T = ended.value
            return result
        if clock.monotonic() + pause.seconds > deadline:
            work.close()
            raise error()
        yield pause


def run_concurrently(
    works: Iterable[tuple[K, Waiting[None]]], clock: Clock = time
) -> Iterator[tuple[K, Exception | None]]:
    """Do several works at a time in one thread: while one pauses, the others go on.

    Yields:
        As each work ends, its key and the exception that ended it, if one did.
    """
    order = itertools.count()
    # When to go on with a work, or to speak of its pause; its place among those of the same time; when its pause ends.
    due: list[tuple[float, int, float, K, Waiting[None], Pause]] = []

    def put(end: float, key: K, work: Waiting[None], pause: Pause) -> None:
        at = min(end, clock.monotonic() + SAY_EVERY) if pause.say else end
        heapq.heappush(due, (at, next(order), end, key, work, pause))

    for key, work in works:
        put(clock.monotonic(), key, work, Pause(0))
    while due:
        at, _, end, key, work, pause = heapq.heappop(due)
        if (seconds := at - clock.monotonic()) > 0:
            clock.sleep(seconds)
        if at < end and pause.say:
            pause.say()
            put(end, key, work, pause)
            continue
        try:
            pause = next(work)
        except StopIteration:
            yield key, None
        except Exception as error:  # noqa: BLE001 - what ends one work must not end the others; the caller is told
            if ending := _what_ends_all(error):
                raise ending from None
            yield key, error
        else:
            put(clock.monotonic() + pause.seconds, key, work, pause)


def _what_ends_all(error: BaseException) -> BaseException | None:
    """The exception that was to end the process, if this one came up while it did, in some library's clean-up."""
    context = error.__context__
    while context is not None and isinstance(context, Exception):
        context = context.__context__
    return context
