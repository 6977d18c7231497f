"""Any settings, state and catalog: records that are right, or one line that says what to do; exit code 0 or 1.

Each example is made of what works, changed somewhere: another value, a name gone or new, a part twice. A change that is
refused is refused before a record is out; one that is taken brings every object of the organization that it asks for.
"""

from __future__ import annotations

import copy
import io
import json
import logging
import sys
import types
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_asana_export import command
from tap_asana_export.sandbox import Sandbox
from tests.support.examples import examples
from tests.support.organizations import expected
from tests.support.tap import WORKSPACE, logging_as_before, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

EXAMPLES = examples(short=10, everything=50, long=5_000)

# The tap leaves it to the end of the process to close its connections.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

SECRET = "5ecret5ecret"  # noqa: S105 - of nothing

# ── changes ───────────────────────────────────────────────────────────────────────────────────────────────

NAMES = ["", " ", "x", "a\nb", "…", "\0", "gid", "tasks", "exports", "*", "__else__", "__source__", WORKSPACE]
TIMES = ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-01T00:00:00", "2026-01-01"]
TEXTS = st.sampled_from([*NAMES, *TIMES, "1", "-1", "true", "nan", "1e999", "null", "[", "{}", "[1]"])
NUMBERS = st.sampled_from([0, 1, -1, 7, 0.5, 1e300, 10**30, -(10**30), int(WORKSPACE)])
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2), max_leaves=4
)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a value something can be changed."""
    yield at
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in children:
        yield from places(child, (*at, step))


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """A value with up to three changes at any depth."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.sampled_from([*places(value)]))
        if not at:
            if draw(st.integers(0, 9)) == 0:
                return draw(VALUES)
            continue
        holder = value
        for step in at[:-1]:
            holder = holder[step]
        kind = draw(st.sampled_from(["another", "another", "gone", "twice", "renamed"]))
        if kind == "another":
            holder[at[-1]] = draw(VALUES)
        elif kind == "gone":
            del holder[at[-1]]
        elif isinstance(holder, list):
            holder.append(copy.deepcopy(holder[at[-1]]))
        else:
            name = draw(TEXTS)
            holder[name] = holder.pop(at[-1]) if kind == "renamed" else copy.deepcopy(holder[at[-1]])
    return value


# ── runs ──────────────────────────────────────────────────────────────────────────────────────────────────


class Given:
    """Runs the tap's command in this process with files of what it is given."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder = folder
        self.sandbox = sandbox
        # Time goes by at once: what is waited for is over.
        self.settings = settings_for(sandbox, wait_timeout=2, busy_timeout=0.1, checkpoint=False, request_timeout=5)

    def run(self, **files: Any) -> tuple[int, list[dict[str, Any]], str]:
        """Its exit code, its messages, and the last line of its log."""
        line = ["tap-asana-export"]
        for option, content in files.items():
            path = self.folder / f"{option}.json"
            path.write_text(json.dumps(content), encoding="utf-8")
            line.append(f"--{option}={path}")
        out, err, root = io.BytesIO(), io.StringIO(), logging.getLogger()
        before = sys.argv, sys.stdout, sys.stderr
        sys.argv = line
        sys.stdout = types.SimpleNamespace(buffer=out, write=err.write, flush=err.flush, fileno=lambda: 1)
        sys.stderr = err
        try:
            with logging_as_before():
                root.handlers = []
                command.run_command_line()
        except SystemExit as ended:
            code = ended.code or 0
        finally:
            sys.argv, sys.stdout, sys.stderr = before
        assert isinstance(code, int)
        assert "Traceback" not in err.getvalue()
        assert "Unexpected" not in err.getvalue(), err.getvalue()
        assert SECRET not in err.getvalue()
        return code, [json.loads(each) for each in out.getvalue().splitlines()], err.getvalue().strip().split("\n")[-1]


@pytest.fixture(scope="module")
def tap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Given]:
    with Sandbox(tasks=5, messages=2, teams=2, large=0, change_interval=0, job_seconds=0) as sandbox:
        yield Given(tmp_path_factory.mktemp("given"), sandbox)


def check(outcome: tuple[int, list[dict[str, Any]], str], complete: Callable[[dict[str, Any]], bool]) -> None:
    """Look at what came of an example."""
    code, messages, last_line = outcome
    assert code in {0, 1}
    if code:
        assert " | CRITICAL | " in last_line
        assert last_line.endswith((".", "?", "debug"))
        return
    tasks = {
        each["record"]["gid"]: each["record"]
        for each in messages
        if each["type"] == "RECORD" and each["stream"] == "tasks"
    }
    assert complete(tasks)


CONFIG: dict[str, Any] = {
    "access_token": SECRET,
    "workspaces": [WORKSPACE],
    "graph_parents": [],
    "start_date": "2020-01-01T00:00:00Z",
    "filters": {"tasks": [{"created_at.after": "2020-01-01T00:00:00Z"}], "messages": []},
    "full_export_interval": 7,
    "emit_activate_version_messages": True,
    "overlap": 60,
    "defer": False,
    "job_gids": {},
    "user_agent": "x",
    "stream_maps": {"tasks": {"loud": "name", "__filter__": "True"}, "teams": {"__alias__": "groups"}},
    "stream_map_config": {},
    "flattening_enabled": False,
    "flattening_max_depth": 1,
    "batch_config": None,
    "export_files": [],
}


@EXAMPLES
@given(config=changed(CONFIG))
def test_any_settings(tap: Given, config: Any) -> None:
    if isinstance(config, dict):
        if config.get("access_token") == SECRET:
            config["access_token"] = tap.sandbox.access_token
        config |= {name: value for name, value in tap.settings.items() if name not in CONFIG}
        config["batch_config"] = None
    check(tap.run(config=config), lambda _: True)


@pytest.mark.soak
@EXAMPLES
@given(data=st.data())
def test_any_catalog(tap: Given, catalog: dict[str, Any], data: st.DataObject) -> None:
    small = {
        "streams": [
            copy.deepcopy(each)
            for each in catalog["streams"]
            if each["tap_stream_id"] in {"tasks", "exports", "stories"}
        ]
    }
    for stream in small["streams"]:
        stream["metadata"] = [each for each in stream["metadata"] if len(each["breadcrumb"]) <= 2][-12:]
    check(tap.run(config=tap.settings, catalog=data.draw(changed(small))), lambda _: True)


@pytest.fixture(scope="module")
def states(tap: Given) -> list[dict[str, Any]]:
    """A state in the middle of a run, and one at its end."""
    _, messages, _ = tap.run(config=tap.settings)
    return [each["value"] for each in messages if each["type"] == "STATE"]


@pytest.mark.soak
@EXAMPLES
@given(data=st.data())
def test_any_state(tap: Given, states: list[dict[str, Any]], data: st.DataObject) -> None:
    state = data.draw(changed(data.draw(st.sampled_from(states))))
    every = expected(tap.sandbox, "tasks")
    knows_rows = isinstance(state, dict) and "replication_key_value" in json.dumps(state)
    lines = "lines" in json.dumps(state)
    check(tap.run(config=tap.settings, state=state), lambda tasks: knows_rows or lines or tasks == every)
