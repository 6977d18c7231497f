"""Answers to requests for lists, page by page: limits, offsets that expire, fields."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tap_asana_export.sandbox import graph
from tap_asana_export.sandbox.export import InvalidRequestError, check_fields, pick, shown, tree_of
from tap_asana_export.sandbox.faults import EXPIRED_OFFSET, FORBIDDEN, error
from tap_asana_export.sandbox.lists import LISTS, NAMED, View, items
from tap_asana_export.sandbox.wire import Answer, json_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from tap_asana_export.sandbox.directory import Object
    from tap_asana_export.sandbox.organization import Organization
    from tap_asana_export.sandbox.server import Sandbox
    from tap_asana_export.sandbox.wire import Request

API = "/api/1.0"
# Path, whose group is the gid of the workspace or other parent, and name of the list. Without a group, the workspace is
# a parameter.
ROUTES = (
    (r"/users", "users"),
    (r"/workspaces/([^/]+)/users", "users_by_name"),
    (r"/workspaces/([^/]+)/workspace_memberships", "workspace_memberships"),
    (r"/projects", "projects"),
    (r"/workspaces/([^/]+)/projects", "projects"),
    (r"/workspaces/([^/]+)/teams", "teams"),
    (r"/teams/([^/]+)/projects", "team_projects"),
    (r"/projects/([^/]+)/sections", "sections"),
    (r"/workspaces/([^/]+)/tags", "tags"),
    (r"/workspaces/([^/]+)/custom_fields", "custom_fields"),
    (r"/portfolios", "portfolios"),
    (r"/portfolios/([^/]+)/items", "portfolio_items"),
    (r"/goals", "goals"),
    (r"/time_periods", "time_periods"),
    (r"/project_templates", "project_templates"),
    (r"/allocations", "allocations"),
    (r"/time_tracking_entries", "time_tracking_entries"),
)
_MOST, _UNPAGED = 100, 1000
_TOO_LARGE = "The result is too large. You should use pagination (may require specifying a workspace)!"
# What Asana words otherwise for each kind of object.
_REFUSALS = {402: "This is only available to premium users.", 403: FORBIDDEN, 404: "Unknown object"}


class UnknownObjectError(LookupError):
    """There is no object that the request names; the text says which."""


class Offsets:
    """The tokens that stand for a rank, in Asana's form: a JSON Web Token that expires.

    Args:
        clock: returns the present.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._secret = secrets.token_bytes()

    def encode(self, rank: int, seconds: float) -> str:
        """Return a token that is good for some seconds."""
        now = self._clock().timestamp()
        payload = {"border_rank": str(rank), "iat": int(now), "exp": int(now + seconds)}
        signed = ".".join(_base64(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "HS256"}, payload))
        return f"{signed}.{self._signature(signed)}"

    def decode(self, token: str) -> int:
        """Return the rank that a token stands for.

        Raises:
            InvalidRequestError: it has expired, or Asana never made it.
        """
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(signed).encode()):
            raise InvalidRequestError("offset: Your pagination token is invalid.")
        payload = signed.partition(".")[2]
        content = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        if self._clock().timestamp() >= content["exp"]:
            raise InvalidRequestError(EXPIRED_OFFSET)
        return int(content["border_rank"])

    def _signature(self, signed: str) -> str:
        return _base64(hmac.new(self._secret, signed.encode(), hashlib.sha256).digest())


