"""Organizations of the sandbox, looked at as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


# Asana's OpenAPI file, 2026-06-11, and its description of exports.
DEFAULT = {
    "task": {
        *("gid", "resource_type", "name", "resource_subtype", "approval_status", "assignee_status", "completed"),
        *("completed_at", "completed_by", "created_at", "due_at", "due_on", "hearted", "hearts", "liked", "likes"),
        *("memberships", "modified_at", "notes", "num_hearts", "num_likes", "start_at", "start_on"),
        *("actual_time_minutes", "assignee", "assignee_section", "custom_fields", "custom_type"),
        *("custom_type_status_option", "followers", "parent", "projects", "tags", "workspace", "permalink_url"),
        *("attachments", "stories"),
    },
    "team": {
        *("gid", "resource_type", "name", "organization", "permalink_url", "visibility", "endorsed"),
        *("edit_team_name_or_description_access_level", "edit_team_visibility_or_trash_team_access_level"),
        *("member_invite_management_access_level", "guest_invite_management_access_level"),
        *("join_request_management_access_level", "team_member_removal_access_level"),
        *("team_content_management_access_level", "custom_field_settings", "members"),
    },
    "message": {
        *("gid", "resource_type", "resource_subtype", "status_type", "created_by", "created_at", "modified_at"),
        *("title", "text", "num_likes", "likes", "stories", "attachments", "followers", "parents"),
    },
}


def filled(items: Iterable[dict[str, Any]]) -> set[str]:
    """The fields that hold something somewhere."""
    return {name for item in items for name, value in item.items() if value not in (None, [])}


def gids_in(value: Any) -> Iterable[tuple[str, str]]:
    """Every gid with what it is the gid of, at any depth; likes have no resource_type."""
    if isinstance(value, list):
        for item in value:
            yield from gids_in(item)
    elif isinstance(value, dict):
        if "gid" in value:
            yield value["gid"], value.get("resource_type", "like")
        for key, item in value.items():
            if key != "external":  # what another program calls it
                yield from gids_in(item)
