"""What hangs below a goal, a team, a portfolio or a project."""

from __future__ import annotations

import sys
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export.sandbox import Organization, Sandbox
from tap_asana_export.sandbox.graph import KINDS, find, objects, parents
from tap_asana_export.sandbox.population import timestamp
from tests.support.clock import Clock
from tests.support.populations import DEFAULT, filled, gids_in
from tests.support.tap import WORKSPACE

if TYPE_CHECKING:
    from collections.abc import Iterable

TYPES = {
    *("portfolio", "project", "section", "task", "portfolio_to_portfolio", "project_to_portfolio", "allocation"),
    "time_tracking_entry",
}
HELD = {
    *("gid", "resource_type", "name", "archived", "color", "created_at", "current_status_update"),
    *("custom_field_settings", "custom_fields", "due_on", "start_on", "members", "owner", "workspace"),
    *("permalink_url", "public", "privacy_setting", "default_access_level"),
}
# Asana's OpenAPI file, 2026-06-11; relations as the sandbox words them.
FIELDS = {
    "portfolio": HELD | {"created_by", "project_templates"},
    "project": HELD
    | {
        *("icon", "current_status", "default_view", "due_date", "modified_at", "notes", "completed", "completed_at"),
        *("minimum_access_level_for_customization", "minimum_access_level_for_sharing", "completed_by", "followers"),
        "team",
    },
    "section": {"gid", "resource_type", "name", "created_at", "project", "projects"},
    "task": DEFAULT["task"] - {"stories", "attachments"},
    "allocation": {
        *("gid", "resource_type", "start_date", "end_date", "effort", "assignee", "created_by", "parent"),
        "resource_subtype",
    },
    "time_tracking_entry": {
        *("gid", "resource_type", "duration_minutes", "entered_on", "attributable_to", "created_by", "categories"),
        *("task", "created_at", "approval_status", "billable_status", "description"),
    },
    "portfolio_to_portfolio": {"gid", "resource_type", "parent_portfolio", "child_portfolio"},
    "project_to_portfolio": {"gid", "resource_type", "project", "portfolio"},
}


@pytest.fixture
def organization(clock: Clock) -> Organization:
    return Organization(tasks=640, messages=4, teams=6, large=0, change_interval=0, clock=clock)


def graph(organization: Organization, kind: str, number: int = 0) -> dict[str, list[dict[str, Any]]]:
    """The lines of the nth parent's export, by type."""
    found: dict[str, list[dict[str, Any]]] = {}
    for item in objects(organization, parents(organization, kind)[number]):
        found.setdefault(item["resource_type"], []).append(item)
    return found


def gids(items: Iterable[dict[str, Any]]) -> list[str]:
    return sorted(item["gid"] for item in items)


def tasks_below(organization: Organization, projects: list[str]) -> list[str]:
    """The gids of these projects' tasks and first-level subtasks, told from a resource export."""
    tasks = list(organization.objects("task"))
    own = {task["gid"] for task in tasks if any(project["gid"] in projects for project in task["projects"])}
    return sorted(own | {task["gid"] for task in tasks if task["parent"] and task["parent"]["gid"] in own})


# ── what is below ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_project_holds_itself_its_sections_tasks_and_first_level_subtasks(organization: Organization) -> None:
    (gid, *_), found = parents(organization, "project"), graph(organization, "project", 0)
    assert gids(found["project"]) == [gid]
    assert [section["project"]["gid"] for section in found["section"]] == [gid] * 3
    assert gids(found["task"]) == tasks_below(organization, [gid])
    assert found.keys() <= {"project", "section", "task", "allocation", "time_tracking_entry"}


def test_subtasks_of_subtasks_are_left_out(organization: Organization) -> None:
    whole = graph(organization, "portfolio")["task"] + graph(organization, "goal")["task"]
    depth = {task["gid"]: task["parent"] and task["parent"]["gid"] for task in organization.objects("task")}
    depths = {bool(depth[gid]) + bool(depth.get(depth[gid] or "")) for gid in gids(whole)}
    assert depths == {0, 1}


def test_a_subtask_that_was_moved_to_a_project_brings_its_own_subtasks(organization: Organization) -> None:
    parent_of = {task["gid"]: task["parent"] and task["parent"]["gid"] for task in organization.objects("task")}
    grandchild = next(gid for gid, parent in parent_of.items() if parent_of.get(parent or ""))
    moved = parent_of[grandchild]
    assert moved
    organization.move(moved)
    project = next(task["projects"][0]["gid"] for task in organization.objects("task") if task["gid"] == moved)
    found = graph(organization, "project", parents(organization, "project").index(project))
    assert {moved, grandchild} <= set(gids(found["task"]))


def test_a_team_holds_its_projects_and_what_is_in_them(organization: Organization) -> None:
    team, found = parents(organization, "team")[2], graph(organization, "team", 2)
    projects = gids(found["project"])
    assert [project["team"]["gid"] for project in found["project"]] == [team] * 7
    assert gids(found["task"]) == tasks_below(organization, projects)
    assert {section["project"]["gid"] for section in found["section"]} == set(projects)
    assert "portfolio" not in found


