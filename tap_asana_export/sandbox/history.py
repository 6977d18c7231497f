"""One object at some instant: its state, and the stories about its changes.

An object's life (`population.py`) is a sequence of changes. Each changes one *aspect* of the object, and has a story.
The number of changes of an aspect so far is its *generation*, from which its value is derived. So the generations
before and after a change give the old and the new value in its story. Stories that are older than the first change
have the time of the object's creation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tap_asana_export.sandbox.directory import described, named, subtype
from tap_asana_export.sandbox.population import ADDED, timestamp
from tap_asana_export.sandbox.texts import html

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_asana_export.sandbox.directory import Directory, Object
    from tap_asana_export.sandbox.population import Life, Touch

    StoryParts = tuple[str, str, Object]
    Value = tuple[str, Any, str | None]

_DAY = 86_400_000
_OF_PROJECTS = (
    *("status", "notes", "number", "followers", "enum", "dates", "text", "completed", "date", "people"),
    "multi_enum",
)
_ASPECTS = {
    "task": (
        *("comment", "completed", "assignee", "dates", "comment", "followers", "number", "section"),
        *("enum", "attachment", "text", "tags", "date", "notes", "people", "multi_enum"),
    ),
    "message": ("comment", "notes", "followers", "comment", "attachment", "status"),
    "team": ("followers", "notes", "status"),
    "project": _OF_PROJECTS,
    "portfolio": _OF_PROJECTS,
    "goal": _OF_PROJECTS,
}
_PLACES = {kind: {aspect: place for place, aspect in enumerate(aspects)} for kind, aspects in _ASPECTS.items()}

# First part numbers in the gids of what belongs to a task or message.
_TOUCHES, _LIKED_STORY, _LIKES, _FILES, _ATTACHMENTS, _STORY_LIKES = 800, 819, 820, 840, 860, 960
COMMENT: Object = {
    "is_pinned": False,
    "type": "comment",
    "is_editable": False,
    "is_edited": False,
    "hearted": False,
    "hearts": [],
    "num_hearts": 0,
    "liked": False,
    "likes": [],
    "num_likes": 0,
    "previews": [],
}
"""The particular fields of a comment that nobody likes."""

_NUMBERS = (None, 1.10, 42.0, 1234567.89, 0.1, -3.25, 9007199254740993.0, 1e-7, 0.0, 2.5)
_APPROVALS = ("approved", "changes_requested", "rejected")
_HOSTS = ("asana", "asana", "asana", "gdrive", "dropbox", "external")
_SHOWN_STORIES = (1, 1, 1, 2, 2, 3, 4, 6)
_SOURCES = ("web", "mobile", "api", "email", "unknown")
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


def aspect(kind: str, chance: int, change: int) -> str:
    """Return what the nth change of an object changes."""
    return _ASPECTS[kind][(change + chance) % len(_ASPECTS[kind])]


@dataclass(slots=True)
class History:
    """One object at some instant.

    Attributes:
        directory: the objects of its workspace that never change.
        kind: its type.
        index: its index in the population.
        gid: its gid.
        chance: 64 random bits, from which its fixed properties are derived.
        life: its changes.
        name: its name.
        whole: whether to add the opt-in fields.
    """

    directory: Directory
    kind: str
    index: int
    gid: str
    chance: int
    life: Life
    name: str
    whole: bool

    # ── aspects ──────────────────────────────────────────────────────────────────────────────────────────

    def _generation(self, aspect: str, change: int) -> int:
        count = len(_ASPECTS[self.kind])
        start = self.chance % count - _PLACES[self.kind][aspect]
        return (change + start) // count - start // count

    def number(self, aspect: str, change: int | None = None) -> int:
        """Return the number from which an aspect's value is derived, now or after the nth change."""
        base = (self.chance >> (8 + 3 * _PLACES[self.kind][aspect])) % 1_000_003
        return base + self._generation(aspect, self.life.changes if change is None else change)

    def changed(self, aspect: str) -> int:
        """Return the instant of an aspect's last change."""
        count = len(_ASPECTS[self.kind])
        since = (self.life.changes + self.chance - _PLACES[self.kind][aspect]) % count
        return self.life.changed(self.life.changes - since)

    # ── values ───────────────────────────────────────────────────────────────────────────────────────────

    def user(self, number: int) -> Object:
        """Return a user, by any number."""
        return self.directory.user(number, whole=self.whole)

    def users(self, number: int, count: int) -> list[Object]:
        """Return several different users."""
        return self.directory.several(number, count, whole=self.whole)

    def assignee(self, number: int) -> Object | None:
        """Return the assignee; every fifth task has none."""
        return self.user(number) if number % 5 else None

    def dates(self, number: int) -> Object:
        """Return when a task starts and is due: nothing, dates only, or dates and times."""
        if number % 3 == 0:
            return {"due_at": None, "due_on": None, "start_at": None, "start_on": None}
        due = timestamp(self.life.created + (1 + number * 7 % 90) * _DAY)
        start = timestamp(self.life.created)
        timed, started = number % 4 == 1, number % 8 in (1, 2)
        return {
            "due_at": due if timed else None,
            "due_on": due[:10],
            "start_at": start if started and timed else None,
            "start_on": start[:10] if started else None,
        }

    def approval(self, number: int) -> str:
        """Return the approval status; it is `pending` until the task is completed."""
        return _APPROVALS[number // 2 % 3] if number % 2 else "pending"

    def custom_fields(self) -> list[Object]:
        """Return the custom fields of the object."""
        return self.directory.custom_fields(self.chance)

    def values(self) -> list[Object]:
        """Return the custom fields of the object with their values."""
        values = []
        for field in self.custom_fields():
            number = self.number(field["type"] if field["type"] in _PLACES[self.kind] else "people")
            value = {**field, **self.value(field, number)}
            values.append(described(value) if self.whole else value)
        return values

    def value(self, field: Object, number: int) -> Object:
        """Return the properties with a custom field's value: that of its type, and `display_value`."""
        key, value, display = _VALUES[field["type"]](self, field, number)
        if field["type"] == "text":
            return {key: value, "html_text_value": value and html(value), "display_value": display}
        return {key: value, "display_value": display}

    # ── parts ────────────────────────────────────────────────────────────────────────────────────────────

    def compact(self) -> Object:
        """Return the compact form, by which other objects refer to this one."""
        compact = named(self.gid, self.kind, self.name)
        if self.kind == "task":
            compact["resource_subtype"] = subtype(self.chance)
            if self.whole:
                compact["created_by"] = self.user(self.chance)
        return compact

    def likes(self, count: int) -> list[Object]:
        """Return some likes."""
        return self._likes(_LIKES, count)

    def liked(self, likes: list[Object]) -> bool:
        """Whether the service account is among those who like it."""
        return any(like["user"]["gid"] == self.directory.user(0)["gid"] for like in likes)

    def _likes(self, part: int, count: int) -> list[Object]:
        return [
            {"gid": self.part(part + place), "user": user}
            for place, user in enumerate(self.users(self.chance >> 9, count))
        ]

    def part(self, part: int) -> str:
        """Return the gid of something that belongs to the object."""
        return f"{self.gid[:-3]}{part:03}"

    def attachments(self) -> list[Object]:
        """Return the youngest attachments, and those of programs; some objects also have one from their creation."""
        found = [self.attachment(number) for number in self.attachment_numbers()] + self.files()
        return [each for each in found if self.directory.has(each)]

    def attachment_numbers(self, change: int | None = None) -> range:
        """Return the numbers of the youngest attachments, now or after the nth change."""
        count = self._generation("attachment", self.life.changes if change is None else change)
        oldest = -1 if self.chance % 4 == 0 else 0
        return range(max(oldest, count - self.chance % 3), count)

    def files(self) -> list[Object]:
        """Return the youngest attachments that programs made."""
        attached = [(touch.instant, name) for touch in self.life.touches for name in touch.files]
        parts = range(_FILES, _ATTACHMENTS)
        return [
            self._file(parts[number % len(parts)], "asana", name, instant)
            for number, (instant, name) in [*enumerate(attached)][-len(parts) :]
        ]

    def attachment(self, number: int) -> Object:
        """Return the attachment of a number."""
        aspects = len(_ASPECTS[self.kind])
        first = (_PLACES[self.kind]["attachment"] - self.chance) % aspects or aspects
        host = _HOSTS[(self.chance + number) % len(_HOSTS)]
        part = _ATTACHMENTS + number % (_STORY_LIKES - _ATTACHMENTS)
        name = f"{self.directory.texts.title(self.chance + number)[:40]}.pdf"
        instant = self.life.changed(first + number * aspects) if number >= 0 else self.life.created
        return self._file(part, host, name, instant)

    def _file(self, part: int, host: str, name: str, instant: int) -> Object:
        gid = self.part(part)
        attachment = {
            **named(gid, "attachment", name),
            "resource_subtype": host,
            "created_at": timestamp(instant),
            "permanent_url": f"https://app.asana.com/app/asana/-/get_asset?asset_id={gid}",
            "host": host,
            "parent": self.compact(),
            "connected_to_app": False,
        }
        return {**attachment, "size": self.chance % 5_000_000} if host == "asana" else attachment

    # ── stories ──────────────────────────────────────────────────────────────────────────────────────────

    def stories(self) -> list[Object]:
        """Return the stories of the creation, of the youngest changes, and of the changes that programs made."""
        changes = self.life.changes
        shown = 60 if self.chance % 64 == 1 else _SHOWN_STORIES[self.chance >> 6 & 7]
        parts = self.first_stories()
        parts += [self.story(change) for change in range(max(0, changes - shown) + 1, changes + 1)]
        parts += self.told()
        found = (story for story in parts if self.directory.has(story))
        return sorted(found, key=lambda story: str(story["created_at"]))

    def first_stories(self) -> list[Object]:
        """Return the stories that are as old as the object."""
        return [self.story(change) for change in range(-(self.chance >> 4 & 1), 1)]

    def story(self, change: int) -> Object:
        """Return the story of the nth change."""
        changed = aspect(self.kind, self.chance, change)
        first = _FIRST_STORIES.get(changed) if change < 1 and self.kind == "task" else None
        tell = first or _STORIES.get(changed)
        parts = tell(self, self.number(changed, change)) if tell else None
        part = 3 + change % (_TOUCHES - 3) if change > 0 else 1 - change
        parts = parts or self._comment(change)
        return self._story(part, self.life.changed(change), self.chance + change, parts)

    def told(self) -> list[Object]:
        """Return the youngest stories of what programs did."""
        texts = [(touch.instant, parts) for touch in self.life.touches for parts in said(touch)]
        numbers = range(_TOUCHES, _LIKED_STORY)
        return [
            self._story(numbers[number % len(numbers)], instant, self.chance, parts)
            for number, (instant, parts) in [*enumerate(texts)][-len(numbers) :]
        ]

    def _story(self, part: int, instant: int, number: int, parts: StoryParts) -> Object:
        resource_subtype, text, special = parts
        story = {
            "gid": self.part(part),
            "resource_type": "story",
            "created_at": timestamp(instant),
            "resource_subtype": resource_subtype,
            "text": text,
            "sticker_name": None,
            "created_by": self.user(number),
            "type": "system",
            "reaction_summary": [],
            "source": _SOURCES[number % len(_SOURCES)],
            "target": self.compact(),
            **special,
        }
        return {**story, "html_text": html(text)} if self.whole else story

    def _comment(self, change: int) -> StoryParts:
        texts, number = self.directory.texts, self.chance + change
        slot = change // 4 % 18 if change > 0 else 18 - change
        likes = self._likes(_STORY_LIKES + 2 * slot, (0, 0, 0, 2)[number % 4])
        liked = self.liked(likes)
        comment = COMMENT | {
            "is_pinned": number % 16 == 0,
            "sticker_name": _STICKERS[number % len(_STICKERS)],
            "is_editable": self.user(number)["gid"] == self.user(0)["gid"],
            "is_edited": number % 9 == 0,
            "hearted": liked,
            "hearts": likes,
            "num_hearts": len(likes),
            "liked": liked,
            "likes": likes,
            "num_likes": len(likes),
        }
        if number % 7 == 0:
            comment["reaction_summary"] = [{"emoji_base": "👍", "variant": "👍🏽", "count": 2, "reacted": False}]
        if number % 17 == 0:
            title, link = texts.title(number), "https://docs.example/page"
            preview = {"fallback": title, "footer": "", "header": "Docs", "header_link": link}
            comment["previews"] = [
                preview | {"html_text": html(title), "text": title, "title": title, "title_link": link}
            ]
        return "comment_added", texts.prose(number * 13 + self.index, 1 + number % 4), comment


# ── the values of custom fields: type → key, value and display_value ─────────────────────────────────────


def _number(_history: History, _field: Object, number: int) -> Value:
    value = _NUMBERS[number % len(_NUMBERS)]
    return "number_value", value, None if value is None else str(value)


def _text(history: History, _field: Object, number: int) -> Value:
    text = history.directory.texts.prose(number * 17, 1) if number % 4 else None
    return "text_value", text, text


def _date(history: History, _field: Object, number: int) -> Value:
    instant = timestamp(history.life.created + number % 365 * _DAY)
    time = None if number % 3 else instant
    return "date_value", {"date": instant[:10], "date_time": time}, time or instant[:10]


def _enum(_history: History, field: Object, number: int) -> Value:
    option = (None, *field["enum_options"])[number % 5]
    return "enum_value", option, option and option["name"]


def _multi_enum(_history: History, field: Object, number: int) -> Value:
    options = field["enum_options"][number % 4 :][:2]
    return "multi_enum_values", options, _names(options)


def _people(history: History, _field: Object, number: int) -> Value:
    people = history.users(number, number % 3)
    return "people_value", people, _names(people)


def _reference(history: History, _field: Object, number: int) -> Value:
    project = history.directory.project(number)
    return "reference_value", [project], project["name"]


_VALUES: dict[str, Callable[[History, Object, int], Value]] = {
    "number": _number,
    "text": _text,
    "date": _date,
    "enum": _enum,
    "multi_enum": _multi_enum,
    "people": _people,
    "reference": _reference,
}


# ── the stories of changes: aspect → resource_subtype, text and particular fields; None: a comment ───────


def _completed(history: History, number: int) -> StoryParts:
    if subtype(history.chance) != "approval":
        return "marked_complete" if number % 2 else "marked_incomplete", "marked this task", {}
    old, new = history.approval(number - 1), history.approval(number)
    statuses = {"old_approval_status": old, "new_approval_status": new}
    return "approval_status_changed", f"changed the approval status to {new}", statuses


def _assigned(history: History, number: int) -> StoryParts:
    assignee = history.assignee(number)
    if not assignee:
        return "unassigned", "unassigned this task", {}
    return "assigned", f"assigned this task to {assignee['name']}", {"assignee": assignee}


def _rescheduled(history: History, number: int) -> StoryParts:
    old, new = _story_dates(history.dates(number - 1)), _story_dates(history.dates(number))
    return (
        "due_date_changed",
        f"changed the due date to {new['due_on']}",
        {"old_dates": old, "new_dates": new},
    )


def _followed(history: History, number: int) -> StoryParts:
    return "follower_added", "added a follower", {"follower": history.user(number)}


def _moved(history: History, number: int) -> StoryParts:
    place = history.chance % history.directory.sizes["project"]
    project = history.directory.project(place)
    old, new = (history.directory.section(place, section) for section in (number - 1, number))
    return moved(old, new, project)


def moved(old: Object, new: Object, project: Object) -> StoryParts:
    """Return what the story of a move between two sections says."""
    sections = {"old_section": old, "new_section": new, "project": project}
    return "section_changed", f"moved this task from {old['name']} to {new['name']}", sections


def _tagged(history: History, number: int) -> StoryParts | None:
    tags = history.directory.tags(number, 1)
    return ("added_to_tag", "added a tag", {"tag": tags[0]}) if tags else None


def _of_custom_field(kind: str) -> Callable[[History, int], StoryParts | None]:
    def tell(history: History, number: int) -> StoryParts | None:
        field = next((field for field in history.custom_fields() if field["type"] == kind), None)
        if field is None:
            return None
        old, new = history.value(field, number - 1), history.value(field, number)
        key = next(iter(new))
        if kind == "date":
            old[key], new[key] = _story_dates(old[key]), _story_dates(new[key])
        compact = {name: field[name] for name in ("gid", "resource_type", "name", "resource_subtype", "type")}
        values = {"custom_field": compact, f"old_{key}": old[key], f"new_{key}": new[key]}
        return f"{kind}_custom_field_changed", f"changed {field['name']} to {new['display_value']}", values

    return tell


_STORIES: dict[str, Callable[[History, int], StoryParts | None]] = {
    "completed": _completed,
    "assignee": _assigned,
    "dates": _rescheduled,
    "followers": _followed,
    "section": _moved,
    "tags": _tagged,
    "attachment": lambda _history, _number: ("attachment_added", "attached a file", {}),
    "notes": lambda _history, _number: ("notes_changed", "changed the description", {}),
    "status": lambda _history, _number: ("status_changed", "changed the status", {}),
    **{kind: _of_custom_field(kind) for kind in ("number", "enum", "text", "date", "people", "multi_enum")},
}


# ── the same, for what is as old as the task ─────────────────────────────────────────────────────────────


def _named(history: History, _number: int) -> StoryParts:
    title = history.directory.texts.title(history.chance)
    return "name_changed", f"changed the name to {title}", {"old_name": "Draft", "new_name": title}


def _placed(history: History, _number: int) -> StoryParts:
    project = history.directory.project(history.chance)
    return "added_to_project", f"added this task to {project['name']}", {"project": project}


def _converted(history: History, _number: int) -> StoryParts:
    subtypes = {"old_resource_subtype": "default_task", "new_resource_subtype": subtype(history.chance)}
    return "resource_subtype_changed", "converted this task", subtypes


def _liked(history: History, number: int) -> StoryParts:
    story = {
        "gid": history.part(_LIKED_STORY),
        "resource_type": "story",
        "created_at": timestamp(history.life.created),
        "created_by": history.user(number),
        "resource_subtype": "comment_added",
        "text": history.directory.texts.title(number),
    }
    return "comment_liked", "liked a comment", {"story": story}


def _of_another_task(resource_subtype: str, key: str) -> Callable[[History, int], StoryParts]:
    def tell(history: History, _number: int) -> StoryParts:
        another = history.directory.task(history.index - 1 if 0 < history.index < ADDED else 0)
        return resource_subtype, f"{resource_subtype.replace('_', ' ')}: {another['name']}", {key: another}

    return tell


_FIRST_STORIES: dict[str, Callable[[History, int], StoryParts | None]] = {
    "notes": _named,
    "section": _placed,
    "followers": _converted,
    "attachment": _liked,
    "tags": _of_another_task("duplicated", "duplicated_from"),
    "text": _of_another_task("marked_duplicate", "duplicate_of"),
    "dates": _of_another_task("dependency_added", "dependency"),
    "date": _of_another_task("mentioned", "task"),
}


def said(touch: Touch) -> tuple[StoryParts, ...]:
    """Return what the stories of a change by a program say."""
    if touch.stories is not None:
        return touch.stories
    title = touch.fields.get("name")
    renamed = ("name_changed", f"changed the name to {title}", {"new_name": title})
    return (renamed if title else ("notes_changed", "changed the description", {}),)


def _names(objects: list[Object]) -> str | None:
    return ", ".join(each["name"] for each in objects) or None


def _story_dates(dates: Object) -> Object:
    """Return the dates of a task or of a custom field in the form that stories have."""
    return {
        "start_on": dates.get("start_on"),
        "due_at": dates.get("due_at") or dates.get("date_time"),
        "due_on": dates.get("due_on") or dates.get("date"),
    }
