"""What the audit log and the workspace's events tell: which objects are deleted, and when nobody can tell."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec

from tap_asana_export.times import UtcStruct, format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

OVERLAP = timedelta(hours=1)
"""How far the audit log is read again behind the last event: events may come late, and clocks differ."""

KEPT = timedelta(days=90)
"""How long Asana keeps the events of the audit log, https://developers.asana.com/reference/getauditlogevents."""

FIRST = datetime(2008, 1, 1, tzinfo=timezone.utc)
"""No event of Asana's is older than the company."""

TRASH = timedelta(days=30)
"""How long what was deleted can be undeleted."""

DAY = timedelta(days=1)

ONLY_DELETED = ("deleted", "undeleted")
FOR_GOOD = ("deleted", "permanently_deleted", "undeleted")

DELETIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "tasks": {"task": FOR_GOOD},
    "messages": {"message": FOR_GOOD, "status_update": FOR_GOOD},
    "stories": {"story": ONLY_DELETED, "comment": ONLY_DELETED},
    "attachments": {"attachment": ONLY_DELETED},
    "teams": {"team": ONLY_DELETED},
    "projects": {"project": ONLY_DELETED},
    "portfolios": {"portfolio": ONLY_DELETED},
    "goals": {"goal": ONLY_DELETED},
    "custom_fields": {"custom_field": ONLY_DELETED},
    "project_templates": {"project_template": ONLY_DELETED},
}
"""By stream, the types of event that tell of deletions of its objects: their beginnings, and their ends.

https://developers.asana.com/docs/audit-log-events
"""

OF_PROJECTS = {"project_deleted": "a project was deleted", "project_undeleted": "a project was undeleted"}
"""Events after which something may be missed: nobody says whether Asana logs the project's tasks one by one."""

IN_EXPORTS = {"task", "message", "story", "attachment"}
"""Types of what exports have, and have not while it is deleted."""

RESOURCE_TYPES = {"comment": "story", "status_update": "message"}
"""Types in the names of events that are other types in exports."""

Rank: TypeAlias = "tuple[datetime, bool, bool]"
"""What makes one event count more than another: its time, whether it undeletes, whether the audit log has it."""

DELETED = {"deleted": True, "undeleted": False}
"""Actions of workspace events that tell of deletions."""


class ActivityState(UtcStruct, rename={"bookmark": "replication_key_value"}):
    """What the state says of one stream of activity in one workspace.

    Attributes:
        bookmark: time of the last event of the audit log that was read.
        sync: token from which on the workspace's events are wanted.
        completed_at: when activity was last read to its end.
        gap_at: since when something may have been missed, so that only an export of all objects can tell.
        gap: why.
        undeleted_at: when something was undeleted last, as far as was read.
        handled: the undeletions that were acted upon and may be read again, in the form of `undeletion`; None: an
            earlier version wrote the state, and acted upon all up to `undeleted_at`.
        renew_at: exports that were created before this lack something that was undeleted, or what it was last; the last
            full one has it as it was then. None: nothing was undeleted yet.
    """

    replication_key: str | None = None
    bookmark: datetime | None = None
    sync: str | None = None
    completed_at: datetime | None = None
    gap_at: datetime | None = None
    gap: str | None = None
    undeleted_at: datetime | None = None
    handled: list[str] | None = None
    renew_at: datetime | None = None


def undeletion(gid: str, at: datetime) -> str:
    """How the state names an undeletion; texts of later ones are greater."""
    return f"{format_time(at)} {gid}"


def unhandled(state: ActivityState, undeletions: Collection[str]) -> set[str]:
    """The gids of those of these undeletions that no run has handled yet.

    One by one, and not by their times: an event may come late, when a later one has been handled.
    """
    if state.handled is not None:
        new = {*undeletions} - {*state.handled}
    else:
        last = format_time(state.undeleted_at or FIRST)
        new = {each for each in undeletions if each.partition(" ")[0] > last}
    return {each.partition(" ")[2] for each in new}


def note_handled(state: ActivityState, undeletions: Collection[str], since: datetime) -> None:
    """Remember that undeletions are handled, and forget those before a time, which are not read again."""
    state.handled = sorted(each for each in {*(state.handled or ()), *undeletions} if each >= format_time(since))


class Gap(msgspec.Struct, frozen=True):
    """A time in which something happened that no event may tell of.

    Attributes:
        at: when it was noticed.
        reason: why.
        most_often: an export of all objects is made for it no sooner than this after the last one.
    """

    at: datetime
    reason: str
    most_often: timedelta = DAY


def is_due(gap: Gap | None, full_at: datetime | None, now: datetime) -> bool:
    """Whether a gap makes an export of all objects necessary.

    Args:
        gap: the gap; None: there is none.
        full_at: `created_at` of the last export of all objects.
        now: the present.
    """
    return gap is not None and full_at is not None and full_at < gap.at and now - full_at >= gap.most_often


def deletion_types(streams: Collection[str]) -> list[str]:
    """The types of the audit log's events that tell of deletions in these streams; all, if none does."""
    wanted = [types for name, types in DELETIONS.items() if name in streams] or [*DELETIONS.values()]
    return [f"{kind}_{end}" for types in wanted for kind, ends in types.items() for end in ends]


