"""The objects of an organization that do not change by themselves, such as users and tags; and all gids."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from tap_asana_export.sandbox.population import mix
from tap_asana_export.sandbox.shapes import SHAPES
from tap_asana_export.sandbox.texts import Texts, person

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Object = dict[str, Any]

# A gid is 1, a digit for the kind, three for the workspace, eight for the object and three for a part of it
# (a story of a task, a section of a project): sixteen digits as Asana's, distinct across types.
_KINDS = ("job", "task", "workspace", "message", "team", "project", "user", "tag", "custom_field", "other")
_OTHERS = (
    *("portfolio", "goal", "custom_type", "custom_type_status_option", "project_template"),
    *("time_tracking_category", "time_period"),
)
# Objects of one of these kinds at the most, so that their serial numbers are distinct.
_OF_A_KIND = 1_000_000
# How many there are of each kind, unless told otherwise.
SIZES = {
    "user": 50,
    "project": 40,
    "tag": 8,
    "custom_field": 10,
    "portfolio": 4,
    "goal": 4,
    "project_template": 4,
    "time_period": 21,
    "custom_type": 4,
    "custom_type_status_option": 4,
    "time_tracking_category": 4,
}
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
    """The objects of one workspace that change only if a program changes them.

    Other objects refer to those that there were at first. The methods that return one take any number: it is reduced to
    one of them. What a program adds comes behind them, and nothing refers to it.

    Attributes:
        overrides: by gid, the values of fields that a program has set.
        deleted: gids of what a program has deleted, also of parts of any object, such as a story.
        turns: by gid, the instants at which a program has deleted, undeleted, deleted … something.
    """

    def __init__(self, workspace: str, *, seed: int, sizes: dict[str, int] = SIZES, shape: str = "prose") -> None:
        self.workspace = named(workspace, "workspace", f"Sandbox {int(workspace) % 1000}")
        self.seed = mix(seed, int(workspace))
        self.texts = Texts(self.seed)
        self.shape = SHAPES[shape]
        least = {"user": 1, "project": 1, "custom_field": self.shape.definitions}
        self.sizes = sizes | {kind: max(number, sizes[kind]) for kind, number in least.items()}
        self.overrides: dict[str, Object] = {}
        self.deleted: set[str] = set()
        self.turns: dict[str, tuple[int, ...]] = {}
        self._prefix = int(workspace) % 1000
        self._all: dict[str, list[Object]] = {}
        self._whole_users: dict[int, Object] = {}
        self._lock = threading.RLock()

    # ── gids ─────────────────────────────────────────────────────────────────────────────────────────────

    def gid(self, kind: str, serial: int, part: int = 0) -> str:
        """Return the gid of an object, or of one of its up to 999 parts, such as a task's stories."""
        return f"1{_KINDS.index(kind)}{self._prefix:03}{serial:08}{part:03}"

    def other_gid(self, kind: str, number: int, part: int = 0) -> str:
        """Return the gid of an object of one of the kinds in `_OTHERS`, or of a part of it."""
        return self.gid("other", _OTHERS.index(kind) * _OF_A_KIND + number, part)

    def parse(self, gid: str) -> tuple[str, int] | None:
        """Return kind and number of an object of this workspace by its gid; None for another gid."""
        if len(gid) != len(self.gid("task", 0)) or not gid.isdecimal():
            return None
        kind, serial = _KINDS[int(gid[1])], int(gid[5:13])
        return (kind, serial) if self.gid(kind, serial) == gid else None

    def find(self, gid: str) -> tuple[str, int] | None:
        """Return kind and number of an object of this directory that was not deleted; None for another gid."""
        kind, number = self.parse(gid) or ("", 0)
        if kind == "other":
            place, number = divmod(number, _OF_A_KIND)
            kind = _OTHERS[place] if place < len(_OTHERS) else ""
        exists = kind in self.sizes and number < len(self.all(kind)) and gid not in self.deleted
        return (kind, number) if exists else None

    def chance(self, kind: str, index: int) -> int:
        """Return 64 random bits, always the same for an object, from which its fixed properties are derived."""
        return mix(self.seed, _KINDS.index(kind), index)

    # ── what there is ────────────────────────────────────────────────────────────────────────────────────

    def all(self, kind: str) -> list[Object]:
        """Return the compact forms of all objects of a kind by their numbers, also of those that were deleted."""
        if kind not in self._all:
            with self._lock:
                if kind not in self._all:
                    self._all[kind] = [self._make(kind, number) for number in range(self.sizes[kind])]
        return self._all[kind]

    def numbers(self, kind: str, start: int = 0) -> Iterator[int]:
        """Yield the numbers of all objects of a kind that were not deleted."""
        objects = self.all(kind)
        return (number for number in range(start, len(objects)) if self.has(objects[number]))

    def has(self, item: Object) -> bool:
        """Whether an object was not deleted."""
        return item["gid"] not in self.deleted

    def present(self, items: list[Object]) -> list[Object]:
        """Return those that were not deleted."""
        return [item for item in items if self.has(item)] if self.deleted else items

    def existed(self, item: Object, instant: int) -> bool:
        """Whether an object was not deleted at this instant."""
        return sum(turn <= instant for turn in self.turns.get(item["gid"], ())) % 2 == 0

    def delete(self, gid: str, now: int) -> None:
        """Delete an object, or a part of any object."""
        self.deleted.add(gid)
        self.turns[gid] = (*self.turns.get(gid, ()), now)

    def undelete(self, gid: str, now: int) -> None:
        """Take back a deletion."""
        self.deleted.discard(gid)
        self.turns[gid] = (*self.turns.get(gid, ()), now)

    def _make(self, kind: str, number: int) -> Object:
        if kind == "custom_field":
            return self._custom_field(number)
        if kind in _OTHERS:
            return named(self.other_gid(kind, number), kind, self.texts.title(_OTHERS.index(kind) + number))
        if kind == "user":
            name = person(number - 1) if number else "Export Service"
        elif kind == "project":
            name = self.texts.title(number * 7)
        else:
            name = _numbered(_TAGS, number)
        return named(self.gid(kind, number), kind, name)

    def add(self, kind: str) -> str:
        """Add an object, and return its gid.

        Raises:
            KeyError: there is no such kind.
        """
        objects = self.all(kind)
        objects.append(self._make(kind, len(objects)))
        gid: str = objects[-1]["gid"]
        return gid

    def change(self, gid: str, fields: Object) -> None:
        """Set fields of an object, also where others refer to it."""
        found = self.find(gid)
        if found:
            kind, number = found
            compact = self.all(kind)[number]
            compact |= {name: value for name, value in fields.items() if name in compact}
        self.overrides[gid] = self.overrides.get(gid, {}) | fields
        self._whole_users.clear()

    def as_changed(self, item: Object) -> Object:
        """Return an object with the fields that a program has set. It may have changed by itself since."""
        fields = self.overrides.get(item["gid"])
        if not fields:
            return item
        changed = item | fields
        if "modified_at" in item:
            changed["modified_at"] = max(item["modified_at"], changed["modified_at"])
        return changed

    # ── by any number ────────────────────────────────────────────────────────────────────────────────────

    def task(self, serial: int) -> Object:
        """Return the compact form of a task, with the name that it was created with."""
        chance = self.chance("task", serial)
        return {
            **named(self.gid("task", serial), "task", self.texts.title(chance)),
            "resource_subtype": subtype(chance),
        }

    def user(self, number: int, *, whole: bool = False) -> Object:
        """Return a user: in compact form, or `whole`, with email and photo. The first one owns the token."""
        number %= self.sizes["user"]
        return self.whole_user(number) if whole else self.all("user")[number]

    def whole_user(self, number: int) -> Object:
        """Return the user of a number with email and photo."""
        if number not in self._whole_users:
            own = {"email": f"user{number}@sandbox.example", "photo": _photo(number)}
            self._whole_users[number] = self.as_changed(self.all("user")[number] | own)
        return self._whole_users[number]

    def member(self, number: int, *, whole: bool = False) -> Object:
        """Return the user of this very number, also one that a program has added."""
        return self.whole_user(number) if whole else self.all("user")[number]

    def several(self, number: int, count: int, *, whole: bool = False) -> list[Object]:
        """Return several different users."""
        return [self.user(number + step, whole=whole) for step in range(min(count, self.sizes["user"]))]

    def project(self, number: int) -> Object:
        """Return a project."""
        return self.all("project")[number % self.sizes["project"]]

    def sections(self, project: int) -> list[Object]:
        """Return the three to six sections of the project of a number."""
        return [self._section(project, part) for part in range(3 + project % 4)]

    def section(self, project: int, number: int) -> Object:
        """Return a section of the project of a number."""
        return self._section(project, number % (3 + project % 4))

    def _section(self, project: int, number: int) -> Object:
        gid = self.gid("project", project, number + 1)
        return named(gid, "section", self.overrides.get(gid, {}).get("name", _SECTIONS[number]))

    def tags(self, number: int, count: int) -> list[Object]:
        """Return up to so many tags."""
        size = self.sizes["tag"]
        start = number % size if size else 0
        return [tag for tag in self.all("tag")[start : min(size, start + count)] if self.has(tag)]

    def custom_fields(self, chance: int) -> list[Object]:
        """Return the definitions of the custom fields that an object has: two or three of ten, or as many in a row."""
        size = self.sizes["custom_field"]
        if self.shape.is_brief:
            count = self.shape.fields[chance % len(self.shape.fields)]
            start = (chance >> 4) % (size - count + 1)
            return self.present(self.all("custom_field")[start : start + count])
        first = chance // 4 % -(-size // len(_CUSTOM_FIELDS)) * len(_CUSTOM_FIELDS) if size else 0
        fields = self.all("custom_field")[first : min(size, first + len(_CUSTOM_FIELDS))]
        return self.present(fields[chance % 4 :: 4])

    def other(self, kind: str, number: int) -> Object | None:
        """Return a portfolio, a goal, or an object of another kind in `_OTHERS`; None if it is gone."""
        size = self.sizes[kind]
        found = self.all(kind)[number % size] if size else None
        return found if found and self.has(found) else None

    def _custom_field(self, number: int) -> Object:
        kind, name, special = self._kind_of_field(number)
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
                    **named(f"{gid[:-2]}{part:02}", "enum_option", option),
                    "enabled": option != "old",
                    "color": color,
                }
                for part, (option, color) in enumerate(self._options(number), 1)
            ]
        return field

    def _kind_of_field(self, number: int) -> tuple[str, str, Object]:
        """Return type, name, and the properties that differ from `_ORDINARY`, of the custom field of a number."""
        if self.shape.is_brief:
            kind = self.shape.kinds[number % len(self.shape.kinds)]
            special = {"precision": 2 if kind == "number" else None, "description": ""}
            return kind, self.texts.title(number * 11)[:24], special
        kind, _, special = _CUSTOM_FIELDS[number % len(_CUSTOM_FIELDS)]
        return kind, _numbered([name for _, name, _ in _CUSTOM_FIELDS], number), special

    def _options(self, number: int) -> Sequence[tuple[str, str]]:
        """Return name and colour of each option of the custom field of a number."""
        if not self.shape.is_brief:
            return _OPTIONS
        count = self.shape.options[number % len(self.shape.options)]
        return [(self.texts.title(number * 31 + option)[:12], _OPTIONS[option % 4][1]) for option in range(count)]


def described(field: Object) -> Object:
    """Return a custom field with its description, which is opt-in unless it has one already."""
    return {**field, "description": field.get("description", f"About {field['name']}")}


def brief(item: Object, names: Iterable[str]) -> Object:
    """Return an object with only some properties, in their order."""
    return {name: item[name] for name in names if name in item}


def _numbered(names: Sequence[str], number: int) -> str:
    """Return one of some names, with a number once all are used."""
    repeated, place = divmod(number, len(names))
    return f"{names[place]} {repeated + 1}" if repeated else names[place]


def _photo(number: int) -> Object | None:
    """Return the photo of a user; two thirds have none."""
    if number % 3 != 1:
        return None
    sizes = (21, 27, 36, 60, 128, 1024)
    return {f"image_{size}x{size}": f"https://sandbox.example/photos/{number}_{size}x{size}.png" for size in sizes}


def subtype(chance: int) -> str:
    """Return the resource_subtype of a task."""
    return _TASK_SUBTYPES[chance >> 2 & 15]
