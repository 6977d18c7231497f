"""What the stories about changes say.

Most say it of a change by itself: a function for each aspect, in two tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_asana_export.sandbox.directory import subtype
from tap_asana_export.sandbox.population import ADDED, timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_asana_export.sandbox.directory import Object
    from tap_asana_export.sandbox.history import History
    from tap_asana_export.sandbox.population import Touch

    # resource_subtype, text and particular fields
    StoryParts = tuple[str, str, Object]

LIKED_STORY = 819
"""Part number in the gid of a story that is not shown, but liked."""

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


def moved(old: Object, new: Object, project: Object) -> StoryParts:
    """Return what the story of a move between two sections says."""
    sections = {"old_section": old, "new_section": new, "project": project}
    return "section_changed", f"moved this task from {old['name']} to {new['name']}", sections


def touch_stories(touch: Touch) -> tuple[StoryParts, ...]:
    """Return what the stories of a change by a program say."""
    if touch.stories is not None:
        return touch.stories
    title = touch.fields.get("name")
    renamed = ("name_changed", f"changed the name to {title}", {"new_name": title})
    return (renamed if title else ("notes_changed", "changed the description", {}),)


# ── the stories of changes; None: a comment ───────


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


STORIES: dict[str, Callable[[History, int], StoryParts | None]] = {
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
        "gid": history.part(LIKED_STORY),
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


FIRST_STORIES: dict[str, Callable[[History, int], StoryParts | None]] = {
    "notes": _named,
    "section": _placed,
    "followers": _converted,
    "attachment": _liked,
    "tags": _of_another_task("duplicated", "duplicated_from"),
    "text": _of_another_task("marked_duplicate", "duplicate_of"),
    "dates": _of_another_task("dependency_added", "dependency"),
    "date": _of_another_task("mentioned", "task"),
}


def _story_dates(dates: Object) -> Object:
    """Return the dates of a task or of a custom field in the form that stories have."""
    return {
        "start_on": dates.get("start_on"),
        "due_at": dates.get("due_at") or dates.get("date_time"),
        "due_on": dates.get("due_on") or dates.get("date"),
    }