class Word(NamedTuple):
    """What an event tells of an object; a run may keep hundreds of thousands.

    Attributes:
        rank: what makes it count more than another one.
        resource_type: the object's type.
        actor_gid: who did it; None: the event does not say.
    """

    rank: Rank
    resource_type: str
    actor_gid: str | None

    @property
    def at(self) -> datetime:
        """When it happened."""
        return self.rank[0]

    @property
    def is_deleted(self) -> bool:
        """Whether the object was deleted, not undeleted."""
        return not self.rank[1]

    @property
    def is_audited(self) -> bool:
        """Whether the audit log tells it."""
        return self.rank[2]


class LastWords:
    """The last that was told of each object that was deleted or undeleted.

    Args:
        workspace_gid: the workspace.

    Attributes:
        unclear: how many events told of a deletion, but not of which object or when.
        undeletions: all that was told of what exports have, in the form of `undeletion`.
    """

    def __init__(self, workspace_gid: str) -> None:
        self.unclear = 0
        self.undeletions: set[str] = set()
        self._workspace_gid = workspace_gid
        self._last: dict[str, Word] = {}
        self._first: dict[str, Word] = {}

    def note_audit_event(self, event: Mapping[str, Any], now: datetime) -> None:
        """Take an event of the audit log, whatever it tells of."""
        kind, _, end = text(event, "event_type").rpartition("_")
        if end in DELETED:
            kind = kind.removesuffix("_permanently")
            resource_type = RESOURCE_TYPES.get(kind, kind)
            self._note(event, now, resource_type, DELETED[end], inner(event, "actor"), is_audited=True)

    def note_event(self, event: Mapping[str, Any], now: datetime) -> None:
        """Take an event of the workspace, whatever it tells of."""
        action = text(event, "action")
        if action in DELETED:
            kind = text(inner(event, "resource"), "resource_type")
            self._note(event, now, kind, DELETED[action], inner(event, "user"), is_audited=False)

    def _note(
        self,
        event: Mapping[str, Any],
        now: datetime,
        resource_type: str,
        is_deleted: bool,  # noqa: FBT001 - what the event says
        actor: Mapping[str, Any],
        *,
        is_audited: bool,
    ) -> None:
        gid, at = gid_of(event), time_of(event, now)
        if not gid or at is None:
            self.unclear += 1
            return
        if not is_deleted and resource_type in IN_EXPORTS:
            self.undeletions.add(undeletion(gid, at))
        # Thousands of events have the same type and the same actor.
        kind, by = sys.intern(resource_type), sys.intern(text(actor, "gid"))
        self._keep(gid, Word((at, not is_deleted, is_audited), kind, by or None))

    def _keep(self, gid: str, word: Word) -> None:
        if gid not in self._last or self._last[gid].rank <= word.rank:
            self._last[gid] = word
        if gid not in self._first or self._first[gid].rank > word.rank:
            self._first[gid] = word

    def add(self, others: LastWords) -> None:
        """Take what others tell, where it is later."""
        self.unclear += others.unclear
        self.undeletions |= others.undeletions
        for words in (others._first, others._last):
            for gid, word in words.items():
                self._keep(gid, word)

    def undeleted(self) -> dict[str, tuple[datetime, datetime | None]]:
        """By gid, when what exports have was undeleted, and deleted before; None: in a time that was not read."""
        return {
            gid: (word.at, self._first[gid].at if self._first[gid].is_deleted else None)
            for gid, word in self._last.items()
            if not word.is_deleted and word.resource_type in IN_EXPORTS
        }

    def records(self, before: LastWords) -> Iterator[dict[str, Any]]:
        """Yield the records of the stream `deletions`, oldest first, but those that were the same before."""
        for gid, word in sorted(self._last.items(), key=lambda each: each[1].rank):
            if before._last.get(gid) != word:
                yield {
                    "gid": gid,
                    "resource_type": word.resource_type,
                    "is_deleted": word.is_deleted,
                    "changed_at": format_time(word.at),
                    "actor_gid": word.actor_gid,
                    "source": "audit_log" if word.is_audited else "events",
                    "workspace_gid": self._workspace_gid,
                }


def text(event: Mapping[str, Any], name: str) -> str:
    """A property of an event that is a text; empty if it is none."""
    value = event.get(name)
    return value if isinstance(value, str) else ""


def time_of(event: Mapping[str, Any], now: datetime) -> datetime | None:
    """When an event happened; None if it does not say, or says what cannot be.

    Args:
        event: the event.
        now: the present, not the begin of a long reading. An event may be a little later, since clocks differ.
    """
    try:
        time = parse_time(text(event, "created_at"))
    except ValueError:
        return None
    return time if FIRST <= time <= now + OVERLAP else None


def gid_of(event: Mapping[str, Any]) -> str:
    """The gid of what an event is about; empty if it does not say."""
    gid = inner(event, "resource").get("gid")
    return str(gid) if type(gid) in {str, int} else ""


def inner(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A property of an event that is an object; empty if it is none."""
    value = event.get(name)
    return value if isinstance(value, dict) else {}
