#!/usr/bin/env python3
"""A Singer target for batch files, which need none: it confirms the state, so that Meltano keeps it.

What a STATE tells of is in files that are complete. A RECORD is an error: `batch_config` is missing.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Print every state."""
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "STATE":
            print(json.dumps(message["value"]), flush=True)
        if message["type"] == "RECORD":
            sys.exit("There are records beside the files: set batch_config.")


if __name__ == "__main__":
    main()
