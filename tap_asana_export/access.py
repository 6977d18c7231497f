"""Checks the token without an export, for `--test` and `meltano config test`."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from tap_asana_export.asana import ask_now
from tap_asana_export.errors import AnswerError
from tap_asana_export.files import ExportFile
from tap_asana_export.run import connect, workspace_gids
from tap_asana_export.words import count

if TYPE_CHECKING:
    from tap_asana_export.asana import Asana
    from tap_asana_export.settings import Settings

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT, RETRIES, MAX_PAUSES = 5, 1, 10
"""Seconds for one request, number of retries, and seconds between all tries together: a test should be quick."""

COMMANDS = {"run", "el", "elt", "invoke", "job", "schedule"}
"""Meltano's commands that run an extractor for its records."""


def under_meltano_config_test() -> bool:
    """Whether `meltano config test` started this process: it kills an extractor at its first record.

    Meltano (4.4) sets no variable that shows it. So two conditions must hold: stdout and stderr are the same pipe,
    which they never are in `meltano run`, and the parent process has the command line of `meltano config test`. Where
    that cannot be read, as on Windows, the answer is False.
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
    """Whether a command line is `meltano … config … test …`, with any options between."""
    with contextlib.suppress(ValueError):
        program = next((place for place, word in enumerate(words) if Path(word).name.startswith("meltano")), len(words))
        arguments = [word for word in words[program + 1 :] if not word.startswith("-")]
        return "test" in arguments[arguments.index("config") + 1 :] and not COMMANDS & {*arguments}
    return False


def _command_line_of(pid: int) -> list[str]:
    """Return the words of a process's command line; none if it cannot be read."""
    try:
        if Path("/proc/self/cmdline").exists():
            return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        ps = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607
        return ps.stdout.split()
    except OSError:
        return []


def check_access(settings: Settings) -> None:
    """Ask Asana for each workspace, or look for the files of `export_files`; request no export.

    Whether the token may also export shows only when an export is requested.

    Raises:
        TapError: Asana refuses the token, does not know a workspace or does not answer soon; or a file is missing.
    """
    if files := settings["export_files"]:
        for url in files:
            logger.info("File %s is there.", ExportFile(url).url)
        logger.info(TOLD, f"{count(len(files), 'file')}", "what the files hold, nor at the target")
        return
    logger.info("This is only a test: looking for the workspaces, with few tries.")
    with connect({**settings, "request_timeout": REQUEST_TIMEOUT}, retries=RETRIES) as asana:
        gids = workspace_gids(asana, {**settings, "wait_timeout": MAX_PAUSES})
        for workspace_gid in gids:
            check_workspace(asana, workspace_gid)
    parents = "the graph parents, " if settings["graph_parents"] else ""
    logger.info(
        TOLD,
        f"the token and {count(len(gids), 'workspace')}",
        f"{parents}filters or the target, and cannot tell whether the token may export: only an export shows that",
    )


TOLD = "The test is over. It looked at the settings, %s, and found nothing wrong. It did not look at %s."
"""What a test looked at, and what it could not."""


def check_workspace(asana: Asana, workspace_gid: str) -> None:
    """Ask Asana for one workspace; raise as `check_access` does."""
    logger.info("Workspace %s: asking Asana for it.", workspace_gid)
    try:
        ask_now(asana.workspace(workspace_gid), MAX_PAUSES)
    except AnswerError as error:
        # A service account may be limited to exports, without access to the rest of the API.
        if error.status != requests.codes.forbidden:
            raise
        logger.warning(
            "Workspace %s: the token is accepted, but may not look at the workspace. It may be one for exports alone.",
            workspace_gid,
        )
    else:
        logger.info("Workspace %s: the token is accepted.", workspace_gid)
