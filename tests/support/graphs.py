"""Graphs of the sandbox, and the streams that take them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tap_asana_export.sandbox.graph import KINDS
from tests.support.tap import WORKSPACE, select

if TYPE_CHECKING:
    from tap_asana_export.sandbox import Sandbox

STREAMS = {
    "portfolio": "graph_portfolios",
    "project": "graph_projects",
    "section": "graph_sections",
    "task": "graph_tasks",
    "portfolio_to_portfolio": "graph_portfolio_to_portfolio",
    "project_to_portfolio": "graph_project_to_portfolio",
    "allocation": "graph_allocations",
    "time_tracking_entry": "graph_time_tracking_entries",
}
"""By resource_type, the stream that takes it."""


RESOURCES = ("tasks", "messages", "teams")


def selecting(catalog: dict[str, Any], streams: Any) -> dict[str, Any]:
    return select(catalog, {(stream,): stream in streams for stream in (*RESOURCES, *STREAMS.values())})


def parents(sandbox: Sandbox) -> dict[str, str]:
    """By kind, one that has something of most types."""
    return {kind: sandbox.parents(WORKSPACE, kind)[0] for kind in KINDS}


def in_graph(sandbox: Sandbox, *gids: str) -> dict[str, list[dict[str, Any]]]:
    """By stream, the records that exports of these parents bring now."""
    found: dict[str, list[dict[str, Any]]] = {stream: [] for stream in STREAMS.values()}
    for gid in gids:
        for each in sandbox.graph_objects(gid):
            found[STREAMS[each["resource_type"]]].append({**json.loads(json.dumps(each)), "parent_gid": gid})
    return found
