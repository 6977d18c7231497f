"""Turns the report of a run into Prometheus' text format, for node_exporter's textfile collector or a Pushgateway.

python prometheus.py report.json > /var/lib/node_exporter/asana.prom
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

OUTCOMES = ("succeeded", "deferred", "failed", "ended")

HELP = {
    "asana_export_run_outcome": "How the last run ended: 1 for that outcome.",
    "asana_export_run_seconds": "How long the last run took.",
    "asana_export_run_ended_timestamp_seconds": "When the last run ended.",
    "asana_export_records": "Records of the last run.",
    "asana_export_bytes": "Bytes that the last run read.",
    "asana_export_phase_seconds": "How long each phase took.",
    "asana_export_requests": "Requests of the last run.",
    "asana_export_request_retries": "Requests that were sent once more.",
    "asana_export_unknown_fields": "Fields that no schema knows.",
    "asana_export_deletions": "Deletions that the last run was told of.",
    "asana_export_part_failed": "1 for each export, list or activity that failed.",
    "asana_export_warnings": "Warnings of the last run.",
}
"""The metrics, all of them gauges: they are of the last run, not of all runs together."""


def samples(report: dict[str, Any]) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield each metric's name, labels and value."""
    for outcome in OUTCOMES:
        yield "asana_export_run_outcome", {"outcome": outcome}, report["outcome"] == outcome
    yield "asana_export_run_seconds", {}, report["seconds"]
    ended_at = datetime.fromisoformat(report["ended_at"].replace("Z", "+00:00"))
    yield "asana_export_run_ended_timestamp_seconds", {}, ended_at.timestamp()
    yield "asana_export_bytes", {}, report["bytes"]
    yield "asana_export_warnings", {}, len(report["warnings"])
    for stream, number in report["records"].items():
        yield "asana_export_records", {"stream": stream}, number
    for endpoint, requests in report["requests"].items():
        yield "asana_export_requests", {"endpoint": endpoint}, requests["count"]
        yield "asana_export_request_retries", {"endpoint": endpoint}, requests["retries"]
    for part in report["parts"]:
        labels = {"part": part["name"]}
        yield "asana_export_part_failed", labels, part["outcome"] == "failed"
        yield "asana_export_unknown_fields", labels, sum(map(len, part["unknown_fields"].values()))
        if part["deletions"] is not None:
            yield "asana_export_deletions", labels, part["deletions"]
        for name in dict.fromkeys(phase["name"] for phase in part["phases"]):
            seconds = sum(phase["seconds"] for phase in part["phases"] if phase["name"] == name)
            yield "asana_export_phase_seconds", {**labels, "phase": name}, seconds


def text_of(report: dict[str, Any]) -> str:
    """The metrics, those of one name together, as the format wants it."""
    found = list(samples(report))
    lines = []
    for name, text in HELP.items():
        lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
        lines += [f"{name}{in_braces(labels)} {float(value):.15g}" for each, labels, value in found if each == name]
    return "\n".join(lines) + "\n"


def in_braces(labels: dict[str, str]) -> str:
    """Labels as the format has them."""
    escaped = {
        name: value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for name, value in labels.items()
    }
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}" if labels else ""


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - itself and the report
        sys.exit(__doc__)
    try:
        report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"{sys.argv[1]} is no report: {error}")
    sys.stdout.write(text_of(report))
