"""The audit log and the workspace events of the sandbox, as a client reads them."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tests.support.tap import WORKSPACE

if TYPE_CHECKING:
    from tap_asana_export.sandbox import Sandbox

ACTIVITY_MOMENTS = ("audit_log", "events", "sync", "audit_log_page", "events_page")
"""The moments of the sandbox's faults that only the audit log and workspace events can meet."""


def ask(sandbox: Sandbox, name: str, workspace: str = WORKSPACE, **query: str | int) -> tuple[int, Any]:
    """The status and the JSON of an answer to a request for `events` or `audit_log_events`."""
    connection = http.client.HTTPConnection(sandbox.api_url.split("/")[2], timeout=5)
    target = f"/api/1.0/workspaces/{workspace}/{name}?{urlencode(query)}"
    try:
        connection.request("GET", target, headers={"Authorization": "Bearer sandbox"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def sync_token(sandbox: Sandbox, workspace: str = WORKSPACE) -> str:
    """A fresh sync token."""
    status, content = ask(sandbox, "events", workspace)
    assert status == 412
    return str(content["sync"])


def events_since(sandbox: Sandbox, token: str, workspace: str = WORKSPACE) -> tuple[list[dict[str, Any]], str]:
    """All events since a token was made, and the next token."""
    found, has_more = [], True
    while has_more:
        status, content = ask(sandbox, "events", workspace, sync=token)
        assert status == 200, content
        found += content["data"]
        token, has_more = content["sync"], content["has_more"]
    return found, token


def logged(sandbox: Sandbox, workspace: str = WORKSPACE, **query: str | int) -> list[dict[str, Any]]:
    """All events of the audit log that match."""
    found: list[dict[str, Any]] = []
    _, content = ask(sandbox, "audit_log_events", workspace, **{"limit": 100, **query})
    while content["data"]:
        found += content["data"]
        offset = content["next_page"]["offset"]
        _, content = ask(sandbox, "audit_log_events", workspace, **{"limit": 100, **query, "offset": offset})
    return found
