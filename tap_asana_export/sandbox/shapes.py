"""What tasks are made of, as measurements want them: long prose, or many small objects as real tasks."""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    """What tasks are made of. Where there are several numbers, each task draws one of them.

    Attributes:
        followers: followers of a task.
        likes: likes of a task.
        attachments: youngest attachments of a task or message.
        stories: youngest stories of a task or message.
        most_stories: the same of every 64th.
        sentences: sentences of its notes.
        most_sentences: the same of every 211th task.
        is_brief: whether a task's custom fields and stories have only the properties that most real ones have. Without
            it custom fields are of all types, and what follows is not looked at.
        fields: custom fields of a task.
        options: options of a custom field, which draws one of these.
        kinds: types of custom fields.
        definitions: custom fields of a workspace, at least.
    """

    followers: tuple[int, ...]
    likes: tuple[int, ...]
    attachments: tuple[int, ...]
    stories: tuple[int, ...]
    most_stories: int
    sentences: tuple[int, ...]
    most_sentences: int
    is_brief: bool = False
    fields: tuple[int, ...] = ()
    options: tuple[int, ...] = ()
    kinds: tuple[str, ...] = ("enum",)
    definitions: int = 0


_PROSE = Shape(
    followers=(1, 2, 3, 4),
    likes=(0, 0, 0, 1, 2, 3, 0, 9),
    attachments=(0, 1, 2),
    stories=(1, 1, 1, 2, 2, 3, 4, 6),
    most_stories=60,
    sentences=(0, 4, 8, 12, 16, 24, 36, 64),
    most_sentences=400,
)
_DENSE = Shape(
    followers=(0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 15),
    likes=(0, 0, 0, 1, 0, 0, 0, 2),
    attachments=(0, 0, 0, 1),
    stories=(1, 1, 1, 1, 1, 2, 2, 6),
    most_stories=40,
    sentences=(0, 1, 1, 2),
    most_sentences=8,
    is_brief=True,
    fields=(*[3] * 30, 4, 12),
    options=(*[4] * 28, 5, 6, 8, 20),
    definitions=80,
)

SHAPES = {
    "prose": _PROSE,
    "dense": _DENSE,
    # One real task had 37 custom fields, 19 of its 21 kB.
    "wide": _DENSE._replace(
        fields=(37,),
        options=(1, 4, 3, 2, 18, 3, 5, 1, 2, 6, 57),
        kinds=("enum", "text", "number", "text", "text"),
        definitions=37,
    ),
}
"""Shapes by name: `dense` tasks are many small objects, `wide` ones have 37 custom fields."""

REAL_TASK = (
    *("gid", "actual_time_minutes", "assignee", "assignee_status", "completed", "completed_at", "created_at"),
    *("custom_fields", "due_at", "due_on", "followers", "hearted", "hearts", "liked", "likes", "memberships"),
    *("modified_at", "name", "notes", "num_hearts", "num_likes", "parent", "permalink_url", "projects"),
    *("resource_type", "start_at", "start_on", "tags", "resource_subtype", "workspace"),
)
"""A task's properties in the order in which one of Asana's answers had them; `resource_type` comes late."""

BRIEF_FIELD = (
    *("gid", "enabled", "name", "description", "precision", "number_value", "created_by", "display_value"),
    *("resource_subtype", "resource_type", "is_formula_field", "is_value_read_only", "type", "text_value"),
    *("enum_options", "enum_value"),
)
"""The properties of a custom field in the same answer. Those without a value are absent, but for `display_value`."""

BRIEF_STORY = ("gid", "created_at", "created_by", "resource_type", "resource_subtype", "text", "type")

ORDERS: dict[str, tuple[str, ...]] = {"documented": (), "real": REAL_TASK}
"""Orders of a task's properties, by name; those that an order does not name follow."""
