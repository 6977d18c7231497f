"""The objects of a graph export: all below a goal, a team, a portfolio or a project.

Projects and portfolios change by themselves, and tasks are created and deleted; which portfolio contains what changes
only as projects and portfolios are deleted. Objects have the fields of Asana's OpenAPI file (2026-06-11); Asana does
not publish those of relations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_asana_export.sandbox.history import History
from tap_asana_export.sandbox.population import Population, timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_asana_export.sandbox.directory import Object
    from tap_asana_export.sandbox.organization import Organization

KINDS = ("goal", "team", "portfolio", "project")

# The portfolios in the first portfolios: three levels, with two ways to the lowest one.
_PORTFOLIOS = {0: (1, 2), 1: (3,), 2: (3,)}

# First part number in the gids of what belongs to a project or portfolio; below, to a task.
_RELATIONS, _ALLOCATIONS, _UPDATES, _SETTINGS = 100, 200, 300, 400
_ENTRIES = 830

_DAY = 86_400_000
_COLORS = ("light-green", "dark-pink", "light-warm-gray", "none", None)
_ICONS = ("list", "rocket", None, "chat_bubbles", "mountain_flag")
_VIEWS = ("list", "board", "calendar", "timeline")
_LEVELS = ("admin", "editor", "commenter", "viewer")
_STATUS_COLORS = ("green", "yellow", "red", "blue", "complete")
_EFFORTS = ({"type": "hours", "value": 7.5}, {"type": "percent", "value": 50}, None)
_APPROVALS = ("DRAFT", "SUBMITTED", "APPROVED", "REJECTED")
_BILLABLE = ("billable", "nonBillable", "notApplicable")
# Asana's CustomFieldCompact, and `people_value`, which its list of the properties in graph exports has.
_CUSTOM_FIELD = {
    *("gid", "resource_type", "name", "resource_subtype", "type", "enum_options", "enabled", "representation_type"),
    *("id_prefix", "input_restrictions", "is_formula_field", "date_value", "enum_value", "multi_enum_values"),
    *("number_value", "text_value", "people_value", "display_value"),
}


# ── parents ──────────────────────────────────────────────────────────────────────────────────────────────


def parents(organization: Organization, kind: str) -> list[str]:
    """Return the gids of all goals, teams, portfolios or projects that can be exported now."""
    directory = organization.directory
    if kind == "team":
        return [team["gid"] for team in organization.objects("team")]
    return [directory.all(kind)[number]["gid"] for number in directory.numbers(kind)]


def find(organization: Organization, gid: str) -> tuple[str, int] | None:
    """Return kind and number of the goal, team, portfolio or project with a gid; None if there is none now."""
    directory = organization.directory
    kind, number = directory.find(gid) or directory.parse(gid) or ("", 0)
    if kind == "team":
        return (kind, number) if gid in organization else None
    return (kind, number) if kind in KINDS and directory.find(gid) else None


def _team(organization: Organization, project: int) -> int:
    size = organization.directory.sizes["project"]
    is_teamless = not organization.teams or size - organization.teamless_projects <= project < size
    return -1 if is_teamless else project % organization.teams


def team(organization: Organization, project: int, now: int) -> Object | None:
    """Return the team of a project; None if it has none, or one that was deleted."""
    index = _team(organization, project)
    return organization.compact("team", index, now) if organization.alive("team", index, now) else None


def projects_of(organization: Organization, index: int, start: int = 0) -> Iterator[int]:
    """Yield the numbers of a team's projects."""
    numbers = organization.directory.numbers("project", start)
    return (number for number in numbers if _team(organization, number) == index)


def _holders(organization: Organization, project: int) -> list[int]:
    """Return the portfolios that a project is in: none for some projects, two for some others."""
    directory, size = organization.directory, organization.directory.sizes["portfolio"]
    place = project % (size + 1)
    if place == size or project >= directory.sizes["project"]:
        return []
    holders = dict.fromkeys((place, (place + 1) % size)) if project % 7 == 0 else (place,)
    return [holder for holder in holders if directory.other("portfolio", holder)]


