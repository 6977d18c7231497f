"""The tap with BATCH files, until it writes them itself: a tap that writes BATCH replaces `BATCH_TAP` by `TAP`."""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from tests.conftest import TAP

BATCH_TAP = (sys.executable, "-m", "tests.consumers.batches")


def main() -> None:
    """Run the tap; write its records into files as `batch_config` says, and say BATCH in their stead."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, action="append", required=True)
    parser.add_argument("--state", type=Path)
    options = parser.parse_args()
    settings: dict[str, Any] = {}
    for config in options.config:
        settings |= json.loads(config.read_text())
    batch = settings.pop("batch_config")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as plain:
        json.dump(settings, plain)
        plain.flush()
        command = [*TAP, "--config", plain.name, *(["--state", str(options.state)] if options.state else [])]
        tap = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert tap.stdout is not None
        records: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for line in tap.stdout:
            message = json.loads(line)
            if message["type"] != "RECORD":
                sys.stdout.buffer.write(line)
                continue
            records[message["stream"]].append(message["record"])
            if message["stream"] == "exports":
                write(records, message["record"], batch)
                records.clear()
    sys.exit(tap.wait())


def write(records: dict[str, list[dict[str, Any]]], export: dict[str, Any], batch: dict[str, Any]) -> None:
    """Write what one export brought, and say so."""
    root, prefix = urlparse(batch["storage"]["root"]).path, batch["storage"].get("prefix", "")
    created_at = "".join(each for each in export["created_at"] if each not in "-:.")
    size = batch["batch_size"]
    for stream, of_stream in records.items():
        folder = Path(f"{root}/{prefix}{stream}") / export["workspace_gid"]
        folder.mkdir(parents=True, exist_ok=True)
        manifest = []
        for number, start in enumerate(range(0, len(of_stream), size), 1):
            file = folder / f"{created_at}-{export['gid']}-{number:05}.jsonl.gz"
            lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in of_stream[start : start + size])
            file.write_bytes(gzip.compress(lines.encode()))
            manifest.append(file.as_uri())
        message = {"type": "BATCH", "stream": stream, "encoding": batch["encoding"], "manifest": manifest}
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
