"""The targets that the runs of the fault tests feed."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.targets import Target, target_duckdb, target_postgres

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.targets import Postgres


HASTY = """
from target_postgres.target import TargetPostgres
TargetPostgres._MAX_RECORD_AGE_IN_MINUTES = 0.2 / 60
TargetPostgres.cli()
"""


def of_duckdb(_: pytest.FixtureRequest) -> Callable[[Path], Target]:
    """Of three, two store all streams at once, then confirm what the tap said last; the other goes by stream."""
    pytest.importorskip("duckdb", reason="duckdb 1.2.2 has no wheel for this Python")
    all_at_once = itertools.cycle((False, True, True))
    return lambda folder: target_duckdb(folder, batch_size_rows=10, flush_all_streams=next(all_at_once))


def of_postgres(request: pytest.FixtureRequest) -> Callable[[Path], Target]:
    """Each stores and confirms what has come every fifth of a second, where the SDK has five minutes."""
    server = request.getfixturevalue("postgres")
    return lambda folder: hasty_postgres(server, folder)


def hasty_postgres(server: Postgres, folder: Path, **settings: Any) -> Target:
    """target-postgres that stores and confirms what has come every fifth of a second."""
    target = target_postgres(server, folder, **settings)
    program, *options = target.command
    python = str(Path(program).with_name("python"))
    return dataclasses.replace(target, command=[python, "-c", HASTY, *options])


@pytest.fixture(params=[of_duckdb, of_postgres])
def new_target(request: pytest.FixtureRequest) -> Callable[[Path], Target]:
    """Makes a target with empty tables; its name is the folder's."""
    make: Callable[[Path], Target] = request.param(request)
    return make
