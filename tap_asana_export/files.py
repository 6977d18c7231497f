"""Export files that were downloaded earlier: on a disk, in an object store, or wherever fsspec gets to."""

from __future__ import annotations

import re
import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import fsspec

from tap_asana_export.errors import DownloadError, FileError, SettingError, TapError
from tap_asana_export.fingerprint import fingerprint
from tap_asana_export.limits import USUAL
from tap_asana_export.output.batch import describe_url_error
from tap_asana_export.records import RecordRouter, blocks, origins
from tap_asana_export.redaction import without_credentials
from tap_asana_export.report import READING, failure_of
from tap_asana_export.sources import SOURCES, ExportRoot
from tap_asana_export.times import with_zone
from tap_asana_export.transfer import (
    build_handlers,
    file_facts,
    log_summary,
    read_until_flush,
    streams_by_type,
    unknown_fields,
    write_export_record,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_asana_export.limits import Limits
    from tap_asana_export.settings import Settings
    from tap_asana_export.transfer import RunContext

RESOURCE, GRAPH = (
    {each for source in SOURCES if source.kind == kind for each in source.resource_types}
    for kind in ("resource", "graph")
)
"""Types of object in resource exports and in graph exports; tasks are in both."""

IS_GID = re.compile("[0-9]+").fullmatch


def read_files(run: RunContext) -> None:
    """Write the objects of all files; bookmarks stay as they are, since nobody knows what the files were to hold.

    Raises:
        FileError: a file breaks.
        SettingError: a file is not there, or is of nobody knows what.
    """
    for url in run.settings["export_files"]:
        read_file(run, url)
    run.save_state()


def read_file(run: RunContext, url: str) -> None:
    """Write the objects of a file, then a record of it as an export; raises as `read_files` does."""
    root = root_of(ExportFile(url, run.limits), run.settings)
    file = ExportFile(url, run.limits)  # another one, as what looked for the subject may still be reading ahead
    part = run.report.part(f"File {file.url}", "file", root.context)
    part.enter(READING)
    selected = [each for each in run.selected if each.source.kind == root.kind]
    by_type = streams_by_type(selected)
    with run.sink(root, file.gid, file.modified_at) as sink:
        handlers = build_handlers(by_type, root, sink, dict.fromkeys(each.stream.name for each in selected), run.limits)
        router = RecordRouter(handlers, limits=run.limits, is_utf8=run.is_utf8)
        try:
            for text in file.blocks(inflate_ahead=run.inflate_ahead):
                for _ in read_until_flush(router, text, sink):
                    sink.flush(router.lines)
                part.read(router.lines, dict(router.objects), file.bytes, file.total)
        except TapError as error:
            failed = error
            if isinstance(error, DownloadError):
                failed = FileError(file.url, router.lines + 1, error.cause)
            part.end("failed", failure_of(failed, part.name))
            raise failed from None
        sink.finish()
    part.read(router.lines, dict(router.objects), file.bytes, file.total)
    part.records = log_summary(part.name, router, by_type, handlers)
    part.unknown_fields = unknown_fields(router)
    part.end("succeeded")
    export_facts = {"gid": file.gid, "job_gid": None, "completed_at": None, "full": None, "bytes": file.bytes}
    write_export_record(run, root, file.modified_at, {**export_facts, **file_facts(router)})


class ExportFile:
    """An export file.

    Args:
        url: a path, or a URL that fsspec knows.

    Attributes:
        url: as it may be shown: the query of a signed URL, or a password, opens the file to whoever reads it.
        name: the last part of the URL.
        gid: what stands for the export's, which the file does not tell: the name, and what tells places apart.
        modified_at: when it was written, as far as its place tells; it holds no time of its own.
        bytes: how many were read so far.
        total: how many it has, if its place tells.

    Raises:
        SettingError: it is not there, or its place cannot be read.
    """

    def __init__(self, url: str, limits: Limits = USUAL) -> None:
        self._limits = limits
        self.bytes = 0
        self.url = without_credentials(url)
        try:
            self._place, self._path = fsspec.core.url_to_fs(url)
            size = self._place.info(self._path).get("size")
        except FileNotFoundError:
            raise SettingError(f"Settings: export_files names {self.url}, which is not there.") from None
        except (ImportError, ValueError, OSError) as error:
            cause = describe_url_error(url, error)
            raise SettingError(f"Settings: export_files names {self.url}, which cannot be read: {cause}") from None
        except Exception as error:  # noqa: BLE001 - every driver of fsspec has errors of its own, and some tell the URL
            name = type(error).__name__
            raise SettingError(f"Settings: export_files names {self.url}, which cannot be read: {name}.") from None
        self.name = without_credentials(self._path).rstrip("/").rpartition("/")[2]
        self.gid = f"{self.name}-{fingerprint(self.url).removeprefix('sha256:')[:8]}"
        self.modified_at = self._modified_at()
        self.total = size if isinstance(size, int) else None

    def _modified_at(self) -> datetime:
        try:
            at: datetime = self._place.modified(self._path)
        except NotImplementedError:
            at = datetime.now(timezone.utc)
        return with_zone(at)

    def blocks(self, *, inflate_ahead: bool = False) -> Iterator[bytes]:
        """The file's text, as `records.blocks` has it; raises as that does."""
        return blocks(self._body(), threading.Event(), self._limits, inflate_ahead=inflate_ahead)

    def _body(self) -> Iterator[bytes]:
        try:
            with self._place.open(self._path, "rb") as file:
                while block := file.read(self._limits.file_block):
                    self.bytes += len(block)
                    yield block
        except Exception as error:  # noqa: BLE001 - every driver of fsspec has errors of its own, and some tell the URL
            raise DownloadError(f"it cannot be read ({type(error).__name__})") from None


def root_of(file: ExportFile, settings: Settings) -> ExportRoot:
    """What a file is an export of, as its objects and the settings tell.

    Raises:
        FileError: it breaks before they do, or names a workspace by what is no gid.
        SettingError: they do not.
    """
    graph: bool | None = None
    broken: FileError | None = None
    workspaces, parents = settings["workspaces"], settings["graph_parents"]
    gid = workspaces[0] if len(workspaces) == 1 else None
    number = 0
    try:
        for number, origin in origins(file.blocks()):
            if origin.resource_type in GRAPH - RESOURCE:
                graph = True
            elif origin.resource_type in RESOURCE - GRAPH or origin.has_stories:
                graph = False
            gid = gid or origin.workspace_gid
            if gid and not IS_GID(gid):  # it would become a folder of batch files
                broken = FileError(file.url, number, f"a workspace's gid is digits, but here it is {gid[:40]!a}")
                gid = None
                break
            if graph or (graph is False and gid):
                break
    except DownloadError as error:
        broken = FileError(file.url, number + 1, error.cause)
    if graph or (graph is None and parents and not workspaces):
        if len(parents) != 1:
            raise SettingError(f"{file.name} is a graph export: set graph_parents to the one gid that it is of.")
        return ExportRoot(parents[0], graph=True)
    if gid is None:
        raise broken or SettingError(
            f"{file.name} does not tell of which workspace it is: set workspaces to its one gid."
        )
    return ExportRoot(gid)
