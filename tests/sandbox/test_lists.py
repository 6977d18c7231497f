"""The lists of the stand-in for Asana: what is in them, in which pages, and what goes wrong."""

from __future__ import annotations

import http.client
import json
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import asana  # type: ignore[import-untyped]
import pytest

from tap_asana_export.sandbox import Sandbox
from tap_asana_export.sandbox.faults import FORBIDDEN
from tap_asana_export.sandbox.lists import LISTS
from tests.support.clock import Clock
from tests.support.populations import filled, gids_in
from tests.support.tap import WORKSPACE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Query = dict[str, str | int]
NAMES = (
    *("workspaces", "users", "workspace_memberships", "projects", "teams", "team_projects", "sections", "tags"),
    *("custom_fields", "portfolios", "portfolio_items", "goals", "time_periods", "project_templates", "allocations"),
    *("time_tracking_entries", "users_by_name"),
)
PROJECT = {
    *("gid", "resource_type", "name", "archived", "color", "icon", "created_at", "current_status"),
    *("current_status_update", "custom_field_settings", "default_view", "due_date", "due_on", "html_notes", "members"),
    *("modified_at", "notes", "public", "privacy_setting", "start_on", "default_access_level", "custom_fields"),
    *("minimum_access_level_for_customization", "minimum_access_level_for_sharing", "completed", "completed_at"),
    *("completed_by", "followers", "owner", "team", "permalink_url", "project_brief", "created_from_template"),
    "workspace",
}
USER = {"gid", "resource_type", "name", "email", "photo", "workspaces", "custom_fields"}
# Asana's OpenAPI file, 2026-06-11.
FIELDS = {
    "workspaces": {"gid", "resource_type", "name", "email_domains", "is_organization"},
    "users": USER,
    "users_by_name": USER,
    "workspace_memberships": {
        *("gid", "resource_type", "user", "workspace", "user_task_list", "is_active", "is_admin", "is_guest"),
        *("is_view_only", "vacation_dates", "created_at"),
    },
    "projects": PROJECT,
    "team_projects": PROJECT,
    "portfolio_items": PROJECT | {"portfolio_gid", "created_by", "project_templates"},
    "teams": {
        *("gid", "resource_type", "name", "description", "html_description", "organization", "permalink_url"),
        *("visibility", "edit_team_name_or_description_access_level", "endorsed", "custom_field_settings"),
        *("edit_team_visibility_or_trash_team_access_level", "member_invite_management_access_level"),
        *("guest_invite_management_access_level", "join_request_management_access_level"),
        *("team_member_removal_access_level", "team_content_management_access_level"),
    },
    "sections": {"gid", "resource_type", "name", "created_at", "project", "projects"},
    "tags": {
        *("gid", "resource_type", "name", "color", "notes", "created_at", "followers", "workspace", "permalink_url"),
    },
    "custom_fields": {
        *("gid", "resource_type", "name", "resource_subtype", "type", "representation_type", "created_by"),
        *("id_prefix", "input_restrictions", "is_formula_field", "is_value_read_only", "enabled", "precision"),
        *("format", "currency_code", "custom_label", "custom_label_position", "is_global_to_workspace"),
        *("has_notifications_enabled", "asana_created_field", "privacy_setting", "default_access_level"),
        *("description", "enum_options", "display_value", "date_value", "enum_value", "multi_enum_values"),
        *("number_value", "people_value", "reference_value", "text_value", "html_text_value"),
    },
    "portfolios": {
        *("gid", "resource_type", "name", "archived", "color", "start_on", "due_on", "default_access_level"),
        *("created_at", "created_by", "custom_field_settings", "current_status_update", "custom_fields", "members"),
        *("owner", "workspace", "permalink_url", "public", "privacy_setting", "project_templates"),
    },
    "goals": {
        *("gid", "resource_type", "name", "html_notes", "notes", "due_on", "start_on", "is_workspace_level", "liked"),
        *("likes", "num_likes", "team", "workspace", "followers", "time_period", "metric", "owner"),
        *("current_status_update", "status", "privacy_setting", "default_access_level", "custom_fields"),
        "custom_field_settings",
    },
    "time_periods": {"gid", "resource_type", "end_on", "start_on", "period", "display_name", "parent"},
    "project_templates": {
        *("gid", "resource_type", "name", "description", "html_description", "public", "owner", "team"),
        *("requested_dates", "color", "requested_roles"),
    },
    "allocations": {
        *("gid", "resource_type", "start_date", "end_date", "effort", "assignee", "created_by", "parent"),
        "resource_subtype",
    },
    "time_tracking_entries": {
        *("gid", "resource_type", "duration_minutes", "entered_on", "attributable_to", "created_by", "categories"),
        *("task", "created_at", "approval_status", "billable_status", "description"),
    },
}
# Those of a definition without a value.
VALUES = {name for name in FIELDS["custom_fields"] if name.endswith(("_value", "_values"))}


