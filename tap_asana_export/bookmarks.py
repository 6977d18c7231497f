"""The one place that holds the SDK's state, a tree of dicts: the rest of the tap has it typed."""

from __future__ import annotations

import contextlib
import copy
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tap_asana_export.replication.coverage import TableState
from tap_asana_export.replication.state import ExportState, read_partition, write_partition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from singer_sdk import Stream

    from tap_asana_export.sources import ExportRoot

S = TypeVar("S", bound=msgspec.Struct)


class StoredState:
    """Typed values that stand for partitions of the SDK's state."""

    def __init__(self) -> None:
        self._stored: list[tuple[msgspec.Struct, dict[str, Any]]] = []

    def read(self, kind: type[S], stream: Stream, root: ExportRoot) -> S:
        """The typed value of a stream's partition; `store` writes it back."""
        partition = stream.get_context_state(root.context)
        value = read_partition(kind, partition)
        self._stored.append((value, partition))
        return value

    def store(self, only: msgspec.Struct | None = None) -> None:
        """Write what is known now, or only this value, into the SDK's state: the next STATE message takes it there."""
        for value, partition in self._stored:
            if only is None or value is only:
                write_partition(value, partition)

    @contextlib.contextmanager
    def as_before_on_error(self) -> Iterator[None]:
        """If what is done here fails, leave the SDK's state as it was: other exports send it too."""
        before = copy.deepcopy([partition for _, partition in self._stored])
        try:
            yield
        except Exception:
            for (_, partition), content in zip(self._stored, before, strict=True):
                partition.clear()
                partition.update(content)
            raise


class RootState(StoredState):
    """The state of one export root.

    Args:
        root: a workspace or graph parent.
        exports: the stream whose state tells of exports.
        streams: the selected streams that this root's exports fill.

    Attributes:
        export: what is known of its exports.
        tables: what is known of each stream's table, by name of the stream.
    """

    def __init__(self, root: ExportRoot, exports: Stream, streams: Iterable[Stream]) -> None:
        super().__init__()
        self.export = self.read(ExportState, exports, root)
        self.tables = {stream.name: self.read(TableState, stream, root) for stream in streams}


def lowest_version(stream: Stream) -> int | None:
    """The version below which every row of a stream's table is of a deleted object; None if there is none.

    It is the lowest of all workspaces and graph parents: targets delete rows by version alone.
    """
    versions = [each.get("version") for each in stream.stream_state.get("partitions", [])]
    return None if None in versions else min(versions, default=None)


def known_contexts(streams: Iterable[Stream]) -> set[tuple[str, str]]:
    """The workspaces and graph parents in the state, each as `("workspace_gid", gid)` or `("parent_gid", gid)`."""
    contexts = [each["context"] for stream in streams for each in stream.stream_state.get("partitions", [])]
    names = ("workspace_gid", "parent_gid")
    return {(name, context[name]) for context in contexts for name in names if context.get(name)}
