"""What fault tests share: the targets that their runs feed, and quiet for many runs."""

from __future__ import annotations

import itertools
import logging
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.targets import Target, hasty_postgres, target_duckdb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def of_duckdb(_: pytest.FixtureRequest) -> Callable[[Path], Target]:
    """Of three, two store all streams at once, then confirm what the tap said last; the other goes by stream."""
    pytest.importorskip("duckdb", reason="duckdb 1.2.2 has no wheel for this Python")
    all_at_once = itertools.cycle((False, True, True))
    return lambda folder: target_duckdb(folder, batch_size_rows=10, flush_all_streams=next(all_at_once))


def of_postgres(request: pytest.FixtureRequest) -> Callable[[Path], Target]:
    """Each stores and confirms what has come every fifth of a second, where the SDK has five minutes."""
    server = request.getfixturevalue("postgres")
    return lambda folder: hasty_postgres(server, folder)


@pytest.fixture
def quiet() -> Iterator[None]:
    """No log of the many runs of a walk; and the handlers of signals as they were."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    logging.disable()
    yield
    logging.disable(logging.NOTSET)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(params=[of_duckdb, of_postgres])
def new_target(request: pytest.FixtureRequest) -> Callable[[Path], Target]:
    """Makes a target with empty tables; its name is the folder's."""
    make: Callable[[Path], Target] = request.param(request)
    return make
