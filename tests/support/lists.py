"""Asana's lists: what to select, what records should be, and how an organization's change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_asana_export.sources import SOURCES
from tests.support.tap import WORKSPACE, select

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_asana_export.sandbox import Sandbox

LISTS = [source.stream for source in SOURCES if source.list]
KEYS = {source.stream: source.keys for source in SOURCES}

LIST_MOMENTS = ("list", "projects", "next_page", "turn", "page")
"""The moments of the sandbox's faults that only lists can meet."""

Rows = dict[tuple[str, ...], dict[str, Any]]


def only(catalog: dict[str, Any], streams: Iterable[str], *, opt_in: bool = False) -> dict[str, Any]:
    """A catalog that selects these streams, and their opt-in fields if that is wanted."""
    wanted = {*streams}
    names = [each["tap_stream_id"] for each in catalog["streams"]]
    selected = select(catalog, {(name,): name in wanted for name in names})
    for stream in selected["streams"]:
        for each in stream["metadata"]:
            if opt_in and each["metadata"].get("selected-by-default") is False and each["breadcrumb"]:
                each["metadata"]["selected"] = True
    return selected


def by_key(stream: str, records: Iterable[dict[str, Any]]) -> Rows:
    """The records by key, each of which comes once."""
    found: Rows = {}
    for record in records:
        key = tuple(record[name] for name in KEYS[stream])
        assert key not in found, f"{key} came twice"
        found[key] = record
    return found


def listed(sandbox: Sandbox, stream: str, workspace: str = WORKSPACE) -> Rows:
    """What a stream's records should be."""
    return by_key(stream, ({**each, "workspace_gid": workspace} for each in sandbox.listed(workspace, stream)))


def change_lists(sandbox: Sandbox, workspace: str = WORKSPACE) -> None:
    """Rename, add and delete objects of lists."""
    organization = sandbox.organizations[workspace]
    for stream, kind in {"users": "user", "projects": "project", "tags": "tag", "portfolios": "portfolio"}.items():
        gids = [each["gid"] for each in sandbox.listed(workspace, stream)]
        organization.touch(gids[0])
        organization.add(kind)
        organization.delete(gids[1])
