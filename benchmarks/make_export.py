"""Let the tap's sandbox make an export, and save its file, gzipped as it is served, and as plain text.

Usage: python make_export.py WORKSPACE TASKS SHAPE ORDER FILE.jsonl.gz [others]

SHAPE and ORDER are the sandbox's `shape` and `property_order`. With `others` there are three more files beside it:
FILE-ten.jsonl.gz, the file ten times, FILE-document.jsonl.gz, its objects as one JSON document, and FILE-long.jsonl.gz,
twenty tasks of up to 25 MB.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from pathlib import Path

import requests
from competitors import beside

from tap_asana_export.sandbox import Sandbox

LONG = 20_000_000
"""Bytes of text, which become a quarter more as notes of a task."""


def main(workspace: str, tasks: int, shape: str, order: str, file: Path) -> None:
    """Ask for the export as any client of Asana does."""
    api = requests.Session()
    wanted = [{"resource_type": name} for name in ("task", "message", "team")]
    body = {"data": {"workspace": workspace, "export_request_parameters": wanted}}
    with Sandbox(
        workspaces=[workspace],
        tasks=tasks,
        messages=tasks // 10,
        shape=shape,
        property_order=order,
        change_interval=0,
        job_seconds=0,
    ) as sandbox:
        api.headers["Authorization"] = f"Bearer {sandbox.access_token}"
        job = api.post(f"{sandbox.api_url}/exports/resource", json=body).json()["data"]
        while job["status"] != "succeeded":
            job = api.get(f"{sandbox.api_url}/jobs/{job['gid']}").json()["data"]
        url = job["new_resource_export"]["download_url"]
        with requests.get(url, stream=True, timeout=60) as answer, file.open("wb") as gzipped:
            shutil.copyfileobj(answer.raw, gzipped)
    with gzip.open(file) as text, file.with_suffix("").open("wb") as plain:
        shutil.copyfileobj(text, plain)


def make_others(file: Path) -> None:
    """Make the files beside an export's."""
    content = file.read_bytes()
    with beside(file, "ten").open("wb") as ten:
        for _ in range(10):
            ten.write(content)
    with gzip.open(file) as lines, gzip.open(beside(file, "document"), "wb", 1) as document:
        document.write(b'{"data":[' + next(lines).rstrip())
        for line in lines:
            document.write(b"," + line.rstrip())
        document.write(b"]}")
    with gzip.open(file) as lines, gzip.open(beside(file, "long"), "wb", 1) as long:
        notes = json.dumps(lines.read(LONG).decode(errors="ignore"))
        for number in range(20):
            long.write(f'{{"gid":"{number}","resource_type":"task","notes":{notes}}}\n'.encode())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], Path(sys.argv[5]))
    if sys.argv[6:]:
        make_others(Path(sys.argv[5]))
