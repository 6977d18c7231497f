"""SIGTERM and SIGINT end a run between two lines, with the state last, and the exit code says so."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export.output.messages import MessageWriter
from tap_asana_export.sandbox import Sandbox
from tap_asana_export.signals import SIGNALS, Terminated
from tests.support.tap import settings_for

if TYPE_CHECKING:
    from collections.abc import Callable


def start(command: list[str], **env: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, env=os.environ | env)


def read_messages(tap: subprocess.Popen[bytes]) -> tuple[list[dict[str, Any]], str]:
    out, err = tap.communicate(timeout=30)
    assert out.endswith(b"\n")
    return [json.loads(line) for line in out.split(b"\n") if line], err.decode()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_waiting(signum: signal.Signals, sandbox: Sandbox, arguments: Callable[..., list[str]]) -> None:
    sandbox.job_seconds = 3600
    tap = start(arguments(settings_for(sandbox, poll_interval=30)))
    assert tap.stderr is not None
    while b"export job" not in (line := tap.stderr.readline()):
        pass
    tap.send_signal(signum)
    messages, err = read_messages(tap)

    assert tap.returncode == 128 + signum
    assert messages[-1]["type"] == "STATE"
    [exports] = messages[-1]["value"]["bookmarks"]["exports"]["partitions"]
    assert f"export job {exports['pending']['job_gid']} is not_started" in line.decode()
    assert f"Ended by {signum.name}. The next run goes on with the jobs in the state or the checkpoint; " in err


class Pipe:
    """A stderr that a signal meets in the middle of a write; like Python's own it takes no write within a write."""

    writing = False

    def write(self, _: str) -> None:
        if self.writing:
            raise RuntimeError("reentrant call")
        self.writing = True
        os.kill(os.getpid(), signal.SIGTERM)

    def flush(self) -> None:
        """Nothing waits."""


def test_a_signal_while_a_line_of_the_log_is_being_written(
    capfdbinary: pytest.CaptureFixture[bytes], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("sys.stderr", Pipe())
    log = logging.StreamHandler()
    logging.getLogger().addHandler(log)
    try:
        with pytest.raises(Terminated) as ended, MessageWriter().ending_on_signals(lambda: {"bookmarks": {}}):
            logging.getLogger("tap_asana_export").warning("a line")
    finally:
        logging.getLogger().removeHandler(log)

    assert (ended.value.code, ended.value.signal) == (128 + signal.SIGTERM, "SIGTERM")
    assert capfdbinary.readouterr().out == b'{"type":"STATE","value":{"bookmarks":{}}}\n'


def test_a_signal_that_has_ended_the_target_too(sandbox: Sandbox, arguments: Callable[..., list[str]]) -> None:
    sandbox.job_seconds = 3600
    tap = start(arguments(settings_for(sandbox, poll_interval=30)))
    assert tap.stdout is not None
    assert tap.stderr is not None
    while b'"STATE"' not in tap.stdout.readline():
        pass
    tap.stdout.close()
    tap.send_signal(signal.SIGINT)
    said = tap.stderr.read().decode()
    tap.stderr.close()

    assert tap.wait(30) == 128 + signal.SIGINT
    assert "Ended by SIGINT. The next run goes on with the jobs in the state" in said.splitlines()[-1]


def test_a_signal_within_a_finalizer_which_swallows_what_is_raised_comes_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    states = 0

    def end_run() -> dict[str, Any]:
        nonlocal states
        states += 1
        return {}

    def run() -> None:
        Finalized()
        threading.Event().wait(30)

    with pytest.raises(Terminated) as ended, SIGNALS.ending(end_run):
        run()
    assert (ended.value.code, states) == (143, 2)
    assert capsys.readouterr().err == ""


def test_a_signal_does_not_wait_for_another_thread() -> None:
    """Python handles signals in the main thread alone, and only there may one end the run."""
    inside, go_on = threading.Event(), threading.Event()

    def other() -> None:
        with SIGNALS.undisturbed():
            inside.set()
            go_on.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(10)
    with pytest.raises(Terminated), SIGNALS.ending(dict):
        os.kill(os.getpid(), signal.SIGTERM)
    go_on.set()
    thread.join()


@pytest.mark.soak
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_signal_while_the_target_is_slow_to_take_records(
    unbuffered: str, arguments: Callable[..., list[str]]
) -> None:
    with Sandbox(tasks=400, large=0, change_interval=0, job_seconds=0) as sandbox:
        tap = start(arguments(settings_for(sandbox)), PYTHONUNBUFFERED=unbuffered)
        assert tap.stdout is not None
        first = b""
        while b'"RECORD"' not in first:
            first = tap.stdout.readline()
        # The pipe is full and the tap hangs in a write: the signal must wait until that is over.
        tap.send_signal(signal.SIGTERM)
        messages, _ = read_messages(tap)

    assert tap.returncode == 128 + signal.SIGTERM
    assert messages[-1]["type"] == "STATE"
    assert {message["type"] for message in messages[:-1]} == {"RECORD"}
    assert len(messages) < 400
    assert messages[-1]["value"]["bookmarks"]["exports"]["partitions"][0]["pending"] is not None


@pytest.mark.soak
def test_a_second_signal_ends_the_run_at_once(sandbox: Sandbox, arguments: Callable[..., list[str]]) -> None:
    tap = start(arguments(settings_for(sandbox)))
    assert tap.stdout is not None
    while b'"RECORD"' not in tap.stdout.readline():
        pass
    tap.send_signal(signal.SIGTERM)
    for _ in range(100):
        tap.send_signal(signal.SIGTERM)
        try:
            assert tap.wait(timeout=0.1) == 128 + signal.SIGTERM
            break
        except subprocess.TimeoutExpired:
            continue
    tap.stdout.close()
    assert tap.stderr is not None
    tap.stderr.close()
    assert tap.returncode == 128 + signal.SIGTERM
