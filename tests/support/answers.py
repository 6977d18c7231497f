"""What the models of dbt/ should hold, computed from the organizations of the sandbox."""

from __future__ import annotations

import itertools
from collections import defaultdict
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_asana_export.sandbox import Sandbox

Row = dict[str, Any]
Rows = dict[str, list[Row]]

KEYS = {
    "asana_tasks": "task_gid",
    "asana_task_history": "interval_key",
    "asana_daily_metrics": "metric_key",
    "asana_projects": "project_gid",
    "asana_users": "user_key",
    "asana_custom_field_values": "value_key",
}


class Workspace(NamedTuple):
    """A workspace as it is now.

    Attributes:
        gid: its gid.
        as_of: when its last export began.
        tasks: its tasks.
        messages: its messages.
        teams: its teams.
        lists: by stream, the objects of Asana's lists; empty if they are not loaded.
    """

    gid: str
    as_of: datetime
    tasks: list[Row]
    messages: list[Row]
    teams: list[Row]
    lists: dict[str, list[Row]]

    def listed(self, stream: str) -> list[Row]:
        """The objects of a list, none if it is not loaded."""
        return self.lists.get(stream, [])

    @property
    def people(self) -> dict[str, Row]:
        """By gid, all users who are listed or named, with name and e-mail address."""
        named = itertools.chain.from_iterable((*self._of_tasks(), *self._of_messages(), *self._of_lists()))
        people: dict[str, Row] = {
            each["gid"]: {"name": each["name"], "email": None, "is_listed": False} for each in named if each
        }
        for each in self.listed("users"):
            people[each["gid"]] = {"name": each["name"], "email": each["email"], "is_listed": True}
        return people

    def _of_tasks(self) -> Iterator[list[Row | None]]:
        for task in self.tasks:
            yield [task["assignee"], task["completed_by"], *task["followers"]]
            yield [story["created_by"] for story in task["stories"]]

    def _of_messages(self) -> Iterator[list[Row | None]]:
        for message in self.messages:
            yield [message["created_by"], *message["followers"]]
            yield [story["created_by"] for story in message["stories"]]

    def _of_lists(self) -> Iterator[list[Row | None]]:
        yield from (team["members"] for team in self.teams)
        yield [project["owner"] for project in self.listed("projects")]
        yield [each["user"] for each in self.listed("workspace_memberships")]

    @property
    def projects(self) -> dict[str, Row]:
        """By gid, all projects that are listed or named: what the list says of them, or their name only."""
        named = [each["project"] for task in self.tasks for each in task["memberships"]]
        named += [each for message in self.messages for each in message["parents"]]
        projects = {each["gid"]: each for each in named if each["resource_type"] == "project"}
        return projects | {each["gid"]: each for each in self.listed("projects")}


def workspaces(sandbox: Sandbox, as_of: dict[str, str], *, lists: Iterable[str]) -> list[Workspace]:
    """The workspaces that were exported, as they are now."""
    return [
        Workspace(
            gid=gid,
            as_of=time(at),
            tasks=list(sandbox.objects(gid, "task")),
            messages=list(sandbox.objects(gid, "message")),
            teams=list(sandbox.objects(gid, "team")),
            lists={stream: list(sandbox.listed(gid, stream)) for stream in lists},
        )
        for gid, at in as_of.items()
    ]


def marts(of: list[Workspace]) -> Rows:
    """By mart, its rows."""
    makers = {
        "asana_tasks": tasks,
        "asana_task_history": history,
        "asana_daily_metrics": daily_metrics,
        "asana_projects": projects,
        "asana_users": users,
        "asana_custom_field_values": custom_field_values,
    }
    return {mart: [row for each in of for row in make(each)] for mart, make in makers.items()}


def time(text: str) -> datetime:
    """A time as Asana writes it; all are UTC."""
    return datetime.fromisoformat(text.replace("Z", "").replace("+00:00", ""))


def maybe(text: str | None) -> datetime | None:
    """A time, or none."""
    return time(text) if text else None


def days(first: datetime, last: datetime) -> float:
    """Days from one time to another."""
    return (last - first).total_seconds() / 86400


def gid_of(item: Row | None) -> str | None:
    """An object's gid."""
    return item["gid"] if item else None


def name_of(item: Row | None) -> str | None:
    """An object's name."""
    return item["name"] if item else None


def average(values: Iterable[float]) -> float | None:
    """The mean; none of nothing."""
    found = list(values)
    return sum(found) / len(found) if found else None


