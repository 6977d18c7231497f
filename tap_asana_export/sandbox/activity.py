"""What Asana tells of an organization's life: its audit log and its workspace events.

Both are made of the acts in `acts.py`, anew for each request. What was sent once stays where it is: a sync token or an
offset stands for an instant, and for how many of that instant were sent.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from tap_asana_export.sandbox import acts
from tap_asana_export.sandbox.export import instant_of
from tap_asana_export.sandbox.faults import error
from tap_asana_export.sandbox.pages import API, fields_of, limit_of, refused
from tap_asana_export.sandbox.population import mix, timestamp
from tap_asana_export.sandbox.wire import json_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tap_asana_export.sandbox.acts import Act
    from tap_asana_export.sandbox.directory import Object
    from tap_asana_export.sandbox.organization import Organization
    from tap_asana_export.sandbox.server import Sandbox
    from tap_asana_export.sandbox.wire import Answer, Request

_HOUR = 3_600_000
KEPT = 90 * 24 * _HOUR
"""Milliseconds for which the audit log keeps an event."""
EXPIRED_SYNC = (
    "Sync token invalid or too old. If you are attempting to keep resources in sync, you must fetch the full dataset"
    " for this query now and use the new sync token for the next sync."
)
# Changes by themselves whose acts are not made anew for each request.
_REMEMBERED = 50_000
# The offset of the audit log's next page has the instant before this many places of one instant.
_PLACES = 10**6
_PAGE = 1000
_EVENTS = {"added", "changed", "removed", "deleted", "undeleted"}
_DELETABLE = {
    *("task", "message", "status_update", "story", "comment", "attachment", "project", "portfolio", "goal", "team"),
    *("custom_field", "project_template"),
}


# What the audit log calls things by their subtype.
_SPECIAL = {"status_update": "status_update", "comment_added": "comment"}


class _Logged(NamedTuple):
    """How the audit log calls an action, and for which things it tells of it."""

    name: str
    category: str
    things: set[str]


_LOGGED = {
    "deleted": _Logged("{}_deleted", "deletion", _DELETABLE),
    "undeleted": _Logged("{}_undeleted", "deletion", _DELETABLE),
    "deleted_for_good": _Logged("{}_permanently_deleted", "deletion", {"task", "message", "status_update"}),
    "uploaded": _Logged("{}_uploaded", "creation", {"attachment"}),
    "added": _Logged("{}_created", "creation", {"team"}),
    "started": _Logged("object_export_started", "exports", {"workspace"}),
}
_BY_USER = {"context_type": "web", "client_ip_address": "127.0.0.1", "user_agent": "Mozilla/5.0"}
_BY_ASANA = {"context_type": "asana"}
_BY_PROGRAM = {
    "context_type": "api",
    "api_authentication_method": "service_account",
    "client_ip_address": "127.0.0.1",
}
# Types of events that happen by themselves, without and with changes of objects.
_BY_THEMSELVES = re.compile("(task|message|status_update)_(permanently_)?deleted")
_OF_CHANGES = re.compile("attachment_(uploaded|deleted)")


class Activity:
    """What has happened in an organization, as Asana tells it.

    Args:
        organization: the workspace.
    """

    def __init__(self, organization: Organization) -> None:
        self.organization = organization
        self._of_change: Callable[[str, int, int, int], list[Act]] = lru_cache(_REMEMBERED)(
            partial(acts.of_change, organization)
        )

    def events(self, after: int, until: int) -> list[Act]:
        """Return what events tell of after an instant, up to another one, in order."""
        happened = merge(
            acts.natural(self.organization, after, until, self._of_change),
            acts.of_programs(self.organization, after, until),
            key=acts.when,
        )
        return [act for act in happened if act.action in _EVENTS]

    def audit_log(self, start: int, end: int, query: Mapping[str, str] = {}) -> Iterator[Act]:
        """Yield what the audit log has kept from an instant on, before another one, in order.

        Args:
            start: the first instant, inclusive.
            end: the last instant, exclusive.
            query: parameters that filter, as in a request.
        """
        now = self.organization.now()
        after, until = max(start, now - KEPT) - 1, min(end - 1, now)
        done = merge(
            self._natural(after, until, query.get("event_type")),
            acts.of_programs(self.organization, after, until),
            key=acts.when,
        )
        filters = [(of, query[name]) for name, of in _FILTERS.items() if name in query]
        for act in done:
            if _event_type(act) and all(of(act) == wanted for of, wanted in filters):
                yield act

    def _natural(self, after: int, until: int, event_type: str | None) -> Iterator[Act]:
        if not self.organization.change_interval:
            return
        aspects: frozenset[str] = frozenset()
        if event_type is None or _OF_CHANGES.fullmatch(event_type):
            aspects = frozenset(("attachment",))
        elif not _BY_THEMSELVES.fullmatch(event_type):
            return
        # In steps with about a thousand deletions, so that a page does not take long.
        step = int(self.organization.change_interval * 1_000_000) + _HOUR
        for start in range(after, until, step):
            yield from acts.natural(self.organization, start, min(start + step, until), self._of_change, aspects)


# ── the audit log ────────────────────────────────────────────────────────────────────────────────────────


def _thing(act: Act) -> str:
    """Return what the audit log calls the item of an act."""
    return str(_SPECIAL.get(act.item.get("resource_subtype", "")) or act.item["resource_type"])


def _event_type(act: Act) -> str | None:
    """Return the type of the event that the audit log has of an act; None if it has none."""
    logged = _LOGGED.get(act.action)
    return logged.name.format(_thing(act)) if logged and _thing(act) in logged.things else None


_FILTERS: dict[str, Callable[[Act], str | None]] = {
    "event_type": _event_type,
    "actor_type": lambda act: "user" if act.user else "asana",
    "actor_gid": lambda act: act.user["gid"] if act.user else None,
    "resource_gid": lambda act: act.item["gid"],
}


def audit_event_of(organization: Organization, act: Act) -> Object:
    """Return the event that the audit log has of an act."""
    item, thing = act.item, _thing(act)
    number = mix(organization.directory.seed, int(item["gid"]), act.instant, *act.order)
    resource_type = thing if thing == "status_update" else item["resource_type"]
    resource = {"resource_type": resource_type, "gid": item["gid"], "name": item.get("name")}
    if "resource_subtype" in item and thing != "status_update":
        resource["resource_subtype"] = item["resource_subtype"]
    context = _BY_ASANA if act.user is None else _BY_PROGRAM if act.action == "started" else _BY_USER
    return {
        "gid": str(10**17 + number % (9 * 10**17)),
        "created_at": timestamp(act.instant),
        "event_type": _event_type(act),
        "event_category": _LOGGED[act.action].category,
        "actor": _actor(organization, act.user),
        "resource": resource,
        "details": {},
        "context": context,
    }


def _actor(organization: Organization, user: Object | None) -> Object:
    if user is None:
        return {"actor_type": "asana"}
    _, number = organization.directory.parse(user["gid"]) or ("", 0)
    whole = organization.directory.whole_user(number)
    return {"actor_type": "user", "gid": user["gid"], "name": whole["name"], "email": whole["email"]}


def audit_log_answer(sandbox: Sandbox, request: Request, gid: str) -> Answer:
    """Answer a request for a page of the audit log.

    Raises:
        InvalidRequestError: Asana would refuse the request.
    """
    refusal = _refusal(sandbox, "audit_log", gid)
    if not refusal and "offset" in request.query:
        refusal = next(sandbox.strikes("next_page", sandbox.retry_after), None)
    if refusal:
        return refusal
    query = request.query
    limit = limit_of(query["limit"]) if "limit" in query else _PAGE
    show = fields_of(query)
    start, end = (instant_of(name, query[name]) if name in query else None for name in ("start_at", "end_at"))
    instant, sent = divmod(sandbox.offsets.decode(query["offset"]), _PLACES) if "offset" in query else (0, 0)
    organization = sandbox.organizations[gid]
    end = organization.now() + 1 if end is None else end
    found = sandbox.activities[gid].audit_log(max(start or 0, instant), end, query)
    page = list(islice(_after(found, instant, sent), limit))
    if page:
        same = sum(act.instant == page[-1].instant for act in page)
        sent = same + sent * (page[-1].instant == instant)
        instant = page[-1].instant
    following = None
    if page or "offset" in query:
        offset = sandbox.offsets.encode(instant * _PLACES + sent, sandbox.offset_seconds)
        path = f"{request.path.removeprefix(API)}?{urlencode({**query, 'offset': offset})}"
        following = {"offset": offset, "path": path, "uri": f"{sandbox.api_url}{path}"}
    content: Object = {"data": [show(audit_event_of(organization, act)) for act in page], "next_page": following}
    sandbox.strike("audit_log_page", content)
    sandbox.strike("page", content)
    return json_answer(content)


def _after(found: Iterator[Act], instant: int, sent: int) -> Iterator[Act]:
    """Leave out the first acts of an instant, which were sent already."""
    for act in found:
        if act.instant == instant and sent:
            sent -= 1
        else:
            yield act


def _refusal(sandbox: Sandbox, moment: str, gid: str) -> Answer | None:
    refusal: Answer | None = next(sandbox.strikes(moment, sandbox.retry_after), None)
    name = "audit_log_events" if moment == "audit_log" else moment
    if not refusal and name in sandbox.refused_lists:
        return refused(sandbox.refused_lists[name])
    if not refusal and gid not in sandbox.organizations:
        return error(404, f"workspace: Unknown object: {gid}")
    return refusal


# ── workspace events ─────────────────────────────────────────────────────────────────────────────────────


def event_of(act: Act) -> Object:
    """Return the event that tells of an act."""
    event = {
        "user": act.user,
        "created_at": timestamp(act.instant),
        "type": act.item["resource_type"],
        "action": act.action,
        "resource": act.item,
        "parent": act.parent if act.action in ("added", "removed") else None,
    }
    return event if act.change is None else {**event, "change": act.change}


class _Position(NamedTuple):
    """What a sync token stands for.

    Attributes:
        arrival: instant at which the last event that was sent arrived.
        sent: how many of those that arrived then were sent.
        made: instant at which the token was made.
    """

    arrival: int
    sent: int
    made: int


def _token(organization: Organization, position: _Position) -> str:
    numbers = ":".join(f"{number:x}" for number in position)
    return f"{mix(organization.directory.seed, *position):016x}:{numbers}"


def _position(organization: Organization, token: str) -> _Position | None:
    if not re.fullmatch("[0-9a-f]{16}(:[0-9a-f]{1,12}){3}", token):
        return None
    position = _Position(*(int(number, 16) for number in token.split(":")[1:]))
    return position if _token(organization, position) == token else None


def _arrived(sandbox: Sandbox, gid: str, since: int, now: int) -> list[tuple[int, Act]]:
    """Return the events that have arrived from an instant on, each with the instant at which it did."""
    late = int(sandbox.events_late * 1000)
    is_irregular = late or sandbox.events_lost
    arrived = []
    for act in sandbox.activities[gid].events(since - late - 1, now):
        number = mix(act.instant, int(act.item["gid"]), *act.order) if is_irregular else 0
        arrival = act.instant + number % (late + 1)
        is_lost = sandbox.events_lost and number // (late + 1) % sandbox.events_lost == 0
        is_left_out = not sandbox.events_of_tasks and act.item["resource_type"] in ("task", "story")
        if since <= arrival <= now and not is_lost and not is_left_out:
            arrived.append((arrival, act))
    return sorted(arrived, key=lambda each: (each[0], acts.when(each[1])))


def events_answer(sandbox: Sandbox, request: Request, gid: str) -> Answer:
    """Answer a request for the events since a sync token was made."""
    refusal = _refusal(sandbox, "events", gid)
    if refusal:
        return refusal
    organization = sandbox.organizations[gid]
    show = fields_of(request.query)
    now = organization.now()
    position = _position(organization, request.query.get("sync", ""))
    refusal = next(sandbox.strikes("sync", EXPIRED_SYNC), None)
    if refusal or not position or now - position.made >= sandbox.sync_seconds * 1000:
        fresh = _Position(now, len(_arrived(sandbox, gid, now, now)), now)
        return json_answer({"errors": [{"message": EXPIRED_SYNC}], "sync": _token(organization, fresh)}, 412)
    arrived = _arrived(sandbox, gid, position.arrival, now)[position.sent :]
    page = arrived[: sandbox.events_a_request]
    last = page[-1][0] if len(arrived) > len(page) else now
    same = sum(arrival == last for arrival, _ in page)
    following = _Position(last, same + position.sent * (last == position.arrival), now)
    content: Object = {
        "data": [show(event_of(act)) for _, act in page],
        "sync": _token(organization, following),
        "has_more": len(arrived) > len(page),
    }
    sandbox.strike("events_page", content)
    sandbox.strike("page", content)
    return json_answer(content)
