"""Which objects of one type are alive at an instant, and what has happened to each of them.

Nothing is stored: births, changes and deletions are arithmetic on a seed, an index and the instant, so that
an organization lives on between two runs of a program. What a program does itself (`touch`, `add`, `delete`,
`move`) is kept beside it, in memory, and counts from its own instant on. All instants are integer
milliseconds since 1970.
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

# Where the indices of objects begin that were added from outside, and of those that come and go by themselves.
ADDED = 40_000_000
FRESH = 50_000_000


def milliseconds(instant: datetime) -> int:
    """Milliseconds since 1970 of an aware datetime."""
    return (instant - _EPOCH) // _MILLISECOND


def timestamp(instant: int) -> str:
    """Asana's notation of a date-time, `2026-11-21T10:42:07.000Z`."""
    # A naive datetime is formatted twice as fast, and a hundred thousand tasks have a million timestamps.
    return (_NAIVE_EPOCH + timedelta(milliseconds=instant)).isoformat("T", "milliseconds") + "Z"


def mix(*numbers: int) -> int:
    """One well-mixed 64-bit number from several (splitmix64, Steele, Lea and Flood 2014)."""
    mixed = 0
    for number in numbers:
        mixed = (mixed + number + 0x9E3779B97F4A7C15) & _MASK
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        mixed ^= mixed >> 31
    return mixed


class Touch(NamedTuple):
    """A change made from outside: when, and which fields it set."""

    instant: int
    fields: dict[str, Any]


class Life(NamedTuple):
    """What has happened to an object up to an instant."""

    created: int
    modified: int
    changes: int
    first: int
    period: int
    touches: tuple[Touch, ...]
    moves: int

    def changed(self, change: int) -> int:
        """When the nth change happened; what came before the first is as old as the object."""
        return self.first + (change - 1) * self.period if change > 0 else self.created


@dataclass
class Population:
    """The objects of one type.

    `size` objects are alive at any time. Most were born in the two years before 2024 and stay; the `fresh`
    youngest are a window that slides along with time: one is born, the oldest of them is deleted. On average
    one object changes every `interval` seconds, some every few minutes, some not for days; with 0 nothing
    happens by itself.

    An index is below `ADDED` for the settled objects, below `FRESH` for those added from outside, above it
    for the youngest.
    """

    seed: int
    size: int
    fresh: int
    interval: float
    _touches: dict[int, tuple[Touch, ...]] = field(default_factory=dict)
    _moves: dict[int, tuple[int, ...]] = field(default_factory=dict)
    _deletions: dict[int, int] = field(default_factory=dict)
    _births: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Work out the pace of births and changes."""
        pace = 1000 * (self.interval or _USUAL_INTERVAL)
        self.settled = self.size - self.fresh
        self._gap = max(1, int(pace * _BIRTH_EVERY))
        # The paces are this period times 1, 2, 4, … 128; their mean rate is a quarter of the fastest.
        self._period = max(1, int(pace * self.size / 4))

    def _moment(self, now: int) -> int:
        return now if self.interval else _SETTLED

    def indices(self, now: int) -> tuple[range, ...]:
        """Everything that may be alive; ask `alive` about each when its turn comes."""
        youngest = FRESH + self._moment(now) // self._gap
        return (
            range(self.settled),
            range(youngest + 1 - self.fresh, youngest + 1),
            range(ADDED, ADDED + len(self._births)),
        )

    def alive(self, index: int, now: int) -> bool:
        """Whether the object exists at this instant: born, and not deleted."""
        if self._deletions.get(index, now + 1) <= now:
            return False
        return any(index in span for span in self.indices(now)) and self._created(index) <= now

    def living(self, now: int) -> Iterator[int]:
        """The index of every object that exists at this instant."""
        return (index for span in self.indices(now) for index in span if self.alive(index, now))

    def _created(self, index: int) -> int:
        if index >= FRESH:
            return (index - FRESH) * self._gap
        if index >= ADDED:
            return self._births[index - ADDED]
        slot = 2 * _YEAR // self.settled
        return _FOUNDED + index * slot + mix(self.seed, index) % slot

    def life(self, index: int, now: int) -> Life:
        """What has happened to the object up to this instant."""
        created = self._created(index)
        chance = mix(self.seed, index, 1)
        period = self._period << chance % _PACES
        first = created + 1 + (chance >> 8) % period
        changes = max(0, (self._moment(now) - first) // period + 1)
        if ADDED <= index < FRESH:
            changes = 0
        modified = first + (changes - 1) * period if changes else created
        touches: tuple[Touch, ...] = ()
        if index in self._touches:
            touches = tuple(touch for touch in self._touches[index] if touch.instant <= now)
            modified = max((modified, *(touch.instant for touch in touches)))
        return Life(created, modified, changes, first, period, touches, self.moves(index, now))

    def moves(self, index: int, now: int) -> int:
        """How often the object was moved up to this instant."""
        return sum(instant <= now for instant in self._moves.get(index, ()))

    def serial(self, index: int) -> int:
        """The index in eight digits, as it stands in a gid."""
        return index if index < FRESH else FRESH + index % FRESH

    def index(self, serial: int, now: int) -> int:
        """The index of a serial that is in use at this instant."""
        if serial < FRESH:
            return serial
        youngest = FRESH + self._moment(now) // self._gap
        return youngest - (youngest - serial) % FRESH

    def touch(self, index: int, touch: Touch) -> None:
        """Change an object."""
        self._touches[index] = (*self._touches.get(index, ()), touch)

    def move(self, index: int, now: int) -> None:
        """Move an object to another place, which Asana does not count as a modification."""
        self._moves[index] = (*self._moves.get(index, ()), now)

    def delete(self, index: int, now: int) -> None:
        """Delete an object."""
        self._deletions.setdefault(index, now)

    def add(self, now: int) -> int:
        """Add an object; it never changes by itself."""
        self._births.append(now)
        return ADDED + len(self._births) - 1