def started(task: Row) -> datetime:
    """When work on a task began: with its first assignment, or its creation."""
    assigned = [time(each["created_at"]) for each in task["stories"] if each["resource_subtype"] == "assigned"]
    first = min(assigned, default=None)
    if first is None or (task["completed"] and first > time(task["completed_at"])):
        return time(task["created_at"])
    return first


def late_since(task: Row) -> datetime | None:
    """From when on an open task is late."""
    if task["due_at"]:
        return time(task["due_at"])
    return datetime.fromisoformat(task["due_on"]) + timedelta(days=1) if task["due_on"] else None


def tasks(of: Workspace) -> Iterator[Row]:
    """The rows of asana_tasks."""
    people = of.people
    subtasks = defaultdict(list)
    for task in of.tasks:
        subtasks[gid_of(task["parent"])].append(task)
    for task in of.tasks:
        created = time(task["created_at"])
        end = time(task["completed_at"]) if task["completed"] else of.as_of
        late = late_since(task)
        places = sorted(task["memberships"], key=lambda each: str(each["project"]["gid"]))
        tags = sorted(task["tags"], key=lambda each: str(each["gid"]))
        yield {
            "task_gid": task["gid"],
            "workspace_gid": of.gid,
            "name": task["name"],
            "resource_subtype": task["resource_subtype"],
            "approval_status": task.get("approval_status"),
            "parent_gid": gid_of(task["parent"]),
            "is_subtask": task["parent"] is not None,
            "assignee_gid": gid_of(task["assignee"]),
            "assignee_name": task["assignee"] and people[task["assignee"]["gid"]]["name"],
            "is_completed": task["completed"],
            "completed_at": maybe(task["completed_at"]),
            "completed_by_gid": gid_of(task["completed_by"]),
            "completed_by_name": name_of(task["completed_by"]),
            "created_at": created,
            "modified_at": time(task["modified_at"]),
            "start_on": task["start_on"],
            "due_on": task["due_on"],
            "due_at": maybe(task["due_at"]),
            "project_count": len(places),
            "project_gid": gid_of(places[0]["project"]) if places else None,
            "project_names": ", ".join(each["project"]["name"] for each in places) or None,
            "section_names": ", ".join(each["section"]["name"] for each in places) or None,
            "tag_names": ", ".join(each["name"] for each in tags) or None,
            "follower_count": len(task["followers"]),
            "comment_count": sum(each["type"] == "comment" for each in task["stories"]),
            "attachment_count": len(task["attachments"]),
            "like_count": task["num_likes"],
            "subtask_count": len(subtasks[task["gid"]]),
            "open_subtask_count": sum(not each["completed"] for each in subtasks[task["gid"]]),
            "actual_time_minutes": task["actual_time_minutes"],
            "started_at": started(task),
            "age_days": days(created, end),
            "cycle_days": days(started(task), end) if task["completed"] else None,
            "is_overdue": bool(late and late <= end and not task["completed"]),
            "is_late": bool(late and late <= end and task["completed"]),
            "days_late": days(late, end) if late and late <= end else None,
            "permalink_url": task["permalink_url"],
            "as_of": of.as_of,
        }


# ── history ──────────────────────────────────────────────────────────────────────────────────────────────


class Change(NamedTuple):
    """What a story tells of: the values before and after it, each a gid and a text."""

    field: str
    project: str | None
    story: Row
    old: tuple[str | None, str | None]
    new: tuple[str | None, str | None]


NOTHING = (None, None)


def pair(item: Row | None) -> tuple[str | None, str | None]:
    """An object's gid and name."""
    return gid_of(item), name_of(item)


def truth(value: object) -> tuple[None, str]:
    """What history has for whether a task is completed."""
    return None, "true" if value else "false"


def change(story: Row) -> Change | None:
    """What a story tells of, if it is something that intervals are made of."""
    kind = story["resource_subtype"]
    if kind in {"assigned", "unassigned"}:
        return Change("assignee", None, story, NOTHING, pair(story.get("assignee")))
    if kind == "due_date_changed":
        return Change("due_on", None, story, (None, story["old_dates"]["due_on"]), (None, story["new_dates"]["due_on"]))
    if kind in {"marked_complete", "marked_incomplete"}:
        is_done = kind == "marked_complete"
        return Change("completed", None, story, truth(not is_done), truth(is_done))
    if kind == "approval_status_changed":
        old, new = (story[name] != "pending" for name in ("old_approval_status", "new_approval_status"))
        return Change("completed", None, story, truth(old), truth(new))
    if kind in {"section_changed", "added_to_project", "removed_from_project"}:
        sections = pair(story.get("old_section")), pair(story.get("new_section"))
        return Change("section", story["project"]["gid"], story, *sections)
    return None


