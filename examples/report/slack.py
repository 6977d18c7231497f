"""Turns the report of a run into a message for Slack's incoming webhooks: what came, or what failed and what to do.

python slack.py report.json | curl --data @- --header 'Content-Type: application/json' "$SLACK_WEBHOOK"
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

MOST = 2900
"""Characters of a message: Slack cuts longer ones in two."""

SIGNS = {
    "succeeded": ":white_check_mark:",
    "deferred": ":hourglass_flowing_sand:",
    "failed": ":x:",
    "ended": ":octagonal_sign:",
}


def message_of(report: dict[str, Any]) -> str:
    """The message."""
    minutes, seconds = divmod(round(report["seconds"]), 60)
    time = f"{minutes}:{seconds:02} min" if minutes else f"{seconds} s"
    records = ", ".join(f"{number:,} {stream.replace('_', ' ')}" for stream, number in report["records"].items())
    ended = f"{report['outcome']} after {time}"
    lines = [f"{SIGNS[report['outcome']]} *Asana export {ended}*: {records or 'no record'}"]
    for failure in report["failures"]:
        lines += [f"• {failure['what']}", f"   *What to do:* {failure['to_do']}"]
    for part in report["parts"]:
        fields = [f"`{stream}.{name}`" for stream, names in part["unknown_fields"].items() for name in names]
        lines += [f"• {part['name']}: fields that no schema knows: {', '.join(fields)}"] if fields else []
        lines += [f"• {part['name']}: {part['gap']}"] if part["gap"] else []
    lines += [f"• Asana announces {each['name']}: {each['info']}" for each in report["announcements"]]
    lines += [f"{len(report['warnings'])} warnings"] if report["warnings"] else []
    # https://api.slack.com/reference/surfaces/formatting#escaping
    text = "\n".join(lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text if len(text) <= MOST else f"{text[: MOST - 1]}…"


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - itself and the report
        sys.exit(__doc__)
    try:
        report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"{sys.argv[1]} is no report: {error}")
    json.dump({"text": message_of(report)}, sys.stdout)
