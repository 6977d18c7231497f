"""The tasks, teams and messages of a synthetic workspace as they are at some instant.

Nothing is stored: an object is computed from its index and its life on each request. Properties and default fields
are those of Asana's OpenAPI file (2026-06-11).
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING

from tap_asana_export.sandbox.directory import SIZES, Directory, brief, described, named, subtype
from tap_asana_export.sandbox.history import History, aspect
from tap_asana_export.sandbox.population import Population, milliseconds, timestamp
from tap_asana_export.sandbox.shapes import ORDERS
from tap_asana_export.sandbox.texts import html

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tap_asana_export.sandbox.directory import Object
    from tap_asana_export.sandbox.population import Life

# Properties that are exported only if `fields` names them.
OPT_IN = {
    "task": (
        *("created_by", "assigned_by", "dependencies", "dependents", "external", "html_notes"),
        *("is_rendered_as_separator", "num_subtasks"),
    ),
    "team": ("description", "html_description"),
    "message": ("html_notes",),
}

# The attribute that says how many there are, by kind of object.
_SETTINGS = {
    "user": "users",
    "project": "projects",
    "tag": "tags",
    "custom_field": "custom_fields",
    "portfolio": "portfolios",
    "goal": "goals",
    "project_template": "project_templates",
    "time_period": "time_periods",
}

# Of sixteen tasks in a row, two are subtasks of another one, and one is a subtask of a subtask.
_FAMILY = 16
_PARENTS = {13: 10, 14: 10, 15: 14}
SUBTASKS = {10: (13, 14), 14: (15,)}
_DEPENDENCIES = {3: (1, 2), 6: (3,)}
_DEPENDENTS = {1: (3,), 2: (3,), 3: (6,)}

_STATUSES = (
    "on_track",
    "at_risk",
    "off_track",
    "on_hold",
    "complete",
    "achieved",
    "partial",
    "missed",
    "dropped",
)
_SENTENCES = (0, 4, 8, 12, 16, 24, 36, 64)
_FOLLOWERS_OF_MESSAGE = (1, 2, 3, 4, 5)


@dataclass(eq=False)
class Workspace:
    """One workspace as it is at some instant. `Organization` adds what programs do to it.

    Attributes:
        gid: gid of the workspace.
        teamless_projects: number of the projects, the last ones, that belong to no team.
        large: number of tasks with a megabyte of notes.
        change_interval: seconds between two changes of tasks, on average; tasks are also created and deleted. With 0
            nothing changes but by what programs do.
        fresh: percent of tasks and messages that are replaced over time: as one is created, the oldest of them is
            deleted.
        shape: one of the `SHAPES`, what tasks are made of.
        property_order: one of the `ORDERS` of a task's properties.
        tasks_of_deleted_projects: what becomes of the tasks of a project that is deleted, one of `ALONG`.
        clock: returns the present as an aware datetime.
    """

    gid: str = "1200000000000001"
    _: KW_ONLY
    seed: int = 0
    users: int = 50
    teams: int = 8
    projects: int = 40
    teamless_projects: int = 0
    tasks: int = 2000
    messages: int = 200
    tags: int = 8
    custom_fields: int = 10
    portfolios: int = 4
    goals: int = 4
    project_templates: int = 4
    time_periods: int = 21
    large: int = 2
    change_interval: float | None = 5
    fresh: int = 3
    shape: str = "prose"
    property_order: str = "documented"
    tasks_of_deleted_projects: str = "stay"
    clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc)

    def __post_init__(self) -> None:
        """Make the directory and the populations."""
        self.directory = Directory(
            self.gid,
            seed=self.seed,
            sizes=SIZES | {kind: getattr(self, setting) for kind, setting in _SETTINGS.items()},
            shape=self.shape,
        )
        self.workspace = self.directory.workspace
        interval = self.change_interval or 0
        # A longer interval for the fewer messages and teams: each changes about as often as a task.
        self._populations = {
            kind: Population(
                seed=self.directory.chance(kind, -1),
                size=size,
                fresh=0 if kind == "team" else size * self.fresh // 100,
                interval=interval * self.tasks / size if kind != "task" and size and self.tasks else interval,
            )
            for kind, size in (("task", self.tasks), ("message", self.messages), ("team", self.teams))
        }
        self._builders: dict[str, Callable[[History, int], Object]] = {
            "task": self._task,
            "message": self._message,
            "team": self._team,
        }

    # ── what is there ────────────────────────────────────────────────────────────────────────────────────

    def now(self) -> int:
        """Return the present in milliseconds since 1970."""
        return milliseconds(self.clock())

    def indices(self, kind: str, now: int) -> tuple[range, ...]:
        """Return the indices of all objects of a kind that may exist at this instant."""
        return self._populations[kind].indices(now)

    def alive(self, kind: str, index: int, now: int) -> bool:
        """Whether an object exists at this instant."""
        return self._populations[kind].alive(index, now)

    def life(self, kind: str, index: int, now: int) -> Life:
        """Return when an object was created and modified, without building it."""
        return self._populations[kind].life(index, now)

    def created(self, kind: str, index: int) -> int:
        """Return the instant of an object's creation."""
        return self._populations[kind].created(index)

    def changes(self, kind: str, after: int, until: int) -> Iterator[tuple[int, int, int]]:
        """Yield the changes by themselves after an instant, up to another one: see `Population.changes`."""
        return self._populations[kind].changes(after, until)

    def aspect(self, kind: str, index: int, change: int) -> str:
        """Return what the nth change of an object by itself changes."""
        return aspect(kind, self.directory.chance(kind, index), change)

    def births(self, kind: str, after: int, until: int) -> Iterator[tuple[int, int, int]]:
        """Yield who is created and who is deleted by itself after an instant, up to another one, likewise."""
        return self._populations[kind].births(after, until)

    def build(self, kind: str, index: int, now: int, *, whole: bool = False, bare: bool = False) -> Object:
        """Build an object.

        Args:
            kind: type of the object.
            index: index of the object.
            now: the instant.
            whole: whether to add the opt-in fields, at all levels.
            bare: whether to leave out a task's attachments and stories.
        """
        history = self.history(kind, index, now, whole=whole)
        built = self._task(history, now, bare=True) if bare else self._builders[kind](history, now)
        for touch in history.life.touches:
            built |= touch.fields
        return brief(built, ORDERS[self.property_order]) | built if kind == "task" else built

    def history(self, kind: str, index: int, now: int, *, whole: bool = False) -> History:
        """Return an object at some instant, without building it."""
        life = self._populations[kind].life(index, now)
        chance = self.directory.chance(kind, index)
        name = self.directory.texts.title(chance)
        for touch in life.touches:
            name = touch.fields.get("name", name)
        return History(self.directory, kind, index, self._gid(kind, index), chance, life, name, whole)

    def compact(self, kind: str, index: int, now: int) -> Object:
        """Return the compact form, by which other objects refer to this one."""
        return self.history(kind, index, now).compact()

    def objects(self, kind: str, *, whole: bool = False) -> Iterator[Object]:
        """Yield all objects of a kind as they are now."""
        now = self.now()
        return (self.build(kind, index, now, whole=whole) for index in self._populations[kind].living(now))

    def _find(self, gid: str) -> tuple[str, int, int]:
        now = self.now()
        kind, serial = self.directory.parse(gid) or ("", 0)
        if kind in self._populations:
            index = self._populations[kind].index(serial, now)
            if self._populations[kind].alive(index, now):
                return kind, index, now
        raise KeyError(gid)

    def _gid(self, kind: str, index: int) -> str:
        return self.directory.gid(kind, self._populations[kind].serial(index))

    # ── tasks ────────────────────────────────────────────────────────────────────────────────────────────

    def _relatives(self, index: int, offsets: Mapping[int, tuple[int, ...]], now: int) -> list[int]:
        """Return the tasks at these offsets from a task's family, by its place in it, that exist at this instant."""
        tasks = self._populations["task"]
        if index >= tasks.settled:
            return []
        place = index % _FAMILY
        relatives = (index - place + offset for offset in offsets.get(place, ()))
        return [relative for relative in relatives if relative < tasks.settled and tasks.alive(relative, now)]

    def parent(self, index: int) -> int | None:
        """Return the task that a task is a subtask of; None if there is none."""
        place = index % _FAMILY
        if place not in _PARENTS or index >= self._populations["task"].settled:
            return None
        return index - place + _PARENTS[place]

    def places(self, index: int, now: int) -> list[tuple[int, int]]:
        """Return the numbers of the projects that a task is in, each with what is added to its section's number.

        A subtask is in none until a program puts it there.
        """
        found = self._populations["task"].places(index, now)
        if found is None:
            chance, projects = self.directory.chance("task", index), self.directory.sizes["project"]
            count = (1, 1, 1, 2)[chance >> 5 & 3] if self.parent(index) is None else 0
            found = tuple(((chance + place) % projects, 0) for place in range(min(count, projects)))
        if not self.directory.turns:
            return list(found)
        projects_then = ((self.directory.all("project")[place[0]], place) for place in found)
        return [place for project, place in projects_then if self.directory.existed(project, now)]

    def placed(self, index: int, now: int) -> list[int]:
        """Return the numbers of the projects that a task is in."""
        return [number for number, _ in self.places(index, now)]

    def memberships(self, history: History, now: int, change: int | None = None) -> list[Object]:
        """Return the projects and sections that a task is in.

        Args:
            history: the task.
            now: up to when a program may have put it elsewhere.
            change: number of the last change by itself; None for all of them.
        """
        number = history.number("section", change)
        return [
            {
                "project": self.directory.all("project")[project],
                "section": self.directory.section(project, number + extra),
            }
            for project, extra in self.places(history.index, now)
        ]

    def followers(self, history: History, now: int, change: int | None = None) -> list[Object]:
        """Return the followers of a task or message; arguments as for `memberships`."""
        counts = self.directory.shape.followers if history.kind == "task" else _FOLLOWERS_OF_MESSAGE
        count = counts[history.chance % len(counts)]
        followers = history.users(history.number("followers", change), count)
        marks = self._populations[history.kind].marks(history.index, "followers", now)
        if not marks:
            return followers
        return _marked(followers, marks, partial(self.directory.member, whole=history.whole))

    def tags_of(self, history: History, now: int, change: int | None = None) -> list[Object]:
        """Return the tags of a task; arguments as for `memberships`."""
        tags = self.directory.tags(history.number("tags", change), history.chance % 3)
        marks = self._populations["task"].marks(history.index, "tags", now)
        return self.directory.present(_marked(tags, marks, self.directory.all("tag").__getitem__)) if marks else tags

    def _task(self, history: History, now: int, *, bare: bool = False) -> Object:
        directory, chance, life = self.directory, history.chance, history.life
        resource_subtype = subtype(chance)
        done = history.number("completed")
        completed = done % 2 == 1
        assignee = history.assignee(history.number("assignee"))
        dates = history.dates(history.number("dates"))
        likes = history.likes(directory.shape.likes[chance % len(directory.shape.likes)])
        liked = history.liked(likes)
        parent = self.parent(history.index)
        memberships = self.memberships(history, now)
        custom = resource_subtype == "custom"
        task: Object = {
            "gid": history.gid,
            "resource_type": "task",
            "name": history.name,
            "resource_subtype": resource_subtype,
            "assignee_status": ("upcoming", "inbox", "today", "later", "new")[chance % 5],
            "completed": completed,
            "completed_at": timestamp(history.changed("completed")) if completed else None,
            "completed_by": history.user(done) if completed else None,
            "created_at": timestamp(life.created),
            "due_at": dates["due_at"],
            "due_on": dates["due_on"],
            "hearted": liked,
            "hearts": likes,
            "liked": liked,
            "likes": likes,
            "memberships": memberships,
            "modified_at": timestamp(life.modified),
            "notes": self._notes(history),
            "num_hearts": len(likes),
            "num_likes": len(likes),
            "start_at": dates["start_at"],
            "start_on": dates["start_on"],
            "actual_time_minutes": (None, None, 30, 95.5)[chance >> 3 & 3],
            "assignee": assignee,
            "assignee_section": assignee and named(f"{assignee['gid'][:-1]}1", "section", "Recently assigned"),
            "custom_fields": history.values(),
            "custom_type": directory.other("custom_type", chance) if custom else None,
            "custom_type_status_option": directory.other("custom_type_status_option", done) if custom else None,
            "followers": self.followers(history, now),
            "parent": None if parent is None else self.history("task", parent, now, whole=history.whole).compact(),
            "projects": [membership["project"] for membership in memberships],
            "tags": self.tags_of(history, now),
            "workspace": self.workspace,
            "permalink_url": f"https://app.asana.com/1/{self.workspace['gid']}/task/{history.gid}",
        }
        if not bare:
            task |= {"attachments": history.attachments(), "stories": history.stories()}
        if resource_subtype == "approval":
            task["approval_status"] = history.approval(done)
        return task | self._task_opt_in(history, task, now) if history.whole else task

    def _task_opt_in(self, history: History, task: Object, now: int) -> Object:
        def references(offsets: Mapping[int, tuple[int, ...]]) -> list[Object]:
            relatives = self._relatives(history.index, offsets, now)
            return [{"gid": self._gid("task", relative), "resource_type": "task"} for relative in relatives]

        opt_in: Object = {
            "created_by": history.user(history.chance),
            "assigned_by": task["assignee"] and history.user(history.number("assignee") + 7),
            "dependencies": references(_DEPENDENCIES),
            "dependents": references(_DEPENDENTS),
            "html_notes": html(task["notes"]),
            "is_rendered_as_separator": history.chance % 200 == 0,
            "num_subtasks": len(self._relatives(history.index, SUBTASKS, now)),
        }
        if history.chance % 10 == 0:
            data = self.directory.texts.prose(history.chance, 1)
            opt_in["external"] = {"gid": f"legacy-{history.index}", "data": data}
        return opt_in

    def _notes(self, history: History) -> str:
        number = history.number("notes")
        if history.index < self.large:
            return self.directory.texts.long(number)
        shape = self.directory.shape
        usual = shape.sentences[(history.chance >> 6) % len(shape.sentences)]
        sentences = shape.most_sentences if history.chance % 211 == 0 else usual
        return self.directory.texts.prose(number * 31 + history.index, sentences)

    # ── messages and teams ───────────────────────────────────────────────────────────────────────────────

    def _message(self, history: History, now: int) -> Object:
        chance = history.chance
        is_status = chance % 3 == 0
        likes = history.likes((0, 1, 4, 0)[chance % 4])
        text = self.directory.texts.prose(history.number("notes") * 31 + history.index, 1 + _SENTENCES[chance >> 6 & 7])
        message: Object = {
            "gid": history.gid,
            "resource_type": "message",
            "resource_subtype": "status_update" if is_status else "default",
            "status_type": _STATUSES[history.number("status") % len(_STATUSES)] if is_status else None,
            "created_by": history.user(chance),
            "created_at": timestamp(history.life.created),
            "modified_at": timestamp(history.life.modified),
            "title": history.name,
            "text": text,
            "num_likes": len(likes),
            "likes": likes,
            "stories": history.stories(),
            "attachments": history.attachments(),
            "followers": self.followers(history, now),
            "parents": self._message_parents(chance, now, is_status=is_status),
        }
        return message | {"html_notes": html(text)} if history.whole else message

    def _message_parents(self, chance: int, now: int, *, is_status: bool) -> list[Object]:
        """Return a message's parents: a project, portfolio or goal for a status update, else projects and teams."""
        which = chance // 3
        project = self.directory.project(which)
        if is_status:
            other = self.directory.other(("portfolio", "goal")[which % 3 - 1], which) if which % 3 else None
            return [other or project]
        teams = self._populations["team"].settled
        team = self.history("team", which % teams, now).compact() if teams else project
        return ([project], [team], [team, project])[which % 3]

    def _team(self, history: History, _now: int) -> Object:
        chance = history.chance
        project = self.directory.project(history.index)

        def level(bit: int, everybody: str = "all_team_members") -> str:
            return "only_team_admins" if chance >> bit & 1 else everybody

        team: Object = {
            "gid": history.gid,
            "resource_type": "team",
            "name": history.name,
            "organization": self.workspace,
            "permalink_url": f"https://app.asana.com/1/{self.workspace['gid']}/team/{history.gid}",
            "visibility": ("public", "request_to_join", "secret")[chance % 3],
            "edit_team_name_or_description_access_level": level(0),
            "edit_team_visibility_or_trash_team_access_level": level(1),
            "member_invite_management_access_level": level(2),
            "guest_invite_management_access_level": level(3),
            "join_request_management_access_level": level(4),
            "team_member_removal_access_level": level(5),
            "team_content_management_access_level": level(6, "no_restriction"),
            "endorsed": history.number("status") % 2 == 1,
            "custom_field_settings": [
                {
                    "gid": f"{history.gid[:-2]}{place:02}",
                    "resource_type": "custom_field_setting",
                    "project": project,
                    "is_important": place == 1,
                    "parent": project,
                    "custom_field": described(field) if history.whole else field,
                }
                for place, field in enumerate(history.custom_fields(), 1)
            ],
            "members": history.users(history.number("followers"), 3 + chance % 9),
        }
        if history.whole:
            description = self.directory.texts.prose(history.number("notes") * 31 + history.index, 3)
            team |= {"description": description, "html_description": html(description)}
        return team


def _marked(found: list[Object], marks: dict[int, bool], member: Callable[[int], Object]) -> list[Object]:
    """Return the content of an array with what a program has added, without what it has removed."""
    marked = {number: member(number) for number in marks}
    gids = {item["gid"] for item in marked.values()}
    kept = [item for item in found if item["gid"] not in gids]
    return kept + [marked[number] for number, is_added in marks.items() if is_added]