@pytest.fixture
def sandbox(clock: Clock, request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Time stands still unless a test moves it. A parameter is the shape of tasks."""
    shape = getattr(request, "param", "prose")
    with Sandbox(tasks=60, messages=4, large=0, change_interval=0, shape=shape, clock=clock) as sandbox:
        yield sandbox


def path_of(name: str, parent: str = WORKSPACE) -> str:
    """The path of a list, with a parameter for the workspace where it takes one."""
    paths = {
        "workspaces": f"/workspaces/{parent}",
        "users_by_name": f"/workspaces/{parent}/users",
        "team_projects": f"/teams/{parent}/projects",
        "sections": f"/projects/{parent}/sections",
        "portfolio_items": f"/portfolios/{parent}/items",
        "time_tracking_entries": f"/time_tracking_entries?workspace={parent}&entered_on_start_date=2000-01-01",
    }
    of_workspace = ("workspace_memberships", "projects", "teams", "tags", "custom_fields")
    paths |= {each: f"/workspaces/{parent}/{each}" for each in of_workspace}
    return paths.get(name, f"/{name}?workspace={parent}")


def ask(sandbox: Sandbox, path: str, **query: str | int) -> tuple[int, Any]:
    """The status and the JSON of an answer; the Retry-After of one that has it."""
    connection = http.client.HTTPConnection(sandbox.api_url.split("/")[2], timeout=5)
    separator = "&" if "?" in path else "?"
    target = f"/api/1.0{path}{separator}{urlencode(query)}" if query else f"/api/1.0{path}"
    try:
        connection.request("GET", target, headers={"Authorization": "Bearer sandbox"})
        response = connection.getresponse()
        body = response.read()
        return response.status, response.headers["Retry-After"] or (json.loads(body) if body[:1] == b"{" else body)
    finally:
        connection.close()


def refusal(sandbox: Sandbox, path: str, **query: str | int) -> tuple[int, str]:
    status, content = ask(sandbox, path, **query)
    return status, content["errors"][0]["message"]


def pages(sandbox: Sandbox, path: str, **query: str | int) -> list[list[dict[str, Any]]]:
    """The objects of each page."""
    found = []
    _, content = ask(sandbox, path, **query)
    while True:
        found.append(content["data"])
        if not content["next_page"]:
            return found
        _, content = ask(sandbox, content["next_page"]["path"])


def read(sandbox: Sandbox, path: str, **query: str | int) -> list[dict[str, Any]]:
    return [item for page in pages(sandbox, path, limit=100, **query) for item in page]


def paths_in(value: Any, prefix: str = "") -> set[str]:
    """What to name in `opt_fields` for all of a value."""
    if isinstance(value, list):
        return {path for item in value for path in paths_in(item, prefix)} or {prefix}
    if isinstance(value, dict):
        return {path for name, item in value.items() for path in paths_in(item, f"{prefix}.{name}")}
    return {prefix}


def all_fields(items: Iterable[dict[str, Any]]) -> str:
    paths = {path.removeprefix(".") for path in paths_in(list(items))}
    return ",".join(path for path in sorted(paths) if not any(each.startswith(f"{path}.") for each in paths))


def by_gid(items: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {item["gid"]: item for item in items}


# ── what is in them ───────────────────────────────────────────────────────────────────────────────────────────────────


def above(sandbox: Sandbox, name: str) -> list[str]:
    """The gids of what lists of this name are of."""
    kind = {"team_projects": "team", "sections": "project", "portfolio_items": "portfolio"}.get(name)
    return sandbox.parents(WORKSPACE, kind) if kind else [WORKSPACE]


@pytest.mark.parametrize("name", NAMES[1:])
def test_the_pages_of_a_list_have_all_its_objects_with_all_their_fields(name: str, sandbox: Sandbox) -> None:
    listed = list(sandbox.listed(WORKSPACE, name))
    fields = all_fields(listed)
    found = []
    for parent in above(sandbox, name):
        extra = {"portfolio_gid": parent} if name == "portfolio_items" else {}
        found += [item | extra for item in read(sandbox, path_of(name, parent), opt_fields=fields)]
    assert len(listed) > 3
    assert found == listed


def test_the_workspace_comes_with_all_its_fields(sandbox: Sandbox) -> None:
    (workspace,) = sandbox.listed(WORKSPACE, "workspaces")
    assert ask(sandbox, f"/workspaces/{WORKSPACE}") == (200, {"data": workspace})
    assert workspace == {
        "gid": WORKSPACE,
        "resource_type": "workspace",
        "name": "Sandbox 1",
        "email_domains": ["sandbox.example"],
        "is_organization": True,
    }


@pytest.fixture(scope="module")
def whole() -> dict[str, list[dict[str, Any]]]:
    """All lists of an organization that has some of everything."""
    sandbox = Sandbox(tasks=300, large=0, portfolios=12, goals=40, project_templates=10, clock=Clock())
    return {name: list(sandbox.listed(WORKSPACE, name)) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_every_field_of_asanas_occurs_with_a_value(name: str, whole: dict[str, list[dict[str, Any]]]) -> None:
    assert {field for item in whole[name] for field in item} == FIELDS[name]
    assert FIELDS[name] - filled(whole[name]) == (VALUES if name == "custom_fields" else set())


def test_there_are_no_other_lists() -> None:
    assert {*NAMES} == FIELDS.keys() == {"workspaces", *LISTS}


def test_gids_belong_to_one_object(whole: dict[str, list[dict[str, Any]]]) -> None:
    kinds: dict[str, set[str]] = {}
    for gid, kind in gids_in(list(whole.values())):
        kinds.setdefault(gid, set()).add(kind)
    assert {gid: found for gid, found in kinds.items() if len(found) > 1} == {}
    assert {len(gid) for gid in kinds} == {16, 1}
    assert {gid for gid in kinds if len(gid) == 1} == {"1", "2"}  # the dates of project templates


@pytest.mark.parametrize(
    ("name", "item"),
    [
        ("users", {"gid": "1600100000000000", "resource_type": "user", "name": "Export Service"}),
        ("projects", {"gid": "1500100000000000", "resource_type": "project", "name": "PROJECT"}),
        ("team_projects", {"gid": "1500100000000000", "resource_type": "project", "name": "PROJECT"}),
        ("sections", {"gid": "1500100000000001", "resource_type": "section", "name": "Untitled section"}),
        ("tags", {"gid": "1700100000000000", "resource_type": "tag", "name": "urgent"}),
        (
            "time_periods",
            {
                "gid": "1900106000000000",
                "resource_type": "time_period",
                "end_on": "2024-12-31",
                "start_on": "2024-01-01",
                "period": "FY",
                "display_name": "FY FY24",
            },
        ),
        (
            "workspace_memberships",
            {
                "gid": "1600100000000101",
                "resource_type": "workspace_membership",
                "user": {"gid": "1600100000000000", "resource_type": "user", "name": "Export Service"},
                "workspace": {"gid": WORKSPACE, "resource_type": "workspace", "name": "Sandbox 1"},
            },
        ),
    ],
)
def test_objects_are_compact_unless_fields_are_asked_for(name: str, item: dict[str, Any], sandbox: Sandbox) -> None:
    parent = above(sandbox, name)[0]
    found = read(sandbox, path_of(name, parent))[0]
    named = {"name": found["name"]} if item.get("name") == "PROJECT" else {}
    assert found == item | named


def test_definitions_and_allocations_come_whole_and_goals_and_entries_with_some_fields(sandbox: Sandbox) -> None:
    def compact(name: str) -> set[str]:
        return {field for item in read(sandbox, path_of(name)) for field in item}

    assert compact("custom_fields") == FIELDS["custom_fields"] - {"description"}
    assert compact("allocations") == FIELDS["allocations"]
    assert compact("goals") == {"gid", "resource_type", "name", "owner"}
    assert compact("time_tracking_entries") == {
        *("gid", "resource_type", "duration_minutes", "entered_on", "attributable_to", "created_by", "categories"),
    }


def test_only_fields_that_are_asked_for_come_and_unknown_ones_are_ignored(sandbox: Sandbox) -> None:
    asked = "owner.name,(archived|nothing),team,nothing.at.all,this.public"
    (whole, *_) = sandbox.listed(WORKSPACE, "projects")
    assert read(sandbox, path_of("projects"), opt_fields=asked)[0] == {
        "gid": whole["gid"],
        "archived": whole["archived"],
        "public": whole["public"],
        "owner": {"gid": whole["owner"]["gid"], "name": whole["owner"]["name"]},
        "team": {"gid": whole["team"]["gid"], "resource_type": "team"},
    }
    assert read(sandbox, f"{path_of('users')}&opt_fields=")[0].keys() == {"gid", "resource_type", "name"}


# ── the same organization as in exports ───────────────────────────────────────────────────────────────────────────────


def test_lists_have_what_tasks_name(sandbox: Sandbox) -> None:
    listed = {name: by_gid(sandbox.listed(WORKSPACE, name)) for name in NAMES}
    tasks = list(sandbox.organizations[WORKSPACE].objects("task", whole=True))
    users = [user for task in tasks for user in (*task["followers"], task["created_by"], task["assignee"]) if user]
    people = by_gid(users)
    compact = ("gid", "resource_type", "name", "email", "photo")
    assert people == {gid: {name: listed["users"][gid][name] for name in compact} for gid in people}
    for name, named in (
        ("projects", [project for task in tasks for project in task["projects"]]),
        ("sections", [each["section"] for task in tasks for each in task["memberships"]]),
        ("tags", [tag for task in tasks for tag in task["tags"]]),
    ):
        assert len(named) > 3
        assert named == [{key: listed[name][item["gid"]][key] for key in item} for item in named]
    for field in (field for task in tasks for field in task["custom_fields"]):
        definition = {
            name: value for name, value in listed["custom_fields"][field["gid"]].items() if name not in VALUES
        }
        assert {name: field[name] for name in definition} == definition


@pytest.mark.parametrize(("sandbox", "count"), [("dense", 80), ("wide", 37)], indirect=["sandbox"])
def test_custom_fields_of_dense_and_wide_tasks_are_those_of_the_list(sandbox: Sandbox, count: int) -> None:
    definitions = by_gid(sandbox.listed(WORKSPACE, "custom_fields"))
    own = VALUES | {"enum_options"}
    assert {frozenset(each.keys() - own) for each in definitions.values()} == {frozenset(FIELDS["custom_fields"] - own)}
    assert len(definitions) == count
    organization = sandbox.organizations[WORKSPACE]
    tasks = [*organization.objects("task"), *organization.objects("task", whole=True)]
    (project, *_) = sandbox.parents(WORKSPACE, "project")
    held = [item for item in sandbox.graph_objects(project) if "custom_fields" in item]
    assert {item["resource_type"] for item in held} == {"project", "task"}
    for field in (field for item in tasks + held for field in item["custom_fields"]):
        fixed = field.keys() - VALUES
        assert {name: field[name] for name in fixed} == {name: definitions[field["gid"]][name] for name in fixed}
    deleted = tasks[0]["custom_fields"][0]["gid"]
    organization.delete(deleted)
    left = {field["gid"] for task in organization.objects("task") for field in task["custom_fields"]}
    assert (deleted in left, len(left) > 1) == (False, True)
    assert sandbox.audit_log(WORKSPACE)[0]["event_type"] == "custom_field_deleted"


@pytest.mark.parametrize("sandbox", ["prose", "dense"], indirect=True)
def test_lists_have_what_graph_exports_have(sandbox: Sandbox) -> None:
    listed = {name: by_gid(sandbox.listed(WORKSPACE, name)) for name in NAMES}
    found = [item for goal in sandbox.parents(WORKSPACE, "goal") for item in sandbox.graph_objects(goal)]
    opt_in = {"custom_field_settings", "current_status"}  # whose objects have more fields in lists
    seen = set()
    for name in ("projects", "sections", "portfolios", "allocations", "time_tracking_entries"):
        for item in found:
            if item["resource_type"] == {"time_tracking_entries": "time_tracking_entry"}.get(name, name[:-1]):
                seen.add(name)
                whole = listed[name][item["gid"]]
                assert {key: value for key, value in item.items() if whole[key] != value}.keys() <= opt_in
    assert seen == {"projects", "sections", "portfolios", "allocations", "time_tracking_entries"}


def test_a_portfolio_has_the_items_that_the_relations_of_its_graph_export_name(sandbox: Sandbox) -> None:
    items = {(item["portfolio_gid"], item["gid"]) for item in sandbox.listed(WORKSPACE, "portfolio_items")}
    related = set()
    for portfolio in sandbox.parents(WORKSPACE, "portfolio"):
        for item in sandbox.graph_objects(portfolio):
            if item["resource_type"] == "portfolio_to_portfolio":
                related.add((item["parent_portfolio"]["gid"], item["child_portfolio"]["gid"]))
            elif item["resource_type"] == "project_to_portfolio":
                related.add((item["portfolio"]["gid"], item["project"]["gid"]))
    assert items == related


def test_the_same_seed_gives_the_same_lists_and_another_one_others(clock: Clock) -> None:
    first, second, other = (
        [list(Sandbox(seed=seed, tasks=20, clock=clock).listed(WORKSPACE, name)) for name in NAMES]
        for seed in (3, 3, 4)
    )
    assert first == second != other


def test_some_projects_have_no_team_and_are_in_no_teams_list(clock: Clock) -> None:
    sandbox = Sandbox(tasks=1, projects=10, teamless_projects=3, clock=clock)
    projects = list(sandbox.listed(WORKSPACE, "projects"))
    assert [project["gid"] for project in projects if not project["team"]] == [each["gid"] for each in projects[-3:]]
    in_teams = {project["gid"]: project for project in sandbox.listed(WORKSPACE, "team_projects")}
    assert in_teams == by_gid(projects[:-3])


def test_an_organization_may_have_none_of_something(clock: Clock) -> None:
    nothing = {"tags": 0, "custom_fields": 0, "portfolios": 0, "goals": 0, "project_templates": 0, "time_periods": 0}
    sandbox = Sandbox(tasks=300, messages=30, teams=0, **nothing, clock=clock)  # type: ignore[arg-type]
    assert {name: list(sandbox.listed(WORKSPACE, name)) for name in nothing} == {name: [] for name in nothing}
    (project, *_) = sandbox.listed(WORKSPACE, "projects")
    assert (project["custom_fields"], project["team"], project["created_from_template"]) == ([], None, None)
    tasks = list(sandbox.objects(WORKSPACE, "task"))
    assert [task for task in tasks if task["tags"] or task["custom_fields"]] == []
    assert {
        parent["resource_type"] for each in sandbox.objects(WORKSPACE, "message") for parent in each["parents"]
    } == {"project"}


# ── pages ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("count", "limit", "sizes"),
    [
        (0, 100, [0]),
        (1, 100, [1]),
        (100, 100, [100]),
        (101, 100, [100, 1]),
        (250, 100, [100, 100, 50]),
        (4, 2, [2, 2]),
        (3, 1, [1, 1, 1]),
    ],
)
def test_pages_are_as_long_as_was_asked_and_the_last_one_has_the_rest(
    count: int, limit: int, sizes: list[int], clock: Clock
) -> None:
    with Sandbox(tasks=1, tags=count, clock=clock) as sandbox:
        found = pages(sandbox, path_of("tags"), limit=limit)
        assert [len(page) for page in found] == sizes
        gids = [tag["gid"] for tag in sandbox.listed(WORKSPACE, "tags")]
        assert [tag["gid"] for page in found for tag in page] == gids
        assert len(set(gids)) == count


def test_a_page_tells_of_the_next_one_with_the_same_parameters(sandbox: Sandbox) -> None:
    _, content = ask(sandbox, "/users", workspace=WORKSPACE, limit=2, opt_fields="name,email")
    offset = content["next_page"]["offset"]
    path = f"/users?{urlencode({'workspace': WORKSPACE, 'limit': 2, 'opt_fields': 'name,email', 'offset': offset})}"
    assert content["next_page"] == {"offset": offset, "path": path, "uri": f"{sandbox.api_url}{path}"}
    assert offset.count(".") == 2
    _, following = ask(sandbox, path)
    assert [each["email"] for each in (*content["data"], *following["data"])] == [
        f"user{number}@sandbox.example" for number in range(4)
    ]


def test_without_a_limit_there_is_no_next_page_and_too_much_is_refused(clock: Clock) -> None:
    with Sandbox(tasks=1, tags=1000, custom_fields=1001, clock=clock) as sandbox:
        _, content = ask(sandbox, path_of("tags"))
        assert (len(content["data"]), content.keys()) == (1000, {"data"})
        words = "The result is too large. You should use pagination (may require specifying a workspace)!"
        assert refusal(sandbox, path_of("custom_fields")) == (400, words)


def test_an_offset_is_good_for_fifteen_minutes(sandbox: Sandbox, clock: Clock) -> None:
    _, content = ask(sandbox, path_of("users"), limit=2)
    following = content["next_page"]["path"]
    clock.sleep(899)
    assert ask(sandbox, following)[0] == 200
    clock.sleep(1)
    assert refusal(sandbox, following) == (400, "offset: Your pagination token has expired.")
    sandbox.offset_seconds = 0
    _, content = ask(sandbox, path_of("users"), limit=2)
    assert refusal(sandbox, content["next_page"]["path"])[0] == 400


@pytest.mark.parametrize("offset", ["", "1", "a.b.c", "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.e30.ä"])
def test_an_offset_that_was_not_given_is_refused(offset: str, sandbox: Sandbox) -> None:
    words = "offset: Your pagination token is invalid."
    assert refusal(sandbox, path_of("tags"), limit=1, offset=offset) == (400, words)


@pytest.mark.parametrize("limit", ["0", "101", "ten", ""])
def test_a_limit_that_asana_does_not_take_is_refused(limit: str, sandbox: Sandbox) -> None:
    status, words = refusal(sandbox, path_of("goals"), limit=limit)
    assert (status, words.split(":")[0]) == (400, "limit")


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/users?limit=1", 400, "workspace: Missing input"),
        ("/projects", 400, "workspace: Missing input"),
        ("/goals", 400, "workspace: Missing input"),
        ("/portfolios?workspace=", 400, "workspace: Not a recognized ID: "),
        ("/portfolios?workspace=mine", 400, "workspace: Not a recognized ID: mine"),
        ("/portfolios?workspace=12", 404, "workspace: Unknown object: 12"),
        ("/workspaces/12/projects", 404, "workspace: Unknown object: 12"),
        ("/workspaces/x/tags", 400, "workspace: Not a recognized ID: x"),
        ("/teams/12/projects", 404, "team: Unknown object: 12"),
        ("/projects/12/sections", 404, "project: Unknown object: 12"),
        ("/portfolios/1500100000000000/items", 404, "portfolio: Unknown object: 1500100000000000"),
        (f"/time_tracking_entries?workspace={WORKSPACE}", 400, "entered_on_start_date: Missing input"),
        (
            f"/time_tracking_entries?workspace={WORKSPACE}&entered_on_end_date=May",
            400,
            "entered_on_end_date: Date must be in ISO-8601 (yyyy-mm-dd) format, not: May",
        ),
    ],
)
def test_a_list_of_nothing_is_refused(path: str, status: int, words: str, sandbox: Sandbox) -> None:
    assert refusal(sandbox, path) == (status, words)


def test_users_by_name_end_after_two_thousand(clock: Clock) -> None:
    with Sandbox(users=2100, tasks=1, clock=clock) as sandbox:
        names = [user["name"] for user in read(sandbox, path_of("users_by_name"))]
        everybody = [user["name"] for user in read(sandbox, path_of("users"))]
        assert (len(everybody), names) == (2100, sorted(everybody)[:2000])


def test_projects_are_filtered_by_whether_they_are_archived(sandbox: Sandbox) -> None:
    found = {
        archived: {project["gid"] for project in read(sandbox, path_of("projects"), archived=archived)}
        for archived in ("true", "false")
    }
    everything = list(sandbox.listed(WORKSPACE, "projects"))
    assert found == {
        "true": {project["gid"] for project in everything if project["archived"]},
        "false": {project["gid"] for project in everything if not project["archived"]},
    }
    assert all(found.values())


def test_portfolios_are_those_of_an_owner_if_one_is_named(sandbox: Sandbox) -> None:
    portfolios = list(sandbox.listed(WORKSPACE, "portfolios"))
    owner = portfolios[1]["owner"]["gid"]
    mine = {each["gid"] for each in read(sandbox, path_of("portfolios"), owner=owner)}
    assert mine == {each["gid"] for each in portfolios if each["owner"]["gid"] == owner}
    assert read(sandbox, path_of("portfolios"), owner="me") == []


def test_time_tracking_entries_are_those_of_the_wanted_days(sandbox: Sandbox) -> None:
    everything = by_gid(sandbox.listed(WORKSPACE, "time_tracking_entries"))
    days = sorted(entry["entered_on"] for entry in everything.values())
    first, last = days[len(days) // 3], days[len(days) * 2 // 3]
    found = {
        (start, end): {
            each["gid"]
            for each in read(
                sandbox,
                f"/time_tracking_entries?workspace={WORKSPACE}",
                **{"entered_on_start_date": start} if start else {},
                **{"entered_on_end_date": end} if end else {},
            )
        }
        for start, end in ((first, last), (first, ""), ("", last))
    }
    assert found == {
        (start, end): {gid for gid, each in everything.items() if start <= each["entered_on"] <= (end or "9999")}
        for start, end in found
    }
    assert 0 < len(found[first, last]) < len(everything)


# ── changes ───────────────────────────────────────────────────────────────────────────────────────────────────────────

KINDS = {
    "user": "users",
    "project": "projects",
    "tag": "tags",
    "custom_field": "custom_fields",
    "team": "teams",
    "portfolio": "portfolios",
    "goal": "goals",
    "project_template": "project_templates",
    "time_period": "time_periods",
}


@pytest.mark.parametrize("kind", KINDS)
def test_objects_are_added_changed_and_deleted(kind: str, sandbox: Sandbox) -> None:
    organization, name = sandbox.organizations[WORKSPACE], KINDS[kind]
    before = by_gid(sandbox.listed(WORKSPACE, name))
    first, second, *_ = before
    added = organization.add(kind)
    organization.delete(second)
    organization.touch(first, color="none")
    after = by_gid(sandbox.listed(WORKSPACE, name))
    assert (after.keys() - before.keys(), before.keys() - after.keys()) == ({added}, {second})
    assert after[first]["color"] == "none"
    assert after[added].keys() >= FIELDS[name] - {"enum_options"} - VALUES
    for act in (organization.touch, organization.delete):
        with pytest.raises(KeyError):
            act(second)


def test_a_new_name_is_told_wherever_an_object_is_named(sandbox: Sandbox) -> None:
    organization = sandbox.organizations[WORKSPACE]
    task = next(task for task in sandbox.objects(WORKSPACE, "task") if task["assignee"] and task["tags"])
    membership = task["memberships"][0]
    field = next(each for each in task["custom_fields"])
    for item in (task["assignee"], task["tags"][0], membership["project"], membership["section"], field):
        organization.touch(item["gid"], name="Renamed")
    (changed,) = (each for each in sandbox.objects(WORKSPACE, "task") if each["gid"] == task["gid"])
    place = changed["memberships"][0]
    told = (changed["assignee"], changed["tags"][0], place["project"], place["section"], changed["custom_fields"][0])
    assert [each["name"] for each in told] == ["Renamed"] * 5
    for name in ("users", "tags", "projects", "sections", "custom_fields"):
        assert [each["name"] for each in sandbox.listed(WORKSPACE, name)].count("Renamed") == 1


def test_a_new_email_is_told_in_lists_and_exports(sandbox: Sandbox) -> None:
    def emails() -> set[str]:
        tasks = list(sandbox.objects(WORKSPACE, "task", ["assignee.email"]))
        named = {task["assignee"]["email"] for task in tasks if task["assignee"]}
        assert named <= {user["email"] for user in sandbox.listed(WORKSPACE, "users")}
        return named

    before = emails()
    number = min(int(email.removeprefix("user").partition("@")[0]) for email in before)
    sandbox.organizations[WORKSPACE].touch(f"16001{number:08}000", email="new@sandbox.example")
    assert emails() == before - {f"user{number}@sandbox.example"} | {"new@sandbox.example"}


def test_an_archived_project_is_modified_and_a_deleted_one_takes_its_sections_along(
    sandbox: Sandbox, clock: Clock
) -> None:
    organization = sandbox.organizations[WORKSPACE]
    clock.sleep(60)
    busy = {project["gid"] for task in sandbox.objects(WORKSPACE, "task") for project in task["projects"]}
    archived, deleted, *_ = (
        each for each in sandbox.listed(WORKSPACE, "projects") if each["gid"] in busy and not each["archived"]
    )
    organization.touch(archived["gid"], archived=True)
    organization.delete(deleted["gid"])
    after = by_gid(sandbox.listed(WORKSPACE, "projects"))
    assert after[archived["gid"]] == archived | {"archived": True, "modified_at": "2026-03-04T05:07:07.891Z"}
    assert deleted["gid"] not in after
    assert refusal(sandbox, path_of("sections", deleted["gid"]))[0] == 404
    for name, key in (("sections", "project"), ("allocations", "parent")):
        assert deleted["gid"] not in {each[key]["gid"] for each in sandbox.listed(WORKSPACE, name)}
    assert deleted["gid"] not in {each["gid"] for each in sandbox.listed(WORKSPACE, "portfolio_items")}
    assert deleted["gid"] not in sandbox.parents(WORKSPACE, "project")
    named = {project["gid"] for task in sandbox.objects(WORKSPACE, "task") for project in task["projects"]}
    assert deleted["gid"] not in named


def test_tasks_still_name_a_user_who_was_deleted_but_no_tag_or_custom_field(sandbox: Sandbox) -> None:
    organization = sandbox.organizations[WORKSPACE]
    task = next(each for each in sandbox.objects(WORKSPACE, "task") if each["assignee"] and each["tags"])
    tag, field = task["tags"][0], task["custom_fields"][0]
    for item in (task["assignee"], tag, field):
        organization.delete(item["gid"])
    after = by_gid(sandbox.objects(WORKSPACE, "task"))
    assert after[task["gid"]]["assignee"] == task["assignee"]
    assert [each for each in after.values() if tag in each["tags"]] == []
    assert field["gid"] not in {field["gid"] for each in after.values() for field in each["custom_fields"]}
    assert task["assignee"]["gid"] not in {
        each["user"]["gid"] for each in sandbox.listed(WORKSPACE, "workspace_memberships")
    }


def test_projects_portfolios_and_goals_change_by_themselves(clock: Clock) -> None:
    sandbox = Sandbox(tasks=100, large=0, clock=clock)
    before = {name: list(sandbox.listed(WORKSPACE, name)) for name in NAMES}
    clock.sleep(3600)
    changed = {name for name, items in before.items() if list(sandbox.listed(WORKSPACE, name)) != items}
    assert {"projects", "portfolios", "goals"} <= changed
    assert changed.isdisjoint({"users", "tags", "custom_fields", "sections", "time_periods"})


def test_other_programs_can_look_at_the_lists(sandbox: Sandbox) -> None:
    target = f"{sandbox.api_url.split('/')[2]}"
    connection = http.client.HTTPConnection(target, timeout=5)
    connection.request("GET", "/sandbox/lists?name=tags")
    lines = connection.getresponse().read().splitlines()
    connection.close()
    assert [json.loads(line) for line in lines] == list(sandbox.listed(WORKSPACE, "tags"))


# ── Asana's own client ────────────────────────────────────────────────────────────────────────────────────────────────


def test_asanas_own_client_reads_every_list(sandbox: Sandbox) -> None:
    configuration = asana.Configuration()
    configuration.host = sandbox.api_url
    configuration.access_token = sandbox.access_token
    client = asana.ApiClient(configuration)
    listed = {name: list(sandbox.listed(WORKSPACE, name)) for name in NAMES}

    def options(name: str, **more: str) -> dict[str, Any]:
        return {"limit": 7, "opt_fields": all_fields(listed[name]), **more}

    of = {"workspace": WORKSPACE}
    days = {"entered_on_start_date": "2000-01-01"}
    projects, portfolios = asana.ProjectsApi(client), asana.PortfoliosApi(client)
    try:
        found = {
            "workspaces": [asana.WorkspacesApi(client).get_workspace(WORKSPACE, {})],
            "users": asana.UsersApi(client).get_users(options("users", **of)),
            "workspace_memberships": asana.WorkspaceMembershipsApi(client).get_workspace_memberships_for_workspace(
                WORKSPACE, options("workspace_memberships")
            ),
            "projects": projects.get_projects_for_workspace(WORKSPACE, options("projects")),
            "teams": asana.TeamsApi(client).get_teams_for_workspace(WORKSPACE, options("teams")),
            "team_projects": [
                project
                for team in sandbox.parents(WORKSPACE, "team")
                for project in projects.get_projects_for_team(team, options("team_projects"))
            ],
            "sections": [
                section
                for project in sandbox.parents(WORKSPACE, "project")
                for section in asana.SectionsApi(client).get_sections_for_project(project, options("sections"))
            ],
            "tags": asana.TagsApi(client).get_tags_for_workspace(WORKSPACE, options("tags")),
            "custom_fields": asana.CustomFieldsApi(client).get_custom_fields_for_workspace(
                WORKSPACE, options("custom_fields")
            ),
            "portfolios": portfolios.get_portfolios(WORKSPACE, options("portfolios")),
            "portfolio_items": [
                item | {"portfolio_gid": portfolio}
                for portfolio in sandbox.parents(WORKSPACE, "portfolio")
                for item in portfolios.get_items_for_portfolio(portfolio, options("portfolio_items"))
            ],
            "goals": asana.GoalsApi(client).get_goals(options("goals", **of)),
            "time_periods": asana.TimePeriodsApi(client).get_time_periods(WORKSPACE, options("time_periods")),
            "project_templates": asana.ProjectTemplatesApi(client).get_project_templates(
                options("project_templates", **of)
            ),
            "allocations": asana.AllocationsApi(client).get_allocations(options("allocations", **of)),
            "time_tracking_entries": asana.TimeTrackingEntriesApi(client).get_time_tracking_entries(
                options("time_tracking_entries", **of, **days)
            ),
            "users_by_name": asana.UsersApi(client).get_users_for_workspace(WORKSPACE, options("users_by_name")),
        }
        assert {name: list(items) for name, items in found.items()} == listed
    finally:
        client.pool.close()
        client.rest_client.pool_manager.clear()


# ── what goes wrong ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_token_may_make_so_many_requests_a_minute(clock: Clock) -> None:
    with Sandbox(tasks=1, requests_a_minute=3, clock=clock) as sandbox:
        statuses = [ask(sandbox, path_of("tags"))[0] for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        _, seconds = ask(sandbox, path_of("tags"))
        assert seconds == "53"  # it is seven seconds past the minute
        clock.sleep(53)
        assert ask(sandbox, path_of("tags"))[0] == 200
        sandbox.requests_a_minute = 0
        assert {ask(sandbox, path_of("tags"))[0] for _ in range(5)} == {200}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("status", [402, 403, 404])
def test_a_list_that_is_refused_is_so_always_and_the_others_come(name: str, status: int, sandbox: Sandbox) -> None:
    sandbox.refused_lists = {name: status}
    words = {402: "This is only available to premium users.", 403: FORBIDDEN, 404: "Unknown object"}[status]
    path = path_of(name, above(sandbox, name)[0])
    assert [refusal(sandbox, path) for _ in range(2)] == [(status, words)] * 2
    assert ask(sandbox, path_of("users" if name == "tags" else "tags"))[0] == 200


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"refused_lists": {"tigers": 402}}, "Unknown lists: tigers. There are users, "),
        ({"refused_lists": {"goals": "no"}}, "refused_lists must say of each with which status it is refused: "),
        ({"refused_lists": {"goals": 200}}, r"refused_lists must have statuses from 400 to 599, not \{'goals': 200\}"),
        ({"portfolios": 50_001}, "portfolios must be between 0 and 50000, not 50001"),
    ],
)
def test_what_lists_cannot_be_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}"):
        Sandbox(**settings)


def test_the_projects_of_a_workspace_time_out_and_those_of_a_team_come(sandbox: Sandbox) -> None:
    sandbox.faults = {"projects_timeout": 2}
    team = path_of("team_projects", sandbox.parents(WORKSPACE, "team")[0])
    paths = (path_of("projects"), team, f"/projects?workspace={WORKSPACE}", path_of("projects"))
    assert [ask(sandbox, path)[0] for path in paths] == [504, 200, 504, 200]


def test_the_connection_breaks_on_a_request_for_the_projects_of_a_workspace(sandbox: Sandbox) -> None:
    sandbox.faults = {"projects_dropped": 1}
    with pytest.raises(http.client.RemoteDisconnected):
        ask(sandbox, path_of("projects"))
    assert ask(sandbox, path_of("projects"))[0] == 200


def test_a_request_for_the_projects_of_a_workspace_is_not_answered_until_the_sandbox_ends(clock: Clock) -> None:
    threads = set(threading.enumerate())
    with Sandbox(tasks=1, faults={"projects_hang": 1}, clock=clock) as sandbox:
        connection = http.client.HTTPConnection(sandbox.api_url.split("/")[2], timeout=0.2)
        connection.request("GET", f"/api/1.0{path_of('projects')}", headers={"Authorization": "Bearer sandbox"})
        with pytest.raises(TimeoutError):
            connection.getresponse()
        assert ask(sandbox, path_of("projects"))[0] == 200
    connection.close()
    for thread in set(threading.enumerate()) - threads:
        thread.join(5)
    assert set(threading.enumerate()) <= threads


def test_lists_alone_are_refused_for_a_while(sandbox: Sandbox) -> None:
    sandbox.faults = {"list_rate_limited": 1, "list_server_error": 1}
    paths = ("/users/me", path_of("tags"), "/users/me", path_of("tags"), path_of("tags"))
    replies = [ask(sandbox, path) for path in paths]
    assert [status for status, _ in replies] == [200, 429, 200, 500, 200]
    assert (replies[1][1], replies[3][1]["errors"][0]["message"]) == ("1", "Server Error")


def test_an_offset_has_expired_already(sandbox: Sandbox) -> None:
    sandbox.faults = {"expired_offset": 1}
    status, content = ask(sandbox, path_of("tags"), limit=5)
    assert status == 200
    following = content["next_page"]["path"]
    assert refusal(sandbox, following) == (400, "offset: Your pagination token has expired.")
    assert ask(sandbox, following)[0] == 200


@pytest.mark.parametrize(("fault", "data"), [("no_data", "absent"), ("null_data", None), ("object_data", {})])
def test_an_answer_has_no_list(fault: str, data: Any, sandbox: Sandbox) -> None:
    sandbox.faults = {fault: 1}
    status, content = ask(sandbox, path_of("tags"), limit=5)
    assert (status, content.get("data", "absent"), bool(content["next_page"])) == (200, data, True)
    assert len(ask(sandbox, path_of("tags"), limit=5)[1]["data"]) == 5


def test_an_object_is_on_two_pages(sandbox: Sandbox) -> None:
    sandbox.faults = {"repeated_object": 1}
    gids = [tag["gid"] for tag in sandbox.listed(WORKSPACE, "tags")]
    found = pages(sandbox, path_of("tags"), limit=5)
    assert [[tag["gid"] for tag in page] for page in found] == [gids[:5], gids[4:]]
    assert sandbox.faults == {"repeated_object": 0}


@pytest.mark.parametrize("name", NAMES[1:])
def test_an_object_vanishes_between_two_pages(name: str, sandbox: Sandbox) -> None:
    sandbox.faults = {"vanished_object": 1}
    path = path_of(name, above(sandbox, name)[0])
    gids = [each["gid"] for page in pages(sandbox, path, limit=100) for each in page]
    assert len(gids) > 2
    found = [each["gid"] for page in pages(sandbox, path, limit=1) for each in page]
    assert found == [gids[0], *gids[2:]]
    assert gids[1] not in {each["gid"] for each in sandbox.listed(WORKSPACE, name)}


def test_a_last_page_may_be_empty(clock: Clock) -> None:
    with Sandbox(tasks=1, tags=2, faults={"vanished_object": 1}, clock=clock) as sandbox:
        assert [len(page) for page in pages(sandbox, path_of("tags"), limit=1)] == [1, 0]
