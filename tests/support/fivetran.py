"""What the tables that fivetran/asana's models read should hold, computed from the organizations of the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.answers import gid_of, maybe, time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.answers import Row, Rows, Workspace

KEYS: dict[str, tuple[str, ...]] = {
    "task": ("id",),
    "story": ("id",),
    "user": ("id",),
    "project": ("id",),
    "project_task": ("project_id", "task_id"),
    "task_section": ("section_id", "task_id"),
    "task_follower": ("task_id", "user_id"),
    "task_tag": ("tag_id", "task_id"),
    "section": ("id",),
    "tag": ("id",),
    "team": ("id",),
}


def tables(of: list[Workspace]) -> Rows:
    """By table, its rows, without when they were loaded."""
    makers = {
        "task": tasks,
        "story": stories,
        "user": users,
        "project": projects,
        "project_task": lambda each: (row for row in memberships(each, "project")),
        "task_section": lambda each: (row for row in memberships(each, "section")),
        "task_follower": lambda each: of_tasks(each, "followers", "user_id"),
        "task_tag": lambda each: of_tasks(each, "tags", "tag_id"),
        "section": sections,
        "tag": tags,
        "team": teams,
    }
    return {table: [row for each in of for row in make(each)] for table, make in makers.items()}


def tasks(of: Workspace) -> Iterator[Row]:
    """The rows of task."""
    for task in of.tasks:
        yield {
            "id": task["gid"],
            "assignee_id": gid_of(task["assignee"]),
            "completed": task["completed"],
            "completed_at": maybe(task["completed_at"]),
            "completed_by_id": gid_of(task["completed_by"]),
            "created_at": time(task["created_at"]),
            "due_at": maybe(task["due_at"]),
            "due_on": maybe(task["due_on"]),
            "modified_at": time(task["modified_at"]),
            "name": task["name"],
            "notes": task["notes"],
            "liked": task["liked"],
            "num_likes": task["num_likes"],
            "parent_id": gid_of(task["parent"]),
            "start_on": maybe(task["start_on"]),
            "workspace_id": of.gid,
        }


def stories(of: Workspace) -> Iterator[Row]:
    """The rows of story."""
    for task in of.tasks:
        for story in task["stories"]:
            yield {
                "id": story["gid"],
                "created_at": time(story["created_at"]),
                "created_by_id": gid_of(story["created_by"]),
                "hearted": story.get("hearted", False),
                "num_hearts": story.get("num_hearts", 0),
                "source": story["source"],
                "target_id": task["gid"],
                "text": story["text"],
                "type": story["type"],
            }


def users(of: Workspace) -> Iterator[Row]:
    """The rows of user."""
    for gid, person in of.people.items():
        yield {"id": gid, "email": person["email"], "name": person["name"], "_fivetran_deleted": False}


def projects(of: Workspace) -> Iterator[Row]:
    """The rows of project."""
    for gid, project in of.projects.items():
        yield {
            "id": gid,
            "archived": project.get("archived", False),
            "color": project.get("color"),
            "created_at": maybe(project.get("created_at")),
            "current_status": (project.get("current_status") or {}).get("text"),
            "due_date": maybe(project.get("due_on")),
            "modified_at": maybe(project.get("modified_at")),
            "name": project["name"],
            "notes": project.get("notes"),
            "owner_id": gid_of(project.get("owner")),
            "public": project.get("public"),
            "team_id": gid_of(project.get("team")),
            "workspace_id": of.gid,
            "_fivetran_deleted": False,
        }


def memberships(of: Workspace, what: str) -> Iterator[Row]:
    """The rows of project_task and task_section."""
    for task in of.tasks:
        for each in task["memberships"]:
            yield {f"{what}_id": each[what]["gid"], "task_id": task["gid"]}


def of_tasks(of: Workspace, array: str, name: str) -> Iterator[Row]:
    """The rows of task_follower and task_tag."""
    for task in of.tasks:
        for each in task[array]:
            yield {name: each["gid"], "task_id": task["gid"]}


def sections(of: Workspace) -> Iterator[Row]:
    """The rows of section."""
    named = {
        each["section"]["gid"]: {**each["section"], "project": each["project"]}
        for task in of.tasks
        for each in task["memberships"]
    }
    for gid, section in (named | {each["gid"]: each for each in of.listed("sections")}).items():
        yield {
            "id": gid,
            "created_at": maybe(section.get("created_at")),
            "name": section["name"],
            "project_id": section["project"]["gid"],
        }


def tags(of: Workspace) -> Iterator[Row]:
    """The rows of tag."""
    named = {each["gid"]: each for task in of.tasks for each in task["tags"]}
    for gid, tag in (named | {each["gid"]: each for each in of.listed("tags")}).items():
        yield {
            "id": gid,
            "name": tag["name"],
            "color": tag.get("color"),
            "created_at": maybe(tag.get("created_at")),
            "message": None,
            "notes": tag.get("notes"),
            "workspace_id": of.gid,
            "_fivetran_deleted": False,
        }


def teams(of: Workspace) -> Iterator[Row]:
    """The rows of team."""
    named = {each["team"]["gid"]: each["team"] for each in of.listed("projects") if each["team"]}
    for gid, team in (named | {each["gid"]: each for each in of.teams}).items():
        yield {"id": gid, "name": team["name"], "organization_id": of.gid, "_fivetran_deleted": False}
