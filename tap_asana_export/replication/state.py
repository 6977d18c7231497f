"""The shape of this tap's state, so that another's is told apart before anything is asked of Asana."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations at run time
from typing import TYPE_CHECKING, Any, cast

import msgspec

from tap_asana_export.errors import SettingError
from tap_asana_export.replication.coverage import Coverage  # noqa: TC001 - msgspec reads the annotations at run time

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class Context(msgspec.Struct):
    """What a partition is of: a workspace, or the parent of a graph."""

    workspace_gid: str | None = None
    parent_gid: str | None = None


class Failures(msgspec.Struct):
    """How a pending job has failed lately, and how often."""

    what: str
    times: int


class Pending(msgspec.Struct):
    """The export job that a run waits for, or whose file it reads, or was when it ended.

    Attributes:
        request: fingerprint of what was asked for; a run that asks for something else needs another job.
        records: fingerprint of what the records look like.
        picked: whether the setting job_gids named the job, so that what it was asked for is not known.
        etag: tells the file whose lines are counted from another one: its ETag, or when it was modified and its length.
        lines: of the file, whose records are before the STATE.
        failures: after the same one twice another job is asked for.
    """

    job_gid: str
    requested_at: datetime
    request: str
    records: str
    full: bool
    lines: int
    picked: bool = False
    etag: str | None = None
    failures: Failures | None = None


class Partition(msgspec.Struct):
    """What is known of one stream in one workspace.

    Attributes:
        replication_key_value: the bookmark, `created_at` of the last export that came through whole.
        completed_at: the end of that export.
        full_at: `created_at` of the last export that brought all objects.
        scope: what bounded that export, or the widest one since.
        version: of the table's rows since the last whole export, if rows have versions.
        job_gid: of the stream `exports` only; the last job that came through.
        picked: of the stream `exports` only; the last job that job_gids named, lest it come again and again.
        cached_until: of the stream `exports` only; until when Asana gives the same graph again.
        pending: of the stream `exports` only; null rather than absent when done with, as Meltano may merge
            states.
    """

    context: Context
    replication_key: str | None = None
    replication_key_value: datetime | None = None
    completed_at: datetime | None = None
    full_at: datetime | None = None
    scope: Coverage | None = None
    version: int | None = None
    job_gid: str | None = None
    picked: str | None = None
    cached_until: datetime | None = None
    pending: Pending | None = None


class StreamState(msgspec.Struct, forbid_unknown_fields=True):
    """One stream's state, by workspace."""

    partitions: list[Partition] = []


class ForeignState(msgspec.Struct):
    """The state of a stream that this tap does not have, as far as the SDK looks at it."""

    partitions: list[dict[str, Any]] = []


class State(msgspec.Struct):
    """The whole state; the SDK keeps nothing outside `bookmarks`."""

    bookmarks: dict[str, ForeignState]


def check_state(state: Any, streams: Collection[str]) -> dict[str, Any]:
    """A state as this tap wrote it, also if it was given as `meltano state get` or a STATE message has it.

    Args:
        state: what came with `--state`; None or an empty one means none.
        streams: names of this tap's streams.

    Raises:
        SettingError: it is another tap's state, or damaged.
    """
    for name in ("singer_state", "value"):
        if isinstance(state, dict) and "bookmarks" not in state and name in state:
            state = state[name]
    if state is None or state == {}:
        return {}
    try:
        bookmarks = msgspec.convert(state, State).bookmarks
        for name in streams:
            of_stream = msgspec.convert(state["bookmarks"].get(name, {}), StreamState)
            contexts = [each.context for each in of_stream.partitions]
            if twice := [each for each in contexts if contexts.count(each) > 1]:
                gid = twice[0].workspace_gid or twice[0].parent_gid
                raise msgspec.ValidationError(f"it holds {gid} twice for the stream {name}")  # noqa: TRY301
    except msgspec.ValidationError as error:
        cause = str(error)
    else:
        if not bookmarks or any(name in bookmarks for name in streams):
            return cast("dict[str, Any]", state)
        cause = f"it holds bookmarks of {', '.join(sorted(bookmarks))}"
    msg = (
        f"The state given with --state is not this tap's: {cause}. "
        "Give the state that this tap wrote, or none to begin with a full export."
    )
    raise SettingError(msg)


def pending_jobs(state: Mapping[str, Any]) -> dict[str, str]:
    """By gid of a workspace or parent, the job that its state holds: what the setting job_gids takes."""
    partitions = msgspec.convert(state.get("bookmarks", {}).get("exports", {}), StreamState).partitions
    return {
        each.context.workspace_gid or each.context.parent_gid or "": each.pending.job_gid
        for each in partitions
        if each.pending
    }
