"""Deletions, undeletions and moves between exports: the tables are true after every run that ended well.

In a walk two organizations change, and are brought again and again in two ways: into batch files, which load.sql makes
tables of, and as records into tables whose rows are what the records say last, which the views of docs/deletions.md
look at. Both must show what there is in the organizations now, though the first export alone is of all objects: but for
exports that become due, since nobody tells what becomes of the tasks of a deleted project, or since something came back
out of the trash that the last full export lacks.
"""

from __future__ import annotations

import functools
import json
import random
import re
import subprocess
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import pytest

from tap_asana_export.sandbox import Sandbox
from tap_asana_export.sandbox.organization import Organization
from tests.support.batches import into
from tests.support.clock import Clock
from tests.support.tap import ROOT, select, settings_for
from tests.support.targets import target_postgres
from tests.support.walks import discovered, present, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tap_asana_export.sandbox.wire import Request
    from tests.support.postgres import Postgres

pytestmark = [pytest.mark.soak, pytest.mark.external, pytest.mark.usefixtures("quiet")]

duckdb = pytest.importorskip("duckdb", reason="duckdb 1.2.2 has no wheel for this Python")

LOAD = (ROOT / "examples" / "duckdb" / "load.sql").read_text()
PARTS = ("stories", "attachments")
OWN = ("gid", "workspace_gid")
OF_OBJECTS = (*OWN, "task_gid", "task_modified_at", "message_gid", "message_modified_at")
SELECTED: dict[str, tuple[str, ...]] = {
    "tasks": (*OWN, "name", "modified_at", "memberships", "projects", "parent"),
    "messages": (*OWN, "title", "modified_at"),
    **dict.fromkeys(PARTS, OF_OBJECTS),
    "task_memberships": (),
    "sections": (),
    "deletions": (),
    "events": (),
    "exports": (),
}
"""The properties that are wanted of each stream; all, if none is named. Small schemas are half of a run's time."""
DAY = timedelta(days=1)
NEVER = datetime(1970, 1, 1, tzinfo=timezone.utc)


VIEWS: dict[str, str] = dict(
    re.findall(r"<!-- (\w+)-activity -->\n```sql\n(.*?)```", (ROOT / "docs" / "deletions.md").read_text(), re.DOTALL)
)
"""By database, the views of docs/deletions.md."""


@functools.cache
def catalog() -> dict[str, Any]:
    """A catalog that selects what walks look at."""
    wanted: dict[tuple[str, ...], bool] = {(stream,): stream in SELECTED for stream in (*SELECTED, "teams")}
    selected = select(discovered(), dict(wanted))
    for entry in selected["streams"]:
        names = SELECTED[entry["tap_stream_id"]]
        schema = entry["schema"]
        schema["properties"] = {name: each for name, each in schema["properties"].items() if name in names or not names}
    return selected


# ── what may happen ───────────────────────────────────────────────────────────────────────────────────────

ACTS = (
    *("touch", "comment", "attach", "add", "add", "move", "move", "section", "put", "take_out", "delete", "delete"),
    *("delete_part", "delete_part", "undelete", "undelete", "undelete", "delete_for_good", "delete_project"),
    "undelete_project",
)
MOVES = {"move", "section", "put", "take_out"}
OF_PROJECTS = {"delete_project", "undelete_project"}
ALONG = ("stay", "logged", "unlogged")


class Act(NamedTuple):
    """Something that somebody does.

    Attributes:
        what: it is.
        number: tells to which object.
        story: whether stories tell of it, if it is a move.
    """

    what: str
    number: int
    story: bool


class Step(NamedTuple):
    """What happens before a run, and to it.

    Attributes:
        minutes: that passed.
        acts: that happened in their course.
        meanwhile: what happens while the export is made.
        cut: bytes after which the target goes away, in each way.
        lag: how many STATEs it had not yet confirmed.
        forget: whether the state is lost.
    """

    minutes: int
    acts: list[Act]
    meanwhile: list[Act]
    cut: dict[str, int] | None
    lag: int
    forget: bool


