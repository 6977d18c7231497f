"""Catalogs in which more or less is selected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    Key = tuple[str, ...]
    Rows = dict[Key, dict[str, Any]]


# Of what objects and which of their arrays a part is, and what tells its rows apart.
PARTS = {
    "stories": ("task message", "stories", "gid"),
    "attachments": ("task message", "attachments", "gid"),
    "task_memberships": ("task", "memberships", "task_gid project_gid"),
    "task_followers": ("task", "followers", "task_gid gid"),
    "task_tags": ("task", "tags", "task_gid gid"),
    "task_likes": ("task", "likes", "task_gid gid"),
    "task_dependencies": ("task", "dependencies", "task_gid gid"),
    "task_custom_fields": ("task", "custom_fields", "task_gid gid"),
    "team_members": ("team", "members", "team_gid gid"),
    "message_parents": ("message", "parents", "message_gid gid"),
    "message_followers": ("message", "followers", "message_gid gid"),
}


def on(*parts: str) -> dict[tuple[str, ...], bool]:
    return {(part,): True for part in parts}


SCHEMAS = Path(__file__).parents[2] / "schemas"


def leaves(stream: str, *, opt_in: bool) -> set[str]:
    """Asana's paths of a stream's schema, with or without the opt-in fields that are not within arrays."""

    def walk(schema: dict[str, Any], path: str, *, in_array: bool) -> Iterator[str]:
        for name, child in schema["properties"].items():
            if "x-asana-opt-in" in child and not in_array and not opt_in:
                continue
            items = child.get("items", child)
            if items.get("properties"):
                yield from walk(items, f"{path}{name}.", in_array=in_array or "items" in child)
            else:
                yield path + name

    return {*walk(json.loads((SCHEMAS / f"{stream}.json").read_text()), "", in_array=False)} - {"workspace_gid"}


def only(catalog: dict[str, Any], stream: str, *paths: str) -> dict[tuple[str, ...], bool]:
    """Select a stream's paths, and what they are in, and nothing else of it."""
    [entry] = [each for each in catalog["streams"] if each["tap_stream_id"] == stream]
    wanted = {tuple(path.split(".")[: depth + 1]) for path in paths for depth in range(path.count(".") + 1)}
    breadcrumbs = [tuple(each["breadcrumb"]) for each in entry["metadata"] if each["breadcrumb"]]
    return {(stream, *breadcrumb): breadcrumb[1::2] in wanted for breadcrumb in breadcrumbs}


OFF = {(stream,): False for stream in ("exports", "tasks", "messages", "teams")}
