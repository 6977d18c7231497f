"""Deletions, events and the audit log: what is asked and in which order, what comes out, what a gap makes necessary."""

from __future__ import annotations

import itertools
import tracemalloc
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tap_asana_export.replication.activity import LastWords
from tap_asana_export.sandbox import Sandbox
from tap_asana_export.times import format_time, parse_time
from tests.support.lists import only
from tests.support.scripted_api import Answer, ScriptedApi, page, refusal
from tests.support.tap import WORKSPACE, Run, settings_for
from tests.support.walks import present

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.clock import Clock
    from tests.support.scripted_api import Asked

EVENTS = "/workspaces/1/events"
AUDIT_LOG = "/workspaces/1/audit_log_events"
NOW = datetime.now(timezone.utc)
AT, LATER = (format_time(NOW - timedelta(minutes=each)) for each in (30, 20))


@pytest.fixture
def clock(clock: Clock) -> Clock:
    """Now, so that times of the sandbox and of the tap are alike."""
    clock.now = datetime.now(timezone.utc)
    return clock


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(
        tasks=30, messages=8, projects=6, teams=2, large=0, change_interval=0, job_seconds=0, clock=clock
    ) as sandbox:
        yield sandbox


def paths(sandbox: Sandbox) -> list[str]:
    """What was asked of the API, exports and activity only."""
    found = (urlsplit(each.path).path.rpartition("/")[2] for each in sandbox.requests)
    return [each for each in found if each in {"resource", "events", "audit_log_events"}]


def deletions(run: Run) -> dict[str, tuple[str, bool]]:
    """By gid, the type of what was deleted, and whether it still is."""
    return {each["gid"]: (each["resource_type"], each["is_deleted"]) for each in run.records("deletions")}


def partition(run: Run, stream: str) -> dict[str, Any]:
    found: dict[str, Any] = run.state["bookmarks"][stream]["partitions"][0]
    return found


