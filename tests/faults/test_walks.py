"""Settings that change, runs that break, an organization that lives: the tables stay true all the same.

A walk is a list of steps. Before each one time passes and objects change, then the tap runs, perhaps with other
settings, a fault or a target that is killed at a message, and goes on from a state that the target confirmed. The
target upserts by key, and at ACTIVATE_VERSION deletes what has no version or a lower one: so does
meltanolabs-target-postgres. What must be in its tables then is told by a model that knows Asana's rules and the
README's promises, and nothing of how the tap works.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import pytest

from tap_asana_export.sandbox import Sandbox
from tap_asana_export.times import format_time, parse_time
from tests.support.clock import Clock
from tests.support.tap import select, settings_for
from tests.support.targets import STREAMS
from tests.support.walks import discovered, run

pytestmark = [pytest.mark.soak, pytest.mark.usefixtures("quiet")]

A, B = "1200000000000001", "1200000000000002"
COLUMNS = {"gid", "name", "title", "notes", "html_notes", "followers", "projects", "created_at", "modified_at"}
KINDS = {"tasks": "task", "messages": "message", "teams": "team"}

# ── what may happen ───────────────────────────────────────────────────────────────────────────────────────

# Objects were made in 2022 and 2023 and changed in the last minutes of 2023, or in the walk, which began 19 days ago.
START_DATES = (None, "2023-12-31T23:55:00Z", "2023-12-31T23:59:40Z", "in the walk", "after the walk")
FILTERS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "young": [{"created_at.after": "2023-01-01T00:00:00.000Z"}],
    "young or old": [{"created_at.after": "2023-06-01T00:00:00.000Z"}, {"created_at.before": "2022-09-01T00:00:00Z"}],
    "twice": [{"created_at.after": "2022-06-01T00:00:00.000Z"}, {"created_at.after": "2022-12-01T00:00:00.000Z"}],
    "no filter": [{}],
    "modified": [{"modified_at.after": "2023-12-31T23:59:40Z"}],
}
SELECTIONS: dict[str, dict[tuple[str, ...], bool]] = {
    "default": {},
    "no notes": {("tasks", "properties", "notes"): False},
    "no names": {("tasks", "properties", "followers", "properties", "name"): False},
    "opt-in": {("tasks", "properties", "html_notes"): True},
    "no messages": {("messages",): False},
    "no teams": {("teams",): False},
}
FAULTS = ("truncated", "corrupt", "failed_job", "busy", "no_url", "drop_download", "no_such_key", "deferred")
CHANGES = ("touch", "touch", "add", "delete", "move")


class Config(NamedTuple):
    """The settings that walks change."""

    workspaces: tuple[str, ...] = (A, B)
    emit: bool = True
    interval: int | None = None
    start_date: str | None = None
    filters: str = "none"
    selection: str = "default"
    full_table: bool = False
    overlap: int = 0


class Step(NamedTuple):
    """One run, and what happened before it.

    Attributes:
        hours: that passed.
        changes: to objects, each with a number that tells which one.
        config: what is set anew.
        fault: that strikes so many times.
        cut: the share of the messages after which the target is killed.
        lag: how many STATEs it had not yet confirmed.
        forget: whether the run has no state.
    """

    hours: int
    changes: list[tuple[str, int]]
    config: dict[str, Any]
    fault: tuple[str, int] | None
    cut: float | None
    lag: int
    forget: bool


def random_step(chance: random.Random) -> Step:
    """A run like most, or a worse one."""
    options: dict[str, list[Any]] = {
        "workspaces": [(A, B), (A, B), (A,), (B, A)],
        "emit": [True, True, False],
        "interval": [None, 1, 10, 17],
        "start_date": [None, None, *START_DATES],
        "filters": ["none", "none", "none", *FILTERS],
        "selection": ["default", "default", *SELECTIONS],
        "full_table": [True, False, False],
        "overlap": [0, 60, 100_000],
    }
    return Step(
        chance.randint(1, 40),
        [(chance.choice(CHANGES), chance.randint(0, 60)) for _ in range(chance.randint(0, 5))],
        {
            name: chance.choice(options[name])
            for name in chance.sample(list(options), chance.choice((0, 0, 0, 1, 1, 2)))
        },
        (chance.choice(FAULTS), chance.randint(1, 2)) if chance.random() < 0.25 else None,
        chance.random() if chance.random() < 0.3 else None,
        chance.choice((0, 0, 1, 2)),
        forget=chance.random() < 0.04,
    )


# ── what should come of it ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Known:
    """What a state promises of one stream of one workspace.

    Attributes:
        at: what is in the tables is as new as this.
        whole_at: and this whole, moves included.
        complete_at: rows of what was deleted before are gone as soon as this holds for every workspace.
        oldest: start_date of the widest export since; what is older may be in the table, or not.
        start_date: that of the last whole export.
    """

    at: datetime
    whole_at: datetime
    complete_at: datetime | None
    oldest: datetime | None
    start_date: datetime | None
    filters: str
    selection: str


@dataclass
class World:
    """An organization, the tables of a target, and what the last confirmed state promises of them."""

    sandbox: Sandbox
    clock: Clock
    catalog: dict[str, Any]
    config: Config = field(default_factory=Config)
    state: dict[str, Any] | None = None
    known: dict[tuple[str, str], Known] = field(default_factory=dict)
    tables: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: {stream: {} for stream in STREAMS})
    versions: dict[tuple[str, str], int | None] = field(default_factory=dict)
    snapshots: dict[datetime, dict[tuple[str, str], dict[str, Any]]] = field(default_factory=dict)

    def snapshot(self, at: datetime) -> dict[tuple[str, str], dict[str, Any]]:
        """By workspace and stream, all objects as they were, with a few of their properties."""
        if at not in self.snapshots:
            now, self.clock.now = self.clock.now, at
            found = {}
            for gid, organization in self.sandbox.organizations.items():
                for stream, kind in KINDS.items():
                    objects = json.loads(json.dumps(list(organization.objects(kind, whole=True))))
                    found[gid, stream] = {
                        each["gid"]: {name: each[name] for name in COLUMNS & each.keys()} for each in objects
                    }
            self.snapshots[at] = found
            self.clock.now = now
        return self.snapshots[at]

    def change(self, changes: list[tuple[str, int]]) -> None:
        """Do something to objects of both workspaces."""
        for what, number in changes:
            organization = list(self.sandbox.organizations.values())[number % 2]
            stream = STREAMS[number // 2 % 3] if number % 5 == 0 else "tasks"
            gids = sorted(each["gid"] for each in organization.objects(KINDS[stream]))
            if what == "add":
                organization.add(KINDS[stream])
            elif gids:
                gid = gids[number % len(gids)]
                if what == "move":
                    organization.move(gid)
                elif what == "delete":
                    organization.delete(gid)
                else:
                    organization.touch(gid)

    def start_date(self) -> datetime | None:
        """The setting, as a time."""
        name = self.config.start_date
        if name is None:
            return None
        if name.endswith("the walk"):
            began = min(self.snapshots)
            return began + timedelta(days=2 if name == "in the walk" else 200)
        return parse_time(name)

    def settings(self, *, impatient: bool) -> dict[str, Any]:
        """The tap's."""
        start_date, filters = self.start_date(), FILTERS[self.config.filters]
        return settings_for(
            self.sandbox,
            workspaces=list(self.config.workspaces),
            emit_activate_version_messages=self.config.emit,
            full_export_interval=self.config.interval,
            start_date=format_time(start_date) if start_date else None,
            filters={"tasks": filters} if filters else {},
            overlap=self.config.overlap,
            busy_timeout=0,
            wait_timeout=0 if impatient else 60,
            defer=True,
        )

    def selected(self) -> dict[str, Any]:
        """The catalog."""
        catalog = select(self.catalog, SELECTIONS[self.config.selection])
        for stream in catalog["streams"]:
            if self.config.full_table and stream["tap_stream_id"] == "tasks":
                stream["replication_method"] = "FULL_TABLE"
        return catalog

    def value(self, stream: str, item: dict[str, Any]) -> dict[str, Any]:
        """The columns that an object should have with the present selection."""
        wanted = dict(item)
        if stream != "tasks" or self.config.selection != "opt-in":
            wanted.pop("html_notes", None)
        if stream == "tasks" and self.config.selection == "no notes":
            del wanted["notes"]
        if "followers" in wanted:
            named = stream != "tasks" or self.config.selection != "no names"
            names = ("gid", "resource_type", "name") if named else ("gid", "resource_type")
            wanted["followers"] = [{name: user[name] for name in names} for user in wanted["followers"]]
        return wanted

    def matches(self, stream: str, item: dict[str, Any]) -> bool:
        """Whether an object passes the present filters."""
        filters = FILTERS[self.config.filters] if stream == "tasks" else []
        return not filters or any(
            all(
                (item[name.split(".")[0]] > format_time(parse_time(bound)))
                if name.endswith("after")
                else (item[name.split(".")[0]] < format_time(parse_time(bound)))
                for name, bound in each.items()
            )
            for each in filters
        )

    # ── a run ─────────────────────────────────────────────────────────────────────────────────────────────

    def step(self, step: Step) -> None:
        self.clock.sleep(3600 * step.hours)
        self.change(step.changes)
        self.clock.sleep(1)
        self.config = self.config._replace(**step.config)
        if step.forget:
            self.state, self.known = None, {}
        self.keep_to_the_readme()
        self.snapshot(self.clock.now)
        deferred = step.fault is not None and step.fault[0] == "deferred"
        if step.fault and not deferred:
            self.sandbox.faults[step.fault[0]] = step.fault[1]
        messages, error = run(self.settings(impatient=deferred), self.selected(), self.state)
        self.sandbox.faults.clear()
        for job in self.sandbox._jobs.values():  # noqa: SLF001 - they write in threads
            assert job.has_ended.wait(10)
        assert error is None or step.fault, error
        cut = len(messages) if step.cut is None else int(len(messages) * step.cut)
        self.take(messages[:cut], step.lag if step.cut is not None else 0)
        if error is None and step.cut is None and not step.fault:
            assert {gid for gid, _ in self.known} >= set(self.config.workspaces)

    def keep_to_the_readme(self) -> None:
        """What the README tells users not to do they do not do.

        Runs that know nothing of rows in the table, and would delete them: for they are of other workspaces, or from
        before a start_date.
        """
        if not self.config.emit:
            return
        filled = {row["workspace_gid"] for table in self.tables.values() for row in table.values()}
        if filled - {gid for gid, _ in self.known} - set(self.config.workspaces):
            self.config = self.config._replace(workspaces=(A, B))
        if any((gid, stream) not in self.known for gid in filled for stream in STREAMS):
            self.config = self.config._replace(start_date=None)

    def take(self, messages: list[dict[str, Any]], lag: int) -> None:
        """What a target does that confirms all STATEs but the last few."""
        columns: dict[str, set[str]] = {}
        known = dict(self.known)
        confirmed = [(self.state, self.known)]
        came: list[tuple[str, str]] = []
        for message in messages:
            stream = str(message.get("stream"))
            if message["type"] == "SCHEMA":
                columns[stream] = set(message["schema"]["properties"])
            elif message["type"] == "STATE":
                confirmed.append((message["value"], dict(known)))
            elif message["type"] == "ACTIVATE_VERSION":
                self.activate(stream, message["version"])
            elif stream == "exports":
                self.check_export(message["record"], known)
            else:
                record = message["record"]
                self.check_record(stream, record)
                came.append((stream, record["gid"]))
                row = self.tables[stream].setdefault(record["gid"], {})
                row.update({name: record.get(name) for name in columns[stream]})
                self.versions[stream, record["gid"]] = message.get("version")
        asked = sum(each.method == "POST" for each in self.sandbox.requests)
        self.sandbox.requests.clear()
        if asked <= len(self.config.workspaces):
            assert len(came) == len(set(came)), "an object came twice"
        self.state, self.known = confirmed[max(0, len(confirmed) - 1 - lag)]
        self.check_deletions()

    def activate(self, stream: str, version: int) -> None:
        """Delete what is of an earlier version; nothing that exists is."""
        living = {
            gid for (_, kind), objects in self.snapshot(self.clock.now).items() if kind == stream for gid in objects
        }
        old = {gid for gid in self.tables[stream] if (self.versions[stream, gid] or 0) < version}
        assert not old & living, f"{stream}: rows of living objects are deleted: {sorted(old & living)}"
        for gid in old:
            del self.tables[stream][gid]

    def check_record(self, stream: str, record: dict[str, Any]) -> None:
        """Nothing deselected is in a record."""
        selection = self.config.selection
        assert selection != f"no {stream}"
        if stream == "tasks":
            assert ("html_notes" in record) <= (selection == "opt-in")
            assert selection != "no notes" or "notes" not in record
            assert selection != "no names" or not any("name" in each for each in record["followers"])

    def check_export(self, record: dict[str, Any], known: dict[tuple[str, str], Known]) -> None:
        """What an export had to bring is in the tables, as it was when the export began, or later."""
        workspace, at = record["workspace_gid"], parse_time(record["created_at"])
        later = [snapshot for time, snapshot in self.snapshots.items() if time >= at]
        config, start_date = self.config, self.start_date()
        for stream in STREAMS:
            if config.selection == f"no {stream}":
                continue
            before = known.get((workspace, stream))
            incremental = stream != "teams" and not (stream == "tasks" and config.full_table)
            filters = config.filters if stream == "tasks" else "none"
            selection = config.selection if stream == "tasks" and not config.selection.endswith("s") else "default"
            if stream == "tasks" and config.selection in {"no notes", "no names"}:
                selection = config.selection
            bounds = start_date if incremental else None
            whole = (
                before is None
                or not incremental
                or before.filters != filters
                or before.selection != selection
                or earlier(bounds, before.start_date)
                or (
                    config.interval is not None
                    and datetime.now(timezone.utc) - before.whole_at >= timedelta(days=config.interval)
                )
            )
            since = bounds if whole else before and max(before.at, before.oldest or before.at)
            table = self.tables[stream]
            for gid, item in self.snapshot(at)[workspace, stream].items():
                if not self.matches(stream, item):
                    continue
                if since and stream != "teams" and parse_time(item["modified_at"]) <= since:
                    continue
                alive = [each[workspace, stream][gid] for each in later if gid in each[workspace, stream]]
                assert gid in table or len(alive) < len(later), f"{stream} {gid} is missing"
                for name in self.value(stream, item):
                    allowed = [self.value(stream, each)[name] for each in alive]
                    stored = table.get(gid, {}).get(name)
                    assert gid not in table or stored in allowed, f"{stream} {gid}: {name} is {stored}, not {allowed}"
            # With a start_date, rows may be older than it: of an export that broke, before it was set.
            complete = whole and filters == "none" and config.emit and bounds is None
            known[workspace, stream] = Known(
                at,
                at if whole or before is None else before.whole_at,
                at if complete else before.complete_at if before and config.emit else None,
                bounds if before is None or (whole and not earlier(before.oldest, bounds)) else before.oldest,
                bounds if whole or before is None else before.start_date,
                filters,
                selection,
            )

    def check_deletions(self) -> None:
        """After a complete export of every workspace there is no row of what was deleted before."""
        for stream in STREAMS:
            parts = {gid: known for (gid, kind), known in self.known.items() if kind == stream}
            filled = {row["workspace_gid"] for table in self.tables.values() for row in table.values()}
            if not parts or filled - parts.keys() or not all(each.complete_at for each in parts.values()):
                continue
            since = min(each.complete_at for each in parts.values() if each.complete_at)
            living = {
                gid
                for time, snapshot in self.snapshots.items()
                for workspace in parts
                for gid in snapshot[workspace, stream]
                if time >= since
            }
            assert self.tables[stream].keys() <= living, f"{stream}: rows of deleted objects are left"