def children(organization: Organization, portfolio: int) -> list[int]:
    """Return the numbers of the portfolios in a portfolio."""
    directory = organization.directory
    inside = (child for child in _PORTFOLIOS.get(portfolio, ()) if child < directory.sizes["portfolio"])
    return [child for child in inside if directory.other("portfolio", child)]


def projects_in(organization: Organization, portfolio: int) -> list[int]:
    """Return the numbers of the projects that are in a portfolio, not only in one below it."""
    directory, size = organization.directory, organization.directory.sizes["portfolio"]
    if portfolio >= size:
        return []
    projects = directory.sizes["project"]
    candidates = {*range(portfolio, projects, size + 1), *range((portfolio - 1) % size, projects, size + 1)}
    return [number for number in sorted(candidates) if portfolio in _holders(organization, number)]


def _below(organization: Organization, portfolio: int) -> set[int]:
    return {portfolio}.union(*(_below(organization, child) for child in children(organization, portfolio)))


def _scope(organization: Organization, kind: str, number: int) -> tuple[list[int], list[int]]:
    """Return the numbers of the portfolios and of the projects below a parent.

    Asana does not document the export of a goal. Here a goal has a portfolio, and a project that is in no portfolio.
    """
    if kind == "project":
        return [], [number]
    if kind == "team":
        return [], list(projects_of(organization, number))
    directory = organization.directory
    size, supporting, portfolios = directory.sizes["portfolio"], None, set[int]()
    if kind == "portfolio":
        portfolios = _below(organization, number)
    else:
        supporting = (number * (size + 1) + size) % directory.sizes["project"]
        if directory.other("portfolio", number):
            portfolios = _below(organization, number % size)
    return sorted(portfolios), [
        project
        for project in directory.numbers("project")
        if project == supporting or portfolios.intersection(_holders(organization, project))
    ]


# ── objects ──────────────────────────────────────────────────────────────────────────────────────────────


def objects(organization: Organization, gid: str, *, relation_gids: bool = True) -> Iterator[Object]:
    """Yield every object below a parent once, an object before the one that contains it.

    Args:
        organization: the workspace.
        gid: gid of the parent.
        relation_gids: whether relations have a gid.

    Raises:
        KeyError: no goal, team, portfolio or project has this gid now.
    """
    found = find(organization, gid)
    if not found:
        raise KeyError(gid)
    portfolios, projects = _scope(organization, *found)
    for item in _objects(organization, portfolios, projects):
        if organization.directory.has(item):
            if not relation_gids and "_to_" in item["resource_type"]:
                del item["gid"]
                yield item
            else:
                yield organization.directory.as_changed(item)


def _objects(organization: Organization, portfolios: list[int], projects: list[int]) -> Iterator[Object]:
    now = organization.now()
    yield from _relations(organization, portfolios, projects)
    yield from _tasks(organization, frozenset(projects))
    for number in projects:
        history = history_of(organization, "project", number, now)
        yield from _allocations(history, number)
        yield from _sections(history, number)
        yield _project(organization, history, number, now)
    for number in portfolios:
        yield whole_portfolio(organization, number, now)


def _tasks(organization: Organization, projects: frozenset[int]) -> Iterator[Object]:
    """Yield the tasks of projects and their subtasks, each before its time tracking entries."""
    for span in organization.indices("task", organization.now()):
        for index in span:
            now = organization.now()
            if organization.alive("task", index, now) and _is_within(organization, index, projects, now):
                yield organization.build("task", index, now, bare=True)
                yield from entries_of(organization, index, now)


def _is_within(organization: Organization, index: int, projects: frozenset[int], now: int) -> bool:
    parent = organization.parent(index)
    return not projects.isdisjoint(organization.placed(index, now)) or (
        parent is not None and not projects.isdisjoint(organization.placed(parent, now))
    )


def history_of(organization: Organization, kind: str, number: int, now: int) -> History:
    """Return a project, portfolio or goal at some instant."""
    directory = organization.directory
    compact, size = directory.all(kind)[number], max(1, directory.sizes[kind])
    chance = directory.chance("project" if kind == "project" else "other", number)
    # A longer interval for the fewer projects: each changes about as often as a task.
    interval = (organization.change_interval or 0) * max(1, organization.tasks) / size
    life = Population(seed=directory.chance("project", -1), size=size, fresh=0, interval=interval).life(number, now)
    return History(directory, kind, number, compact["gid"], chance, life, compact["name"], whole=False)