QUIET = Step(0, [], [], None, 0, forget=False)


def random_step(chance: random.Random) -> Step:
    """A run like most, or a worse one."""

    def acts(most: int) -> list[Act]:
        return [
            Act(chance.choice(ACTS), chance.randrange(10**6), story=chance.random() < 0.5)
            for _ in range(chance.randint(0, most))
        ]

    return Step(
        chance.choice((2, 20, 60, 60, 60, 300, 2000)),
        acts(7),
        acts(2) if chance.random() < 0.2 else [],
        {"records": chance.randint(0, 60_000), "batches": chance.randint(0, 8_000)} if chance.random() < 0.25 else None,
        chance.choice((0, 0, 1, 2)),
        forget=chance.random() < 0.04,
    )


# ── what there is ─────────────────────────────────────────────────────────────────────────────────────────


class Shown(NamedTuple):
    """What there is, in the organizations or in tables.

    Attributes:
        tasks: gid, name and modified_at.
        messages: likewise.
        stories: gid, and gid of the task or message.
        attachments: likewise.
        memberships: gids of task, project and section.
    """

    tasks: set[tuple[str, ...]]
    messages: set[tuple[str, ...]]
    stories: set[tuple[str, ...]]
    attachments: set[tuple[str, ...]]
    memberships: set[tuple[str, ...]]

    def without(self, gids: set[str]) -> Shown:
        """The same, but for some objects and what is within them."""
        return Shown(*({row for row in rows if not gids & {*row}} for rows in self))


def there_is(sandbox: Sandbox) -> Shown:
    """What there is in the organizations."""
    shown = Shown(set(), set(), set(), set(), set())
    for organization in sandbox.organizations.values():
        for kind, title, rows in (("task", "name", shown.tasks), ("message", "title", shown.messages)):
            for each in organization.objects(kind):
                gid = each["gid"]
                rows.add((gid, each[title], each["modified_at"]))
                shown.stories.update((story["gid"], gid) for story in each["stories"])
                shown.attachments.update((attachment["gid"], gid) for attachment in each["attachments"])
                shown.memberships.update(
                    (gid, place["project"]["gid"], place["section"]["gid"]) for place in each.get("memberships", ())
                )
    return shown


