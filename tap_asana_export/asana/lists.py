"""Asks for Asana's lists: page by page, and in other ways where one request after another does not do."""

from __future__ import annotations

import functools
import logging
from datetime import date, timedelta
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qsl

import msgspec
import requests

from tap_asana_export.asana.models import Resource
from tap_asana_export.asana.pace import A_MINUTE, AT_ONCE
from tap_asana_export.asana.pages import Pages
from tap_asana_export.errors import AnswerError, UnreachableError, UnreadableError
from tap_asana_export.waiting import side_by_side
from tap_asana_export.words import count

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from tap_asana_export.asana.client import Asana
    from tap_asana_export.sources import ListRequest
    from tap_asana_export.waiting import Waiting

logger = logging.getLogger(__name__)

PAGE = 100
"""Objects of a page: the most that Asana gives, https://developers.asana.com/docs/pagination."""

FIRST_MONTH = date(2022, 1, 1)
"""Entries of time before this day are asked for together: Asana has had time tracking since that year."""

TakeObjects: TypeAlias = "Callable[[str, Sequence[msgspec.Raw]], None]"
"""Takes the gid of whose list it is, and the objects of a page, each as JSON text."""


def read_list(  # noqa: PLR0913 - all but four by name
    asana: Asana,
    request: ListRequest,
    workspace_gid: str,
    fields: Sequence[str],
    take: TakeObjects,
    *,
    what: str,
    since: date | None = None,
    of_each: Collection[str] = (),
) -> Waiting[bool]:
    """Read a list in the way that Asana needs.

    Args:
        asana: the API.
        request: the list.
        workspace_gid: its workspace.
        fields: the fields to ask of each object.
        take: takes the objects of each page; an object may come more than once, but only once of each of `of_each`.
        what: the list, as the log names it.
        since: the day from which on entries of time are wanted; None: all are.
        of_each: gids of the objects that have such a list each.

    Returns:
        Whether all objects came, so that whatever else a table has is gone.

    Raises:
        AnswerError: Asana refuses the list, or its offset twice.
        UnreachableError: it does not answer, or answers "not now" to every try.
        UnreadableError: an answer is no page of objects, or its pages lead nowhere.
    """
    path = request.path.replace("{workspace_gid}", workspace_gid)
    take_own = functools.partial(take, workspace_gid)
    if request.of_each:
        return (yield from _read_of_each(asana, path, of_each, fields, take, what))
    if not request.is_paged:
        take_own([(yield from asana.object(path, {"opt_fields": ",".join(fields)}))])
    elif request.by_month:
        for month in months(since, date.today()):  # noqa: DTZ011 - a day more or less is in the last window
            yield from read_pages(asana, path + month, fields, take_own)
    elif request.may_time_out:
        return (yield from _read_projects(asana, path, workspace_gid, fields, take_own, what))
    elif request.otherwise:
        otherwise = request.otherwise.replace("{workspace_gid}", workspace_gid)
        return (yield from _read_otherwise(asana, path, otherwise, fields, take_own, what))
    else:
        yield from read_pages(asana, path, fields, take_own)
    return True


def read_pages(
    asana: Asana,
    path: str,
    fields: Sequence[str],
    take: Callable[[Sequence[msgspec.Raw]], None],
    retries: int | None = None,
) -> Waiting[None]:
    """Read all pages of a list; when Asana takes an offset no more, once from the first page again.

    Args:
        asana: the API.
        path: path and query of the list.
        fields: the fields to ask of each object.
        take: takes the objects of each page.
        retries: how often to ask for a page again; None: as often as for any other request.
    """
    path, _, query = path.partition("?")
    params = {**dict(parse_qsl(query)), "limit": PAGE, **({"opt_fields": ",".join(fields)} if fields else {})}
    pages = Pages(f"GET {path}")
    offset: dict[str, str] = {}
    has_begun_anew = False
    while True:
        try:
            page = yield from asana.page(path, params | offset, retries)
        except AnswerError as error:
            if not offset or has_begun_anew or error.status != requests.codes.bad_request:
                raise
            logger.warning("GET %s: %s. An offset is good for a while; beginning anew.", path, error.message)
            pages, offset, has_begun_anew = Pages(f"GET {path}"), {}, True
            continue
        take(page.data)
        if page.next_page is None:
            return
        pages.go_on(page.next_page.offset, page.data)
        offset = {"offset": page.next_page.offset}