def _relations(organization: Organization, portfolios: list[int], projects: list[int]) -> Iterator[Object]:
    directory = organization.directory
    for number in portfolios:
        portfolio = directory.all("portfolio")[number]
        for child in children(organization, number):
            yield {
                "gid": _part(portfolio, _RELATIONS + child),
                "resource_type": "portfolio_to_portfolio",
                "parent_portfolio": portfolio,
                "child_portfolio": directory.all("portfolio")[child],
            }
    for number in projects:
        project = directory.all("project")[number]
        for holder in _holders(organization, number):
            if holder in portfolios:
                yield {
                    "gid": _part(project, _RELATIONS + holder),
                    "resource_type": "project_to_portfolio",
                    "project": project,
                    "portfolio": directory.all("portfolio")[holder],
                }


def _part(item: Object, part: int) -> str:
    return f"{item['gid'][:-3]}{part:03}"


# ── lines ────────────────────────────────────────────────────────────────────────────────────────────────


def _minutes(organization: Organization, index: int) -> tuple[int, ...]:
    return ((), (), (30,), (60, 35))[organization.directory.chance("task", index) >> 3 & 3]


def count_entries(organization: Organization, index: int) -> int:
    """Return how many time tracking entries a task has."""
    return len(_minutes(organization, index))


def entries_of(organization: Organization, index: int, now: int) -> list[Object]:
    """Return the time tracking entries of a task, whose sum is its `actual_time_minutes`."""
    return list(_entries(organization, index, now)) if _minutes(organization, index) else []


def _entries(organization: Organization, index: int, now: int) -> Iterator[Object]:
    directory, chance = organization.directory, organization.directory.chance("task", index)
    task = organization.compact("task", index, now)
    created = timestamp(organization.created("task", index))
    project = next(iter(organization.placed(index, now)), None)
    for place, minutes in enumerate(_minutes(organization, index)):
        number = (chance >> 20) + place
        yield {
            "gid": _part(task, _ENTRIES + place),
            "resource_type": "time_tracking_entry",
            "duration_minutes": minutes,
            "entered_on": created[:10],
            "attributable_to": None if project is None else directory.all("project")[project],
            "created_by": directory.user(number),
            "categories": [
                {**directory.all("time_tracking_category")[category], "color": ("blue", "hot-pink")[category]}
                for category in range(number % 3)
            ],
            "task": task,
            "created_at": created,
            "approval_status": _APPROVALS[number % 4],
            "billable_status": _BILLABLE[number % 3],
            "description": directory.texts.prose(number, number % 2),
        }


def allocations_of(organization: Organization, number: int, now: int) -> list[Object]:
    """Return the allocations of a project."""
    return list(_allocations(history_of(organization, "project", number, now), number))


def whole_sections(organization: Organization, number: int, now: int) -> list[Object]:
    """Return the sections of a project with all fields."""
    return list(_sections(history_of(organization, "project", number, now), number))


def whole_project(organization: Organization, number: int, now: int) -> Object:
    """Return a project with all the fields that it has in graph exports."""
    return _project(organization, history_of(organization, "project", number, now), number, now)


def whole_portfolio(organization: Organization, number: int, now: int) -> Object:
    """Return a portfolio with all fields."""
    return _portfolio(organization, history_of(organization, "portfolio", number, now), number)


def _allocations(history: History, number: int) -> Iterator[Object]:
    for place in range(number % 4):
        start = history.life.created + place * 30 * _DAY
        yield {
            "gid": history.part(_ALLOCATIONS + place),
            "resource_type": "allocation",
            "start_date": timestamp(start)[:10],
            "end_date": timestamp(start + 20 * _DAY)[:10],
            "effort": _EFFORTS[(number + place) % len(_EFFORTS)],
            "assignee": history.user(history.chance + place),
            "created_by": history.user(history.chance),
            "parent": history.compact(),
            "resource_subtype": "project_allocation",
        }


def _sections(history: History, number: int) -> Iterator[Object]:
    project = history.compact()
    for section in history.directory.sections(number):
        created = timestamp(history.life.created)
        yield {**section, "created_at": created, "project": project, "projects": [project]}


