"""The tap as its users meet it: a command, fed with files, speaking Singer on stdout and words on stderr."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export import redaction
from tap_asana_export.command import run_command_line
from tap_asana_export.limits import USUAL, Limits
from tap_asana_export.sandbox import Sandbox
from tap_asana_export.tap import TapAsanaExport
from tests.support.clock import Clock
from tests.support.leaks import log_config, require_no_secret, write_log_config
from tests.support.postgres import WHEEL, Postgres, serve_postgres
from tests.support.tap import TAP, Run, logging_as_before
from tests.support.targets import prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


EXTERNAL_FIXTURES = {"postgres", "s3"}
"""What needs programs of others."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all", action="store_true", help="run also what takes long (soak), or needs programs of others (external)"
    )
    parser.addoption("--kills", type=int, default=3, help="how many runs tests/faults/test_kills.py kills")
    parser.addoption("--kill-seed", type=int, default=0, help="seed of when it kills whom")
    parser.addoption("--walks", type=int, default=2, help="how many walks tests/faults/test_walks.py goes")
    parser.addoption("--walk-seed", type=int, default=0, help="seed of the first of them")
    parser.addoption(
        "--moments", type=int, default=9, help="at how many moments tests/faults/test_signal_moments.py ends runs"
    )
    parser.addoption(
        "--log-everything", action="store_true", help="have every run log at DEBUG too, and look for secrets in it"
    )


def pytest_configure(config: pytest.Config) -> None:
    """With --all, Hypothesis tries ten times as many examples; HYPOTHESIS_PROFILE says how many otherwise."""
    # A shell ignores SIGINT for what it starts in the background; the programs that tests interrupt would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--all"):
        os.environ.setdefault("HYPOTHESIS_PROFILE", "all")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are processors, since many tests wait; but not where some put a machine under load."""
    return (os.cpu_count() or 1) + (not config.getoption("--all"))


def pytest_collection_finish() -> None:
    """Let garbage be collected seldom, and not among what is imported: tests then take a fifth less time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long, unless --all, or -m with an expression of one's own, wants it.

    That is what is marked `external` or `soak` and, if neither a file nor -k was given, all but two cases of each test.
    """
    for item in items:
        if EXTERNAL_FIXTURES & {*getattr(item, "fixturenames", ())}:
            item.add_marker("external")
    if config.getoption("--all") or config.getoption("-m"):
        return
    left_out = {item for item in items if {"external", "soak"} & {mark.name for mark in item.iter_markers()}}
    if not config.getoption("keyword") and [Path(each).resolve() for each in config.args] == [Path(__file__).parent]:
        cases: dict[str, list[pytest.Item]] = {}
        for item in items:
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
        for test in cases.values():
            left_out.update(test[1:-1])
    if left_out:
        config.hook.pytest_deselected(items=[*left_out])
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def log_of_everything(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path | None]:
    """Where all runs of the tap log at DEBUG, with --log-everything."""
    if not request.config.getoption("--log-everything"):
        yield None
        return
    folder = tmp_path_factory.mktemp("logs")
    log = folder / "everything.log"
    log.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "SINGER_SDK_LOG_CONFIG", write_log_config(folder / "log.yml", log_config(log))["SINGER_SDK_LOG_CONFIG"]
        )
        yield log


@pytest.fixture(autouse=True)
def _no_secret_gets_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, log_of_everything: Path | None
) -> Iterator[None]:
    """No program that a test runs, and nothing that is logged in its own process, may show a secret of the test's."""
    communicate = subprocess.Popen.communicate

    def communicate_without_secrets(self: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = communicate(self, *args, **kwargs)
        require_no_secret(*outputs)
        return outputs

    monkeypatch.setattr(subprocess.Popen, "communicate", communicate_without_secrets)
    # Secrets of a thousand tests would make one long pattern.
    monkeypatch.setattr(redaction, "_secrets", redaction._Secrets())  # noqa: SLF001
    before = log_of_everything.stat().st_size if log_of_everything else 0
    yield
    require_no_secret(caplog.text)
    if log_of_everything:
        with log_of_everything.open("rb") as log:
            log.seek(before)
            require_no_secret(log.read())


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a run keeps its checkpoints, besides those of other tests."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "tap-asana-export"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A small organization in which nothing changes by itself."""
    with Sandbox(tasks=40, messages=10, teams=3, large=1, change_interval=0, job_seconds=0) as sandbox:
        yield sandbox


@pytest.fixture
def arguments(tmp_path: Path) -> Callable[..., list[str]]:
    """The tap's command line for settings, catalog and state, each given as what its JSON file holds."""

    def write(settings: Any, *, catalog: Any = None, state: Any = None) -> list[str]:
        line = list(TAP)
        for option, content in {"config": settings, "catalog": catalog, "state": state}.items():
            if content is not None:
                path = tmp_path / f"{option}.json"
                path.write_text(content if isinstance(content, str) else json.dumps(content))
                line += [f"--{option}", str(path)]
        return line

    return write


@pytest.fixture
def run_command(arguments: Callable[..., list[str]]) -> Callable[..., Run]:
    """Run the tap's command, a process of its own, to its end."""

    def run(settings: Any, *options: str, env: Mapping[str, str] | None = None, **files: Any) -> Run:
        done = subprocess.run(
            [*arguments(settings, **files), *options],
            capture_output=True,
            check=False,
            env=os.environ | (env or {}),
            timeout=60,
        )
        return Run(done.returncode, done.stdout, done.stderr.decode())

    return run


@contextlib.contextmanager
def environment_as_before() -> Iterator[None]:
    """Undo what is set in the environment meanwhile: the SDK sets there what a file .env holds."""
    before = dict(os.environ)
    try:
        yield
    finally:
        # Only what differs: other threads may be reading the environment, which C does not guard.
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        for name, value in before.items():
            if os.environ.get(name) != value:
                os.environ[name] = value


@pytest.fixture
def run_tap(arguments: Callable[..., list[str]], capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Run]:
    """Run the tap's command line to its end in this process, which takes a tenth of the time of another one."""

    def run(
        settings: Any, *options: str, env: Mapping[str, str] | None = None, limits: Limits = USUAL, **files: Any
    ) -> Run:
        line = ["tap-asana-export", *arguments(settings, **files)[len(TAP) :], *options]
        capfdbinary.readouterr()
        with (
            environment_as_before(),
            pytest.MonkeyPatch.context() as patch,
            logging_as_before(),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("default")
            patch.setattr(sys, "argv", line)
            patch.setattr(TapAsanaExport, "limits", limits)
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                run_command_line()
        out, err = capfdbinary.readouterr()
        return Run(int(ended.value.code or 0), out, err.decode())

    return run


@pytest.fixture(scope="session")
def catalog() -> dict[str, Any]:
    """The discovered catalog."""
    done = subprocess.run([*TAP, "--discover"], capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server with a folder and a socket of its own, out of a wheel."""
    with serve_postgres(prefix(WHEEL)) as server:
        yield server