def earlier(one: datetime | None, other: datetime | None) -> bool:
    """Whether one start_date lets more through than another one."""
    return other is not None and (one is None or one < other)


def test_whatever_changes_and_breaks_the_tables_stay_true(pytestconfig: pytest.Config) -> None:
    for number in range(pytestconfig.getoption("--walks")):
        chance = random.Random(pytestconfig.getoption("--walk-seed") + number)  # noqa: S311 - it shall be repeatable
        walk([random_step(chance) for _ in range(8)])


def walk(steps: list[Step]) -> None:
    clock = Clock()
    clock.now = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=19)
    with Sandbox(
        workspaces=2, tasks=16, messages=3, teams=2, large=0, change_interval=0, job_seconds=0, clock=clock
    ) as sandbox:
        world = World(sandbox, clock, discovered())
        world.snapshot(clock.now)
        for step in [*steps, Step(1, [], {"workspaces": (A, B)}, None, None, 0, forget=False)]:
            world.step(step)


def step(hours: int = 24, *, touch: bool = False, cut: float | None = None, **config: Any) -> Step:
    """A run that nothing else befalls."""
    return Step(hours, [("touch", 2)] if touch else [], config, None, cut, 0, forget=False)


AFTER_MOST = "2023-12-31T23:59:40Z"


