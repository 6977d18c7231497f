"""Lists in tables: after a full run, changes and deletions, and another run they are the organization's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.batches import into
from tests.support.consumers import PROJECT, plain
from tests.support.lists import LISTS, by_key, change_lists, listed, only
from tests.support.tap import Run, settings_for
from tests.support.targets import load, target_postgres

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tap_asana_export.sandbox import Sandbox
    from tests.support.lists import Rows
    from tests.support.postgres import Postgres

pytestmark = pytest.mark.external

WHOLE = [stream for stream in LISTS if stream != "time_tracking_entries"]
"""The lists that come whole each time; old entries of time keep the names that things had."""


def as_tables_have_them(rows: Rows) -> Rows:
    """Rows whose values are compared whatever a table makes of null and times."""
    return {key: plain(row) for key, row in rows.items()}


@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
def test_tables_of_postgresql_are_the_organizations_lists_after_changes_and_deletions(
    sandbox: Sandbox,
    catalog: dict[str, Any],
    arguments: Callable[..., list[str]],
    postgres: Postgres,
    tmp_path: Path,
    *,
    hard: bool,
) -> None:
    target = target_postgres(postgres, tmp_path, hard_delete=hard)
    settings = settings_for(sandbox, emit_activate_version_messages=True)
    selected = only(catalog, ["exports", *LISTS], opt_in=True)
    state = None
    before: dict[str, Rows] = {stream: {} for stream in WHOLE}
    for _ in range(3):
        state = load(arguments(settings, catalog=selected, state=state), target)
        for stream in WHOLE:
            rows = as_tables_have_them(by_key(stream, target.rows(stream)))
            wanted = as_tables_have_them(listed(sandbox, stream))
            kept = {} if hard else before[stream]  # such rows are marked
            assert {key: row for key, row in rows.items() if key not in kept or key in wanted} == wanted, stream
            before[stream] = rows
        change_lists(sandbox)


def test_tables_of_duckdb_are_the_organizations_lists_after_changes_and_deletions(
    sandbox: Sandbox, catalog: dict[str, Any], run_tap: Callable[..., Run], tmp_path: Path
) -> None:
    duckdb = pytest.importorskip("duckdb", reason="duckdb 1.2.2 has no wheel for this Python")
    settings = settings_for(sandbox, **into(tmp_path / "batches", 7))
    selected = only(catalog, ["exports", *LISTS], opt_in=True)
    state = None
    for _ in range(3):
        run = run_tap(settings, catalog=selected, state=state)
        assert run.code == 0, run.stderr
        state = run.state
        with duckdb.connect(str(tmp_path / "asana.duckdb")) as connection:
            connection.execute("set variable batches = ?", [f"{tmp_path}/batches/asana/"])
            connection.execute((PROJECT / "examples" / "duckdb" / "load.sql").read_text())
            for stream in WHOLE:
                texts = connection.sql(f"select to_json({stream}) from {stream}").fetchall()  # noqa: S608 - own names
                rows = by_key(stream, (json.loads(text) for (text,) in texts))
                assert as_tables_have_them(rows) == as_tables_have_them(listed(sandbox, stream)), stream
        change_lists(sandbox)