def history(of: Workspace) -> Iterator[Row]:
    """The rows of asana_task_history."""
    for task in of.tasks:
        present = {
            ("assignee", None): pair(task["assignee"]),
            ("due_on", None): (None, task["due_on"]),
            ("completed", None): truth(task["completed"]),
        } | {("section", each["project"]["gid"]): pair(each["section"]) for each in task["memberships"]}
        changes: dict[Any, list[Change]] = {subject: [] for subject in present}
        for story in task["stories"]:
            told = change(story)
            if told:
                changes.setdefault((told.field, told.project), []).append(told)
        for subject, of_subject in changes.items():
            of_subject.sort(key=lambda each: (each.story["created_at"], each.story["gid"]))
            yield from intervals(of, task, subject, of_subject, present)


def intervals(of: Workspace, task: Row, subject: Any, changes: list[Change], present: dict[Any, Any]) -> Iterator[Row]:
    """What one thing of a task was when."""
    field, project = subject
    at = [time(each.story["created_at"]) for each in changes]
    first = changes[0].story["resource_subtype"] if changes else None
    found: list[tuple[Any, bool, datetime, datetime | None, Row | None]] = []
    if first not in {"added_to_project", "removed_from_project"}:
        value = changes[0].old if changes else present[subject]
        known = not changes or field != "assignee"
        found.append((value, known, time(task["created_at"]), at[0] if changes else None, None))
    for place, told in enumerate(changes):
        is_last = place == len(changes) - 1
        value = told.new
        if told.story["resource_subtype"] == "added_to_project" and not is_last:
            value = changes[place + 1].old
        if is_last and subject in present:
            value = present[subject]
        end = (None if subject in present else of.as_of) if is_last else at[place + 1]
        if told.story["resource_subtype"] != "removed_from_project":
            is_entry = told.story["resource_subtype"] == "added_to_project"
            knows = subject in present if is_last else value != NOTHING
            found.append((value, knows or not is_entry, at[place], end, told.story))
    for (gid, text), known, since, until, source in found:
        if until is None or until > since:
            parts = [task["gid"], field, project, gid_of(source)]
            yield {
                "interval_key": "-".join(each for each in parts if each),
                "task_gid": task["gid"],
                "workspace_gid": of.gid,
                "field": field,
                "project_gid": project,
                "value_gid": gid,
                "value": text,
                "is_known": known,
                "valid_from": since,
                "valid_to": until,
                "is_current": until is None,
                "days": days(since, until or of.as_of),
                "story_gid": gid_of(source),
                "changed_by_gid": gid_of(source["created_by"]) if source else None,
            }


# ── the others ───────────────────────────────────────────────────────────────────────────────────────────


def daily_metrics(of: Workspace) -> Iterator[Row]:
    """The rows of asana_daily_metrics."""
    all_projects = of.projects
    scopes: dict[Any, dict[str, Row]] = defaultdict(dict)
    for task in of.tasks:
        scopes["workspace", of.gid][task["gid"]] = task
        for each in task["memberships"]:
            scopes["project", each["project"]["gid"]][task["gid"]] = task
            team = all_projects[each["project"]["gid"]].get("team")
            if team:
                scopes["team", team["gid"]][task["gid"]] = task
    names = {("project", gid): each["name"] for gid, each in all_projects.items()}
    names |= {("workspace", each["gid"]): each["name"] for each in of.listed("workspaces")}
    names |= {("team", each["team"]["gid"]): each["team"]["name"] for each in of.listed("projects") if each["team"]}
    for (scope, gid), tasks_of in scopes.items():
        created = [time(task["created_at"]).date() for task in tasks_of.values()]
        completed = [time(task["completed_at"]).date() for task in tasks_of.values() if task["completed"]]
        is_open = len(created) > len(completed)
        last = max(*created, *completed, *([of.as_of.date()] if is_open else []), date.min)
        day = min(*created, *completed, date.max)
        while day <= last:
            yield {
                "metric_key": f"{scope}-{gid}-{day}",
                "workspace_gid": of.gid,
                "scope": scope,
                "scope_gid": gid,
                "scope_name": names.get((scope, gid)),
                "day": str(day),
                "created": created.count(day),
                "completed": completed.count(day),
                "open_tasks": sum(each <= day for each in created) - sum(each <= day for each in completed),
            }
            day += timedelta(days=1)