@pytest.mark.parametrize("together", [True, False], ids=["together", "one after the other"])
def test_a_start_date_that_becomes_earlier_fills_what_a_changed_selection_left_unfilled(*, together: bool) -> None:
    later: dict[str, Any] = {"start_date": AFTER_MOST}
    changes = [later | {"selection": "opt-in"}] if together else [later, {"selection": "opt-in"}]
    walk([step(), *(step(**each) for each in changes), step(start_date=None)])


def test_what_changed_before_a_start_date_in_the_future_does_not_come_to_be_deleted() -> None:
    walk([step(start_date="in the walk"), step(10, touch=True), step(70, interval=17)])


@pytest.mark.parametrize("cut", [0.4, 0.6, 0.8])
def test_a_job_that_is_resumed_with_another_version_begins_anew(cut: float) -> None:
    walk([step(workspaces=(A,), filters="no filter", cut=cut), step(filters="none")])
    walk([step(workspaces=(A,), filters="no filter"), step(interval=1, cut=cut), step(filters="none")])


@pytest.mark.parametrize("cut", [0.4, 0.6, 0.8])
def test_a_run_without_activate_version_that_broke_does_not_expose_rows_to_the_next_workspaces(cut: float) -> None:
    walk(
        [
            step(),
            step(workspaces=(A,), interval=10),
            step(emit=False, cut=cut),
            step(emit=True, workspaces=(B,)),
        ]
    )


