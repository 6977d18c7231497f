"""The tap's command line, as it ends when something is wrong."""

from __future__ import annotations

import os
import sys

from singer_sdk.exceptions import MapExpressionError

from tap_asana_export.errors import OutputError, TapError
from tap_asana_export.signals import Terminated
from tap_asana_export.tap import TapAsanaExport


def run_command_line() -> None:
    """Run the tap's command line; an error ends it with one line on stderr and exit code 1."""
    try:
        TapAsanaExport.cli()
    except Terminated as ended:
        TapAsanaExport.logger.info("Ended by %s; the next run goes on from the state.", ended.signal)
        raise
    except TapError as error:
        _fail(str(error))
        if isinstance(error, OutputError):
            # Python flushes stdout once more at exit and would complain about the same broken pipe.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except ValueError as error:
        # The SDK reads its files with json or simplejson, whatever is there.
        if type(error).__name__ != "JSONDecodeError":
            raise
        _fail(f"A file given with --config, --catalog or --state is not JSON: {error}. Correct the file.")
    except MapExpressionError as error:
        _fail(f"Setting stream_maps: {error} Correct the expression.")
    except FileNotFoundError as error:
        _fail(f"{error} Check the path given with --config.")
    else:
        return
    sys.exit(1)


def _fail(message: str) -> None:
    TapAsanaExport.logger.critical("%s", message)