def test_what_was_deleted_and_undeleted_since_the_last_run_comes_with_the_next_one(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run], clock: Clock
) -> None:
    selected = only(catalog, ["exports", "tasks", "messages", "deletions"])
    first = run_tap(settings_for(sandbox), catalog=selected)
    assert first.code == 0, first.stderr
    assert deletions(first) == {}

    organization = sandbox.organizations[WORKSPACE]
    gone, back, *_ = (each["gid"] for each in sandbox.objects(WORKSPACE, "task") if not each["parent"])
    message = next(each["gid"] for each in sandbox.objects(WORKSPACE, "message"))
    for gid in (gone, back, message):
        clock.sleep(1)
        organization.delete(gid)
    clock.sleep(60)
    organization.undelete(back)
    clock.sleep(1)
    second = run_tap(settings_for(sandbox, overlap=0), catalog=selected, state=first.state)

    assert second.code == 0, second.stderr
    told = deletions(second)
    assert (told[gone], told[back], told[message]) == (("task", True), ("task", False), ("message", True))
    times = [each["changed_at"] for each in second.records("deletions")]
    assert times[: len(times) // 2] == sorted(times[: len(times) // 2])


def test_where_the_log_was_read_from_is_remembered_though_nothing_was_told(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    begin = datetime.now(timezone.utc) - timedelta(hours=1)
    run = run_tap(settings_for(sandbox), catalog=only(catalog, ["deletions"]))
    assert run.records("deletions") == []
    bookmark = parse_time(partition(run, "deletions")["replication_key_value"])
    assert begin - timedelta(seconds=1) <= bookmark <= datetime.now(timezone.utc) - timedelta(hours=1)


def test_activity_is_read_before_the_export_is_asked_for_and_after_it_was_read(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    run = run_tap(settings_for(sandbox), catalog=only(catalog, ["tasks", "deletions", "events"]))

    assert run.code == 0, run.stderr
    asked = paths(sandbox)
    export = asked.index("resource")
    assert {*asked[:export]} == {*asked[export + 1 :]} == {"events", "audit_log_events"}


def test_without_the_streams_nothing_is_asked(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    run = run_tap(settings_for(sandbox))
    assert paths(sandbox) == ["resource"]
    assert run.state["bookmarks"].keys().isdisjoint({"deletions", "events", "audit_log_events"})


def test_only_deletions_of_what_is_selected_are_asked_for(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    types: list[str | None] = []
    sandbox.on_request = lambda request: types.append(request.query.get("event_type"))
    run_tap(settings_for(sandbox), catalog=only(catalog, ["messages", "deletions"]))
    assert sorted({each for each in types if each}) == [
        "message_deleted",
        "message_permanently_deleted",
        "message_undeleted",
        "status_update_deleted",
        "status_update_permanently_deleted",
        "status_update_undeleted",
    ]


def test_events_are_as_asana_has_them_with_a_digest_for_a_key(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run], clock: Clock
) -> None:
    selected = only(catalog, ["events"])
    first = run_tap(settings_for(sandbox), catalog=selected)
    organization = sandbox.organizations[WORKSPACE]
    gids = [each["gid"] for each in sandbox.objects(WORKSPACE, "task")]
    clock.sleep(1)
    organization.touch(gids[0])
    organization.move(gids[1])
    clock.sleep(1)
    second = run_tap(settings_for(sandbox), catalog=selected, state=first.state)

    records = second.records("events")
    assert len({record["gid"] for record in records}) == len(records) > 0
    wanted = [{**event, "workspace_gid": WORKSPACE} for event in sandbox.events(WORKSPACE)]
    assert [{name: value for name, value in record.items() if name != "gid"} for record in records] == wanted
    assert partition(second, "events")["sync"] != partition(first, "events")["sync"]


def test_the_audit_log_comes_as_it_is_and_later_from_where_it_stood(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run], clock: Clock
) -> None:
    organization = sandbox.organizations[WORKSPACE]
    gids = [each["gid"] for each in sandbox.objects(WORKSPACE, "task")]
    organization.delete(gids[0])
    clock.sleep(86400)
    selected = only(catalog, ["audit_log_events"])
    first = run_tap(settings_for(sandbox), catalog=selected)
    wanted = [{**event, "workspace_gid": WORKSPACE} for event in sandbox.audit_log(WORKSPACE)]
    assert first.records("audit_log_events") == wanted
    clock.sleep(86400)
    organization.delete(gids[1])
    clock.sleep(1)
    second = run_tap(settings_for(sandbox), catalog=selected, state=first.state)
    known = {event["gid"] for event in wanted}
    new = {event["gid"] for event in sandbox.audit_log(WORKSPACE)} - known
    assert new <= {record["gid"] for record in second.records("audit_log_events")}


def test_a_setting_chooses_the_types_of_the_audit_log(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    organization = sandbox.organizations[WORKSPACE]
    organization.delete(next(each["gid"] for each in sandbox.objects(WORKSPACE, "task")))
    settings = settings_for(sandbox, audit_log_event_types=["object_export_started"])
    run = run_tap(settings, catalog=only(catalog, ["tasks", "audit_log_events"]))
    assert {record["event_type"] for record in run.records("audit_log_events")} == {"object_export_started"}


# ── gaps ──────────────────────────────────────────────────────────────────────────────────────────────────


def requested(sandbox: Sandbox) -> list[bool]:
    """For each request for an export, whether it was for all tasks."""
    bodies = [each.body for each in sandbox.requests if each.path.endswith("/exports/resource")]
    return [b"modified_at.after" not in body for body in bodies]


def test_an_expired_token_makes_the_next_export_whole(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run], clock: Clock
) -> None:
    selected = only(catalog, ["exports", "tasks", "deletions"])
    settings = settings_for(sandbox, overlap=0)
    first = run_tap(settings, catalog=selected)
    table = first.state["bookmarks"]["tasks"]["partitions"][0]
    table["full_at"] = format_time(parse_time(table["full_at"]) - timedelta(days=3))
    clock.sleep(2 * 86400)
    second = run_tap(settings, catalog=selected, state=first.state)
    third = run_tap(settings, catalog=selected, state=second.state)

    assert (second.code, third.code) == (0, 0), third.stderr
    assert requested(sandbox) == [True, True, False]
    assert second.warnings == [
        f"Workspace {WORKSPACE}, activity: Asana keeps no events since the last run (Sync token invalid or too old. If "
        "you are attempting to keep resources in sync, you must fetch the full dataset for this query now and use the "
        "new sync token for the next sync). What happened may be missing, so an export of all objects is made, once a "
        "day at the most."
    ]
    assert "tasks is asked for: the workspace's events were asked for too late" in second.stderr


def test_activity_that_was_not_read_for_ninety_days_makes_the_next_export_whole(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    selected = only(catalog, ["tasks", "deletions"])
    first = run_tap(settings_for(sandbox), catalog=selected)
    bookmarks = first.state["bookmarks"]
    for table, name in ((bookmarks["tasks"], "full_at"), (bookmarks["deletions"], "completed_at")):
        table["partitions"][0][name] = format_time(datetime.now(timezone.utc) - timedelta(days=91))
    second = run_tap(settings_for(sandbox), catalog=selected, state=first.state)
    assert requested(sandbox) == [True, True]
    reason = "tasks is asked for: activity was not read for longer than Asana keeps it"
    assert reason in second.stderr


def test_a_gap_makes_no_second_whole_export_within_a_day(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run], clock: Clock
) -> None:
    selected = only(catalog, ["exports", "tasks", "deletions"])
    settings = settings_for(sandbox, overlap=0)
    first = run_tap(settings, catalog=selected)
    project = next(sandbox.listed(WORKSPACE, "projects"))["gid"]
    clock.sleep(60)
    sandbox.organizations[WORKSPACE].delete(project)
    clock.sleep(60)
    second = run_tap(settings, catalog=selected, state=first.state)
    assert deletions(second)[project] == ("project", True)
    assert requested(sandbox) == [True, False]

    table = second.state["bookmarks"]["tasks"]["partitions"][0]
    table["full_at"] = format_time(parse_time(table["full_at"]) - timedelta(days=1))
    third = run_tap(settings, catalog=selected, state=second.state)
    assert requested(sandbox) == [True, False, True]
    assert "tasks is asked for: a project was deleted" in third.stderr
    run_tap(settings, catalog=selected, state=third.state)
    assert requested(sandbox) == [True, False, True, False]


@pytest.mark.parametrize("status", [402, 403])
def test_a_refused_audit_log_is_named_and_the_export_comes_through(
    status: int, sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    sandbox.refused_lists["audit_log_events"] = status
    run = run_tap(settings_for(sandbox), catalog=only(catalog, ["exports", "tasks", "deletions"]))
    assert run.code == 1
    assert run.last_line.startswith(
        f"1 of 2 exports and lists failed. Workspace {WORKSPACE}, activity: "
        f"GET /workspaces/{WORKSPACE}/audit_log_events: Asana answered {status}: "
    )
    assert run.last_line.endswith("The other 1 came through.")
    assert len(run.records("tasks")) == 30


def test_refused_events_cost_the_deletions_of_the_audit_log_nothing(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run], clock: Clock
) -> None:
    sandbox.refused_lists["events"] = 403
    selected = only(catalog, ["exports", "tasks", "deletions"])
    first = run_tap(settings_for(sandbox), catalog=selected)
    gone = next(each["gid"] for each in sandbox.objects(WORKSPACE, "task") if not each["parent"])
    sandbox.organizations[WORKSPACE].delete(gone)
    clock.sleep(1)
    second = run_tap(settings_for(sandbox), catalog=selected, state=first.state)
    assert (first.code, second.code) == (0, 0), second.stderr
    assert deletions(second)[gone] == ("task", True)


# ── what Asana should not send ────────────────────────────────────────────────────────────────────────────


def event(action: Any, resource: Any, at: Any = AT) -> dict[str, Any]:
    return {"action": action, "resource": resource, "created_at": at, "user": None, "parent": None}


def audited(kind: Any, resource: Any, at: Any = AT) -> dict[str, Any]:
    return {"gid": "1", "event_type": kind, "resource": resource, "created_at": at, "actor": {"gid": "9"}}


TASK = {"gid": "5", "resource_type": "task"}
NO_EVENTS = Answer(200, {"data": [], "sync": "a", "has_more": False})

ODD: dict[str, tuple[list[Any], list[Any], dict[str, tuple[str, bool]]]] = {
    "unknown action and type": ([event("vaporized", TASK), event("deleted", {"gid": "6"})], [], {"6": ("", True)}),
    "no resource": ([event("deleted", None)], [audited("task_deleted", None)], {}),
    "a resource that is a text": ([event("deleted", "5")], [audited("task_deleted", "5")], {}),
    "no time": ([event("deleted", TASK, None)], [audited("task_deleted", TASK, "soon")], {}),
    "the end of time": (
        [event("deleted", TASK, "9999-12-31T23:59:59-12:00")],
        [audited("task_deleted", TASK, "0001-01-01T00:00:00+14:00")],
        {},
    ),
    "a gid that is a number": ([event("deleted", {"gid": 5})], [], {"5": ("", True)}),
    "never exported": ([], [audited("task_deleted", TASK)], {"5": ("task", True)}),
    "an undeletion before its deletion": (
        [],
        [audited("task_undeleted", TASK, LATER), audited("task_deleted", TASK)],
        {"5": ("task", False)},
    ),
    "a comment": ([], [audited("comment_deleted", {"gid": "5"})], {"5": ("story", True)}),
    "a status update, for good": (
        [],
        [audited("status_update_permanently_deleted", {"gid": "5"})],
        {"5": ("message", True)},
    ),
}


@pytest.mark.parametrize(("events", "log", "wanted"), ODD.values(), ids=ODD)
def test_odd_events_are_taken_for_what_they_tell(
    events: list[Any],
    log: list[Any],
    wanted: dict[str, tuple[str, bool]],
    catalog: dict[str, Any],
    run_tap: Callable[..., Run],
) -> None:
    unclear = 2 if "no " in str(wanted) or not wanted else 0
    lists = {EVENTS: Answer(200, {"data": events, "sync": "a", "has_more": False}), AUDIT_LOG: page(log)}
    with ScriptedApi(lists) as api:
        run = run_tap(api.settings(), catalog=only(catalog, ["deletions", "events"]))
    assert run.code == 0, run.stderr
    assert deletions(run) == wanted
    assert len(run.records("events")) == len(events)
    assert any("told of a deletion, but not of what, or when" in each for each in run.warnings) == bool(unclear)
    assert bool(activity_of(run.state).get("gap_at")) == bool(unclear)


def activity_of(state: dict[str, Any], stream: str = "deletions") -> dict[str, Any]:
    partition: dict[str, Any]
    [partition] = state["bookmarks"][stream]["partitions"]
    return partition


def test_an_event_of_the_future_keeps_no_later_one_away(catalog: dict[str, Any], run_tap: Callable[..., Run]) -> None:
    selected = only(catalog, ["deletions", "audit_log_events"])
    soon = format_time(datetime.now(timezone.utc) + timedelta(minutes=20))
    log = [audited("task_deleted", TASK, "2099-01-01T00:00:00.000Z"), audited("task_deleted", {"gid": "6"}, soon)]
    with ScriptedApi({EVENTS: NO_EVENTS, AUDIT_LOG: page(log)}) as api:
        run = run_tap(api.settings(), catalog=selected)
    now = format_time(datetime.now(timezone.utc))
    assert {gid: each["changed_at"] for gid, each in by_gid(run).items()} == {"6": soon}
    for stream in ("deletions", "audit_log_events"):
        state = activity_of(run.state, stream)
        assert state["replication_key_value"] <= now
        state["replication_key_value"] = "2099-01-01T00:00:00.000Z"
    with ScriptedApi({EVENTS: NO_EVENTS, AUDIT_LOG: page([])}) as api:
        again = run_tap(api.settings(), catalog=selected, state=run.state)
    assert {each.query["start_at"] < now for each in api.asked if each.path == AUDIT_LOG} == {True}
    assert activity_of(again.state)["replication_key_value"] < "2099"


def test_what_happens_while_a_long_log_is_read_is_not_of_the_future(
    catalog: dict[str, Any], run_tap: Callable[..., Run], clock: Clock
) -> None:
    def log(_: Asked) -> Answer:
        clock.sleep(2 * 3600)
        return page([audited("task_deleted", TASK, format_time(clock.now))])

    with ScriptedApi({EVENTS: NO_EVENTS, AUDIT_LOG: log}) as api, present(clock):
        run = run_tap(api.settings(), catalog=only(catalog, ["deletions", "audit_log_events"]))
    assert deletions(run) == {"5": ("task", True)}
    assert "gap_at" not in activity_of(run.state)
    assert run.warnings == []


@pytest.mark.parametrize("before", [[], ["deletions"], ["audit_log_events"]], ids=str)
def test_the_audit_log_of_ninety_days_brings_no_older_deletions(
    before: list[str], catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    long_ago = format_time(NOW - timedelta(days=30))
    told = [audited("task_deleted", TASK, long_ago), audited("task_deleted", {"gid": "6"})]

    def log(asked: Asked) -> Answer:
        is_wanted = asked.query.get("event_type") in {None, "task_deleted"}
        return page([each for each in told if is_wanted and each["created_at"] >= asked.query["start_at"]])

    both = only(catalog, ["deletions", "audit_log_events"])
    with ScriptedApi({EVENTS: NO_EVENTS, AUDIT_LOG: log}) as api:
        state = run_tap(api.settings(), catalog=only(catalog, before), state=None).state if before else None
        first = run_tap(api.settings(), catalog=both, state=state)
        second = run_tap(api.settings(), catalog=both, state=first.state)
    assert deletions(first) == deletions(second) == {"6": ("task", True)}
    wanted = [AT] if before == ["audit_log_events"] else [long_ago, AT]
    assert [each["created_at"] for each in first.records("audit_log_events")] == wanted


def test_who_does_not_select_deletions_has_none_kept_in_memory(
    catalog: dict[str, Any], run_tap: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[str] = []
    monkeypatch.setattr(LastWords, "_keep", lambda _, gid, *__: kept.append(gid))
    events = Answer(200, {"data": [event("deleted", {"gid": "6"})], "sync": "a", "has_more": False})
    with ScriptedApi({EVENTS: events, AUDIT_LOG: page([audited("task_deleted", TASK)])}) as api:
        run_tap(api.settings(), catalog=only(catalog, ["events", "audit_log_events"]))
        assert kept == []
        run_tap(api.settings(), catalog=only(catalog, ["deletions"]))
    assert {*kept} == {"5", "6"}


def test_many_deletions_take_little_memory() -> None:
    words = LastWords("1")
    tracemalloc.start()
    try:
        for number in range(10_000):
            words.note_audit_event(audited("task_deleted", {"gid": str(10**15 + number)}), NOW)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 10_000 * 450


def by_gid(run: Run) -> dict[str, dict[str, Any]]:
    return {each["gid"]: each for each in run.records("deletions")}


def test_times_with_another_zone_are_told_in_utc(catalog: dict[str, Any], run_tap: Callable[..., Run]) -> None:
    log = [
        audited("task_deleted", TASK, parse_time(AT).astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat())
    ]
    with ScriptedApi({EVENTS: NO_EVENTS, AUDIT_LOG: page(log)}) as api:
        run = run_tap(api.settings(), catalog=only(catalog, ["deletions"]))
    assert by_gid(run)["5"]["changed_at"] == AT


def test_an_event_of_the_audit_log_without_gid_is_left_out(
    catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    log = [{}, {"gid": None}, audited("task_deleted", TASK)]
    with ScriptedApi({AUDIT_LOG: page(log)}) as api:
        run = run_tap(api.settings(), catalog=only(catalog, ["audit_log_events"]))
    assert (run.code, [each["gid"] for each in run.records("audit_log_events")]) == (0, ["1"])
    assert run.warnings == ["Workspace 1, activity: the audit log has 2 events without a gid; they are left out."]


def test_of_two_tokens_the_older_one_is_gone_on_from(catalog: dict[str, Any], run_tap: Callable[..., Run]) -> None:
    selected = only(catalog, ["deletions", "events"])
    with ScriptedApi({EVENTS: NO_EVENTS, AUDIT_LOG: page([])}) as api:
        state = run_tap(api.settings(), catalog=selected).state
        activity_of(state, "events").update(sync="older", completed_at="2026-11-20T00:00:00.000Z")
        run = run_tap(api.settings(), catalog=selected, state=state)
    assert [each.query.get("sync") for each in api.asked if each.path == EVENTS] == [None, "older"]
    assert activity_of(run.state, "events")["sync"] == activity_of(run.state)["sync"] == "a"


ENDLESS: dict[str, Callable[[int], dict[str, Any]]] = {
    "the same token": lambda _: {"data": [], "sync": "a", "has_more": True},
    "no token": lambda _: {"data": [], "has_more": True},
    "two tokens in turn": lambda number: {"data": [event("added", TASK)], "sync": "ab"[number % 2], "has_more": True},
    "nothing, again and again": lambda number: {"data": [], "sync": f"t{number}", "has_more": True},
}


@pytest.mark.parametrize("answer", ENDLESS.values(), ids=ENDLESS)
def test_events_without_end_are_an_error_and_the_token_stays(
    answer: Callable[[int], dict[str, Any]], catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    numbers = itertools.count()
    with ScriptedApi({EVENTS: lambda _: Answer(200, answer(next(numbers))), AUDIT_LOG: page([])}) as api:
        run = run_tap(api.settings(), catalog=only(catalog, ["deletions", "events"]))
    assert run.code == 1
    assert "is one that came before" in run.last_line or "its pages bring nothing new" in run.last_line
    assert len([each for each in api.asked if each.path == EVENTS]) < 30
    assert "sync" not in activity_of(run.state)


def test_an_audit_log_without_end_is_an_error(catalog: dict[str, Any], run_tap: Callable[..., Run]) -> None:
    numbers = itertools.count()
    log = [audited("task_deleted", TASK)]
    with ScriptedApi({AUDIT_LOG: lambda _: page(log, f"o{next(numbers)}")}) as api:
        run = run_tap(api.settings(), catalog=only(catalog, ["audit_log_events"]))
    assert (run.code, len(api.asked)) == (1, 22)
    assert "its pages bring nothing new, and there is always another one" in run.last_line


@pytest.mark.parametrize(
    "damage", [{"sync": 5}, {"gap_at": "x"}, {"undeleted_at": []}, {"handled": [5]}, {"renew_at": "x"}]
)
def test_a_damaged_state_of_activity_is_told(
    damage: dict[str, Any], catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    state = {"bookmarks": {"deletions": {"partitions": [{"context": {"workspace_gid": "1"}, **damage}]}}}
    with ScriptedApi({}) as api:
        run = run_tap(api.settings(), catalog=only(catalog, ["deletions"]), state=state)
    assert (run.code, api.asked) == (1, [])
    assert run.last_line.startswith("The state given with --state is not this tap's")


def test_a_next_page_without_events_is_the_end(catalog: dict[str, Any], run_tap: Callable[..., Run]) -> None:
    answers = [page([audited("task_deleted", TASK)], "a"), page([], "a")]
    with ScriptedApi({AUDIT_LOG: answers}) as api:
        run = run_tap(api.settings(audit_log_event_types=["task_deleted"]), catalog=only(catalog, ["audit_log_events"]))
    assert run.code == 0, run.stderr
    assert len(run.records("audit_log_events")) == 1
    assert len(api.asked) == 2


def test_more_events_are_asked_for_until_there_are_no_more(
    catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    fresh = Answer(412, {"errors": [{"message": "Sync token invalid or too old"}], "sync": "a"})
    pages = [
        fresh,
        Answer(200, {"data": [event("changed", TASK)], "sync": "b", "has_more": True}),
        Answer(200, {"data": [event("deleted", TASK)], "sync": "c", "has_more": False}),
    ]
    with ScriptedApi({EVENTS: pages}) as api:
        first = run_tap(api.settings(), catalog=only(catalog, ["events"]))
        second = run_tap(api.settings(), catalog=only(catalog, ["events"]), state=first.state)
    assert (first.code, second.code) == (0, 0), second.stderr
    assert [each.query.get("sync") for each in api.asked] == [None, "a", "b"]
    assert len(second.records("events")) == 2
    assert second.state["bookmarks"]["events"]["partitions"][0]["sync"] == "c"
    assert first.warnings == []


def test_the_log_tells_of_what_the_events_are(catalog: dict[str, Any], run_tap: Callable[..., Run]) -> None:
    untyped = [event("changed", resource) for resource in (None, {"gid": "6"})]
    with ScriptedApi({EVENTS: Answer(200, {"data": [event("changed", TASK), *untyped], "sync": "a"})}) as api:
        run = run_tap(api.settings(), catalog=only(catalog, ["events"]))
    assert "the events are of 2 untyped objects, 1 task" in run.stderr


@pytest.mark.parametrize("answer", [refusal(404, "Oops"), Answer(200, {}), Answer(412, {"errors": []})])
def test_an_answer_that_is_none_moves_nothing(
    answer: Answer, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    with ScriptedApi({EVENTS: answer}) as api:
        run = run_tap(api.settings(), catalog=only(catalog, ["events"]))
    assert run.code == 1
    assert run.last_line.startswith("Workspace 1, activity: GET /workspaces/1/events: ")
    assert "sync" not in run.state["bookmarks"]["events"]["partitions"][0]
