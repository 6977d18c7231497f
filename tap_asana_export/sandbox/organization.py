"""A synthetic Asana organization: a workspace that changes by itself, and what programs do to it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_asana_export.sandbox import acts
from tap_asana_export.sandbox.acts import TRASH, Act
from tap_asana_export.sandbox.directory import named
from tap_asana_export.sandbox.population import Mark, Placing, Touch, timestamp
from tap_asana_export.sandbox.stories import COMMENT, moved, touch_stories
from tap_asana_export.sandbox.workspace import SUBTASKS, Workspace

if TYPE_CHECKING:
    from tap_asana_export.sandbox.directory import Object
    from tap_asana_export.sandbox.stories import StoryParts

ALONG = ("stay", "logged", "unlogged")
"""What becomes of the tasks that are in a project alone when it is deleted: they stay, or go with it, with or without
a word of each in the audit log and the events."""

COMMANDS = (
    *("add", "touch", "comment", "attach", "follow", "unfollow", "tag", "untag", "move", "put", "take_out", "delete"),
    *("undelete", "delete_for_good"),
)
"""What programs do, each a method."""

# Stands for a part of an object that the audit log and the events do not tell of.
_OTHER = "other"
# What tells when an object of the directory was added.
_DATES = {"project": ("created_at", "modified_at"), "portfolio": ("created_at",), "tag": ("created_at",)}


class Trashed(NamedTuple):
    """Something in the trash.

    Attributes:
        instant: when it was deleted.
        item: its compact form.
        along: gids of what was deleted with it.
        by: gid of what it was deleted with; itself if nothing.
        is_reported: whether the audit log and the events tell of it.
    """

    instant: int
    item: Object
    along: list[str]
    by: str
    is_reported: bool


class Organization(Workspace):
    """One workspace, which changes by itself and by what programs do.

    Attributes:
        began: instant at which it was made, in milliseconds since 1970.
        acts: what programs did.
        trash: by gid, what they have deleted and not undeleted.
    """

    def __post_init__(self) -> None:
        """Make what is in it."""
        super().__post_init__()
        self.began = self.now()
        self.acts: list[Act] = []
        self.trash: dict[str, Trashed] = {}
        self._lock = threading.RLock()

    def __contains__(self, gid: str) -> bool:
        """Whether an object has this gid now."""
        if self._is_listed(gid):
            return True
        try:
            self._find(gid)
        except KeyError:
            return False
        return True

    def owns(self, gid: str) -> bool:
        """Whether a gid is one of this workspace, also of what was deleted."""
        return self.directory.parse(f"{gid[:-3]}000") is not None

    # ── creation and change ──────────────────────────────────────────────────────────────────────────────

    def add(self, kind: str) -> str:
        """Add an object, and return its gid. A task, message or team never changes by itself then.

        Raises:
            KeyError: there is no such kind of object.
        """
        if kind in self._populations:
            index = self._populations[kind].add(self.now())
            self._note(*acts.born(self, self.history(kind, index, self.now())))
            return self._gid(kind, index)
        gid = self.directory.add(kind)
        self.directory.change(gid, dict.fromkeys(_DATES.get(kind, ()), timestamp(self.now())))
        self._note(Act(self.now(), "added", self._item(gid), self._user(gid)))
        return gid

    def touch(self, gid: str, **fields: Any) -> None:
        """Set fields of an object, or rename it if there are none. Tasks and messages get a story.

        Raises:
            KeyError: no object has this gid now.
        """
        if self._is_listed(gid):
            self._change(gid, fields)
            return
        kind, index, now = self._find(gid)
        if not fields:
            title = "title" if kind == "message" else "name"
            fields = {title: f"{self.build(kind, index, now)[title]} (touched)"}
        self._touch(kind, index, Touch(now, fields))

    def comment(self, gid: str, text: str = "A comment") -> str:
        """Comment on a task or message, and return the gid of the story.

        Raises:
            KeyError: no task or message has this gid now.
        """
        kind, index, now = self._find(gid, acts.KINDS)
        self._touch(kind, index, Touch(now, {}, (("comment_added", text, COMMENT),)))
        return str(self.history(kind, index, now).program_stories()[-1]["gid"])

    def attach(self, gid: str, name: str = "A file.txt") -> str:
        """Attach a file to a task or message, and return the gid of the attachment.

        Raises:
            KeyError: no task or message has this gid now.
        """
        kind, index, now = self._find(gid, acts.KINDS)
        self._touch(kind, index, Touch(now, {}, (("attachment_added", "attached a file", {}),), (name,)))
        return str(self.history(kind, index, now).files()[-1]["gid"])

    def follow(self, gid: str, user: str | None = None, *, story: bool = True) -> None:
        """Let a user follow a task or message: the one with this gid, or the first one that does not.

        Args:
            gid: gid of the task or message.
            user: gid of the user.
            story: whether a story tells of it, and `modified_at` is new.

        Raises:
            KeyError: no task or message, or no user, has this gid now.
        """
        self._mark(gid, "user", user, is_added=True, story=story)

    def unfollow(self, gid: str, user: str | None = None, *, story: bool = True) -> None:
        """Let a user, or else the first follower, follow a task or message no more. Else as `follow`."""
        self._mark(gid, "user", user, is_added=False, story=story)

    def tag(self, gid: str, tag: str | None = None, *, story: bool = True) -> None:
        """Give a task a tag: the one with this gid, or the first one that it does not have. Else as `follow`."""
        self._mark(gid, "tag", tag, is_added=True, story=story)

    def untag(self, gid: str, tag: str | None = None, *, story: bool = True) -> None:
        """Take a tag, or else the first one, from a task. Else as `follow`."""
        self._mark(gid, "tag", tag, is_added=False, story=story)

    def _touch(self, kind: str, index: int, touch: Touch) -> None:
        self._populations[kind].touch(index, touch)
        history = self.history(kind, index, touch.instant)
        item, user = acts.resource(history), history.user(history.chance)
        self._note(*(acts.changed(item, user, touch.instant, name, value) for name, value in touch.fields.items()))
        files = history.files()[len(history.files()) - len(touch.files) :]
        self._note(*(Act(touch.instant, "uploaded", acts.attachment(file), user, item) for file in files))
        if kind != "team" and touch_stories(touch):
            self._note(*acts.stories(item, touch.instant, history.program_stories()[-len(touch_stories(touch)) :]))

    def _mark(self, gid: str, member: str, chosen: str | None, *, is_added: bool, story: bool) -> None:
        kind, index, now = self._find(gid, acts.KINDS if member == "user" else ("task",))
        field, members_of = ("followers", self.followers) if member == "user" else ("tags", self.tags_of)
        history = self.history(kind, index, now)
        before = members_of(history, now)
        candidates = [self.directory.all(member)[number] for number in self.directory.numbers(member)]
        fitting = [each for each in candidates if (each in before) != is_added]
        wanted = next((each for each in fitting if chosen in (None, each["gid"])), None)
        if wanted is None:
            if chosen in {each["gid"] for each in candidates}:
                return
            raise KeyError(chosen)
        number = self.directory.all(member).index(wanted)
        self._populations[kind].mark(index, Mark(now, field, number, is_added))
        user, item = history.user(history.chance), acts.resource(history)
        self._note(*acts.members(item, user, now, field, before, members_of(history, now)))
        if story:
            self._touch(kind, index, Touch(now, {}, (_of_mark(member, wanted, is_added=is_added),)))

    def _change(self, gid: str, fields: Object) -> None:
        kind, number = self.directory.find(gid) or ("", 0)
        if kind and not fields:
            fields = {"name": f"{self.directory.all(kind)[number]['name']} (touched)"}
        is_project = kind == "project"
        self.directory.change(gid, {"modified_at": timestamp(self.now())} | fields if is_project else fields)
        item, user = self._item(gid), self._user(gid)
        self._note(*(acts.changed(item, user, self.now(), name, value) for name, value in fields.items()))

    # ── moves ────────────────────────────────────────────────────────────────────────────────────────────

    def move(self, gid: str, project: str | None = None, section: str | None = None, *, story: bool = False) -> None:
        """Move a task to another project or section, which Asana does not count as a modification.

        A message or team stays where it is.

        Args:
            gid: gid of the task.
            project: gid of the only project that it is in then; without, each project gives way to the next one.
            section: gid of a section; if the task is in the section's project already, other projects stay.
            story: whether stories tell of it, and `modified_at` is new.

        Raises:
            KeyError: no task, message or team, or no project or section, has this gid now.
        """
        kind, index, now = self._find(gid)
        if kind != "task":
            return
        places = dict(self.places(index, now))
        if section:
            number = self._number(f"{section[:-3]}000")
            extra = self._extra(index, now, section)
            places = places | {number: extra} if number in places and not project else {number: extra}
        elif project:
            places = {self._number(project): 0}
        else:
            last = self.directory.chance("task", index) % self.directory.sizes["project"]
            places = {self._next(number): extra for number, extra in (places or {last: 0}).items()}
        self._place(index, now, places, story=story)

    def put(self, gid: str, project: str, *, story: bool = False) -> None:
        """Put a task into one more project. Else as `move`."""
        _, index, now = self._find(gid, ("task",))
        self._place(index, now, {self._number(project): 0} | dict(self.places(index, now)), story=story)

    def take_out(self, gid: str, project: str, *, story: bool = False) -> None:
        """Take a task out of a project. Else as `move`."""
        _, index, now = self._find(gid, ("task",))
        number = self._number(project)
        self._place(index, now, {each: extra for each, extra in self.places(index, now) if each != number}, story=story)

    def _place(self, index: int, now: int, places: dict[int, int], *, story: bool) -> None:
        history = self.history("task", index, now)
        before = self.memberships(history, now)
        self._populations["task"].place(index, Placing(now, tuple(places.items())))
        after = self.memberships(history, now)
        self._note(*acts.moves(acts.resource(history), history.user(history.chance), now, before, after))
        if story and before != after:
            self._touch("task", index, Touch(now, {}, tuple(_of_move(before, after))))

    def _number(self, project: str) -> int:
        kind, number = self.directory.find(project) or ("", 0)
        if kind != "project":
            raise KeyError(project)
        return number

    def _next(self, project: int) -> int:
        numbers = [*self.directory.numbers("project")]
        return next((number for number in numbers if number > project), numbers[0] if numbers else project)

    def _extra(self, index: int, now: int, section: str) -> int:
        """Return what to add to the number of a task's section so that it is this one."""
        sections = self.directory.sections(self._number(f"{section[:-3]}000"))
        place = next((place for place, each in enumerate(sections) if each["gid"] == section), None)
        if place is None:
            raise KeyError(section)
        return place - self.history("task", index, now).number("section")

    # ── deletion ─────────────────────────────────────────────────────────────────────────────────────────

    def delete(self, gid: str) -> None:
        """Delete an object, or a part of one such as a story or an attachment; and a task's subtasks with it.

        It is in the trash for 30 days. Tasks go on naming a user who was deleted, as in Asana; a tag or custom field
        leaves its tasks. `tasks_of_deleted_projects` says what becomes of a project's tasks.

        Raises:
            KeyError: no object has this gid now.
        """
        with self._lock:
            self._delete(gid, gid, is_reported=True)

    def undelete(self, gid: str) -> None:
        """Take back a deletion, and that of what was deleted with the object.

        It is not modified by that, unless changes by itself were due meanwhile.

        Raises:
            KeyError: nothing in the trash has this gid, or it would have been deleted by itself meanwhile.
        """
        with self._lock:
            self._undelete(gid, is_reported=True)

    def delete_for_good(self, gid: str) -> None:
        """Delete an object so that it cannot be undeleted, whether it is in the trash already or not.

        Raises:
            KeyError: no object has this gid now, and nothing in the trash.
        """
        with self._lock:
            if gid not in self.trash:
                self._delete(gid, gid, is_reported=True)
            self._delete_for_good(gid)

    def _delete(self, gid: str, by: str, *, is_reported: bool) -> None:
        item, user, now = self._item(gid), self._user(gid), self.now()
        if is_reported:
            self._note(Act(now, "deleted", item, user))
        along = self._along(gid)
        self.trash[gid] = Trashed(now, item, along, by, is_reported)
        self._turn(gid, now)
        are_reported = is_reported and (item["resource_type"] == "task" or self.tasks_of_deleted_projects == "logged")
        for each in along:
            if each in self:
                self._delete(each, gid, is_reported=are_reported)

    def _undelete(self, gid: str, *, is_reported: bool) -> None:
        trashed = self._in_trash(gid)
        now = self.now()
        self._turn(gid, now)
        kind, index = self._place_of(gid)
        is_part = trashed.item["resource_type"] in ("story", "attachment")
        parts = self._parts(f"{gid[:-3]}000") if is_part else [trashed.item]
        if all(part["gid"] != gid for part in parts) or (kind and not self.alive(kind, index, now)):
            self._turn(gid, now)
            raise KeyError(gid)
        del self.trash[gid]
        if is_reported:
            self._note(Act(now, "undeleted", trashed.item, self._user(gid)))
        before, after = (self.life(kind, index, each).changes if kind else 0 for each in (trashed.instant, now))
        if before != after:
            self._populations[kind].touch(index, Touch(now, {}, ()))
        if before != after and kind in acts.KINDS:
            history = self.history(kind, index, now)
            self._note(*acts.of_arrays(acts.Step(self, history, trashed.item, self._user(gid), now, before, after)))
        for each in trashed.along:
            if each in self.trash and self.trash[each].by == gid:
                self._undelete(each, is_reported=self.trash[each].is_reported)

    def _delete_for_good(self, gid: str) -> None:
        trashed = self._in_trash(gid)
        del self.trash[gid]
        if trashed.is_reported:
            self._note(Act(self.now(), "deleted_for_good", trashed.item, self._user(gid)))
        for each in trashed.along:
            if each in self.trash and self.trash[each].by == gid:
                self._delete_for_good(each)

    def _in_trash(self, gid: str) -> Trashed:
        trashed = self.trash[gid]
        if self.now() >= trashed.instant + TRASH:
            raise KeyError(gid)
        return trashed

    def _along(self, gid: str) -> list[str]:
        """Return the gids of the tasks that are deleted with a task or project."""
        kind, number = self.directory.find(gid) or ("", 0)
        now, found = self.now(), list[int]()
        if kind == "project" and self.tasks_of_deleted_projects != "stay":
            found = [index for index in self._populations["task"].living(now) if self.placed(index, now) == [number]]
        elif not self._is_listed(gid) and self._find(gid)[0] == "task":
            found = self._relatives(self._find(gid)[1], SUBTASKS, now)
        return [self._gid("task", index) for index in found]

    def _turn(self, gid: str, now: int) -> None:
        """Delete an object, or undelete it."""
        kind, index = self._place_of(gid)
        if kind:
            self._populations[kind].turn(index, now)
        elif gid in self.directory.deleted:
            self.directory.undelete(gid, now)
        else:
            self.directory.delete(gid, now)

    # ── what it is done to ───────────────────────────────────────────────────────────────────────────────

    def start_export(self, user: Object) -> None:
        """Note that a user has asked for an export of the workspace."""
        self._note(Act(self.now(), "started", self.workspace, user))

    def _note(self, *done: Act) -> None:
        with self._lock:
            for act in (act for act in done if act.item["resource_type"] != _OTHER):
                self.acts.append(act._replace(order=(2, len(self.acts))))

    def _is_listed(self, gid: str) -> bool:
        """Whether a gid is that of an object of the directory, or of a part of any object, such as a section."""
        whole = f"{gid[:-3]}000"
        exists = self.directory.find(whole) or (gid != whole and whole in self)
        return bool(exists) and gid not in self.directory.deleted

    def _find(self, gid: str, kinds: tuple[str, ...] = ()) -> tuple[str, int, int]:
        now = self.now()
        kind, index = self._place_of(gid)
        if kind in (kinds or self._populations) and self.alive(kind, index, now):
            return kind, index, now
        raise KeyError(gid)

    def _place_of(self, gid: str) -> tuple[str, int]:
        """Return kind and index of a task, message or team; an empty kind if it is something else."""
        kind, serial = self.directory.parse(gid) or ("", 0)
        if kind not in self._populations:
            return "", 0
        return kind, self._populations[kind].index(serial, self.now())

    def _item(self, gid: str) -> Object:
        """Return the compact form of an object, or of a part of one.

        Raises:
            KeyError: no object has this gid now.
        """
        if not self._is_listed(gid):
            return acts.resource(self.history(*self._find(gid)))
        found = self.directory.find(gid)
        if found:
            item = self.directory.all(found[0])[found[1]]
            return {name: item[name] for name in ("gid", "resource_type", "name")}
        for part in self._parts(f"{gid[:-3]}000"):
            if part["gid"] == gid:
                names = ("gid", "resource_type", "name", "resource_subtype")
                return {name: part[name] for name in names if name in part}
        return named(gid, _OTHER, "")

    def _parts(self, gid: str) -> list[Object]:
        """Return the stories and attachments of a task or message, or the sections of a project."""
        kind, number = self.directory.find(gid) or self._place_of(gid)
        if kind == "project":
            return self.directory.sections(number)
        if kind not in acts.KINDS:
            return []
        history = self.history(kind, number, self.now())
        return history.stories() + history.attachments()

    def _user(self, gid: str) -> Object:
        """Return who does something to an object."""
        kind, index = self._place_of(f"{gid[:-3]}000")
        return self.directory.user(self.directory.chance(kind, index) if kind else int(gid) // 1000)


def _of_mark(member: str, item: Object, *, is_added: bool) -> StoryParts:
    """Return what the story of a new follower or tag says, or of one less."""
    if member == "user":
        verb = "added" if is_added else "removed"
        return f"follower_{verb}", f"{verb} a follower", {"follower": item}
    return (
        ("added_to_tag", "added a tag", {"tag": item})
        if is_added
        else ("removed_from_tag", "removed a tag", {"tag": item})
    )


def _of_move(before: list[Object], after: list[Object]) -> list[StoryParts]:
    """Return what the stories of a move say."""
    projects = [{each["project"]["gid"] for each in memberships} for memberships in (before, after)]
    texts: list[StoryParts] = []
    for verb, memberships, others in (("removed_from", before, projects[1]), ("added_to", after, projects[0])):
        there = (each["project"] for each in memberships if each["project"]["gid"] not in others)
        texts += [(f"{verb}_project", f"{verb.replace('_', ' ')} {each['name']}", {"project": each}) for each in there]
    return texts + [
        moved(old["section"], new["section"], new["project"])
        for old in before
        for new in after
        if old["project"] == new["project"] and old["section"] != new["section"]
    ]
