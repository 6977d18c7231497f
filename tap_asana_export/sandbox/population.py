"""Which objects of one type exist at some instant, and what has happened to each of them.

Nothing is stored: creations, changes and deletions are computed from a seed, an index and the instant. So an
organization changes even between two runs of a program. Changes that a program makes itself (`touch`, `add`, `delete`,
`place` and so on) are kept in memory. All instants are integer milliseconds since 1970.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NAIVE_EPOCH = _EPOCH.replace(tzinfo=None)
_MILLISECOND = timedelta(milliseconds=1)
_YEAR = 365 * 86_400_000
_SETTLED = (datetime(2024, 1, 1, tzinfo=timezone.utc) - _EPOCH) // _MILLISECOND
_FOUNDED = _SETTLED - 2 * _YEAR
_USUAL_INTERVAL = 5.0
_BIRTH_EVERY = 4
_PACES = 8
_MASK = 2**64 - 1

# First index of the objects that a program adds, and first index of those that are created by themselves.
ADDED = 40_000_000
FRESH = 50_000_000


def founded(number: int) -> int:
    """Return some instant of the two years in which organizations are founded."""
    return _FOUNDED + mix(number) % (2 * _YEAR)


def milliseconds(instant: datetime) -> int:
    """Convert an aware datetime to milliseconds since 1970."""
    return (instant - _EPOCH) // _MILLISECOND


def timestamp(instant: int) -> str:
    """Format an instant as Asana does: `2026-11-21T10:42:07.000Z`."""
    # A naive datetime, which is formatted twice as fast: a hundred thousand tasks have a million timestamps.
    return (_NAIVE_EPOCH + timedelta(milliseconds=instant)).isoformat("T", "milliseconds") + "Z"


def mix(*numbers: int) -> int:
    """Hash numbers to one of 64 bits (splitmix64, Steele, Lea and Flood 2014)."""
    mixed = 0
    for number in numbers:
        mixed = (mixed + number + 0x9E3779B97F4A7C15) & _MASK
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        mixed ^= mixed >> 31
    return mixed


class Touch(NamedTuple):
    """A change that a program made, with a new `modified_at`.

    Attributes:
        instant: when.
        fields: the new values of fields.
        stories: what its stories say, as in `history.py`; None for the one story that tells of these fields.
        files: names of the files that it attached.
    """

    instant: int
    fields: dict[str, Any]
    stories: tuple[tuple[str, str, dict[str, Any]], ...] | None = None
    files: tuple[str, ...] = ()


class Mark(NamedTuple):
    """What a program has added to a field that is an array, or removed from it: the number of a user or tag."""

    instant: int
    field: str
    number: int
    is_added: bool


class Placing(NamedTuple):
    """Where a program has put a task: numbers of projects, each with a number that is added to the section's one."""

    instant: int
    places: tuple[tuple[int, int], ...]


class Life(NamedTuple):
    """What has happened to an object up to an instant.

    Attributes:
        created: instant of its creation.
        modified: instant of its last change.
        changes: number of its changes by itself.
        first: instant of the first of them.
        period: milliseconds between two of them.
        touches: changes that a program made.
    """

    created: int
    modified: int
    changes: int
    first: int
    period: int
    touches: tuple[Touch, ...]

    def changed(self, change: int) -> int:
        """Return the instant of the nth change; of change 0 and below, that of the creation."""
        return self.first + (change - 1) * self.period if change > 0 else self.created