def projects(of: Workspace) -> Iterator[Row]:
    """The rows of asana_projects."""
    rows = {row["task_gid"]: row for row in tasks(of)}
    people, listed = of.people, {each["gid"] for each in of.listed("projects")}
    teams = {team["gid"]: team["name"] for team in of.teams}
    for gid, project in of.projects.items():
        inside = [
            rows[task["gid"]] for task in of.tasks if gid in {each["project"]["gid"] for each in task["memberships"]}
        ]
        still_open = [row for row in inside if not row["is_completed"]]
        updates = [
            message
            for message in of.messages
            if message["resource_subtype"] == "status_update" and gid in {each["gid"] for each in message["parents"]}
        ]
        update = max(updates, key=lambda each: (each["created_at"], each["gid"]), default=None)
        sections = [each for each in of.listed("sections") if each["project"]["gid"] == gid]
        owner, team = project.get("owner"), project.get("team")
        yield {
            "project_gid": gid,
            "workspace_gid": of.gid,
            "name": project["name"],
            "is_listed": gid in listed,
            "is_archived": project.get("archived"),
            "owner_gid": gid_of(owner),
            "owner_name": owner and people[owner["gid"]]["name"],
            "team_gid": gid_of(team),
            "team_name": team and teams.get(team["gid"], team["name"]),
            "created_at": maybe(project.get("created_at")),
            "start_on": project.get("start_on"),
            "due_on": project.get("due_on"),
            "is_completed": project.get("completed"),
            "completed_at": maybe(project.get("completed_at")),
            "task_count": len(inside),
            "open_count": len(still_open),
            "completed_count": len(inside) - len(still_open),
            "overdue_count": sum(row["is_overdue"] for row in inside),
            "unassigned_count": sum(row["assignee_gid"] is None for row in still_open),
            "average_cycle_days": average(row["cycle_days"] for row in inside if row["is_completed"]),
            "average_open_days": average(row["age_days"] for row in still_open),
            "last_modified_at": max((row["modified_at"] for row in inside), default=None),
            "next_due_on": min((row["due_on"] for row in still_open if row["due_on"]), default=None),
            "section_count": len(sections) or None,
            "status_type": update and update["status_type"],
            "status_title": update and update["title"],
            "status_at": update and time(update["created_at"]),
            "permalink_url": project.get("permalink_url"),
        }


def users(of: Workspace) -> Iterator[Row]:
    """The rows of asana_users."""
    rows = list(tasks(of))
    memberships = {each["user"]["gid"]: each for each in of.listed("workspace_memberships")}
    comments = [
        story for parent in (*of.tasks, *of.messages) for story in parent["stories"] if story["type"] == "comment"
    ]
    for gid, person in of.people.items():
        own = [row for row in rows if row["assignee_gid"] == gid]
        still_open = [row for row in own if not row["is_completed"]]
        written = [time(each["created_at"]) for each in comments if each["created_by"]["gid"] == gid]
        membership = memberships.get(gid, {})
        yield {
            "user_key": f"{of.gid}-{gid}",
            "workspace_gid": of.gid,
            "user_gid": gid,
            **person,
            "is_active": membership.get("is_active"),
            "is_guest": membership.get("is_guest"),
            "is_admin": membership.get("is_admin"),
            "team_count": sum(gid in {each["gid"] for each in team["members"]} for team in of.teams),
            "assigned_count": len(own),
            "open_count": len(still_open),
            "completed_count": len(own) - len(still_open),
            "overdue_count": sum(row["is_overdue"] for row in own),
            "average_cycle_days": average(row["cycle_days"] for row in own if row["is_completed"]),
            "next_due_on": min((row["due_on"] for row in still_open if row["due_on"]), default=None),
            "comment_count": len(written),
            "last_comment_at": max(written, default=None),
        }


def custom_field_values(of: Workspace) -> Iterator[Row]:
    """The rows of asana_custom_field_values."""
    for task in of.tasks:
        for field in task["custom_fields"]:
            day, option = field.get("date_value") or {}, field.get("enum_value")
            yield {
                "value_key": f"{task['gid']}-{field['gid']}",
                "task_gid": task["gid"],
                "workspace_gid": of.gid,
                "custom_field_gid": field["gid"],
                "name": field["name"],
                "type": field["type"],
                "display_value": field["display_value"],
                "text_value": field.get("text_value"),
                "number_value": field.get("number_value"),
                "date_value": day.get("date"),
                "date_time_value": maybe(day.get("date_time")),
                "enum_option_gid": gid_of(option),
                "enum_option_name": name_of(option),
                "multi_enum_values": field.get("multi_enum_values"),
                "people_value": field.get("people_value"),
                "reference_value": field.get("reference_value"),
            }
