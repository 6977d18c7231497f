"""Asana's answers as typed values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - msgspec reads the annotations at run time
from typing import Annotated, Any, TypeAlias

import msgspec

from tap_asana_export.times import with_zone

GID: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+\Z")]
"""A gid. Only digits are valid, as it becomes part of file names."""


@dataclass(frozen=True)
class AsanaExport:
    """The result of an export job.

    The file shows each object as it was at some time between `created_at` and `completed_at`.
    """

    gid: str
    created_at: datetime
    completed_at: datetime | None = None
    # The URL is signed: whoever knows it can download the file.
    download_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Job:
    """An export job; `export` is None until Asana's answer contains it."""

    gid: str
    status: str
    export: AsanaExport | None


@dataclass(frozen=True)
class ExportAnswer:
    """The export in the answer about a job; a compact one has only a gid."""

    gid: GID | None = None
    created_at: datetime | None = None
    completed_at: datetime | None = None
    download_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class JobAnswer:
    """Asana's answer about a job."""

    gid: GID
    status: str = "not_started"
    new_resource_export: ExportAnswer | None = None
    new_graph_export: ExportAnswer | None = None

    def job(self) -> Job:
        """Return the job, with its export only if the answer has all of it."""
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
    """Any object of Asana's, with its gid and its name."""

    gid: GID
    name: str | None = None


@dataclass(frozen=True)
class NextPage:
    """The offset of a list's next page."""

    offset: str


@dataclass(frozen=True)
class Page:
    """A page of a list of resources."""

    data: list[Resource]
    next_page: NextPage | None = None


@dataclass(frozen=True)
class ObjectPage:
    """A page of a list, with each object as the JSON text that Asana sent."""

    data: list[msgspec.Raw]
    next_page: NextPage | None = None


@dataclass(frozen=True)
class EventPage:
    """A page of the audit log, or some of a workspace's events.

    Attributes:
        data: the events.
        next_page: the offset in the audit log to go on from, also when there is nothing more.
        sync: the token to ask for later events with.
        has_more: whether there are later events already.
    """

    data: list[dict[str, Any]]
    next_page: NextPage | None = None
    sync: str | None = None
    has_more: bool = False


@dataclass(frozen=True)
class FreshToken:
    """The answer to a sync token that is not good, or to none."""

    sync: str


@dataclass(frozen=True)
class OneObject:
    """The answer with one object, as the JSON text that Asana sent."""

    data: msgspec.Raw


@dataclass(frozen=True)
class JobEnvelope:
    """The JSON answer with a job, which Asana puts into `data`."""

    data: JobAnswer
