"""Several works in one thread: a work is a generator that yields a `Pause` when it must wait, so that others run."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

T = TypeVar("T")
K = TypeVar("K")

SHORTEST_LOOK, LONGEST_LOOK = 0.001, 0.05
"""Seconds between two looks whether a call in a thread has ended: the pauses double."""

SAY_EVERY = 30.0
"""Seconds after which the log mentions a long pause again."""


class Clock(Protocol):
    """The time: the module `time`, or a clock that a test controls."""

    def monotonic(self) -> float:
        """Return the seconds since some fixed time."""

    def sleep(self, seconds: float, /) -> None:
        """Wait that many seconds."""


class Pause(NamedTuple):
    """A request of a work to be continued later.

    Attributes:
        seconds: how long to wait.
        say: logs what the work waits for; it is called now and then in a long pause.
    """

    seconds: float
    say: Callable[[], None] | None = None


Waiting: TypeAlias = "Generator[Pause, None, T]"
"""A work: it yields its pauses, and returns a result."""


LOOK = 0.02
"""Seconds between two looks whether another work has come so far."""


def until(is_so: Callable[[], bool], seconds: float = LOOK) -> Waiting[None]:
    """Wait until something is so, which another work brings about; look every so many seconds."""
    while not is_so():
        yield Pause(seconds)


class Slots:
    """A limit for the number of works that do something at the same time."""

    def __init__(self, free: int) -> None:
        self._free = free

    def take(self, seconds: float) -> Waiting[None]:
        """Wait until a slot is free, with pauses of some seconds, and take it."""
        yield from until(lambda: self._free > 0, seconds)
        self._free -= 1

    def give_back(self) -> None:
        """Free a slot."""
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
    """Run a work alone to its end, and return its result."""
    result: list[T] = []

    def keep() -> Waiting[None]:
        result.append((yield from work))

    for _, error in run_concurrently([(None, keep())], clock):
        if error:
            raise error
    return result[0]


def stop_at(deadline: float, work: Waiting[T], error: Callable[[], Exception], clock: Clock = time) -> Waiting[T]:
    """Run a work, and end it at the first pause that would go beyond a deadline.

    Args:
        deadline: a time of the clock's `monotonic`.
        work: the work.
        error: returns the exception to raise then.
        clock: the time.
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


def in_thread(call: Callable[[], T]) -> Waiting[T]:
    """Make a call that blocks in a thread of its own, and wait for it; return or raise what it does.

    The thread does not keep the process from ending.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is raised where the call is waited for
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    seconds = SHORTEST_LOOK
    while not future.done():
        yield Pause(seconds)
        seconds = min(2 * seconds, LONGEST_LOOK)
    return future.result()


def side_by_side(works: Iterable[Waiting[None]], most: int, clock: Clock = time) -> Waiting[None]:
    """Run works as one, so many at a time; the first that fails ends all, with its error.

    Args:
        works: the works, each of which is taken when another has ended.
        most: how many run at a time.
        clock: the time.
    """
    left = iter(works)
    running = [(clock.monotonic(), work) for work in itertools.islice(left, most)]
    try:
        while running:
            at, work = running.pop(min(range(len(running)), key=lambda place: running[place][0]))
            if (seconds := at - clock.monotonic()) > 0:
                running.append((at, work))
                yield Pause(seconds)
                continue
            try:
                running.append((clock.monotonic() + next(work).seconds, work))
            except StopIteration:
                running += [(at, each) for each in itertools.islice(left, 1)]
    finally:
        for _, work in running:
            work.close()


def run_concurrently(
    works: Iterable[tuple[K, Waiting[None]]], clock: Clock = time, say_every: float = SAY_EVERY
) -> Iterator[tuple[K, Exception | None]]:
    """Run several works at a time in one thread: while one pauses, the others go on.

    Args:
        works: the works by key.
        clock: the time.
        say_every: seconds after which a long pause is mentioned again.

    Yields:
        The key of each work when it ends, and the exception that ended it, or None.
    """
    order = itertools.count()
    # When to continue a work or to log its pause, a number that keeps the order, the end of the pause, and the work.
    due: list[tuple[float, int, float, K, Waiting[None], Pause]] = []

    def put(end: float, key: K, work: Waiting[None], pause: Pause) -> None:
        at = min(end, clock.monotonic() + say_every) if pause.say else end
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
    """Return the exception that is ending the process, if this error came from the clean-up during it; else None."""
    context = error.__context__
    while context is not None and isinstance(context, Exception):
        context = context.__context__
    return context