@pytest.mark.parametrize("cut", [0.5, 0.7])
def test_rows_of_a_full_export_that_broke_outlive_a_later_start_date(cut: float) -> None:
    walk([step(cut=cut), step(start_date=AFTER_MOST, emit=False), step(emit=True, interval=1)])
    walk([step(start_date=AFTER_MOST), step(start_date=None, cut=cut), step(start_date=AFTER_MOST, interval=1)])


def test_a_pending_job_that_was_asked_for_something_else_is_not_resumed() -> None:
    walk([step(cut=0.5), step(selection="opt-in")])


def test_an_incremental_run_does_not_put_off_the_full_one() -> None:
    moved = Step(9 * 24, [("move", 2)], {}, None, None, 0, forget=False)
    walk([step(), moved, step(interval=12)])


def test_a_job_that_job_gids_names_comes_once_though_the_setting_stays() -> None:
    with Sandbox(tasks=4, messages=1, teams=1, large=0, change_interval=0, job_seconds=0) as sandbox:
        config = settings_for(sandbox)
        messages, _ = run(config, discovered(), None)
        job = messages[-2]["record"]["job_gid"]
        config["job_gids"] = {A: job}
        jobs, state = [], None
        for _ in range(4):
            messages, _ = run(config, discovered(), state)
            jobs.append(messages[-2]["record"]["job_gid"])
            state = messages[-1]["value"]

        assert jobs[0] == job
        assert len(set(jobs)) == 4
