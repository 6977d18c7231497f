"""Whether the tap would be let in, without an export: what `--test` and `meltano config test` want to know."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from tap_asana_export.asana.client import ask_now
from tap_asana_export.errors import AnswerError
from tap_asana_export.files import ExportFile
from tap_asana_export.run import connect, workspace_gids

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_asana_export.asana.client import Asana

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT, RETRIES, MOST_SECONDS = 5, 1, 10
"""Seconds for one request, how often to repeat it, and seconds between all its tries: a test is to end soon."""

COMMANDS = {"run", "el", "elt", "invoke", "job", "schedule"}
"""Commands of Meltano that start an extractor because its records are wanted."""


def under_meltano_config_test() -> bool:
    """Whether the process was started by `meltano config test`, which kills an export at its first record.

    Meltano (4.4) sets no variable that tells, so two things must: that stdout and stderr are one pipe, as they are then
    and never in `meltano run`, and that the command line of the process that started this one is that command. Where
    the second cannot be read, as on Windows, an export is wanted.
    """
    if "MELTANO_EXTRACTOR_NAME" not in os.environ:
        return False
    try:
        out, err = os.fstat(1), os.fstat(2)
    except OSError:
        return False
    if not stat.S_ISFIFO(out.st_mode) or not out.st_ino or (out.st_dev, out.st_ino) != (err.st_dev, err.st_ino):
        return False
    return is_config_test(_command_line_of(os.getppid()))


def is_config_test(words: list[str]) -> bool:
    """Whether a command line is `meltano … config … test …`, whatever options stand between."""
    with contextlib.suppress(ValueError):
        program = next((place for place, word in enumerate(words) if Path(word).name.startswith("meltano")), len(words))
        arguments = [word for word in words[program + 1 :] if not word.startswith("-")]
        return "test" in arguments[arguments.index("config") + 1 :] and not COMMANDS & {*arguments}
    return False


def _command_line_of(pid: int) -> list[str]:
    """The words of a process's command line; none if they cannot be read."""
    try:
        if Path("/proc/self/cmdline").exists():
            return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        ps = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607
        return ps.stdout.split()
    except OSError:
        return []


def check_access(settings: Mapping[str, Any]) -> None:
    """Look at each workspace with the token, or at the files of `export_files`; no export is requested.

    Whether the token may also export is known only when an export is requested.

    Raises:
        TapError: Asana refuses the token, knows no such workspace or does not answer soon, or a file is not there.
    """
    for url in settings["export_files"]:
        logger.info("File %s can be read. This was only a test: it was not.", ExportFile(url).url)
    if settings["export_files"]:
        return
    logger.info("This is only a test: looking for the workspaces, with few tries.")
    with connect({**settings, "request_timeout": REQUEST_TIMEOUT}, retries=RETRIES) as asana:
        for workspace_gid in workspace_gids(asana, {**settings, "wait_timeout": MOST_SECONDS}):
            check_workspace(asana, workspace_gid)


def check_workspace(asana: Asana, workspace_gid: str) -> None:
    """Look at one workspace with the token; raises as `check_access` does."""
    logger.info("Workspace %s: asking Asana for it.", workspace_gid)
    try:
        ask_now(asana.workspace(workspace_gid), MOST_SECONDS)
    except AnswerError as error:
        # A service account scoped to data export may be kept from the rest of the API.
        if error.status != requests.codes.forbidden:
            raise
        logger.warning("Workspace %s: %s", workspace_gid, error)
    logger.info("Workspace %s: the token is accepted. This was only a test: no export was requested.", workspace_gid)
