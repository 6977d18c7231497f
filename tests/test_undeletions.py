"""What comes back out of the trash: an undeletion modifies nothing, and yet the next export brings it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export.sandbox import Sandbox
from tests.support.lists import only
from tests.support.tap import WORKSPACE, Run, settings_for, sync
from tests.support.walks import present

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.clock import Clock

HOUR, DAY = 3600, 86_400


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    clock.now = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=19)
    with Sandbox(
        tasks=12, messages=3, teams=1, large=0, change_interval=0, job_seconds=0, sync_seconds=10 * DAY, clock=clock
    ) as sandbox:
        yield sandbox


@pytest.fixture
def run(sandbox: Sandbox, catalog: dict[str, Any], clock: Clock) -> Callable[..., Run]:
    """Runs the tap after another run, an hour later."""
    selected = only(catalog, ["exports", "tasks", "messages", "deletions"])

    def after(before: Run | None, **settings: Any) -> Run:
        clock.sleep(HOUR)
        with present(clock):
            done = sync(settings_for(sandbox, overlap=0, **settings), selected, before and before.state)
        assert done.code == 0, done.stderr
        return done

    return after


@pytest.fixture
def asked(sandbox: Sandbox) -> list[str]:
    """The gids of what the audit log was asked of."""
    gids: list[str] = []
    sandbox.on_request = lambda request: gids.extend(filter(None, [request.query.get("resource_gid")]))
    return gids


def brought(run: Run) -> tuple[bool, set[str]]:
    """Whether the export was full, and the gids of its tasks."""
    [export] = run.records("exports")
    return export["full"], {task["gid"] for task in run.records("tasks")}


def handled(run: Run) -> list[str]:
    """The undeletions that the state remembers."""
    texts: list[str] = run.state["bookmarks"]["deletions"]["partitions"][0]["handled"]
    return texts


def test_what_was_changed_and_deleted_before_an_export_comes_changed_when_it_is_undeleted(
    sandbox: Sandbox, run: Callable[[Run | None], Run], asked: list[str], clock: Clock
) -> None:
    organization = sandbox.organizations[WORKSPACE]
    changed, added = next(iter(sandbox.objects(WORKSPACE, "task")))["gid"], organization.add("task")
    first = run(None)
    clock.sleep(HOUR)
    organization.touch(changed, name="Changed")
    created = organization.add("task")
    clock.sleep(1)
    for gid in (changed, created):
        organization.delete(gid)
    second = run(first)
    assert brought(second) == (False, set())
    clock.sleep(2 * HOUR)
    organization.delete(next(iter(sandbox.objects(WORKSPACE, "message")))["gid"])
    second = run(second)

    clock.sleep(1)
    for gid in (changed, created):
        organization.undelete(gid)
    third = run(second)
    assert brought(third) == (False, {changed, created})
    assert {*asked} == {changed, created}
    assert next(task for task in third.records("tasks") if task["gid"] == changed)["name"] == "Changed"

    clock.sleep(1)
    organization.touch(added)
    fourth = run(third)
    assert brought(fourth) == (False, {added})
    assert len(asked) == 4  # each page of the log is followed by an empty one


def test_what_was_deleted_and_undeleted_between_two_exports_costs_nothing(
    sandbox: Sandbox, run: Callable[[Run | None], Run], asked: list[str], clock: Clock
) -> None:
    organization = sandbox.organizations[WORKSPACE]
    before, back = (task["gid"] for task in [*sandbox.objects(WORKSPACE, "task")][:2])
    first = run(None)
    clock.sleep(1)
    organization.touch(before)
    second = run(first)
    clock.sleep(1)
    organization.delete(back)
    clock.sleep(60)
    organization.undelete(back)
    assert brought(run(second)) == (False, set())
    assert asked == []


def test_an_undeletion_that_is_told_late_comes_once_though_a_later_one_was_told_before(
    sandbox: Sandbox, run: Callable[[Run | None], Run], asked: list[str], clock: Clock
) -> None:
    organization = sandbox.organizations[WORKSPACE]
    late, later = (task["gid"] for task in [*sandbox.objects(WORKSPACE, "task")][:2])
    first = run(None)
    clock.sleep(1)
    organization.touch(late, name="Changed")
    clock.sleep(1)
    organization.delete(late)
    second = run(run(first))
    organization.undelete(late)
    undeletion = organization.acts.pop()
    clock.sleep(60)
    organization.delete(later)
    clock.sleep(60)
    organization.undelete(later)
    third = run(second)
    assert brought(third) == (False, set())
    organization.acts.insert(-2, undeletion)
    fourth = run(third)
    assert brought(fourth) == (False, {late})
    fifth = run(fourth)
    assert brought(fifth) == brought(run(fifth)) == (False, set())
    assert asked == [late, late]  # its deletion, and the empty page behind it

    # What is not read again does not have to be remembered.
    assert len(handled(fifth)) == 2
    organization.delete(late)
    assert handled(run(run(fifth))) == []


def test_what_is_undeleted_while_the_first_export_is_waited_for_makes_a_full_one_due(
    sandbox: Sandbox, run: Callable[..., Run], clock: Clock
) -> None:
    organization = sandbox.organizations[WORKSPACE]
    gid = next(iter(sandbox.objects(WORKSPACE, "task")))["gid"]
    organization.delete(gid)
    sandbox.job_seconds = 60
    first = run(None, wait_timeout=0, defer=True, checkpoint=False)
    assert first.records("exports") == []
    sandbox.job_seconds = 0
    clock.sleep(1)
    organization.undelete(gid)
    second = run(first)
    assert brought(second)[0]
    assert gid not in brought(second)[1]
    clock.sleep(DAY)
    third = run(second)
    assert brought(third)[0]
    assert gid in brought(third)[1]
    clock.sleep(DAY)
    assert not brought(run(third))[0]


def test_an_undeletion_that_an_earlier_version_has_handled_is_passed_over(
    sandbox: Sandbox, run: Callable[[Run | None], Run], asked: list[str], clock: Clock
) -> None:
    organization = sandbox.organizations[WORKSPACE]
    gid = next(iter(sandbox.objects(WORKSPACE, "task")))["gid"]
    first = run(None)
    clock.sleep(1)
    organization.touch(gid)
    clock.sleep(1)
    organization.delete(gid)
    second = run(run(first))
    organization.undelete(gid)
    third = run(second)
    assert brought(third) == (False, {gid})
    asked.clear()
    partition = third.state["bookmarks"]["deletions"]["partitions"][0]
    assert partition.pop("handled") == [f"{partition['undeleted_at']} {gid}"]
    assert brought(run(third)) == (False, set())
    assert asked == []


@pytest.mark.soak
def test_what_was_deleted_before_the_last_full_export_comes_with_the_next_one_which_is_due_after_a_day(
    sandbox: Sandbox, run: Callable[[Run | None], Run], clock: Clock
) -> None:
    organization = sandbox.organizations[WORKSPACE]
    gid, later = (task["gid"] for task in [*sandbox.objects(WORKSPACE, "task")][:2])
    organization.delete(gid)
    first = run(None)
    clock.sleep(1)
    organization.undelete(gid)
    second = run(first)
    assert brought(second) == (False, set())

    # What is in reach does not make it forget what is not.
    organization.delete(later)
    second = run(second)
    organization.undelete(later)
    second = run(second)
    assert brought(second) == (False, set())

    clock.sleep(DAY)
    third = run(second)
    assert brought(third)[0]
    assert gid in brought(third)[1]
    clock.sleep(DAY)
    assert brought(run(third)) == (False, set())


def test_an_undeleted_project_makes_a_full_export_due(
    sandbox: Sandbox, run: Callable[[Run | None], Run], clock: Clock
) -> None:
    organization = sandbox.organizations[WORKSPACE]
    project = next(sandbox.listed(WORKSPACE, "projects"))["gid"]
    first = run(None)
    clock.sleep(1)
    organization.delete(project)
    clock.sleep(DAY)
    second = run(first)
    assert brought(second)[0]
    clock.sleep(1)
    organization.undelete(project)
    clock.sleep(DAY)
    third = run(second)
    assert brought(third)[0]
    clock.sleep(DAY)
    assert not brought(run(third))[0]
