#!/usr/bin/env python3
"""A Singer target for batch files, which need none: it confirms the state, so that Meltano keeps it.

What a STATE tells of is in files that are complete. A RECORD is an error: `batch_config` is missing.
"""

from __future__ import annotations

import json
import signal
import sys


def main() -> None:
    """Print every state."""
    # Ctrl-C goes to all of a pipeline. The tap then says how far it came, which is its last message.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        try:
            message = json.loads(line)
            kind = message["type"]
            if kind == "STATE":
                print(json.dumps(message["value"]), flush=True)
        except (ValueError, TypeError, KeyError, RecursionError):
            sys.exit(f"This is no message of a tap: {line[:80]!r}")
        if kind == "RECORD":
            sys.exit("There are records beside the files: set batch_config.")


if __name__ == "__main__":
    main()
