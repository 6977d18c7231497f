"""The objects of an organization that never change: users, projects, sections, tags, custom fields; and all gids."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from tap_asana_export.sandbox.population import mix
from tap_asana_export.sandbox.texts import Texts, person

Object = dict[str, Any]

# A gid is 1, a digit for the kind, three for the workspace, eight for the object and three for a part of it
# (a story of a task, a section of a project): sixteen digits as Asana's, distinct across types.
_KINDS = ("job", "task", "workspace", "message", "team", "project", "user", "tag", "custom_field", "other")
_OTHERS = (
    *("portfolio", "goal", "custom_type", "custom_type_status_option", "project_template"),
    "time_tracking_category",
)
# Number of portfolios, of goals, and so on in a workspace.
OF_A_KIND = 4
_SECTIONS = ("Untitled section", "To do", "Doing", "In review", "Done", "Später ✨")
_TAGS = ("urgent", "blocked", "customer", "quick win", "häßlich", "次", "🔥", "later")
_OPTIONS = (("Low", "green"), ("Medium", "yellow"), ("High — «très»", "red"), ("old", "none"))
_TASK_SUBTYPES = (*["default_task"] * 12, "milestone", "approval", "approval", "custom")

# Type, name, and the properties that differ from `_ORDINARY`.
_CUSTOM_FIELDS: tuple[tuple[str, str, Object], ...] = (
    ("number", "Budget", {"precision": 2, "format": "currency", "currency_code": "EUR"}),
    ("enum", "Priority", {"asana_created_field": "priority"}),
    ("text", "Summary", {}),
    ("date", "Review date", {"privacy_setting": "private", "default_access_level": "user"}),
    ("people", "Reviewers", {"has_notifications_enabled": True}),
    ("multi_enum", "Channels", {"is_global_to_workspace": False}),
    ("reference", "Related work", {"input_restrictions": ["task", "project"]}),
    ("number", "Progress", {"precision": 2, "format": "percentage"}),
    ("text", "Ticket", {"representation_type": "custom_id", "id_prefix": "TIC", "is_value_read_only": True}),
    (
        "number",
        "Effort",
        {"precision": 1, "format": "custom", "custom_label": "pts", "custom_label_position": "suffix"}
        | {"representation_type": "formula", "is_formula_field": True, "is_value_read_only": True},
    ),
)
_ORDINARY: Object = {
    "id_prefix": None,
    "input_restrictions": [],
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
    "privacy_setting": "public_with_guests",
    "default_access_level": "editor",
}


def named(gid: str, resource_type: str, name: str) -> Object:
    """Return the compact form that most types have."""
    return {"gid": gid, "resource_type": resource_type, "name": name}


class Directory:
    """The objects of one workspace that never change.

    There is at least one of each type, and the methods take any number: it is reduced to an existing object.
    """

    def __init__(self, workspace: str, *, seed: int, users: int, projects: int) -> None:
        self.workspace = named(workspace, "workspace", f"Sandbox {int(workspace) % 1000}")
        self.seed = mix(seed, int(workspace))
        self.texts = Texts(self.seed)
        self._prefix = int(workspace) % 1000
        self._counts = {"user": max(1, users), "project": max(1, projects)}

    def gid(self, kind: str, serial: int, part: int = 0) -> str:
        """Return the gid of an object, or of one of its up to 999 parts, such as a task's stories."""
        return f"1{_KINDS.index(kind)}{self._prefix:03}{serial:08}{part:03}"

    def parse(self, gid: str) -> tuple[str, int] | None:
        """Return kind and number of an object of this workspace by its gid; None for another gid."""
        if len(gid) != len(self.gid("task", 0)) or not gid.isdecimal():
            return None
        kind, serial = _KINDS[int(gid[1])], int(gid[5:13])
        return (kind, serial) if self.gid(kind, serial) == gid else None

    def chance(self, kind: str, index: int) -> int:
        """Return 64 random bits, always the same for an object, from which its fixed properties are derived."""
        return mix(self.seed, _KINDS.index(kind), index)

    def task(self, serial: int) -> Object:
        """Return the compact form of a task, with the name that it was created with."""
        chance = self.chance("task", serial)
        return {
            **named(self.gid("task", serial), "task", self.texts.title(chance)),
            "resource_subtype": subtype(chance),
        }

    @cached_property
    def users(self) -> list[Object]:
        """All users, with email and photo; the first is the service account that owns the token."""
        names = ["Export Service", *(person(number) for number in range(self._counts["user"] - 1))]
        return [
            {
                **named(self.gid("user", number), "user", name),
                "email": f"user{number}@sandbox.example",
                "photo": None,
            }
            for number, name in enumerate(names)
        ]

    @cached_property
    def _compact_users(self) -> list[Object]:
        return [named(user["gid"], "user", user["name"]) for user in self.users]

    def user(self, number: int, *, whole: bool = False) -> Object:
        """Return a user: in compact form, or `whole`, with the opt-in fields."""
        return (self.users if whole else self._compact_users)[number % self._counts["user"]]

    def several(self, number: int, count: int, *, whole: bool = False) -> list[Object]:
        """Return several different users."""
        return [self.user(number + step, whole=whole) for step in range(min(count, self._counts["user"]))]

    @cached_property
    def projects(self) -> list[Object]:
        """All projects."""
        return [
            named(self.gid("project", number), "project", self.texts.title(number * 7))
            for number in range(self._counts["project"])
        ]

    def project(self, number: int) -> Object:
        """Return a project."""
        return self.projects[number % len(self.projects)]

    @cached_property
    def _sections(self) -> list[list[Object]]:
        return [
            [named(f"{project['gid'][:-1]}{part + 1}", "section", _SECTIONS[part]) for part in range(3 + number % 4)]
            for number, project in enumerate(self.projects)
        ]

    def sections(self, project: int) -> list[Object]:
        """Return the three to six sections of a project."""
        return self._sections[project % len(self._sections)]

    def section(self, project: int, number: int) -> Object:
        """Return a section of a project."""
        sections = self.sections(project)
        return sections[number % len(sections)]

    @cached_property
    def tags(self) -> list[Object]:
        """All tags."""
        return [named(self.gid("tag", number), "tag", name) for number, name in enumerate(_TAGS)]

    @cached_property
    def _others(self) -> dict[str, list[Object]]:
        return {
            kind: [
                named(self.gid("other", place * OF_A_KIND + number), kind, self.texts.title(place + number))
                for number in range(OF_A_KIND)
            ]
            for place, kind in enumerate(_OTHERS)
        }

    def other(self, kind: str, number: int) -> Object:
        """Return a portfolio, a goal, a custom type, or another object of one of the kinds in `_OTHERS`."""
        return self._others[kind][number % OF_A_KIND]

    def parse_other(self, gid: str) -> tuple[str, int] | None:
        """Return kind and number of an object that `other` returns, by its gid; None for another gid."""
        kind, serial = self.parse(gid) or ("", 0)
        place, number = divmod(serial, OF_A_KIND)
        return (_OTHERS[place], number) if kind == "other" and place < len(_OTHERS) else None

    @cached_property
    def custom_fields(self) -> list[Object]:
        """The definitions of all custom fields."""
        fields = []
        for number, (kind, name, special) in enumerate(_CUSTOM_FIELDS):
            gid = self.gid("custom_field", number)
            field = {
                **named(gid, "custom_field", name),
                "resource_subtype": kind,
                "type": kind,
                "representation_type": kind,
                "created_by": self.user(number),
                **_ORDINARY,
                **special,
            }
            if kind in ("enum", "multi_enum"):
                field["enum_options"] = [
                    {
                        **named(f"{gid[:-1]}{part}", "enum_option", option),
                        "enabled": option != "old",
                        "color": color,
                    }
                    for part, (option, color) in enumerate(_OPTIONS, 1)
                ]
            fields.append(field)
        return fields


def subtype(chance: int) -> str:
    """Return the resource_subtype of a task."""
    return _TASK_SUBTYPES[chance >> 2 & 15]