def _read_of_each(
    asana: Asana, path: str, gids: Collection[str], fields: Sequence[str], take: TakeObjects, what: str
) -> Waiting[bool]:
    """Read the lists of objects, several at a time; one that is gone, or may not be seen, ends no other."""
    minutes = (len(gids) - 1) // A_MINUTE
    logger.info(
        "%s: at least %s, %d at a time and %d a minute at the most%s",
        what,
        count(len(gids), "request"),
        AT_ONCE,
        A_MINUTE,
        f", so {count(minutes, 'minute')} or more" if minutes > 0 else "",
    )
    missing: dict[int, list[str]] = {requests.codes.not_found: [], requests.codes.forbidden: []}

    def read_one(gid: str) -> Waiting[None]:
        seen: set[str] = set()

        def take_new(objects: Sequence[msgspec.Raw]) -> None:
            new = {key: each for key, each in zip(gids_of(objects), objects, strict=True) if key not in seen}
            seen.update(new)
            take(gid, [*new.values()])

        try:
            yield from read_pages(asana, path.replace("{gid}", gid), fields, take_new)
        except AnswerError as error:
            if error.status not in missing:
                raise
            missing[error.status].append(gid)

    yield from side_by_side(map(read_one, gids), AT_ONCE)
    for status, of in missing.items():
        if of:
            logger.warning("%s: Asana answered %d for %d of them, such as %s.", what, status, len(of), of[0])
    # A few may have been deleted meanwhile. Where most are unknown, something else is wrong.
    return not missing[requests.codes.forbidden] and 2 * len(missing[requests.codes.not_found]) <= len(gids)


def _read_projects(
    asana: Asana,
    path: str,
    workspace_gid: str,
    fields: Sequence[str],
    take: Callable[[Sequence[msgspec.Raw]], None],
    what: str,
) -> Waiting[bool]:
    """Read all projects; team by team where the whole list cannot be had: it "may timeout for large domains"."""
    try:
        yield from read_pages(asana, path, fields, take, retries=1)
    except UnreachableError as error:
        if not error.may_pass:
            raise
        logger.warning("%s: %s. Asking team by team, %d teams at a time.", what, error.cause, AT_ONCE)
    else:
        return True
    teams: dict[str, None] = {}
    yield from read_pages(
        asana, f"/workspaces/{workspace_gid}/teams", (), lambda page: teams.update(dict.fromkeys(gids_of(page)))
    )
    yield from side_by_side((read_pages(asana, f"/teams/{team}/projects", fields, take) for team in teams), AT_ONCE)
    logger.warning(
        "%s: it came by %d teams, so projects that are in no team may be missing; nothing is deleted from its table.",
        what,
        len(teams),
    )
    return False


def _read_otherwise(
    asana: Asana,
    path: str,
    otherwise: str,
    fields: Sequence[str],
    take: Callable[[Sequence[msgspec.Raw]], None],
    what: str,
) -> Waiting[bool]:
    """Read a list that Asana gives to service accounts, and to others in part."""
    try:
        yield from read_pages(asana, path, fields, take)
    except AnswerError as error:
        if error.status not in {requests.codes.bad_request, requests.codes.forbidden}:
            raise
        logger.warning("%s: Asana answered %d: %s. Asking for the user's own.", what, error.status, error.message)
    else:
        return True
    yield from read_pages(asana, otherwise, fields, take)
    return False


def gids_of(objects: Sequence[msgspec.Raw]) -> list[str]:
    """The gids of objects.

    Raises:
        UnreadableError: one has none.
    """
    try:
        return [msgspec.json.decode(each, type=Resource).gid for each in objects]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableError("The list", f"one of its objects has no gid ({error})") from None


def months(since: date | None, today: date) -> Iterator[str]:
    """Yield the queries that together ask for all entries of time since a day, a month each, so that no list is long.

    Asana does not say whether the first and the last day of a window belong to it, so windows overlap by a day.

    Args:
        since: the day; None: since ever.
        today: entries of later months are asked for together.
    """
    start = (since or FIRST_MONTH).replace(day=1)
    if since is None:
        yield f"&entered_on_end_date={start}"
    while start <= today:
        end = (start + timedelta(31)).replace(day=1)
        yield f"&entered_on_start_date={start - timedelta(1)}&entered_on_end_date={end}"
        start = end
    yield f"&entered_on_start_date={start - timedelta(1)}"
