"""The state, typed: Structs for what it holds, and the only functions that know its JSON.

`docs/state-and-recovery.md` specifies the format.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations at run time
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from tap_asana_export.errors import SettingError
from tap_asana_export.replication.activity import ActivityState
from tap_asana_export.replication.coverage import TableState
from tap_asana_export.times import UtcStruct, as_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

EXPORTS = "exports"
"""The stream whose state holds what is known of exports."""

S = TypeVar("S", bound=msgspec.Struct)


class Failures(msgspec.Struct):
    """How a pending job failed last, and how often in a row."""

    what: str
    times: int


class Pending(UtcStruct, rename={"pinned": "picked", "file_id": "etag"}):
    """A job that was asked for, and whose file has not been read to its end.

    Attributes:
        job_gid: of the job.
        requested_at: when it was asked for.
        request: fingerprint of what was asked for; a run that asks for something else needs another job.
        records: fingerprint of what the records look like; a run with other records reads the file from its first line.
        full: whether all objects were asked for.
        lines: number of the file's lines whose records the target has been sent.
        pinned: whether the setting job_gids named the job, so that nobody knows what it was asked for.
        file_id: tells the file whose lines are counted from another one.
        failures: after the same failure twice another job is asked for.
    """

    job_gid: str
    requested_at: datetime
    request: str
    records: str | None = None
    full: bool = False
    lines: int = 0
    pinned: bool = False
    file_id: str | None = None
    failures: Failures | None = None


class ExportState(UtcStruct, rename={"pinned": "picked"}):
    """What the state says of the exports of one workspace or graph parent.

    Attributes:
        completed_at: end of the last export that was read to its end.
        job_gid: its job.
        pinned: the last job that the setting job_gids named: it is read once only.
        cached_until: time until which Asana gives the same graph again.
        pending: the job that is being waited for or read. Null when it is done with, not absent: Meltano may merge
            states, and an absent key would live on.
    """

    completed_at: datetime | None = None
    job_gid: str | None = None
    pinned: str | None = None
    cached_until: datetime | None = None
    pending: Pending | None = None


def read_partition(kind: type[S], partition: Mapping[str, Any]) -> S:
    """The typed value of one partition; keys that this version does not know are passed over."""
    return msgspec.convert(partition, kind)


def write_partition(value: msgspec.Struct, partition: dict[str, Any]) -> None:
    """Write a typed value into its partition; keys that this version does not know stay, and no null is added."""
    for name, plain in as_plain(value).items():
        before = partition.get(name)
        if isinstance(before, dict) and isinstance(plain, dict) and before.get("job_gid") == plain.get("job_gid"):
            partition[name] = {**before, **plain}
        elif plain is not None or name in partition:
            partition[name] = plain


class _Context(msgspec.Struct):
    workspace_gid: str | None = None
    parent_gid: str | None = None


class _TablePartition(TableState, kw_only=True):
    context: _Context


class _ExportPartition(ExportState, kw_only=True):
    context: _Context


class _ActivityPartition(ActivityState, kw_only=True):
    context: _Context


class _TableStream(msgspec.Struct, forbid_unknown_fields=True):
    partitions: list[_TablePartition] = []


class _ExportStream(msgspec.Struct, forbid_unknown_fields=True):
    partitions: list[_ExportPartition] = []


class _ActivityStream(msgspec.Struct, forbid_unknown_fields=True):
    partitions: list[_ActivityPartition] = []


class _ForeignStream(msgspec.Struct):
    partitions: list[dict[str, Any]] = []


class _State(msgspec.Struct):
    bookmarks: dict[str, _ForeignStream]


def check_state(state: Any, streams: Mapping[str, str]) -> dict[str, Any]:
    """The state that was given, taken out of what Meltano or a STATE message wraps around it.

    Args:
        state: what `--state` brought; None and `{}` mean none.
        streams: this tap's streams by name, and the kind of their source; `exports` is one of its own.

    Raises:
        SettingError: it is another tap's state, or damaged.
    """
    for name in ("singer_state", "value"):
        if isinstance(state, dict) and "bookmarks" not in state and name in state:
            state = state[name]
    if state is None or state == {}:
        return {}
    try:
        bookmarks = msgspec.convert(state, _State).bookmarks
        for name, kind in streams.items():
            _check_stream(name, kind, state["bookmarks"].get(name, {}))
    except msgspec.ValidationError as error:
        cause = str(error)
    else:
        if not bookmarks or any(name in bookmarks for name in streams):
            return cast("dict[str, Any]", state)
        cause = f"it holds bookmarks of {', '.join(sorted(bookmarks))}"
    raise SettingError(
        f"The state given with --state is not this tap's: {cause}. "
        "Give the state that this tap wrote, or none to begin with a full export."
    )


_STREAMS: dict[str, type[_ExportStream | _ActivityStream | _TableStream]] = {
    EXPORTS: _ExportStream,
    "activity": _ActivityStream,
}


def _check_stream(name: str, kind: str, stream: Any) -> None:
    """Raise msgspec.ValidationError unless this can be a stream's state, with each workspace once."""
    contexts = [each.context for each in msgspec.convert(stream, _STREAMS.get(kind, _TableStream)).partitions]
    for context in contexts:
        if contexts.count(context) > 1:
            gid = context.workspace_gid or context.parent_gid
            raise msgspec.ValidationError(f"it holds {gid} twice for the stream {name}")


def pending_jobs(state: Mapping[str, Any]) -> dict[str, str]:
    """The jobs that a state holds, by gid of the workspace or graph parent: what the setting job_gids takes."""
    exports = msgspec.convert(state.get("bookmarks", {}).get(EXPORTS, {}), _ExportStream)
    return {
        each.context.workspace_gid or each.context.parent_gid or "": each.pending.job_gid
        for each in exports.partitions
        if each.pending
    }