def test_teams_share_out_the_projects(organization: Organization) -> None:
    found = [gid for number in range(6) for gid in gids(graph(organization, "team", number)["project"])]
    assert sorted(found) == parents(organization, "project")


def test_a_portfolio_holds_the_portfolios_and_projects_at_any_depth_once(organization: Organization) -> None:
    found = graph(organization, "portfolio")
    assert gids(found["portfolio"]) == parents(organization, "portfolio")
    nested = [
        (each["parent_portfolio"]["gid"], each["child_portfolio"]["gid"]) for each in found["portfolio_to_portfolio"]
    ]
    top, left, right, lowest = parents(organization, "portfolio")
    assert nested == [(top, left), (top, right), (left, lowest), (right, lowest)]
    related = {each["project"]["gid"] for each in found["project_to_portfolio"]}
    assert gids(found["project"]) == sorted(related) != parents(organization, "project")
    assert len(found["project_to_portfolio"]) > len(related)
    assert gids(found["task"]) == tasks_below(organization, gids(found["project"]))


def test_a_lower_portfolio_holds_less_and_no_relation_to_the_one_above(organization: Organization) -> None:
    lowest, found = parents(organization, "portfolio")[3], graph(organization, "portfolio", 3)
    assert gids(found["portfolio"]) == [lowest]
    assert {each["portfolio"]["gid"] for each in found["project_to_portfolio"]} == {lowest}
    assert "portfolio_to_portfolio" not in found
    assert len(found["project"]) == 9


def test_a_goal_holds_a_portfolio_and_a_project_in_none(organization: Organization) -> None:
    goal, portfolio = graph(organization, "goal", 3), graph(organization, "portfolio", 3)
    extra = set(gids(goal["project"])) - set(gids(portfolio["project"]))
    assert len(extra) == 1
    assert goal["portfolio"] == portfolio["portfolio"]
    assert gids(goal["task"]) == tasks_below(organization, gids(goal["project"]))


def test_time_tracking_entries_and_allocations_are_those_of_the_tasks_and_projects(organization: Organization) -> None:
    found = graph(organization, "portfolio")
    minutes = Counter[str]()
    for entry in found["time_tracking_entry"]:
        minutes[entry["task"]["gid"]] += entry["duration_minutes"]
    tracked = {task["gid"]: task["actual_time_minutes"] for task in found["task"]}
    assert minutes == {gid: int(each) for gid, each in tracked.items() if each}
    assert {each["parent"]["gid"] for each in found["allocation"]} <= set(gids(found["project"]))


def test_a_team_that_was_added_has_nothing_yet(organization: Organization) -> None:
    organization.add("team")
    assert graph(organization, "team", 6) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_parents_are_found_by_their_gid(kind: str, organization: Organization) -> None:
    found = parents(organization, kind)
    assert [find(organization, gid) for gid in found] == [(kind, number) for number in range(len(found))]


def test_what_is_no_parent_is_not_found(organization: Organization) -> None:
    directory = organization.directory
    others = [
        *(directory.gid("task", 0), directory.gid("user", 0), directory.gid("project", 40), directory.gid("team", 6)),
        *(directory.all("custom_type")[0]["gid"], parents(organization, "project")[0][:-1] + "1", "1", "goal"),
    ]
    assert [find(organization, gid) for gid in others] == [None] * len(others)
    for gid in others:
        with pytest.raises(KeyError, match=gid):
            list(objects(organization, gid))


# ── what it looks like ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def whole() -> list[dict[str, Any]]:
    """What is below all goals of a default organization."""
    organization = Organization(large=0, clock=Clock())
    found = [item for gid in parents(organization, "goal") for item in objects(organization, gid)]
    return list({item["gid"]: item for item in found}.values())


@pytest.mark.parametrize("kind", FIELDS)
def test_every_field_occurs_with_a_value(kind: str, whole: list[dict[str, Any]]) -> None:
    items = [item for item in whole if item["resource_type"] == kind]
    names = {name for item in items for name in item}
    assert (names, filled(items)) == (FIELDS[kind], FIELDS[kind])
    if kind != "task":
        assert all(item.keys() == FIELDS[kind] for item in items)


def test_there_are_all_types(whole: list[dict[str, Any]]) -> None:
    assert {item["resource_type"] for item in whole} == TYPES == FIELDS.keys()


def test_a_task_is_the_same_as_in_a_resource_export(whole: list[dict[str, Any]]) -> None:
    organization = Organization(large=0, clock=Clock())
    found = {item["gid"]: item for item in whole if item["resource_type"] == "task"}
    tasks = {task["gid"]: task for task in organization.objects("task")}
    assert found == {
        gid: {name: value for name, value in tasks[gid].items() if name not in ("stories", "attachments")}
        for gid in found
    }


