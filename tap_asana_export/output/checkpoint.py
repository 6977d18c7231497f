"""The gids of running jobs, kept besides the state: targets pass a state on only when they have written their rows.

So a run that is stopped while it waits for its first job leaves no state behind, but a file of this module.
"""

from __future__ import annotations

import logging
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import msgspec
import platformdirs
from fsspec.implementations.local import LocalFileSystem

from tap_asana_export.leftovers import remove_leftovers
from tap_asana_export.output.whole_file import write_whole
from tap_asana_export.times import UtcStruct

if TYPE_CHECKING:
    from tap_asana_export.settings import Settings
    from tap_asana_export.sources import ExportRoot

logger = logging.getLogger(__name__)

KEPT = timedelta(days=1)
"""Age up to which a job is gone on with."""


class RunningJob(UtcStruct):
    """A job that was asked for, and whose file nobody has read to its end.

    Attributes:
        job_gid: of the job.
        request: fingerprint of what was asked for.
        requested_at: when it was asked for.
    """

    job_gid: str
    request: str
    requested_at: datetime


class Checkpoint:
    """A folder with a small file for each workspace or parent whose job runs.

    What cannot be read or written is told by a warning: the state holds the job too.

    Args:
        folder: a path or URL; None keeps nothing.
    """

    def __init__(self, folder: str | None) -> None:
        self._folder = folder

    def write(self, root: ExportRoot, job: RunningJob) -> None:
        """Keep the job, in place of an earlier one of the workspace or parent."""
        self._try(self._write, "written", root, msgspec.json.encode(job))

    def read(self, root: ExportRoot) -> RunningJob | None:
        """The job that was kept last, if any."""
        found: RunningJob | None = self._try(self._read, "read", root)
        return found

    def remove(self, root: ExportRoot, job_gid: str) -> None:
        """Forget a job, unless another one was kept meanwhile."""
        running = self.read(root)
        if running is not None and running.job_gid == job_gid:
            self._try(self._remove, "removed", root)

    def _try(self, what: Any, done: str, root: ExportRoot, *content: bytes) -> Any:
        if self._folder is None:
            return None
        try:
            place, folder = fsspec.core.url_to_fs(self._folder)
            return what(
                place, f"{folder.rstrip('/')}/{'graph' if root.graph else 'workspace'}-{root.gid}.json", *content
            )
        except Exception as error:  # noqa: BLE001 - every driver of fsspec has errors of its own
            logger.warning(
                "%s: the checkpoint cannot be %s (%s). Should this run be stopped before the target passes a state on, "
                "the next one asks for another export. Set checkpoint to a folder that can be written to, or to false.",
                root,
                done,
                getattr(error, "strerror", None) or type(error).__name__,
            )
            return None

    @staticmethod
    def _write(place: Any, path: str, content: bytes) -> None:
        if isinstance(place, LocalFileSystem):
            remove_leftovers(Path(path).parent.glob(".*.part"))
        write_whole(place, path, content)

    @staticmethod
    def _read(place: Any, path: str) -> RunningJob | None:
        try:
            content = place.cat_file(path)
        except FileNotFoundError:
            return None
        return msgspec.json.decode(content, type=RunningJob)

    @staticmethod
    def _remove(place: Any, path: str) -> None:
        place.rm_file(path)


def checkpoint_folder(settings: Settings) -> str | None:
    """Where the setting `checkpoint` wants running jobs kept; None: nowhere.

    By default that is a folder of the Meltano project, which others of the project share, or else one of the user.
    """
    folder = settings["checkpoint"]
    if settings["sandbox"] or settings["export_files"] or folder is False:
        return None  # the jobs of a built-in sandbox end with the run, and files have none
    if isinstance(folder, str):
        return folder
    project = os.environ.get("MELTANO_PROJECT_ROOT")
    return f"{project}/.meltano/run/tap-asana-export" if project else platformdirs.user_state_dir("tap-asana-export")
