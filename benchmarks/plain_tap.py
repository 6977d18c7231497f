"""A tap for an export file as one usually writes it on singer-sdk: ijson, and a pass over the file per stream."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ijson  # type: ignore[import-not-found,import-untyped,unused-ignore]
import requests
from singer_sdk import SchemaDirectory, Stream, StreamSchema, Tap
from singer_sdk import typing as th

if TYPE_CHECKING:
    from collections.abc import Iterator


class ObjectStream(Stream):
    """The objects of one type."""

    primary_keys = ("gid",)
    schema = StreamSchema(SchemaDirectory(Path(__file__).parents[1] / "schemas"))

    def __init__(self, tap: Tap, name: str, resource_type: str, replication_key: str | None) -> None:
        super().__init__(tap, name=name)
        self.resource_type = resource_type
        self.replication_key = replication_key

    def get_records(self, context: Any) -> Iterator[dict[str, Any]]:  # noqa: ARG002 - the SDK's signature
        """Download the file and yield what is of this type."""
        with (
            requests.get(self.config["url"], stream=True, timeout=60) as response,
            gzip.open(response.raw) as file,
        ):
            for record in ijson.items(file, "", multiple_values=True):
                if record["resource_type"] == self.resource_type:
                    record["workspace_gid"] = self.config["workspace_gid"]
                    yield record


class PlainTap(Tap):
    """Reads an export file that is there already."""

    name = "plain-tap"
    config_jsonschema = th.PropertiesList(
        th.Property("url", th.StringType, required=True),
        th.Property("workspace_gid", th.StringType, required=True),
    ).to_dict()

    def discover_streams(self) -> list[ObjectStream]:
        """The three streams of an export."""
        return [
            ObjectStream(self, "tasks", "task", "modified_at"),
            ObjectStream(self, "messages", "message", "modified_at"),
            ObjectStream(self, "teams", "team", None),
        ]


if __name__ == "__main__":
    PlainTap.cli()