def _held(organization: Organization, history: History) -> Object:
    """Return the fields that projects and portfolios have in common."""
    chance = history.chance
    dates = history.dates(history.number("dates"))
    return {
        "gid": history.gid,
        "resource_type": history.kind,
        "name": history.name,
        "archived": chance % 16 == 0,
        "created_at": timestamp(history.life.created),
        "current_status_update": status_update(history),
        "custom_field_settings": settings(history),
        "custom_fields": values(history),
        "due_on": dates["due_on"],
        "start_on": dates["start_on"],
        "members": history.users(history.number("followers"), 2 + chance % 5),
        "owner": history.user(chance >> 5),
        "workspace": organization.workspace,
        "permalink_url": f"https://app.asana.com/1/{organization.gid}/{history.kind}/{history.gid}",
        "public": chance >> 7 & 1 == 1,
    }


def values(history: History) -> list[Object]:
    """Return the custom fields of an object with their values, in compact form."""
    return [compact_field(field) for field in history.values()]


def compact_field(field: Object) -> Object:
    """Return the compact form of a custom field."""
    return {key: value for key, value in field.items() if key in _CUSTOM_FIELD}


def settings(history: History) -> list[Object]:
    """Return which custom fields an object has."""
    compact = history.compact()
    return [
        {
            "gid": history.part(_SETTINGS + place),
            "resource_type": "custom_field_setting",
            "project": compact if history.kind == "project" else None,
            "is_important": place == 0,
            "parent": compact,
            "custom_field": field,
        }
        for place, field in enumerate(history.custom_fields())
    ]


def status_update(history: History) -> Object | None:
    """Return the compact form of the last status update; every fourth object has none."""
    if history.number("status") % 4 == 0:
        return None
    status = _status(history, "status_update")
    compact = {name: status[name] for name in ("gid", "resource_type", "title")}
    return compact | {"resource_subtype": f"{history.kind}_status_update"}


def _status(history: History, resource_type: str) -> Object:
    number = history.number("status")
    return {
        "gid": history.part(_UPDATES + number % 50 * 2 + (resource_type == "project_status")),
        "resource_type": resource_type,
        "title": history.directory.texts.title(number),
        "text": history.directory.texts.prose(number * 13, 2),
        "created_at": timestamp(history.changed("status")),
        "created_by": history.user(number),
    }


def _project(organization: Organization, history: History, number: int, now: int) -> Object:
    chance, held = history.chance, _held(organization, history)
    done = history.number("completed")
    completed = done % 2 == 1
    status: Object | None = None
    if held["current_status_update"]:
        status = _status(history, "project_status")
        color = _STATUS_COLORS[history.number("status") % len(_STATUS_COLORS)]
        status |= {"color": color, "author": status["created_by"], "modified_at": status["created_at"]}
    return held | {
        "color": _COLORS[(chance >> 4) % len(_COLORS)],
        "icon": _ICONS[chance % len(_ICONS)],
        "current_status": status,
        "default_view": _VIEWS[chance % 4],
        "due_date": held["due_on"],
        "modified_at": timestamp(history.life.modified),
        "notes": history.directory.texts.prose(history.number("notes") * 31, chance % 9),
        "privacy_setting": ("public_to_workspace", "private_to_team", "private")[chance % 3],
        "default_access_level": _LEVELS[chance % 4],
        "minimum_access_level_for_customization": _LEVELS[chance % 2],
        "minimum_access_level_for_sharing": _LEVELS[chance >> 1 & 1],
        "completed": completed,
        "completed_at": timestamp(history.changed("completed")) if completed else None,
        "completed_by": history.user(done) if completed else None,
        "followers": history.users(history.number("followers") + 1, chance % 4),
        "team": team(organization, number, now),
    }


def _portfolio(organization: Organization, history: History, number: int) -> Object:
    chance = history.chance
    templates = [history.directory.other("project_template", place) for place in range(number % 3)]
    return _held(organization, history) | {
        "color": _COLORS[(chance >> 4) % 3],
        "default_access_level": _LEVELS[chance % 2],
        "created_by": history.user(chance),
        "privacy_setting": ("public_to_domain", "members_only")[chance % 2],
        "project_templates": [template for template in templates if template],
    }
