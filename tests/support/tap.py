"""Run the tap as its users do, and look at what a run left behind."""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap_asana_export.errors import TapError
from tap_asana_export.tap import TapAsanaExport
from tests.support.leaks import TOKEN, require_no_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_asana_export.sandbox import Sandbox


WORKSPACE = "1200000000000001"


ROOT = Path(__file__).parents[2]
TAP_OF_SMALL_BLOCKS = (sys.executable, "-m", "tests.support.small_blocks")
TAP = (sys.executable, "-m", "tap_asana_export")


UVX = (sys.executable, "-m", "uv", "tool", "run", "--quiet")


@dataclass
class Run:
    """What one run of the tap left behind."""

    code: int
    stdout: bytes
    stderr: str

    def __post_init__(self) -> None:
        """Whatever a test looks at, no secret may be in it."""
        require_no_secret(self.stdout, self.stderr)

    @functools.cached_property
    def messages(self) -> list[dict[str, Any]]:
        assert self.stdout == b"" or self.stdout.endswith(b"\n"), "the last line is torn"
        return [json.loads(line) for line in self.stdout.split(b"\n") if line]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    def records(self, stream: str) -> list[dict[str, Any]]:
        return [message["record"] for message in self.of("RECORD") if message["stream"] == stream]

    def by_gid(self, stream: str) -> dict[str, dict[str, Any]]:
        return {record["gid"]: record for record in self.records(stream)}

    @property
    def state(self) -> dict[str, Any]:
        states = self.of("STATE")
        assert states, self.stderr
        state: dict[str, Any] = states[-1]["value"]
        return state

    @property
    def warnings(self) -> list[str]:
        """What the tap warned of; what the SDK does, such as of an old Python, is not counted."""
        lines = [line.split(" | ", 3) for line in self.stderr.split("\n")]
        return [
            text
            for _, level, logger, text in (line for line in lines if len(line) == 4)
            if level.strip() == "WARNING" and logger.strip().startswith("tap_asana_export")
        ]

    @property
    def last_line(self) -> str:
        """The last line of the log, without time, level and logger."""
        return self.stderr.strip().split("\n")[-1].split(" | ", 3)[-1].strip()


def settings_for(sandbox: Sandbox, **settings: Any) -> dict[str, Any]:
    if sandbox.access_token == "sandbox":  # noqa: S105 - too common a word to look for
        sandbox.access_token = TOKEN
    return {
        "api_url": sandbox.api_url,
        "access_token": sandbox.access_token,
        "workspaces": [WORKSPACE],
        "poll_interval": 0.01,
        **settings,
    }


@contextlib.contextmanager
def logging_as_before() -> Iterator[None]:
    """Undo what is set up for logging meanwhile."""
    root = logging.getLogger()
    loggers = [root, *(each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger))]
    before = [(each, each.level, each.handlers[:], each.propagate, each.disabled) for each in loggers]
    try:
        yield
    finally:
        for logger, level, handlers, propagate, disabled in before:
            logger.setLevel(level)
            logger.handlers, logger.propagate, logger.disabled = handlers, propagate, disabled


def select(catalog: dict[str, Any], selection: dict[tuple[str, ...], bool]) -> dict[str, Any]:
    """The catalog with (stream, *breadcrumb) selected or deselected; without the streams that are not selected then.

    A stream that a catalog lacks is not selected, and a small catalog is read in half the time.
    """
    chosen = {stream: selected for (stream, *breadcrumb), selected in selection.items() if not breadcrumb}
    kept = [each for each in catalog["streams"] if chosen.get(each["tap_stream_id"], is_selected(each))]
    streams = {each["tap_stream_id"]: each for each in json.loads(json.dumps(kept))}
    for (stream, *breadcrumb), selected in selection.items():
        if stream in streams:
            entries = streams[stream]["metadata"]
            metadata = next(each["metadata"] for each in entries if each["breadcrumb"] == breadcrumb)
            metadata["selected"] = selected
    return {**catalog, "streams": [*streams.values()]}


def is_selected(stream: dict[str, Any]) -> bool:
    """Whether a catalog selects a stream, by itself or by default."""
    metadata = next(each["metadata"] for each in stream["metadata"] if not each["breadcrumb"])
    selected: bool = metadata.get("selected", metadata.get("selected-by-default", False))
    return selected


def sync(settings: dict[str, Any], catalog: Any = None, state: Any = None) -> Run:
    """Run the tap in this process, without its command line; in place of its log there is only the last line."""
    stdout = io.TextIOWrapper(io.BytesIO())
    code, words = 0, ""
    with contextlib.redirect_stdout(stdout):
        try:
            TapAsanaExport(config=settings, catalog=catalog, state=copy.deepcopy(state)).sync_all()
        except TapError as error:
            code, words = 1, str(error)
    return Run(code, stdout.buffer.getvalue(), words)
