"""Runs of the tap in this process that may be cut off, at a time that stands still."""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import json
import sys
import types
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export import activity, export, lists, tables
from tap_asana_export.errors import TapError
from tap_asana_export.limits import Limits
from tap_asana_export.tap import TapAsanaExport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

    from tests.support.clock import Clock


@functools.cache
def discovered() -> dict[str, Any]:
    """The catalog."""
    return dict(TapAsanaExport(config={"sandbox": True}).catalog_dict)


class Pipe(io.BytesIO):
    """A pipe whose reader goes away after some bytes.

    Args:
        cut: how many; None: it stays.
    """

    def __init__(self, cut: int | None) -> None:
        super().__init__()
        self._left = cut

    def write(self, data: Any) -> int:
        """Take what the reader still reads."""
        if self._left is None:
            return super().write(data)
        if self._left == 0:
            raise BrokenPipeError
        taken = super().write(bytes(data)[: self._left])
        self._left -= taken
        return taken


def run(
    config: dict[str, Any], catalog: dict[str, Any], state: Any, cut: int | None = None
) -> tuple[list[dict[str, Any]], TapError | None]:
    """Run the tap to its end: its messages, and what ended it.

    Args:
        config: the settings.
        catalog: the catalog.
        state: the state.
        cut: bytes after which the target goes away; None: it stays.
    """
    out, error = Pipe(cut), None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", types.SimpleNamespace(buffer=out))
        patch.setattr(TapAsanaExport, "limits", Limits(text=20_000, state_lines=5))
        try:
            TapAsanaExport(config=config, catalog=catalog, state=copy.deepcopy(state)).sync_all()
        except TapError as raised:
            error = raised
    return [json.loads(line) for line in out.getvalue().split(b"\n")[:-1]], error


@contextlib.contextmanager
def present(clock: Clock) -> Iterator[None]:
    """Let the tap take a clock's time for the present."""

    class Present(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return clock.now.astimezone(tz)

    with pytest.MonkeyPatch.context() as patch:
        for module in (activity, export, lists, tables):
            patch.setattr(module, "datetime", Present)
        yield
