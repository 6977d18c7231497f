"""Batch files: the setting that wants them, and what they hold."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

if TYPE_CHECKING:
    from tests.support.tap import Run


def into(root: Path | str, size: int = 7, **encoding: str) -> dict[str, Any]:
    """The setting batch_config."""
    storage = {"root": root.as_uri() if isinstance(root, Path) else root, "prefix": "asana/"}
    return {
        "batch_config": {
            "encoding": {"format": "jsonl", "compression": "gzip", **encoding},
            "storage": storage,
            "batch_size": size,
        }
    }


def read(file: Path) -> list[dict[str, Any]]:
    """The records of a file of JSON Lines."""
    lines = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    assert lines.endswith(b"\n")
    return [json.loads(line) for line in lines.split(b"\n")[:-1]]


def files(message: dict[str, Any]) -> list[Path]:
    return [Path(unquote(urlparse(url).path)) for url in message["manifest"]]


def lines_of(state: dict[str, Any]) -> int:
    """The lines that a state tells of; all of a finished export's are as good as none."""
    pending = exports_state(state)["pending"]
    return pending["lines"] if pending else 0


def exports_state(state: dict[str, Any]) -> dict[str, Any]:
    [partition] = state["bookmarks"]["exports"]["partitions"]
    found: dict[str, Any] = partition
    return found


def announced(*runs: Run) -> dict[str, list[Path]]:
    """By stream, the files that runs announced, in their order."""
    found: dict[str, list[Path]] = {}
    for run in runs:
        for message in run.of("BATCH"):
            found.setdefault(message["stream"], []).extend(files(message))
    return found


def held(*runs: Run) -> dict[str, list[dict[str, Any]]]:
    """By stream, the records in the files that runs announced."""
    return {stream: [each for file in of_it for each in read(file)] for stream, of_it in announced(*runs).items()}


def written(run: Run) -> dict[str, list[dict[str, Any]]]:
    """By stream, the records of RECORD messages."""
    found: dict[str, list[dict[str, Any]]] = {}
    for message in run.of("RECORD"):
        found.setdefault(message["stream"], []).append(message["record"])
    return found


def in_folder(root: Path) -> list[Path]:
    """All files below a folder."""
    return sorted(path for path in root.rglob("*") if path.is_file())
