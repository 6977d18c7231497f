"""A synthetic Asana organization: what its tasks, teams and messages look like at an instant.

An object is built from its index and its life (`population.py`) whenever somebody asks. Its life is a row of changes;
each touched one *aspect* of it (`_TASK_ASPECTS`, `_MESSAGE_ASPECTS`) and left a story. How often an aspect was touched,
its *generation*, decides its present value, and the generations around a change are the old and new values its story
tells. Shapes and default fields follow Asana's OpenAPI file (2026-06-11).
"""

from __future__ import annotations

from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from .population import Life, Population, Touch, milliseconds, mix, timestamp
from .texts import Texts, html, person

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Object = dict[str, Any]

_DAY = 86_400_000
_APP = "https://app.asana.com"

# A gid is 1, a digit for the kind, three for the workspace, eight for the object and three for a part of it (a story of
# a task, a section of a project): sixteen digits as Asana's, distinct across types.
_KINDS = ("job", "task", "workspace", "message", "team", "project", "user", "tag", "custom_field", "other")
_STORY_PARTS, _LIKE_PART, _ATTACHMENT_PART, _STORY_LIKE_PART = 800, 820, 860, 960
_ATTACHMENT_PARTS = 100

# Only what is asked for by name in `fields` is exported of these.
OPT_IN = {
    "task": frozenset(
        ("created_by", "assigned_by", "dependencies", "dependents", "external", "html_notes")
        + ("is_rendered_as_separator", "num_subtasks")
    ),
    "team": frozenset(("description", "html_description")),
    "message": frozenset(("html_notes",)),
}

_TASK_ASPECTS = (
    *("comment", "completed", "assignee", "dates", "comment", "followers", "number", "section"),
    *("enum", "attachment", "text", "tags", "date", "notes", "people", "multi_enum"),
)
_MESSAGE_ASPECTS = ("comment", "text", "followers", "comment", "attachment", "status")
_TEAM_ASPECTS = ("members", "description", "endorsed")

# In every sixteen tasks, two are subtasks of the tenth and one is a subtask of a subtask.
_FAMILY = 16
_PARENTS = {13: 10, 14: 10, 15: 14}
_DEPENDENCIES = {3: (1, 2), 6: (3,)}
_DEPENDENTS = {1: (3,), 2: (3,), 3: (6,)}

_TASK_SUBTYPES = (*["default_task"] * 12, "milestone", "approval", "approval", "custom")
_APPROVALS = ("pending", "approved", "changes_requested", "rejected")
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
_STICKERS = (
    None,
    None,
    None,
    "green_checkmark",
    None,
    None,
    "dancing_unicorn",
    None,
    None,
    "yeti_riding_unicorn",
)
_HOSTS = ("asana", "asana", "asana", "gdrive", "dropbox", "external")
_SOURCES = ("web", "mobile", "api", "email", "unknown")
_NUMBERS = (None, 1.10, 42.0, 1234567.89, 0.1, -3.25, 9007199254740993.0, 1e-7, 0.0, 2.5)
_UNASSIGNED: tuple[str, str, Object] = ("unassigned", "unassigned", {})
_STORY_VALUES = frozenset(
    (
        "number_value",
        "text_value",
        "date_value",
        "enum_value",
        "multi_enum_values",
        "people_value",
        "reference_value",
    )
)
_SENTENCES = (0, 1, 2, 3, 4, 6, 9, 16)


def _named(gid: str, resource_type: str, name: str) -> Object:
    return {"gid": gid, "resource_type": resource_type, "name": name}


class _Draft(NamedTuple):
    """An object while it is being built."""

    kind: str
    aspects: tuple[str, ...]
    index: int
    gid: str
    life: Life
    chance: int
    name: str

    def generation(self, aspect: str, change: int | None = None) -> int:
        """How often the aspect has been changed, up to and with the nth change."""
        count, place = len(self.aspects), self.aspects.index(aspect)
        start = self.chance % count - place
        return ((self.life.changes if change is None else change) + start) // count - start // count

    def aspect(self, change: int) -> str:
        """What the nth change touched."""
        return self.aspects[(change + self.chance) % len(self.aspects)]

    def number(self, aspect: str) -> int:
        """The number that the aspect's present value is derived from; the next generation's is one more."""
        return self.base(aspect) + self.generation(aspect)

    def base(self, aspect: str) -> int:
        """The number of generation zero."""
        return (self.chance >> (8 + 3 * self.aspects.index(aspect))) % 1_000_003

    def changed(self, aspect: str) -> int:
        """When the aspect was last touched."""
        count = len(self.aspects)
        start = self.chance % count - self.aspects.index(aspect)
        return self.life.changed(self.life.changes - (self.life.changes + start) % count)


