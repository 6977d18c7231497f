"""The audit log and the workspace events of the stand-in for Asana: what they tell, in which pages, what goes wrong."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
from itertools import islice
from typing import TYPE_CHECKING, Any

import asana  # type: ignore[import-untyped]
import pytest

from tap_asana_export.sandbox import Organization, Sandbox
from tap_asana_export.sandbox.activity import EXPIRED_SYNC
from tap_asana_export.sandbox.faults import FORBIDDEN, TOO_MANY
from tap_asana_export.sandbox.organization import COMMANDS
from tap_asana_export.sandbox.population import milliseconds, timestamp
from tests.support.activity import ask, events_since, logged, sync_token
from tests.support.organizations import ask as api
from tests.support.tap import WORKSPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.support.clock import Clock

Json = dict[str, Any]
START, DAY = "2026-03-04T05:06:07.891Z", 86_400
SUBTASKS = {10: 3, 14: 1}


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    """Time stands still unless a test moves it."""
    with Sandbox(tasks=32, messages=12, teams=3, large=0, change_interval=0, clock=clock) as sandbox:
        yield sandbox


@pytest.fixture
def organization(sandbox: Sandbox) -> Organization:
    return sandbox.organizations[WORKSPACE]


def by_gid(organization: Organization, kind: str = "task") -> dict[str, Json]:
    return {item["gid"]: item for item in organization.objects(kind)}


def gid_at(organization: Organization, place: int, kind: str = "task") -> str:
    return list(by_gid(organization, kind))[place]


def part_of(organization: Organization, array: str, subtype: str = "") -> str:
    """The gid of some story or attachment; of one that is no comment without a subtype."""
    parts = (part for kind in ("task", "message") for item in organization.objects(kind) for part in item[array])
    return next(
        str(part["gid"])
        for part in parts
        if part["resource_subtype"] == subtype or (not subtype and part["resource_subtype"] != "comment_added")
    )


def told(events: Iterable[Json]) -> list[tuple[str, str, str]]:
    """Action, type and gid of each event."""
    return [(each["action"], each["resource"]["resource_type"], each["resource"]["gid"]) for each in events]


def types(log: Iterable[Json]) -> list[tuple[str, str]]:
    """Type and gid of what each event of the audit log tells of."""
    return [(each["event_type"], each["resource"]["gid"]) for each in log]


def compact(item: Json) -> Json:
    return {name: item[name] for name in ("gid", "resource_type", "name", "resource_subtype") if name in item}


# ── deletions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_deleted_task_is_in_the_audit_log_and_among_the_events(sandbox: Sandbox, organization: Organization) -> None:
    token = sync_token(sandbox)
    gid, task = next(iter(by_gid(organization).items()))
    organization.delete(gid)
    (entry,), (events, _) = logged(sandbox), events_since(sandbox, token)
    actor, entry_gid = entry["actor"], entry["gid"]
    assert entry == {
        "gid": entry_gid,
        "created_at": START,
        "event_type": "task_deleted",
        "event_category": "deletion",
        "actor": {"actor_type": "user", "gid": actor["gid"], "name": actor["name"], "email": actor["email"]},
        "resource": compact(task),
        "details": {},
        "context": {"context_type": "web", "client_ip_address": "127.0.0.1", "user_agent": "Mozilla/5.0"},
    }
    assert events == [
        {
            "user": {"gid": actor["gid"], "resource_type": "user", "name": actor["name"]},
            "created_at": START,
            "type": "task",
            "action": "deleted",
            "resource": compact(task),
            "parent": None,
        }
    ]
    assert (sandbox.audit_log(WORKSPACE), sandbox.events(WORKSPACE)) == ([entry], events)


def is_status(message: Json) -> bool:
    return bool(message["resource_subtype"] == "status_update")


OF_DIRECTORY = ("project", "portfolio", "goal", "custom_field", "project_template")
THINGS: dict[str, Callable[[Organization], str]] = {
    "task": lambda organization: gid_at(organization, 0),
    "message": lambda organization: next(
        gid for gid, message in by_gid(organization, "message").items() if not is_status(message)
    ),
    "status_update": lambda organization: next(
        gid for gid, message in by_gid(organization, "message").items() if is_status(message)
    ),
    "team": lambda organization: gid_at(organization, 0, "team"),
    "comment": lambda organization: part_of(organization, "stories", "comment_added"),
    "story": lambda organization: part_of(organization, "stories"),
    "attachment": lambda organization: part_of(organization, "attachments"),
    **{
        kind: lambda organization, kind=kind: organization.directory.all(kind)[1]["gid"]  # type: ignore[misc]
        for kind in OF_DIRECTORY
    },
}


@pytest.mark.parametrize("thing", THINGS)
def test_whatever_is_deleted_undeleted_and_deleted_for_good_has_its_types(
    thing: str, sandbox: Sandbox, organization: Organization, clock: Clock
) -> None:
    token, gid = sync_token(sandbox), THINGS[thing](organization)
    for act in (organization.delete, organization.undelete, organization.delete_for_good):
        clock.sleep(1)
        act(gid)
    names = [f"{thing}_deleted", f"{thing}_undeleted", f"{thing}_deleted"]
    if thing in ("task", "message", "status_update"):
        names.append(f"{thing}_permanently_deleted")
    assert types(logged(sandbox)) == [(name, gid) for name in names]
    resource_types = {"comment": "story", "status_update": "message"}
    kind = resource_types.get(thing, thing)
    assert told(events_since(sandbox, token)[0]) == [
        (action, kind, gid) for action in ("deleted", "undeleted", "deleted")
    ]
    with pytest.raises(KeyError, match=gid):
        organization.undelete(gid)


@pytest.mark.parametrize("kind", ["task", "message", "team"])
def test_what_was_undeleted_is_as_it_was(kind: str, organization: Organization, clock: Clock) -> None:
    before = by_gid(organization, kind)
    for gid in list(before)[:12]:
        if gid in organization:
            organization.delete(gid)
            clock.sleep(60)
            organization.undelete(gid)
    assert by_gid(organization, kind) == before


@pytest.mark.parametrize("array", ["stories", "attachments"])
def test_one_story_or_attachment_is_gone_and_comes_back(array: str, organization: Organization) -> None:
    gid = part_of(organization, array)
    before = by_gid(organization)
    organization.delete(gid)
    after = by_gid(organization)
    owner = f"{gid[:-3]}000"
    expected = before[owner] | {array: [part for part in before[owner][array] if part["gid"] != gid]}
    assert after == before | {owner: expected}
    with pytest.raises(KeyError, match=gid):
        organization.delete(gid)
    organization.undelete(gid)
    assert by_gid(organization) == before


def test_subtasks_go_and_come_with_their_task_each_with_a_word(
    sandbox: Sandbox, organization: Organization, clock: Clock
) -> None:
    parent, first, second, third = (gid_at(organization, place) for place in (10, 13, 14, 15))
    organization.delete(first)
    clock.sleep(1)
    organization.delete(parent)
    clock.sleep(1)
    organization.undelete(third)
    organization.delete(third)
    clock.sleep(1)
    organization.undelete(parent)
    assert types(logged(sandbox)) == [
        ("task_deleted", first),
        *(("task_deleted", gid) for gid in (parent, second, third)),
        ("task_undeleted", third),
        ("task_deleted", third),
        *(("task_undeleted", gid) for gid in (parent, second)),
    ]
    assert {first, parent, second, third} & by_gid(organization).keys() == {parent, second}


def test_what_is_in_the_trash_for_thirty_days_is_deleted_for_good(
    sandbox: Sandbox, organization: Organization, clock: Clock
) -> None:
    gone, kept, message = gid_at(organization, 0), gid_at(organization, 1), THINGS["message"](organization)
    for gid in (gone, kept, message):
        organization.delete(gid)
    clock.sleep(30 * DAY - 1)
    organization.undelete(kept)
    clock.sleep(1)
    for gid in (gone, message):
        with pytest.raises(KeyError, match=gid):
            organization.undelete(gid)
        with pytest.raises(KeyError, match=gid):
            organization.delete_for_good(gid)
    found = logged(sandbox, start_at="2026-04-03T00:00:00Z")
    assert types(found) == [
        ("task_undeleted", kept),
        ("task_permanently_deleted", gone),
        ("message_permanently_deleted", message),
    ]
    assert [each["actor"] for each in found[1:]] == [{"actor_type": "asana"}] * 2


def test_what_was_never_deleted_cannot_be_undeleted(organization: Organization) -> None:
    for gid in (gid_at(organization, 0), "1", "1100100099999000"):
        with pytest.raises(KeyError, match=gid):
            organization.undelete(gid)


@pytest.mark.parametrize("mode", ["stay", "logged", "unlogged"])
def test_the_tasks_of_a_deleted_project_stay_or_go_with_or_without_a_word(mode: str, clock: Clock) -> None:
    with Sandbox(
        tasks=64, projects=3, large=0, change_interval=0, tasks_of_deleted_projects=mode, clock=clock
    ) as sandbox:
        organization = sandbox.organizations[WORKSPACE]
        token, before = sync_token(sandbox), by_gid(organization)
        project = organization.directory.project(1)["gid"]
        alone = {gid for gid, task in before.items() if [each["gid"] for each in task["projects"]] == [project]}
        for _ in range(2):
            alone |= {gid for gid, task in before.items() if (task["parent"] or {}).get("gid") in alone}
        shared = {gid for gid, task in before.items() if project in {each["gid"] for each in task["projects"]}} - alone
        organization.delete(project)
        after = by_gid(organization)
        assert before.keys() - after.keys() == (set() if mode == "stay" else alone)
        assert {project} & {each["gid"] for gid in shared for each in after[gid]["projects"]} == set()
        clock.sleep(1)
        organization.undelete(project)
        assert by_gid(organization) == before
        told_of = alone if mode == "logged" else set()
        log = logged(sandbox)
        assert len(alone) > 10
        assert len(shared) > 3
        assert sorted(types(log)) == sorted(
            [("project_deleted", project), ("project_undeleted", project)]
            + [(name, gid) for gid in told_of for name in ("task_deleted", "task_undeleted")]
        )
        assert sorted(told(events_since(sandbox, token)[0])) == sorted(
            [("deleted", "project", project), ("undeleted", "project", project)]
            + [(action, "task", gid) for gid in told_of for action in ("deleted", "undeleted")]
        )
        clock.sleep(31 * DAY)
        assert types(logged(sandbox)) == types(log)


def test_a_task_whose_changes_went_on_in_the_trash_is_modified_when_it_comes_back(clock: Clock) -> None:
    organization = Organization(tasks=20, large=0, clock=clock)
    gid = gid_at(organization, 0)
    organization.delete(gid)
    clock.sleep(DAY)
    organization.undelete(gid)
    assert by_gid(organization)[gid]["modified_at"] == "2026-03-05T05:06:07.891Z"


# ── creations, changes and moves ──────────────────────────────────────────────────────────────────────────────────────


def test_a_new_task_is_added_to_its_projects_and_sections_with_its_stories(
    sandbox: Sandbox, organization: Organization
) -> None:
    token = sync_token(sandbox)
    gid = organization.add("task")
    task = by_gid(organization)[gid]
    places = [place for each in task["memberships"] for place in (each["project"], each["section"])]
    found, _ = events_since(sandbox, token)
    assert [(each["action"], each["resource"], each["parent"]) for each in found] == [
        *(("added", compact(task), place) for place in places),
        *(("added", compact(story), compact(task)) for story in task["stories"]),
    ]


def test_a_new_message_team_or_tag_is_added(sandbox: Sandbox, organization: Organization) -> None:
    token = sync_token(sandbox)
    gids = {kind: organization.add(kind) for kind in ("message", "team", "tag")}
    found = [each for each in events_since(sandbox, token)[0] if each["type"] != "story"]
    assert told(found) == [("added", kind, gid) for kind, gid in gids.items()]
    assert types(logged(sandbox, event_type="team_created")) == [("team_created", gids["team"])]


def test_a_touched_task_tells_of_each_field_and_of_its_story(sandbox: Sandbox, organization: Organization) -> None:
    token, gid = sync_token(sandbox), gid_at(organization, 0)
    user = organization.directory.user(3)
    organization.touch(gid, notes="Rewritten", assignee=user)
    found, _ = events_since(sandbox, token)
    task = by_gid(organization)[gid]
    assert [(each["resource"]["gid"], each["action"], each.get("change"), each["parent"]) for each in found] == [
        (gid, "changed", {"field": "notes", "action": "changed"}, None),
        (gid, "changed", {"field": "assignee", "action": "changed", "new_value": user}, None),
        (task["stories"][-1]["gid"], "added", None, compact(task)),
    ]


def test_a_touched_project_tells_of_it(sandbox: Sandbox, organization: Organization) -> None:
    token, gid = sync_token(sandbox), organization.directory.project(2)["gid"]
    organization.touch(gid, name="Moon")
    (event,), _ = events_since(sandbox, token)
    assert (event["action"], event["resource"], event["change"]) == (
        "changed",
        {"gid": gid, "resource_type": "project", "name": "Moon"},
        {"field": "name", "action": "changed"},
    )


def moved(events: Iterable[Json]) -> list[tuple[str, str]]:
    return [(each["action"], each["parent"]["gid"]) for each in events if each["type"] == "task"]


def places(task: Json) -> list[tuple[str, str]]:
    return [(each["project"]["gid"], each["section"]["gid"]) for each in task["memberships"]]


@pytest.mark.parametrize("story", [False, True])
def test_a_move_to_another_project_removes_and_adds_with_or_without_a_story(
    *, story: bool, sandbox: Sandbox, organization: Organization, clock: Clock
) -> None:
    token = sync_token(sandbox)
    gid, before = next((gid, task) for gid, task in by_gid(organization).items() if len(task["projects"]) == 1)
    project = organization.directory.project(7)["gid"]
    clock.sleep(1)
    organization.move(gid, project, story=story)
    after = by_gid(organization)[gid]
    (old,), (new,) = places(before), places(after)
    assert new[0] == project
    found, _ = events_since(sandbox, token)
    assert moved(found) == [*(("removed", place) for place in old), *(("added", place) for place in new)]
    stories = [each["resource_subtype"] for each in after["stories"][len(before["stories"]) :]]
    assert stories == (["removed_from_project", "added_to_project"] if story else [])
    assert (after["modified_at"] != before["modified_at"]) == story
    assert logged(sandbox) == []


@pytest.mark.parametrize("story", [False, True])
def test_a_move_to_another_section_leaves_the_project_alone(
    *, story: bool, sandbox: Sandbox, organization: Organization, clock: Clock
) -> None:
    token = sync_token(sandbox)
    gid, before = next((gid, task) for gid, task in by_gid(organization).items() if len(task["projects"]) == 2)
    (project, old), other = places(before)
    new = next(
        each["gid"]
        for each in organization.directory.sections(organization.directory.all("project").index(before["projects"][0]))
        if each["gid"] != old
    )
    clock.sleep(1)
    organization.move(gid, section=new, story=story)
    after = by_gid(organization)[gid]
    assert places(after) == [(project, new), other]
    found, _ = events_since(sandbox, token)
    assert moved(found) == [("removed", old), ("added", new)]
    stories = [each["resource_subtype"] for each in after["stories"][len(before["stories"]) :]]
    assert stories == (["section_changed"] if story else [])
    assert (after["modified_at"] != before["modified_at"]) == story


def test_a_task_is_put_into_one_more_project_and_taken_out_again(sandbox: Sandbox, organization: Organization) -> None:
    token, gid, before = sync_token(sandbox), gid_at(organization, 0), by_gid(organization)
    project = organization.directory.project(7)["gid"]
    organization.put(gid, project)
    new = places(by_gid(organization)[gid])[0]
    assert (new[0], places(by_gid(organization)[gid])[1:]) == (project, places(before[gid]))
    organization.take_out(gid, project)
    assert by_gid(organization) == before
    found, _ = events_since(sandbox, token)
    assert moved(found) == [(action, place) for action in ("added", "removed") for place in new]


def test_a_move_to_a_section_of_another_project_leaves_the_old_projects(organization: Organization) -> None:
    gid, section = gid_at(organization, 0), organization.directory.sections(7)[2]["gid"]
    organization.move(gid, section=section)
    assert places(by_gid(organization)[gid]) == [(organization.directory.project(7)["gid"], section)]


@pytest.mark.parametrize("place", ["1", "1500100000099000", "1500100000007009"])
def test_nothing_moves_to_a_place_that_does_not_exist(place: str, organization: Organization) -> None:
    before = by_gid(organization)
    gid = gid_at(organization, 0)
    with pytest.raises(KeyError):
        organization.move(gid, section=place)
    with pytest.raises(KeyError, match=place):
        organization.move(gid, place)
    with pytest.raises(KeyError, match=place):
        organization.put(gid, place)
    assert by_gid(organization) == before


MARKS = {"followers": ("follow", "unfollow"), "tags": ("tag", "untag")}


@pytest.mark.parametrize("story", [False, True])
@pytest.mark.parametrize("field", MARKS)
def test_followers_and_tags_are_added_and_removed_with_or_without_a_story(
    field: str, *, story: bool, sandbox: Sandbox, organization: Organization, clock: Clock
) -> None:
    token = sync_token(sandbox)
    gid, before = next((gid, task) for gid, task in by_gid(organization).items() if task[field])
    add, remove = (getattr(organization, name) for name in MARKS[field])
    clock.sleep(1)
    remove(gid, story=story)
    removed = by_gid(organization)[gid]
    clock.sleep(1)
    add(gid, before[field][0]["gid"], story=story)
    after = by_gid(organization)[gid]
    first, *rest = before[field]
    assert (removed[field], after[field]) == (rest, [*rest, first])
    changes = [each["change"] for each in events_since(sandbox, token)[0] if each["action"] == "changed"]
    assert changes == [
        {"field": field, "action": "removed", "removed_value": first},
        {"field": field, "action": "added", "added_value": first},
    ]
    assert len(after["stories"]) - len(before["stories"]) == (2 if story else 0)
    assert (after["modified_at"] != before["modified_at"]) == story


def test_messages_and_teams_stay_where_they_are(sandbox: Sandbox, organization: Organization) -> None:
    for kind in ("message", "team"):
        before = by_gid(organization, kind)
        organization.move(next(iter(before)))
        assert by_gid(organization, kind) == before
    assert sandbox.events(WORKSPACE) == []


def test_a_user_who_follows_already_changes_nothing_and_an_unknown_one_is_refused(organization: Organization) -> None:
    gid, task = next(iter(by_gid(organization).items()))
    organization.follow(gid, task["followers"][0]["gid"])
    assert by_gid(organization)[gid] == task
    with pytest.raises(KeyError, match="1"):
        organization.follow(gid, "1")


def test_messages_have_followers_comments_and_attachments_too(organization: Organization) -> None:
    gid, before = next(iter(by_gid(organization, "message").items()))
    organization.follow(gid)
    comment, attachment = organization.comment(gid, "Well done"), organization.attach(gid, "cake.png")
    after = by_gid(organization, "message")[gid]
    assert len(after["followers"]) == len(before["followers"]) + 1
    assert next(each["text"] for each in after["stories"] if each["gid"] == comment) == "Well done"
    assert next(each["name"] for each in after["attachments"] if each["gid"] == attachment) == "cake.png"


def test_a_comment_and_an_attachment_are_told_and_can_be_deleted(sandbox: Sandbox, organization: Organization) -> None:
    token, gid = sync_token(sandbox), gid_at(organization, 0)
    comment, attachment = organization.comment(gid), organization.attach(gid)
    organization.delete(comment)
    organization.delete(attachment)
    assert types(logged(sandbox)) == [
        ("attachment_uploaded", attachment),
        ("comment_deleted", comment),
        ("attachment_deleted", attachment),
    ]
    assert [each[0] for each in told(events_since(sandbox, token)[0]) if each[2] == comment] == ["added", "deleted"]


# ── what happens by itself ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def lively(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(tasks=100, messages=40, large=0, change_interval=5, clock=clock) as sandbox:
        yield sandbox


@pytest.mark.soak
def test_the_same_seed_has_the_same_audit_log_and_events(lively: Sandbox, clock: Clock) -> None:
    token = sync_token(lively)
    with Sandbox(tasks=100, messages=40, large=0, change_interval=5, clock=clock) as other:
        clock.sleep(1000)
        found, _ = events_since(lively, token)
        assert len(found) > 200
        assert events_since(other, token)[0] == lively.events(WORKSPACE) == found
        since = "2026-03-04T04:00:00Z"
        assert logged(other, start_at=since) == logged(lively, start_at=since) != []


def test_deletions_by_itself_are_told_and_end_for_good_after_thirty_days(lively: Sandbox, clock: Clock) -> None:
    organization, token = lively.organizations[WORKSPACE], sync_token(lively)
    kinds = ("task", "message")
    before = {kind: by_gid(organization, kind).keys() for kind in kinds}
    clock.sleep(1000)
    gone = {kind: before[kind] - by_gid(organization, kind).keys() for kind in kinds}
    assert all(gone.values())
    events = told(events_since(lively, token)[0])
    names = {"task": ("task",), "message": ("message", "status_update")}
    for kind in kinds:
        log = [
            gid
            for name in names[kind]
            for _, gid in types(logged(lively, event_type=f"{name}_deleted", start_at=START))
        ]
        assert gone[kind] <= {*log}  # some of those created meanwhile are gone too
        assert len(log) == len({*log})
        assert gone[kind] <= {gid for action, _, gid in events if action == "deleted"}
    deleted = logged(lively, event_type="task_deleted", start_at=START)
    clock.sleep(30 * DAY)
    forever = logged(
        lively,
        event_type="task_permanently_deleted",
        start_at="2026-04-03T05:06:07.891Z",
        end_at="2026-04-03T05:22:47Z",
    )
    assert [each["resource"]["gid"] for each in forever] == [each["resource"]["gid"] for each in deleted]


class Mirror:
    """What a reader of exports and then of events and the audit log alone knows of tasks and messages."""

    def __init__(self, organization: Organization) -> None:
        self.places: dict[str, set[str]] = {}
        self.marks: dict[tuple[str, str], set[str]] = {}
        self.files: dict[str, set[str]] = {}
        self.trash: dict[str, Any] = {}
        for item in (*organization.objects("task"), *organization.objects("message")):
            self.places[item["gid"]] = {place for pair in places(item) for place in pair} if "tags" in item else set()
            self.files[item["gid"]] = {each["gid"] for each in item["attachments"]}
            for field in ("followers", "tags"):
                self.marks[item["gid"], field] = {each["gid"] for each in item.get(field, [])}

    def known(self, wanted: Mirror) -> list[Any]:
        """Where each is, and what it has; nobody tells of the followers and tags of what is new."""
        marks = {key: gids for key, gids in self.marks.items() if key in wanted.marks and key[0] in wanted.places}
        files = {owner: gids for owner, gids in self.files.items() if owner in wanted.places and gids}
        return [self.places, marks, files]

    def read(self, events: Iterable[Json], log: Iterable[Json]) -> None:
        for event in events:
            gid, kind, action = event["resource"]["gid"], event["type"], event["action"]
            if kind not in ("task", "message"):
                continue
            change = event.get("change", {})
            field = self.marks.get((gid, change.get("field")), set())
            field |= {change["added_value"]["gid"]} if "added_value" in change else set()
            field -= {change["removed_value"]["gid"]} if "removed_value" in change else set()
            if action == "added":
                self.places.setdefault(gid, set()).update({event["parent"]["gid"]} if event["parent"] else ())
            elif action == "removed":
                self.places[gid].remove(event["parent"]["gid"])
            elif action == "deleted":
                self.trash[gid] = self.places.pop(gid)
            elif action == "undeleted":
                self.places[gid] = self.trash.pop(gid)
        for entry in log:
            gid = entry["resource"]["gid"]
            owner = self.files.setdefault(f"{gid[:-3]}000", set())
            if entry["event_type"] == "attachment_deleted":
                owner.remove(gid)
            elif entry["event_type"] in ("attachment_uploaded", "attachment_undeleted"):
                owner.add(gid)


def act_on(organization: Organization, chance: random.Random, trash: list[str]) -> None:
    """Do something to an organization."""
    command = chance.choice(COMMANDS)
    if command == "undelete":
        if trash:
            gid = trash.pop(chance.randrange(len(trash)))
            with contextlib.suppress(KeyError):  # deleted for good, or by itself meanwhile
                organization.undelete(gid)
        return
    if command == "add":
        organization.add(chance.choice(("task", "message")))
        return
    tasks = by_gid(organization)
    gid = chance.choice(list(tasks))
    if command == "delete" and chance.random() < 0.5:
        gid = chance.choice([each["gid"] for task in tasks.values() for each in task["attachments"]])
    if command in ("delete", "delete_for_good"):
        trash.append(gid)
    more: Json = {}
    if command in ("follow", "unfollow", "tag", "untag", "move", "put", "take_out"):
        more["story"] = chance.random() < 0.5
    if command in ("put", "take_out"):
        more["project"] = chance.choice(tasks[gid]["projects"] or [organization.directory.project(1)])["gid"]
    try:
        getattr(organization, command)(gid, **more)
    except KeyError:
        assert command in ("unfollow", "untag", "tag")


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(24))
def test_events_and_audit_log_tell_exactly_what_exports_show(seed: int, clock: Clock) -> None:
    interval = 5 * (seed % 2)
    with Sandbox(
        seed=seed,
        tasks=60,
        messages=10,
        projects=9,
        large=0,
        change_interval=interval,
        shape=("prose", "dense")[seed // 2 % 2],
        clock=clock,
        events_a_request=20,
    ) as sandbox:
        organization, chance, trash = sandbox.organizations[WORKSPACE], random.Random(seed), list[str]()  # noqa: S311
        mirror, token, start = Mirror(organization), sync_token(sandbox), 0
        for _ in range(20):
            since = f"{clock.now.isoformat('T', 'milliseconds')[:-6]}Z"
            for _ in range(chance.randrange(8)):
                clock.sleep(chance.choice((0, 0.5, 20, 300)))
                act_on(organization, chance, trash)
            clock.sleep(chance.choice((0.001, 1, 100)))
            events, token = events_since(sandbox, token)
            log = logged(sandbox, start_at=since)
            mirror.read(events, log)
            wanted = Mirror(organization)
            assert mirror.known(wanted) == wanted.known(mirror)
            start += len(events)
        assert start == len(sandbox.events(WORKSPACE)) > 50


@pytest.fixture
def early(sandbox: Sandbox) -> str:
    """A sync token that was made before anything happened."""
    return sync_token(sandbox)


# ── the audit log page by page ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def deleted(early: str, organization: Organization, clock: Clock) -> list[str]:
    """Seven tasks that were deleted one second after the other, two of them at once."""
    assert early
    gids = list(by_gid(organization))[:7]
    for place, gid in enumerate(gids):
        clock.sleep(place != 3)
        organization.delete(gid)
    return gids


def test_a_page_has_the_next_events_and_the_last_offset_goes_on_being_sent(
    sandbox: Sandbox, organization: Organization, deleted: list[str], clock: Clock
) -> None:
    found, offset = [], dict[str, str]()
    for size in (3, 3, 1, 0, 0):
        status, content = ask(sandbox, "audit_log_events", limit=3, **offset)
        assert (status, len(content["data"])) == (200, size)
        found += [each["resource"]["gid"] for each in content["data"]]
        following, offset = content["next_page"], {"offset": content["next_page"]["offset"]}
        assert following["path"].startswith(f"/workspaces/{WORKSPACE}/audit_log_events?limit=3&offset=ey")
        assert following["uri"] == sandbox.api_url + following["path"]
    assert found == deleted
    clock.sleep(1)
    organization.undelete(deleted[0])
    status, content = ask(sandbox, "audit_log_events", limit=3, **offset)
    assert types(content["data"]) == [("task_undeleted", deleted[0])]


def test_where_nothing_matched_there_is_no_next_page(sandbox: Sandbox) -> None:
    assert ask(sandbox, "audit_log_events") == (200, {"data": [], "next_page": None})
    assert ask(sandbox, "audit_log_events", event_type="task_polished") == (200, {"data": [], "next_page": None})


def test_without_a_limit_there_are_up_to_a_thousand_events(sandbox: Sandbox, organization: Organization) -> None:
    gid = gid_at(organization, 0)
    for _ in range(501):
        organization.delete(gid)
        organization.undelete(gid)
    _, content = ask(sandbox, "audit_log_events")
    _, rest = ask(sandbox, "audit_log_events", offset=content["next_page"]["offset"])
    assert (len(content["data"]), len(rest["data"])) == (1000, 2)
    assert len({each["gid"] for each in content["data"] + rest["data"]}) == 1002


@pytest.mark.parametrize(
    ("query", "places"),
    [
        ({"start_at": "2026-03-04T05:06:09.891Z"}, [1, 2, 3, 4, 5, 6]),
        ({"end_at": "2026-03-04T05:06:09.891Z"}, [0]),
        ({"start_at": "2026-03-04T05:06:10Z", "end_at": "2026-03-04T05:06:12Z"}, [2, 3, 4]),
        ({"start_at": "2026-03-04T05:06:12Z", "end_at": "2026-03-04T05:06:10Z"}, []),
        ({"event_type": "task_deleted"}, [0, 1, 2, 3, 4, 5, 6]),
        ({"event_type": "task_undeleted"}, []),
        ({"actor_type": "user"}, [0, 1, 2, 3, 4, 5, 6]),
        ({"actor_type": "asana"}, []),
        ({"actor_gid": "1"}, []),
        ({"resource_gid": "1100100000002000", "event_type": "task_deleted"}, [2]),
    ],
)
def test_parameters_filter_the_audit_log(query: Json, places: list[int], sandbox: Sandbox, deleted: list[str]) -> None:
    log = logged(sandbox, **query)
    assert [each["resource"]["gid"] for each in log] == [deleted[place] for place in places]
    for each in log:
        assert each in logged(sandbox, actor_gid=each["actor"]["gid"])


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"limit": "0"}, "limit: Must be between 1 and 100"),
        ({"limit": "101"}, "limit: Must be between 1 and 100"),
        ({"start_at": "yesterday"}, "start_at: Not a date-time: 'yesterday'"),
        ({"end_at": "2026-13-01"}, "end_at: Not a date-time: '2026-13-01'"),
        ({"offset": "1"}, "offset: Your pagination token is invalid."),
    ],
)
def test_a_wrong_parameter_is_refused(query: Json, message: str, sandbox: Sandbox) -> None:
    status, content = ask(sandbox, "audit_log_events", **query)
    assert (status, content["errors"][0]["message"]) == (400, message)


def test_an_offset_expires(sandbox: Sandbox, deleted: list[str], clock: Clock) -> None:
    assert deleted
    _, content = ask(sandbox, "audit_log_events", limit=1)
    clock.sleep(900)
    status, refused = ask(sandbox, "audit_log_events", limit=1, offset=content["next_page"]["offset"])
    assert (status, refused["errors"][0]["message"]) == (400, "offset: Your pagination token has expired.")


def test_the_audit_log_is_kept_for_ninety_days(sandbox: Sandbox, deleted: list[str], clock: Clock) -> None:
    clock.sleep(90 * DAY - 4)
    assert types(logged(sandbox, event_type="task_deleted")) == [("task_deleted", gid) for gid in deleted[1:]]
    clock.sleep(DAY)
    assert logged(sandbox, event_type="task_deleted") == []


def test_each_request_for_an_export_of_the_workspace_is_in_the_audit_log(sandbox: Sandbox) -> None:
    sandbox.job_seconds = 60
    body = {"workspace": WORKSPACE, "export_request_parameters": [{"resource_type": "task"}]}
    assert [post(sandbox, "/exports/resource", body) for _ in range(2)] == [201, 403]
    project = sandbox.parents(WORKSPACE, "project")[0]
    assert post(sandbox, "/exports/graph", {"parent": project}) == 201
    (entry,) = logged(sandbox)
    assert entry == {
        "gid": entry["gid"],
        "created_at": START,
        "event_type": "object_export_started",
        "event_category": "exports",
        "actor": {
            "actor_type": "user",
            "gid": api(sandbox, "/users/me")["gid"],
            "name": "Export Service",
            "email": "user0@sandbox.example",
        },
        "resource": {"resource_type": "workspace", "gid": WORKSPACE, "name": "Sandbox 1"},
        "details": {},
        "context": {
            "context_type": "api",
            "api_authentication_method": "service_account",
            "client_ip_address": "127.0.0.1",
        },
    }


def post(sandbox: Sandbox, path: str, data: Json) -> int:
    connection = http.client.HTTPConnection(sandbox.api_url.split("/")[2], timeout=5)
    try:
        connection.request("POST", f"/api/1.0{path}", json.dumps({"data": data}), {"Authorization": "Bearer sandbox"})
        return connection.getresponse().status
    finally:
        connection.close()


# ── events from one token to the next ─────────────────────────────────────────────────────────────────────────────────


def test_without_a_good_token_there_is_a_fresh_one(sandbox: Sandbox, organization: Organization, clock: Clock) -> None:
    organization.delete(gid_at(organization, 0))
    for query in ({}, {"sync": ""}, {"sync": "de4774f6915eae04714ca93bb2f5ee81"}):
        status, content = ask(sandbox, "events", **query)
        token = content["sync"]
        assert (status, content) == (412, {"errors": [{"message": EXPIRED_SYNC}], "sync": token})
        assert ask(sandbox, "events", sync=token)[1]["data"] == []
    clock.sleep(DAY - 1)
    assert ask(sandbox, "events", sync=token)[0] == 200
    clock.sleep(1)
    status, content = ask(sandbox, "events", sync=token)
    assert (status, content["errors"]) == (412, [{"message": EXPIRED_SYNC}])
    assert ask(sandbox, "events", sync=content["sync"])[0] == 200


def test_each_event_comes_once_also_those_of_the_same_instant(
    sandbox: Sandbox, organization: Organization, clock: Clock
) -> None:
    token, found, gids = sync_token(sandbox), [], []
    for place, gid in enumerate(list(by_gid(organization))[:9]):
        clock.sleep(place % 3 == 0)
        organization.delete(gid)
        gids.append(gid)
        for _ in range(2):
            events, token = events_since(sandbox, token)
            found += told(events)
    assert found == [("deleted", "task", gid) for gid in gids]


def test_an_answer_has_so_many_events_and_says_that_there_are_more(
    sandbox: Sandbox, early: str, deleted: list[str]
) -> None:
    sandbox.events_a_request = 2
    token, found = early, []
    for size, has_more in ((2, True), (2, True), (2, True), (1, False), (0, False)):
        status, content = ask(sandbox, "events", sync=token)
        assert (status, len(content["data"]), content["has_more"]) == (200, size, has_more)
        found += told(content["data"])
        token = content["sync"]
    assert found == [("deleted", "task", gid) for gid in deleted]


def test_the_token_of_a_sandbox_is_good_for_the_next_one_of_the_same_seed(clock: Clock) -> None:
    found: list[tuple[int, Any]] = []
    for seed in (1, 1, 2):
        with Sandbox(seed=seed, tasks=50, clock=clock) as sandbox:
            token = found[0][1]["sync"] if found else sync_token(sandbox)
            clock.sleep(60)
            found.append(ask(sandbox, "events", sync=token))
    assert [status for status, _ in found] == [200, 200, 412]
    assert len(found[1][1]["data"]) > 10


def texts(events: Iterable[Json]) -> list[str]:
    return [json.dumps(each) for each in events]


@pytest.mark.soak
def test_late_events_come_in_another_order_but_each_comes_once(clock: Clock) -> None:
    with Sandbox(tasks=50, messages=10, large=0, events_late=600, clock=clock) as sandbox:
        token, found = sync_token(sandbox), list[Json]()
        clock.sleep(1000)
        wanted = sandbox.events(WORKSPACE)
        for _ in range(62):
            events, token = events_since(sandbox, token)
            assert all(each["created_at"] <= timestamp(milliseconds(clock.now)) for each in events)
            found += events
            clock.sleep(10)
        known = texts(each for each in found if START < each["created_at"] <= wanted[-1]["created_at"])
        assert known != texts(wanted)
        assert sorted(known) == sorted(texts(wanted))
        assert len([each for each in found if each["created_at"] < START]) > 10  # from before the token was made


def test_lost_events_never_come(clock: Clock) -> None:
    with Sandbox(tasks=50, messages=10, large=0, events_lost=4, clock=clock) as sandbox:
        token = sync_token(sandbox)
        clock.sleep(3000)
        found, wanted = texts(events_since(sandbox, token)[0]), texts(sandbox.events(WORKSPACE))
        assert 0.65 < len(found) / len(wanted) < 0.85
        assert [each for each in wanted if each in {*found}] == found


def test_events_may_tell_nothing_of_tasks_and_stories(sandbox: Sandbox, organization: Organization) -> None:
    sandbox.events_of_tasks = False
    token, gid = sync_token(sandbox), gid_at(organization, 0)
    organization.move(gid, story=True)
    organization.delete(gid)
    message, project = gid_at(organization, 0, "message"), organization.directory.project(0)["gid"]
    organization.delete(message)
    organization.delete(project)
    assert told(events_since(sandbox, token)[0]) == [("deleted", "message", message), ("deleted", "project", project)]
    assert types(logged(sandbox))[0] == ("task_deleted", gid)


def test_each_workspace_has_its_own(clock: Clock) -> None:
    with Sandbox(workspaces=2, tasks=20, change_interval=0, clock=clock) as sandbox:
        first, second = sandbox.organizations
        tokens = {workspace: sync_token(sandbox, workspace) for workspace in (first, second)}
        gid = gid_at(sandbox.organizations[second], 0)
        sandbox.organizations[second].delete(gid)
        assert [told(events_since(sandbox, tokens[each], each)[0]) for each in (first, second)] == [
            [],
            [("deleted", "task", gid)],
        ]
        assert [types(logged(sandbox, each)) for each in (first, second)] == [[], [("task_deleted", gid)]]
        assert ask(sandbox, "events", first, sync=tokens[second])[0] == 412
        for name in ("events", "audit_log_events"):
            assert ask(sandbox, name, "12")[0] == 404


# ── Asana's own client ────────────────────────────────────────────────────────────────────────────────────────────────


def test_asanas_own_client_reads_both(sandbox: Sandbox, early: str, deleted: list[str]) -> None:
    configuration = asana.Configuration()
    configuration.host = sandbox.api_url
    configuration.access_token = sandbox.access_token
    client = asana.ApiClient(configuration)
    try:
        log = asana.AuditLogAPIApi(client).get_audit_log_events(WORKSPACE, {"limit": 2, "event_type": "task_deleted"})
        # This client would ask for more for ever.
        assert list(islice(log, len(deleted))) == sandbox.audit_log(WORKSPACE)
        workspaces = asana.WorkspacesApi(client)
        with pytest.raises(asana.rest.ApiException) as refused:
            list(workspaces.get_workspace_events(WORKSPACE, {}))
        content = json.loads(refused.value.body)
        assert (refused.value.status, content["errors"]) == (412, [{"message": EXPIRED_SYNC}])
        events = workspaces.get_workspace_events(WORKSPACE, {"sync": early})
        assert list(events) == sandbox.events(WORKSPACE) != []
    finally:
        client.pool.close()
        client.rest_client.pool_manager.clear()


# ── what goes wrong ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("name", "other"), [("events", "audit_log_events"), ("audit_log_events", "events")])
@pytest.mark.parametrize(("status", "message"), [(402, "This is only available to premium users."), (403, FORBIDDEN)])
def test_what_is_refused_is_so_always_and_the_other_comes(
    name: str, other: str, status: int, message: str, sandbox: Sandbox
) -> None:
    sandbox.refused_lists = {name: status}
    for _ in range(2):
        refused, content = ask(sandbox, name)
        assert (refused, content["errors"][0]["message"]) == (status, message)
    assert ask(sandbox, other)[0] in (200, 412)


@pytest.mark.parametrize(
    ("fault", "name", "status", "message"),
    [
        ("events_rate_limited", "events", 429, TOO_MANY),
        ("events_server_error", "events", 500, "Server Error"),
        ("audit_log_rate_limited", "audit_log_events", 429, TOO_MANY),
        ("audit_log_server_error", "audit_log_events", 500, "Server Error"),
    ],
)
def test_a_request_fails_so_often(fault: str, name: str, status: int, message: str, sandbox: Sandbox) -> None:
    token = sync_token(sandbox)
    sandbox.faults = {fault: 1}
    found, content = ask(sandbox, name, sync=token)
    assert (found, content["errors"][0]["message"]) == (status, message)
    assert ask(sandbox, name, sync=token)[0] == 200


def test_a_token_may_expire_at_once(sandbox: Sandbox, organization: Organization) -> None:
    token = sync_token(sandbox)
    organization.delete(gid_at(organization, 0))
    sandbox.faults = {"expired_sync": 1}
    status, content = ask(sandbox, "events", sync=token)
    assert (status, content["errors"]) == (412, [{"message": EXPIRED_SYNC}])
    assert ask(sandbox, "events", sync=content["sync"])[1]["data"] == []
    assert len(ask(sandbox, "events", sync=token)[1]["data"]) == 1


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ("unknown_event", "events"),
        ("event_without_resource", "events"),
        ("unknown_audit_event", "audit_log_events"),
        ("audit_event_without_resource", "audit_log_events"),
    ],
)
def test_an_odd_event_comes_behind_the_others(
    fault: str, name: str, sandbox: Sandbox, early: str, deleted: list[str]
) -> None:
    sandbox.faults = {fault: 1}
    *events, odd = ask(sandbox, name, sync=early)[1]["data"]
    assert [each["resource"]["gid"] for each in events] == deleted
    resource = {"gid": "1", "resource_type": "sprocket", "name": "A new kind of thing"}
    assert odd["resource"] == (None if "without" in fault else resource)
    assert odd.keys() == events[0].keys()
    assert ask(sandbox, name, sync=early)[1]["data"] == events


@pytest.mark.parametrize(("fault", "data"), [("no_data", "missing"), ("null_data", None), ("object_data", {})])
@pytest.mark.parametrize("name", ["events", "audit_log_events"])
def test_an_answer_may_have_no_array_of_data(fault: str, data: object, name: str, sandbox: Sandbox) -> None:
    token = sync_token(sandbox)
    sandbox.faults = {fault: 1}
    assert ask(sandbox, name, sync=token)[1].get("data", "missing") == data
    assert ask(sandbox, name, sync=token)[1]["data"] == []


def test_tasks_of_deleted_projects_are_one_of_three_words() -> None:
    with pytest.raises(ValueError, match=r"Unknown tasks_of_deleted_projects: fly. There are stay, logged, unlogged."):
        Sandbox(tasks_of_deleted_projects="fly")


def test_other_programs_can_do_all_of_that(sandbox: Sandbox, organization: Organization) -> None:
    gid, project = gid_at(organization, 0), organization.directory.project(7)["gid"]
    done = [
        command(sandbox, name, gid=gid, **more)
        for name, more in (
            ("comment", {"text": "Hello"}),
            ("move", {"project": project, "story": True}),
            ("delete", {}),
            ("undelete", {}),
            ("delete_for_good", {}),
        )
    ]
    assert done == [f"{gid[:-3]}800", gid, gid, gid, gid]
    assert types(logged(sandbox)) == [
        (f"task_{name}", gid) for name in ("deleted", "undeleted", "deleted", "permanently_deleted")
    ]


def command(sandbox: Sandbox, name: str, **body: Any) -> str:
    connection = http.client.HTTPConnection(sandbox.api_url.split("/")[2], timeout=5)
    try:
        connection.request("POST", f"/sandbox/{name}", json.dumps(body))
        return str(json.loads(connection.getresponse().read())["data"]["gid"])
    finally:
        connection.close()
