"""What Asana tells of an organization's life: its audit log and its workspace events.

Both are made of the acts in `acts.py`, anew for each request. What was told stays where it is, so a place among the
events or in the audit log is an instant, and how much of that instant was told.
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
# The types that objects have by themselves, and those whose events change with an aspect.
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

    def audit_log(self, start: int, end: int, query: Mapping[str, str] = {}) -> Iterator[tuple[int, Object]]:
        """Yield what the audit log has kept from an instant on, before another one, in order, each with its instant.

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
        for act in done:
            logged = _audit_event(self.organization, act)
            if logged and all(keep(logged) == query[name] for name, keep in _FILTERS.items() if name in query):
                yield act.instant, logged

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

_FILTERS: dict[str, Callable[[Object], str]] = {
    "event_type": lambda logged: logged["event_type"],
    "actor_type": lambda logged: logged["actor"]["actor_type"],
    "actor_gid": lambda logged: logged["actor"].get("gid", ""),
    "resource_gid": lambda logged: logged["resource"]["gid"],
}


def _audit_event(organization: Organization, act: Act) -> Object | None:
    item, thing = act.item, act.item["resource_type"]
    if item.get("resource_subtype") in ("status_update", "comment_added"):
        thing = item["resource_subtype"].removesuffix("_added")
    logged = _LOGGED.get(act.action)
    if not logged or thing not in logged.things:
        return None
    number = mix(organization.directory.seed, int(item["gid"]), act.instant, *act.order)
    resource_type = "story" if thing == "comment" else thing
    resource = {"resource_type": resource_type, "gid": item["gid"], "name": item.get("name")}
    if "resource_subtype" in item and thing != "status_update":
        resource["resource_subtype"] = item["resource_subtype"]
    is_by_program = act.action == "started"
    return {
        "gid": str(10**17 + number % (9 * 10**17)),
        "created_at": timestamp(act.instant),
        "event_type": logged.name.format(thing),
        "event_category": logged.category,
        "actor": _actor(organization, act.user),
        "resource": resource,
        "details": {},
        "context": _BY_PROGRAM if is_by_program else _BY_ASANA if act.user is None else _BY_USER,
    }


_BY_PROGRAM = {
    "context_type": "api",
    "api_authentication_method": "service_account",
    "client_ip_address": "127.0.0.1",
}
_BY_ASANA = {"context_type": "asana"}
_BY_USER = {"context_type": "web", "client_ip_address": "127.0.0.1", "user_agent": "Mozilla/5.0"}


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
    instant, told = divmod(sandbox.offsets.decode(query["offset"]), _PLACES) if "offset" in query else (0, 0)
    found = sandbox.activities[gid].audit_log(
        max(start or 0, instant), sandbox.organizations[gid].now() + 1 if end is None else end, query
    )
    page = []
    for each, logged in islice(_after(found, instant, told), limit):
        told = told + 1 if each == instant else 1
        instant = each
        page.append(logged)
    following = None
    if page or "offset" in query:
        offset = sandbox.offsets.encode(instant * _PLACES + told, sandbox.offset_seconds)
        path = f"{request.path.removeprefix(API)}?{urlencode({**query, 'offset': offset})}"
        following = {"offset": offset, "path": path, "uri": f"{sandbox.api_url}{path}"}
    content: Object = {"data": [show(logged) for logged in page], "next_page": following}
    sandbox.strike("audit_log_page", content)
    sandbox.strike("page", content)
    return json_answer(content)


def _after(found: Iterator[tuple[int, Object]], instant: int, told: int) -> Iterator[tuple[int, Object]]:
    """Leave out the first events of an instant, which were told already."""
    for each in found:
        if each[0] == instant and told:
            told -= 1
        else:
            yield each


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
        arrival: instant at which the last event that was told arrived.
        told: how many of those that arrived then were told.
        made: instant at which the token was made.
    """

    arrival: int
    told: int
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
    arrived = []
    for act in sandbox.activities[gid].events(since - late - 1, now):
        number = mix(act.instant, int(act.item["gid"]), *act.order)
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
    present = _Position(now, len(_arrived(sandbox, gid, now, now)), now)
    position = _position(organization, request.query.get("sync", ""))
    refusal = next(sandbox.strikes("sync", EXPIRED_SYNC), None)
    if refusal or not position or now - position.made >= sandbox.sync_seconds * 1000:
        return json_answer({"errors": [{"message": EXPIRED_SYNC}], "sync": _token(organization, present)}, 412)
    arrived = _arrived(sandbox, gid, position.arrival, now)[position.told :]
    page = arrived[: sandbox.events_a_request]
    following = present
    if len(arrived) > len(page):
        last = page[-1][0]
        same = sum(arrival == last for arrival, _ in page)
        following = _Position(last, same + position.told * (last == position.arrival), now)
    content: Object = {
        "data": [show(event_of(act)) for _, act in page],
        "sync": _token(organization, following),
        "has_more": len(arrived) > len(page),
    }
    sandbox.strike("events_page", content)
    sandbox.strike("page", content)
    return json_answer(content)