QUERIES = (
    *(
        f"select gid, {title}, {{time}} from {{prefix}}{stream}"  # noqa: S608 - own names
        for stream, title in (("tasks", "name"), ("messages", "title"))
    ),
    *(f"select gid, coalesce(task_gid, message_gid) from {{prefix}}{stream}" for stream in PARTS),  # noqa: S608 - own names
    "select task_gid, project_gid, section_gid from {prefix}memberships",
)
"""What makes the rows of each part of `Shown`."""
DUCKDB_TIME = "strftime(modified_at, '%Y-%m-%dT%H:%M:%S.%gZ')"
POSTGRES_TIME = """to_char(modified_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""


class Way:
    """A way into tables, with a state of its own."""

    name = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / self.name
        self.folder.mkdir()
        self.state: Any = None
        self.full_at: dict[str, datetime] = {}

    def settings(self) -> dict[str, Any]:
        """Settings of this way alone."""
        return {"checkpoint": False}

    def take(self, messages: list[dict[str, Any]]) -> None:
        """What becomes of messages."""

    def open(self) -> Any:
        """A connection to the tables as they are now."""
        raise NotImplementedError

    def shown(self) -> tuple[Shown, dict[str, datetime], dict[str, datetime]]:
        """What the tables show; by workspace, the time of the last export, and of the last full one."""
        with self.open() as database:
            rows = [
                {tuple(row) for row in database.sql(query.format(prefix="current_", time=DUCKDB_TIME)).fetchall()}
                for query in QUERIES
            ]
            exports = database.sql(
                """select workspace_gid, max(created_at), max(created_at) filter ("full")
                from exports where kind = 'resource' group by all"""
            ).fetchall()
        times = [
            {workspace: each[place].replace(tzinfo=timezone.utc) for workspace, *each in exports} for place in (0, 1)
        ]
        return Shown(*rows), times[0], times[1]


class Batches(Way):
    """Batch files and load.sql."""

    name = "batches"

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), **into(self.folder, 50)}

    def open(self) -> Any:
        database = duckdb.connect()
        database.execute("set variable batches = ?", [f"{self.folder}/asana/"])
        database.execute(LOAD)
        for stream in ("tasks", "messages", *PARTS):
            database.execute(f"create view current_{stream} as from {stream}")
        database.execute(
            """create view current_memberships as
            select task_gid, project_gid, section->>'gid' as section_gid from task_memberships"""
        )
        nested = database.sql(
            """select gid, m->'project'->>'gid', m->'section'->>'gid'
            from tasks, unnest(from_json(memberships, '["json"]')) as u(m)"""
        ).fetchall()
        of_it = database.sql("from current_memberships").fetchall()
        assert {*nested} == {*of_it}
        projects = database.sql(
            "select gid, p->>'gid' from tasks, unnest(from_json(projects, '[\"json\"]')) as u(p)"
        ).fetchall()
        assert {*projects} == {row[:2] for row in of_it}
        return database


class Records(Way):
    """Records into a target, and the views of the docs."""

    name = "records"
    types: ClassVar = {"boolean": "BOOLEAN", "integer": "BIGINT", "number": "DOUBLE", "array": "JSON", "object": "JSON"}

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.messages: list[dict[str, Any]] = []
        self.rows: dict[str, dict[str, dict[str, Any]]] = {}
        self.columns: dict[str, dict[str, str]] = {}

    def take(self, messages: list[dict[str, Any]]) -> None:
        self.messages += messages
        for message in messages:
            if message["type"] == "SCHEMA":
                stream = message["stream"]
                self.columns[stream] = {
                    name: self.column(each) for name, each in message["schema"]["properties"].items()
                } | {"_sdc_extracted_at": "TIMESTAMP"}
                self.rows.setdefault(stream, {})
            elif message["type"] == "RECORD":
                record = message["record"]
                key = record.get("gid") or f"{record['task_gid']} {record['project_gid']}"
                self.rows[message["stream"]][key] = {**record, "_sdc_extracted_at": message["time_extracted"]}

    def column(self, schema: dict[str, Any]) -> str:
        """The type of a column, as target-duckdb makes it."""
        [kind] = {*schema["type"]} - {"null"} if isinstance(schema["type"], list) else {schema["type"]}
        time = schema.get("format") == "date-time"
        return "TIMESTAMP" if time else self.types.get(kind, "VARCHAR")

    def open(self) -> Any:
        database = duckdb.connect()
        for stream, rows in self.rows.items():
            file = self.folder / f"{stream}.jsonl"
            file.write_text("".join(json.dumps(row) + "\n" for row in rows.values()) or "{}\n")
            columns = ", ".join(f"\"{name}\": '{each}'" for name, each in self.columns[stream].items())
            database.execute(
                f"create table {stream} as from read_json('{file}', columns = {{{columns}}}) "
                "where _sdc_extracted_at is not null"
            )
        database.execute(VIEWS["duckdb"])
        return database


# ── a walk ────────────────────────────────────────────────────────────────────────────────────────────────


class Doubt(NamedTuple):
    """Something that was deleted or undeleted so that exports of changes may not tell of it.

    Attributes:
        workspace: where it is.
        since: if the last full export was before this, there is no doubt.
        until: full exports after this tell of it.
    """

    workspace: str
    since: datetime
    until: datetime


@dataclass
class World:
    """Organizations, and the tables that they are brought into.

    Attributes:
        doubts: by gid, what a full export may have to tell of.
        due: by workspace, the time at which a full export became due.
        moved_at: when a task was moved last, or taken out of a deleted project.
        acted_at: when anything happened last.
    """

    sandbox: Sandbox
    clock: Clock
    ways: list[Way]
    emit: bool
    doubts: dict[str, Doubt] = field(default_factory=dict)
    due: dict[str, datetime] = field(default_factory=dict)
    moved_at: datetime = NEVER
    acted_at: datetime = NEVER
    log: list[str] = field(default_factory=list)

    # ── acts ──────────────────────────────────────────────────────────────────────────────────────────────

    def act(self, act: Act) -> None:
        """Let somebody do something."""
        organization = list(self.sandbox.organizations.values())[act.number % 2]
        self.clock.sleep(0.001 + act.number % 50)
        before = dict(organization.trash)
        try:
            done = DO[act.what](organization, act)
        except KeyError:
            return
        self.log.append(f"{self.clock.now:%d %H:%M:%S.%f} {act.what} {done}")
        self.acted_at = self.clock.now
        if act.what in MOVES:
            self.moved_at = self.clock.now
        if act.what in OF_PROJECTS:
            self.due[organization.gid] = self.clock.now
        for gid, trashed in organization.trash.items():
            if gid not in before and not trashed.is_reported:
                self.doubts[gid] = Doubt(organization.gid, NEVER, self.clock.now)
        for gid, trashed in before.items():
            if gid not in organization.trash and gid in organization:
                # Tasks that changed meanwhile have lost their membership of an undeleted project.
                is_clear = trashed.is_reported and act.what not in OF_PROJECTS
                since = NEVER + timedelta(milliseconds=trashed.instant) if is_clear else NEVER
                self.doubts[gid] = Doubt(organization.gid, since, self.clock.now)

    # ── runs ──────────────────────────────────────────────────────────────────────────────────────────────

    def run(self, way: Way, step: Step) -> bool:
        """Run the tap; whether it ended well."""
        settings = settings_for(
            self.sandbox,
            workspaces=list(self.sandbox.organizations),
            overlap=0,
            emit_activate_version_messages=self.emit and way.name == "records",
            **way.settings(),
        )
        if step.forget:
            way.state = None
        with present(self.clock):
            messages, error = run(settings, catalog(), way.state, step.cut[way.name] if step.cut else None)
        assert error is None or step.cut, error
        way.take(messages)
        states = [way.state, *(each["value"] for each in messages if each["type"] == "STATE")]
        way.state = states[max(0, len(states) - 1 - (step.lag if step.cut or step.forget else 0))]
        return error is None

    def step(self, step: Step) -> None:
        """Let time pass and things happen, run the tap, and look at the tables."""
        self.clock.sleep(60 * step.minutes)
        for act in step.acts:
            self.act(act)
        self.clock.sleep(1)
        self.log.append(f"{self.clock.now:%d %H:%M:%S} run {step.cut} {step.lag} {step.forget}")
        are_checked = {}
        for way in self.ways:
            self.sandbox.on_request = self.happening([*step.meanwhile])
            ended_well = self.run(way, step)
            self.sandbox.on_request = None
            if ended_well and step.meanwhile:
                self.check_nothing_deleted(way)
            are_checked[way.name] = ended_well and not step.meanwhile and self.check(way)
        for way in self.ways:
            for _ in range(3):
                if are_checked[way.name]:
                    break
                self.clock.sleep(1)
                are_checked[way.name] = self.run(way, QUIET) and self.check(way)
            assert are_checked[way.name], f"{way.name}: no export is of now"

    def happening(self, acts: list[Act]) -> Callable[[Request], None]:
        """What lets acts happen while the first export is made."""

        def happen(request: Request) -> None:
            while acts and request.path.startswith("/api/1.0/jobs/"):
                self.act(acts.pop())

        return happen

    # ── what must be ──────────────────────────────────────────────────────────────────────────────────────

    def check_nothing_deleted(self, way: Way) -> None:
        """Also what was deleted during the export is gone."""
        shown, _, _ = way.shown()
        found, wanted = (each.without({*self.doubts}) for each in (shown, there_is(self.sandbox)))
        for name in ("tasks", "messages", *PARTS):
            gone = {row[0] for row in getattr(found, name)} - {row[0] for row in getattr(wanted, name)}
            assert not gone, f"{way.name}: {name} that were deleted meanwhile: {gone}"

    def check(self, way: Way) -> bool:
        """Look at the tables, if they are as new as the organizations."""
        found, newest, way.full_at = way.shown()
        if newest.keys() != self.sandbox.organizations.keys() or min(newest.values()) < self.acted_at:
            return False
        for workspace, due in self.due.items():
            last = way.full_at[workspace]
            assert last > due or self.clock.now - last < DAY, f"{way.name}: no full export though one is due"
        self.compare(way.name, found, self.doubtful(way))
        return True

    def doubtful(self, way: Way) -> set[str]:
        """The gids of what only the next full export tells of, which is not due yet."""
        found = set()
        for gid, doubt in self.doubts.items():
            last = way.full_at[doubt.workspace]
            if doubt.since <= last < doubt.until:
                assert self.clock.now - last < DAY, f"{way.name}: no full export though {gid} makes one due"
                found.add(gid)
        return found

    def compare(self, name: str, found: Shown, doubtful: set[str]) -> None:
        """Tables have what there is, and nothing else."""
        found, wanted = (each.without(doubtful) for each in (found, there_is(self.sandbox)))
        are_moves_told = (
            self.sandbox.events_of_tasks
            and not self.sandbox.events_lost
            and (self.clock.now - self.moved_at).total_seconds() > self.sandbox.events_late
        )
        for stream in Shown._fields if are_moves_told else Shown._fields[:-1]:
            rows, objects = getattr(found, stream), getattr(wanted, stream)
            assert rows == objects, "\n".join(
                [f"{name}: {stream}: too many {rows - objects}, too few {objects - rows}", *self.log]
            )


def shown_by_postgres(server: Postgres, folder: Path, messages: list[dict[str, Any]]) -> Shown:
    """What the docs' views show when meltanolabs-target-postgres has taken all messages."""
    target = target_postgres(server, folder)
    lines = "".join(f"{json.dumps(each)}\n" for each in messages)
    done = subprocess.run(target.command, input=lines.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    path = f"set search_path to {folder.name};"
    server.query(path + VIEWS["postgres"])
    queries = (query.format(prefix="current_", time=POSTGRES_TIME) for query in QUERIES)
    return Shown(*({tuple(row) for row in server.query(f"{path} {as_arrays(query)}")} for query in queries))


def as_arrays(query: str) -> str:
    """A query of the same rows, each an array of JSON."""
    return f"select to_json(array(select value from json_each_text(to_json(row)))) from ({query}) as row"  # noqa: S608 - own


def _gids(organization: Organization, kind: str) -> list[str]:
    return sorted(each["gid"] for each in organization.objects(kind))


def _projects(organization: Organization) -> list[str]:
    directory = organization.directory
    return [directory.all("project")[number]["gid"] for number in directory.numbers("project")]


def _pick(gids: list[str], number: int) -> str:
    if not gids:
        raise KeyError
    return gids[number % len(gids)]


def _object(organization: Organization, act: Act) -> str:
    return _pick(_gids(organization, "task" if act.number % 5 else "message"), act.number // 10)


def _task(organization: Organization, act: Act) -> str:
    return _pick(_gids(organization, "task"), act.number // 10)


def _trash(organization: Organization, act: Act, *, projects: bool) -> str:
    found = [gid for gid, each in organization.trash.items() if (each.item["resource_type"] == "project") == projects]
    return _pick(sorted(found), act.number // 10)


def _add(organization: Organization, act: Act) -> str:
    return organization.add("task" if act.number % 5 else "message")


def _move(organization: Organization, act: Act) -> str:
    gid = _task(organization, act)
    organization.move(gid, _pick(_projects(organization), act.number // 100), story=act.story)
    return gid


def _section(organization: Organization, act: Act) -> str:
    gid = _task(organization, act)
    directory = organization.directory
    sections = [each["gid"] for number in directory.numbers("project") for each in directory.sections(number)]
    organization.move(gid, section=_pick(sections, act.number // 100), story=act.story)
    return gid


def _put(organization: Organization, act: Act) -> str:
    gid = _task(organization, act)
    organization.put(gid, _pick(_projects(organization), act.number // 100), story=act.story)
    return gid


def _take_out(organization: Organization, act: Act) -> str:
    gid = _task(organization, act)
    organization.take_out(gid, _pick(_projects(organization), act.number // 100), story=act.story)
    return gid


def _delete(organization: Organization, act: Act) -> str:
    gid = _object(organization, act)
    organization.delete(gid)
    return gid


def _delete_part(organization: Organization, act: Act) -> str:
    parts = [
        part["gid"]
        for kind in ("task", "message")
        for each in organization.objects(kind)
        for part in each["stories"] + each["attachments"]
    ]
    gid = _pick(sorted(parts), act.number // 10)
    organization.delete(gid)
    return gid


def _delete_project(organization: Organization, act: Act) -> str:
    gid = _pick(_projects(organization), act.number // 10)
    organization.delete(gid)
    return gid


def _to(
    pick: Callable[[Organization, Act], str], do: Callable[[Organization, str], Any]
) -> Callable[[Organization, Act], str]:
    """Does something to what is picked."""

    def done(organization: Organization, act: Act) -> str:
        gid = pick(organization, act)
        do(organization, gid)
        return gid

    return done


_trashed = functools.partial(_trash, projects=False)
_trashed_project = functools.partial(_trash, projects=True)


DO: dict[str, Callable[[Organization, Act], str]] = {
    "touch": _to(_object, Organization.touch),
    "comment": _to(_object, Organization.comment),
    "attach": _to(_object, Organization.attach),
    "add": _add,
    "move": _move,
    "section": _section,
    "put": _put,
    "take_out": _take_out,
    "delete": _delete,
    "delete_part": _delete_part,
    "undelete": _to(_trashed, Organization.undelete),
    "delete_for_good": _to(_trashed, Organization.delete_for_good),
    "delete_project": _delete_project,
    "undelete_project": _to(_trashed_project, Organization.undelete),
}


def walk(seed: int, folder: Path, server: Postgres | None = None) -> None:
    """Take six steps; at their end, look at PostgreSQL too."""
    chance = random.Random(seed)  # noqa: S311 - it shall be repeatable
    clock = Clock()
    clock.now = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=19)
    with Sandbox(
        workspaces=2,
        tasks=18,
        messages=4,
        teams=1,
        projects=4,
        large=0,
        change_interval=0,
        job_seconds=0,
        events_late=chance.choice((0, 0, 500)),
        events_lost=chance.choice((0, 0, 3)),
        events_of_tasks=chance.random() < 0.7,
        tasks_of_deleted_projects=chance.choice(ALONG),
        sync_seconds=86_400 if seed % 2 else 10**7,
        clock=clock,
    ) as sandbox:
        records = Records(folder)
        world = World(sandbox, clock, [Batches(folder), records], emit=chance.random() < 0.5)
        world.log.append(f"seed {seed}")
        for _ in range(6):
            world.step(random_step(chance))
        if server:
            world.compare("postgres", shown_by_postgres(server, folder, records.messages), world.doubtful(records))


def test_whatever_is_deleted_undeleted_and_moved_the_tables_stay_true(
    pytestconfig: pytest.Config, postgres: Postgres, tmp_path: Path
) -> None:
    first = pytestconfig.getoption("--walk-seed")
    failures = []
    for seed in range(first, first + pytestconfig.getoption("--walks")):
        folder = tmp_path / f"walk_{seed}"
        folder.mkdir()
        try:
            walk(seed, folder, postgres)
        except AssertionError as error:
            failures.append(f"Seed {seed}: {error}")
    assert not failures, "\n\n".join(failures)
