"""What Asana answers, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - msgspec reads the annotations at run time
from typing import Annotated, TypeAlias

import msgspec

from tap_asana_export.times import with_zone

GID: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+\Z")]
"""A gid, which may become the name of a folder: anything but digits is refused."""


@dataclass(frozen=True)
class AsanaExport:
    """What a job makes: `created_at` and `completed_at` bound the time that its file's objects are of."""

    gid: str
    created_at: datetime
    completed_at: datetime | None = None
    # Signed: whoever has the URL has the file, so it stays out of every repr and log.
    download_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Job:
    """Asana's record of work that goes on by itself; `export` is None as long as Asana does not tell of it."""

    gid: str
    status: str
    export: AsanaExport | None


@dataclass(frozen=True)
class ExportAnswer:
    """An export as a job's answer has it: compact objects have no more than a gid."""

    gid: GID | None = None
    created_at: datetime | None = None
    completed_at: datetime | None = None
    download_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class JobAnswer:
    """A job as Asana answers."""

    gid: GID
    status: str = "not_started"
    new_resource_export: ExportAnswer | None = None
    new_graph_export: ExportAnswer | None = None

    def job(self) -> Job:
        """The job, without its export where that is not told in full."""
        answer = self.new_resource_export or self.new_graph_export
        if answer is None or answer.gid is None or answer.created_at is None:
            return Job(self.gid, self.status, None)
        created_at, completed_at = (
            with_zone(answer.created_at),
            with_zone(answer.completed_at),
        )
        return Job(self.gid, self.status, AsanaExport(answer.gid, created_at, completed_at, answer.download_url))


JOB_FIELDS = ",".join(
    ["status"]
    + [
        f"{export}{name}"
        for export in ("new_resource_export", "new_graph_export")
        for name in ("", ".created_at", ".completed_at", ".download_url")
    ]
)


@dataclass(frozen=True)
class Resource:
    """Any of Asana's objects, by gid and name."""

    gid: GID
    name: str | None = None


@dataclass(frozen=True)
class NextPage:
    """Where a list goes on."""

    offset: str


@dataclass(frozen=True)
class Page:
    """A part of a list."""

    data: list[Resource]
    next_page: NextPage | None = None


@dataclass(frozen=True)
class JobEnvelope:
    """A job in Asana's envelope."""

    data: JobAnswer
