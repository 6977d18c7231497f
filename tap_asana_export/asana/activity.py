"""Asks for what happened in a workspace: Asana's audit log, and the workspace's events."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_asana_export.asana.pages import Pages
from tap_asana_export.errors import AnswerError, UnreachableError, UnreadableError
from tap_asana_export.redaction import redact_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_asana_export.asana.client import Asana
    from tap_asana_export.waiting import Waiting

logger = logging.getLogger(__name__)

AUDIT_LOG = "/workspaces/{}/audit_log_events"
"""Path of a workspace's audit log, https://developers.asana.com/docs/audit-log-events."""

PAGE = 100
"""Events of a page of the audit log."""


def read_audit_log(
    asana: Asana, workspace_gid: str, start_at: str, take: Callable[[Any], None], **only: str | None
) -> Waiting[None]:
    """Read the audit log from a time to its end.

    Args:
        asana: the API.
        workspace_gid: the workspace.
        start_at: the time.
        take: takes each event, oldest first.
        only: the one `event_type` that is wanted, or the events of one `resource_gid`; None: all are.

    Raises:
        AnswerError: Asana refuses: with 402 or 403 if the plan, or the token, has no audit log.
        UnreachableError: no answer.
        UnreadableError: an answer is no page of events, or its pages lead nowhere.
    """
    path = AUDIT_LOG.format(workspace_gid)
    params = {"limit": PAGE, "start_at": start_at, **{name: value for name, value in only.items() if value}}
    pages = Pages(f"GET {path}")
    while True:
        page = yield from asana.events(path, params)
        for event in page.data:
            take(event)
        # A next page is named also when there is none: its data are empty then.
        if not page.data or page.next_page is None:
            return
        pages.go_on(page.next_page.offset, page.data)
        params = {**params, "offset": page.next_page.offset}


def read_events(asana: Asana, workspace_gid: str, sync: str | None, take: Callable[[Any], None]) -> Waiting[str | None]:
    """Read the workspace's events since a sync token.

    Args:
        asana: the API.
        workspace_gid: the workspace.
        sync: the token; None: there is none yet.
        take: takes each event.

    Returns:
        The token to go on from; None: Asana gave none.

    Raises:
        ExpiredTokenError: Asana does not take the token any more; the error has a fresh one.
        AnswerError: Asana refuses: with 402 or 403 if the plan, or the token, has no events.
        UnreachableError: no answer.
        UnreadableError: an answer holds no events, or the answers lead nowhere.
    """
    path = f"/workspaces/{workspace_gid}/events"
    pages = Pages(f"GET {path}", sync)
    while True:
        page = yield from asana.events(path, {"sync": sync} if sync else {})
        for event in page.data:
            take(event)
        if not page.has_more:
            return page.sync or sync
        pages.go_on(page.sync, page.data)
        sync = page.sync


class Started(NamedTuple):
    """The start of an export, as the audit log tells it.

    Attributes:
        at: when, as Asana writes it.
        by: who did it: a name, or else a gid or a type.
    """

    at: str
    by: str


def read_last_start(asana: Asana, workspace_gid: str, since: str) -> Waiting[Started | None]:
    """Ask the audit log once who started the workspace's last export; None: it does not tell, or may not be read.

    Args:
        asana: the API.
        workspace_gid: the workspace.
        since: exports that were started before this time are not looked for.
    """
    try:
        params = {"event_type": "object_export_started", "start_at": since, "limit": PAGE}
        page = yield from asana.events(AUDIT_LOG.format(workspace_gid), params, retries=0, is_paced=False)
    except (AnswerError, UnreachableError, UnreadableError) as error:
        logger.debug("Workspace %s: the audit log does not tell who exports: %s", workspace_gid, error)
        return None
    return max(filter(None, map(_started, page.data)), default=None)


def _started(event: dict[str, Any]) -> Started | None:
    """The start that an event of the audit log tells of."""
    at, actor = event.get("created_at"), event.get("actor")
    if not isinstance(at, str) or not isinstance(actor, dict):
        return None
    by = next((each for name in ACTOR if isinstance(each := actor.get(name), str)), "Somebody")
    return Started(redact_line(at), redact_line(by))


ACTOR = ("name", "gid", "actor_type")
"""The properties of an actor by which people know it, best first."""
