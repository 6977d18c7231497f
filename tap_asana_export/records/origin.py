"""Where the objects of a file come from, as its first lines tell; read before the file is routed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from tap_asana_export.errors import DamagedError
from tap_asana_export.records.objects import UNDECODABLE, gid_of
from tap_asana_export.unicode import replace_lone_surrogates

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WORKSPACE_LINES = 100
"""Lines in which to look for a workspace."""


class ObjectOrigin(msgspec.Struct):
    """The properties of an object that tell which export it is of.

    Tasks and messages of resource exports have stories. Tasks name their workspace, teams their organization.
    """

    resource_type: str
    stories: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    workspace: Any = None
    organization: Any = None

    @property
    def has_stories(self) -> bool:
        """Whether the object has the property `stories`."""
        return self.stories is not msgspec.UNSET

    @property
    def workspace_gid(self) -> str | None:
        """The gid of the workspace that the object names; None if it names none."""
        return gid_of(self.workspace) or (gid_of(self.organization) if self.resource_type == "team" else None)


decode_origin = msgspec.json.Decoder(ObjectOrigin).decode


def origins(blocks: Iterable[bytes]) -> Iterator[tuple[int, ObjectOrigin]]:
    """Yield the number of each line, from 1, and the origin of its object; blank lines are passed over.

    Raises:
        DamagedError: a line is not an Asana object; its number is the one after the last that was yielded or blank.
    """
    number = 0
    for text in blocks:
        for line in text.split(b"\n"):
            number += 1
            if line.strip():
                try:
                    origin = decode_origin(replace_lone_surrogates(line)[0])
                except (*UNDECODABLE, UnicodeDecodeError) as error:
                    raise DamagedError(f"it is not an object of Asana's ({error})") from None
                yield number, origin


def workspace_of(text: bytes) -> str | None:
    """Return the gid of the workspace that the first lines of a resource export name; None if they name none."""
    for line in text.split(b"\n", WORKSPACE_LINES)[:WORKSPACE_LINES]:
        with contextlib.suppress(*UNDECODABLE, UnicodeDecodeError):
            if gid := decode_origin(line).workspace_gid:
                return gid
    return None
