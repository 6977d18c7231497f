"""An organization that nobody stores and that lives on all the same."""

from __future__ import annotations

import sys
import zlib
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_asana_export.sandbox import Organization
from tap_asana_export.sandbox.population import milliseconds, timestamp
from tap_asana_export.sandbox.workspace import OPT_IN
from tests.support.clock import Clock
from tests.support.populations import DEFAULT, filled, gids_in

if TYPE_CHECKING:
    from collections.abc import Iterable

KINDS = ("task", "message", "team")
STORY = {
    *("gid", "resource_type", "created_at", "resource_subtype", "text", "html_text", "is_pinned", "sticker_name"),
    *("created_by", "type", "is_editable", "is_edited", "hearted", "hearts", "num_hearts", "liked", "likes"),
    *("num_likes", "reaction_summary", "previews", "old_name", "new_name", "old_dates", "new_dates"),
    *("old_resource_subtype", "new_resource_subtype", "story", "assignee", "follower", "old_section", "new_section"),
    *("task", "project", "tag", "custom_field", "old_text_value", "new_text_value", "old_number_value"),
    *("new_number_value", "old_enum_value", "new_enum_value", "old_date_value", "new_date_value"),
    *("old_people_value", "new_people_value", "old_multi_enum_values", "new_multi_enum_values"),
    *("old_approval_status", "new_approval_status", "duplicate_of", "duplicated_from", "dependency", "source"),
    "target",
}
CUSTOM_FIELD = {
    *("gid", "resource_type", "name", "type", "enum_options", "enabled", "representation_type", "id_prefix"),
    *("input_restrictions", "is_formula_field", "date_value", "enum_value", "multi_enum_values", "number_value"),
    *("text_value", "display_value", "description", "precision", "format", "currency_code", "custom_label"),
    *("custom_label_position", "is_global_to_workspace", "has_notifications_enabled", "asana_created_field"),
    *("is_value_read_only", "created_by", "people_value", "reference_value", "html_text_value"),
    *("privacy_setting", "default_access_level", "resource_subtype"),
}


def by_gid(organization: Organization, kind: str = "task") -> dict[str, dict[str, Any]]:
    return {item["gid"]: item for item in organization.objects(kind)}