@dataclass
class Population:
    """The objects of one type.

    `size` objects exist at any time. Most were created in the two years before 2024 and stay. The `fresh` youngest
    are replaced over time: whenever one is created, the oldest of them is deleted. On average one object changes every
    `interval` seconds, some every few minutes, some not for days; with 0 nothing changes by itself.

    Objects that stay have an index below `ADDED`; those that a program added, below `FRESH`; the youngest, above it.
    """

    seed: int
    size: int
    fresh: int
    interval: float
    _touches: dict[int, tuple[Touch, ...]] = field(default_factory=dict)
    _marks: dict[int, tuple[Mark, ...]] = field(default_factory=dict)
    _placings: dict[int, tuple[Placing, ...]] = field(default_factory=dict)
    # Instants at which a program has deleted, undeleted, deleted … an object.
    _turns: dict[int, tuple[int, ...]] = field(default_factory=dict)
    _births: list[int] = field(default_factory=list)
    _rhythms: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Compute how often objects are created and change."""
        pace = 1000 * (self.interval or _USUAL_INTERVAL)
        self.settled = self.size - self.fresh
        self._gap = max(1, int(pace * _BIRTH_EVERY))
        # Objects change at this period times 1, 2, 4, … 128: on average a quarter as often as the fastest.
        self._period = max(1, int(pace * self.size / 4))

    def _moment(self, now: int) -> int:
        return now if self.interval else _SETTLED

    def indices(self, now: int) -> tuple[range, ...]:
        """Return the indices of all objects that may exist; `alive` tells of each."""
        youngest = self._youngest(now)
        return (
            range(self.settled),
            range(youngest + 1 - self.fresh, youngest + 1),
            range(ADDED, ADDED + len(self._births)),
        )

    def alive(self, index: int, now: int) -> bool:
        """Whether an object exists at this instant."""
        if index in self._turns and sum(instant <= now for instant in self._turns[index]) % 2:
            return False
        return any(index in span for span in self.indices(now)) and self.created(index) <= now

    def living(self, now: int) -> Iterator[int]:
        """Yield the index of every object that exists at this instant."""
        return (index for span in self.indices(now) for index in span if self.alive(index, now))

    def created(self, index: int) -> int:
        """Return the instant of an object's creation."""
        if index >= FRESH:
            return (index - FRESH) * self._gap
        if index >= ADDED:
            return self._births[index - ADDED]
        slot = 2 * _YEAR // self.settled
        return _FOUNDED + index * slot + mix(self.seed, index) % slot

    def life(self, index: int, now: int) -> Life:
        """Return what has happened to an object up to this instant."""
        created, first, period = self._rhythm(index)
        changes = max(0, (self._moment(now) - first) // period + 1)
        if ADDED <= index < FRESH:
            changes = 0
        modified = first + (changes - 1) * period if changes else created
        touches: tuple[Touch, ...] = ()
        if index in self._touches:
            touches = tuple(touch for touch in self._touches[index] if touch.instant <= now)
            modified = max((modified, *(touch.instant for touch in touches)))
        return Life(created, modified, changes, first, period, touches)

    def _rhythm(self, index: int) -> tuple[int, int, int]:
        """Return when an object was created, when it changes first, and how long it takes to the next change."""
        created = self.created(index)
        chance = mix(self.seed, index, 1)
        period = self._period << chance % _PACES
        return created, created + 1 + (chance >> 8) % period, period

    def marks(self, index: int, field_name: str, now: int) -> dict[int, bool]:
        """Return by number what a program has added to a field, and what it has removed, up to this instant."""
        marks = self._marks.get(index)
        if not marks:
            return {}
        return {mark.number: mark.is_added for mark in marks if mark.field == field_name and mark.instant <= now}

    def places(self, index: int, now: int) -> tuple[tuple[int, int], ...] | None:
        """Return where a program has put an object last, up to this instant; None if it has not."""
        if index not in self._placings:
            return None
        return next((each.places for each in reversed(self._placings[index]) if each.instant <= now), None)

    def serial(self, index: int) -> int:
        """Return the number of up to eight digits that stands for an index in gids."""
        return index if index < FRESH else FRESH + index % FRESH

    def index(self, serial: int, now: int) -> int:
        """Return the index of the object that has a serial at this instant."""
        if serial < FRESH:
            return serial
        youngest = self._youngest(now)
        return youngest - (youngest - serial) % FRESH

    def touch(self, index: int, touch: Touch) -> None:
        """Change an object."""
        self._touches[index] = (*self._touches.get(index, ()), touch)

    def mark(self, index: int, mark: Mark) -> None:
        """Add something to an array of an object, or remove it."""
        self._marks[index] = (*self._marks.get(index, ()), mark)

    def place(self, index: int, placing: Placing) -> None:
        """Put an object elsewhere, which Asana does not count as a modification."""
        self._placings[index] = (*self._placings.get(index, ()), placing)

    def turn(self, index: int, now: int) -> None:
        """Delete an object, or undelete it."""
        self._turns[index] = (*self._turns.get(index, ()), now)

    def add(self, now: int) -> int:
        """Add an object, which never changes by itself, and return its index."""
        self._births.append(now)
        return ADDED + len(self._births) - 1

    # ── what happens by itself in a span of time ─────────────────────────────────────────────────────────

    def changes(self, after: int, until: int) -> Iterator[tuple[int, int, int]]:
        """Yield instant, index and number of every change after an instant, up to another one, in any order.

        An object that is deleted goes on here; `alive` tells.
        """
        if not self.interval:
            return
        if len(self._rhythms) < self.settled:
            self._rhythms = [self._rhythm(index)[1:] for index in range(self.settled)]
        fresh = range(self._youngest(after) + 1 - self.fresh, self._youngest(until) + 1)
        for index, (first, period) in (*enumerate(self._rhythms), *((each, self._rhythm(each)[1:]) for each in fresh)):
            change = max(0, (after - first) // period + 1) + 1
            for instant in range(first + (change - 1) * period, until + 1, period):
                yield instant, index, change
                change += 1

    def births(self, after: int, until: int) -> Iterator[tuple[int, int, int]]:
        """Yield instants, and the indices of who is created and of who is deleted then, likewise but in order."""
        if self.interval and self.fresh:
            for number in range(after // self._gap + 1, until // self._gap + 1):
                yield number * self._gap, FRESH + number, FRESH + number - self.fresh

    def _youngest(self, now: int) -> int:
        return FRESH + self._moment(now) // self._gap