def _base64(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


@dataclass
class Turn:
    """The way from one page to the next.

    Attributes:
        last: rank of the page's last object.
        following: rank at which the next page begins.
        vanish: deletes the first object of the next page.
    """

    last: int
    following: int
    vanish: Callable[[], None]


def answer(sandbox: Sandbox, request: Request, name: str, parent: str | None = None) -> Answer:
    """Answer a request for a page of a list.

    Args:
        sandbox: the stand-in for Asana.
        request: the request.
        name: name of the list.
        parent: gid of what the list is of; None if a parameter has it.

    Raises:
        InvalidRequestError: Asana would refuse the request.
    """
    moments = (
        "list",
        *(["projects"] if name == "projects" else []),
        *(["next_page"] if "offset" in request.query else []),
    )
    for moment in moments:
        refusal: Answer | None = next(sandbox.strikes(moment, sandbox.retry_after), None)
        if refusal:
            return refusal
    if name in sandbox.refused_lists:
        return refused(sandbox.refused_lists[name])
    listing = LISTS[name]
    if parent is None:
        if "workspace" not in request.query:
            raise InvalidRequestError("workspace: Missing input")
        parent = request.query["workspace"]
    if listing.needs and not request.query.keys() & {*listing.needs}:
        raise InvalidRequestError(f"{listing.needs[0]}: Missing input")
    try:
        organization, number = _find(sandbox, listing.parent, parent)
    except UnknownObjectError as unknown:
        return error(404, str(unknown))
    view = View(organization, organization.now(), number, request.query)
    return page(sandbox, request, lambda start: items(listing, view, start), listing.compact, organization)


def refused(status: int) -> Answer:
    """Return the answer to a request that Asana refuses, because of the plan or of what the token may."""
    return error(status, _REFUSALS.get(status, "Refused"))


def _find(sandbox: Sandbox, kind: str, gid: str) -> tuple[Organization, int]:
    if not re.fullmatch("[0-9]+", gid):
        raise InvalidRequestError(f"{kind}: Not a recognized ID: {shown(gid)[1:-1]}")
    if kind == "workspace" and gid in sandbox.organizations:
        return sandbox.organizations[gid], 0
    for organization in sandbox.organizations.values():
        found, number = graph.find(organization, gid) or ("", 0)
        if found == kind:
            return organization, number
    raise UnknownObjectError(f"{kind}: Unknown object: {gid}")


def page(
    sandbox: Sandbox,
    request: Request,
    found: Callable[[int], Iterator[tuple[int, Object]]],
    compact: tuple[str, ...] = NAMED,
    organization: Organization | None = None,
) -> Answer:
    """Answer with a page.

    Args:
        sandbox: the stand-in for Asana.
        request: the request.
        found: yields the objects from a rank on, with their ranks.
        compact: names of the fields that come unless `opt_fields` names others; none for all but a description.
        organization: the workspace that the objects belong to.

    Raises:
        InvalidRequestError: Asana would refuse the request.
    """
    query = request.query
    limit = limit_of(query["limit"]) if "limit" in query else _UNPAGED
    start = sandbox.offsets.decode(query["offset"]) if "offset" in query else 0
    show = fields_of(query, compact)
    taken = list(islice(found(start), limit + 1))
    content: Object = {"data": [show(item) for _, item in taken[:limit]]}
    if "limit" in query:
        content["next_page"] = None
    elif len(taken) > limit:
        raise InvalidRequestError(_TOO_LARGE)
    if len(taken) > limit:
        following, item = taken[limit]
        turn = Turn(taken[limit - 1][0], following, lambda: organization.delete(item["gid"]) if organization else None)
        sandbox.strike("turn", turn)
        offset = sandbox.offsets.encode(turn.following, sandbox.offset_seconds)
        path = f"{request.path.removeprefix(API)}?{urlencode({**query, 'offset': offset})}"
        content["next_page"] = {"offset": offset, "path": path, "uri": f"{sandbox.api_url}{path}"}
    sandbox.strike("page", content)
    return json_answer(content)


def limit_of(text: str) -> int:
    """Return the `limit` of a request.

    Raises:
        InvalidRequestError: Asana would refuse it.
    """
    if not re.fullmatch("[0-9]+", text):
        raise InvalidRequestError("limit: Not a valid number")
    limit = int(text) if len(text) <= len(str(_MOST)) else 0
    if not 0 < limit <= _MOST:
        raise InvalidRequestError(f"limit: Must be between 1 and {_MOST}")
    return limit


def fields_of(query: dict[str, str], compact: tuple[str, ...] = ()) -> Callable[[Object], Any]:
    """Return what picks the fields of an object that a request wants; see `page`.

    Raises:
        InvalidRequestError: Asana would refuse `opt_fields`.
    """
    if query.get("opt_fields"):
        fields = query["opt_fields"].split(",")
        check_fields("opt_fields", fields)
        tree = tree_of(fields)
        return lambda item: pick(item, tree)
    if compact:
        return lambda item: {name: item[name] for name in compact}
    return lambda item: {name: value for name, value in item.items() if name != "description"}