def parts(item: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """What belongs to an object alone."""
    yield from item.get("attachments", [])
    for each in (item, *item.get("stories", [])):
        yield each
        yield from each.get("likes", [])


# ── the same for the same seed ────────────────────────────────────────────────────────────────────────────────────────


def test_two_organizations_of_the_same_seed_are_the_same(clock: Clock) -> None:
    first, second = (Organization(seed=7, tasks=50, clock=clock) for _ in range(2))
    for kind in KINDS:
        assert list(first.objects(kind, whole=True)) == list(second.objects(kind, whole=True))


def test_another_seed_or_workspace_is_another_organization(clock: Clock) -> None:
    names = [
        [task["name"] for task in Organization(gid, seed=seed, tasks=50, clock=clock).objects("task")]
        for gid, seed in (("1200000000000001", 0), ("1200000000000001", 1), ("1200000000000002", 0))
    ]
    assert len({tuple(each) for each in names}) == 3


# ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


LIVELY = Organization(tasks=100, messages=100, large=0, clock=Clock())


@settings(deadline=None, max_examples=300)
@given(
    kind=st.sampled_from(("task", "message")),
    index=st.integers(0, 96),
    start=st.integers(0, 10**10),
    milliseconds_later=st.integers(0, 10**8),
)
def test_an_object_changes_exactly_when_modified_at_moves(
    kind: str, index: int, start: int, milliseconds_later: int
) -> None:
    instants = LIVELY.now() + start, LIVELY.now() + start + milliseconds_later
    before, after = (LIVELY.build(kind, index, instant, whole=True) for instant in instants)
    modified = [item.pop("modified_at") for item in (before, after)]
    assert (modified[0] == modified[1]) == (before == after)
    assert modified[0] <= timestamp(instants[0])
    assert modified == sorted(modified)


@pytest.mark.parametrize("kind", ["task", "message"])
def test_an_object_stands_still_until_the_millisecond_of_its_next_change(kind: str, clock: Clock) -> None:
    organization = Organization(tasks=100, messages=100, large=0, clock=clock)
    for index in range(20):
        now = organization.now()
        life = organization.life(kind, index, now)
        following = life.changed(life.changes + 1)
        assert organization.build(kind, index, following - 1) == organization.build(kind, index, now)
        assert organization.build(kind, index, following)["modified_at"] == timestamp(following)


def test_about_one_task_changes_in_every_change_interval(clock: Clock) -> None:
    organization = Organization(tasks=1000, large=0, change_interval=10, clock=clock)
    modified = [
        organization.life("task", index, organization.now()).modified
        for index in range(970)  # those that stay
    ]
    since = milliseconds(clock.now - timedelta(seconds=1000))
    assert 70 <= sum(instant > since for instant in modified) <= 130


def test_tasks_are_born_and_deleted_and_their_number_stays(clock: Clock) -> None:
    organization = Organization(tasks=400, large=0, change_interval=5, clock=clock)
    before = by_gid(organization)
    clock.sleep(100)  # a birth every fourth change
    after = by_gid(organization)
    assert (len(before), len(after)) == (400, 400)
    assert len(after.keys() - before.keys()) == len(before.keys() - after.keys()) == 5
    assert all(before[gid]["created_at"] > "2024" for gid in before.keys() - after.keys())


def test_fresh_says_how_many_percent_of_tasks_and_messages_come_and_go(clock: Clock) -> None:
    for fresh in (0, 80, 100):
        organization = Organization(tasks=400, messages=50, large=0, change_interval=3600, fresh=fresh, clock=clock)
        for kind, number in (("task", 400), ("message", 50)):
            created = [each["created_at"] for each in organization.objects(kind)]
            assert (len(created), sum(each > "2024" for each in created)) == (number, number * fresh // 100)


def test_with_a_change_interval_of_nothing_nothing_changes_by_itself(clock: Clock) -> None:
    for interval in (0, None):
        organization = Organization(tasks=100, change_interval=interval, clock=clock)
        before = [list(organization.objects(kind)) for kind in KINDS]
        clock.sleep(10_000_000)
        assert [list(organization.objects(kind)) for kind in KINDS] == before


# ── what others do to it ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def still(clock: Clock) -> Organization:
    return Organization(tasks=64, messages=8, teams=3, large=0, change_interval=0, clock=clock)


def test_a_touched_task_has_a_new_name_a_story_and_the_clocks_modified_at(still: Organization, clock: Clock) -> None:
    gid, before = next(iter(by_gid(still).items()))
    clock.sleep(60)
    still.touch(gid)
    after = by_gid(still)[gid]

    name = f"{before['name']} (touched)"
    assert after["modified_at"] == timestamp(milliseconds(clock.now))
    assert after["name"] == name
    assert [(story["resource_subtype"], story["new_name"]) for story in after["stories"][len(before["stories"]) :]] == [
        ("name_changed", name)
    ]
    changed = {field for field in before if before[field] != after[field]}
    assert changed - {"attachments"} == {"name", "modified_at", "stories"}


def test_a_touch_sets_the_fields_it_is_given(still: Organization) -> None:
    gid = next(iter(by_gid(still)))
    still.touch(gid, notes="Rewritten", completed=True)
    after = by_gid(still)[gid]
    assert (after["notes"], after["completed"]) == ("Rewritten", True)


def test_stories_stay_in_order_when_a_touched_task_lives_on(clock: Clock) -> None:
    organization = Organization(tasks=20, large=0, clock=clock)
    gid = next(iter(by_gid(organization)))
    organization.touch(gid)
    touched = timestamp(milliseconds(clock.now))
    clock.sleep(100_000)
    times = [story["created_at"] for story in by_gid(organization)[gid]["stories"]]
    assert times == sorted(times)
    assert times.index(touched) < len(times) - 1


def test_messages_and_teams_can_be_touched_too(still: Organization) -> None:
    for kind, title in (("message", "title"), ("team", "name")):
        gid, before = next(iter(by_gid(still, kind).items()))
        still.touch(gid)
        assert by_gid(still, kind)[gid][title] == f"{before[title]} (touched)"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_added_is_there_from_then_on(kind: str, still: Organization, clock: Clock) -> None:
    before = by_gid(still, kind)
    earlier = still.now()
    clock.sleep(1)
    gid = still.add(kind)
    after = by_gid(still, kind)
    assert {gid: after.pop(gid)["gid"], **after} == {gid: gid, **before}
    assert not still.alive(kind, still.indices(kind, earlier)[-1][-1], earlier)


def test_what_is_added_does_not_change_by_itself(clock: Clock) -> None:
    organization = Organization(tasks=20, large=0, clock=clock)
    gid = organization.add("task")
    before = by_gid(organization)[gid]
    clock.sleep(10_000_000)
    assert by_gid(organization)[gid] == before


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_deleted_is_gone_from_then_on(kind: str, still: Organization) -> None:
    before = by_gid(still, kind)
    gid = next(iter(before))
    still.delete(gid)
    assert by_gid(still, kind).keys() == before.keys() - {gid}
    for act in (still.touch, still.delete, still.move):
        with pytest.raises(KeyError, match=gid):
            act(gid)


def test_subtasks_are_deleted_with_their_task(still: Organization) -> None:
    before = by_gid(still)
    parents = {gid: task["parent"] and task["parent"]["gid"] for gid, task in before.items()}
    grandchild = next(gid for gid in parents if parents.get(parents[gid] or ""))
    root = parents[parents[grandchild] or ""]
    assert root
    family = {root} | {gid for gid in parents if root in (parents[gid], parents.get(parents[gid] or ""))}
    still.delete(root)
    assert len(family) == 4
    assert by_gid(still).keys() == before.keys() - family


def test_a_moved_task_is_elsewhere_and_not_modified(still: Organization, clock: Clock) -> None:
    gid, before = next(iter(by_gid(still).items()))
    clock.sleep(1)
    still.move(gid)
    after = by_gid(still)[gid]
    assert {field for field in before if before[field] != after[field]} == {"memberships", "projects"}


def test_what_others_do_is_not_seen_by_earlier_instants(still: Organization, clock: Clock) -> None:
    before = [by_gid(still, kind) for kind in KINDS]
    clock.sleep(1)
    for kind in KINDS:
        still.add(kind)
        first, second = islice(by_gid(still, kind), 2)
        still.touch(first)
        still.delete(second)
    still.move(next(iter(by_gid(still))))
    clock.sleep(-1)
    assert [by_gid(still, kind) for kind in KINDS] == before


# ── what it looks like ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def whole() -> dict[str, list[dict[str, Any]]]:
    """A default organization with all opt-in fields."""
    organization = Organization(large=0, clock=Clock())
    return {kind: list(organization.objects(kind, whole=True)) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_has_asanas_default_fields(kind: str) -> None:
    conditional = {"approval_status"}
    for item in Organization(tasks=100, clock=Clock()).objects(kind):
        assert DEFAULT[kind] - conditional <= item.keys() <= DEFAULT[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_occurs_with_a_value(kind: str, whole: dict[str, list[dict[str, Any]]]) -> None:
    assert filled(whole[kind]) == DEFAULT[kind] | set(OPT_IN[kind])


def test_every_field_of_stories_custom_fields_and_attachments_occurs(whole: dict[str, list[dict[str, Any]]]) -> None:
    tasks = whole["task"]
    assert filled(story for task in tasks for story in task["stories"]) == STORY
    assert filled(field for task in tasks for field in task["custom_fields"]) == CUSTOM_FIELD
    assert filled(attachment for task in tasks for attachment in task["attachments"]) == {
        *("gid", "resource_type", "name", "resource_subtype", "created_at", "permanent_url", "host", "parent", "size"),
        "connected_to_app",
    }
    assert filled(task["parent"] for task in tasks if task["parent"]) == {
        *("gid", "resource_type", "name", "resource_subtype", "created_by")
    }


def test_gids_are_sixteen_digits_and_belong_to_one_object(whole: dict[str, list[dict[str, Any]]]) -> None:
    kinds: dict[str, set[str]] = {}
    for gid, kind in gids_in(list(whole.values())):
        kinds.setdefault(gid, set()).add(kind)
    assert {gid: found for gid, found in kinds.items() if len(found) > 1} == {}
    assert {len(gid) for gid in kinds if gid.isdecimal()} == {16}
    for kind in KINDS:
        gids = [part["gid"] for item in whole[kind] for part in parts(item)]
        assert len(set(gids)) == len(gids)


def test_two_workspaces_share_no_gid(clock: Clock) -> None:
    found = [
        {gid for kind in KINDS for gid, _ in gids_in(list(organization.objects(kind)))}
        for organization in (
            Organization(gid, tasks=30, clock=clock) for gid in ("1200000000000001", "1200000000000002")
        )
    ]
    assert found[0] & found[1] == set()


def test_text_has_what_breaks_parsers_of_lines(whole: dict[str, list[dict[str, Any]]]) -> None:
    text = "".join(task["notes"] + task["name"] for task in whole["task"])
    unusual = ("\u2028", "\u2029", "\u0085", "\N{ROCKET}", "e\u0301", "\N{HEBREW LETTER SHIN}", '"', "\\", "\t", "\r\n")
    assert [each for each in unusual if each not in text] == []


def test_a_line_has_a_few_kilobytes_and_some_have_many() -> None:
    organization = Organization(large=2, clock=Clock())
    sizes = sorted(len(msgspec.json.encode(task)) for task in organization.objects("task"))
    small = sizes[:-2]
    assert 2_000 < sum(small) / len(small) < 10_000
    assert small[-1] > 30_000
    assert [size > 1_000_000 for size in sizes[-3:]] == [False, True, True]


def test_a_closer_look_at_one_task_finds_it_consistent(whole: dict[str, list[dict[str, Any]]]) -> None:
    for task in whole["task"]:
        assert task["completed"] == bool(task["completed_at"]) == bool(task["completed_by"])
        assert task["num_likes"] == len(task["likes"])
        assert task["projects"] == [membership["project"] for membership in task["memberships"]]
        assert (task["due_at"] or task["due_on"] or "")[:10] == (task["due_on"] or "")
        assert task["created_at"] <= task["modified_at"]
        times = [story["created_at"] for story in task["stories"]]
        assert times == sorted(times)
        assert all(task["created_at"] <= time <= task["modified_at"] for time in times)


@pytest.mark.soak
def test_twenty_thousand_tasks_leave_nothing_behind() -> None:
    organization = Organization(tasks=20_000, large=0, clock=Clock())
    next(organization.objects("task"))  # the directory is laid out once
    before = sys.getallocatedblocks()
    count, most = 0, 0
    for count, _ in enumerate(organization.objects("task"), 1):
        most = max(most, sys.getallocatedblocks()) if count % 100 == 0 else most
    assert count == 20_000
    assert most - before < 5_000


# ── shapes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_dense_tasks_are_many_small_objects(clock: Clock) -> None:
    tasks = [*Organization(shape="dense", tasks=1000, large=0, clock=clock).objects("task")]

    def spread(counts: Iterable[int]) -> tuple[int, int]:
        found = {*counts}
        return min(found), max(found)

    fields = [field for task in tasks for field in task["custom_fields"]]
    assert spread(len(task["custom_fields"]) for task in tasks) == (3, 12)
    assert spread(len(field["enum_options"]) for field in fields) == (4, 20)
    assert spread(len(task["followers"]) for task in tasks) == (0, 15)
    assert 35 <= max(len(task["stories"]) for task in tasks) <= 42
    assert {name for field in fields for name in field} == {
        *("gid", "enabled", "name", "description", "created_by", "display_value", "resource_subtype", "resource_type"),
        *("is_formula_field", "is_value_read_only", "type", "enum_options", "enum_value"),
    }
    assert {name for task in tasks for story in task["stories"] for name in story} == {
        *("gid", "created_at", "created_by", "resource_type", "resource_subtype", "text", "type")
    }
    text = b"\n".join(msgspec.json.encode(task) for task in tasks)
    assert 5_500 < len(text) / len(tasks) < 6_500
    assert 6 < len(text) / len(zlib.compress(text, 1)) < 7.5


def test_wide_tasks_have_37_custom_fields(clock: Clock) -> None:
    tasks = [*Organization(shape="wide", tasks=50, large=0, clock=clock).objects("task")]
    assert {len(task["custom_fields"]) for task in tasks} == {37}
    options = {len(field.get("enum_options", [])) for task in tasks for field in task["custom_fields"]}
    assert options >= {0, 1, 18, 57}


@pytest.mark.parametrize("shape", ["prose", "dense", "wide"])
def test_the_order_of_properties_changes_nothing_else(clock: Clock, shape: str) -> None:
    documented, real = (
        Organization(shape=shape, property_order=order, tasks=50, large=0, clock=clock)
        for order in ("documented", "real")
    )
    assert [*real.objects("task", whole=True)] == [*documented.objects("task", whole=True)]
    first = next(iter(real.objects("task")))
    assert list(first).index("resource_type") > list(first).index("custom_fields")
    assert list(next(iter(documented.objects("task"))))[:2] == ["gid", "resource_type"]
