"""What is in an organization of the sandbox, and what was asked of it."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING, Any

from tap_asana_export.sandbox import Sandbox
from tests.support.tap import WORKSPACE

if TYPE_CHECKING:
    from tap_asana_export.sandbox import Sandbox


def overlapping(sandbox: Sandbox) -> dict[str, Any]:
    """Filters of which most tasks match several, and some none."""
    tasks = list(sandbox.objects(WORKSPACE, "task"))
    times = sorted(task["created_at"] for task in tasks)
    followers = sorted({user["gid"] for task in tasks for user in task["followers"]})
    return {
        "tasks": [
            {"created_at.after": times[9]},
            {"created_at.after": times[4], "followers.any": followers},
            {"followers.any": followers[:3]},
        ]
    }


def ask(sandbox: Sandbox, path: str) -> Any:
    request = urllib.request.Request(  # noqa: S310 - loopback
        sandbox.api_url + path, headers={"Authorization": f"Bearer {sandbox.access_token}"}
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - loopback
        return json.load(answer)["data"]


def export_file(sandbox: Sandbox, job_gid: str) -> tuple[dict[str, Any], bytes]:
    """A job's export as Asana tells it, and its file."""
    export = ask(sandbox, f"/jobs/{job_gid}")["new_resource_export"]
    with urllib.request.urlopen(export["download_url"]) as answer:  # noqa: S310 - loopback
        return export, answer.read()


def requests_of(sandbox: Sandbox, method: str) -> list[Any]:
    return [each for each in sandbox.requests if each.method == method and each.path.startswith("/api")]


def parameters(sandbox: Sandbox) -> list[Any]:
    """What every request for an export asked for."""
    return [json.loads(each.body)["data"]["export_request_parameters"] for each in requests_of(sandbox, "POST")]


def expected(sandbox: Sandbox, stream: str, workspace_gid: str = WORKSPACE) -> dict[str, dict[str, Any]]:
    """By gid, the records that a whole export of the organization brings to a stream now."""
    objects = sandbox.objects(workspace_gid, {"tasks": "task", "messages": "message", "teams": "team"}[stream])
    return {each["gid"]: {**json.loads(json.dumps(each)), "workspace_gid": workspace_gid} for each in objects}