@pytest.mark.soak
def test_gids_belong_to_one_object(whole: list[dict[str, Any]]) -> None:
    organization = Organization(large=0, clock=Clock())
    kinds: dict[str, set[str]] = {}
    for gid, kind in gids_in([whole, list(organization.objects("task", whole=True))]):
        kinds.setdefault(gid, set()).add(kind)
    assert {gid: found for gid, found in kinds.items() if len(found) > 1} == {}
    assert {len(gid) for gid in kinds} == {16}


@pytest.mark.parametrize("kind", KINDS)
def test_no_gid_comes_twice(kind: str, organization: Organization) -> None:
    for gid in parents(organization, kind):
        assert [each for each, times in Counter(gids(objects(organization, gid))).items() if times > 1] == []


def test_relations_may_come_without_gid(clock: Clock) -> None:
    sandbox = Sandbox(tasks=2, graph_relation_gids=False, clock=clock)
    found = list(sandbox.graph_objects(sandbox.parents(WORKSPACE, "portfolio")[0]))
    without = Counter(item["resource_type"] for item in found if "gid" not in item)
    assert without == {"portfolio_to_portfolio": 4, "project_to_portfolio": 37}


# ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_two_organizations_of_the_same_seed_are_the_same(clock: Clock) -> None:
    first, second = (Organization(seed=7, tasks=50, clock=clock) for _ in range(2))
    for kind in KINDS:
        for gid in parents(first, kind):
            assert list(objects(first, gid)) == list(objects(second, gid))


def test_with_a_change_interval_of_nothing_nothing_changes_by_itself(organization: Organization, clock: Clock) -> None:
    before = graph(organization, "goal")
    clock.sleep(10_000_000)
    assert graph(organization, "goal") == before


def test_projects_and_portfolios_change_by_themselves(clock: Clock) -> None:
    organization = Organization(tasks=100, large=0, clock=clock)
    before = {item["gid"]: item for item in objects(organization, parents(organization, "goal")[0])}
    clock.sleep(timedelta(hours=1).total_seconds())
    after = {item["gid"]: item for item in objects(organization, parents(organization, "goal")[0])}
    for kind in ("project", "portfolio"):
        changed = [gid for gid, item in after.items() if item["resource_type"] == kind and item != before[gid]]
        assert changed != []
    for gid, item in after.items():
        if item["resource_type"] == "project":
            assert (item == before[gid]) == (item["modified_at"] == before[gid]["modified_at"])
            assert item["created_at"] <= item["modified_at"] <= timestamp(organization.now())


def test_what_others_do_to_tasks_shows(organization: Organization, clock: Clock) -> None:
    before = {task["gid"]: task for task in graph(organization, "portfolio")["task"]}
    with_entries = {each["task"]["gid"] for each in graph(organization, "portfolio")["time_tracking_entry"]}
    deleted = next(gid for gid in before if gid in with_entries and before[gid]["parent"] is None)
    touched = next(gid for gid in before if gid != deleted)
    clock.sleep(1)
    organization.delete(deleted)
    organization.touch(touched, notes="Rewritten")
    found = graph(organization, "portfolio")
    after = {task["gid"]: task for task in found["task"]}
    assert deleted not in after
    assert deleted not in {each["task"]["gid"] for each in found["time_tracking_entry"]}
    assert (after[touched]["notes"], after[touched]["modified_at"]) == ("Rewritten", timestamp(organization.now()))


def test_a_moved_task_leaves_a_project_for_another(organization: Organization) -> None:
    project, task = parents(organization, "project")[5], graph(organization, "project", 5)["task"][0]
    organization.move(task["gid"])
    assert task["gid"] not in gids(graph(organization, "project", 5)["task"])
    there = next(each["projects"][0]["gid"] for each in organization.objects("task") if each["gid"] == task["gid"])
    assert there != project
    assert task["gid"] in gids(graph(organization, "project", parents(organization, "project").index(there))["task"])


def test_a_team_that_was_deleted_is_no_parent_and_no_projects_team(organization: Organization) -> None:
    first, second = parents(organization, "team")[:2]
    organization.delete(first)
    assert find(organization, first) is None
    assert parents(organization, "team")[0] == second
    teams = {project["gid"]: project["team"] for project in graph(organization, "portfolio")["project"]}
    assert teams[parents(organization, "project")[0]] is None


@pytest.mark.soak
def test_twenty_thousand_tasks_leave_nothing_behind() -> None:
    organization = Organization(tasks=20_000, large=0, clock=Clock())
    found = objects(organization, parents(organization, "portfolio")[0])
    next(found)  # the directory is laid out once
    before = sys.getallocatedblocks()
    count, most = 0, 0
    for count, _ in enumerate(found, 1):
        most = max(most, sys.getallocatedblocks()) if count % 100 == 0 else most
    assert count > 20_000
    assert most - before < 5_000