class Organization:
    """One workspace that lives on by itself.

    `clock` returns the present as an aware datetime. With `change_interval` 0 nothing changes but by `touch`, `add`,
    `delete` and `move`; else one task changes about every so many seconds, and tasks are born and deleted.
    """

    def __init__(  # noqa: PLR0913  the settings of the sandbox, all with defaults
        self,
        gid: str = "1200000000000001",
        *,
        seed: int = 0,
        users: int = 50,
        teams: int = 8,
        projects: int = 40,
        tasks: int = 2000,
        messages: int = 200,
        large: int = 2,
        change_interval: float = 5,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self.gid = gid
        self.clock = clock
        self.workspace = _named(gid, "workspace", f"Sandbox {int(gid) % 1000}")
        self._number = int(gid) % 1000
        self._seed = mix(seed, int(gid))
        self._large = large
        self._texts = Texts(self._seed)
        self._counts = {"user": max(1, users), "project": max(1, projects), "team": max(1, teams)}
        rare = change_interval * max(1, tasks)
        self._populations = {
            "task": Population(mix(self._seed, 1), tasks, tasks * 3 // 100, change_interval),
            "message": Population(mix(self._seed, 2), messages, messages * 3 // 100, rare / max(1, messages)),
            "team": Population(mix(self._seed, 3), teams, 0, rare / max(1, teams)),
        }
        self._builders: dict[str, Callable[[int, int, bool], Object]] = {
            "task": self._task,
            "message": self._message,
            "team": self._team,
        }

    # ── what is there ──────────────────────────────────────────────────────────────────────────────────────────────

    def now(self) -> int:
        """The clock in milliseconds since 1970."""
        return milliseconds(self.clock())

    def indices(self, kind: str, now: int) -> tuple[range, ...]:
        """Everything of a kind that may be there at this instant."""
        return self._populations[kind].indices(now)

    def alive(self, kind: str, index: int, now: int) -> bool:
        """Whether the object is there at this instant."""
        return self._populations[kind].alive(index, now)

    def life(self, kind: str, index: int, now: int) -> Life:
        """When the object was created and modified: cheap, nothing is built."""
        return self._populations[kind].life(index, now)

    def build(self, kind: str, index: int, now: int, *, whole: bool = False) -> Object:
        """The object with its default fields, or `whole`, with opt-in fields at all levels too."""
        built = self._builders[kind](index, now, whole)
        for touch in self.life(kind, index, now).touches:
            built |= touch.fields
        return built

    def objects(self, kind: str, *, whole: bool = False) -> Iterator[Object]:
        """All objects of a kind, as of now."""
        now = self.now()
        return (self.build(kind, index, now, whole=whole) for index in self._populations[kind].living(now))

    # ── what others do to it ───────────────────────────────────────────────────────────────────────────────────────

    def has(self, gid: str) -> bool:
        """Whether a task, message or team of this gid is there now."""
        try:
            self._find(gid)
        except KeyError:
            return False
        return True

    def touch(self, gid: str, **fields: Any) -> None:
        """Change an object: set these fields, or rename it if none are given; a task gets a story."""
        kind, index, now = self._find(gid)
        if not fields:
            title = "title" if kind == "message" else "name"
            fields = {title: f"{self.build(kind, index, now)[title]} (touched)"}
        self._populations[kind].touch(index, Touch(now, fields))

    def add(self, kind: str) -> str:
        """Add a task, message or team, and return its gid."""
        return self.gid_of(kind, self._populations[kind].add(self.now()))

    def delete(self, gid: str) -> None:
        """Delete an object; a task's subtasks go with it, as in Asana."""
        kind, index, now = self._find(gid)
        self._populations[kind].delete(index, now)
        if kind == "task":
            for child in self._subtasks(index, now):
                self.delete(self.gid_of(kind, child))

    def move(self, gid: str) -> None:
        """Move a task to another project; Asana does not count that as a modification."""
        kind, index, now = self._find(gid)
        self._populations[kind].move(index, now)

    def _find(self, gid: str) -> tuple[str, int, int]:
        now = self.now()
        for kind, population in self._populations.items():
            prefix = self.gid_of(kind, 0)[:5]
            if gid.startswith(prefix) and gid.endswith("000"):
                index = population.index(int(gid[5:13]), now)
                if population.alive(index, now):
                    return kind, index, now
        raise KeyError(gid)

    def gid_of(self, kind: str, index: int, part: int = 0) -> str:
        """The gid of an object, or of one of its up to 999 parts."""
        serial = self._populations[kind].serial(index) if kind in self._populations else index
        return f"1{_KINDS.index(kind)}{self._number:03}{serial:08}{part:03}"

    # ── what never changes ─────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def users(self) -> list[Object]:
        """Everybody, with email and photo; the first is the service account that owns the token."""
        names = ["Export Service", *(person(number) for number in range(self._counts["user"] - 1))]
        return [
            _named(self.gid_of("user", number), "user", name)
            | {"email": f"user{number}@sandbox.example", "photo": None, "workspaces": [self.workspace]}
            for number, name in enumerate(names)
        ]

    @cached_property
    def _people(self) -> list[Object]:
        return [{key: user[key] for key in ("gid", "resource_type", "name")} for user in self.users]

    @cached_property
    def _projects(self) -> list[Object]:
        return [
            _named(self.gid_of("project", number), "project", self._texts.title(number * 7))
            for number in range(self._counts["project"])
        ]

    @cached_property
    def _sections(self) -> list[list[Object]]:
        names = ("Untitled section", "To do", "Doing", "In review", "Done", "Später ✨")
        return [
            [
                _named(self.gid_of("project", number, part + 1), "section", names[part])
                for part in range(3 + number % 4)
            ]
            for number in range(self._counts["project"])
        ]

    @cached_property
    def _tags(self) -> list[Object]:
        names = ("urgent", "blocked", "customer", "quick win", "häßlich", "次", "🔥", "later")
        return [_named(self.gid_of("tag", number), "tag", name) for number, name in enumerate(names)]

    @cached_property
    def _others(self) -> dict[str, list[Object]]:
        kinds = ("portfolio", "goal", "custom_type", "custom_type_status_option")
        return {
            kind: [
                _named(
                    self.gid_of("other", place * 100 + number), kind, self._texts.title(place * 100 + number)
                )
                for number in range(4)
            ]
            for place, kind in enumerate(kinds)
        }

    @cached_property
    def _custom_fields(self) -> list[tuple[str, Object]]:
        """The kind of value and the definition of every custom field."""
        table: tuple[tuple[str, str, Object], ...] = (
            ("number", "Budget", {"precision": 2, "format": "currency", "currency_code": "EUR"}),
            ("enum", "Priority", {"asana_created_field": "priority"}),
            ("text", "Summary", {}),
            ("date", "Review date", {"privacy_setting": "private", "default_access_level": "user"}),
            ("people", "Reviewers", {"has_notifications_enabled": True}),
            ("multi_enum", "Channels", {"is_global_to_workspace": False}),
            ("reference", "Related work", {}),
            ("number", "Progress", {"precision": 2, "format": "percentage"}),
            (
                "text",
                "Ticket",
                {"representation_type": "custom_id", "id_prefix": "TIC", "is_value_read_only": True},
            ),
            (
                "number",
                "Effort",
                {"precision": 1, "format": "custom", "custom_label": "pts", "custom_label_position": "suffix"}
                | {"representation_type": "formula", "is_formula_field": True, "is_value_read_only": True},
            ),
        )
        return [
            (kind, self._custom_field(number, kind, name, more))
            for number, (kind, name, more) in enumerate(table)
        ]

    def _custom_field(self, number: int, kind: str, name: str, more: Object) -> Object:
        field = _named(self.gid_of("custom_field", number), "custom_field", name) | {
            "resource_subtype": kind,
            "type": kind,
            "representation_type": kind,
            "id_prefix": None,
            "input_restrictions": ["task", "project"] if kind == "reference" else [],
            "is_formula_field": False,
            "is_value_read_only": False,
            "enabled": True,
            "precision": 0,
            "format": "none",
            "currency_code": None,
            "custom_label": None,
            "custom_label_position": None,
            "is_global_to_workspace": True,
            "has_notifications_enabled": False,
            "asana_created_field": None,
            "created_by": self._people[number % len(self._people)],
            "privacy_setting": "public_with_guests",
            "default_access_level": "editor",
        }
        if kind in ("enum", "multi_enum"):
            field["enum_options"] = [
                {
                    **_named(self.gid_of("custom_field", number, part + 1), "enum_option", option),
                    "enabled": option != "old",
                    "color": color,
                }
                for part, (option, color) in enumerate(
                    (("Low", "green"), ("Medium", "yellow"), ("High — «très»", "red"), ("old", "none"))
                )
            ]
        return field | more

    def _member(self, number: int, *, whole: bool) -> Object:
        return (self.users if whole else self._people)[number % self._counts["user"]]

    def _members(self, number: int, count: int, *, whole: bool) -> list[Object]:
        """So many different people."""
        return [self._member(number + step, whole=whole) for step in range(min(count, self._counts["user"]))]

    # ── tasks ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _parent(self, index: int) -> int | None:
        offset = _PARENTS.get(index % _FAMILY)
        settled = index < self._populations["task"].settled
        return None if offset is None or not settled else index - index % _FAMILY + offset

    def _relatives(self, index: int, offsets: tuple[int, ...], now: int) -> list[int]:
        population = self._populations["task"]
        if index >= population.settled:
            return []
        first = index - index % _FAMILY
        return [first + offset for offset in offsets if population.alive(first + offset, now)]

    def _subtasks(self, index: int, now: int) -> list[int]:
        offsets = tuple(child for child, parent in _PARENTS.items() if parent == index % _FAMILY)
        return self._relatives(index, offsets, now)

    def _draft(self, kind: str, aspects: tuple[str, ...], index: int, now: int) -> _Draft:
        population = self._populations[kind]
        life = population.life(index, now)
        chance = mix(population.seed, index, 2)
        name = self._texts.title(chance)
        for touch in life.touches:
            name = touch.fields.get("name", name)
        return _Draft(kind, aspects, index, self.gid_of(kind, index), life, chance, name)

    def _task_compact(self, index: int, now: int) -> Object:
        draft = self._draft("task", _TASK_ASPECTS, index, now)
        return {**_named(draft.gid, "task", draft.name), "resource_subtype": _subtype(draft)}

    def _task(self, index: int, now: int, whole: bool) -> Object:  # noqa: FBT001
        draft = self._draft("task", _TASK_ASPECTS, index, now)
        life, chance = draft.life, draft.chance
        subtype = _subtype(draft)
        compact = {**_named(draft.gid, "task", draft.name), "resource_subtype": subtype}
        completed = draft.number("completed") % 2 == 1
        completed_at = timestamp(draft.changed("completed")) if completed else None
        assignee = self._assignee(draft.number("assignee"), whole=whole)
        likes = self._likes(draft, _LIKE_PART, (0, 0, 0, 1, 2, 3, 0, 9)[chance % 8], whole=whole)
        liked = bool(likes) and likes[0]["user"]["gid"] == self.users[0]["gid"]
        memberships = self._memberships(draft)
        projects = [membership["project"] for membership in memberships]
        parent = self._parent(index)
        dates = self._dates(draft, draft.number("dates"))
        built: Object = {
            "gid": draft.gid,
            "resource_type": "task",
            "name": draft.name,
            "resource_subtype": subtype,
            "assignee_status": ("upcoming", "inbox", "today", "later", "new")[chance % 5],
            "completed": completed,
            "completed_at": completed_at,
            "completed_by": self._member(draft.number("completed"), whole=whole) if completed else None,
            "created_at": timestamp(life.created),
            "due_at": dates["due_at"],
            "due_on": dates["due_on"],
            "hearted": liked,
            "hearts": likes,
            "liked": liked,
            "likes": likes,
            "memberships": memberships,
            "modified_at": timestamp(life.modified),
            "notes": self._notes(draft),
            "num_hearts": len(likes),
            "num_likes": len(likes),
            "start_at": dates["start_at"],
            "start_on": dates["start_on"],
            "actual_time_minutes": (None, None, 30, 95.5)[chance >> 3 & 3],
            "assignee": assignee,
            "assignee_section": assignee
            and _named(f"{assignee['gid'][:-3]}{1 + chance % 3:03}", "section", "Recently assigned"),
            "custom_fields": self._values(draft, whole=whole),
            "custom_type": self._others["custom_type"][chance % 4] if subtype == "custom" else None,
            "custom_type_status_option": self._others["custom_type_status_option"][
                draft.number("completed") % 4
            ]
            if subtype == "custom"
            else None,
            "followers": self._members(draft.number("followers"), 1 + chance % 4, whole=whole),
            "parent": None if parent is None else self._task_compact(parent, now),
            "projects": projects,
            "tags": self._tags[draft.number("tags") % 8 :][: chance % 3],
            "workspace": self.workspace,
            "permalink_url": f"{_APP}/1/{self.gid}/task/{draft.gid}",
            "attachments": self._attachments(draft, compact),
            "stories": self._stories(draft, compact, whole=whole),
        }
        if subtype == "approval":
            built["approval_status"] = _approval(draft.number("completed"))
        if whole:
            built |= self._task_opt_in(draft, built, now)
        return built

    def _task_opt_in(self, draft: _Draft, built: Object, now: int) -> Object:
        def references(relatives: dict[int, tuple[int, ...]]) -> list[Object]:
            offsets = relatives.get(draft.index % _FAMILY, ())
            return [
                {"gid": self.gid_of("task", other), "resource_type": "task"}
                for other in self._relatives(draft.index, offsets, now)
            ]

        assigner = self._member(draft.number("assignee") + 7, whole=True)
        more: Object = {
            "created_by": self._member(draft.chance, whole=True),
            "assigned_by": assigner if built["assignee"] else None,
            "dependencies": references(_DEPENDENCIES),
            "dependents": references(_DEPENDENTS),
            "html_notes": html(built["notes"]),
            "is_rendered_as_separator": draft.chance % 200 == 0,
            "num_subtasks": len(self._subtasks(draft.index, now)),
        }
        if draft.chance % 10 == 0:
            more["external"] = {"gid": f"legacy-{draft.index}", "data": self._texts.prose(draft.chance, 1)}
        return more

    def _assignee(self, number: int, *, whole: bool) -> Object | None:
        return None if number % 5 == 0 else self._member(number, whole=whole)

    def _dates(self, draft: _Draft, number: int) -> Object:
        if number % 3 == 0:
            return {"due_at": None, "due_on": None, "start_at": None, "start_on": None}
        due = draft.life.created + (1 + number * 7 % 90) * _DAY
        timed = number % 4 == 1
        started = number % 8 in (1, 2)
        return {
            "due_at": timestamp(due) if timed else None,
            "due_on": timestamp(due)[:10],
            "start_at": timestamp(due - _DAY) if started and timed else None,
            "start_on": timestamp(due - _DAY)[:10] if started else None,
        }

    def _memberships(self, draft: _Draft) -> list[Object]:
        count = 0 if self._parent(draft.index) is not None else (1, 1, 1, 2)[draft.chance >> 5 & 3]
        count = max(count, min(1, draft.life.moves))
        homes = [
            (draft.chance + draft.life.moves + step * 11) % self._counts["project"] for step in range(count)
        ]
        return [
            {"project": self._projects[home], "section": self._section(home, draft.number("section"))}
            for home in dict.fromkeys(homes)
        ]

    def _section(self, project: int, number: int) -> Object:
        sections = self._sections[project]
        return sections[number % len(sections)]

    def _notes(self, draft: _Draft) -> str:
        number = draft.number("notes")
        if draft.index < self._large:
            return self._texts.long(number)
        sentences = 400 if draft.chance % 211 == 0 else 5 * _SENTENCES[draft.chance >> 6 & 7]
        return self._texts.prose(number * 31 + draft.index, sentences)

    def _values(self, draft: _Draft, *, whole: bool) -> list[Object]:
        """The custom fields of the task's first project, with the task's values."""
        if self._parent(draft.index) is not None:
            return []
        values = []
        for place, (kind, field) in enumerate(self._custom_fields):
            if self._has(draft, place):
                aspect = kind if kind in draft.aspects else "people"
                value = field | self._value(
                    draft, kind, draft.number(aspect) + place // 7 * 4, field, whole=whole
                )
                values.append(value | {"description": f"About {field['name']}"} if whole else value)
        return values

    def _has(self, draft: _Draft, place: int) -> bool:
        return (draft.chance % self._counts["project"] + place) % 3 == 0

    def _value(self, draft: _Draft, kind: str, number: int, field: Object, *, whole: bool) -> Object:
        match kind:
            case "number":
                value = _NUMBERS[number % len(_NUMBERS)]
                return {"number_value": value, "display_value": None if value is None else str(value)}
            case "text":
                text = self._texts.prose(number * 17, 1) if number % 4 else None
                return {"text_value": text, "html_text_value": text and html(text), "display_value": text}
            case "date":
                instant = draft.life.created + number % 365 * _DAY
                date = {
                    "date": timestamp(instant)[:10],
                    "date_time": None if number % 3 else timestamp(instant),
                }
                return {"date_value": date, "display_value": date["date_time"] or date["date"]}
            case "enum":
                option = (None, *field["enum_options"])[number % 5]
                return {"enum_value": option, "display_value": option and option["name"]}
            case "multi_enum":
                options = field["enum_options"][number % 4 :][:2]
                return {"multi_enum_values": options, "display_value": _names(options)}
            case "people":
                people = self._members(number, number % 3, whole=whole)
                return {"people_value": people, "display_value": _names(people)}
            case _:
                projects = [self._projects[number % len(self._projects)]]
                return {"reference_value": projects, "display_value": _names(projects)}

    # ── messages and teams ─────────────────────────────────────────────────────────────────────────────────────────

    def _message(self, index: int, now: int, whole: bool) -> Object:  # noqa: FBT001
        draft = self._draft("message", _MESSAGE_ASPECTS, index, now)
        chance = draft.chance
        status_update = chance % 3 == 0
        likes = self._likes(draft, _LIKE_PART, (0, 1, 4, 0)[chance % 4], whole=whole)
        text = self._texts.prose(draft.number("text") * 31 + index, 1 + _SENTENCES[chance >> 6 & 7])
        built: Object = {
            "gid": draft.gid,
            "resource_type": "message",
            "resource_subtype": "status_update" if status_update else "default",
            "status_type": _STATUSES[draft.number("status") % len(_STATUSES)] if status_update else None,
            "created_by": self._member(chance, whole=whole),
            "created_at": timestamp(draft.life.created),
            "modified_at": timestamp(draft.life.modified),
            "title": draft.name,
            "text": text,
            "num_likes": len(likes),
            "likes": likes,
            "stories": self._stories(draft, None, whole=whole),
            "attachments": self._attachments(draft, None),
            "followers": self._members(draft.number("followers"), 1 + chance % 5, whole=whole),
            "parents": self._message_parents(chance, 1 if status_update else 1 + chance % 2, now),
        }
        if whole:
            built["html_notes"] = html(text)
        return built

    def _message_parents(self, chance: int, count: int, now: int) -> list[Object]:
        teams = self._populations["team"].settled
        kinds = ("project", "portfolio", "goal") if chance % 3 == 0 else ("team", "project")
        pools = self._others | {"project": self._projects}
        parents = []
        for step in range(count):
            kind = kinds[(chance // 3 + step) % len(kinds)]
            if kind == "team" and teams:
                draft = self._draft("team", _TEAM_ASPECTS, chance % teams, now)
                parents.append(_named(draft.gid, "team", draft.name))
            else:
                pool = pools.get(kind, self._projects)
                parents.append(pool[chance % len(pool)])
        return parents

    def _team(self, index: int, now: int, whole: bool) -> Object:  # noqa: FBT001
        draft = self._draft("team", _TEAM_ASPECTS, index, now)
        chance = draft.chance
        levels = ("all_team_members", "only_team_admins")
        project = self._projects[index % self._counts["project"]]
        built: Object = {
            "gid": draft.gid,
            "resource_type": "team",
            "name": draft.name,
            "organization": self.workspace,
            "permalink_url": f"{_APP}/1/{self.gid}/team/{draft.gid}",
            "visibility": ("public", "request_to_join", "secret")[chance % 3],
            "edit_team_name_or_description_access_level": levels[chance & 1],
            "edit_team_visibility_or_trash_team_access_level": levels[chance >> 1 & 1],
            "member_invite_management_access_level": levels[chance >> 2 & 1],
            "guest_invite_management_access_level": levels[chance >> 3 & 1],
            "join_request_management_access_level": levels[chance >> 4 & 1],
            "team_member_removal_access_level": levels[chance >> 5 & 1],
            "team_content_management_access_level": ("no_restriction", "only_team_admins")[chance >> 6 & 1],
            "endorsed": draft.number("endorsed") % 2 == 1,
            "custom_field_settings": [
                {
                    "gid": self.gid_of("team", index, 1 + place),
                    "resource_type": "custom_field_setting",
                    "project": project,
                    "is_important": place == 0,
                    "parent": project,
                    "custom_field": field | {"description": f"About {field['name']}"} if whole else field,
                }
                for place, (_, field) in enumerate(self._custom_fields)
                if (place + index) % 3 == 0
            ],
            "members": self._members(draft.number("members"), 3 + chance % 9, whole=whole),
        }
        if whole:
            description = self._texts.prose(draft.number("description") * 31 + index, 3)
            built |= {"description": description, "html_description": html(description)}
        return built

    # ── what hangs on them ─────────────────────────────────────────────────────────────────────────────────────────

    def _likes(self, draft: _Draft, part: int, count: int, *, whole: bool) -> list[Object]:
        return [
            {"gid": self.gid_of(draft.kind, draft.index, part + place), "user": user}
            for place, user in enumerate(self._members(draft.chance >> 9, count, whole=whole))
        ]

    def _attachments(self, draft: _Draft, parent: Object | None) -> list[Object]:
        count = draft.generation("attachment")
        place = draft.aspects.index("attachment")
        after = (place - draft.chance) % len(draft.aspects) or len(draft.aspects)
        numbers = range(max(-1 if draft.chance % 4 == 0 else 0, count - 3), count)
        attachments = []
        for number in numbers:
            host = _HOSTS[(draft.chance + number) % len(_HOSTS)]
            gid = self.gid_of(draft.kind, draft.index, _ATTACHMENT_PART + number % _ATTACHMENT_PARTS)
            created = (
                draft.life.changed(after + number * len(draft.aspects)) if number >= 0 else draft.life.created
            )
            attachment: Object = {
                **_named(gid, "attachment", f"{self._texts.title(draft.chance + number)[:40]}.pdf"),
                "resource_subtype": host,
                "created_at": timestamp(created),
                "permanent_url": f"{_APP}/app/asana/-/get_asset?asset_id={gid}",
                "host": host,
                "parent": parent or _named(draft.gid, draft.kind, draft.name),
                "connected_to_app": False,
            }
            if host == "asana":
                attachment["size"] = draft.chance % 5_000_000
            attachments.append(attachment)
        return attachments

    def _stories(self, draft: _Draft, target: Object | None, *, whole: bool) -> list[Object]:
        """The youngest changes, a few things that were there from the beginning, and a story for every touch."""
        changes = draft.life.changes
        shown = 60 if draft.chance % 64 == 1 else 6
        first = max(changes - shown, -1 - (draft.chance >> 4) % 3)
        stories = [
            self._story(draft, change, target, whole=whole) for change in range(first + 1, changes + 1)
        ]
        for place, touch in enumerate(draft.life.touches):
            stories.append(
                self._system_story(
                    draft, _STORY_PARTS + place % 20, touch.instant, draft.chance, target, whole=whole
                )
                | {
                    "resource_subtype": "name_changed",
                    "text": "changed it",
                    "new_name": touch.fields.get("name"),
                }
            )
        return stories

    def _story(self, draft: _Draft, change: int, target: Object | None, *, whole: bool) -> Object:
        aspect = draft.aspect(change)
        number = draft.chance + change
        instant = draft.life.changed(change)
        part = 1 + change % (_STORY_PARTS - 1)
        story = self._system_story(draft, part, instant, number, target, whole=whole)
        tell = self._told_at_first if change < 1 else self._told
        told = (
            None
            if aspect == "comment"
            else tell(draft, aspect, draft.base(aspect) + draft.generation(aspect, change))
        )
        if told:
            subtype, text, more = told
            story |= {"resource_subtype": subtype, "text": text, **more}
        else:
            story |= self._comment(draft, number, whole=whole)
        if whole:
            story["html_text"] = html(story["text"])
        return story

    def _told(self, draft: _Draft, aspect: str, number: int) -> tuple[str, str, Object] | None:
        """Subtype, text and particular fields of the story of a change that led to this number."""
        match aspect:
            case "completed" if _subtype(draft) == "approval":
                statuses = {
                    "old_approval_status": _approval(number - 1),
                    "new_approval_status": _approval(number),
                }
                return (
                    "approval_status_changed",
                    f"changed the approval status to {_approval(number)}",
                    statuses,
                )
            case "completed":
                return ("marked_complete" if number % 2 else "marked_incomplete"), "marked this task", {}
            case "assignee":
                person = self._assignee(number, whole=False)
                return (
                    ("assigned", f"assigned to {person['name']}", {"assignee": person})
                    if person
                    else _UNASSIGNED
                )
            case "dates":
                old, new = self._dates(draft, number - 1), self._dates(draft, number)
                changed = {"old_dates": _story_dates(old), "new_dates": _story_dates(new)}
                return "due_date_changed", f"changed the due date to {new['due_on']}", changed
            case "followers" | "members":
                return "follower_added", "added a follower", {"follower": self._member(number, whole=False)}
            case "section":
                home = draft.chance % self._counts["project"]
                old, new = self._section(home, number - 1), self._section(home, number)
                sections = {"old_section": old, "new_section": new, "project": self._projects[home]}
                return "section_changed", f"moved this from {old['name']} to {new['name']}", sections
            case "attachment":
                return "attachment_added", "attached a file", {}
            case "tags":
                return "added_to_tag", "added a tag", {"tag": self._tags[number % len(self._tags)]}
            case "notes" | "text" if draft.kind == "message" or aspect == "notes":
                return "notes_changed", "changed the description", {}
            case "status":
                return "status_changed", "changed the status", {}
            case _:
                return self._told_of_custom_field(draft, aspect, number)

    def _told_of_custom_field(self, draft: _Draft, kind: str, number: int) -> tuple[str, str, Object] | None:
        fields = [
            field
            for place, (other, field) in enumerate(self._custom_fields)
            if other == kind and place < len(_TASK_ASPECTS) and self._has(draft, place)
        ]
        if not fields or self._parent(draft.index) is not None:
            return None
        field = fields[0]
        old = self._value(draft, kind, number - 1, field, whole=False)
        new = self._value(draft, kind, number, field, whole=False)
        (key,) = (key for key in new if key in _STORY_VALUES)
        compact = {key: field[key] for key in ("gid", "resource_type", "name", "resource_subtype", "type")}
        tell = _story_dates if kind == "date" else _same
        return (
            f"{kind}_custom_field_changed",
            f"changed {field['name']} to {new['display_value']}",
            {"custom_field": compact, f"old_{key}": tell(old[key]), f"new_{key}": tell(new[key])},
        )

    def _told_at_first(self, draft: _Draft, aspect: str, number: int) -> tuple[str, str, Object] | None:
        """A story that is as old as the object."""
        name = self._texts.title(draft.chance)
        match aspect:
            case "notes":
                return (
                    "name_changed",
                    f"changed the name to {name}",
                    {"old_name": f"Draft: {name}", "new_name": name},
                )
            case "section":
                project = self._projects[draft.chance % self._counts["project"]]
                return "added_to_project", f"added to {project['name']}", {"project": project}
            case "followers" if draft.kind == "task":
                subtypes = {"old_resource_subtype": "default_task", "new_resource_subtype": _subtype(draft)}
                return "resource_subtype_changed", "changed the type", subtypes
            case "attachment" if draft.kind == "task":
                story = {
                    "gid": self.gid_of("task", draft.index, _STORY_PARTS - 1),
                    "resource_type": "story",
                    "created_at": timestamp(draft.life.created),
                    "created_by": self._member(number, whole=False),
                    "resource_subtype": "comment_added",
                    "text": self._texts.prose(number, 1),
                }
                return "comment_liked", "liked a comment", {"story": story}
            case "tags":
                return (
                    "duplicated",
                    "duplicated from another task",
                    {"duplicated_from": self._neighbour(draft)},
                )
            case "text" if draft.kind == "task":
                return "marked_duplicate", "marked as a duplicate", {"duplicate_of": self._neighbour(draft)}
            case "dates":
                return "dependency_added", "added a dependency", {"dependency": self._neighbour(draft)}
            case "date":
                return "mentioned", "mentioned this task", {"task": self._neighbour(draft)}
            case _:
                return self._told(draft, aspect, number)

    def _neighbour(self, draft: _Draft) -> Object:
        other = draft.index - 1 if 0 < draft.index < self._populations["task"].settled else draft.index
        return self._task_compact(other, draft.life.created)

    def _system_story(  # noqa: PLR0913
        self, draft: _Draft, part: int, instant: int, number: int, target: Object | None, *, whole: bool
    ) -> Object:
        return {
            "gid": self.gid_of(draft.kind, draft.index, part),
            "resource_type": "story",
            "created_at": timestamp(instant),
            "resource_subtype": "",
            "text": "",
            "sticker_name": None,
            "created_by": self._member(number, whole=whole),
            "type": "system",
            "reaction_summary": [],
            "source": _SOURCES[number % len(_SOURCES)],
            "target": target or _named(draft.gid, draft.kind, draft.name),
        }

    def _comment(self, draft: _Draft, number: int, *, whole: bool) -> Object:
        likes = self._likes(draft, _STORY_LIKE_PART, (0, 0, 0, 2)[number % 4], whole=whole)
        liked = bool(likes) and likes[0]["user"]["gid"] == self.users[0]["gid"]
        comment: Object = {
            "resource_subtype": "comment_added",
            "text": self._texts.prose(number * 13 + draft.index, 1 + number % 4),
            "is_pinned": number % 16 == 0,
            "sticker_name": _STICKERS[number % len(_STICKERS)],
            "type": "comment",
            "is_editable": number % self._counts["user"] == 0,
            "is_edited": number % 9 == 0,
            "hearted": liked,
            "hearts": likes,
            "num_hearts": len(likes),
            "liked": liked,
            "likes": likes,
            "num_likes": len(likes),
            "previews": [],
        }
        if number % 7 == 0:
            comment["reaction_summary"] = [
                {"emoji_base": "👍", "variant": "👍🏽", "count": 2, "reacted": False}
            ]
        if number % 17 == 0:
            title = self._texts.title(number)
            link = "https://docs.example/page"
            comment["previews"] = [
                {"fallback": title, "footer": "", "header": "Docs", "header_link": link}
                | {"html_text": html(title), "text": title, "title": title, "title_link": link}
            ]
        return comment


def _subtype(draft: _Draft) -> str:
    return _TASK_SUBTYPES[draft.chance >> 2 & 15]


def _same(value: Any) -> Any:
    return value


def _names(objects: list[Object]) -> str | None:
    return ", ".join(other["name"] for other in objects) or None


def _story_dates(dates: Object) -> Object:
    """The dates of a task or of a custom field, as stories tell them."""
    due = dates.get("due_on") or dates.get("date")
    return {
        "start_on": dates.get("start_on"),
        "due_at": dates.get("due_at", dates.get("date_time")),
        "due_on": due,
    }


def _approval(number: int) -> str:
    """Completed approvals are decided ones."""
    return _APPROVALS[1 + number // 2 % 3] if number % 2 else "pending"
