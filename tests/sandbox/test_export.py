"""What an export holds: which objects, which of their fields, how they are written."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export.sandbox import Organization
from tap_asana_export.sandbox.export import InvalidRequestError, lines, objects, parameters, project, write
from tap_asana_export.sandbox.population import milliseconds, timestamp

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.clock import Clock

TASK = {
    "gid": "1",
    "resource_type": "task",
    "name": "Plan",
    "assignee": {"gid": "2", "resource_type": "user", "name": "Ada"},
    "followers": [
        {"gid": "2", "resource_type": "user", "name": "Ada"},
        {"gid": "3", "resource_type": "user", "name": "Rui"},
    ],
    "memberships": [
        {
            "project": {"gid": "4", "resource_type": "project", "name": "Launch"},
            "section": {"gid": "5", "resource_type": "section", "name": "Done"},
        }
    ],
    "custom_fields": [
        {
            "gid": "6",
            "resource_type": "custom_field",
            "name": "Priority",
            "enum_value": {"gid": "7", "resource_type": "enum_option", "name": "High", "enabled": True},
        },
        {"gid": "8", "resource_type": "custom_field", "name": "Size", "enum_value": None},
        {"gid": "9", "resource_type": "custom_field", "name": "Budget", "number_value": 1.5},
    ],
    "likes": [{"gid": "10", "user": {"gid": "2", "resource_type": "user", "name": "Ada"}}],
    "parent": None,
    "tags": [],
}


@pytest.fixture
def organization(clock: Clock) -> Organization:
    return Organization(tasks=300, messages=30, teams=5, large=0, clock=clock)


def export(organization: Organization, *elements: dict[str, Any]) -> list[dict[str, Any]]:
    return list(objects(organization, parameters({"export_request_parameters": list(elements)})))


def gids(items: list[dict[str, Any]]) -> list[str]:
    return sorted(item["gid"] for item in items)


# ── which objects ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_export_holds_every_object_of_the_types_asked_for_in_no_helpful_order(organization: Organization) -> None:
    found = export(organization, {"resource_type": "task"}, {"resource_type": "team"})
    expected = [*organization.objects("task"), *organization.objects("team")]
    assert found != expected
    assert sorted(found, key=lambda item: item["gid"]) == sorted(expected, key=lambda item: item["gid"])


@pytest.mark.parametrize("field", ["created_at", "modified_at"])
def test_bounds_of_time_are_exclusive(field: str, organization: Organization) -> None:
    tasks = list(organization.objects("task"))
    bound = sorted(task[field] for task in tasks)[150]
    for name, keeps in (
        ("after", {task["gid"] for task in tasks if task[field] > bound}),
        ("before", {task["gid"] for task in tasks if task[field] < bound}),
    ):
        found = export(organization, {"resource_type": "task", "filters": {f"{field}.{name}": bound}})
        assert gids(found) == sorted(keeps)
        assert keeps


@pytest.mark.parametrize(
    ("name", "people"),
    [
        ("assigned_by.any", lambda task: [task["assigned_by"]]),
        ("assignee.any", lambda task: [task["assignee"]]),
        (
            "commented_on_by.any",
            lambda task: [each["created_by"] for each in task["stories"] if each["type"] == "comment"],
        ),
        ("created_by.any", lambda task: [task["created_by"]]),
        ("followers.any", lambda task: task["followers"]),
        ("liked_by.any", lambda task: [like["user"] for like in task["likes"]]),
    ],
)
def test_filters_by_people(name: str, people: Any, organization: Organization) -> None:
    somebody = {organization.directory.user(number)["gid"] for number in (3, 8)}
    keeps = [
        task["gid"]
        for task in organization.objects("task", whole=True)
        if any(person and person["gid"] in somebody for person in people(task))
    ]
    found = export(organization, {"resource_type": "task", "filters": {name: sorted(somebody)}})
    assert gids(found) == sorted(keeps)
    assert 0 < len(keeps) < 300
    assert found[0].keys() & {"created_by", "assigned_by"} == set()


def test_filters_of_one_parameter_must_all_hold(organization: Organization) -> None:
    bound = "2023-01-01T00:00:00.000Z"
    somebody = organization.directory.user(3)["gid"]
    filters = {"created_at.after": bound, "followers.any": [somebody]}
    keeps = [
        task["gid"]
        for task in organization.objects("task")
        if task["created_at"] > bound and somebody in [follower["gid"] for follower in task["followers"]]
    ]
    assert gids(export(organization, {"resource_type": "task", "filters": filters})) == sorted(keeps) != []


def test_parameters_of_one_type_are_alternatives_and_may_bring_an_object_twice(organization: Organization) -> None:
    all_tasks = gids(list(organization.objects("task")))
    both = export(organization, {"resource_type": "task"}, {"resource_type": "task"})
    assert gids(both) == sorted(all_tasks * 2)


def test_an_object_is_as_of_the_moment_it_is_taken(organization: Organization, clock: Clock) -> None:
    taken = objects(organization, parameters({"export_request_parameters": [{"resource_type": "task"}]}))
    first = next(taken)
    deleted, touched, *_ = sorted(task["gid"] for task in organization.objects("task") if task["gid"] != first["gid"])
    clock.sleep(1)
    organization.delete(deleted)
    organization.touch(touched, notes="While the export ran")
    rest = {task["gid"]: task for task in taken}
    assert deleted not in rest
    assert (rest[touched]["notes"], rest[touched]["modified_at"]) == (
        "While the export ran",
        timestamp(milliseconds(clock.now)),
    )


def test_after_a_while_few_objects_are_newer_than_the_last_export(organization: Organization, clock: Clock) -> None:
    last = clock.now
    clock.sleep(timedelta(minutes=5).total_seconds())
    filters = {"modified_at.after": timestamp(milliseconds(last))}
    found = export(organization, {"resource_type": "task", "filters": filters})
    assert 40 <= len(found) <= 80  # one change every five seconds, and those that were born


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "export_request_parameters: Missing input"),
        ({"export_request_parameters": []}, "export_request_parameters: Missing input"),
        ({"export_request_parameters": ["task"]}, "export_request_parameters[0]: Not an object: 'task'"),
        (
            {"export_request_parameters": [{"resource_type": "task"}, {"resource": "task"}]},
            "export_request_parameters[1].resource_type: Not one of task, team, message: None",
        ),
        (
            {"export_request_parameters": [{"resource_type": "task", "fields": "name"}]},
            "export_request_parameters[0].fields: Not an array of strings: 'name'",
        ),
        (
            {"export_request_parameters": [{"resource_type": "task", "filters": ["modified_at.after"]}]},
            "export_request_parameters[0].filters: Not an object: ['modified_at.after']",
        ),
        (
            {"export_request_parameters": [{"resource_type": "team", "filters": {"followers.any": ["1"]}}]},
            "export_request_parameters[0].filters: Not supported for team",
        ),
        (
            {"export_request_parameters": [{"resource_type": "task", "filters": {"completed": True}}]},
            "export_request_parameters[0].filters: Unknown filter: completed",
        ),
        (
            {"export_request_parameters": [{"resource_type": "task", "filters": {"assignee.any": "1"}}]},
            "export_request_parameters[0].filters.assignee.any: Not an array of strings: '1'",
        ),
        (
            {"export_request_parameters": [{"resource_type": "task", "filters": {"modified_at.after": "soon"}}]},
            "export_request_parameters[0].filters.modified_at.after: Not a date-time: 'soon'",
        ),
    ],
)
def test_a_request_that_asana_would_not_take(data: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        parameters(data)
    assert str(raised.value) == message


# ── which fields ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["name"], {"gid": "1", "name": "Plan"}),
        (["assignee"], {"gid": "1", "assignee": {"gid": "2", "resource_type": "user"}}),
        (["assignee.name"], {"gid": "1", "assignee": {"gid": "2", "name": "Ada"}}),
        (["followers.name"], {"gid": "1", "followers": [{"gid": "2", "name": "Ada"}, {"gid": "3", "name": "Rui"}]}),
        (
            ["(assignee|followers).(name|resource_type)"],
            {"gid": "1", "assignee": TASK["assignee"], "followers": TASK["followers"]},
        ),
        (["memberships.section.name"], {"gid": "1", "memberships": [{"section": {"gid": "5", "name": "Done"}}]}),
        (
            ["memberships"],
            {
                "gid": "1",
                "memberships": [
                    {
                        "project": {"gid": "4", "resource_type": "project"},
                        "section": {"gid": "5", "resource_type": "section"},
                    }
                ],
            },
        ),
        (["memberships.project.name"], {"gid": "1", "memberships": [{"project": {"gid": "4", "name": "Launch"}}]}),
        (
            ["custom_fields.enum_value.name"],
            {
                "gid": "1",
                "custom_fields": [
                    {"gid": "6", "enum_value": {"gid": "7", "name": "High"}},
                    {"gid": "8", "enum_value": None},
                    {"gid": "9"},
                ],
            },
        ),
        (
            ["custom_fields", "custom_fields.enum_value"],
            {
                "gid": "1",
                "custom_fields": [
                    {"gid": "6", "enum_value": {"gid": "7", "resource_type": "enum_option"}},
                    {"gid": "8", "enum_value": None},
                    {"gid": "9"},
                ],
            },
        ),
        (
            ["likes", "followers"],
            {
                "gid": "1",
                "likes": [{"gid": "10"}],
                "followers": [{"gid": "2", "resource_type": "user"}, {"gid": "3", "resource_type": "user"}],
            },
        ),
        (["likes.user.name"], {"gid": "1", "likes": [{"gid": "10", "user": {"gid": "2", "name": "Ada"}}]}),
        (["parent.name", "tags.name"], {"gid": "1", "parent": None, "tags": []}),
        (["nonsense", "assignee.nonsense"], {"gid": "1", "assignee": {"gid": "2"}}),
    ],
)
def test_fields_limit_an_object_to_these_paths(fields: list[str], expected: dict[str, Any]) -> None:
    assert project(TASK, fields) == expected


def test_opt_in_fields_come_when_asked_for(organization: Organization) -> None:
    fields = ["html_notes", "created_by.email", "parent.created_by", "stories.html_text"]
    found = {item["gid"]: item for item in export(organization, {"resource_type": "task", "fields": fields})}
    assert found == {task["gid"]: project(task, fields) for task in organization.objects("task", whole=True)}
    assert all("@" in task["created_by"]["email"] for task in found.values())


# ── the file ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_is_gzipped_lines_of_json(tmp_path: Path, organization: Organization) -> None:
    items = list(organization.objects("message"))
    path = tmp_path / "export.jsonl.gz"
    write(path, lines(items))
    assert [json.loads(line) for line in gzip.decompress(path.read_bytes()).split(b"\n")[:-1]] == items


def test_a_file_may_have_several_members_or_be_plain(tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl.gz"
    write(path, [b"one\n", None, b"two\n"])
    assert (path.read_bytes().count(b"\x1f\x8b\x08"), gzip.decompress(path.read_bytes())) == (2, b"one\ntwo\n")
    write(path, [b"one\n", None, b"two\n"], compressed=False)
    assert path.read_bytes() == b"one\ntwo\n"
