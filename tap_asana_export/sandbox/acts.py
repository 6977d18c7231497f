"""What happens in an organization: by itself in a span of time, and through programs.

An `Act` is what workspace events (`activity.py`) and the audit log tell of, each in its own form. What happens by
itself is computed from the populations, as everything; what programs did stands in `Organization.acts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_asana_export.sandbox.directory import Object
    from tap_asana_export.sandbox.history import History
    from tap_asana_export.sandbox.organization import Organization

TRASH = 30 * 86_400_000
"""Milliseconds for which what was deleted can be undeleted."""

KINDS = ("task", "message")
"""Types of the objects that are created, changed and deleted by themselves."""

# What a change of an aspect changes, where that is one field without a gid; "comment" is a story only.
_FIELDS = {
    "completed": "completed",
    "dates": "due_on",
    "notes": "notes",
    "status": "status_type",
    **dict.fromkeys(("number", "enum", "text", "date", "people", "multi_enum"), "custom_fields"),
}
# Some of what happens is not done by a user.
_ROBOTS = 16
# In the order of acts, a deletion comes behind all changes.
_LAST = 10**12


class Act(NamedTuple):
    """Something that was done.

    Attributes:
        instant: when.
        action: `added`, `changed`, `removed`, `deleted` or `undeleted`, as in events; or what the audit log alone tells
            of: `deleted_for_good`, `uploaded`, `started`.
        item: what it was done to, in compact form.
        user: who did it; None for Asana itself.
        parent: what the item was added to, or removed from.
        change: which field changed and how, as in events.
        order: tells acts of the same instant apart, and sorts them.
    """

    instant: int
    action: str
    item: Object
    user: Object | None
    parent: Object | None = None
    change: Object | None = None
    order: tuple[int, ...] = ()


def resource(history: History) -> Object:
    """Return the compact form of an object in acts."""
    compact = history.compact()
    if history.kind == "message":
        compact["resource_subtype"] = "default" if history.chance % 3 else "status_update"
    return compact


def born(organization: Organization, history: History) -> list[Act]:
    """Return the creation of an object, with its first stories and attachments."""
    item, created, user = resource(history), history.life.created, history.user(history.chance)
    parents: list[Object | None] = []
    if history.kind == "task":
        memberships = organization.memberships(history, created, 0)
        parents = [place for each in memberships for place in (each["project"], each["section"])]
    acts = [Act(created, "added", item, user, parent) for parent in parents or [None]]
    if history.kind != "team":
        acts += [_story(created, item, story) for story in history.first_stories()]
        files = (history.attachment(number) for number in history.attachment_numbers(0))
        acts += [Act(created, "uploaded", attachment(each), user, item) for each in files]
    return acts


def _story(instant: int, item: Object, story: Object) -> Act:
    compact = {name: story[name] for name in ("gid", "resource_type", "resource_subtype")}
    return Act(instant, "added", compact, story["created_by"], item)


def stories(item: Object, instant: int, new: Iterable[Object]) -> list[Act]:
    """Return that an object has new stories."""
    return [_story(instant, item, story) for story in new]


def moves(item: Object, user: Object | None, instant: int, before: list[Object], after: list[Object]) -> list[Act]:
    """Return the moves of a task from some memberships to others."""
    places = [
        [place for each in memberships for place in (each["project"], each["section"])]
        for memberships in (before, after)
    ]
    gids = [{place["gid"] for place in each} for each in places]
    left = [Act(instant, "removed", item, user, place) for place in places[0] if place["gid"] not in gids[1]]
    return left + [Act(instant, "added", item, user, place) for place in places[1] if place["gid"] not in gids[0]]


def members(
    item: Object, user: Object | None, instant: int, field: str, before: list[Object], after: list[Object]
) -> list[Act]:
    """Return which members an array has gained and lost."""
    acts = []
    for action, these, others in (("removed", before, after), ("added", after, before)):
        gids = {each["gid"] for each in others}
        acts += [
            Act(instant, "changed", item, user, None, {"field": field, "action": action, f"{action}_value": each})
            for each in these
            if each["gid"] not in gids
        ]
    return acts


def changed(item: Object, user: Object | None, instant: int, field: str, value: object = None) -> Act:
    """Return that a field of an object has another value."""
    change: Object = {"field": field, "action": "changed"}
    if isinstance(value, dict) and "gid" in value:
        change["new_value"] = value
    return Act(instant, "changed", item, user, None, change)


# ── what changes by itself: aspect → acts beside the stories ─────────────────────────────────────────────


class Step(NamedTuple):
    """Changes of an object by themselves, usually one.

    Attributes:
        organization: the workspace.
        history: the object.
        item: its compact form.
        user: who changed it.
        instant: when.
        before: number of the change before.
        after: number of the last of them.
    """

    organization: Organization
    history: History
    item: Object
    user: Object | None
    instant: int
    before: int
    after: int

    def both(self, members_of: Callable[[History, int, int], list[Object]]) -> tuple[list[Object], list[Object]]:
        """Return an array of the object before and after, with what programs did to it earlier."""
        before, after = (members_of(self.history, self.instant - 1, change) for change in (self.before, self.after))
        return before, after


def _assigned(step: Step) -> list[Act]:
    assignee = step.history.assignee(step.history.number("assignee", step.after))
    return [changed(step.item, step.user, step.instant, "assignee", assignee)]


def _attached(step: Step) -> list[Act]:
    before, after = (step.history.attachment_numbers(change) for change in (step.before, step.after))
    gone = (step.history.attachment(number) for number in before if number not in after)
    new = (step.history.attachment(number) for number in after if number not in before)
    existed = step.history.directory.existed
    deleted = [("deleted", each) for each in gone if existed(each, step.instant - 1)]
    return [
        Act(step.instant, action, attachment(each), step.user, step.item)
        for action, each in (*deleted, *(("uploaded", each) for each in new))
    ]


def attachment(whole: Object) -> Object:
    """Return the compact form of an attachment."""
    return {name: whole[name] for name in ("gid", "resource_type", "name", "resource_subtype")}


_ARRAYS: dict[str, Callable[[Step], list[Act]]] = {
    "attachment": _attached,
    "followers": lambda step: members(
        step.item, step.user, step.instant, "followers", *step.both(step.organization.followers)
    ),
    "section": lambda step: moves(step.item, step.user, step.instant, *step.both(step.organization.memberships)),
    "tags": lambda step: members(step.item, step.user, step.instant, "tags", *step.both(step.organization.tags_of)),
}
_TELL = {**_ARRAYS, "assignee": _assigned}


def of_arrays(step: Step) -> list[Act]:
    """Return what changes have done to the arrays of a task or message."""
    kinds = _ARRAYS if step.history.kind == "task" else ("attachment", "followers")
    return [act for aspect in kinds for act in _ARRAYS[aspect](step)]


def of_change(organization: Organization, kind: str, index: int, instant: int, change: int) -> list[Act]:
    """Return what the nth change of an object by itself was."""
    history = organization.history(kind, index, instant)
    story, aspect = history.story(change), organization.aspect(kind, index, change)
    item, user = resource(history), story["created_by"]
    acts = []
    if aspect in _TELL:
        acts = _TELL[aspect](Step(organization, history, item, user, instant, change - 1, change))
    elif aspect in _FIELDS:
        acts = [changed(item, user, instant, _FIELDS[aspect])]
    return [*acts, _story(instant, item, story)]


def of_death(organization: Organization, kind: str, index: int, instant: int, action: str) -> list[Act]:
    """Return the deletion of an object that is deleted by itself, or the one for good."""
    history = organization.history(kind, index, instant)
    is_robot = action == "deleted_for_good" or index % _ROBOTS == 0
    return [Act(instant, action, resource(history), None if is_robot else history.user(history.chance >> 3))]


def _ordered(acts: Iterable[Act], *order: int) -> Iterator[Act]:
    return (act._replace(order=(*order, place)) for place, act in enumerate(acts))


def natural(
    organization: Organization,
    after: int,
    until: int,
    of_change: Callable[[str, int, int, int], list[Act]],
    aspects: frozenset[str] | None = None,
) -> list[Act]:
    """Return the acts that happen by themselves after an instant, up to another one, in order.

    Args:
        organization: the workspace.
        after: the first instant, exclusive.
        until: the last instant, inclusive.
        of_change: what `of_change` returns for a change, possibly remembered.
        aspects: the aspects whose changes are wanted; None for all.
    """
    found: list[Act] = []
    for number, kind in enumerate(KINDS):
        has_changes = aspects is None or aspects
        for instant, index, change in organization.changes(kind, after, until) if has_changes else ():
            is_wanted = aspects is None or organization.aspect(kind, index, change) in aspects
            if is_wanted and organization.alive(kind, index, instant - 1):
                found += _ordered(of_change(kind, index, instant, change), 0, number, index, change)
        for instant, new, old in organization.births(kind, after, until):
            found += _ordered(born(organization, organization.history(kind, new, instant)), 0, number, new, 0)
            if organization.alive(kind, old, instant - 1):
                found += _ordered(of_death(organization, kind, old, instant, "deleted"), 0, number, old, _LAST)
        for deleted, _, old in organization.births(kind, after - TRASH, until - TRASH):
            if organization.alive(kind, old, deleted - 1):
                gone = of_death(organization, kind, old, deleted + TRASH, "deleted_for_good")
                found += _ordered(gone, 0, number, old, _LAST)
    return sorted(found, key=when)


def of_programs(organization: Organization, after: int, until: int) -> list[Act]:
    """Return what programs did, and what left the trash then by itself, likewise."""
    found = [act for act in list(organization.acts) if after < act.instant <= until]
    found += (
        Act(trashed.instant + TRASH, "deleted_for_good", trashed.item, None, order=(1, int(gid)))
        for gid, trashed in list(organization.trash.items())
        if trashed.is_reported and after < trashed.instant + TRASH <= until
    )
    return sorted(found, key=when)


def when(act: Act) -> tuple[int, tuple[int, ...]]:
    """Return by what acts are sorted."""
    return act.instant, act.order
