"""One object at some instant: its state, and the stories about its changes.

An object's life (`population.py`) is a sequence of changes. Each changes one *aspect* of the object, and has a story.
The number of changes of an aspect so far is its *generation*, from which its value is derived. So the generations
before and after a change give the old and the new value in its story. Stories that are older than the first change
have the time of the object's creation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tap_asana_export.sandbox.directory import brief, described, named, subtype
from tap_asana_export.sandbox.population import timestamp
from tap_asana_export.sandbox.shapes import BRIEF_FIELD, BRIEF_STORY
from tap_asana_export.sandbox.stories import COMMENT, FIRST_STORIES, LIKED_STORY, STORIES, touch_stories
from tap_asana_export.sandbox.texts import html

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_asana_export.sandbox.directory import Directory, Object
    from tap_asana_export.sandbox.population import Life
    from tap_asana_export.sandbox.stories import StoryParts

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
_TOUCHES, _LIKES, _FILES, _ATTACHMENTS, _STORY_LIKES = 800, 820, 840, 860, 960
_NUMBERS = (None, 1.10, 42.0, 1234567.89, 0.1, -3.25, 9007199254740993.0, 1e-7, 0.0, 2.5)
_APPROVALS = ("approved", "changes_requested", "rejected")
_BRIEF_TEXT = 80
_HOSTS = ("asana", "asana", "asana", "gdrive", "dropbox", "external")
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
        if self.kind == "task" and self.directory.shape.is_brief:
            return [brief(_without_nulls(value), BRIEF_FIELD) for value in values]
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
        return self.directory.present(found)

    def attachment_numbers(self, change: int | None = None) -> range:
        """Return the numbers of the youngest attachments, now or after the nth change."""
        count = self._generation("attachment", self.life.changes if change is None else change)
        oldest = -1 if self.chance % 4 == 0 else 0
        youngest = self.directory.shape.attachments
        return range(max(oldest, count - youngest[self.chance % len(youngest)]), count)

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
        shape = self.directory.shape
        shown = shape.most_stories if self.chance % 64 == 1 else shape.stories[(self.chance >> 6) % len(shape.stories)]
        parts = self.first_stories()
        parts += [self.story(change) for change in range(max(0, changes - shown) + 1, changes + 1)]
        parts += self.program_stories()
        if shape.is_brief:
            parts = [brief(story, BRIEF_STORY) | {"text": story["text"][:_BRIEF_TEXT]} for story in parts]
        return sorted(self.directory.present(parts), key=lambda story: str(story["created_at"]))

    def first_stories(self) -> list[Object]:
        """Return the stories that are as old as the object."""
        return [self.story(change) for change in range(-(self.chance >> 4 & 1), 1)]

    def story(self, change: int) -> Object:
        """Return the story of the nth change."""
        changed = aspect(self.kind, self.chance, change)
        first = FIRST_STORIES.get(changed) if change < 1 and self.kind == "task" else None
        tell = first or STORIES.get(changed)
        parts = tell(self, self.number(changed, change)) if tell else None
        part = 3 + change % (_TOUCHES - 3) if change > 0 else 1 - change
        parts = parts or self._comment(change)
        return self._story(part, self.life.changed(change), self.chance + change, parts)

    def program_stories(self) -> list[Object]:
        """Return the youngest stories of what programs did."""
        texts = [(touch.instant, parts) for touch in self.life.touches for parts in touch_stories(touch)]
        numbers = range(_TOUCHES, LIKED_STORY)
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


def _without_nulls(field: Object) -> Object:
    """Return a custom field as real answers have it: without what is not set, but with `display_value`."""
    return {name: value for name, value in field.items() if value is not None or name == "display_value"}


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
    options = (None, *field["enum_options"])
    option = options[number % len(options)]
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


def _names(objects: list[Object]) -> str | None:
    return ", ".join(each["name"] for each in objects) or None
