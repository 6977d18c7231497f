"""Runs the command line, and ends it with one line and an exit code if something fails."""

from __future__ import annotations

import errno
import json
import os
import sys
from typing import TYPE_CHECKING

from tap_asana_export import redaction
from tap_asana_export.access import under_meltano_config_test
from tap_asana_export.errors import OutputError, SettingError, TapError
from tap_asana_export.replication.state import pending_jobs
from tap_asana_export.signals import Terminated
from tap_asana_export.tap import TapAsanaExport

if TYPE_CHECKING:
    from collections.abc import Mapping


def run_command_line() -> None:
    """Run the tap; an error ends it with one line on stderr and exit code 1."""
    redaction.install()
    try:
        if sys.stdout is None:
            raise OutputError("it is closed")  # noqa: TRY301 - ends as any other error does
        check_log_level()
        TapAsanaExport.cli()
    except Terminated as ended:
        TapAsanaExport.logger.info("Ended by %s. %s", ended.signal, _how_to_go_on(pending_jobs(ended.state)))
        raise
    except TapError as error:
        _fail(str(error))
        if isinstance(error, OutputError) and sys.stdout is not None:
            # At exit Python flushes stdout once more, and would report the broken pipe again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:  # noqa: BLE001 - the text of an unexpected error may contain secrets
        if isinstance(error, OSError) and error.errno in STDOUT_ERRORS:
            _fail(str(OutputError(str(error.strerror))))  # of `--about` and `--version`, which click writes
        else:
            _fail(
                f"{_unexpected(error)} This is a fault of the tap: please report this line. LOGLEVEL=DEBUG tells more."
            )
        TapAsanaExport.logger.debug("The fault came from here:", exc_info=error)
    else:
        return
    sys.exit(1)


LOG_LEVELS = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG")
STDOUT_ERRORS = {errno.ENOSPC, errno.EPIPE}


def check_log_level() -> None:
    """Fail where a variable sets a log level that does not exist: the SDK would not say which variable.

    Raises:
        SettingError: with the name of the variable.
    """
    for name in ("TAP_ASANA_EXPORT_LOGLEVEL", "LOGLEVEL"):
        level = os.environ.get(name, "").upper()
        if level and level not in LOG_LEVELS:
            raise SettingError(f"The environment variable {name} must be one of {', '.join(LOG_LEVELS)}.")


def _how_to_go_on(jobs: Mapping[str, str]) -> str:
    if not jobs:
        return "The next run goes on from the state."
    return (
        "The next run goes on with the jobs in the state or the checkpoint; without both, set job_gids to "
        f"{json.dumps(jobs)}."
    )


def _unexpected(error: Exception) -> str:
    """Name an error's class and the last line of the tap's own code in its traceback, without its text."""
    frame, place = error.__traceback__, ""
    while frame is not None:
        code = frame.tb_frame.f_code
        if "tap_asana_export" in code.co_filename:
            place = f" in {os.path.basename(code.co_filename)}, line {frame.tb_lineno}"  # noqa: PTH119
        frame = frame.tb_next
    return f"Unexpected {type(error).__name__}{place}."


def _fail(message: str) -> None:
    line = " ".join(message.split())
    if under_meltano_config_test():
        print(line, file=sys.stderr)  # noqa: T201 - Meltano shows the last line of stderr as it is, without a log's prefix
    else:
        TapAsanaExport.logger.critical("%s", line)
