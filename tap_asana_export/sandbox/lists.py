"""The lists that Asana's API has: users, projects, tags and so on, each object with all its fields.

What lists and exports have in common is equal. Objects have the fields of Asana's OpenAPI file (2026-06-11). Each
object of a list has a rank, by which the list is sorted and by which pages are told apart.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from tap_asana_export.sandbox import graph
from tap_asana_export.sandbox.directory import described, named
from tap_asana_export.sandbox.export import InvalidRequestError, shown
from tap_asana_export.sandbox.population import founded, timestamp
from tap_asana_export.sandbox.texts import html

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tap_asana_export.sandbox.directory import Object
    from tap_asana_export.sandbox.organization import Organization

NAMED = ("gid", "resource_type", "name")
_COLORS = ("dark-pink", "light-green", "dark-teal", None, "light-warm-gray")
# Part numbers in the gids of what belongs to a user, project or goal, beside those of graph exports.
_MEMBERSHIP, _TASK_LIST, _BRIEF, _METRIC, _ROLES = 101, 102, 500, 501, 600
# Allocations of a project, and time tracking entries of a task, at the most.
_ALLOCATIONS, _ENTRIES = 4, 2
# In the ranks of a portfolio's items, projects come behind portfolios.
_PROJECTS = 10**9
# Where users are sorted by name, the list ends after so many; the rank has the place before the number.
_SORTED, _USERS = 2000, 10**8
# The periods of a year: name, first and last day, and the place of the one that it is a part of.
_PERIODS = (
    *(("FY", "01-01", "12-31", None), ("H1", "01-01", "06-30", 0), ("H2", "07-01", "12-31", 0)),
    *(("Q1", "01-01", "03-31", 1), ("Q2", "04-01", "06-30", 1)),
    *(("Q3", "07-01", "09-30", 2), ("Q4", "10-01", "12-31", 2)),
)
_FIRST_YEAR = 2024
_STATUSES = ("green", "yellow", "red", "achieved", "partial", "missed", "dropped")
_VALUES: dict[str, Object] = {
    "date": {"date_value": None},
    "enum": {"enum_value": None},
    "multi_enum": {"multi_enum_values": []},
    "number": {"number_value": None},
    "people": {"people_value": []},
    "reference": {"reference_value": []},
    "text": {"text_value": None, "html_text_value": None},
}


class View(NamedTuple):
    """What a list is made of.

    Attributes:
        organization: the workspace.
        now: the instant, in milliseconds since 1970.
        parent: number of the project, portfolio or team that the list is of.
        query: the parameters of the request.
    """

    organization: Organization
    now: int
    parent: int = 0
    query: Mapping[str, str] = {}


class Listing(NamedTuple):
    """How a list is made.

    Attributes:
        ranks: yields the ranks of the list's objects from a rank on.
        build: returns the object of a rank, with all fields.
        parent: type of what the list is of.
        compact: names of the fields that come unless `opt_fields` names others; none for all but a description.
        filters: by parameter, whether an object is wanted.
        needs: parameters, one of which a request must have.
    """

    ranks: Callable[[View, int], Iterator[int]]
    build: Callable[[View, int], Object]
    parent: str = "workspace"
    compact: tuple[str, ...] = NAMED
    filters: Mapping[str, Callable[[Object, str], bool]] = {}
    needs: tuple[str, ...] = ()


def items(listing: Listing, view: View, start: int = 0) -> Iterator[tuple[int, Object]]:
    """Yield every object of a list from a rank on, with its rank."""
    directory = view.organization.directory
    me = directory.user(0)["gid"]
    wanted = [(keep, view.query[name]) for name, keep in listing.filters.items() if name in view.query]
    for rank in listing.ranks(view, start):
        item = listing.build(view, rank)
        if directory.has(item):
            item = directory.as_changed(item)
            if all(keep(item, me if value == "me" else value) for keep, value in wanted):
                yield rank, item


# ── ranks ────────────────────────────────────────────────────────────────────────────────────────────────


def _numbers(kind: str) -> Callable[[View, int], Iterator[int]]:
    return lambda view, start: view.organization.directory.numbers(kind, start)


def _living(view: View, kind: str, start: int) -> Iterator[int]:
    for span in sorted(view.organization.indices(kind, view.now), key=lambda each: each.start):
        for index in range(max(start, span.start), span.stop):
            if view.organization.alive(kind, index, view.now):
                yield index


def _places(view: View, start: int) -> Iterator[int]:
    return iter(range(start, len(view.organization.directory.sections(view.parent))))


def _by_name(view: View, start: int) -> Iterator[int]:
    users = view.organization.directory.all("user")
    numbers = sorted(view.organization.directory.numbers("user"), key=lambda number: str(users[number]["name"]))
    places = range(start // _USERS, min(_SORTED, len(numbers)))
    return (rank for rank in (place * _USERS + numbers[place] for place in places) if rank >= start)


def _portfolio_items(view: View, start: int) -> Iterator[int]:
    inside = graph.children(view.organization, view.parent)
    inside += [_PROJECTS + number for number in graph.projects_in(view.organization, view.parent)]
    return (rank for rank in inside if rank >= start)


def _allocations(view: View, start: int) -> Iterator[int]:
    for number in view.organization.directory.numbers("project", start // _ALLOCATIONS):
        for place in range(number % _ALLOCATIONS):
            if number * _ALLOCATIONS + place >= start:
                yield number * _ALLOCATIONS + place


def _entries(view: View, start: int) -> Iterator[int]:
    first, last = days(view.query)
    for index in _living(view, "task", start // _ENTRIES):
        count = graph.count_entries(view.organization, index)
        if count and first <= timestamp(view.organization.created("task", index))[:10] <= last:
            yield from (rank for rank in range(index * _ENTRIES, index * _ENTRIES + count) if rank >= start)


def days(query: Mapping[str, str]) -> tuple[str, str]:
    """Return the first and the last day of the wanted time tracking entries.

    Raises:
        InvalidRequestError: one of them is no date.
    """
    found = []
    for name, unbounded in (("entered_on_start_date", "0000-00-00"), ("entered_on_end_date", "9999-99-99")):
        day = query.get(name, unbounded)
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", day):
            raise InvalidRequestError(f"{name}: Date must be in ISO-8601 (yyyy-mm-dd) format, not: {shown(day)[1:-1]}")
        found.append(day)
    return found[0], found[1]


# ── objects ──────────────────────────────────────────────────────────────────────────────────────────────


def _user(view: View, number: int) -> Object:
    organization, directory = view.organization, view.organization.directory
    field = next((each for each in directory.custom_fields(0) if each["type"] == "number"), None)
    value = {"number_value": number / 4, "display_value": str(number / 4)}
    return {
        **directory.whole_user(number),
        "workspaces": [organization.workspace],
        "custom_fields": [graph.compact_field({**field, **value})] if field and number % 5 == 2 else [],  # noqa: PLR2004
    }


def _team(view: View, index: int) -> Object:
    team = view.organization.build("team", index, view.now, whole=True)
    del team["members"]  # exports only
    return team


def _membership(view: View, number: int) -> Object:
    directory, workspace = view.organization.directory, view.organization.workspace
    user, chance = directory.all("user")[number], directory.chance("user", number)
    on_vacation = chance % 8 == 1
    return {
        "gid": directory.gid("user", number, _MEMBERSHIP),
        "resource_type": "workspace_membership",
        "user": user,
        "workspace": workspace,
        "user_task_list": {
            **named(directory.gid("user", number, _TASK_LIST), "user_task_list", f"My tasks in {workspace['name']}"),
            "owner": user,
            "workspace": workspace,
        },
        "is_active": chance % 16 != 2,  # noqa: PLR2004
        "is_admin": number % 20 == 0,
        "is_guest": chance % 16 == 3,  # noqa: PLR2004
        "is_view_only": chance % 16 == 4,  # noqa: PLR2004
        "vacation_dates": {"start_on": "2026-12-21", "end_on": "2027-01-04" if chance & 8 else None}
        if on_vacation
        else None,
        "created_at": timestamp(founded(number)),
    }


def _project(view: View, number: int) -> Object:
    organization = view.organization
    project = graph.whole_project(organization, number, view.now)
    status = project["current_status"]
    template = organization.directory.other("project_template", number)
    return project | {
        "html_notes": html(project["notes"]),
        "current_status": status and status | {"html_text": html(status["text"])},
        "custom_field_settings": _described(project["custom_field_settings"]),
        "project_brief": {
            "gid": organization.directory.gid("project", number, _BRIEF),
            "resource_type": "project_brief",
        }
        if number % 3 == 0
        else None,
        "created_from_template": template if number % 4 == 1 else None,
    }


def _described(settings: list[Object]) -> list[Object]:
    return [{**each, "custom_field": described(each["custom_field"])} for each in settings]


def _portfolio(view: View, number: int) -> Object:
    portfolio = graph.whole_portfolio(view.organization, number, view.now)
    return portfolio | {"custom_field_settings": _described(portfolio["custom_field_settings"])}


def _item(view: View, rank: int) -> Object:
    return _portfolio(view, rank) if rank < _PROJECTS else _project(view, rank - _PROJECTS)


def _section(view: View, place: int) -> Object:
    return graph.whole_sections(view.organization, view.parent, view.now)[place]


def _tag(view: View, number: int) -> Object:
    directory = view.organization.directory
    tag, chance = directory.all("tag")[number], directory.chance("tag", number)
    return {
        **tag,
        "color": _COLORS[chance % len(_COLORS)],
        "notes": directory.texts.prose(chance, chance % 3),
        "created_at": timestamp(founded(number)),
        "followers": directory.several(chance, chance % 4),
        "workspace": view.organization.workspace,
        "permalink_url": f"https://app.asana.com/0/{tag['gid']}/list",
    }


def _custom_field(view: View, number: int) -> Object:
    field = view.organization.directory.all("custom_field")[number]
    return {**described(field), **_VALUES[field["type"]], "display_value": None}


def _goal(view: View, number: int) -> Object:
    organization, directory = view.organization, view.organization.directory
    history = graph.history_of(organization, "goal", number, view.now)
    chance, dates = history.chance, history.dates(history.number("dates"))
    notes = directory.texts.prose(history.number("notes") * 31, chance % 5)
    likes = history.likes((0, 2, 1, 0)[number % 4])
    update = graph.status_update(history)
    period = directory.sizes["time_period"] and number * 5 % directory.sizes["time_period"]
    has_period = directory.other("time_period", period) and number % 3
    return {
        **history.compact(),
        "html_notes": html(notes),
        "notes": notes,
        "due_on": dates["due_on"],
        "start_on": dates["start_on"],
        "is_workspace_level": number % 2 == 0,
        "liked": history.liked(likes),
        "likes": likes,
        "num_likes": len(likes),
        "team": graph.team(organization, number, view.now) if number % 2 else None,
        "workspace": organization.workspace,
        "followers": history.users(history.number("followers"), 1 + chance % 4),
        "time_period": _compact_period(view, period) if has_period else None,
        "metric": _metric(view, number) if number % 4 != 3 else None,  # noqa: PLR2004
        "owner": history.user(chance >> 5) if number % 5 != 4 else None,  # noqa: PLR2004
        "current_status_update": update,
        "status": _STATUSES[history.number("status") % len(_STATUSES)] if update else None,
        "privacy_setting": ("public_to_workspace", "members_only")[chance >> 7 & 1],
        "default_access_level": ("admin", "editor", "commenter", "viewer")[chance % 4],
        "custom_fields": graph.values(history),
        "custom_field_settings": _described(graph.settings(history)),
    }


def _metric(view: View, number: int) -> Object:
    unit = ("none", "currency", "percentage")[number % 3]
    reached = number % 11 * 2.5
    return {
        "gid": view.organization.directory.other_gid("goal", number, _METRIC),
        "resource_type": "goal_metric",
        "resource_subtype": "number",
        "precision": number % 3,
        "unit": unit,
        "currency_code": "EUR" if unit == "currency" else None,
        "initial_number_value": 0.0,
        "target_number_value": 30.0,
        "current_number_value": reached,
        "current_display_value": str(reached),
        "progress_source": ("manual", "subgoal_progress", "project_task_completion", "external")[number % 4],
        "is_custom_weight": number % 2 == 1,
        "can_manage": True,
    }


def _compact_period(view: View, number: int) -> Object:
    year, place = divmod(number, len(_PERIODS))
    period, start, end, _ = _PERIODS[place]
    return {
        "gid": view.organization.directory.all("time_period")[number]["gid"],
        "resource_type": "time_period",
        "end_on": f"{_FIRST_YEAR + year}-{end}",
        "start_on": f"{_FIRST_YEAR + year}-{start}",
        "period": period,
        "display_name": f"{period} FY{(_FIRST_YEAR + year) % 100:02}",
    }


def _time_period(view: View, number: int) -> Object:
    place = number % len(_PERIODS)
    parent = _PERIODS[place][3]
    whole = None if parent is None else _compact_period(view, number - place + parent)
    return {**_compact_period(view, number), "parent": whole}


def _project_template(view: View, number: int) -> Object:
    organization, directory = view.organization, view.organization.directory
    template = directory.all("project_template")[number]
    description = directory.texts.prose(number * 41, 1 + number % 2)
    return {
        **template,
        "description": description,
        "html_description": html(description),
        "public": number % 2 == 0,
        "owner": directory.user(number + 3) if number % 4 else None,
        "team": graph.team(organization, number, view.now),
        "requested_dates": [
            {"gid": str(place + 1), "name": name, "description": f"Choose the {name.lower()} of your project."}
            for place, name in enumerate(("Start date", "Due date")[: number % 3])
        ],
        "color": _COLORS[number % len(_COLORS)],
        "requested_roles": [
            named(directory.other_gid("project_template", number, _ROLES + place), "template_role", name)
            for place, name in enumerate(("Designer", "Writer")[: number % 3])
        ],
    }


def _allocation(view: View, rank: int) -> Object:
    number, place = divmod(rank, _ALLOCATIONS)
    return graph.allocations_of(view.organization, number, view.now)[place]


def _entry(view: View, rank: int) -> Object:
    index, place = divmod(rank, _ENTRIES)
    return graph.entries_of(view.organization, index, view.now)[place]


# ── the lists ────────────────────────────────────────────────────────────────────────────────────────────


_PROJECT_LIST = Listing(
    _numbers("project"), _project, filters={"archived": lambda item, value: item["archived"] == (value == "true")}
)
LISTS = {
    "users": Listing(_numbers("user"), _user),
    # The same, sorted by name. There are more than Asana gives here.
    "users_by_name": Listing(_by_name, lambda view, rank: _user(view, rank % _USERS)),
    "workspace_memberships": Listing(
        _numbers("user"), _membership, compact=("gid", "resource_type", "user", "workspace")
    ),
    "projects": _PROJECT_LIST,
    "teams": Listing(
        lambda view, start: _living(view, "team", start),
        _team,
    ),
    "team_projects": _PROJECT_LIST._replace(
        parent="team", ranks=lambda view, start: graph.projects_of(view.organization, view.parent, start)
    ),
    "sections": Listing(_places, _section, parent="project"),
    "tags": Listing(_numbers("tag"), _tag),
    "custom_fields": Listing(_numbers("custom_field"), _custom_field, compact=()),
    "portfolios": Listing(
        _numbers("portfolio"), _portfolio, filters={"owner": lambda item, value: item["owner"]["gid"] == value}
    ),
    "portfolio_items": Listing(_portfolio_items, _item, parent="portfolio"),
    "goals": Listing(_numbers("goal"), _goal, compact=(*NAMED, "owner")),
    "time_periods": Listing(
        _numbers("time_period"),
        _time_period,
        compact=("gid", "resource_type", "end_on", "start_on", "period", "display_name"),
    ),
    "project_templates": Listing(_numbers("project_template"), _project_template),
    "allocations": Listing(_allocations, _allocation, compact=()),
    "time_tracking_entries": Listing(
        _entries,
        _entry,
        compact=(
            *("gid", "resource_type", "duration_minutes", "entered_on", "attributable_to", "created_by"),
            "categories",
        ),
        needs=("entered_on_start_date", "entered_on_end_date"),
    ),
}


def listed(organization: Organization, name: str) -> Iterator[Object]:
    """Yield all objects of a list as they are now, with all fields; those of every project, team or portfolio."""
    listing, view = LISTS[name], View(organization, organization.now())
    directory = organization.directory
    numbers: Iterator[int] = iter((0,))
    if listing.parent == "team":
        numbers = _living(view, "team", 0)
    elif listing.parent != "workspace":
        numbers = directory.numbers(listing.parent)
    for number in numbers:
        above = {"portfolio_gid": directory.other_gid("portfolio", number)} if listing.parent == "portfolio" else {}
        for _, item in items(listing, view._replace(parent=number)):
            yield item | above
