"""Whether the tap would be let in, without an export: what `--test` and `meltano config test` want to know."""

from __future__ import annotations

import logging
import os
import stat
from typing import TYPE_CHECKING, Any

import requests

from tap_asana_export.errors import AnswerError
from tap_asana_export.waiting import finish

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_asana_export.asana import Asana

logger = logging.getLogger(__name__)


def under_meltano_config_test() -> bool:
    """Whether the process was started by `meltano config test`, which kills an export at its first record.

    Nothing tells but how it was started (Meltano 4.4): with stdout and stderr in one pipe. `meltano run` keeps them
    apart, as must whoever feeds a target.
    """
    out, err = os.fstat(1), os.fstat(2)
    return "MELTANO_EXTRACTOR_NAME" in os.environ and stat.S_ISFIFO(out.st_mode) and out.st_ino == err.st_ino


def check_access(asana: Asana, workspace_gids: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Look at each workspace with the token, and yield a record that says so.

    Whether the token may also export is known only when an export is requested.

    Raises:
        AnswerError: Asana refuses the token, or does not know a workspace.
    """
    for workspace_gid in workspace_gids:
        try:
            finish(asana.workspace(workspace_gid))
        except AnswerError as error:
            # A service account scoped to data export may be kept from the rest of the API.
            if error.status != requests.codes.forbidden:
                raise
            logger.warning("Workspace %s: %s", workspace_gid, error)
        logger.info(
            "Workspace %s: the token is accepted. This was only a test: no export was requested.",
            workspace_gid,
        )
        yield {"gid": f"access-check-{workspace_gid}", "kind": "access_check", "workspace_gid": workspace_gid}
